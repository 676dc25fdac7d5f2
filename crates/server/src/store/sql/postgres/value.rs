//! Values between rusqlite's model and Postgres' types.

use std::error::Error as StdError;

use bytes::BytesMut;
use rusqlite::types::{FromSql, ToSql, ToSqlOutput, Value, ValueRef};
use tokio_postgres::Row;
use tokio_postgres::types::{self, IsNull, Type};

use super::super::{Column, Params};
use crate::store::sql::Error;

/// A parameter, to be written as whatever the statement takes there.
#[derive(Debug)]
pub(super) struct Param<'a>(ToSqlOutput<'a>);

impl<'a> From<ToSqlOutput<'a>> for Param<'a> {
    fn from(value: ToSqlOutput<'a>) -> Self {
        Self(value)
    }
}

impl<'a> Param<'a> {
    pub(super) fn all(params: Params<'a>) -> Result<Vec<Self>, Error> {
        params.iter().map(|param| Ok(Self(ToSql::to_sql(*param)?))).collect()
    }

    pub(super) fn refs(params: &[Self]) -> Vec<&(dyn types::ToSql + Sync)> {
        params.iter().map(|param| param as &(dyn types::ToSql + Sync)).collect()
    }

    fn value(&self) -> Option<ValueRef<'_>> {
        match &self.0 {
            ToSqlOutput::Borrowed(value) => Some(*value),
            ToSqlOutput::Owned(value) => Some(value.into()),
            _ => None,
        }
    }
}

type Failure = Box<dyn StdError + Sync + Send>;

impl types::ToSql for Param<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        let value = self.value().ok_or("a value of a kind that is not known here")?;
        encode(value, ty, out)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    types::to_sql_checked!();
}

/// Writes a value as the type wants it.
pub(super) fn encode(value: ValueRef<'_>, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
    match (value, ty) {
        (ValueRef::Null, _) => return Ok(IsNull::Yes),
        (ValueRef::Integer(n), &Type::INT8) => types::ToSql::to_sql(&n, ty, out)?,
        (ValueRef::Integer(n), &Type::INT4) => types::ToSql::to_sql(&i32::try_from(n)?, ty, out)?,
        (ValueRef::Integer(n), &Type::INT2) => types::ToSql::to_sql(&i16::try_from(n)?, ty, out)?,
        (ValueRef::Integer(n), &Type::BOOL) => types::ToSql::to_sql(&(n != 0), ty, out)?,
        (ValueRef::Real(n), &Type::FLOAT8) => types::ToSql::to_sql(&n, ty, out)?,
        (ValueRef::Text(text), &Type::TEXT | &Type::VARCHAR | &Type::JSON) => {
            put_text(text, out);
            IsNull::No
        }
        (ValueRef::Blob(bytes), &Type::BYTEA) => {
            out.extend_from_slice(bytes);
            IsNull::No
        }
        (value, ty) => return Err(format!("{} is given where {ty} is wanted", value.data_type()).into()),
    };
    Ok(IsNull::No)
}

/// Postgres has no text with U+0000 in it. What is asked for with one is nowhere, and what is written with one (who
/// may choose a text is told that it must not) shows where it was.
fn put_text(text: &[u8], out: &mut BytesMut) {
    for (place, part) in text.split(|byte| *byte == 0).enumerate() {
        if place > 0 {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
        out.extend_from_slice(part);
    }
}

/// A column as it came, with its type.
struct Raw<'a> {
    bytes: Option<&'a [u8]>,
}

impl<'a> types::FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, bytes: &'a [u8]) -> Result<Self, Failure> {
        Ok(Self { bytes: Some(bytes) })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failure> {
        Ok(Self { bytes: None })
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A column of a row, by number or name.
pub(in crate::store::sql) fn column<T: FromSql>(row: &Row, column: &impl Column) -> Result<T, Error> {
    let unreadable = |why: &dyn std::fmt::Display, column: &dyn std::fmt::Display| {
        Error::Column(format!("{column}: {why}"))
    };
    let name = column.to_string();
    let place = name
        .parse()
        .ok()
        .or_else(|| row.columns().iter().position(|one| one.name() == name))
        .filter(|place| *place < row.len())
        .ok_or_else(|| unreadable(&"there is no such column", &name))?;
    let raw: Raw<'_> = row.try_get(place)?;
    let value = decode(row.columns()[place].type_(), raw.bytes).map_err(|why| unreadable(&why, &name))?;
    T::column_result(value.as_ref()).map_err(|why| unreadable(&why, &name))
}

enum Decoded<'a> {
    Ref(ValueRef<'a>),
    Value(Value),
}

impl Decoded<'_> {
    fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Ref(value) => *value,
            Self::Value(value) => value.into(),
        }
    }
}

fn decode<'a>(ty: &Type, bytes: Option<&'a [u8]>) -> Result<Decoded<'a>, Failure> {
    use types::FromSql;
    let Some(bytes) = bytes else { return Ok(Decoded::Ref(ValueRef::Null)) };
    let integer = |n: i64| Decoded::Value(Value::Integer(n));
    Ok(match *ty {
        Type::INT8 => integer(i64::from_sql(ty, bytes)?),
        Type::INT4 => integer(i32::from_sql(ty, bytes)?.into()),
        Type::INT2 => integer(i16::from_sql(ty, bytes)?.into()),
        Type::BOOL => integer(bool::from_sql(ty, bytes)?.into()),
        Type::FLOAT8 => Decoded::Value(Value::Real(f64::from_sql(ty, bytes)?)),
        Type::TEXT | Type::VARCHAR | Type::NAME | Type::UNKNOWN => Decoded::Ref(ValueRef::Text(bytes)),
        Type::BYTEA => Decoded::Ref(ValueRef::Blob(bytes)),
        ref other => return Err(format!("a column of type {other}").into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_goes_out_with_u_0000() {
        for (given, sent) in [("", ""), ("ab", "ab"), ("a\0b", "a\u{fffd}b"), ("\0\0", "\u{fffd}\u{fffd}")] {
            let mut out = BytesMut::new();
            encode(ValueRef::Text(given.as_bytes()), &Type::TEXT, &mut out).expect("it is a text");
            assert_eq!(&out[..], sent.as_bytes());
        }
        let mut out = BytesMut::new();
        encode(ValueRef::Blob(b"a\0b"), &Type::BYTEA, &mut out).expect("bytes");
        assert_eq!(&out[..], b"a\0b", "bytes stay what they are");
    }
}
