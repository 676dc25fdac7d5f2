//! Accepting a mail: one event for each of our mailboxes that it is addressed to, in one transaction.
//!
//! A repeat is the same mailbox, the same Message-ID *and* the same content, within seven days: a guessed
//! Message-ID alone suppresses nothing. A mail joins a thread only if its sender took part in it before;
//! otherwise it starts one.

use std::sync::Arc;

use inkhook_wire::id::{EventId, IdentityId, MailboxId};
use uuid::Uuid;

use super::accept::{self, DedupeKind, NewEvent, store_event};
use super::error::StoreError;
use super::facts::{Behind, keeps_context};
use super::writer::Tx;
use super::{Store, rows};
use crate::domain::number::OrganizationNo;
use crate::domain::time::TimeMs;
use crate::store::sql::{Connection, params};

/// How long a mail is recognised when it comes again.
pub const MAIL_KEPT_MS: i64 = 7 * 24 * 3600 * 1000;
/// Threads of one mailbox that are remembered, and looked at, under one Message-ID: the first ones. Only
/// who writes several mails under one id needs more than one.
pub const MAX_THREADS_PER_MESSAGE_ID: usize = 20;

/// A mailbox that mail can be for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxRef {
    /// Its id.
    pub id: MailboxId,
    /// Whose it is.
    pub organization: OrganizationNo,
    /// The identity that it belongs to.
    pub identity: IdentityId,
    /// Its address.
    pub address: String,
    /// Its events are put where contexts find them.
    pub keeps_context: bool,
}

/// Makes the event for one mailbox, once its thread is known.
pub type BuildEvent = Arc<dyn Fn(&MailboxRef, Uuid) -> NewEvent + Send + Sync>;

/// A mail that is ready to be stored.
#[derive(Clone)]
pub struct NewMail {
    /// Addresses of ours that it is for, normalised.
    pub recipients: Vec<String>,
    /// Whose inbox it waits in: the first recipient's.
    pub organization: OrganizationNo,
    /// Its Message-ID, if it has one.
    pub message_id: Option<String>,
    /// SHA-256 of its content without the leading trace fields.
    pub content_hash: [u8; 32],
    /// Who sent it, normalised.
    pub sender: String,
    /// Message-IDs that it may answer, likeliest first.
    pub parents: Vec<String>,
    /// From, To and Cc, normalised.
    pub participants: Vec<String>,
    /// What it takes up while it waits, all recipients together.
    pub bytes: usize,
    /// Makes the event for one mailbox.
    pub build: BuildEvent,
}

impl std::fmt::Debug for NewMail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewMail").field("recipients", &self.recipients.len()).finish_non_exhaustive()
    }
}

/// What became of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcceptMail {
    /// Stored, now or earlier: one event a mailbox.
    Accepted(Vec<EventId>),
    /// None of its mailboxes exists any more.
    NobodyLeft,
}

const MAILBOX: &str = concat!(
    "SELECT o.id, o.organization_id, o.identity_id, o.address, ",
    keeps_context!("o.identity_id"),
    " FROM mailboxes o WHERE o.address = $1"
);
const THREADS_OF: &str = "SELECT thread_id FROM mail_references WHERE mailbox_id = $1 AND message_id = $2
    ORDER BY position";
const TOOK_PART: &str = "SELECT 1 FROM mail_participants WHERE thread_id = $1 AND address = $2";
const ADD_REFERENCE: &str =
    "INSERT INTO mail_references (mailbox_id, message_id, position, thread_id, seen_ms)
    VALUES ($1, $2, $3, $4, $5)";
const ADD_PARTICIPANT: &str =
    "INSERT INTO mail_participants (thread_id, address) VALUES ($1, $2) ON CONFLICT DO NOTHING";

impl Store {
    /// The mailbox with this normalised address.
    pub async fn mailbox_by_address(&self, address: String) -> Result<Option<MailboxRef>, StoreError> {
        self.read(move |connection| find_mailbox(connection, &address)).await
    }

    /// Stores a mail's events, or recognises a repeat.
    pub async fn accept_mail(&self, mail: NewMail) -> Result<AcceptMail, StoreError> {
        self.admit(mail.organization, (mail.recipients.len(), mail.bytes), None, move |tx| {
            accept_mail(tx, &mail)
        })
        .await
    }
}

