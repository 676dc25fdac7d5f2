//! Holding an index against a shape, and splicing in what was left out.

use super::OwnerFacts;
use super::error::{Checked, DataError, DataErrorKind, Fault, echo};
use super::fill::Filler;
use super::index::{self, Index, NodeId};
use super::participants::count_addresses;
use super::shape::{Absent, Field, Kind};
use super::shapes;
use crate::event::{Channel, EventType};
use crate::payload::call::{CallMode, CallOutcome};

/// Checks the data and gives its text with everything filled in.
pub(super) fn run(
    index: &Index<'_>,
    event_type: EventType,
    owner: &mut OwnerFacts<'_>,
) -> Result<String, DataError> {
    let text = against(index, event_type, shapes::of(event_type), owner)?;
    cross_checks(index, event_type)?;
    Ok(text)
}

/// The check of one shape, without the rules over several keys.
pub(super) fn against(
    index: &Index<'_>,
    event_type: EventType,
    shape: &'static [Field],
    owner: &mut OwnerFacts<'_>,
) -> Result<String, DataError> {
    let mut check = Check { index, filler: Filler { index, event_type, owner }, insertions: Vec::new() };
    check.value(Index::ROOT, Kind::Object(shape))?;
    Ok(splice(index.text(), check.insertions))
}

/// Text to be put in before the byte at `at`, which closes an object.
struct Insertion {
    at: usize,
    text: String,
}

fn splice(text: &str, mut insertions: Vec<Insertion>) -> String {
    insertions.sort_unstable_by_key(|insertion| insertion.at);
    let added: usize = insertions.iter().map(|i| i.text.len()).sum();
    let mut out = String::with_capacity(text.len() + added);
    let mut done = 0;
    for insertion in insertions {
        out.push_str(&text[done..insertion.at]);
        out.push_str(&insertion.text);
        done = insertion.at;
    }
    out.push_str(&text[done..]);
    out
}

struct Check<'i, 'a, 'o, 'f> {
    index: &'i Index<'a>,
    filler: Filler<'i, 'a, 'o, 'f>,
    insertions: Vec<Insertion>,
}

impl Check<'_, '_, '_, '_> {
    fn value(&mut self, id: NodeId, kind: Kind) -> Checked<()> {
        let found = self.index.kind(id);
        let right = match kind {
            Kind::Null => found == index::Kind::Null,
            Kind::Bool => found == index::Kind::Bool,
            Kind::Text => found == index::Kind::String,
            Kind::Uuid => self.text(id).is_some_and(|text| is_uuid(&text)),
            Kind::Time => self.text(id).is_some_and(|text| is_time(&text)),
            Kind::Count => found == index::Kind::Number && is_count(self.index.raw(id)),
            Kind::Integer => {
                let raw = self.index.raw(id);
                found == index::Kind::Number && is_count(raw.strip_prefix('-').unwrap_or(raw))
            }
            Kind::Number => found == index::Kind::Number,
            Kind::OneOf(words) => match self.text(id) {
                Some(word) if words.contains(&&*word) => true,
                Some(_) => return Err(self.wrong(id, kind, DataErrorKind::UnknownValue)),
                None => false,
            },
            Kind::Map => found == index::Kind::Object,
            Kind::Object(fields) if found == index::Kind::Object => {
                return self.object(id, fields);
            }
            Kind::Either(either) if found == index::Kind::Object => {
                let with = self.index.member(id, either.key).is_some();
                return self.object(id, if with { either.with } else { either.without });
            }
            Kind::List(item) if found == index::Kind::List => return self.list(id, *item),
            Kind::Object(_) | Kind::Either(_) | Kind::List(_) => false,
        };
        if right { Ok(()) } else { Err(self.wrong(id, kind, DataErrorKind::Type)) }
    }

