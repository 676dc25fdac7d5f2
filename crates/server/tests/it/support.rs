//! What tests stand on.

pub mod running;
