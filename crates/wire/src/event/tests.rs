use std::collections::HashSet;

use super::*;

/// The stored numbers. A line may be added here; none may change.
const CODES: &[(u16, &str)] = &[
    (1, "message.received"),
    (2, "message.sent"),
    (3, "message.forwarded"),
    (4, "message.delivered"),
    (5, "message.bounced"),
    (6, "message.failed"),
    (11, "text.received"),
    (12, "text.sent"),
    (13, "text.delivered"),
    (14, "text.delivery_failed"),
    (15, "text.delivery_unconfirmed"),
    (21, "imessage.received"),
    (22, "imessage.reaction_received"),
    (23, "imessage.sent"),
    (24, "imessage.delivered"),
    (25, "imessage.delivery_failed"),
    (31, "call.ended"),
    (41, "a2a.task.created"),
    (42, "a2a.task.message"),
    (43, "a2a.task.canceled"),
    (44, "a2a.sent_task.updated"),
    (51, "slack.dm_received"),
    (52, "slack.group_dm_received"),
    (53, "slack.channel_message_received"),
    (54, "slack.mention_received"),
    (55, "slack.thread_reply_received"),
    (56, "slack.message_updated"),
    (57, "slack.message_deleted"),
    (58, "slack.reaction_added"),
    (59, "slack.reaction_removed"),
    (60, "slack.member_joined"),
    (61, "slack.member_left"),
    (62, "slack.channel_updated"),
    (63, "slack.file_shared"),
    (64, "slack.file_changed"),
    (65, "slack.file_deleted"),
    (66, "slack.pin_added"),
    (67, "slack.pin_removed"),
    (68, "slack.connection_changed"),
    (69, "slack.message_sent"),
    (70, "slack.message_send_failed"),
    (71, "slack.message_send_unknown"),
    (72, "slack.interaction"),
    (73, "slack.session_stopped"),
    (81, "whatsapp.received"),
    (82, "whatsapp.sent"),
    (83, "whatsapp.delivered"),
    (84, "whatsapp.delivery_failed"),
    (85, "whatsapp.delivery_unconfirmed"),
    (86, "whatsapp.reaction_received"),
    (32, "phone.incoming_call"),
];

#[test]
fn codes_and_names_are_pinned() {
    let found: Vec<_> = EventType::ALL.iter().map(|t| (t.code(), t.as_str())).collect();
    assert_eq!(found, CODES);
    for code in 0..=u16::MAX {
        let known = CODES.iter().find(|(c, _)| *c == code);
        let name = EventType::from_code(code).map(EventType::as_str);
        assert_eq!(name, known.map(|(_, name)| *name));
    }
    let distinct: HashSet<_> = CODES.iter().map(|(code, _)| code).collect();
    assert_eq!(distinct.len(), CODES.len());
}

#[test]
fn names_parse_exactly() {
    for event_type in EventType::ALL {
        let name = event_type.as_str();
        assert_eq!(EventType::parse(name), Some(*event_type));
        assert_eq!(name.parse(), Ok(*event_type));
        assert_eq!(event_type.to_string(), name);
        let json = serde_json::to_string(event_type).unwrap();
        assert_eq!(json, format!("{name:?}"));
        assert_eq!(serde_json::from_str::<EventType>(&json).unwrap(), *event_type);
        assert!(event_type.description().ends_with('.'));
    }
    for name in ["", "message", "message.receive", "Message.received", "message.received "] {
        assert_eq!(EventType::parse(name), None);
        assert_eq!(name.parse::<EventType>(), Err(UnknownEventType));
    }
    let error = serde_json::from_str::<EventType>("\"a.b\"").unwrap_err();
    assert!(error.to_string().contains("a.b"), "{error}");
}

#[test]
fn the_incoming_call_is_neither_subscribed_to_nor_published() {
    assert_eq!(EventType::SUBSCRIBABLE.len() + 1, EventType::ALL.len());
    assert!(!EventType::SUBSCRIBABLE.contains(&EventType::PhoneIncomingCall));
    for owner in OwnerKind::ALL {
        assert!(!EventType::PhoneIncomingCall.fits(owner));
        assert!(!EventType::PhoneIncomingCall.subscribable_on(owner));
    }
}

#[test]
fn each_owner_takes_its_channels() {
    for event_type in EventType::SUBSCRIBABLE {
        let name = event_type.as_str();
        let (mail, text) = (name.starts_with("message."), name.starts_with("text."));
        assert_eq!(event_type.fits(OwnerKind::Mailbox), mail);
        assert_eq!(event_type.subscribable_on(OwnerKind::Mailbox), mail);
        assert_eq!(event_type.fits(OwnerKind::PhoneNumber), text || name == "call.ended");
        assert_eq!(event_type.subscribable_on(OwnerKind::PhoneNumber), text);
        assert!(event_type.fits(OwnerKind::Identity));
        assert!(event_type.subscribable_on(OwnerKind::Identity));
    }
}

#[test]
fn channels_follow_the_names() {
    for event_type in EventType::ALL {
        let prefix = event_type.as_str().split('.').next().unwrap();
        let channel = match prefix {
            "message" => Channel::Mail,
            "text" => Channel::Text,
            "imessage" => Channel::IMessage,
            "call" | "phone" => Channel::Call,
            "a2a" => Channel::A2a,
            "slack" => Channel::Slack,
            "whatsapp" => Channel::WhatsApp,
            other => panic!("{other}"),
        };
        assert_eq!(event_type.channel(), channel);
    }
}

#[test]
fn owner_fields_have_the_wire_names() {
    let names = OwnerKind::ALL.map(OwnerKind::field_name);
    assert_eq!(names, ["mailbox_id", "phone_number_id", "agent_identity_id"]);
}

#[test]
fn samples_show_what_their_type_is_about() {
    for event_type in EventType::ALL {
        let (name, sample) = (event_type.as_str(), event_type.sample());
        let message = sample.get("message").or_else(|| sample.get("text_message"));
        let Some(message) = message.filter(|message| message.is_object()) else { continue };
        let inbound = name.ends_with(".received");
        let direction = if inbound { "inbound" } else { "outbound" };
        assert_eq!(message["direction"], direction, "{name}");
        let status = message.get("status").or_else(|| message.get("delivery_status")).unwrap();
        let expected = match name.split_once('.').unwrap() {
            ("text", "received") => None,
            ("message", "forwarded") => Some("sent"),
            ("imessage", "delivery_failed") => Some("error"),
            ("whatsapp", "delivery_failed") => Some("failed"),
            ("whatsapp", "delivery_unconfirmed") => Some("uncertain"),
            (_, what) => Some(what),
        };
        assert_eq!(status.as_str(), expected, "{name}");
    }
}

#[test]
fn samples_of_slack_differ_where_it_matters() {
    let slack = EventType::ALL.iter().filter(|event_type| event_type.channel() == Channel::Slack);
    for event_type in slack {
        let sample = event_type.sample();
        let of_message = event_type.as_str().ends_with("_received");
        assert_eq!(!sample["message_kinds"].as_array().unwrap().is_empty(), of_message, "{event_type}");
        assert_eq!(sample["thread_ts"].is_string(), *event_type == EventType::SlackThreadReplyReceived);
        assert!(!sample["event"].as_object().unwrap().is_empty(), "{event_type}");
    }
}
