//! Bells: "look again", and nothing more.
//!
//! A bell carries no data and may be missed without harm: whoever waits also polls. Subscribe first, then
//! look, then wait.

use tokio::sync::watch;

/// One bell. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bell(watch::Sender<u64>);

/// Hears a bell from the moment it was made.
#[derive(Debug)]
pub struct Listener(watch::Receiver<u64>);

impl Default for Bell {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Bell {
    /// Wakes every listener.
    pub fn ring(&self) {
        self.0.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Hears every ring from now on.
    #[must_use]
    pub fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}

impl Listener {
    /// Waits for the next ring; returns at once when it rang since the last call.
    pub async fn rung(&mut self) {
        if self.0.changed().await.is_err() {
            // The bell is gone: it will never ring again, and the poll goes on.
            std::future::pending::<()>().await;
        }
    }
}

/// The bells of one server.
#[derive(Debug, Clone, Default)]
pub struct Bells {
    /// Something may have become due.
    pub queued: Bell,
    /// A delivery made by hand has ended.
    pub ended: Bell,
    /// There is something to tidy up.
    pub tidy: Bell,
    /// A sign-up's code waits to be mailed.
    pub mail: Bell,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ring_between_two_waits_is_not_missed() {
        let bell = Bell::default();
        let mut listener = bell.listen();
        bell.ring();
        bell.ring();
        listener.rung().await;
        let again = tokio::time::timeout(std::time::Duration::from_millis(1), listener.rung()).await;
        assert!(again.is_err(), "two rings before one look are one wake-up");
    }
}
