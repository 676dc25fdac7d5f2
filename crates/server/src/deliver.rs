//! Making one attempt: from a claim to what came of it.
//!
//! [`prepare`] and [`classify`] are pure; [`send`] makes the only network call. [`ask`] is the same for a question
//! whose answer decides a call. None of them knows the
//! database: the right to write the first byte is a gate that the caller gives.

pub mod ask;
pub mod classify;
pub mod prepare;
pub mod send;
