//! Load and a receiver, for measuring servers that deliver webhooks, ours first.
//!
//! Driver and receiver speak HTTP/1.1 on plain sockets, because they share the machine with what they measure.
//! The binary `inkhook-bench` is the front; the server's tests use the receiver's bad manners.

pub mod api;
pub mod ceiling;
pub mod cli;
pub mod clock;
pub mod drive;
pub mod http;
pub mod latency;
pub mod matrix;
pub mod neighbours;
pub mod postgres;
pub mod process;
pub mod progress;
pub mod receive;
pub mod scene;
pub mod seed;
pub mod store;
pub mod table;
