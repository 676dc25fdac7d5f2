//! How something that happened becomes an event.

pub mod mail;
