//! Sample data, one object for each event type. Names, addresses, numbers and sentences are made
//! up: example domains, and numbers from the range that is kept for fiction (555-01xx).

use serde_json::{Value, json};

use super::{Channel, EventType};

mod call;
mod slack;
mod whatsapp;

const IDENTITY: &str = "5b0c1d7e-8f1a-4b6c-9d2e-3f4a5b6c7d01";
const CREATED: &str = "2026-03-14T15:09:26.535Z";
const UPDATED: &str = "2026-03-14T15:09:31.250Z";

pub(super) fn data(event_type: EventType) -> Value {
    match event_type.channel() {
        Channel::Mail => mail(event_type),
        Channel::Text => text(event_type),
        Channel::IMessage => imessage(event_type),
        Channel::Call => match event_type {
            EventType::PhoneIncomingCall => call::incoming(),
            _ => call::ended(),
        },
        Channel::A2a => a2a(event_type),
        Channel::Slack => slack::data(event_type),
        Channel::WhatsApp => whatsapp::data(event_type),
    }
}

fn mail(event_type: EventType) -> Value {
    let inbound = event_type == EventType::MessageReceived;
    let status = match event_type {
        EventType::MessageReceived => "received",
        EventType::MessageDelivered => "delivered",
        EventType::MessageBounced => "bounced",
        EventType::MessageFailed => "failed",
        _ => "sent",
    };
    let (ours, theirs) = ("reception@mail.example.com", "noor@example.org");
    let (from, to) = if inbound { (theirs, ours) } else { (ours, theirs) };
    let body = "Is the workshop on Friday still on? I would bring two colleagues.";
    json!({
        "message": {
            "id": "0e7f3a52-6c1d-4f80-8a2b-9d4c5e6f7a01",
            "mailbox_id": "7a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c01",
            "thread_id": "c3d2e1f0-a9b8-4c7d-8e6f-5a4b3c2d1e01",
            "message_id": "<workshop-1@example.org>",
            "from_address": from,
            "to_addresses": [to],
            "cc_addresses": null,
            "bcc_addresses": null,
            "subject": "Friday's workshop",
            "snippet": "Is the workshop on Friday still on?",
            "email_address": ours,
            "body": if inbound { json!(body) } else { Value::Null },
            "body_state": if inbound { json!("complete") } else { Value::Null },
            "body_truncated": if inbound { json!(false) } else { Value::Null },
            "body_total_chars": if inbound { json!(body.chars().count()) } else { Value::Null },
            "body_included_chars": if inbound { json!(body.chars().count()) } else { Value::Null },
            "direction": if inbound { "inbound" } else { "outbound" },
            "status": status,
            "has_attachments": false,
            "created_at": CREATED,
        },
        "contacts": [{
            "bucket": if inbound { "from" } else { "to" },
            "address": theirs,
            "id": "d4e5f6a7-b8c9-4d0e-8f1a-2b3c4d5e6f01",
            "name": "Noor",
            "memories": ["Brings colleagues to workshops."],
        }],
        "agent_identities": [],
    })
}

fn text(event_type: EventType) -> Value {
    let inbound = event_type == EventType::TextReceived;
    let (ours, theirs) = ("+12025550143", "+12025550178");
    let status = match event_type {
        EventType::TextReceived => Value::Null,
        EventType::TextDelivered => json!("delivered"),
        EventType::TextDeliveryFailed => json!("delivery_failed"),
        EventType::TextDeliveryUnconfirmed => json!("delivery_unconfirmed"),
        _ => json!("sent"),
    };
    let at = |when: bool, time: &str| if when { json!(time) } else { Value::Null };
    let failed = event_type == EventType::TextDeliveryFailed;
    let lifecycle = json!({
        "error_code": at(failed, "30003"),
        "error_detail": at(failed, "the handset cannot be reached"),
        "sent_at": at(!inbound, CREATED),
        "delivered_at": at(event_type == EventType::TextDelivered, UPDATED),
        "failed_at": at(failed, UPDATED),
    });
    let mut recipient = json!({
        "recipient_phone_number": theirs, "delivery_status": status,
        "carrier": null, "line_type": null,
    });
    let mut message = json!({
        "id": "1f2e3d4c-5b6a-4798-8a9b-0c1d2e3f4a01",
        "direction": if inbound { "inbound" } else { "outbound" },
        "local_phone_number": ours,
        "remote_phone_number": theirs,
        "text": if inbound { "Do I need to bring a laptop?" } else { "No, we have enough of them." },
        "type": "sms",
        "media": null,
        "is_read": false,
        "delivery_status": status,
        "origin": "user_initiated",
        "conversation_id": "2a3b4c5d-6e7f-4801-9a2b-3c4d5e6f7a01",
        "sender_phone_number": if inbound { json!(theirs) } else { Value::Null },
        "recipients": null,
        "created_at": CREATED,
        "updated_at": UPDATED,
    });
    merge(&mut recipient, &lifecycle);
    merge(&mut message, &lifecycle);
    if !inbound {
        message["recipients"] = json!([recipient]);
    }
    json!({
        "text_message": message,
        "contacts": contacts("Sam"),
        "agent_identities": [],
        "recipient_phone_number": null,
    })
}

