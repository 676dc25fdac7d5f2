//! Who takes part in an event: whom to look for, and what the payload says of whoever is found.
//!
//! What the publisher said stays as it was; these are the lists that it left out. A contact or agent is there once, of
//! a mail once for each place where it stands. Contacts bring what is remembered of them, until the memories of an
//! event have become too many: whoever comes after that has none. The lists themselves have a bound, too, for one mail can
//! name a thousand people, and the event should still find a receiver that takes it.

use std::collections::HashSet;

use inkhook_wire::event::{Channel, EventType};
use inkhook_wire::payload::mail::Bucket;
use inkhook_wire::validate::{DataError, ParsedData};
use serde::Serialize;
use uuid::Uuid;

use crate::domain::contact::{EVENT_MEMORIES_BYTES, EVENT_ROWS_BYTES, KnownContact};
use crate::domain::mail_address;
use crate::domain::owner::KnownAgent;
use crate::store::facts::Names;
use crate::store::people::People;

/// Who takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Participants {
    /// The addresses of a mail, and where each stands.
    Mail(Vec<(Bucket, String)>),
    /// Numbers of anything else, and perhaps addresses among them.
    Numbers(Vec<String>),
    /// Nobody, or nobody who has to be looked for.
    Nobody,
}

/// A row about a contact.
#[derive(Serialize)]
struct ContactRow<'a> {
    #[serde(flatten)]
    place: Option<Place<'a>>,
    id: Uuid,
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memories: Option<&'a [String]>,
}

/// A row about an agent.
#[derive(Serialize)]
struct AgentRow<'a> {
    #[serde(flatten)]
    place: Option<Place<'a>>,
    id: Uuid,
    agent_handle: &'a str,
    display_name: Option<&'a str>,
}

/// Where in a mail somebody stands.
#[derive(Serialize)]
struct Place<'a> {
    bucket: Bucket,
    address: &'a str,
}

impl Participants {
    /// Reads them from what was published.
    pub(super) fn read(event_type: EventType, data: &ParsedData<'_>) -> Result<Self, DataError> {
        let found = match event_type.channel() {
            Channel::Mail => Self::Mail(data.mail_participants()?.1),
            Channel::Text | Channel::IMessage | Channel::Call | Channel::WhatsApp => {
                Self::Numbers(data.numbers(event_type)?)
            }
            Channel::A2a | Channel::Slack => Self::Nobody,
        };
        Ok(if data.names_everybody() { Self::Nobody } else { found })
    }

    /// By which names they are looked for.
    pub(super) fn names(&self) -> Names {
        let mut names = Names::default();
        match self {
            Self::Mail(addresses) => {
                names.addresses.extend(addresses.iter().map(|(_, address)| mail_address::normalize(address)));
            }
            Self::Numbers(numbers) => {
                for number in numbers {
                    let list = if number.contains('@') { &mut names.addresses } else { &mut names.numbers };
                    list.push(normalized(number));
                }
            }
            Self::Nobody => {}
        }
        names
    }

    /// `contacts`, when there is anybody to be in it.
    pub(super) fn contacts(&self, people: &People) -> Option<String> {
        let known = people.contacts.as_slice();
        let mut left = EVENT_MEMORIES_BYTES;
        let mut rows: Vec<(ContactRow<'_>, &KnownContact)> = Vec::new();
        match self {
            Self::Mail(addresses) => {
                for (place, point) in once_each(addresses) {
                    if let Some(contact) = known.iter().find(|contact| contact.point == point) {
                        rows.push((contact_row(Some(place), contact), contact));
                    }
                }
            }
            Self::Numbers(_) => {
                let mut seen = HashSet::new();
                let once = known.iter().filter(|contact| seen.insert(contact.id));
                rows.extend(once.map(|contact| (contact_row(None, contact), &**contact)));
            }
            Self::Nobody => {}
        }
        rows.truncate(fitting(rows.iter().map(|(row, _)| row)));
        for (row, contact) in &mut rows {
            let bytes: usize = contact.memories.iter().map(String::len).sum();
            // Nobody's memories are passed over for those of somebody who comes later.
            let Some(rest) = left.checked_sub(bytes) else { break };
            left = rest;
            row.memories = Some(&contact.memories);
        }
        list(&rows.into_iter().map(|(row, _)| row).collect::<Vec<_>>())
    }

    /// `agent_identities`, the same way.
    pub(super) fn agents(&self, people: &People) -> Option<String> {
        let known = people.agents.as_slice();
        let mut rows: Vec<AgentRow<'_>> = match self {
            Self::Mail(addresses) => {
                let found = once_each(addresses).filter_map(|(place, name)| {
                    let agent = known.iter().find(|agent| agent.name == name)?;
                    Some(agent_row(Some(place), agent))
                });
                found.collect()
            }
            Self::Numbers(_) => {
                let mut seen = HashSet::new();
                let once = known.iter().filter(|agent| seen.insert(agent.identity));
                once.map(|agent| agent_row(None, agent)).collect()
            }
            Self::Nobody => Vec::new(),
        };
        rows.truncate(fitting(&rows));
        list(&rows)
    }
}

/// Each place of a mail and the address in the form in which it is compared; who stands twice in one list, once.
fn once_each(addresses: &[(Bucket, String)]) -> impl Iterator<Item = (Place<'_>, String)> {
    let mut seen = HashSet::new();
    addresses.iter().filter_map(move |(bucket, address)| {
        let point = mail_address::normalize(address);
        let is_new = seen.insert((*bucket, point.clone()));
        is_new.then_some((Place { bucket: *bucket, address }, point))
    })
}

/// How many of these rows, from the first on, an event has room for.
fn fitting<'a, R: Serialize + 'a>(rows: impl IntoIterator<Item = &'a R>) -> usize {
    let mut left = EVENT_ROWS_BYTES;
    let fits = |row: &R| {
        let rest = serde_json::to_string(row).ok().and_then(|text| left.checked_sub(text.len() + 1));
        left = rest.unwrap_or(0);
        rest.is_some()
    };
    rows.into_iter().map(fits).take_while(|fits| *fits).count()
}

fn contact_row<'a>(place: Option<Place<'a>>, contact: &'a KnownContact) -> ContactRow<'a> {
    ContactRow { place, id: contact.id.as_uuid(), name: contact.name.as_deref(), memories: None }
}

fn agent_row<'a>(place: Option<Place<'a>>, agent: &'a KnownAgent) -> AgentRow<'a> {
    AgentRow {
        place,
        id: agent.identity.as_uuid(),
        agent_handle: &agent.agent_handle,
        display_name: agent.display_name.as_deref(),
    }
}

/// The form in which a number, or an address in its place, is compared.
fn normalized(number: &str) -> String {
    if number.contains('@') { mail_address::normalize(number) } else { number.trim().to_owned() }
}

fn list(rows: &[impl Serialize]) -> Option<String> {
    let json = || serde_json::to_string(rows).expect("text and ids always serialise");
    (!rows.is_empty()).then(json)
}

#[cfg(test)]
mod tests;
