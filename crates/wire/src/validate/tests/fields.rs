//! Every field of every shape, broken in every way: the error names it, and the type refuses it too.

use super::dice::full;
use super::shape::{Absent, Field, Kind};
use super::*;
use crate::payload::Payload;

/// One place in the full data of a type: a field, or an item of a list.
struct Place {
    path: Vec<String>,
    kind: Kind,
    nullable: bool,
    /// `None` where nothing can be left out.
    absent: Option<Absent>,
}

impl Place {
    fn pointer(&self) -> String {
        format!("/{}", self.path.join("/"))
    }

    /// The data with this place set to something else.
    fn set(&self, data: &Value, to: Value) -> Value {
        let mut data = data.clone();
        *data.pointer_mut(&self.pointer()).unwrap() = to;
        data
    }

    /// The data without this place's key.
    fn without(&self, data: &Value) -> Value {
        let mut data = data.clone();
        let (parent, key) = (self.pointer(), self.path.last().unwrap());
        let parent = &parent[..parent.len() - key.len() - 1];
        let removed = data.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key);
        assert!(removed.is_some(), "{}", self.pointer());
        data
    }
}

fn places(event_type: EventType) -> Vec<Place> {
    let mut found = Vec::new();
    walk(shapes::of(event_type), &[], None, &mut found);
    found
}

/// `key` tells this shape from another: without it, other fields are missed.
fn walk(fields: &[Field], at: &[String], key: Option<&str>, found: &mut Vec<Place>) {
    for field in fields {
        let path = [at, &[field.name.to_owned()]].concat();
        let absent = (key != Some(field.name)).then_some(field.absent);
        descend(field.kind, &path, found);
        found.push(Place { path, kind: field.kind, nullable: field.nullable, absent });
    }
}

fn descend(kind: Kind, path: &[String], found: &mut Vec<Place>) {
    let item = |i: usize| [path, &[i.to_string()]].concat();
    match kind {
        Kind::Object(fields) => walk(fields, path, None, found),
        Kind::List(kind @ Kind::Either(either)) => {
            walk(either.with, &item(0), Some(either.key), found);
            walk(either.without, &item(1), None, found);
            found.push(Place { path: item(1), kind: *kind, nullable: false, absent: None });
        }
        Kind::List(kind) => {
            descend(*kind, &item(0), found);
            found.push(Place { path: item(0), kind: *kind, nullable: false, absent: None });
        }
        _ => {}
    }
}

/// Values that are not of this kind, the kind of the error, and whether the type refuses them too:
/// it takes any text for a time, and a list for an object.
fn wrong(kind: Kind) -> Vec<(Value, DataErrorKind, bool)> {
    use DataErrorKind::{Type, UnknownValue};
    match kind {
        Kind::Null => vec![(json!(1), Type, true)],
        Kind::Bool => vec![(json!("true"), Type, true), (json!(0), Type, true)],
        Kind::Text => vec![(json!(7), Type, true), (json!([]), Type, true)],
        Kind::Uuid => vec![(json!(7), Type, true), (json!("x"), Type, true)],
        Kind::Time => vec![(json!(7), Type, true), (json!("yesterday"), Type, false)],
        Kind::Count => {
            vec![(json!(-1), Type, true), (json!(1.5), Type, true), (json!("1"), Type, true)]
        }
        Kind::Integer => vec![(json!(1.5), Type, true), (json!("1"), Type, true)],
        Kind::Number => vec![(json!("1"), Type, true)],
        Kind::OneOf(_) => vec![(json!(7), Type, true), (json!("odd"), UnknownValue, true)],
        Kind::Map | Kind::Object(_) | Kind::Either(_) => {
            vec![(json!(7), Type, true), (json!([]), Type, false)]
        }
        Kind::List(_) => vec![(json!({}), Type, true), (json!("x"), Type, true)],
    }
}

fn read(event_type: EventType, data: &Value) -> Result<Value, serde_json::Error> {
    let payload = Payload::read(event_type, &data.to_string())?;
    Ok(serde_json::to_value(payload).unwrap())
}

