//! Reading a context: what was said before a message was accepted, by whom it is about, and within bounds.
//!
//! A fixed number of statements finds out who and where; then each class takes one for the numbers of the newest events
//! of each name, and one for those events, a page at a time. What is found under a number is compared with what was
//! looked for, so that two that share a number by chance never show each other's words.

use std::collections::HashSet;

use inkhook_wire::event::EventType;
use inkhook_wire::id::IdentityId;
use inkhook_wire::payload::context::{ContextScope, ContextSkipped};

use super::contact::names_of;
use super::packed::unpack;
use super::{Asked, Body, Bytes, Connection, Row, Seq, StoreError, params, rows};
use crate::domain::context::{
    Block, Class, Item, MAX_CONTEXT_BYTES, MAX_ITEMS, Party, Said, Trigger, assemble, keys, splice,
};
use crate::domain::number::OrganizationNo;
use crate::domain::subscription::{ClassContext, ContextConfig};
use crate::domain::time::TimeMs;

/// Events that are looked at for one class, shown or not.
pub const MAX_LOOKED_AT: usize = 2_000;
/// Bytes of events that are read for one context, give or take a page.
pub const MAX_READ_BYTES: usize = 16 * 1024 * 1024;
/// Events that are read at a time.
const PAGE: usize = 64;

const ABOUT: &str = "SELECT e.organization_id, e.identity_id, e.accepted_ms, b.body, i.imessage_enabled,
        m.id IS NOT NULL AS has_mailbox, n.id IS NOT NULL AS has_number
    FROM events e LEFT JOIN delivery_bodies b ON b.delivery = $2 LEFT JOIN identities i ON i.id = e.identity_id
    LEFT JOIN mailboxes m ON m.identity_id = e.identity_id
    LEFT JOIN phone_numbers n ON n.identity_id = e.identity_id WHERE e.seq = $1";
const NEWEST: &str = "SELECT event_seq FROM context_items WHERE key = $1 AND event_seq < $2
    ORDER BY event_seq DESC LIMIT $3";
const EVENTS: &str = "SELECT e.seq, e.event_type, e.accepted_ms, e.payload
    FROM /*lite*/ json_each($1) l CROSS JOIN /*end*/
    /*pg (SELECT CAST(value AS BIGINT) AS value FROM json_array_elements_text(CAST($1 AS JSON))) l JOIN */
    events e ON e.seq = l.value WHERE e.identity_id = $2 AND e.organization_id = $3";

/// What is known of the event that a context goes with.
struct About {
    organization: OrganizationNo,
    identity: IdentityId,
    accepted_at: TimeMs,
    kept: Option<Vec<u8>>,
    has_mailbox: bool,
    has_number: bool,
    has_chat: bool,
}

impl About {
    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            organization: OrganizationNo(row.get("organization_id")?),
            identity: rows::id(row, "identity_id")?,
            accepted_at: rows::time(row, "accepted_ms")?,
            kept: row.get("body")?,
            has_mailbox: row.get("has_mailbox")?,
            has_number: row.get("has_number")?,
            has_chat: row.get::<_, Option<bool>>("imessage_enabled")?.unwrap_or(false),
        })
    }

    /// Whether the identity has what things of this class come and go by.
    fn has(&self, class: Class) -> bool {
        match class {
            Class::Email => self.has_mailbox,
            Class::Texts | Class::Calls => self.has_number || self.has_chat,
        }
    }
}

/// See [`Body`].
pub(super) fn body(connection: &Connection, asked: &Asked, is_disk_low: bool) -> Result<Body, StoreError> {
    let found = rows::optional(connection, ABOUT, params![asked.event.0, asked.delivery.0], About::read)?;
    let Some(mut about) = found else { return Err(StoreError::Corrupt("a delivery without its event")) };
    if let Some(kept) = about.kept.take() {
        return Ok(Body::Kept(unpack(kept)?.into()));
    }
    let Some(config) = &asked.config else { return Ok(Body::Plain) };
    let Some(trigger) = Trigger::read(asked.event_type, &asked.payload).filter(|_| !is_disk_low) else {
        return Ok(unavailable(asked).map_or(Body::Plain, Body::New));
    };
    let asks_of_others = settings(config).any(|(class, _)| class != trigger.class);
    let known = match trigger.sender.as_ref().filter(|_| asks_of_others) {
        Some(sender) => names_of(connection, about.organization, sender)?,
        None => None,
    };
    let mut reading =
        Reading { connection, about, trigger, before: asked.event, known, left: MAX_READ_BYTES };
    let blocks = settings(config).map(|(class, setting)| reading.block(class, setting));
    let blocks: Vec<Block> = blocks.collect::<Result<_, _>>()?;
    Ok(spliced(asked, blocks).map_or(Body::Plain, Body::New))
}

