//! Every verb's promises, through the verbs. Nothing here knows which backend it runs on.

mod accept;
mod backlog;
mod cancel;
mod claim;
mod context;
mod delete;
mod forget;
mod hand_over;
mod heads;
mod health;
mod idempotency;
mod leases;
pub mod lists;
pub mod ordering;
mod recover;
mod replay;
mod retention;
mod settle;
mod waiting;
