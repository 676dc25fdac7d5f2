//! Many rows of a table at once, with `COPY … FROM STDIN`, in binary form.

use rusqlite::types::{ToSqlOutput, Value};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{self, Type};

use super::Session;
use super::value::Param;
use crate::store::sql::Error;

impl Session {
    /// Writes rows with these columns (a list as in a statement) in the transaction that is open. Waits for the server as
    /// long as the connection stands.
    pub(in crate::store) fn copy_in(
        &self,
        table: &str,
        columns: &str,
        rows: &[Vec<Value>],
    ) -> Result<(), Error> {
        self.with_client(async |client| {
            let form = client.prepare(&format!("SELECT {columns} FROM {table}")).await?;
            let types: Vec<Type> = form.columns().iter().map(|column| column.type_().clone()).collect();
            let sink = client.copy_in(&format!("COPY {table} ({columns}) FROM STDIN BINARY")).await?;
            let mut writer = std::pin::pin!(BinaryCopyInWriter::new(sink, &types));
            for row in rows {
                let values: Vec<Param<'_>> =
                    row.iter().map(|value| Param::from(ToSqlOutput::Borrowed(value.into()))).collect();
                let values: Vec<&(dyn types::ToSql + Sync)> =
                    values.iter().map(|value| value as &(dyn types::ToSql + Sync)).collect();
                writer.as_mut().write(&values).await?;
            }
            writer.finish().await?;
            Ok(())
        })
    }
}
