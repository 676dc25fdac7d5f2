//! What an event says, read from the body that was sent: who said it to whom, in which conversation, and the item that
//! a context shows of it.
//!
//! Published data has been checked against its shape; what cannot be read all the same says nothing.

use std::borrow::Cow;

use inkhook_wire::event::EventType;
use inkhook_wire::payload::Direction;
use inkhook_wire::payload::call::Transcript;
use inkhook_wire::payload::context::{
    ContextCall, ContextMail, ContextMedia, ContextText, ContextTextChannel,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::call::abridged;
use super::{Class, ContextItem, MAX_PARTIES, MAX_TEXT_BYTES, Party, cut, goes_with};

type Text<'a> = Cow<'a, str>;

/// See the module.
#[derive(Debug)]
pub struct Said<'a> {
    timestamp: Text<'a>,
    what: What<'a>,
}

#[derive(Debug)]
enum What<'a> {
    Mail(Mail<'a>),
    Text(TextMessage<'a>),
    Chat(Chat<'a>),
    Call(CallEnded<'a>),
}

/// What a context is about, and from whom it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// What it is.
    pub class: Class,
    /// The message's own id.
    pub about: Uuid,
    /// Its thread or conversation, if it is known to belong to one.
    pub conversation: Option<String>,
    /// Who sent it, if that is known.
    pub sender: Option<Party>,
}

impl Trigger {
    /// Reads the body of a received message.
    #[must_use]
    pub fn read(event_type: EventType, payload: &[u8]) -> Option<Self> {
        let said = Said::read(event_type, payload).filter(|_| goes_with(event_type))?;
        Some(Self {
            class: said.class(),
            about: said.about(),
            conversation: said.conversation(),
            sender: said.sender(),
        })
    }
}

impl<'a> Said<'a> {
    /// Reads the body of an event. `None`: it says nothing.
    #[must_use]
    pub fn read(event_type: EventType, payload: &'a [u8]) -> Option<Self> {
        fn parse<'b, D: Deserialize<'b>>(payload: &'b [u8]) -> Option<(Text<'b>, D)> {
            let Envelope { timestamp, data } = serde_json::from_slice(payload).ok()?;
            Some((timestamp, data))
        }
        let (timestamp, what) = match event_type {
            EventType::TextReceived | EventType::TextSent => {
                let (timestamp, data) = parse::<TextData<'a>>(payload)?;
                (timestamp, What::Text(data.text_message))
            }
            EventType::IMessageReceived | EventType::IMessageSent => {
                let (timestamp, data) = parse::<ChatData<'a>>(payload)?;
                (timestamp, What::Chat(data.message))
            }
            other => match Class::of_event(other)? {
                Class::Email => {
                    let (timestamp, data) = parse::<MailData<'a>>(payload)?;
                    (timestamp, What::Mail(data.message))
                }
                Class::Texts => return None,
                Class::Calls => {
                    let (timestamp, data) = parse::<CallEnded<'a>>(payload)?;
                    (timestamp, What::Call(data))
                }
            },
        };
        Some(Self { timestamp, what })
    }

    /// What it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.what {
            What::Mail(_) => Class::Email,
            What::Text(_) | What::Chat(_) => Class::Texts,
            What::Call(_) => Class::Calls,
        }
    }

    /// The id of the message or call: two events with the same one tell of the same thing.
    #[must_use]
    pub fn about(&self) -> Uuid {
        match &self.what {
            What::Mail(mail) => mail.id,
            What::Text(text) => text.id,
            What::Chat(chat) => chat.id,
            What::Call(ended) => ended.call.id,
        }
    }

    /// The thread or conversation that it belongs to. A UUID means the same in either case.
    #[must_use]
    pub fn conversation(&self) -> Option<String> {
        match &self.what {
            What::Mail(mail) => mail.thread_id.as_ref().map(|id| id.to_ascii_lowercase()),
            What::Text(text) => match (&text.conversation_id, &text.remote_phone_number) {
                (Some(id), _) => Some(id.to_ascii_lowercase()),
                (None, Some(remote)) => Some(format!("{} {remote}", text.local_phone_number)),
                (None, None) => None,
            },
            What::Chat(chat) => Some(chat.conversation_id.to_ascii_lowercase()),
            What::Call(_) => None,
        }
    }

    /// Who takes part in it besides the agent, each once; [`MAX_PARTIES`] at most.
    #[must_use]
    pub fn parties(&self) -> Vec<Party> {
        let mut parties: Vec<Party> = Vec::new();
        let mut add = |name: &str| {
            let party = Party::named(name);
            if parties.len() < MAX_PARTIES && !party.as_str().is_empty() && !parties.contains(&party) {
                parties.push(party);
            }
        };
        match &self.what {
            What::Mail(mail) => {
                let others = [&mail.cc_addresses, &mail.bcc_addresses].into_iter().flatten().flatten();
                let all =
                    std::iter::once(&*mail.from_address).chain(mail.to_addresses.iter().map(|to| &**to));
                let own = Party::named(&mail.email_address);
                all.chain(others.map(|other| &**other))
                    .filter(|name| Party::named(name) != own)
                    .for_each(add);
            }
            What::Text(text) => {
                let one = [&text.remote_phone_number, &text.sender_phone_number].into_iter().flatten();
                one.for_each(|name| add(name));
                let recipients = text.recipients.iter().flatten();
                recipients.for_each(|one| add(&one.recipient_phone_number));
            }
            What::Chat(chat) => {
                [&chat.remote_number, &chat.sender_number].into_iter().flatten().for_each(|name| add(name));
                chat.participants.iter().flatten().for_each(|name| add(name));
                chat.recipients.iter().flatten().for_each(|one| add(&one.remote_number));
            }
            What::Call(ended) => add(&ended.call.remote_phone_number),
        }
        parties
    }

    /// Who said it, when it came in.
    fn sender(&self) -> Option<Party> {
        let name = match &self.what {
            What::Mail(mail) => Some(&mail.from_address),
            What::Text(text) => text.sender_phone_number.as_ref().or(text.remote_phone_number.as_ref()),
            What::Chat(chat) => chat.sender_number.as_ref().or(chat.remote_number.as_ref()),
            What::Call(ended) => Some(&ended.call.remote_phone_number),
        };
        name.map(|name| Party::named(name)).filter(|party| !party.as_str().is_empty())
    }

    /// What a context shows of it.
    #[must_use]
    pub fn into_item(self) -> ContextItem {
        let timestamp = self.timestamp;
        match self.what {
            What::Mail(mail) => ContextItem::Mail(mail.into_item(timestamp)),
            What::Text(text) => ContextItem::Text(text.into_item()),
            What::Chat(chat) => ContextItem::Text(chat.into_item()),
            What::Call(ended) => ContextItem::Call(ended.into_item()),
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a, D> {
    #[serde(borrow)]
    timestamp: Text<'a>,
    data: D,
}

#[derive(Deserialize)]
struct MailData<'a> {
    #[serde(borrow)]
    message: Mail<'a>,
}

#[derive(Debug, Deserialize)]
struct Mail<'a> {
    id: Uuid,
    direction: Direction,
    #[serde(borrow)]
    thread_id: Option<Text<'a>>,
    #[serde(borrow)]
    from_address: Text<'a>,
    to_addresses: Vec<Text<'a>>,
    cc_addresses: Option<Vec<Text<'a>>>,
    bcc_addresses: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    subject: Option<Text<'a>>,
    #[serde(borrow)]
    snippet: Option<Text<'a>>,
    #[serde(borrow)]
    email_address: Text<'a>,
    #[serde(borrow)]
    created_at: Option<Text<'a>>,
}

impl Mail<'_> {
    fn into_item(self, timestamp: Text<'_>) -> ContextMail {
        ContextMail {
            id: self.id,
            direction: self.direction,
            from_address: self.from_address.into_owned(),
            to_addresses: self.to_addresses.into_iter().map(Cow::into_owned).collect(),
            created_at: self.created_at.unwrap_or(timestamp).into_owned(),
            subject: self.subject.map(Cow::into_owned),
            snippet: self.snippet.map(Cow::into_owned),
            email_address: Some(self.email_address.into_owned()),
        }
    }
}

