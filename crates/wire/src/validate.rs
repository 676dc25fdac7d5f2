//! Checking published data and filling in what the server knows.
//!
//! The publisher's text is never rewritten: values keep their spelling, keys their order, and
//! keys that this crate does not know pass through. What is added is added at the end of its
//! object: keys that the server knows, and nullable keys as null. What comes out is therefore the
//! text that came in with a few insertions, and it has the exact shape of the contract.
//!
//! Refused, each with a path such as `data.message.direction` and a sentence: a key that comes
//! twice in one object (at any depth), a string that is not Unicode, nesting deeper than
//! [`MAX_DEPTH`], a text longer than [`MAX_DATA_BYTES`], a required key that is missing, a value
//! of the wrong type or outside a closed list, and an id, address or number that should name the
//! owner and names another. A few keys depend on others: only `message.received` carries a body,
//! an inbound text has no delivery keys, and only a hosted call has an `outcome`.
//!
//! | channel | filled in when left out |
//! |---|---|
//! | mail | `message.`: `id` (fresh), `mailbox_id`, `email_address`, `created_at`; on `message.received` with a body also `body_state`, `body_truncated`, `body_total_chars`, `body_included_chars`. The first three of those are null otherwise, like the rest |
//! | text | `text_message.`: `id` (fresh), `local_phone_number`, `conversation_id` (the same for the same identity and numbers), `is_read` (false), `origin` (`user_initiated`), `created_at`, `updated_at` |
//! | iMessage | `message.`, `reaction.`: `id` (fresh), `created_at`, `updated_at`; `is_read` (false); the one of `message` and `reaction` that the event is not about is null |
//! | call | `call.`: `id` (fresh), `created_at`, `updated_at`; `local_phone_number` when its `origin` is `dedicated_number` |
//! | Slack | `identity_id` |
//! | WhatsApp | `message.`, `reaction.`: `id` (fresh), `agent_identity_id`, `created_at`, `updated_at` |
//! | all but A2A and Slack | `contacts`, `agent_identities` (what the caller found, else `[]`) |
//!
//! The checks read a flat index of the text, made in one pass; no tree of values is built.

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::event::{EventType, OwnerKind};
use crate::id::{IdentityId, MailboxId, PhoneNumberId};
use crate::payload::Direction;
use crate::payload::mail::Bucket;

mod canonical;
mod check;
mod error;
mod fill;
mod index;
mod participants;
mod shape;
mod shapes;

pub use error::{DataError, DataErrorKind, MAX_ECHO_CHARS};
pub use index::{MAX_DATA_BYTES, MAX_DEPTH};
pub use participants::MAX_ADDRESSES;

/// What the server knows about the owner of an event, and what it lends to validation.
pub struct OwnerFacts<'a> {
    /// What the event is published for.
    pub kind: OwnerKind,
    /// The owning identity; of a mailbox or number, the one it belongs to.
    pub identity_id: IdentityId,
    /// That identity's handle.
    pub agent_handle: &'a str,
    /// The identity's mailbox and its address, if it has one.
    pub mailbox: Option<(MailboxId, &'a str)>,
    /// The identity's phone number (E.164), if it has one.
    pub phone_number: Option<(PhoneNumberId, &'a str)>,
    /// The time of acceptance, ISO 8601.
    pub now: &'a str,
    /// Makes a fresh id; called once for each id that is filled in.
    pub fresh_id: &'a mut dyn FnMut() -> Uuid,
    /// The JSON list for `contacts`, for data that leaves the key out; `[]` if `None`.
    /// See [`ParsedData::mail_participants`] and [`ParsedData::numbers`] for whom to look up.
    pub contacts_json: Option<String>,
    /// The same for `agent_identities`.
    pub agent_identities_json: Option<String>,
}

impl std::fmt::Debug for OwnerFacts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnerFacts")
            .field("kind", &self.kind)
            .field("identity_id", &self.identity_id)
            .field("mailbox", &self.mailbox)
            .field("phone_number", &self.phone_number)
            .finish_non_exhaustive()
    }
}

