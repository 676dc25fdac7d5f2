//! The only network call of a delivery.
//!
//! The right to write is a function that the caller gives: it is handed the write of the first byte, and
//! either makes it or says why not. The database is behind that function, or is not; nothing here knows.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use inkhook_egress::{Client, Gate, GateDecision, Request};
use tokio_util::sync::CancellationToken;

use super::classify;
use crate::domain::attempt::Outcome;
use crate::domain::slots::Turn;
use crate::domain::time::Clock;

/// What the gate said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// The bytes were written.
    Granted,
    /// The subscription changed since the claim, or the event expired.
    Changed,
    /// The lease does not cover the attempt any more.
    LeaseOver,
}

const NOT_ASKED: u8 = 0;
const GRANTED: u8 = 1;
const CHANGED: u8 = 2;
const LEASE_OVER: u8 = 3;

/// Remembers what the gate said, for whoever has to explain how the attempt ended.
struct Asked<F> {
    may_write: F,
    said: Arc<AtomicU8>,
    before: Before,
}

/// Asks whether the right to write still stands, when the connection is there; nothing when that is known.
pub type Confirm = Arc<dyn Fn() -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> + Send + Sync>;

/// What is waited for when the connection is ready, before the request is put on it.
#[derive(Clone, Default)]
pub struct Before {
    /// Its turn among the attempts of its subscription.
    pub turn: Option<Arc<Turn>>,
    /// Whether it may still be sent, where somebody else decides that, too.
    pub confirm: Option<Confirm>,
}

impl std::fmt::Debug for Before {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Before").field("turn", &self.turn).finish_non_exhaustive()
    }
}

impl<F: Fn(&mut dyn FnMut()) -> Permission + Send + 'static> Gate for Asked<F> {
    fn enter(&self, write: &mut dyn FnMut()) -> GateDecision {
        let permission = (self.may_write)(write);
        let (said, decision) = match permission {
            Permission::Granted => (GRANTED, GateDecision::Pass),
            Permission::Changed => (CHANGED, GateDecision::Closed),
            Permission::LeaseOver => (LEASE_OVER, GateDecision::Closed),
        };
        self.said.store(said, Ordering::Release);
        decision
    }

    fn turn(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let Before { turn, confirm } = self.before.clone();
        let ask = move || confirm.as_ref().and_then(|confirm| confirm());
        let must_wait = turn.as_ref().is_some_and(|turn| !turn.has_come());
        let question = if must_wait { None } else { ask() };
        if !must_wait && question.is_none() {
            turn.inspect(|turn| turn.pass());
            return None;
        }
        Some(Box::pin(async move {
            if let Some(turn) = turn.as_ref().filter(|_| must_wait) {
                turn.come().await;
            }
            if let Some(question) = question.or_else(ask) {
                question.await;
            }
            // The request goes to its connection next, without a pause: to wait for the first byte itself would
            // make a chain of wake-ups of all attempts of a subscription.
            turn.inspect(|turn| turn.pass());
        }))
    }
}

/// Sends one request and reports what came of it. `cut_off` ends it at once. Bodies from addresses that
/// only the operator opened are kept when `keep_inside_bodies` says so. It begins when what comes `before` is over.
pub async fn send(
    client: &Client,
    request: Request,
    may_write: impl Fn(&mut dyn FnMut()) -> Permission + Send + 'static,
    before: Before,
    clock: &Clock,
    cut_off: &CancellationToken,
    keep_inside_bodies: bool,
) -> Outcome {
    let started_at = clock.wall();
    let said = Arc::new(AtomicU8::new(NOT_ASKED));
    let gate = Asked { may_write, said: said.clone(), before };
    let result = tokio::select! {
        result = client.post(request, gate) => result,
        () = cut_off.cancelled() => {
            return Outcome::CutOff { request_started: said.load(Ordering::Acquire) == GRANTED };
        }
    };
    match result {
        Ok(answer) => Outcome::Made(classify::answer(answer, started_at, clock.wall(), keep_inside_bodies)),
        Err(failure) if classify::gate_closed(&failure) => match said.load(Ordering::Acquire) {
            LEASE_OVER => Outcome::LeaseOver,
            _ => Outcome::Changed,
        },
        Err(failure) => {
            Outcome::Made(classify::failure(failure, started_at, clock.wall(), keep_inside_bodies))
        }
    }
}
