//! Which keys and words a type reads: found out by having serde read it from something that answers
//! whatever is asked for, and notes the question.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// Every key path of `T` and, behind `=`, the words of an enum.
pub(super) fn keys<T: DeserializeOwned>() -> BTreeSet<String> {
    let found = RefCell::default();
    T::deserialize(Tracer { path: "data".to_owned(), found: &found }).unwrap();
    found.into_inner()
}

#[derive(Clone)]
struct Tracer<'f> {
    path: String,
    found: &'f RefCell<BTreeSet<String>>,
}

/// Reads as an id and as any other text.
const TEXT: &str = super::IDENTITY;

type Error = de::value::Error;

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Error;

    /// Asked for by an entry of a transcript, which is one of two types, and by a number.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.path.contains("minutes") {
            return visitor.visit_u64(0);
        }
        visitor.visit_map(Entry(vec!["party", "text", "ts_ms"]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let paths = fields.iter().map(|field| format!("{}.{field}", self.path));
        self.found.borrow_mut().extend(paths);
        visitor.visit_map(Members { tracer: self, fields: fields.iter(), field: "" })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(One(Some(self)))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Entry(Vec::new()))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.found.borrow_mut().insert(format!("{}={}", self.path, words.join("|")));
        visitor.visit_enum(StrDeserializer::new(words[0]))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(true)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u64(0)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i64(0)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(TEXT)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(TEXT)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u128 f32 f64 char bytes byte_buf unit unit_struct newtype_struct
        tuple tuple_struct identifier ignored_any
    }
}

/// The members of a struct, each traced.
struct Members<'f> {
    tracer: Tracer<'f>,
    fields: std::slice::Iter<'static, &'static str>,
    field: &'static str,
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(field) = self.fields.next() else { return Ok(None) };
        self.field = field;
        seed.deserialize(StrDeserializer::new(field)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let path = format!("{}.{}", self.tracer.path, self.field);
        seed.deserialize(Tracer { path, ..self.tracer.clone() })
    }
}

/// A list of one item.
struct One<'f>(Option<Tracer<'f>>);

impl<'de> SeqAccess<'de> for One<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        self.0.take().map(|tracer| seed.deserialize(tracer)).transpose()
    }
}

/// An object that is not traced: these keys, each of them 0 or a text.
struct Entry(Vec<&'static str>);

impl<'de> MapAccess<'de> for Entry {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.0.last().map(|key| seed.deserialize(StrDeserializer::new(key))).transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        use serde::de::IntoDeserializer as _;
        match self.0.pop() {
            Some("ts_ms") => seed.deserialize(0_u64.into_deserializer()),
            _ => seed.deserialize(StrDeserializer::new(TEXT)),
        }
    }
}
