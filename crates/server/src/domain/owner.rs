//! What a subscription or an event is attached to.

use inkhook_wire::event::OwnerKind;
use inkhook_wire::id::{IdentityId, MailboxId, PhoneNumberId};
use uuid::Uuid;

/// An owner as the caller named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A mailbox: `message.*`.
    Mailbox(MailboxId),
    /// A phone number: `text.*`, and `call.ended` when publishing.
    PhoneNumber(PhoneNumberId),
    /// An agent identity: everything.
    Identity(IdentityId),
}

impl Owner {
    /// Which of the three it is.
    #[must_use]
    pub fn kind(self) -> OwnerKind {
        match self {
            Self::Mailbox(_) => OwnerKind::Mailbox,
            Self::PhoneNumber(_) => OwnerKind::PhoneNumber,
            Self::Identity(_) => OwnerKind::Identity,
        }
    }

    /// The id, whatever its kind.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        match self {
            Self::Mailbox(id) => id.as_uuid(),
            Self::PhoneNumber(id) => id.as_uuid(),
            Self::Identity(id) => id.as_uuid(),
        }
    }

    /// Puts kind and id together again.
    #[must_use]
    pub fn new(kind: OwnerKind, id: Uuid) -> Self {
        match kind {
            OwnerKind::Mailbox => Self::Mailbox(id.into()),
            OwnerKind::PhoneNumber => Self::PhoneNumber(id.into()),
            OwnerKind::Identity => Self::Identity(id.into()),
        }
    }
}

/// The integer that stands for an owner's kind in the store.
#[must_use]
pub fn kind_code(kind: OwnerKind) -> i64 {
    match kind {
        OwnerKind::Mailbox => 1,
        OwnerKind::PhoneNumber => 2,
        OwnerKind::Identity => 3,
    }
}

/// Reads [`kind_code`] back.
#[must_use]
pub fn kind_from_code(code: i64) -> Option<OwnerKind> {
    match code {
        1 => Some(OwnerKind::Mailbox),
        2 => Some(OwnerKind::PhoneNumber),
        3 => Some(OwnerKind::Identity),
        _ => None,
    }
}

/// What the server knows about an owner: enough to check and complete what is published about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerFacts {
    /// The owner as it was named.
    pub owner: Owner,
    /// The identity behind it.
    pub identity_id: IdentityId,
    /// That identity's handle.
    pub agent_handle: String,
    /// That identity's mailbox and its address.
    pub mailbox: Option<(MailboxId, String)>,
    /// That identity's phone number.
    pub phone_number: Option<(PhoneNumberId, String)>,
}

/// An agent that a mail address or phone number belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAgent {
    /// The address or number.
    pub name: String,
    /// Whose it is.
    pub identity: IdentityId,
    /// That identity's handle.
    pub agent_handle: String,
    /// That identity's name.
    pub display_name: Option<String>,
}
