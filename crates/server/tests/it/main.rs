//! Everything together: the real router on a real store.

mod auth;
mod openapi;
mod shell;
mod subscriptions;
mod support;
