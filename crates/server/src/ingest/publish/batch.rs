//! Publishing several events at once: all of them are accepted, or none.

use sha2::{Digest, Sha256};

use super::{Parts, Publish, PublishError, Published, build};
use crate::domain::number::OrganizationNo;
use crate::store::accept::{AcceptBatch, Accepted, BatchRefusal, NewBatch};
use crate::store::error::StoreError;

/// Bytes of a batch's events at most, with the people that are named in them: what one transaction takes.
const MAX_PAYLOADS: usize = 8 * 1024 * 1024;

/// Why a batch is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// One of its events cannot be.
    #[error("event {index} of the batch: {error}")]
    Event {
        /// Which, counted from 0.
        index: usize,
        /// Why.
        #[source]
        error: PublishError,
    },
    /// Two of its events have the same id and are not the same.
    #[error("event {index} of the batch has the id of an earlier one, and is another event")]
    IdRepeated {
        /// The later one, counted from 0.
        index: usize,
    },
    /// With the people whom its events name they are larger than one transaction may be.
    #[error("with the contacts and agents that they name they are larger than {MAX_PAYLOADS} bytes")]
    TooLarge,
    /// The key was used for something else.
    #[error("the Idempotency-Key was used for something else")]
    KeyReused,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Accepts all events of a batch: committed and synced, with their deliveries, when this returns. The key
/// covers the batch; the events have none of their own.
///
/// # Errors
/// See [`BatchError`]; none of them leaves anything behind.
pub async fn publish_batch(
    parts: Parts<'_>,
    organization: OrganizationNo,
    idempotency_key: Option<String>,
    batch: Vec<Publish>,
) -> Result<Vec<Published>, BatchError> {
    let mut events = Vec::with_capacity(batch.len());
    let mut hash = Sha256::new();
    let mut bytes = 0;
    // A batch of one is not the event that it holds.
    hash.update(b"batch");
    for (index, publish) in batch.into_iter().enumerate() {
        let event = build(parts, publish).await.map_err(|error| BatchError::Event { index, error })?;
        hash.update(event.request_hash);
        bytes += event.payload.len();
        if bytes > MAX_PAYLOADS {
            return Err(BatchError::TooLarge);
        }
        events.push(event);
    }
    let batch = NewBatch { organization, idempotency_key, request_hash: hash.finalize().into(), events };
    let (index, error) = match parts.store.accept_batch(batch).await? {
        AcceptBatch::Accepted(accepted) => {
            if accepted.iter().any(|event| event.waiting) {
                parts.queued.ring();
            }
            return Ok(accepted.iter().map(published).collect());
        }
        AcceptBatch::KeyReused => return Err(BatchError::KeyReused),
        AcceptBatch::Refused { index, refusal: BatchRefusal::IdRepeated } => {
            return Err(BatchError::IdRepeated { index });
        }
        AcceptBatch::Refused { index, refusal: BatchRefusal::OwnerGone } => {
            (index, PublishError::OwnerNotFound)
        }
        AcceptBatch::Refused { index, refusal: BatchRefusal::Expired } => (index, PublishError::Expired),
        AcceptBatch::Refused { index, refusal: BatchRefusal::IdReused } => (index, PublishError::IdReused),
    };
    Err(BatchError::Event { index, error })
}

fn published(accepted: &Accepted) -> Published {
    Published { id: accepted.id, deliveries: accepted.deliveries, duplicate: accepted.duplicate }
}
