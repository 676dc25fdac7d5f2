//! What the application talks about: ids, time, events, deliveries, attempts and the rules that need
//! nothing but values.
//!
//! Nothing here does I/O, reads a clock or draws a random number; time and entropy come in as arguments
//! whose types live in [`time`] and [`entropy`].

pub mod alert;
pub mod api_key;
pub mod attempt;
pub mod call;
pub mod caller;
pub mod contact;
pub mod context;
pub mod conversation;
pub mod delivery;
pub mod entropy;
pub mod generations;
pub mod health;
pub mod identity;
pub mod mail_address;
pub mod metrics;
pub mod names;
pub mod number;
pub mod organization;
pub mod owner;
pub mod patch;
pub mod phone_number;
pub mod rate;
pub mod recover;
pub mod retention;
pub mod retry;
pub mod secret;
pub mod signing;
pub mod signup;
pub mod slots;
pub mod stats;
pub mod subscription;
pub mod time;
