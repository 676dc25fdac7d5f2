//! The envelope around every event's data.

use serde::{Deserialize, Serialize};

use crate::event::EventType;
use crate::id::EventId;

/// The body of a delivery. `D` is the channel's data, for example
/// [`MailData`](crate::payload::mail::MailData), or `serde_json::Value` for any.
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

/// The envelope's text around a `data` text, which goes in byte for byte. `timestamp` is ISO 8601
/// and `data` is JSON; neither is checked here.
pub fn write(id: EventId, event_type: EventType, timestamp: &str, data: &str) -> String {
    format!(r#"{{"id":"{id}","event_type":"{event_type}","timestamp":"{timestamp}","data":{data}}}"#)
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

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
    fn an_unknown_type_is_refused() {
        let text = r#"{"id":"evt_1f0b3c52-7a64-4f0e-9b1d-2c55a0a9d001","event_type":"message.lost","timestamp":"2026-03-14T15:09:26Z","data":{}}"#;
        assert!(serde_json::from_str::<Envelope<serde_json::Value>>(text).is_err());
    }
}
