//! The wire of inkhook: the event catalogue, typed ids and payloads, and the two signatures.

pub mod envelope;
pub mod event;
pub mod id;
pub mod payload;
pub mod sign;
pub mod validate;