fn merge(into: &mut Value, from: &Value) {
    if let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) {
        into.extend(from.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
}

fn imessage(event_type: EventType) -> Value {
    let conversation = "3b4c5d6e-7f80-4912-8a3b-4c5d6e7f8a01";
    let remote = "+12025550126";
    if event_type == EventType::IMessageReactionReceived {
        return json!({
            "message": null,
            "reaction": {
                "id": "4c5d6e7f-8091-4a23-9b4c-5d6e7f8a9b01", "conversation_id": conversation,
                "assignment_id": null, "target_message_id": "5d6e7f80-91a2-4b34-8c5d-6e7f8a9b0c01",
                "direction": "inbound", "reaction": "love", "custom_emoji": null,
                "remote_number": remote, "part_index": 0,
                "created_at": CREATED, "updated_at": CREATED,
            },
            "contacts": contacts("Kim"),
            "agent_identities": [],
        });
    }
    let inbound = event_type == EventType::IMessageReceived;
    let failed = event_type == EventType::IMessageDeliveryFailed;
    let status = match event_type {
        EventType::IMessageReceived => "received",
        EventType::IMessageDelivered => "delivered",
        EventType::IMessageDeliveryFailed => "error",
        _ => "sent",
    };
    json!({
        "message": {
            "id": "5d6e7f80-91a2-4b34-8c5d-6e7f8a9b0c01", "conversation_id": conversation,
            "assignment_id": "6e7f8091-a2b3-4c45-9d6e-7f8a9b0c1d01",
            "direction": if inbound { "inbound" } else { "outbound" },
            "remote_number": remote,
            "sender_number": if inbound { json!(remote) } else { Value::Null },
            "participants": null, "is_group": false, "reply_to_message_id": null,
            "thread_id": null, "thread_root_message_id": null,
            "content": "See you at the north entrance.",
            "message_type": "message", "service": "imessage", "send_style": null,
            "media": null, "was_downgraded": null, "status": status,
            "error_code": if failed { json!("unreachable") } else { Value::Null },
            "error_message": if failed { json!("The number does not take iMessages.") } else { Value::Null },
            "error_reason": null, "error_detail": null,
            "is_read": false, "recipients": null, "reactions": null,
            "created_at": CREATED, "updated_at": UPDATED,
        },
        "reaction": null,
        "contacts": contacts("Kim"),
        "agent_identities": [],
    })
}

/// Who is at the other end, and what is remembered of them.
fn contacts(name: &str) -> Value {
    json!([{
        "id": "d4e5f6a7-b8c9-4d0e-8f1a-2b3c4d5e6f01",
        "name": name,
        "memories": ["Comes by train."],
    }])
}

fn a2a(event_type: EventType) -> Value {
    let state = match event_type {
        EventType::A2aTaskCreated => "submitted",
        EventType::A2aTaskMessage => "working",
        EventType::A2aTaskCanceled => "canceled",
        _ => "completed",
    };
    let planner = json!({
        "identity_id": "c4d5e6f7-0819-42ab-93c4-3f4a5b6c7d01",
        "organization_id": "org_partner",
        "handle": "planner",
    });
    let mut data = json!({
        "task_id": "a2b3c4d5-e6f7-4089-91a2-1d2e3f4a5b01",
        "context_id": "b3c4d5e6-f708-419a-82b3-2e3f4a5b6c01",
        "state": state,
        "caller": planner,
    });
    if event_type != EventType::A2aTaskCanceled {
        let text = match event_type {
            EventType::A2aTaskCreated => "Please reserve a room for twelve.",
            EventType::A2aTaskMessage => "With a projector, if there is one.",
            _ => "Room 3.14 is reserved.",
        };
        data["sender"] = planner;
        data["message_id"] = json!("d5e6f708-192a-43bc-84d5-4a5b6c7d8e01");
        data["parts"] = json!([{"text": text}]);
    }
    data
}