    fn text(&self, id: NodeId) -> Option<std::borrow::Cow<'_, str>> {
        self.index.string(id)
    }

    fn wrong(&self, id: NodeId, kind: Kind, error: DataErrorKind) -> Fault {
        let found = echo(self.index.raw(id));
        Fault::new(error, format!("must be {}; it is {found}", expected(kind)))
    }

    fn list(&mut self, id: NodeId, item: Kind) -> Checked<()> {
        for (position, child) in self.index.children(id).enumerate() {
            self.value(child, item).map_err(|fault| fault.at(position.to_string()))?;
        }
        Ok(())
    }

    fn object(&mut self, id: NodeId, fields: &[Field]) -> Checked<()> {
        let mut added = String::new();
        let mut first = self.index.children(id).next().is_none();
        for field in fields {
            let checked = match self.index.member(id, field.name) {
                Some(member) => self.member(id, member, field),
                None => self.absent(id, field, &mut first, &mut added),
            };
            checked.map_err(|fault| fault.at(field.name))?;
        }
        if !added.is_empty() {
            self.insertions.push(Insertion { at: self.index.end(id) - 1, text: added });
        }
        Ok(())
    }

    fn member(&mut self, object: NodeId, member: NodeId, field: &Field) -> Checked<()> {
        if field.nullable && self.index.is_null(member) {
            return Ok(());
        }
        self.value(member, field.kind)?;
        match field.absent {
            Absent::Fill(fill) => self.filler.compare(object, member, fill),
            Absent::Refuse | Absent::Leave => Ok(()),
        }
    }

    fn absent(&mut self, object: NodeId, field: &Field, first: &mut bool, added: &mut String) -> Checked<()> {
        let fill = match field.absent {
            Absent::Leave => return Ok(()),
            Absent::Refuse => {
                let text = format!("is missing; it must be {}", expected(field.kind));
                return Err(Fault::new(DataErrorKind::Missing, text));
            }
            Absent::Fill(fill) => fill,
        };
        if !std::mem::take(first) {
            added.push(',');
        }
        added.push('"');
        added.push_str(field.name);
        added.push_str("\":");
        self.filler.append(object, fill, added)
    }
}

/// Rules over more than one key.
fn cross_checks(index: &Index<'_>, event_type: EventType) -> Result<(), DataError> {
    match event_type.channel() {
        Channel::Mail => {
            let Some(message) = index.member(Index::ROOT, "message") else {
                return Ok(());
            };
            count_addresses(index, message)?;
            if event_type == EventType::MessageReceived {
                return Ok(());
            }
            let why = "must be null: only message.received carries a body";
            Ok(all_null(index, message, "message", BODY_KEYS, why)?)
        }
        Channel::Text => {
            let direction = index.path(Index::ROOT, &["text_message", "direction"]);
            let inbound = direction.and_then(|id| index.string(id)).as_deref() == Some("inbound");
            match index.member(Index::ROOT, "text_message") {
                Some(message) if inbound => {
                    let why = "must be null on an inbound text";
                    Ok(all_null(index, message, "text_message", OUTBOUND_KEYS, why)?)
                }
                _ => Ok(()),
            }
        }
        Channel::Call => outcome(index),
        _ => Ok(()),
    }
}

/// A hosted call has an outcome, one that the agent itself spoke in has none.
fn outcome(index: &Index<'_>) -> Result<(), DataError> {
    let mode = index.path(Index::ROOT, &["call", "mode"]).and_then(|id| index.string(id));
    let outcome = index.member(Index::ROOT, "outcome").filter(|id| !index.is_null(*id));
    let words = || expected(Kind::OneOf(CallOutcome::WORDS));
    let (kind, text) = match (mode.as_deref().and_then(CallMode::parse), outcome) {
        (Some(CallMode::ClientWebsocket), Some(given)) => {
            let text = format!("must be null: only a hosted call has one; it is {}", echo(index.raw(given)));
            (DataErrorKind::Type, text)
        }
        (Some(CallMode::HostedAgent), None) => {
            (DataErrorKind::Missing, format!("is missing; of a hosted call it must be {}", words()))
        }
        _ => return Ok(()),
    };
    Err(Fault::new(kind, text).at("outcome").into())
}

const BODY_KEYS: &[&str] =
    &["body", "body_state", "body_truncated", "body_total_chars", "body_included_chars"];

const OUTBOUND_KEYS: &[&str] =
    &["delivery_status", "error_code", "error_detail", "sent_at", "delivered_at", "failed_at", "recipients"];

fn all_null(index: &Index<'_>, object: NodeId, name: &str, keys: &[&str], why: &str) -> Checked<()> {
    for key in keys {
        if let Some(member) = index.member(object, key).filter(|m| !index.is_null(*m)) {
            let text = format!("{why}; it is {}", echo(index.raw(member)));
            return Err(Fault::new(DataErrorKind::Type, text).at(*key).at(name));
        }
    }
    Ok(())
}

