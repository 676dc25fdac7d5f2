//! The body that a delivery sends: its event's, or one of its own with a context.
//!
//! Between the claim and the gate, and only for deliveries that may have one. What is kept for a delivery is sent as
//! it is; otherwise a context is built, for so long and no longer, and kept before anything is sent. What could not be
//! read by then is sent as unavailable: a message is worth more than what came before it. A claim that does not stand
//! any more sends nothing.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Parts;
use super::pump::pause;
use crate::domain::attempt::Outcome;
use crate::domain::delivery::Claimed;
use crate::domain::slots::Slot;
use crate::store::Store;
use crate::store::context::{Asked, Body, Keep};
use crate::store::failpoint::{self, Place};

/// The claim with the body that is to be sent, or why none is.
pub(super) async fn with_body(
    parts: &Parts,
    claimed: Claimed,
    slot: &mut Slot,
    cut_off: &CancellationToken,
) -> Result<Claimed, (Claimed, Outcome)> {
    if claimed.target.context_with(claimed.event.event_type).is_none() {
        return Ok(claimed);
    }
    let asked = Asked {
        delivery: claimed.delivery,
        event: claimed.event.seq,
        event_type: claimed.event.event_type,
        payload: claimed.event.payload.clone(),
        config: claimed.context_to_build().cloned(),
    };
    let (metrics, began) = (parts.store.metrics(), parts.clock.monotonic());
    let found = tokio::select! {
        found = found(&parts.store, &asked, parts.settings.context_limit) => found,
        () = cut_off.cancelled() => return Err((claimed, Outcome::CutOff { request_started: false })),
    };
    let body = match found {
        Some(Body::Kept(body)) => Ok(Keep::Body(body)),
        Some(Body::Plain) => Ok(Keep::Nothing),
        Some(Body::New(body)) => {
            failpoint::reach(Place::BodyBuilt);
            let kept = parts.store.keep_body(&claimed, Some(body)).await;
            metrics.context_us.observe_time(parts.clock.monotonic().saturating_sub(began));
            kept
        }
        // Whatever is kept already, the writer knows it.
        None => {
            metrics.contexts_unread.add(1);
            parts.store.keep_body(&claimed, Store::unavailable_context(&asked)).await
        }
    };
    failpoint::reach(Place::BodyKept);
    let mut claimed = claimed;
    match body {
        Ok(Keep::Body(body)) => claimed.event.payload = body,
        Ok(Keep::Nothing) => {}
        Ok(Keep::Lost) => return Err((claimed, Outcome::LeaseOver)),
        Err(error) => {
            // Put back: nothing is sent that the log would not show.
            tracing::error!(error = &error as &dyn std::error::Error, "a body could not be kept");
            return Err((claimed, Outcome::Changed));
        }
    }
    slot.shrink_to(claimed.event.payload.len());
    Ok(claimed)
}

/// What is kept, or what is to be, if it could be read within the time that there is for it.
async fn found(store: &Store, asked: &Asked, limit: Duration) -> Option<Body> {
    tokio::select! {
        read = store.context_body(asked.clone()) => match read {
            Ok(body) => Some(body),
            Err(error) => {
                tracing::warn!(%error, event = asked.event.0, "a context could not be read");
                None
            }
        },
        () = pause(limit) => {
            tracing::warn!(event = asked.event.0, "a context took too long to read");
            None
        }
    }
}
