//! The HTTP API: wire names, shapes, statuses.
//!
//! One file a resource. A handler extracts, makes one call into the store or `ingest`, and answers. Order
//! of checks on every route: 401; 403; size and syntax (413, 422); visibility (404); rules (422);
//! conflicts (409). Rows that are not the caller's are found out by the statement itself, so that "not
//! yours" and "not there" cannot differ.

pub mod body;
pub mod error;
