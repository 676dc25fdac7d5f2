//! Everything together: the real router on a real store.

mod architecture;
mod contract;
mod support;
