//! Everything together: the real router on a real store.

#![expect(unreachable_pub, reason = "a test binary has no public interface")]

mod accounts;
mod alerts;
mod architecture;
mod auth;
mod calls;
mod cluster;
mod command;
mod contacts;
mod contract;
mod copy;
mod crash;
mod events;
mod flow;
mod health;
mod mail;
mod measuring;
mod migrations;
mod misbehaving;
mod model;
mod openapi;
mod process;
mod replica;
mod routes;
mod shell;
mod signup;
mod store;
mod subscriptions;
mod support;
