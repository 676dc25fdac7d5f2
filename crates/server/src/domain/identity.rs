//! Identities and what belongs to them: a mailbox, at most one phone number.

use inkhook_wire::id::{IdentityId, MailboxId, OrganizationId, PhoneNumberId};
use serde_json::{Map, Value};

use super::signing::KeyDates;
use super::time::TimeMs;

/// Fields that clients know and that have no function here: kept and given back.
pub type Settings = Map<String, Value>;

/// An agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Its id.
    pub id: IdentityId,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Its name; unique on this server.
    pub handle: String,
    /// What people see.
    pub display_name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Whether it is paused.
    pub status: IdentityStatus,
    /// Whether it can be reached over iMessage.
    pub imessage_enabled: bool,
    /// What clients set beyond that.
    pub settings: Settings,
    /// Its own signing keys.
    pub signing_key: KeyDates,
    /// When it was made.
    pub created_at: TimeMs,
    /// When it was changed last.
    pub updated_at: TimeMs,
    /// Its mailbox.
    pub mailbox: Option<Mailbox>,
    /// Its phone number.
    pub phone_number: Option<PhoneNumber>,
}

/// A mailbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Mailbox {
    /// Its id.
    pub id: MailboxId,
    /// Whose it is.
    pub identity_id: IdentityId,
    /// Its address, lower case.
    pub address: String,
    /// How its contact rules are to be read.
    pub filter_mode: FilterMode,
    /// What clients set beyond that.
    pub settings: Settings,
    /// When it was made.
    pub created_at: TimeMs,
    /// When it was changed last.
    pub updated_at: TimeMs,
}

/// A phone number.
#[derive(Debug, Clone, PartialEq)]
pub struct PhoneNumber {
    /// Its id.
    pub id: PhoneNumberId,
    /// Whose it is.
    pub identity_id: IdentityId,
    /// The number, E.164.
    pub number: String,
    /// What kind of number.
    pub kind: NumberKind,
    /// The US state that was asked for.
    pub state: Option<String>,
    /// What happens to incoming calls.
    pub incoming_call: IncomingCall,
    /// How its contact rules are to be read.
    pub filter_mode: FilterMode,
    /// What clients set beyond that.
    pub settings: Settings,
    /// When it was made.
    pub created_at: TimeMs,
    /// When it was changed last.
    pub updated_at: TimeMs,
}

/// What happens to incoming calls of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingCall {
    /// The rule.
    pub action: CallAction,
    /// Where an accepted call's media goes.
    pub client_websocket_url: Option<String>,
    /// Who is asked.
    pub webhook_url: Option<String>,
    /// Who is asked when the first gave no usable answer.
    pub fallback_url: Option<String>,
    /// What becomes of a call when nobody who was asked gave a usable answer.
    pub default_action: DefaultAction,
    /// How long all the asking may take; the server's default when `None`.
    pub timeout_ms: Option<u32>,
}

impl IncomingCall {
    /// Whether anybody is named who may be asked, now or once the rule says so.
    #[must_use]
    pub fn names_somebody(&self) -> bool {
        self.webhook_url.is_some() || self.fallback_url.is_some()
    }
}

/// Declined, and nothing else said.
impl Default for IncomingCall {
    fn default() -> Self {
        Self {
            action: CallAction::AutoReject,
            client_websocket_url: None,
            webhook_url: None,
            fallback_url: None,
            default_action: DefaultAction::Reject,
            timeout_ms: None,
        }
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// The word for it, on the wire and in the store.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// Reads the word back.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

words! {
    /// Whether an identity works.
    IdentityStatus {
        /// It does.
        Active = "active",
        /// It rests. Events are accepted and delivered all the same, iMessage aside.
        Paused = "paused",
    }
}

words! {
    /// How contact rules are to be read.
    FilterMode {
        /// Everybody but those on the list.
        Blacklist = "blacklist",
        /// Only those on the list.
        Whitelist = "whitelist",
    }
}

words! {
    /// Kinds of phone number.
    NumberKind {
        /// Of a place.
        Local = "local",
        /// Free for the caller.
        TollFree = "toll_free",
    }
}

words! {
    /// Rules for incoming calls.
    CallAction {
        /// Taken, and its media sent to the client's WebSocket.
        AutoAccept = "auto_accept",
        /// Declined.
        AutoReject = "auto_reject",
        /// A URL is asked.
        Webhook = "webhook",
        /// Not possible here; stored, and declines.
        HostedAgent = "hosted_agent",
        /// Not possible here; stored, and declines.
        Forward = "forward",
    }
}

words! {
    /// What becomes of a call that nobody decided.
    DefaultAction {
        /// Declined.
        Reject = "reject",
        /// Taken, and its media sent to the number's own WebSocket.
        Answer = "answer",
    }
}