/// The words after "must be".
fn expected(kind: Kind) -> String {
    let text = match kind {
        Kind::Null => "null",
        Kind::Bool => "true or false",
        Kind::Text => "a string",
        Kind::Uuid => "a UUID",
        Kind::Time => "an ISO 8601 time with an offset, such as 2026-03-14T15:09:26.535Z",
        Kind::Count => "a whole number, zero or more",
        Kind::Integer => "a whole number",
        Kind::Number => "a number",
        Kind::OneOf(words) => return format!("one of {}", words.join(", ")),
        Kind::Map | Kind::Object(_) | Kind::Either(_) => "an object",
        Kind::List(_) => "a list",
    };
    text.to_owned()
}

fn is_uuid(text: &str) -> bool {
    text.len() == uuid::fmt::Hyphenated::LENGTH && uuid::Uuid::try_parse(text).is_ok()
}

/// Digits that a `u64` holds, and a receiver's signed 64 bits too.
fn is_count(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<i64>().is_ok()
}

/// `YYYY-MM-DDTHH:MM:SS`, a fraction of up to nine digits or none, `Z` or `±HH:MM`.
fn is_time(text: &str) -> bool {
    let Some((head, rest)) = text.split_at_checked(19) else {
        return false;
    };
    let number = |range: std::ops::Range<usize>| {
        let digits = head.get(range).filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
        digits.and_then(|digits| digits.parse::<u32>().ok())
    };
    let mark = |at: usize, byte: u8| head.as_bytes()[at] == byte;
    let marks = mark(4, b'-') && mark(7, b'-') && mark(10, b'T') && mark(13, b':') && mark(16, b':');
    let (Some(year), Some(month), Some(day)) = (number(0..4), number(5..7), number(8..10)) else {
        return false;
    };
    let (Some(hour), Some(minute), Some(second)) = (number(11..13), number(14..16), number(17..19)) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    let date = year > 0 && (1..=days).contains(&day);
    marks && date && hour < 24 && minute < 60 && second < 60 && is_time_end(rest)
}

/// The fraction and the offset.
fn is_time_end(rest: &str) -> bool {
    let offset = match rest.strip_prefix('.') {
        Some(fraction) => {
            let offset = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if !(1..=9).contains(&(fraction.len() - offset.len())) {
                return false;
            }
            offset
        }
        None => rest,
    };
    match offset.as_bytes() {
        [b'Z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => {
            let digits = [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit());
            digits && [*h1, *h2] <= *b"23" && *m1 <= b'5'
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_with_an_offset() {
        for good in [
            "2026-03-14T15:09:26Z",
            "2026-03-14T15:09:26.535Z",
            "2024-02-29T23:59:59.123456789+05:30",
            "2000-02-29T00:00:00-23:59",
        ] {
            assert!(is_time(good), "{good}");
        }
        for bad in [
            "",
            "2026-03-14",
            "2026-03-14T15:09:26",
            "2026-03-14 15:09:26Z",
            "2026-03-14T15:09:26.Z",
            "2026-03-14T15:09:26.1234567890Z",
            "2026-02-29T15:09:26Z",
            "1900-02-29T15:09:26Z",
            "2026-13-14T15:09:26Z",
            "2026-00-14T15:09:26Z",
            "2026-03-32T15:09:26Z",
            "2026-03-00T15:09:26Z",
            "0000-03-14T15:09:26Z",
            "2026-03-14T24:09:26Z",
            "2026-03-14T15:60:26Z",
            "2026-03-14T15:09:60Z",
            "2026-03-14T15:09:26+24:00",
            "2026-03-14T15:09:26+05:60",
            "2026-03-14T15:09:26+0530",
            "2026-03-14T15:09:26z",
            "2026-03-14T15:09:2éZ",
            "+026-03-14T15:09:26Z",
        ] {
            assert!(!is_time(bad), "{bad}");
        }
    }

    #[test]
    fn counts_are_digits() {
        for good in ["0", "28", "9223372036854775807"] {
            assert!(is_count(good), "{good}");
        }
        for bad in ["-1", "1.0", "1e3", "9223372036854775808"] {
            assert!(!is_count(bad), "{bad}");
        }
    }
}
