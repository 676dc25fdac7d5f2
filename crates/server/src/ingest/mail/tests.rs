//! The corpus, the bounds, and what holds for any bytes.

mod bounds;
mod corpus;
mod property;
