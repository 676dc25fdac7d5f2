//! What an organisation sets for itself.

use super::patch::Patch;

/// Days for which events, ended deliveries and attempts are kept.
pub const RETENTION_DAYS: (u32, u32) = (1, 3_650);
/// Events that may be published in a second.
pub const PUBLISH_PER_SECOND: (u32, u32) = (1, 1_000_000);
/// Deliveries that may wait. What the server takes at most is what an organisation has when it sets nothing:
/// it may want less, never more.
pub const MAX_QUEUED: (u32, u32) = (1, 10_000_000);

/// Settings as they are now; what is none is the server's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrganizationSettings {
    /// Where operational events are POSTed; none are made without it.
    pub alerts_url: Option<String>,
    /// Days for which history is kept.
    pub retention_days: Option<u32>,
    /// Events that it may publish in a second.
    pub publish_per_second: Option<u32>,
    /// Deliveries of it that may wait.
    pub max_queued: Option<u32>,
}

/// What a change asks for, already checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrganizationChange {
    /// See [`OrganizationSettings`].
    pub alerts_url: Patch<String>,
    /// See [`OrganizationSettings`].
    pub retention_days: Patch<u32>,
    /// See [`OrganizationSettings`].
    pub publish_per_second: Patch<u32>,
    /// See [`OrganizationSettings`].
    pub max_queued: Patch<u32>,
}

impl OrganizationChange {
    /// The settings with this change.
    #[must_use]
    pub fn applied(self, before: OrganizationSettings) -> OrganizationSettings {
        OrganizationSettings {
            alerts_url: self.alerts_url.applied(before.alerts_url),
            retention_days: self.retention_days.applied(before.retention_days),
            publish_per_second: self.publish_per_second.applied(before.publish_per_second),
            max_queued: self.max_queued.applied(before.max_queued),
        }
    }
}