/// Data that has the contract's shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidData {
    /// The published text with what was left out filled in.
    pub data: String,
    /// [`canonical`] of the data as it was given.
    pub canonical_hash_input: Vec<u8>,
}

/// Published data after its first pass: well-formed, no key twice, within the bounds. Everything
/// else is asked of this, so that the text is read once.
#[derive(Debug)]
pub struct ParsedData<'a> {
    index: index::Index<'a>,
}

impl<'a> ParsedData<'a> {
    /// Reads the text.
    pub fn parse(data: &'a RawValue) -> Result<Self, DataError> {
        let index = index::Index::build(data.get())?;
        Ok(Self { index })
    }

    /// The data with sorted keys at every depth, no white space, strings in one spelling and
    /// numbers as they were written: two texts that say the same give the same bytes.
    pub fn canonical(&self) -> Vec<u8> {
        canonical::write(&self.index)
    }

    /// The direction of a mail and the addresses whose owners an event names: of an inbound mail
    /// from and cc, of an outbound one to, cc and bcc, in that order. Lenient: what is missing or
    /// misshapen is left out here and reported by [`ParsedData::validate`].
    pub fn mail_participants(&self) -> Result<MailParticipants, DataError> {
        participants::mail(&self.index)
    }

    /// The direction of a text and the distinct numbers at the other end, in order of appearance.
    /// Lenient like [`ParsedData::mail_participants`].
    pub fn text_participants(&self) -> Result<TextParticipants, DataError> {
        participants::text(&self.index)
    }

    /// The distinct numbers at the other end of whatever is not a mail, in order of appearance. An
    /// iMessage may have mail addresses among them. Lenient like [`ParsedData::mail_participants`].
    pub fn numbers(&self, event_type: EventType) -> Result<Vec<String>, DataError> {
        participants::numbers(&self.index, event_type.channel())
    }

    /// Whether the data says who takes part, so that nobody has to be looked up: it has both
    /// `contacts` and `agent_identities`.
    pub fn names_everybody(&self) -> bool {
        ["contacts", "agent_identities"]
            .iter()
            .all(|key| self.index.member(index::Index::ROOT, key).is_some())
    }

    /// Checks the data against the shape of `event_type` and fills in what was left out.
    pub fn validate(
        &self,
        event_type: EventType,
        owner: &mut OwnerFacts<'_>,
    ) -> Result<ValidData, DataError> {
        if !event_type.fits(owner.kind) {
            return Err(DataError::event_type(event_type, owner.kind));
        }
        let data = check::run(&self.index, event_type, owner)?;
        let canonical_hash_input = self.canonical();
        Ok(ValidData { data, canonical_hash_input })
    }
}

/// A mail's direction, if it says one, and the addresses to look up.
pub type MailParticipants = (Option<Direction>, Vec<(Bucket, String)>);

/// A text's direction, if it says one, and the numbers to look up.
pub type TextParticipants = (Option<Direction>, Vec<String>);

/// [`ParsedData::parse`] and [`ParsedData::validate`] in one.
pub fn validate_data(
    event_type: EventType,
    data: &RawValue,
    owner: &mut OwnerFacts<'_>,
) -> Result<ValidData, DataError> {
    ParsedData::parse(data)?.validate(event_type, owner)
}

/// [`ParsedData::parse`] and [`ParsedData::canonical`] in one.
pub fn canonical(data: &RawValue) -> Result<Vec<u8>, DataError> {
    Ok(ParsedData::parse(data)?.canonical())
}

/// [`ParsedData::parse`] and [`ParsedData::mail_participants`] in one.
pub fn mail_participants(data: &RawValue) -> Result<MailParticipants, DataError> {
    ParsedData::parse(data)?.mail_participants()
}

/// [`ParsedData::parse`] and [`ParsedData::text_participants`] in one.
pub fn text_participants(data: &RawValue) -> Result<TextParticipants, DataError> {
    ParsedData::parse(data)?.text_participants()
}

#[cfg(test)]
mod tests;