fn assert_refused(event_type: EventType, place: &Place, data: &Value, kind: DataErrorKind) {
    let error = shaped(event_type, data).expect_err(&format!("{event_type}: {}", place.pointer()));
    assert_eq!(error.loc[0], "data");
    assert_eq!(error.loc[1..], place.path, "{event_type}: {error}");
    assert_eq!(error.kind, kind, "{event_type}: {error}");
    let named = format!("data.{} ", place.path.join("."));
    assert!(error.message.starts_with(&named), "{event_type}: {error}");
}

/// It is valid, and what becomes of it reads as the type and is written again as it was.
fn assert_taken(event_type: EventType, place: &Place, data: &Value) -> Value {
    let valid = shaped(event_type, data).unwrap_or_else(|error| panic!("{event_type}: {error}"));
    let read = read(event_type, &valid).unwrap_or_else(|error| panic!("{event_type}: {error}"));
    assert_eq!(read, valid, "{event_type}: {}", place.pointer());
    valid
}

/// Types of one channel mostly have the same shape; one of each is enough.
fn shapes_of_the_catalogue() -> impl Iterator<Item = EventType> {
    let mut seen = Vec::new();
    EventType::ALL.iter().copied().filter(move |event_type| {
        let shape = shapes::of(*event_type).as_ptr();
        let new = !seen.contains(&shape);
        seen.push(shape);
        new
    })
}

#[test]
fn there_are_as_many_shapes_as_are_meant() {
    let names: Vec<_> = shapes_of_the_catalogue().map(EventType::as_str).collect();
    assert_eq!(
        names,
        [
            "message.received",
            "text.received",
            "imessage.received",
            "imessage.reaction_received",
            "call.ended",
            "a2a.task.created",
            "a2a.task.canceled",
            "slack.dm_received",
            "whatsapp.received",
            "whatsapp.reaction_received",
            "phone.incoming_call",
        ]
    );
}

#[test]
fn a_wrong_value_is_refused_by_name() {
    for event_type in shapes_of_the_catalogue() {
        let full = full(event_type);
        for place in places(event_type) {
            for (value, kind, typed) in wrong(place.kind) {
                let data = place.set(&full, value);
                assert_refused(event_type, &place, &data, kind);
                if typed {
                    assert!(read(event_type, &data).is_err(), "{event_type}: {}", place.pointer());
                }
            }
        }
    }
}

#[test]
fn null_is_refused_by_name_or_kept() {
    for event_type in shapes_of_the_catalogue() {
        let full = full(event_type);
        for place in places(event_type) {
            let data = place.set(&full, Value::Null);
            if place.nullable {
                assert_eq!(assert_taken(event_type, &place, &data), data);
                continue;
            }
            assert_refused(event_type, &place, &data, DataErrorKind::Type);
            let read = read(event_type, &data);
            if place.absent == Some(Absent::Leave) {
                // A receiver takes it for absent, and does not say null itself.
                assert_eq!(read.unwrap().pointer(&place.pointer()), None, "{event_type}");
            } else {
                assert!(read.is_err(), "{event_type}: {}", place.pointer());
            }
        }
    }
}

#[test]
fn a_missing_key_is_refused_by_name_or_filled_in() {
    for event_type in shapes_of_the_catalogue() {
        let full = full(event_type);
        for place in places(event_type) {
            let Some(absent) = place.absent else { continue };
            let data = place.without(&full);
            match absent {
                Absent::Refuse => {
                    assert_refused(event_type, &place, &data, DataErrorKind::Missing);
                    assert!(read(event_type, &data).is_err(), "{event_type}: {}", place.pointer());
                }
                Absent::Leave => assert_eq!(assert_taken(event_type, &place, &data), data),
                Absent::Fill(_) => {
                    let valid = assert_taken(event_type, &place, &data);
                    assert!(valid.pointer(&place.pointer()).is_some(), "{event_type}: {}", place.pointer());
                    assert_eq!(place.without(&valid), data, "nothing else is touched");
                    if !place.nullable {
                        assert!(read(event_type, &data).is_err(), "{event_type}: {}", place.pointer());
                    }
                }
            }
        }
    }
}