fn accept_mail(tx: &mut Tx<'_>, mail: &NewMail) -> Result<AcceptMail, StoreError> {
    let mut events = Vec::new();
    for address in &mail.recipients {
        if let Some(mailbox) = find_mailbox(tx, address)? {
            events.push(accept_for(tx, mail, &mailbox)?);
        }
    }
    Ok(if events.is_empty() { AcceptMail::NobodyLeft } else { AcceptMail::Accepted(events) })
}

fn accept_for(tx: &mut Tx<'_>, mail: &NewMail, mailbox: &MailboxRef) -> Result<EventId, StoreError> {
    let now = tx.context.clock.wall();
    let key = mail.message_id.as_ref().map(|message_id| dedupe_key(mailbox, message_id, mail));
    if let Some(key) = &key
        && let Some(known) = accept::find(tx, mailbox.organization, DedupeKind::Mail, key, now)?
    {
        return Ok(known.event);
    }
    let joined = find_thread(tx, mail, mailbox)?;
    let thread = joined.unwrap_or_else(|| tx.context.entropy.uuid());
    let found_again = match &mail.message_id {
        Some(message_id) => remember_thread(tx, mailbox, message_id, thread, now)?,
        None => false,
    };
    // Nobody ever asks who took part in a thread that no id leads to.
    if joined.is_some() || found_again {
        for participant in &mail.participants {
            tx.run(ADD_PARTICIPANT, params![thread.as_bytes(), participant])?;
        }
    }
    let event = (mail.build)(mailbox, thread);
    let behind = Behind { identity: mailbox.identity, keeps_context: mailbox.keeps_context };
    store_event(tx, &event, behind, now)?;
    if let Some(key) = &key {
        accept::remember(tx, &event, DedupeKind::Mail, key, Some(TimeMs(now.0 + MAIL_KEPT_MS)))?;
    }
    Ok(event.id)
}

/// Mailbox, content and Message-ID together: another content under the same Message-ID is another key.
fn dedupe_key(mailbox: &MailboxRef, message_id: &str, mail: &NewMail) -> Vec<u8> {
    [&mailbox.id.as_uuid().as_bytes()[..], &mail.content_hash, message_id.as_bytes()].concat()
}

/// The first thread that the mail may answer and in which its sender took part.
fn find_thread(tx: &Tx<'_>, mail: &NewMail, mailbox: &MailboxRef) -> Result<Option<Uuid>, StoreError> {
    for parent in &mail.parents {
        for thread in threads_of(tx, mailbox, parent)? {
            let took_part: Option<i64> =
                rows::scalar(tx, TOOK_PART, params![thread.as_bytes(), mail.sender])?;
            if took_part.is_some() {
                return Ok(Some(thread));
            }
        }
    }
    Ok(None)
}

/// The threads that a Message-ID came in, the oldest first: whoever uses the id of a mail again cannot draw
/// the answers to that mail into a thread of their own.
fn threads_of(tx: &Tx<'_>, mailbox: &MailboxRef, message_id: &str) -> Result<Vec<Uuid>, StoreError> {
    let mailbox = mailbox.id.as_uuid();
    rows::all(tx, THREADS_OF, params![mailbox.as_bytes(), message_id], |row| rows::id(row, "thread_id"))
}

/// Tells whether the id leads to the thread now.
fn remember_thread(
    tx: &Tx<'_>,
    mailbox: &MailboxRef,
    message_id: &str,
    thread: Uuid,
    now: TimeMs,
) -> Result<bool, StoreError> {
    let known = threads_of(tx, mailbox, message_id)?;
    if known.contains(&thread) {
        return Ok(true);
    }
    if known.len() >= MAX_THREADS_PER_MESSAGE_ID {
        return Ok(false);
    }
    let mailbox = mailbox.id.as_uuid();
    let position = i64::try_from(known.len()).unwrap_or(i64::MAX);
    let params = params![mailbox.as_bytes(), message_id, position, thread.as_bytes(), now.0];
    tx.run(ADD_REFERENCE, params)?;
    Ok(true)
}

fn find_mailbox(connection: &Connection, address: &str) -> Result<Option<MailboxRef>, StoreError> {
    rows::optional(connection, MAILBOX, params![address], |row| {
        Ok(MailboxRef {
            id: rows::id(row, "id")?,
            organization: OrganizationNo(row.get("organization_id")?),
            identity: rows::id(row, "identity_id")?,
            address: row.get("address")?,
            keeps_context: row.get("keeps_context")?,
        })
    })
}