/// The same when nothing could be looked up.
pub(super) fn unavailable(asked: &Asked) -> Option<Bytes> {
    let own = Class::of_event(asked.event_type);
    let blocks = settings(asked.config.as_ref()?).map(|(class, setting)| {
        skipped(class, setting, scope(class, own == Some(class)), ContextSkipped::Unavailable)
    });
    spliced(asked, blocks.collect())
}

/// What is asked for of each class.
fn settings(config: &ContextConfig) -> impl Iterator<Item = (Class, ClassContext)> {
    Class::ALL.into_iter().filter_map(|class| Some((class, class.of(config)?)))
}

fn scope(class: Class, is_own: bool) -> ContextScope {
    match (is_own, class) {
        (true, Class::Email) => ContextScope::Thread,
        (true, Class::Texts | Class::Calls) => ContextScope::Conversation,
        (false, _) => ContextScope::Contact,
    }
}

fn skipped(class: Class, setting: ClassContext, scope: ContextScope, why: ContextSkipped) -> Block {
    Block { class, scope, setting, items: Vec::new(), is_cut: false, skipped: Some(why) }
}

fn spliced(asked: &Asked, blocks: Vec<Block>) -> Option<Bytes> {
    match splice(&asked.payload, &assemble(blocks)) {
        Ok(body) => Some(body.into()),
        Err(error) => {
            tracing::error!(%error, event = asked.event.0, "a body takes no context");
            None
        }
    }
}

/// One context that is being read.
struct Reading<'a> {
    connection: &'a Connection,
    about: About,
    trigger: Trigger,
    before: Seq,
    /// The names of whoever sent the message, if it is known who that is.
    known: Option<Vec<Party>>,
    /// Bytes that may still be read.
    left: usize,
}

