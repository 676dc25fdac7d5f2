//! Everything together: the real router on a real store.

#![expect(unreachable_pub, reason = "a test binary has no public interface")]

mod architecture;
mod auth;
mod contract;
mod crash;
mod flow;
mod openapi;
mod shell;
mod subscriptions;
mod support;
