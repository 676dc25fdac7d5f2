//! The shapes of every channel's data. Source: the contract's sections 5.2 to 5.7. Mail and text
//! are complete (a test holds them against [`crate::payload`]); of the other channels the listed
//! keys, their types and the closed lists.

use super::shape::Kind::{
    Any, Bool, Count, Integer, List, Map, Null, Object, OneOf, Text, Time, Uuid,
};
use super::shape::{Field, Fill, Kind, filled, nullable, optional, required};
use crate::event::{Channel, EventType};
use crate::payload::mail::{BodyState, Bucket, MailStatus};
use crate::payload::text::{TextDeliveryStatus, TextOrigin, TextType};
use crate::payload::{Direction, SenderAccess};

/// The shape of an event type's `data`.
pub(super) const fn of(event_type: EventType) -> &'static [Field] {
    match (event_type.channel(), event_type) {
        (_, EventType::IMessageReactionReceived) => IMESSAGE_REACTION_DATA,
        (_, EventType::WhatsAppReactionReceived) => WHATSAPP_REACTION_DATA,
        (_, EventType::A2aTaskCreated | EventType::A2aTaskMessage) => A2A_MESSAGE_DATA,
        (Channel::Mail, _) => MAIL_DATA,
        (Channel::Text, _) => TEXT_DATA,
        (Channel::IMessage, _) => IMESSAGE_DATA,
        (Channel::Call, _) => CALL_DATA,
        (Channel::A2a, _) => A2A_DATA,
        (Channel::Slack, _) => SLACK_DATA,
        (Channel::WhatsApp, _) => WHATSAPP_DATA,
    }
}

const DIRECTION: Kind = OneOf(Direction::WORDS);
const SENDER_ACCESS: Field = optional("sender_access", OneOf(SenderAccess::WORDS));
const ID: Field = filled("id", Uuid, Fill::FreshId);
const CREATED_AT: Field = filled("created_at", Time, Fill::Now);
const UPDATED_AT: Field = filled("updated_at", Time, Fill::Now);
const IS_READ: Field = filled("is_read", Bool, Fill::False);
const MEMORIES: Field = optional("memories", List(&Text));
const CONTEXT: Field = optional("context", Map);

const CONTACTS: Field = filled("contacts", List(&Object(CONTACT)), Fill::EmptyList);
const CONTACT: &[Field] = &[required("id", Uuid), nullable("name", Text), MEMORIES];

const AGENT_IDENTITIES: Field = filled(
    "agent_identities",
    List(&Object(AGENT_IDENTITY)),
    Fill::AgentIdentities,
);
const AGENT_IDENTITY: &[Field] = &[
    required("id", Uuid),
    required("agent_handle", Text),
    nullable("display_name", Text),
];

pub(super) const MAIL_DATA: &[Field] = &[
    required("message", Object(MAIL_MESSAGE)),
    filled("contacts", List(&Object(MAIL_CONTACT)), Fill::EmptyList),
    filled(
        "agent_identities",
        List(&Object(MAIL_AGENT_IDENTITY)),
        Fill::AgentIdentities,
    ),
    CONTEXT,
];

const MAIL_CONTACT: &[Field] = &[
    required("bucket", OneOf(Bucket::WORDS)),
    required("address", Text),
    required("id", Uuid),
    nullable("name", Text),
    MEMORIES,
];

const MAIL_AGENT_IDENTITY: &[Field] = &[
    required("bucket", OneOf(Bucket::WORDS)),
    required("address", Text),
    required("id", Uuid),
    required("agent_handle", Text),
    nullable("display_name", Text),
];

const MAIL_MESSAGE: &[Field] = &[
    ID,
    filled("mailbox_id", Uuid, Fill::MailboxId),
    nullable("thread_id", Uuid),
    nullable("message_id", Text),
    required("from_address", Text),
    required("to_addresses", List(&Text)),
    nullable("cc_addresses", List(&Text)),
    nullable("bcc_addresses", List(&Text)),
    nullable("subject", Text),
    nullable("snippet", Text),
    filled("email_address", Text, Fill::EmailAddress),
    nullable("body", Text),
    filled("body_state", OneOf(BodyState::WORDS), Fill::BodyState).or_null(),
    filled("body_truncated", Bool, Fill::BodyTruncated).or_null(),
    filled("body_total_chars", Count, Fill::BodyTotalChars).or_null(),
    filled("body_included_chars", Count, Fill::BodyIncludedChars).or_null(),
    required("direction", DIRECTION),
    required("status", OneOf(MailStatus::WORDS)),
    required("has_attachments", Bool),
    CREATED_AT.or_null(),
    SENDER_ACCESS,
];

pub(super) const TEXT_DATA: &[Field] = &[
    required("text_message", Object(TEXT_MESSAGE)),
    CONTACTS,
    AGENT_IDENTITIES,
    nullable("recipient_phone_number", Text),
    CONTEXT,
];

