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
    turn: Option<Arc<Turn>>,
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
        let turn = self.turn.as_ref()?;
        if turn.has_come() {
            turn.pass();
            return None;
        }
        let turn = turn.clone();
        Some(Box::pin(async move {
            turn.come().await;
            // The request goes to its connection next, without a pause: to wait for the first byte itself would
            // make a chain of wake-ups of all attempts of a subscription.
            turn.pass();
        }))
    }
}

/// Sends one request and reports what came of it. `cut_off` ends it at once. Bodies from addresses that
/// only the operator opened are kept when `keep_inside_bodies` says so. It begins when its `turn` has come.
pub async fn send(
    client: &Client,
    request: Request,
    may_write: impl Fn(&mut dyn FnMut()) -> Permission + Send + 'static,
    turn: Option<Arc<Turn>>,
    clock: &Clock,
    cut_off: &CancellationToken,
    keep_inside_bodies: bool,
) -> Outcome {
    let started_at = clock.wall();
    let said = Arc::new(AtomicU8::new(NOT_ASKED));
    let gate = Asked { may_write, said: said.clone(), turn };
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
