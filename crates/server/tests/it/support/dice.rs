//! Chance that can be played again: the seed is printed, and `INKHOOK_TEST_SEED` sets it.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The environment's seed, or a new one; it is printed.
pub fn seed(test: &str) -> u64 {
    told(test, || getrandom::u64().expect("random bytes"))
}

/// The environment's seed, or this one; it is printed.
pub fn seed_or(test: &str, otherwise: u64) -> u64 {
    told(test, || otherwise)
}

fn told(test: &str, otherwise: impl FnOnce() -> u64) -> u64 {
    let seed = std::env::var("INKHOOK_TEST_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seed = seed.unwrap_or_else(otherwise);
    println!("{test}: INKHOOK_TEST_SEED={seed}");
    seed
}

/// One sequence of throws, shared by everyone who holds a clone.
#[derive(Debug, Clone)]
pub struct Dice(Arc<Mutex<StdRng>>);

impl Dice {
    /// From the environment's seed, or a new one.
    pub fn new(test: &str) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed(test)))))
    }

    pub fn number(&self, range: Range<u64>) -> u64 {
        self.0.lock().expect("no panic").random_range(range)
    }

    pub fn millis(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }

    /// True once in `of` throws.
    pub fn once_in(&self, of: u64) -> bool {
        self.number(0..of) == 0
    }
}
