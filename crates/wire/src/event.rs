//! The event catalogue: every event type, the channel it belongs to and what owns it.
//!
//! The catalogue is closed. An event type is known by its name on the wire and by a small number
//! in storage; the numbers are append-only (see [`EventType::code`]). `phone.incoming_call` is in
//! the catalogue because attempts are logged under it, but nobody subscribes to it or publishes
//! it: it is a synchronous call whose answer decides the call.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

mod sample;

/// A family of event types with one shape of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    Mail,
    Text,
    IMessage,
    Call,
    A2a,
    Slack,
    WhatsApp,
}

/// What an event happens to, and what a subscription is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnerKind {
    Mailbox,
    PhoneNumber,
    Identity,
}

impl OwnerKind {
    pub const ALL: [Self; 3] = [Self::Mailbox, Self::PhoneNumber, Self::Identity];

    /// The field that selects an owner of this kind in the API.
    pub const fn field_name(self) -> &'static str {
        match self {
            Self::Mailbox => "mailbox_id",
            Self::PhoneNumber => "phone_number_id",
            Self::Identity => "agent_identity_id",
        }
    }
}

macro_rules! catalogue {
    ($($variant:ident = $code:literal, $name:literal, $channel:ident, $description:literal;)*) => {
        /// One entry of the catalogue.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventType {
            $(#[doc = concat!("`", $name, "`: ", $description)] $variant,)*
        }

        impl EventType {
            /// The whole catalogue, in catalogue order; `phone.incoming_call` is the last.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The event type of a wire name, which must match exactly.
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            /// The number that stands for this type in storage. Append-only: a number is never
            /// changed, and never used again after its type has gone.
            pub const fn code(self) -> u16 {
                match self { $(Self::$variant => $code,)* }
            }

            /// The event type of a stored number.
            pub const fn from_code(code: u16) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// The channel, which decides the shape of the data.
            pub const fn channel(self) -> Channel {
                match self { $(Self::$variant => Channel::$channel,)* }
            }

            /// When the event happens, one sentence for people.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $description,)* }
            }
        }
    };
}

