//! The inkhook server: webhook subscriptions and delivery for the mailboxes and phone numbers of agents.
//!
//! The flow, the rooms and who may import whom are described in `ARCHITECTURE.md`.

pub mod api;
pub mod app;
pub mod calls;
pub mod cli;
pub mod config;
pub mod deliver;
pub mod domain;
pub mod engine;
pub mod ingest;
pub mod lifecycle;
pub mod record;
pub mod relay;
pub mod server;
pub mod smtp_in;
pub mod store;
pub mod telemetry;
pub mod wake;
