//! Publishing: what a platform says happened to one of its agents.
//!
//! Order of checks: the data's form, the owner, the data's shape, then inside the accepting transaction
//! repeats, expiry and the owner again.

mod batch;

use bytes::Bytes;
use inkhook_wire::envelope;
use inkhook_wire::event::{EventType, OwnerKind};
use inkhook_wire::id::EventId;
use inkhook_wire::validate::{DataError, OwnerFacts as WireFacts, ParsedData};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::people::Participants;
use crate::domain::entropy::Entropy;
use crate::domain::number::OrganizationNo;
use crate::domain::owner::{Owner, OwnerFacts};
use crate::domain::time::{Clock, TimeMs};
use crate::store::Store;
use crate::store::accept::{Accept, NewEvent};
use crate::store::error::StoreError;
use crate::wake::Bell;

pub use self::batch::{BatchError, publish_batch};

/// What is published.
#[derive(Debug)]
pub struct Publish {
    /// Whose event it is.
    pub organization: OrganizationNo,
    /// Its type.
    pub event_type: EventType,
    /// What it happened to.
    pub owner: Owner,
    /// The data as it came.
    pub data: Box<RawValue>,
    /// The id, when the publisher gives it.
    pub id: Option<EventId>,
    /// When it happened, as written by the publisher.
    pub timestamp: Option<String>,
    /// No attempt starts after this.
    pub expires_at: Option<TimeMs>,
    /// `Idempotency-Key`.
    pub idempotency_key: Option<String>,
}

/// Why an event is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The owner is not there, or not the caller's.
    #[error("owner not found")]
    OwnerNotFound,
    /// The data does not have the type's shape.
    #[error(transparent)]
    Data(#[from] DataError),
    /// `expires_at` is not in the future.
    #[error("expires_at is not in the future")]
    Expired,
    /// The key was used for something else.
    #[error("the Idempotency-Key was used for another event")]
    KeyReused,
    /// The id was used for something else.
    #[error("the id was used for another event")]
    IdReused,
    /// Key and id name different events.
    #[error("the Idempotency-Key and the id name different events")]
    KeyAndIdDiffer,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What publishing needs.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// Where events go.
    pub store: &'a Store,
    /// When they are accepted.
    pub clock: &'a Clock,
    /// Their ids.
    pub entropy: &'a Entropy,
    /// Wakes the engine.
    pub queued: &'a Bell,
}

/// The answer to a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The event's id.
    pub id: EventId,
    /// Deliveries made when it was accepted.
    pub deliveries: u32,
    /// It had been accepted before.
    pub duplicate: bool,
}

/// Accepts an event: committed and synced, with its deliveries, when this returns.
///
/// # Errors
/// See [`PublishError`]; none of them leaves anything behind.
pub async fn publish(parts: Parts<'_>, publish: Publish) -> Result<Published, PublishError> {
    let event = build(parts, publish).await?;
    match parts.store.accept(event).await? {
        Accept::Accepted(accepted) => {
            if accepted.waiting {
                parts.queued.ring();
            }
            Ok(Published { id: accepted.id, deliveries: accepted.deliveries, duplicate: accepted.duplicate })
        }
        Accept::OwnerGone => Err(PublishError::OwnerNotFound),
        Accept::Expired => Err(PublishError::Expired),
        Accept::KeyReused => Err(PublishError::KeyReused),
        Accept::IdReused => Err(PublishError::IdReused),
        Accept::KeyAndIdDiffer => Err(PublishError::KeyAndIdDiffer),
    }
}

