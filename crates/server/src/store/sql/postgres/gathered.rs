//! Rows that wait to be written together.

use std::error::Error as StdError;

use bytes::{BufMut, BytesMut};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use tokio_postgres::types::{self, IsNull, Kind as TypeKind, Type};

use super::value::encode;
use crate::store::sql::Error;
use crate::store::sql::many::{Many, Values};

/// The rows of one statement. Each column is written as its array's elements will be, while the rows come.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) many: &'static Many,
    pub(super) rows: usize,
    pub(super) columns: Vec<Column>,
}

/// An array in the making.
#[derive(Debug)]
pub(super) struct Column {
    element: Type,
    elements: BytesMut,
    length: i32,
    has_null: bool,
}

impl Gathered {
    pub(super) fn new(many: &'static Many) -> Self {
        let columns = many.columns.iter().map(|holds| Column::new(holds.element())).collect();
        Self { many, rows: 0, columns }
    }

    pub(super) fn push(&mut self, values: Values<'_>) -> Result<(), Error> {
        debug_assert_eq!(values.len(), self.columns.len(), "{}", self.many.one);
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.push(*value)?;
        }
        self.rows += 1;
        Ok(())
    }

    pub(super) fn refs(&self) -> Vec<&(dyn types::ToSql + Sync)> {
        self.columns.iter().map(|column| column as &(dyn types::ToSql + Sync)).collect()
    }
}

impl crate::store::sql::many::Holds {
    fn element(self) -> Type {
        match self {
            Self::Int8 => Type::INT8,
            Self::Int2 => Type::INT2,
            Self::Bytes => Type::BYTEA,
            Self::Text => Type::TEXT,
        }
    }
}

impl Column {
    fn new(element: Type) -> Self {
        Self { element, elements: BytesMut::new(), length: 0, has_null: false }
    }

    fn push(&mut self, value: &dyn ToSql) -> Result<(), Error> {
        let value = value.to_sql()?;
        let value: ValueRef<'_> = match &value {
            ToSqlOutput::Borrowed(value) => *value,
            ToSqlOutput::Owned(value) => value.into(),
            _ => return Err(Error::Column("a value of a kind that is not known here".into())),
        };
        let at = self.elements.len();
        self.elements.put_i32(-1);
        let written = encode(value, &self.element, &mut self.elements);
        match written.map_err(|why| Error::Column(why.to_string()))? {
            IsNull::Yes => self.has_null = true,
            IsNull::No => {
                let length = i32::try_from(self.elements.len() - at - 4);
                let length = length.map_err(|_| Error::Column("a value is too long".into()))?;
                self.elements[at..at + 4].copy_from_slice(&length.to_be_bytes());
            }
        }
        self.length += 1;
        Ok(())
    }
}

impl types::ToSql for Column {
    /// The binary form of a one-dimensional array.
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match ty.kind() {
            TypeKind::Array(element) if *element == self.element => {}
            _ => return Err(format!("an array of {} is given where {ty} is wanted", self.element).into()),
        }
        out.put_i32(i32::from(self.length > 0));
        out.put_i32(self.has_null.into());
        out.put_u32(self.element.oid());
        if self.length > 0 {
            out.put_i32(self.length);
            out.put_i32(1);
        }
        out.extend_from_slice(&self.elements);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    types::to_sql_checked!();
}