const TEXT_MESSAGE: &[Field] = &[
    ID,
    required("direction", DIRECTION),
    filled("local_phone_number", Text, Fill::LocalNumber),
    nullable("remote_phone_number", Text),
    nullable("text", Text),
    required("type", OneOf(TextType::WORDS)),
    nullable("media", List(&Object(TEXT_MEDIA))),
    IS_READ,
    nullable("delivery_status", OneOf(TextDeliveryStatus::WORDS)),
    filled("origin", OneOf(TextOrigin::WORDS), Fill::UserInitiated),
    nullable("error_code", Text),
    nullable("error_detail", Text),
    nullable("sent_at", Time),
    nullable("delivered_at", Time),
    nullable("failed_at", Time),
    filled("conversation_id", Uuid, Fill::Conversation).or_null(),
    nullable("sender_phone_number", Text),
    nullable("recipients", List(&Object(TEXT_RECIPIENT))),
    CREATED_AT,
    UPDATED_AT,
    SENDER_ACCESS,
];

const TEXT_MEDIA: &[Field] = &[
    required("content_type", Text),
    required("size", Count),
    required("url", Text),
];

const TEXT_RECIPIENT: &[Field] = &[
    required("recipient_phone_number", Text),
    nullable("delivery_status", OneOf(TextDeliveryStatus::WORDS)),
    nullable("carrier", Text),
    nullable("line_type", Text),
    nullable("error_code", Text),
    nullable("error_detail", Text),
    nullable("sent_at", Time),
    nullable("delivered_at", Time),
    nullable("failed_at", Time),
];

const IMESSAGE_DATA: &[Field] = &[
    required("message", Object(IMESSAGE)),
    nullable("reaction", Null),
    CONTACTS,
    AGENT_IDENTITIES,
    CONTEXT,
];

const IMESSAGE_REACTION_DATA: &[Field] = &[
    nullable("message", Null),
    required("reaction", Object(IMESSAGE_REACTION)),
    CONTACTS,
    AGENT_IDENTITIES,
    CONTEXT,
];

const IMESSAGE: &[Field] = &[
    ID,
    required("conversation_id", Uuid),
    nullable("assignment_id", Uuid),
    required("direction", DIRECTION),
    nullable("remote_number", Text),
    optional("sender_number", Text).or_null(),
    optional("participants", List(&Text)).or_null(),
    optional("is_group", Bool),
    optional("reply_to_message_id", Uuid).or_null(),
    optional("thread_id", Uuid).or_null(),
    optional("thread_root_message_id", Uuid).or_null(),
    nullable("content", Text),
    required("message_type", OneOf(&["message", "carousel"])),
    required("service", OneOf(&["imessage", "sms", "rcs"])),
    nullable("send_style", Text),
    nullable("media", List(&Map)),
    nullable("was_downgraded", Bool),
    nullable("status", OneOf(IMESSAGE_STATUS)),
    nullable("error_code", Text),
    nullable("error_message", Text),
    nullable("error_reason", Text),
    nullable("error_detail", Text),
    IS_READ,
    nullable("recipients", List(&Map)),
    nullable("reactions", List(&Map)),
    CREATED_AT,
    UPDATED_AT,
    SENDER_ACCESS,
];

const IMESSAGE_STATUS: &[&str] = &[
    "registered",
    "pending",
    "queued",
    "accepted",
    "sent",
    "delivered",
    "declined",
    "error",
    "received",
];

const REACTION: Kind = OneOf(&[
    "love",
    "like",
    "dislike",
    "laugh",
    "emphasize",
    "question",
    "eyes",
    "custom",
]);

const IMESSAGE_REACTION: &[Field] = &[
    ID,
    required("conversation_id", Uuid),
    nullable("assignment_id", Uuid),
    required("target_message_id", Uuid),
    required("direction", DIRECTION),
    required("reaction", REACTION),
    nullable("custom_emoji", Text),
    required("remote_number", Text),
    required("part_index", Integer),
    CREATED_AT,
    UPDATED_AT,
];

const CALL_DATA: &[Field] = &[
    required("call", Object(CALL)),
    CONTACTS,
    AGENT_IDENTITIES,
    nullable("transcript", Object(TRANSCRIPT)),
    required("transcript_url", Text),
    optional(
        "outcome",
        OneOf(&["completed", "no_answer", "declined", "failed"]),
    )
    .or_null(),
    optional("post_call_action_items", List(&Map)),
];

/// The origin of a call that came over the identity's own number.
pub(super) const DEDICATED_NUMBER: &str = "dedicated_number";

