//! The official client libraries, unmodified, against a running server on a real port.
//!
//! Each does what its users do: asks who it is, makes an identity, subscribes, lists, filters, changes, reads
//! the signing key that is shown once, receives a POST and verifies it with its own function, reads the log,
//! replays, and meets every kind of refusal as the exception that it has for it. Only publishing an event is
//! done without a library, because none has a call for it. `payloads` holds what is delivered, of every event
//! type, against the types that the libraries declare.
//!
//! `matrix` runs many versions, takes the list of their calls from the libraries themselves, and lets none be
//! missing; `docs/compatibility.md` shows what it found.

mod matrix;
mod payloads;
mod python;
mod receiver;
mod relay;
mod report;
mod rust;
mod rust_book;
mod rust_calls;
mod rust_source;
