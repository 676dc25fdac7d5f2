//! Interned URLs: history names a URL by a small number.

use super::error::StoreError;
use super::rows;
use super::writer::Tx;
use crate::domain::number::UrlNo;
use crate::store::sql::params;

const FIND: &str = "SELECT no FROM urls WHERE url = $1";
const ADD: &str = "INSERT INTO urls (url) VALUES ($1) ON CONFLICT (url) DO UPDATE SET url = $1 RETURNING no";

/// The number of `url`, given to it now if it is new.
pub(super) fn intern(tx: &Tx<'_>, url: &str) -> Result<UrlNo, StoreError> {
    if let Some(no) = rows::scalar(tx, FIND, params![url])? {
        return Ok(UrlNo(no));
    }
    Ok(UrlNo(tx.insert(ADD, params![url])?))
}
