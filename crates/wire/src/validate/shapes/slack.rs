//! The shape of `slack.*`.

use super::SENDER_ACCESS;
use crate::payload::slack::SlackMessageKind;
use crate::validate::shape::Kind::{Bool, Integer, List, Map, Object, OneOf, Text, Uuid};
use crate::validate::shape::{Field, Fill, Kind, filled, optional, required};

pub(in crate::validate) const SLACK_DATA: &[Field] = &[
    filled("identity_id", Uuid, Fill::IdentityId),
    required("connection_id", Text),
    required("workspace_id", Text),
    maybe("conversation_id", Text),
    maybe("message_ts", Text),
    maybe("thread_ts", Text),
    maybe("actor_id", Text),
    maybe("actor_profile", Object(ACTOR_PROFILE)),
    maybe("contact_id", Uuid),
    required("message_kinds", List(&OneOf(SlackMessageKind::WORDS))),
    required("event", Map),
    SENDER_ACCESS,
];

/// Slack leaves out what it does not say, or says null.
const fn maybe(name: &'static str, kind: Kind) -> Field {
    optional(name, kind).or_null()
}

const ACTOR_PROFILE: &[Field] = &[
    required("id", Text),
    maybe("name", Text),
    maybe("real_name", Text),
    maybe("tz", Text),
    maybe("tz_label", Text),
    maybe("team_id", Text),
    maybe("is_bot", Bool),
    maybe("is_app_user", Bool),
    maybe("deleted", Bool),
    maybe("tz_offset", Integer),
    maybe("profile", Object(USER_PROFILE)),
];

const USER_PROFILE: &[Field] = &[
    maybe("display_name", Text),
    maybe("real_name", Text),
    maybe("first_name", Text),
    maybe("last_name", Text),
    maybe("email", Text),
    maybe("phone", Text),
    maybe("title", Text),
    maybe("status_text", Text),
    maybe("status_emoji", Text),
    maybe("image_48", Text),
    maybe("image_72", Text),
    maybe("image_192", Text),
];
