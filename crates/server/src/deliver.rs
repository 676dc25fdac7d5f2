//! Making one attempt: from a claim to what came of it.
//!
//! [`prepare`] and [`classify`] are pure; [`send`] makes the only network call. None of them knows the
//! database: the right to write the first byte is a gate that the caller gives.

pub mod classify;
pub mod prepare;
pub mod send;
