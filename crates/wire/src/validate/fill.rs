//! The values that the server knows: appending them, and comparing what was given with them.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::OwnerFacts;
use super::error::{Checked, DataErrorKind, Fault, echo};
use super::index::{Index, NodeId};
use super::participants::remote_numbers;
use super::shape::Fill;
use crate::event::EventType;
use crate::payload::call::CallOrigin;
use crate::payload::mail::BodyState;

pub(super) struct Filler<'i, 'a, 'o, 'f> {
    pub(super) index: &'i Index<'a>,
    pub(super) event_type: EventType,
    pub(super) owner: &'o mut OwnerFacts<'f>,
}

impl Filler<'_, '_, '_, '_> {
    /// Appends the value to `out`. `object` is the object that lacks it.
    pub(super) fn append(&mut self, object: NodeId, fill: Fill, out: &mut String) -> Checked<()> {
        match fill {
            Fill::Null => out.push_str("null"),
            Fill::False => out.push_str("false"),
            Fill::EmptyList => out.push_str("[]"),
            Fill::UserInitiated => out.push_str("\"user_initiated\""),
            Fill::FreshId => push_uuid(out, (self.owner.fresh_id)()),
            Fill::Now => push_string(out, self.owner.now),
            Fill::Contacts => out.push_str(self.owner.contacts_json.as_deref().unwrap_or("[]")),
            Fill::AgentIdentities => {
                out.push_str(self.owner.agent_identities_json.as_deref().unwrap_or("[]"));
            }
            Fill::Conversation => push_uuid(out, self.conversation(object)),
            Fill::CallNumber => match self.owner.phone_number {
                Some((_, number)) if self.is_dedicated(object) => push_string(out, number),
                _ => out.push_str("null"),
            },
            Fill::BodyState | Fill::BodyTruncated | Fill::BodyTotalChars | Fill::BodyIncludedChars => {
                return self.append_body(object, fill, out);
            }
            Fill::IdentityId => push_uuid(out, self.owner.identity_id.as_uuid()),
            Fill::MailboxId => push_uuid(out, self.mailbox()?.0),
            Fill::EmailAddress => push_string(out, self.mailbox()?.1),
            Fill::LocalNumber => push_string(out, self.number()?),
        }
        Ok(())
    }

    /// Refuses a value that names another owner. Its type has been checked.
    pub(super) fn compare(&self, object: NodeId, member: NodeId, fill: Fill) -> Checked<()> {
        let given = self.index.string(member).unwrap_or_default();
        let same_id = |id: Uuid| Uuid::try_parse(&given).is_ok_and(|given| given == id);
        let (same, whose) = match fill {
            Fill::IdentityId => (same_id(self.owner.identity_id.as_uuid()), "identity"),
            Fill::MailboxId => (same_id(self.mailbox()?.0), "mailbox"),
            Fill::EmailAddress => {
                let same = given.eq_ignore_ascii_case(self.mailbox()?.1);
                (same, "mailbox's address")
            }
            Fill::LocalNumber => (given == self.number()?, "phone number"),
            Fill::CallNumber if self.is_dedicated(object) => (given == self.number()?, "phone number"),
            _ => (true, ""),
        };
        if same {
            return Ok(());
        }
        let text = format!("must be the owner's {whose}; it is {}", echo(self.index.raw(member)));
        Err(Fault::new(DataErrorKind::NotTheOwner, text))
    }

    fn mailbox(&self) -> Checked<(Uuid, &str)> {
        match self.owner.mailbox {
            Some((id, address)) => Ok((id.as_uuid(), address)),
            None => Err(self.without("mailbox")),
        }
    }

    fn number(&self) -> Checked<&str> {
        match self.owner.phone_number {
            Some((_, number)) => Ok(number),
            None => Err(self.without("phone number")),
        }
    }

    fn without(&self, what: &str) -> Fault {
        let handle = echo(self.owner.agent_handle);
        let text = format!("cannot be given: identity {handle} has no {what}");
        Fault::new(DataErrorKind::NotTheOwner, text)
    }

    fn is_dedicated(&self, call: NodeId) -> bool {
        let origin = self.index.member(call, "origin");
        origin.and_then(|id| self.index.string(id)).as_deref() == Some(CallOrigin::DedicatedNumber.as_str())
    }

    /// Made of the identity and the numbers at the other end, so that one conversation keeps its
    /// id without anyone remembering it. The numbers' order does not matter.
    fn conversation(&self, message: NodeId) -> Uuid {
        let mut numbers = remote_numbers(self.index, message);
        numbers.sort_unstable();
        let mut hash = Sha256::new_with_prefix(b"text conversation\0");
        hash.update(self.owner.identity_id.as_uuid().as_bytes());
        for number in numbers {
            hash.update(number.as_bytes());
            hash.update([0]);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    fn append_body(&self, message: NodeId, fill: Fill, out: &mut String) -> Checked<()> {
        let body = self.index.member(message, "body");
        let body = body.and_then(|id| self.index.string(id));
        if self.event_type != EventType::MessageReceived {
            out.push_str("null");
            return Ok(());
        }
        let Some(body) = body else {
            match fill {
                Fill::BodyState => push_string(out, BodyState::Unavailable.as_str()),
                _ => out.push_str("null"),
            }
            return Ok(());
        };
        let truncated = self.is_truncated(message);
        let chars = body.chars().count();
        match fill {
            Fill::BodyState if truncated => push_string(out, BodyState::Truncated.as_str()),
            Fill::BodyState => push_string(out, BodyState::Complete.as_str()),
            Fill::BodyTruncated => out.push_str(if truncated { "true" } else { "false" }),
            Fill::BodyTotalChars if truncated => {
                let text = "is missing; it must be given for a truncated body";
                return Err(Fault::new(DataErrorKind::Missing, text));
            }
            _ => {
                let _ = write!(out, "{chars}");
            }
        }
        Ok(())
    }

    /// Whether the publisher says that `body` is not all.
    fn is_truncated(&self, message: NodeId) -> bool {
        let state = self.index.member(message, "body_state");
        let state = state.and_then(|id| self.index.string(id));
        let flag = self.index.member(message, "body_truncated");
        let flag = flag.is_some_and(|id| self.index.raw(id) == "true");
        flag || state.as_deref() == Some(BodyState::Truncated.as_str())
    }
}

fn push_uuid(out: &mut String, uuid: Uuid) {
    let _ = write!(out, "\"{uuid}\"");
}

fn push_string(out: &mut String, text: &str) {
    let plain = |b: u8| b >= b' ' && b != b'"' && b != b'\\';
    if text.bytes().all(plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}
