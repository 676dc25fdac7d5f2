//! The store by itself: what each verb promises, and what it does when the disk does not.

mod conformance;
mod contacts;
mod failures;
mod log;
mod nodes;
mod ordering;
mod plans;