impl Reading<'_> {
    fn block(&mut self, class: Class, setting: ClassContext) -> Result<Block, StoreError> {
        if class == self.trigger.class { self.own(class, setting) } else { self.of_contact(class, setting) }
    }

    /// What was said in the message's own thread or conversation while its sender took part.
    fn own(&mut self, class: Class, setting: ClassContext) -> Result<Block, StoreError> {
        let identity = self.about.identity;
        let (items, is_cut) = match (self.trigger.conversation.clone(), self.trigger.sender.clone()) {
            (Some(conversation), Some(sender)) => {
                let key = keys::of_conversation(identity, class, &conversation, &sender);
                let fits = |said: &Said<'_>| {
                    said.conversation().as_ref() == Some(&conversation) && said.parties().contains(&sender)
                };
                self.items(&[key], (class, setting), fits)?
            }
            _ => (Vec::new(), false),
        };
        Ok(Block { class, scope: scope(class, true), setting, items, is_cut, skipped: None })
    }

    /// What the same contact said, or was told, by other ways.
    fn of_contact(&mut self, class: Class, setting: ClassContext) -> Result<Block, StoreError> {
        let scope = scope(class, false);
        if !self.about.has(class) {
            return Ok(skipped(class, setting, scope, ContextSkipped::NoResource));
        }
        let Some(sender) = self.trigger.sender.clone() else {
            return Ok(skipped(class, setting, scope, ContextSkipped::NoContact));
        };
        let is_unknown = self.known.is_none() && !sender.is_usual_for(class);
        let names = self.known.clone().unwrap_or_else(|| vec![sender]);
        let names: Vec<Party> = names.into_iter().filter(|name| name.fits(class)).collect();
        let identity = self.about.identity;
        let under: Vec<i64> = names.iter().map(|name| keys::of_party(identity, class, name)).collect();
        let fits = |said: &Said<'_>| said.parties().iter().any(|party| names.contains(party));
        let (items, is_cut) = self.items(&under, (class, setting), fits)?;
        let skipped = (is_unknown && items.is_empty()).then_some(ContextSkipped::NoContact);
        Ok(Block { class, scope, setting, items, is_cut, skipped })
    }

    /// What is found under these numbers, and whether there may be more that was asked for.
    fn items(
        &mut self,
        under: &[i64],
        (class, setting): (Class, ClassContext),
        fits: impl Fn(&Said<'_>) -> bool,
    ) -> Result<(Vec<Item>, bool), StoreError> {
        let (most, since) = match setting {
            ClassContext::Count { count } => (usize::try_from(count).unwrap_or(MAX_ITEMS), TimeMs::ZERO),
            ClassContext::Window { hours } => {
                (MAX_ITEMS, TimeMs(self.about.accepted_at.0 - i64::from(hours) * 3_600_000))
            }
        };
        let is_count = matches!(setting, ClassContext::Count { .. });
        let mut seen = HashSet::from([self.trigger.about]);
        let (mut items, mut looked_at, mut bytes) = (Vec::new(), 0, 0);
        let mut before = self.before;
        let mut page = most.min(PAGE);
        while !under.is_empty() {
            let newest = self.newest(under, before, page)?;
            let Some(last) = newest.last() else { break };
            before = *last;
            looked_at += newest.len();
            for event in self.events(&newest)? {
                self.left = self.left.saturating_sub(event.payload.len());
                if event.accepted_at < since {
                    return Ok((items, false));
                }
                let said = event.of_type.and_then(|of_type| Said::read(of_type, &event.payload));
                let Some(said) = said.filter(|said| said.class() == class && fits(said)) else { continue };
                // Of what is told of one message the newest counts.
                if !seen.insert(said.about()) {
                    continue;
                }
                // So many were asked for, or so many are shown however many were asked for.
                if items.len() == most || bytes > MAX_CONTEXT_BYTES {
                    return Ok((items, !is_count || bytes > MAX_CONTEXT_BYTES));
                }
                let item = Item::new(event.seq, said.into_item());
                bytes += item.bytes();
                items.push(item);
            }
            if newest.len() < page || (is_count && items.len() == most) {
                break;
            }
            if self.left == 0 || looked_at >= MAX_LOOKED_AT {
                return Ok((items, true));
            }
            page = PAGE;
        }
        Ok((items, false))
    }

    /// The newest events under any of these numbers, newest first.
    fn newest(&self, under: &[i64], before: Seq, limit: usize) -> Result<Vec<Seq>, StoreError> {
        let mut found = Vec::new();
        for key in under {
            found.extend(rows::all(self.connection, NEWEST, params![key, before.0, limit], |row| {
                Ok(Seq(row.get(0)?))
            })?);
        }
        found.sort_unstable_by(|one, other| other.cmp(one));
        found.dedup();
        found.truncate(limit);
        Ok(found)
    }

    /// These events as far as they are there, newest first.
    fn events(&self, of: &[Seq]) -> Result<Vec<Event>, StoreError> {
        let listed = of.iter().map(|seq| seq.0).collect::<serde_json::Value>().to_string();
        let identity = self.about.identity.as_uuid();
        // An agent may have come from another organisation, and has left there what was said.
        let params = params![listed, identity.as_bytes(), self.about.organization.0];
        let mut found = rows::all(self.connection, EVENTS, params, |row| {
            Ok(Event {
                seq: Seq(row.get("seq")?),
                of_type: EventType::from_code(row.get("event_type")?),
                accepted_at: rows::time(row, "accepted_ms")?,
                payload: row.get("payload")?,
            })
        })?;
        found.sort_unstable_by_key(|event| std::cmp::Reverse(event.seq));
        Ok(found)
    }
}

struct Event {
    seq: Seq,
    /// None: a newer version knows it.
    of_type: Option<EventType>,
    accepted_at: TimeMs,
    payload: Vec<u8>,
}

#[cfg(test)]
mod tests;
