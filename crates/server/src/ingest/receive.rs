//! Receiving a mail: from its bytes to one `message.received` for each of our mailboxes.

use std::sync::Arc;

use bytes::Bytes;
use inkhook_wire::envelope;
use inkhook_wire::event::EventType;
use inkhook_wire::id::EventId;
use inkhook_wire::payload::mail::Bucket;

use super::mail::{self, MailError, MessageFacts, ParsedMail};
use super::people::Participants;
use crate::domain::entropy::Entropy;
use crate::domain::mail_address;
use crate::domain::number::OrganizationNo;
use crate::domain::owner::Owner;
use crate::domain::time::{Clock, TimeMs};
use crate::store::Store;
use crate::store::accept::NewEvent;
use crate::store::error::StoreError;
use crate::store::mail::{AcceptMail, BuildEvent, MailboxRef, NewMail};
use crate::wake::Bell;

/// What receiving needs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// Where events go.
    pub store: Store,
    /// When they are accepted.
    pub clock: Clock,
    /// Their ids.
    pub entropy: Entropy,
    /// Wakes the engine.
    pub queued: Bell,
}

/// Why a mail is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// It cannot be taken in this form; it never will be.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// None of the addresses is a mailbox here.
    #[error("none of the recipients is a mailbox here")]
    NobodyLeft,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ReceiveError {
    /// There is no room left, on the disk or in what the organisation may have queued: the sender is told so
    /// and tries again later.
    #[must_use]
    pub fn is_no_room(&self) -> bool {
        matches!(
            self,
            Self::Store(
                StoreError::Full
                    | StoreError::LowDisk
                    | StoreError::TooManyQueued(_)
                    | StoreError::TooMuchQueued(_)
            )
        )
    }
}

/// Whom of a mail's people an organisation knows, as its events say it.
struct Named {
    organization: OrganizationNo,
    contacts: String,
    agents: String,
}

impl Named {
    fn bytes(&self) -> usize {
        self.contacts.len() + self.agents.len()
    }
}

impl Receiver {
    /// Whether a mail to this address would find a mailbox.
    ///
    /// # Errors
    /// The store could not be asked.
    pub async fn knows(&self, address: &str) -> Result<bool, StoreError> {
        let address = mail_address::normalize(address);
        Ok(self.store.mailbox_by_address(address).await?.is_some())
    }

    /// Accepts a mail: its events are committed and synced when this returns.
    ///
    /// # Errors
    /// See [`ReceiveError`]; none of them leaves anything behind.
    pub async fn receive(
        &self,
        envelope_from: Option<String>,
        recipients: Vec<String>,
        raw: Vec<u8>,
    ) -> Result<Vec<EventId>, ReceiveError> {
        let (parsed, content_hash) = parse(raw, envelope_from).await?;
        let mut recipients: Vec<String> =
            recipients.iter().map(|address| mail_address::normalize(address)).collect();
        recipients.sort_unstable();
        recipients.dedup();
        let mut organizations = Vec::new();
        for address in &recipients {
            if let Some(mailbox) = self.store.mailbox_by_address(address.clone()).await? {
                organizations.push(mailbox.organization);
            }
        }
        let first = *organizations.first().ok_or(ReceiveError::NobodyLeft)?;
        organizations.sort_unstable();
        organizations.dedup();
        let people = self.people(&parsed, &organizations).await?;
        let thread = mail::thread_key(&parsed);
        let named = people.iter().map(Named::bytes).max().unwrap_or_default();
        let bytes = (waiting_bytes(&parsed) + named) * recipients.len();
        let mail = NewMail {
            recipients,
            organization: first,
            message_id: parsed.message_id.clone(),
            content_hash,
            sender: thread.sender,
            parents: thread.parents,
            participants: thread.participants,
            bytes,
            build: self.build(parsed, people, content_hash),
        };
        match self.store.accept_mail(mail).await? {
            AcceptMail::Accepted(events) => {
                self.queued.ring();
                Ok(events)
            }
            AcceptMail::NobodyLeft => Err(ReceiveError::NobodyLeft),
        }
    }

