//! Randomness as a value: ids, key material and jitter all come from one [`Entropy`].
//!
//! Production seeds it from the operating system; tests give a seed and get the same ids every run.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use uuid::Uuid;

use super::time::TimeMs;

/// A cryptographically secure source of random bytes, shared by clones.
#[derive(Clone)]
pub struct Entropy(Arc<Mutex<StdRng>>);

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy")
    }
}

impl Entropy {
    /// Seeded by the operating system.
    ///
    /// # Errors
    /// The operating system gave no random bytes.
    pub fn system() -> Result<Self, getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(Self(Arc::new(Mutex::new(StdRng::from_seed(seed)))))
    }

    /// The same sequence for the same seed: tests only.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// `N` random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        bytes
    }

    /// A random (version 4) UUID: for ids that must not tell when they were made.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }

    /// A time-ordered (version 7) UUID.
    #[must_use]
    pub fn uuid_at(&self, now: TimeMs) -> Uuid {
        let millis = u64::try_from(now.0).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &self.bytes()).into_uuid()
    }

    /// A factor between `1 - share` and `1 + share`.
    #[must_use]
    pub fn jitter(&self, share: f64) -> f64 {
        let unit: f64 = self.0.lock().unwrap_or_else(PoisonError::into_inner).random();
        1.0 + share * (2.0 * unit - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_sequence() {
        assert_eq!(Entropy::seeded(7).uuid(), Entropy::seeded(7).uuid());
        assert_ne!(Entropy::seeded(7).uuid(), Entropy::seeded(8).uuid());
    }

    #[test]
    fn version_7_ids_carry_their_time() {
        let id = Entropy::seeded(1).uuid_at(TimeMs(1_780_000_000_123));
        let (seconds, nanos) = id.get_timestamp().expect("a version 7 id").to_unix();
        assert_eq!((seconds, nanos / 1_000_000), (1_780_000_000, 123));
    }

    #[test]
    fn jitter_stays_in_its_share() {
        let entropy = Entropy::seeded(3);
        for _ in 0..1000 {
            let factor = entropy.jitter(0.2);
            assert!((0.8..=1.2).contains(&factor), "{factor}");
        }
    }
}
