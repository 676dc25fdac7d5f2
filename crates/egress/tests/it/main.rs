//! Attempts against scripted receivers and name servers on loopback.

mod connections;
mod gate;
mod names;
mod nameserver;
mod receiver;
mod responses;
mod support;
mod tls;