    /// Who of From and Cc each organisation knows.
    async fn people(
        &self,
        mail: &ParsedMail,
        organizations: &[OrganizationNo],
    ) -> Result<Vec<Named>, StoreError> {
        let mut addresses = vec![(Bucket::From, mail.from_address.clone())];
        addresses.extend(mail.cc_addresses.iter().flatten().map(|address| (Bucket::Cc, address.clone())));
        let participants = Participants::Mail(addresses);
        let mut named = Vec::new();
        for organization in organizations {
            let people = self.store.people(*organization, participants.names()).await?;
            let list = |list: Option<String>| list.unwrap_or_else(|| "[]".to_owned());
            named.push(Named {
                organization: *organization,
                contacts: list(participants.contacts(&people)),
                agents: list(participants.agents(&people)),
            });
        }
        Ok(named)
    }

    /// Writes the event of one mailbox, inside the accepting transaction.
    fn build(&self, mail: ParsedMail, people: Vec<Named>, content_hash: [u8; 32]) -> BuildEvent {
        let (clock, entropy) = (self.clock.clone(), self.entropy.clone());
        Arc::new(move |mailbox: &MailboxRef, thread| {
            let now: TimeMs = clock.wall();
            let id: EventId = entropy.uuid_at(now).into();
            let named = people.iter().find(|named| named.organization == mailbox.organization);
            let facts = MessageFacts {
                message_uuid: entropy.uuid_at(now),
                mailbox_id: mailbox.id.as_uuid(),
                mailbox_address: &mailbox.address,
                thread_id: thread,
                created_at_iso: &now.to_rfc3339(),
                contacts_json: named.map_or("[]", |named| &named.contacts),
                agent_identities_json: named.map_or("[]", |named| &named.agents),
            };
            let data = mail::message_data(&mail, facts);
            let payload = envelope::write(id, EventType::MessageReceived, &now.to_rfc3339(), &data);
            NewEvent {
                id,
                id_given: false,
                idempotency_key: None,
                request_hash: content_hash,
                organization: mailbox.organization,
                event_type: EventType::MessageReceived,
                owner: Owner::Mailbox(mailbox.id),
                expires_at: None,
                payload: Bytes::from(payload),
            }
        })
    }
}

/// About what a mail takes up for each of its recipients while it waits to be stored. Its attachments are gone
/// by then: by the size that it came in, two large mails at once would fill an organisation's inbox.
fn waiting_bytes(mail: &ParsedMail) -> usize {
    let addresses = mail.to_addresses.iter().chain(mail.cc_addresses.iter().flatten());
    let addresses: usize = addresses.map(|address| address.len() + ADDRESS_BYTES).sum();
    mail.body.text.len() + addresses + ENVELOPE_BYTES
}

/// What an address costs beside its own bytes.
const ADDRESS_BYTES: usize = 8;
/// What is left of a payload without its body and addresses: keys, ids, subject, snippet.
const ENVELOPE_BYTES: usize = 4 * 1024;

/// Taking a mail apart costs up to a few hundred milliseconds of CPU: not on the runtime's own threads.
async fn parse(raw: Vec<u8>, sender: Option<String>) -> Result<(ParsedMail, [u8; 32]), ReceiveError> {
    let parsed = tokio::task::spawn_blocking(move || {
        let parsed = mail::parse(&raw, sender.as_deref())?;
        Ok::<_, MailError>((parsed, mail::content_hash(&raw)))
    });
    Ok(parsed.await.map_err(|_| StoreError::Closed)??)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::mail::MAX_BODY_BYTES;

    #[test]
    fn what_waits_is_the_event_and_not_the_attachments() {
        let head = "From: a@client.test\r\nTo: b@mail.test\r\nMIME-Version: 1.0\r\n\
            Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nHello\r\n--x\r\n\
            Content-Type: application/pdf\r\nContent-Disposition: attachment\r\n\r\n";
        let mail = [head.as_bytes(), &b"JVBERi0x\r\n".repeat(1_000_000), b"\r\n--x--\r\n"].concat();
        let mail = mail::parse(&mail, None).unwrap();
        assert!(mail.has_attachments && mail.body.text.starts_with("Hello"));
        assert!(waiting_bytes(&mail) < 5 * 1024, "{}", waiting_bytes(&mail));
        let long = format!("From: a@client.test\r\n\r\n{}", "x".repeat(MAX_BODY_BYTES));
        let long = mail::parse(long.as_bytes(), None).unwrap();
        assert!(waiting_bytes(&long) > MAX_BODY_BYTES);
    }
}
