//! Data of `slack.*` events.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Maybe, SenderAccess, words};
use crate::id::IdentityId;

words! {
    /// What a message is to the agent; it may be several things.
    SlackMessageKind {
        Dm = "dm",
        GroupDm = "group_dm",
        Mention = "mention",
        Channel = "channel",
        Thread = "thread",
    }
}

/// The `data` of a Slack event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlackData {
    pub identity_id: IdentityId,
    pub connection_id: String,
    /// Slack's id of the workspace.
    pub workspace_id: String,
    /// Slack's id of the channel or conversation.
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub conversation_id: Maybe<String>,
    /// Slack's name of the message.
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub message_ts: Maybe<String>,
    /// Slack's name of the message that began the thread.
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub thread_ts: Maybe<String>,
    /// Slack's id of whoever did it.
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub actor_id: Maybe<String>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub actor_profile: Maybe<SlackActorProfile>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub contact_id: Maybe<Uuid>,
    /// Empty on what is not a message.
    pub message_kinds: Vec<SlackMessageKind>,
    /// What Slack says about it.
    pub event: Map<String, Value>,
    /// Absent when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_access: Option<SenderAccess>,
}

/// Who did it, as Slack describes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlackActorProfile {
    pub id: String,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub name: Maybe<String>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub real_name: Maybe<String>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub tz: Maybe<String>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub tz_label: Maybe<String>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub team_id: Maybe<String>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub is_bot: Maybe<bool>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub is_app_user: Maybe<bool>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub deleted: Maybe<bool>,
    /// Seconds east of UTC.
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub tz_offset: Maybe<i64>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub profile: Maybe<SlackUserProfile>,
}

/// What they say about themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SlackUserProfile {
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub display_name: Maybe<String>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub real_name: Maybe<String>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub first_name: Maybe<String>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub last_name: Maybe<String>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub email: Maybe<String>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub phone: Maybe<String>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub title: Maybe<String>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub status_text: Maybe<String>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub status_emoji: Maybe<String>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub image_48: Maybe<String>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub image_72: Maybe<String>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub image_192: Maybe<String>,
}
