//! Who makes a request, and what that lets them see.

use inkhook_wire::id::{ApiKeyId, IdentityId, OrganizationId};

use super::number::OrganizationNo;

/// An authenticated caller, acting for exactly one organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The organisation it acts for.
    pub organization: OrganizationNo,
    /// The same, as the outside knows it.
    pub organization_id: OrganizationId,
    /// The key that it used.
    pub key_id: ApiKeyId,
    /// What the key may do.
    pub role: Role,
    /// Events that its organisation may publish in a second; `None`: as many as the server takes.
    pub publish_per_second: Option<u32>,
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything in the organisation. An operator key that named an organisation acts as its admin.
    Admin,
    /// What belongs to its own identity.
    Agent {
        /// That identity.
        identity: IdentityId,
        /// Unclaimed keys are refused on every webhook route.
        claimed: bool,
    },
}

/// What a statement may touch: the organisation, and for an agent its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Whose rows.
    pub organization: OrganizationNo,
    /// Only rows of this identity, when given.
    pub identity: Option<IdentityId>,
}

impl Caller {
    /// What this caller's statements may touch.
    #[must_use]
    pub fn scope(&self) -> Scope {
        let identity = match self.role {
            Role::Admin => None,
            Role::Agent { identity, .. } => Some(identity),
        };
        Scope { organization: self.organization, identity }
    }

    /// Whether it manages the whole organisation.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }
}