catalogue! {
    MessageReceived = 1, "message.received", Mail, "A mail arrived in the mailbox.";
    MessageSent = 2, "message.sent", Mail, "A mail was handed over for sending.";
    MessageForwarded = 3, "message.forwarded", Mail, "A mail was forwarded; no message.sent follows.";
    MessageDelivered = 4, "message.delivered", Mail, "The recipient's server took a mail.";
    MessageBounced = 5, "message.bounced", Mail, "A mail came back, or its recipient complained about it.";
    MessageFailed = 6, "message.failed", Mail, "A mail could not be sent and will not be tried again.";

    TextReceived = 11, "text.received", Text, "A text message arrived at the number.";
    TextSent = 12, "text.sent", Text, "The carrier took a text message.";
    TextDelivered = 13, "text.delivered", Text, "The carrier reports a text message as delivered.";
    TextDeliveryFailed = 14, "text.delivery_failed", Text, "The carrier could not deliver a text message.";
    TextDeliveryUnconfirmed = 15, "text.delivery_unconfirmed", Text, "The carrier will not say whether a text message was delivered.";

    IMessageReceived = 21, "imessage.received", IMessage, "An iMessage arrived.";
    IMessageReactionReceived = 22, "imessage.reaction_received", IMessage, "Someone reacted to an iMessage.";
    IMessageSent = 23, "imessage.sent", IMessage, "An iMessage was sent.";
    IMessageDelivered = 24, "imessage.delivered", IMessage, "An iMessage was delivered.";
    IMessageDeliveryFailed = 25, "imessage.delivery_failed", IMessage, "An iMessage could not be delivered.";

    CallEnded = 31, "call.ended", Call, "A phone call ended.";

    A2aTaskCreated = 41, "a2a.task.created", A2a, "Another agent opened a task.";
    A2aTaskMessage = 42, "a2a.task.message", A2a, "Another agent added a message to a task.";
    A2aTaskCanceled = 43, "a2a.task.canceled", A2a, "Another agent cancelled a task.";
    A2aSentTaskUpdated = 44, "a2a.sent_task.updated", A2a, "A task that was sent to another agent changed.";

    SlackDmReceived = 51, "slack.dm_received", Slack, "A direct message arrived in Slack.";
    SlackGroupDmReceived = 52, "slack.group_dm_received", Slack, "A message arrived in a Slack group conversation.";
    SlackChannelMessageReceived = 53, "slack.channel_message_received", Slack, "A message was posted in a Slack channel.";
    SlackMentionReceived = 54, "slack.mention_received", Slack, "A Slack message mentions the agent.";
    SlackThreadReplyReceived = 55, "slack.thread_reply_received", Slack, "A reply was posted in a Slack thread.";
    SlackMessageUpdated = 56, "slack.message_updated", Slack, "A Slack message was edited.";
    SlackMessageDeleted = 57, "slack.message_deleted", Slack, "A Slack message was deleted.";
    SlackReactionAdded = 58, "slack.reaction_added", Slack, "A reaction was added to a Slack message.";
    SlackReactionRemoved = 59, "slack.reaction_removed", Slack, "A reaction was taken off a Slack message.";
    SlackMemberJoined = 60, "slack.member_joined", Slack, "Someone joined a Slack channel.";
    SlackMemberLeft = 61, "slack.member_left", Slack, "Someone left a Slack channel.";
    SlackChannelUpdated = 62, "slack.channel_updated", Slack, "A Slack channel was renamed or changed.";
    SlackFileShared = 63, "slack.file_shared", Slack, "A file was shared in Slack.";
    SlackFileChanged = 64, "slack.file_changed", Slack, "A file in Slack was changed.";
    SlackFileDeleted = 65, "slack.file_deleted", Slack, "A file in Slack was deleted.";
    SlackPinAdded = 66, "slack.pin_added", Slack, "A Slack message was pinned.";
    SlackPinRemoved = 67, "slack.pin_removed", Slack, "A pin was taken off a Slack message.";
    SlackConnectionChanged = 68, "slack.connection_changed", Slack, "The connection to a Slack workspace changed.";
    SlackMessageSent = 69, "slack.message_sent", Slack, "A Slack message was sent.";
    SlackMessageSendFailed = 70, "slack.message_send_failed", Slack, "A Slack message could not be sent.";
    SlackMessageSendUnknown = 71, "slack.message_send_unknown", Slack, "It is not known whether a Slack message was sent.";
    SlackInteraction = 72, "slack.interaction", Slack, "Someone used a control of a Slack message.";
    SlackSessionStopped = 73, "slack.session_stopped", Slack, "Someone stopped the agent's Slack session.";

    WhatsAppReceived = 81, "whatsapp.received", WhatsApp, "A WhatsApp message arrived.";
    WhatsAppSent = 82, "whatsapp.sent", WhatsApp, "A WhatsApp message was sent.";
    WhatsAppDelivered = 83, "whatsapp.delivered", WhatsApp, "A WhatsApp message was delivered.";
    WhatsAppDeliveryFailed = 84, "whatsapp.delivery_failed", WhatsApp, "A WhatsApp message could not be delivered.";
    WhatsAppDeliveryUnconfirmed = 85, "whatsapp.delivery_unconfirmed", WhatsApp, "Delivery of a WhatsApp message was not confirmed.";
    WhatsAppReactionReceived = 86, "whatsapp.reaction_received", WhatsApp, "Someone reacted to a WhatsApp message.";

    PhoneIncomingCall = 32, "phone.incoming_call", Call, "A call is coming in; the answer decides what becomes of it.";
}

impl EventType {
    /// What a subscription may name: everything but `phone.incoming_call`.
    pub const SUBSCRIBABLE: &'static [Self] = match Self::ALL.split_last() {
        Some((_, rest)) => rest,
        None => &[],
    };

    /// Whether an event of this type can be published for an owner of this kind: mail for a
    /// mailbox; texts and `call.ended` for a number; all but `phone.incoming_call` for an identity.
    pub const fn fits(self, owner: OwnerKind) -> bool {
        match (owner, self) {
            (_, Self::PhoneIncomingCall) => false,
            (OwnerKind::Identity, _) | (OwnerKind::PhoneNumber, Self::CallEnded) => true,
            (OwnerKind::Mailbox, _) => matches!(self.channel(), Channel::Mail),
            (OwnerKind::PhoneNumber, _) => matches!(self.channel(), Channel::Text),
        }
    }

    /// Whether a subscription of an owner of this kind may name this type: mail for a mailbox,
    /// texts for a number, all but `phone.incoming_call` for an identity.
    pub const fn subscribable_on(self, owner: OwnerKind) -> bool {
        match owner {
            OwnerKind::PhoneNumber => matches!(self.channel(), Channel::Text),
            OwnerKind::Mailbox | OwnerKind::Identity => self.fits(owner),
        }
    }

    /// A made-up `data` object of this type, complete, with fictional names, addresses and
    /// numbers. For `phone.incoming_call` it is the whole (flat) body.
    pub fn sample(self) -> serde_json::Value {
        sample::data(self)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is not in the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an event type of the catalogue")]
pub struct UnknownEventType;

impl FromStr for EventType {
    type Err = UnknownEventType;

    fn from_str(name: &str) -> Result<Self, UnknownEventType> {
        Self::parse(name).ok_or(UnknownEventType)
    }
}

impl Serialize for EventType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EventType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = EventType;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event type of the catalogue")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<EventType, E> {
                EventType::parse(name)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(name), &self))
            }
        }
        deserializer.deserialize_str(Name)
    }
}

#[cfg(test)]
mod tests;
