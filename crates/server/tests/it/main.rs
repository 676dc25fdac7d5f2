//! Everything together: the real router on a real store.

mod architecture;
mod auth;
mod contract;
mod openapi;
mod shell;
mod support;
