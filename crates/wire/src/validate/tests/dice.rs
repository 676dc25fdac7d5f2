//! Data of any shape, made by the shape's own table.

use proptest::prelude::*;

use super::shape::{Absent, Field, Fill, Kind};
use super::*;

/// Where choices come from.
pub(super) struct Dice {
    bytes: std::vec::IntoIter<u8>,
    /// What is filled in may be left out.
    gaps: bool,
}

impl Dice {
    /// Below `sides`; 0 when the bytes are used up, so that everything comes to an end.
    fn roll(&mut self, sides: usize) -> usize {
        usize::from(self.bytes.next().unwrap_or(0)) % sides
    }

    fn flip(&mut self) -> bool {
        self.roll(2) == 1
    }
}

/// Any data of any event type. Without `gaps` it is complete: nothing is left to be filled in.
pub(super) fn any_data(gaps: bool) -> impl Strategy<Value = (EventType, Value)> {
    let bytes = prop::collection::vec(any::<u8>(), 0..1_024);
    (prop::sample::select(EventType::ALL), bytes).prop_map(move |(event_type, bytes)| {
        let mut dice = Dice { bytes: bytes.into_iter(), gaps };
        (event_type, object(shapes::of(event_type), &mut dice))
    })
}

fn object(fields: &[Field], dice: &mut Dice) -> Value {
    let mut members = serde_json::Map::new();
    for field in fields {
        let absent = match field.absent {
            Absent::Refuse => false,
            Absent::Leave => dice.flip(),
            Absent::Fill(_) => dice.gaps && dice.flip(),
        };
        if !absent {
            let null = field.nullable && dice.flip();
            let value = if null { Value::Null } else { value(field, dice) };
            members.insert(field.name.to_owned(), value);
        }
    }
    members.into()
}

fn value(field: &Field, dice: &mut Dice) -> Value {
    match owners(field.absent) {
        Some(text) => text.into(),
        None => of_kind(field.kind, dice),
    }
}

/// What names the owner has one value.
fn owners(absent: Absent) -> Option<&'static str> {
    match absent {
        Absent::Fill(Fill::IdentityId) => Some(IDENTITY),
        Absent::Fill(Fill::MailboxId) => Some(MAILBOX),
        Absent::Fill(Fill::EmailAddress) => Some(ADDRESS),
        Absent::Fill(Fill::LocalNumber | Fill::CallNumber) => Some(NUMBER),
        _ => None,
    }
}

const TEXTS: &[&str] = &["", "x", "é\u{0}\n\"\\/\u{7f}", "🎈 ", NUMBER, NOW, IDENTITY, "null"];
const TIMES: &[&str] = &[NOW, "2024-02-29T23:59:59+05:30", "0001-01-01T00:00:00.123456789-23:59"];

fn of_kind(kind: Kind, dice: &mut Dice) -> Value {
    match kind {
        Kind::Null => Value::Null,
        Kind::Bool => dice.flip().into(),
        Kind::Text => TEXTS[dice.roll(TEXTS.len())].into(),
        Kind::Uuid => uuid(dice).to_string().into(),
        Kind::Time => TIMES[dice.roll(TIMES.len())].into(),
        Kind::Count => [0, 1, 300, i64::MAX][dice.roll(4)].into(),
        Kind::Integer => [0, -1, i64::MAX, i64::MIN + 1][dice.roll(4)].into(),
        Kind::Number => {
            [json!(0), json!(-3), json!(0.5), json!(1e300), json!(u64::MAX)][dice.roll(5)].clone()
        }
        Kind::OneOf(words) => words[dice.roll(words.len())].into(),
        Kind::Map => [json!({}), json!({"a": [1, null, {"b": "x"}]})][dice.roll(2)].clone(),
        Kind::Object(fields) => object(fields, dice),
        Kind::Either(either) if dice.flip() => object(either.with, dice),
        Kind::Either(either) => object(either.without, dice),
        Kind::List(item) => (0..dice.roll(3)).map(|_| of_kind(*item, dice)).collect(),
    }
}

fn uuid(dice: &mut Dice) -> Uuid {
    Uuid::from_bytes([(); 16].map(|()| dice.bytes.next().unwrap_or(0)))
}

/// Data with every key, nothing null, and in every list each kind of item once.
pub(super) fn full(event_type: EventType) -> Value {
    full_object(shapes::of(event_type))
}

fn full_object(fields: &[Field]) -> Value {
    let member = |field: &Field| {
        let value = owners(field.absent).map_or_else(|| full_kind(field.kind), Value::from);
        (field.name.to_owned(), value)
    };
    Value::Object(fields.iter().map(member).collect())
}

fn full_kind(kind: Kind) -> Value {
    match kind {
        Kind::Object(fields) => full_object(fields),
        Kind::List(Kind::Either(either)) => json!([full_object(either.with), full_object(either.without)]),
        Kind::List(item) => json!([full_kind(*item)]),
        Kind::Map => json!({"a": 1}),
        scalar => of_kind(scalar, &mut Dice { bytes: Vec::new().into_iter(), gaps: false }),
    }
}
