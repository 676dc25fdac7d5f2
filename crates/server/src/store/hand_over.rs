//! Handing a claim to the engine with the commit that made it.
//!
//! An engine that has taken its seat lends the writer its slots. An accept whose subscription has nothing
//! waiting then leases the new delivery in its own transaction, and a settle may lease the next one that
//! waits; after the commit they are handed over. They are claims like any other: the row says so, and a
//! lease that ends takes them back. Without an engine everything waits in the table.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::Store;
use crate::domain::delivery::Leased;
use crate::domain::slots::Slots;

/// What the engine lends the writer.
#[derive(Debug, Clone)]
pub(super) struct Seat {
    /// Who may start an attempt.
    pub(super) slots: Slots,
    /// The limit of an attempt whose subscription sets none.
    pub(super) timeout: Duration,
    sender: mpsc::UnboundedSender<Vec<Leased>>,
}

impl Seat {
    /// After the commit. As many as there are slots at most are under way, so the channel is bounded too.
    pub(super) fn hand_over(&self, leased: Vec<Leased>) {
        // An engine that has gone meanwhile leaves the leases to end by themselves.
        drop(self.sender.send(leased));
    }
}

/// Where the engine's seat is, if it has one.
#[derive(Debug, Clone, Default)]
pub(super) struct Seats {
    seat: Arc<Mutex<Option<Seat>>>,
    /// Nothing is handed over for now, whoever sits there.
    withheld: Arc<AtomicBool>,
}

impl Seats {
    /// The seat now.
    pub(super) fn current(&self) -> Option<Seat> {
        if self.withheld.load(Ordering::Relaxed) {
            return None;
        }
        let seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
        seat.as_ref().filter(|seat| !seat.sender.is_closed()).cloned()
    }

    fn set(&self, seat: Option<Seat>) {
        *self.seat.lock().unwrap_or_else(PoisonError::into_inner) = seat;
    }

    /// Whether anything is handed over.
    pub(super) fn withhold(&self, withheld: bool) {
        self.withheld.store(withheld, Ordering::Relaxed);
    }

    /// Whether nothing is.
    pub(super) fn is_withheld(&self) -> bool {
        self.withheld.load(Ordering::Relaxed)
    }
}

/// What is handed over; dropping it gives the seat up.
#[derive(Debug)]
pub struct HandedOver {
    receiver: mpsc::UnboundedReceiver<Vec<Leased>>,
}

impl HandedOver {
    /// The next that a commit brought.
    pub async fn next(&mut self) -> Option<Vec<Leased>> {
        self.receiver.recv().await
    }

    /// What `other` comes to; whatever commits bring meanwhile is started. It is leased already, and where a bell
    /// rings without end it would otherwise wait for one look at the queue after the other.
    pub async fn start_beside<T>(
        &mut self,
        other: impl Future<Output = T>,
        mut start: impl FnMut(Vec<Leased>),
    ) -> T {
        let mut other = std::pin::pin!(other);
        loop {
            tokio::select! {
                biased;
                Some(leased) = self.next() => start(leased),
                done = &mut other => return done,
            }
        }
    }

    /// Takes nothing more; what has been brought already can still be had.
    pub fn close(&mut self) {
        self.receiver.close();
    }

    /// What has been brought already.
    pub fn ready(&mut self) -> Option<Vec<Leased>> {
        self.receiver.try_recv().ok()
    }
}

impl Store {
    /// Takes the engine's seat: from now on new deliveries may come with their commit. Whoever had the seat
    /// before has it no more.
    #[must_use]
    pub fn take_seat(&self, slots: Slots, timeout: Duration) -> HandedOver {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.writer.seats().set(Some(Seat { slots, timeout, sender }));
        HandedOver { receiver }
    }

    /// Gives the seat up, and resolves when all that commits bring to whoever had it has been brought: a transaction
    /// that is under way may have leased for it.
    pub async fn leave_seat(&self) {
        self.writer.seats().set(None);
        // A writer that is gone brings nothing.
        drop(self.change(|_| Ok(())).await);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_is_handed_over_does_not_wait_for_a_look_at_the_queue() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut handed = HandedOver { receiver };
        let (looked, look) = oneshot::channel();
        let mut looked = Some(looked);
        sender.send(Vec::new()).expect("somebody listens");
        sender.send(Vec::new()).expect("somebody listens");

        // The look ends only after both were started.
        let mut started = 0;
        let start = |_| {
            started += 1;
            if started == 2 {
                looked.take().map(|looked| looked.send("what was due"));
            }
        };
        let found = handed.start_beside(look, start).await;

        assert_eq!(found.as_deref(), Ok("what was due"));
    }

    #[tokio::test]
    async fn a_look_at_the_queue_ends_when_nothing_is_handed_over_any_more() {
        let (_, receiver) = mpsc::unbounded_channel();
        let mut handed = HandedOver { receiver };

        let found =
            handed.start_beside(async { "what was due" }, |_| panic!("nothing was handed over")).await;

        assert_eq!(found, "what was due");
    }
}
