//! Samples of `whatsapp.*`.

use serde_json::{Value, json};

use super::{CREATED, IDENTITY, UPDATED, contacts};
use crate::event::EventType;

const CONVERSATION: &str = "f708192a-3b4c-45de-86f7-6c7d8e9f0a01";
const MESSAGE: &str = "192a3b4c-5d6e-47f0-8819-8e9f0a1b2c01";
const OURS: &str = "+12025550143";
const THEIRS: &str = "+12025550117";

pub(super) fn data(event_type: EventType) -> Value {
    if event_type == EventType::WhatsAppReactionReceived {
        return json!({
            "reaction": {
                "id": "08192a3b-4c5d-46ef-9708-7d8e9f0a1b01", "agent_identity_id": IDENTITY,
                "conversation_id": CONVERSATION, "target_message_id": MESSAGE,
                "direction": "inbound", "remote_number": THEIRS,
                "reaction": "custom", "custom_emoji": "🎈", "emoji": "🎈",
                "status": "applied", "revision": 1,
                "created_at": CREATED, "updated_at": CREATED, "removed_at": null,
            },
            "contacts": contacts("Robin"),
            "agent_identities": [],
        });
    }
    json!({"message": message(event_type), "contacts": contacts("Robin"), "agent_identities": []})
}

fn message(event_type: EventType) -> Value {
    let inbound = event_type == EventType::WhatsAppReceived;
    let (status, state) = match event_type {
        EventType::WhatsAppReceived => ("received", None),
        EventType::WhatsAppDelivered => ("delivered", Some("delivered")),
        EventType::WhatsAppDeliveryFailed => ("failed", Some("unknown")),
        EventType::WhatsAppDeliveryUnconfirmed => ("uncertain", Some("unknown")),
        _ => ("sent", Some("pending")),
    };
    let failed = event_type == EventType::WhatsAppDeliveryFailed;
    let at = |when: bool, text: &str| if when { json!(text) } else { Value::Null };
    let lifecycle = [
        ("error_code", at(failed, "undeliverable")),
        ("error_detail", at(failed, "The number is not on WhatsApp.")),
        ("sent_at", at(!inbound && !failed, CREATED)),
        ("delivered_at", at(event_type == EventType::WhatsAppDelivered, UPDATED)),
        ("failed_at", at(failed, UPDATED)),
    ];
    let mut recipient = json!({"remote_number": THEIRS, "delivery_status": status, "delivery_state": state});
    let mut message = json!({
        "id": MESSAGE, "agent_identity_id": IDENTITY, "conversation_id": CONVERSATION,
        "direction": if inbound { "inbound" } else { "outbound" },
        "local_number": OURS, "remote_number": THEIRS,
        "sender_number": if inbound { THEIRS } else { OURS },
        "participants": [THEIRS],
        "content": if inbound { "Thanks, the parcel is here." } else { "Your parcel is on its way." },
        "media": [], "status": status, "delivery_state": state, "recipients": [], "is_read": false,
        "source_at": at(inbound, CREATED), "created_at": CREATED, "updated_at": UPDATED,
        "status_observed_at": at(!inbound, UPDATED),
        "reply_to_message_id": null, "thread_id": null, "thread_root_message_id": null, "reactions": [],
    });
    for (key, value) in lifecycle {
        recipient[key] = value.clone();
        message[key] = value;
    }
    if !inbound {
        message["recipients"] = json!([recipient]);
    }
    message
}
