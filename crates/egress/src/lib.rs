//! Outbound HTTP that cannot reach inside addresses.
//!
//! **Promises.** No request reaches an address that is not public unless the
//! operator's [`Policy`] opens it: every attempt resolves the name, vets *all*
//! the answers and connects to one of exactly these, so there is no gap for a
//! DNS answer that changes. One call of [`Client::post`] writes at most one
//! request. Its deadline covers name lookup, connect, TLS, headers and body,
//! and reading stops at the cap. A [`Gate`] is asked last, and the write of the
//! request's first byte happens while the gate is held.
//!
//! **Never.** It does not follow redirects, read proxy settings from the
//! environment, decompress, send a request a second time once a byte of it was
//! written, or let two tenants share a connection or a TLS session.
//!
//! It knows nothing of webhooks: what to send, whether an answer is a success
//! and when to try again is the caller's business.

mod address;
mod client;
mod clock;
mod connect;
mod exchange;
mod failure;
mod gate;
mod policy;
mod pool;
mod resolve;
mod target;
mod tls;

pub use client::{BuildError, Client, Limits, Request};
pub use exchange::{Answer, BodyEnd};
pub use failure::{Failure, FailureKind, Phase};
pub use gate::{AlwaysOpen, Gate, GateDecision};
pub use policy::{Policy, Verdict};
pub use resolve::ResolverConfig;
pub use target::{Target, UrlError};
pub use tls::Roots;

/// A certificate in DER, as [`Roots::Given`] takes it.
pub use rustls::pki_types::CertificateDer;
