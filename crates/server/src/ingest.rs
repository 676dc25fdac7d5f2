//! How something that happened becomes an event: checked, completed, written once, durable before it is
//! answered.
//!
//! [`publish`] is the API's way in, [`receive`] the mail's. Both end in the store's accepting transaction
//! and ring the engine's bell.

pub mod mail;
mod people;
pub mod publish;
pub mod receive;
pub mod sample;