const CALL: &[Field] = &[
    ID,
    required(
        "origin",
        OneOf(&[
            DEDICATED_NUMBER,
            "shared_imessage_number",
            "dedicated_imessage_number",
        ]),
    ),
    filled("local_phone_number", Text, Fill::CallNumber).or_null(),
    required("remote_phone_number", Text),
    required("direction", DIRECTION),
    required(
        "status",
        OneOf(&[
            "initiated",
            "ringing",
            "answered",
            "completed",
            "failed",
            "canceled",
        ]),
    ),
    nullable(
        "hangup_reason",
        OneOf(&["local", "remote", "max_duration", "voicemail", "rejected"]),
    ),
    nullable("started_at", Time),
    nullable("ended_at", Time),
    CREATED_AT,
    UPDATED_AT,
    nullable("duration_seconds", Integer),
    optional("mode", OneOf(&["client_websocket", "hosted_agent"])),
    optional("reason", Text).or_null(),
    optional("forwardings", List(&Map)),
    optional("connections", List(&Map)).or_null(),
];

const TRANSCRIPT: &[Field] = &[
    required("entries", List(&Map)),
    required("abridged", Bool),
    required("url", Text),
];

const A2A_PARTY: &[Field] = &[
    required("identity_id", Text),
    required("organization_id", Text),
    nullable("handle", Text),
    optional("affiliation", Any),
];

const TASK_ID: Field = required("task_id", Text);
const CONTEXT_ID: Field = required("context_id", Text);
const STATE: Field = required("state", Text);
const CALLER: Field = required("caller", Object(A2A_PARTY));
const SENDER: Field = optional("sender", Object(A2A_PARTY));

/// A new task or message says what it says.
const A2A_MESSAGE_DATA: &[Field] = &[
    TASK_ID,
    CONTEXT_ID,
    STATE,
    CALLER,
    SENDER,
    required("message_id", Text),
    required("parts", List(&Any)),
];

/// A cancel or an update may come without a message.
const A2A_DATA: &[Field] = &[
    TASK_ID,
    CONTEXT_ID,
    STATE,
    CALLER,
    SENDER,
    optional("message_id", Text),
    optional("parts", List(&Any)),
];

const SLACK_DATA: &[Field] = &[
    filled("identity_id", Uuid, Fill::IdentityId),
    required("connection_id", Text),
    required("workspace_id", Text),
    optional("conversation_id", Text).or_null(),
    optional("message_ts", Text).or_null(),
    optional("thread_ts", Text).or_null(),
    optional("actor_id", Text).or_null(),
    optional("actor_profile", Map).or_null(),
    optional("contact_id", Uuid).or_null(),
    required("message_kinds", List(&SLACK_MESSAGE_KIND)),
    required("event", Map),
    SENDER_ACCESS,
];

const SLACK_MESSAGE_KIND: Kind = OneOf(&["dm", "group_dm", "mention", "channel", "thread"]);

const WHATSAPP_DATA: &[Field] = &[
    required("message", Object(WHATSAPP)),
    optional("reaction", Null).or_null(),
    CONTACTS,
    AGENT_IDENTITIES,
    CONTEXT,
];

const WHATSAPP_REACTION_DATA: &[Field] = &[
    optional("message", Null).or_null(),
    required("reaction", Object(WHATSAPP_REACTION)),
    CONTACTS,
    AGENT_IDENTITIES,
    CONTEXT,
];

const AGENT_IDENTITY_ID: Field = filled("agent_identity_id", Uuid, Fill::IdentityId);

const WHATSAPP: &[Field] = &[
    ID,
    AGENT_IDENTITY_ID,
    required("conversation_id", Uuid),
    required("direction", DIRECTION),
    required("local_number", Text),
    required("remote_number", Text),
    required("sender_number", Text),
    required("participants", List(&Text)),
    nullable("content", Text),
    filled("media", List(&Map), Fill::EmptyList),
    required(
        "status",
        OneOf(&[
            "received",
            "queued",
            "sending",
            "sent",
            "delivered",
            "failed",
            "uncertain",
            "cancelled",
        ]),
    ),
    nullable(
        "delivery_state",
        OneOf(&["pending", "delivered", "unknown"]),
    ),
    filled("recipients", List(&Map), Fill::EmptyList),
    IS_READ,
    nullable("error_code", Text),
    nullable("error_detail", Text),
    nullable("source_at", Time),
    CREATED_AT,
    UPDATED_AT,
    nullable("sent_at", Time),
    nullable("delivered_at", Time),
    nullable("failed_at", Time),
    nullable("status_observed_at", Time),
    nullable("reply_to_message_id", Uuid),
    nullable("thread_id", Uuid),
    nullable("thread_root_message_id", Uuid),
    filled("reactions", List(&Map), Fill::EmptyList),
];

const WHATSAPP_REACTION: &[Field] = &[
    ID,
    AGENT_IDENTITY_ID,
    required("conversation_id", Uuid),
    required("target_message_id", Uuid),
    required("direction", DIRECTION),
    nullable("remote_number", Text),
    required("reaction", REACTION),
    nullable("custom_emoji", Text),
    required("emoji", Text),
    required("status", Text),
    required("revision", Count),
    CREATED_AT,
    UPDATED_AT,
    nullable("removed_at", Time),
];
