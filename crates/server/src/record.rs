//! From what an attempt came to, to what is written: [`decide`] is pure, the store's settle does the rest.

pub mod alert;
pub mod decide;
