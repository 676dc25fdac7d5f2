//! The wire of inkhook: what travels between an Inkbox-compatible webhook server, those who
//! publish to it and those who receive from it.
//!
//! - [`event`]: the catalogue of event types
//! - [`id`]: typed ids
//! - [`envelope`] and [`payload`]: the body of a delivery, typed for every event
//! - [`sign`]: signing and verifying, Inkbox and Standard Webhooks
//! - [`validate`]: checking what was published, and filling in what the server knows
#![cfg_attr(feature = "axum", doc = "- [`axum`]: extractors that verify (feature `axum`)")]
//!
//! There is no I/O in here, no clock and no randomness: time, random bytes and fresh ids are
//! arguments. The same call with the same arguments gives the same answer.
//!
//! # A receiver
//!
//! Verify the bytes as they were read, then look inside:
//!
//! ```
//! use inkhook_wire::envelope::Envelope;
//! use inkhook_wire::payload::mail::MailData;
//! use inkhook_wire::sign::{self, SigningKey, verify_inkbox};
//! # use inkhook_wire::{envelope, event::EventType};
//! # let id = "evt_1f0b3c52-7a64-4f0e-9b1d-2c55a0a9d001".parse()?;
//! # let data = EventType::MessageReceived.sample().to_string();
//! # let body = envelope::write(id, EventType::MessageReceived, "2026-03-14T15:09:26Z", &data);
//! # let key = SigningKey::new("whsec_demo-secret");
//! # let now_unix = 1_780_000_000;
//! # let signature = sign::sign_inkbox(&key, "req_1", now_unix, body.as_bytes());
//! # let headers = [
//! #     (sign::HEADER_REQUEST_ID, "req_1"),
//! #     (sign::HEADER_TIMESTAMP, "1780000000"),
//! #     (sign::HEADER_SIGNATURE, &*signature),
//! # ];
//!
//! // `headers` yields names and values: an `&http::HeaderMap` will do.
//! verify_inkbox("whsec_demo-secret", headers, body.as_bytes(), Some(now_unix))?;
//! let event: Envelope<MailData> = serde_json::from_str(&body)?;
//! assert_eq!(event.data.message.from_address, "noor@example.org");
//!
//! let tampered = body.replace("noor@", "n00r@");
//! let refused = verify_inkbox("whsec_demo-secret", headers, tampered.as_bytes(), Some(now_unix));
//! assert_eq!(refused, Err(sign::VerifyError::Mismatch));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "axum")]
pub mod axum;
pub mod envelope;
pub mod event;
pub mod id;
pub mod payload;
pub mod sign;
pub mod validate;

/// Keeps the README's code compiling.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;