#[derive(Deserialize)]
struct TextData<'a> {
    #[serde(borrow)]
    text_message: TextMessage<'a>,
}

#[derive(Debug, Deserialize)]
struct TextMessage<'a> {
    id: Uuid,
    direction: Direction,
    #[serde(borrow)]
    local_phone_number: Text<'a>,
    #[serde(borrow)]
    remote_phone_number: Option<Text<'a>>,
    #[serde(borrow)]
    sender_phone_number: Option<Text<'a>>,
    #[serde(borrow)]
    conversation_id: Option<Text<'a>>,
    recipients: Option<Vec<TextRecipient<'a>>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    media: Option<Vec<IgnoredAny>>,
    #[serde(borrow)]
    delivery_status: Option<Text<'a>>,
    #[serde(borrow)]
    created_at: Text<'a>,
}

#[derive(Debug, Deserialize)]
struct TextRecipient<'a> {
    #[serde(borrow)]
    recipient_phone_number: Text<'a>,
}

impl TextMessage<'_> {
    fn into_item(self) -> ContextText {
        let (text, text_truncated) = shown(self.text.as_deref());
        let sender = self.sender_phone_number.or(self.remote_phone_number);
        ContextText {
            id: self.id,
            channel: ContextTextChannel::Sms,
            direction: self.direction,
            text,
            text_truncated,
            created_at: self.created_at.into_owned(),
            sender: sender.filter(|_| self.direction == Direction::Inbound).map(Cow::into_owned),
            status: self.delivery_status.map(Cow::into_owned),
            media: media(self.media.as_deref()),
        }
    }
}

