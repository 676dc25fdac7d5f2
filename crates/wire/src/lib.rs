//! The wire of inkhook.

pub mod event;
pub mod id;
pub mod sign;