/// Checks and completes the data, and writes the body that will be signed.
async fn build(parts: Parts<'_>, publish: Publish) -> Result<NewEvent, PublishError> {
    let parsed = ParsedData::parse(&publish.data)?;
    let named = Participants::read(publish.event_type, &parsed)?;
    let found = parts.store.publish_facts(publish.organization, publish.owner, named.names()).await?;
    let (facts, people) = found.ok_or(PublishError::OwnerNotFound)?;
    let now = parts.clock.wall();
    let now_text = now.to_rfc3339();
    let id = publish.id.unwrap_or_else(|| parts.entropy.uuid_at(now).into());
    let valid = {
        let mut fresh_id = || parts.entropy.uuid_at(now);
        let mut wire_facts = wire_facts(&facts, &now_text, &mut fresh_id);
        wire_facts.contacts_json = named.contacts(&people);
        wire_facts.agent_identities_json = named.agents(&people);
        parsed.validate(publish.event_type, &mut wire_facts)?
    };
    let timestamp = publish.timestamp.as_deref().unwrap_or(&now_text);
    let payload = envelope::write(id, publish.event_type, timestamp, &valid.data);
    Ok(NewEvent {
        id,
        id_given: publish.id.is_some(),
        request_hash: request_hash(&publish, &valid.canonical_hash_input),
        idempotency_key: publish.idempotency_key,
        organization: publish.organization,
        event_type: publish.event_type,
        owner: publish.owner,
        expires_at: publish.expires_at,
        payload: Bytes::from(payload),
    })
}

fn wire_facts<'a>(
    facts: &'a OwnerFacts,
    now: &'a str,
    fresh_id: &'a mut dyn FnMut() -> uuid::Uuid,
) -> WireFacts<'a> {
    WireFacts {
        kind: facts.owner.kind(),
        identity_id: facts.identity_id,
        agent_handle: &facts.agent_handle,
        mailbox: facts.mailbox.as_ref().map(|(id, address)| (*id, &**address)),
        phone_number: facts.phone_number.as_ref().map(|(id, number)| (*id, &**number)),
        now,
        fresh_id,
        contacts_json: None,
        agent_identities_json: None,
    }
}

/// What two requests must have in common to be one: type, owner, given timestamp and expiry, and the data
/// whatever its spelling.
fn request_hash(publish: &Publish, canonical_data: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let owner = publish.owner;
    let kind: OwnerKind = owner.kind();
    let expires = publish.expires_at.map(|time| time.0.to_string()).unwrap_or_default();
    let fields = [
        publish.event_type.as_str(),
        kind.field_name(),
        &owner.uuid().to_string(),
        publish.timestamp.as_deref().unwrap_or_default(),
        &expires,
    ];
    for field in fields {
        // Lengths keep neighbours apart: no text of one field can pass for part of the next.
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    hash.update(canonical_data);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn sample() -> Publish {
        Publish {
            organization: OrganizationNo(1),
            event_type: EventType::MessageReceived,
            owner: Owner::Mailbox(Uuid::from_u128(1).into()),
            data: RawValue::from_string("{}".into()).unwrap(),
            id: None,
            timestamp: None,
            expires_at: None,
            idempotency_key: None,
        }
    }

    #[test]
    fn the_hash_tells_requests_apart_that_differ_in_anything_that_counts() {
        let hash = request_hash(&sample(), b"{}");
        assert_eq!(hash, request_hash(&sample(), b"{}"));
        let keyed = Publish { idempotency_key: Some("k".into()), ..sample() };
        assert_eq!(hash, request_hash(&keyed, b"{}"), "the key is not part of the request");
        let others = [
            Publish { event_type: EventType::MessageSent, ..sample() },
            Publish { owner: Owner::Identity(Uuid::from_u128(1).into()), ..sample() },
            Publish { owner: Owner::Mailbox(Uuid::from_u128(2).into()), ..sample() },
            Publish { timestamp: Some("2026-11-20T09:30:01Z".into()), ..sample() },
            Publish { expires_at: Some(TimeMs(1)), ..sample() },
        ];
        for other in others {
            assert_ne!(hash, request_hash(&other, b"{}"), "{other:?}");
        }
        assert_ne!(hash, request_hash(&sample(), b"{ }"));
    }
}