#[derive(Deserialize)]
struct ChatData<'a> {
    #[serde(borrow)]
    message: Chat<'a>,
}

#[derive(Debug, Deserialize)]
struct Chat<'a> {
    id: Uuid,
    direction: Direction,
    #[serde(borrow)]
    conversation_id: Text<'a>,
    #[serde(borrow)]
    remote_number: Option<Text<'a>>,
    #[serde(borrow, default)]
    sender_number: Option<Text<'a>>,
    #[serde(default)]
    participants: Option<Vec<Text<'a>>>,
    recipients: Option<Vec<ChatRecipient<'a>>>,
    #[serde(borrow)]
    content: Option<Text<'a>>,
    media: Option<Vec<IgnoredAny>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    created_at: Text<'a>,
}

#[derive(Debug, Deserialize)]
struct ChatRecipient<'a> {
    #[serde(borrow)]
    remote_number: Text<'a>,
}

impl Chat<'_> {
    fn into_item(self) -> ContextText {
        let (text, text_truncated) = shown(self.content.as_deref());
        let sender = self.sender_number.or(self.remote_number);
        ContextText {
            id: self.id,
            channel: ContextTextChannel::IMessage,
            direction: self.direction,
            text,
            text_truncated,
            created_at: self.created_at.into_owned(),
            sender: sender.filter(|_| self.direction == Direction::Inbound).map(Cow::into_owned),
            status: self.status.map(Cow::into_owned),
            media: media(self.media.as_deref()),
        }
    }
}

fn shown(text: Option<&str>) -> (String, bool) {
    let (text, is_cut) = cut(text.unwrap_or_default(), MAX_TEXT_BYTES);
    (text.to_owned(), is_cut)
}

fn media(media: Option<&[IgnoredAny]>) -> Option<ContextMedia> {
    let media = media.filter(|media| !media.is_empty())?;
    Some(ContextMedia { count: media.len() as u64 })
}

#[derive(Debug, Deserialize)]
struct CallEnded<'a> {
    #[serde(borrow)]
    call: Call<'a>,
    #[serde(borrow)]
    transcript: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Call<'a> {
    id: Uuid,
    direction: Direction,
    #[serde(borrow)]
    remote_phone_number: Text<'a>,
    duration_seconds: Option<i64>,
    #[serde(borrow)]
    started_at: Option<Text<'a>>,
}

impl CallEnded<'_> {
    fn into_item(self) -> ContextCall {
        let Call { id, direction, remote_phone_number, duration_seconds, started_at } = self.call;
        let transcript: Option<Transcript> =
            self.transcript.and_then(|text| serde_json::from_str(text.get()).ok());
        let (was_abridged, entries) = transcript.map_or((false, Vec::new()), |it| (it.abridged, it.entries));
        let (transcript, is_abridged) = abridged(entries);
        ContextCall {
            call_id: id,
            abridged: was_abridged || is_abridged,
            transcript,
            direction: Some(direction),
            remote_number: Some(remote_phone_number.into_owned()),
            duration: duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()),
            started_at: started_at.map(Cow::into_owned),
        }
    }
}

#[cfg(test)]
mod tests;
