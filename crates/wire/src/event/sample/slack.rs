//! Samples of `slack.*`.

use serde_json::{Value, json};

use super::IDENTITY;
use crate::event::EventType;

const CHANNEL: &str = "C0EXAMPLE";
const ACTOR: &str = "U0EXAMPLE";
const MESSAGE: &str = "1773500966.000100";
const THREAD: &str = "1773500900.000200";
const FILE: &str = "F0EXAMPLE";

pub(super) fn data(event_type: EventType) -> Value {
    let kinds = kinds(event_type);
    let conversation = match event_type {
        EventType::SlackDmReceived => json!("D0EXAMPLE"),
        EventType::SlackGroupDmReceived => json!("G0EXAMPLE"),
        EventType::SlackConnectionChanged => Value::Null,
        _ => json!(CHANNEL),
    };
    let of_message = !kinds.is_empty() || event_type.as_str().contains("message");
    // What the agent itself did, and what nobody did.
    let actor = match event_type {
        EventType::SlackMessageSent
        | EventType::SlackMessageSendFailed
        | EventType::SlackMessageSendUnknown
        | EventType::SlackConnectionChanged => Value::Null,
        _ => json!(ACTOR),
    };
    let mut data = json!({
        "identity_id": IDENTITY,
        "connection_id": "e6f70819-2a3b-44cd-95e6-5b6c7d8e9f01",
        "workspace_id": "T0EXAMPLE",
        "conversation_id": conversation,
        "message_ts": if of_message { json!(MESSAGE) } else { Value::Null },
        "thread_ts": if event_type == EventType::SlackThreadReplyReceived { json!(THREAD) } else { Value::Null },
        "actor_id": actor,
        "message_kinds": kinds,
        "event": event(event_type, &conversation),
    });
    if !kinds.is_empty() {
        data["actor_profile"] = json!({
            "id": ACTOR, "name": "noor", "real_name": "Noor Example", "tz": "Europe/Amsterdam",
            "tz_offset": 3600, "is_bot": false,
            "profile": {"display_name": "Noor", "title": "Workshops"},
        });
        data["sender_access"] = json!("direct");
    }
    data
}

fn kinds(event_type: EventType) -> &'static [&'static str] {
    match event_type {
        EventType::SlackDmReceived => &["dm"],
        EventType::SlackGroupDmReceived => &["group_dm"],
        EventType::SlackMentionReceived => &["mention", "channel"],
        EventType::SlackThreadReplyReceived => &["thread", "channel"],
        EventType::SlackChannelMessageReceived => &["channel"],
        _ => &[],
    }
}

/// What Slack, or the connection to it, says.
fn event(event_type: EventType, conversation: &Value) -> Value {
    let item = json!({"type": "message", "channel": CHANNEL, "ts": MESSAGE});
    match event_type {
        EventType::SlackMessageUpdated => json!({
            "type": "message", "subtype": "message_changed", "channel": CHANNEL,
            "message": {"ts": MESSAGE, "text": "Can someone open room 3.14?"},
        }),
        EventType::SlackMessageDeleted => json!({
            "type": "message", "subtype": "message_deleted", "channel": CHANNEL, "deleted_ts": MESSAGE,
        }),
        EventType::SlackReactionAdded => {
            json!({"type": "reaction_added", "user": ACTOR, "reaction": "eyes", "item": item})
        }
        EventType::SlackReactionRemoved => {
            json!({"type": "reaction_removed", "user": ACTOR, "reaction": "eyes", "item": item})
        }
        EventType::SlackMemberJoined => {
            json!({"type": "member_joined_channel", "user": ACTOR, "channel": CHANNEL})
        }
        EventType::SlackMemberLeft => {
            json!({"type": "member_left_channel", "user": ACTOR, "channel": CHANNEL})
        }
        EventType::SlackChannelUpdated => {
            json!({"type": "channel_rename", "channel": {"id": CHANNEL, "name": "workshops"}})
        }
        EventType::SlackFileShared => {
            json!({"type": "file_shared", "file_id": FILE, "user_id": ACTOR, "channel_id": CHANNEL})
        }
        EventType::SlackFileChanged => json!({"type": "file_change", "file_id": FILE}),
        EventType::SlackFileDeleted => json!({"type": "file_deleted", "file_id": FILE}),
        EventType::SlackPinAdded => {
            json!({"type": "pin_added", "user": ACTOR, "channel_id": CHANNEL, "item": item})
        }
        EventType::SlackPinRemoved => {
            json!({"type": "pin_removed", "user": ACTOR, "channel_id": CHANNEL, "item": item})
        }
        EventType::SlackConnectionChanged => json!({"status": "reauthorization_required"}),
        EventType::SlackMessageSent => json!({"text": "Room 3.14 is open.", "ts": MESSAGE}),
        EventType::SlackMessageSendFailed => {
            json!({"text": "Room 3.14 is open.", "error": "channel_is_archived"})
        }
        EventType::SlackMessageSendUnknown => json!({"text": "Room 3.14 is open.", "error": "timeout"}),
        EventType::SlackInteraction => json!({
            "type": "block_actions", "channel": CHANNEL,
            "actions": [{"action_id": "open_room", "value": "3.14"}],
        }),
        EventType::SlackSessionStopped => json!({"reason": "stopped by the user"}),
        _ => json!({
            "type": "message", "channel": conversation, "user": ACTOR, "ts": MESSAGE,
            "text": "Can someone open the meeting room?",
        }),
    }
}
