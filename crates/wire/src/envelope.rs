//! The envelope around every event's data.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::event::EventType;
use crate::id::EventId;
use crate::payload::Payload;

/// The body of a delivery. `D` is the channel's data, for example
/// [`MailData`](crate::payload::mail::MailData), [`Payload`] for whichever the event type says
/// (see [`Envelope::read`]), or `serde_json::Value` for any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<D> {
    /// The same over retries, replays and restarts: the key to recognise a repeat by.
    pub id: EventId,
    /// What happened.
    pub event_type: EventType,
    /// When it happened, ISO 8601.
    pub timestamp: String,
    /// The details; their shape depends on the channel.
    pub data: D,
}

impl Envelope<Payload> {
    /// Reads the body of a delivery, its data as the type that belongs to `event_type`.
    ///
    /// # Errors
    /// It is not an envelope, its event type is not in the catalogue, or its data does not have
    /// that type's shape.
    pub fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        let Envelope { id, event_type, timestamp, data } =
            serde_json::from_slice::<Envelope<&RawValue>>(body)?;
        let data = Payload::read(event_type, data.get())?;
        Ok(Self { id, event_type, timestamp, data })
    }
}

/// The envelope's text around a `data` text, which goes in byte for byte. `timestamp` is ISO 8601
/// and `data` is JSON; neither is checked here.
pub fn write(id: EventId, event_type: EventType, timestamp: &str, data: &str) -> String {
    format!(r#"{{"id":"{id}","event_type":"{event_type}","timestamp":"{timestamp}","data":{data}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Channel;

    #[test]
    fn the_text_reads_back_with_the_data_as_it_was() {
        let id: EventId = "evt_1f0b3c52-7a64-4f0e-9b1d-2c55a0a9d001".parse().unwrap();
        let data = r#"{ "b":1.00, "a":"\u00e9" }"#;
        let text = write(id, EventType::MessageSent, "2026-03-14T15:09:26.535Z", data);
        let envelope: Envelope<Box<RawValue>> = serde_json::from_str(&text).unwrap();
        assert_eq!(envelope.id, id);
        assert_eq!(envelope.event_type, EventType::MessageSent);
        assert_eq!(envelope.timestamp, "2026-03-14T15:09:26.535Z");
        assert_eq!(envelope.data.get(), data);
        assert_eq!(serde_json::to_string(&envelope).unwrap(), text);
    }

    #[test]
    fn the_event_type_decides_how_the_data_reads() {
        let id: EventId = "evt_1f0b3c52-7a64-4f0e-9b1d-2c55a0a9d001".parse().unwrap();
        for event_type in EventType::SUBSCRIBABLE {
            let data = event_type.sample().to_string();
            let text = write(id, *event_type, "2026-03-14T15:09:26Z", &data);
            let envelope = Envelope::read(text.as_bytes()).unwrap();
            let channel = match envelope.data {
                Payload::Mail(_) => Channel::Mail,
                Payload::Text(_) => Channel::Text,
                Payload::IMessage(_) => Channel::IMessage,
                Payload::CallEnded(_) | Payload::IncomingCall(_) => Channel::Call,
                Payload::A2a(_) => Channel::A2a,
                Payload::Slack(_) => Channel::Slack,
                Payload::WhatsApp(_) => Channel::WhatsApp,
            };
            assert_eq!(channel, event_type.channel());
            let written = serde_json::to_string(&envelope).unwrap();
            let [written, text]: [serde_json::Value; 2] =
                [&written, &text].map(|text| serde_json::from_str(text).unwrap());
            assert_eq!(written, text, "{event_type}");
        }
        let data = EventType::TextSent.sample().to_string();
        let text = write(id, EventType::MessageSent, "2026-03-14T15:09:26Z", &data);
        assert!(Envelope::read(text.as_bytes()).is_err(), "a text is not a mail");
        assert!(Envelope::read(b"{}").is_err());
    }

    #[test]
    fn an_unknown_type_is_refused() {
        let text = r#"{"id":"evt_1f0b3c52-7a64-4f0e-9b1d-2c55a0a9d001","event_type":"message.lost","timestamp":"2026-03-14T15:09:26Z","data":{}}"#;
        assert!(serde_json::from_str::<Envelope<serde_json::Value>>(text).is_err());
    }
}
