//! Who signs when: a key that is to follow another is known before it signs, and is picked by the time.
//!
//! No job turns keys over. A key has the time from which it signs, so every node changes to it at once, and one
//! that was down meanwhile signs with the right one, too.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use inkhook_wire::sign::SigningKey;
use inkhook_wire::sign::asymmetric::SecretKey;

use super::secret::Secret;
use super::time::TimeMs;

/// A key may be made so long before it signs.
pub const MAX_ACTIVATE_AFTER: Duration = Duration::from_hours(7 * 24);

/// How long a public key is published after another has taken its place: receivers take a request for so long.
pub const PUBLISHED_AFTER: Duration = Duration::from_mins(5);

/// What signs for somebody.
#[derive(Debug, Clone)]
pub struct Signer {
    first: SigningKey,
    /// By the time from which each signs.
    later: Vec<(TimeMs, SigningKey)>,
    asymmetric: Vec<(TimeMs, Arc<KeyPair>)>,
}

impl Signer {
    /// This key signs.
    #[must_use]
    pub fn new(first: SigningKey) -> Self {
        Self { first, later: Vec::new(), asymmetric: Vec::new() }
    }

    /// From then on this one signs, whatever else was to begin by then or later.
    #[must_use]
    pub fn then(mut self, from: TimeMs, key: SigningKey) -> Self {
        self.later.retain(|(begins, _)| *begins < from);
        self.later.push((from, key));
        self
    }

    /// From then on this one makes the signatures that a public key verifies.
    #[must_use]
    pub fn then_asymmetric(mut self, from: TimeMs, key: Arc<KeyPair>) -> Self {
        self.asymmetric.retain(|(begins, _)| *begins < from);
        self.asymmetric.push((from, key));
        self
    }

    /// The key that signs now.
    #[must_use]
    pub fn key(&self, now: TimeMs) -> &SigningKey {
        in_force(&self.later, now).unwrap_or(&self.first)
    }

    /// The key that will sign next.
    #[must_use]
    pub fn pending(&self, now: TimeMs) -> Option<&SigningKey> {
        self.later.iter().find(|(from, _)| *from > now).map(|(_, key)| key)
    }

    /// What makes the signatures that a public key verifies now, if anything does.
    #[must_use]
    pub fn asymmetric(&self, now: TimeMs) -> Option<&SecretKey> {
        in_force(&self.asymmetric, now).and_then(|pair| pair.key())
    }
}

fn in_force<K>(steps: &[(TimeMs, K)], now: TimeMs) -> Option<&K> {
    steps.iter().rev().find(|(from, _)| *from <= now).map(|(_, key)| key)
}

/// A key pair as it is told, read when it is needed first: that takes as long as a signature, and whoever looks at a
/// subscription for other reasons never needs it.
#[derive(Debug)]
pub struct KeyPair {
    text: Secret,
    key: OnceLock<Option<SecretKey>>,
}

impl KeyPair {
    /// From the text of the secret half.
    #[must_use]
    pub fn new(text: Secret) -> Self {
        Self { text, key: OnceLock::new() }
    }

    /// The key; `None` when the text is none, which nobody stored.
    fn key(&self) -> Option<&SecretKey> {
        self.key.get_or_init(|| self.text.expose().parse().ok()).as_ref()
    }
}

/// When keys were made and begin to sign, without the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyDates {
    /// When the first of them was made, if there is one.
    pub created_at: Option<TimeMs>,
    /// When the one that follows was made, and when it begins.
    pub next: Option<(TimeMs, TimeMs)>,
}

/// Whether there is a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SigningKeyStatus {
    /// When the one that signs was made; `None`: there is none.
    pub created_at: Option<TimeMs>,
    /// From when another will sign, if one is to.
    pub pending_from: Option<TimeMs>,
}

impl KeyDates {
    /// As it is now.
    #[must_use]
    pub fn at(self, now: TimeMs) -> SigningKeyStatus {
        match self.next {
            Some((created, from)) if from <= now => {
                SigningKeyStatus { created_at: Some(created), pending_from: None }
            }
            next => {
                SigningKeyStatus { created_at: self.created_at, pending_from: next.map(|(_, from)| from) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer::new(SigningKey::new("a")).then(TimeMs(10), SigningKey::new("b"))
    }

    #[test]
    fn a_key_signs_from_its_time_on_and_is_pending_before() {
        let signer = signer();
        let at = |now: i64| {
            let pending = signer.pending(TimeMs(now)).map(SigningKey::secret);
            (signer.key(TimeMs(now)).secret(), pending)
        };
        assert_eq!(at(9), ("a", Some("b")));
        assert_eq!(at(10), ("b", None));
        assert!(signer.asymmetric(TimeMs(10)).is_none());
    }

    #[test]
    fn what_was_to_begin_later_is_replaced() {
        let sooner = signer().then(TimeMs(5), SigningKey::new("c"));
        assert_eq!(sooner.key(TimeMs(20)).secret(), "c");
        let between = signer().then(TimeMs(15), SigningKey::new("c"));
        assert_eq!(between.key(TimeMs(12)).secret(), "b", "both have their time");
        assert_eq!(between.pending(TimeMs(9)).map(SigningKey::secret), Some("b"));
        assert_eq!(between.key(TimeMs(15)).secret(), "c");
    }

    #[test]
    fn dates_say_what_the_keys_do() {
        let dates = KeyDates { created_at: Some(TimeMs(1)), next: Some((TimeMs(2), TimeMs(10))) };
        let at = |now: i64| {
            let SigningKeyStatus { created_at, pending_from } = dates.at(TimeMs(now));
            (created_at.map(|at| at.0), pending_from.map(|at| at.0))
        };
        assert_eq!(at(9), (Some(1), Some(10)));
        assert_eq!(at(10), (Some(2), None));
        assert_eq!(KeyDates::default().at(TimeMs(5)), SigningKeyStatus::default());
    }
}
