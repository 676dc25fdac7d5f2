//! Whom an event names: which mail addresses and phone numbers are agents or contacts of its organisation.
//!
//! Answered from memory while nothing about them changes ([`fact_cache`](super::fact_cache),
//! [`contact_cache`](super::contact_cache)); what is not known is read in one statement a kind, however many names
//! there are. All agents and all contacts of an organisation are visible to all of its agents.

use std::sync::Arc;

use super::contact_cache::{ContactCache, Found};
use super::error::StoreError;
use super::fact_cache::{Agents, FactCache, MAX_WHOLE};
use super::facts::{self, Names};
use super::sql::{Connection, Row, params};
use super::{Store, rows};
use crate::domain::caller::Scope;
use crate::domain::contact::KnownContact;
use crate::domain::number::OrganizationNo;
use crate::domain::owner::{KnownAgent, Owner, OwnerFacts};

/// Those of some names that are known, in the order in which the names were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct People {
    /// Agents of the organisation.
    pub agents: Vec<KnownAgent>,
    /// Contacts of the organisation: one for each of its names.
    pub contacts: Vec<Arc<KnownContact>>,
}

/// One text for both ways to read agents.
macro_rules! agents {
    ($addresses:literal, $numbers:literal, $end:literal) => {
        concat!(
            "SELECT m.address AS name, i.id, i.handle, i.display_name FROM ",
            $addresses,
            " JOIN identities i ON i.id = m.identity_id WHERE m.organization_id = $1
    UNION ALL SELECT n.number, i.id, i.handle, i.display_name FROM ",
            $numbers,
            " JOIN identities i ON i.id = n.identity_id WHERE n.organization_id = $1",
            $end
        )
    };
}

const ALL_AGENTS: &str = agents!("mailboxes m", "phone_numbers n", " LIMIT $2");
const AGENTS: &str = agents!(
    "/*lite*/ json_each($2) l CROSS JOIN /*end*/
    /*pg json_array_elements_text(CAST($2 AS JSON)) AS l (value) JOIN */ mailboxes m ON m.address = l.value",
    "/*lite*/ json_each($2) l CROSS JOIN /*end*/
    /*pg json_array_elements_text(CAST($2 AS JSON)) AS l (value) JOIN */ phone_numbers n ON n.number = l.value",
    ""
);
const HAS_CONTACTS: &str = "SELECT 1 FROM contact_points WHERE organization_id = $1 LIMIT 1";
const CONTACTS: &str = "SELECT p.value, c.id, c.name, c.memories
    FROM /*lite*/ json_each($2) l CROSS JOIN /*end*/
    /*pg json_array_elements_text(CAST($2 AS JSON)) AS l (value) JOIN */ contact_points p
    ON p.organization_id = $1 AND p.value = l.value JOIN contacts c ON c.no = p.contact";

/// Some names to be looked for, and where what is found is remembered.
#[derive(Debug)]
pub(super) struct Asked {
    organization: OrganizationNo,
    names: Names,
    facts: Arc<FactCache>,
    book: Arc<ContactCache>,
    /// What the caches had seen before the read began.
    epoch: u64,
    changes: u64,
    agents: Option<Vec<KnownAgent>>,
    contacts: Option<Vec<Arc<KnownContact>>>,
}

impl Store {
    /// What is known about `owner`, if the organisation has it, and whom of its people these names are. Answered
    /// from memory while nothing about them changes.
    pub async fn publish_facts(
        &self,
        organization: OrganizationNo,
        owner: Owner,
        names: Names,
    ) -> Result<Option<(Arc<OwnerFacts>, People)>, StoreError> {
        let mut asked = self.ask(organization, names);
        let known = self.facts.owner(organization, owner);
        if let Some(facts) = &known
            && let Some(people) = asked.answer()
        {
            return Ok(Some((facts.clone(), people)));
        }
        self.read(move |connection| {
            let mut found = known;
            if found.is_none() {
                let scope = Scope { organization, identity: None };
                found = facts::find(connection, scope, owner)?.map(Arc::new);
                if let Some(found) = &found {
                    asked.facts.remember_owner(asked.epoch, organization, found);
                }
            }
            let Some(found) = found else { return Ok(None) };
            Ok(Some((found, asked.read(connection)?)))
        })
        .await
    }

    /// Whom of the organisation's people these names are.
    pub async fn people(&self, organization: OrganizationNo, names: Names) -> Result<People, StoreError> {
        let mut asked = self.ask(organization, names);
        match asked.answer() {
            Some(people) => Ok(people),
            None => self.read(move |connection| asked.read(connection)).await,
        }
    }

    /// Looks for names in memory.
    pub(super) fn ask(&self, organization: OrganizationNo, names: Names) -> Asked {
        let (facts, book) = (self.facts.clone(), self.writer.contacts().clone());
        // No database has such a text; one of them could not even be asked for it.
        let names = names.without(|name| name.contains('\0'));
        let (epoch, changes) = (facts.epoch(), book.changes());
        let agents = facts.agents(organization, &names);
        let contacts = book.find(organization, &names);
        Asked { organization, names, facts, book, epoch, changes, agents, contacts }
    }
}

impl Asked {
    /// What is known, when that is all of it.
    fn answer(&mut self) -> Option<People> {
        let (Some(_), Some(_)) = (&self.agents, &self.contacts) else { return None };
        self.agents.take().zip(self.contacts.take()).map(|(agents, contacts)| People { agents, contacts })
    }

    /// Reads what is not known.
    fn read(&mut self, connection: &Connection) -> Result<People, StoreError> {
        if self.agents.is_none() {
            self.agents = Some(self.read_agents(connection)?);
        }
        if self.contacts.is_none() {
            self.contacts = Some(self.read_contacts(connection)?);
        }
        Ok(self.answer().unwrap_or_default())
    }

    /// The same while somebody is on the line: one statement a kind, whatever is known.
    pub(super) fn read_at_once(&mut self, connection: &Connection) -> Result<People, StoreError> {
        if self.agents.is_none() {
            self.agents = Some(agents(connection, self.organization, &self.names)?);
        }
        if self.contacts.is_none() {
            let found = contacts(connection, self.organization, &self.names)?;
            let these = Found::TheseAlone(&found);
            self.book.remember(self.changes, self.organization, &self.names, &these);
            self.contacts = Some(found);
        }
        Ok(self.answer().unwrap_or_default())
    }

    /// An organisation's agents are read whole unless they are many, so that a name that never was seen costs nothing.
    fn read_agents(&self, connection: &Connection) -> Result<Vec<KnownAgent>, StoreError> {
        let organization = self.organization;
        if !self.facts.has_many_agents(organization) {
            let all = rows::all(connection, ALL_AGENTS, params![organization.0, MAX_WHOLE + 1], read_agent)?;
            if all.len() <= MAX_WHOLE {
                let found = in_order(&self.names, &all, |agent| &agent.name);
                self.facts.remember_agents(self.epoch, organization, &self.names, Agents::All(all));
                return Ok(found);
            }
        }
        let found = agents(connection, organization, &self.names)?;
        self.facts.remember_agents(self.epoch, organization, &self.names, Agents::These(found.clone()));
        Ok(found)
    }

    fn read_contacts(&self, connection: &Connection) -> Result<Vec<Arc<KnownContact>>, StoreError> {
        let Self { organization, names, book, changes, .. } = self;
        if !book.has_contacts(*organization)
            && rows::scalar::<i64>(connection, HAS_CONTACTS, params![organization.0])?.is_none()
        {
            book.remember(*changes, *organization, names, &Found::NobodyAtAll);
            return Ok(Vec::new());
        }
        let found = contacts(connection, *organization, names)?;
        book.remember(*changes, *organization, names, &Found::These(&found));
        Ok(found)
    }
}

fn agents(
    connection: &Connection,
    organization: OrganizationNo,
    names: &Names,
) -> Result<Vec<KnownAgent>, StoreError> {
    let found = rows::all(connection, AGENTS, params![organization.0, listed(names)?], read_agent)?;
    Ok(in_order(names, &found, |agent| &agent.name))
}

fn contacts(
    connection: &Connection,
    organization: OrganizationNo,
    names: &Names,
) -> Result<Vec<Arc<KnownContact>>, StoreError> {
    let found = rows::all(connection, CONTACTS, params![organization.0, listed(names)?], |row| {
        let memories: String = row.get("memories")?;
        Ok(Arc::new(KnownContact {
            point: row.get("value")?,
            id: rows::id(row, "id")?,
            name: row.get("name")?,
            memories: serde_json::from_str(&memories).map_err(|_| StoreError::Corrupt("memories"))?,
        }))
    })?;
    Ok(in_order(names, &found, |contact| &contact.point))
}

/// Names as a statement takes them.
fn listed(names: &Names) -> Result<String, StoreError> {
    let names: Vec<&String> = names.iter().collect();
    serde_json::to_string(&names).map_err(|_| StoreError::Corrupt("a list of names"))
}

/// What was found, in the order of the names, once for each.
fn in_order<T: Clone>(names: &Names, found: &[T], name: impl Fn(&T) -> &String) -> Vec<T> {
    let by_name: std::collections::HashMap<&String, &T> = found.iter().map(|it| (name(it), it)).collect();
    names.iter().filter_map(|name| by_name.get(name).map(|it| (*it).clone())).collect()
}

fn read_agent(row: &Row<'_>) -> Result<KnownAgent, StoreError> {
    Ok(KnownAgent {
        name: row.get("name")?,
        identity: rows::id(row, "id")?,
        agent_handle: row.get("handle")?,
        display_name: row.get("display_name")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn people_are_found_by_keys_alone() {
        plan::assert_bounded(&plan::of(ALL_AGENTS, params![1, 1]));
        plan::assert_bounded(&plan::of(AGENTS, params![1, "[]"]));
        plan::assert_bounded(&plan::of(HAS_CONTACTS, params![1]));
        plan::assert_bounded(&plan::of(CONTACTS, params![1, "[]"]));
    }

    fn names(addresses: &[&str]) -> Names {
        Names { addresses: addresses.iter().map(ToString::to_string).collect(), numbers: Vec::new() }
    }

    fn asked(caches: &(Arc<FactCache>, Arc<ContactCache>), names: Names) -> Asked {
        let (facts, book) = caches.clone();
        let organization = OrganizationNo(1);
        let agents = facts.agents(organization, &names);
        let contacts = book.find(organization, &names);
        Asked { organization, names, facts, book, epoch: 0, changes: 0, agents, contacts }
    }

    /// Who is found, and in how many statements.
    fn find(
        database: &Connection,
        caches: &(Arc<FactCache>, Arc<ContactCache>),
        addresses: &[&str],
    ) -> (People, usize) {
        plan::STATEMENTS.with(|count| count.set(0));
        let mut asked = asked(caches, names(addresses));
        let people = match asked.answer() {
            Some(people) => people,
            None => asked.read(database).expect("it reads"),
        };
        (people, plan::STATEMENTS.with(std::cell::Cell::get))
    }

    const SOMEBODY: &str =
        "INSERT INTO organizations (no, id, name, created_ms) VALUES (1, x'01', 'acme', 1);
        INSERT INTO identities (id, organization_id, handle, status, imessage_enabled, settings, created_ms,
        updated_ms) VALUES (x'00000000000000000000000000000001', 1, 'help', 'active', 0, '{}', 1, 1);
        INSERT INTO mailboxes (id, organization_id, identity_id, address, filter_mode, settings, created_ms,
        updated_ms) VALUES (x'00000000000000000000000000000002', 1, x'00000000000000000000000000000001',
        'help@mail.test', 'blacklist', '{}', 1, 1)";
    const A_CONTACT: &str =
        "INSERT INTO contacts VALUES (1, x'00000000000000000000000000000003', 1, NULL, 'Ana',
        'ana', '', '{}', '[\"x\"]', 1, 1); INSERT INTO contact_points VALUES (1, 'ana@client.test', 1, 1)";

    #[test]
    fn whoever_has_no_contacts_pays_for_that_once() {
        let (database, caches) = (plan::database(), Default::default());
        database.execute_batch(SOMEBODY).expect("somebody");
        let (people, statements) = find(&database, &caches, &["ana@client.test", "help@mail.test"]);
        assert_eq!((people.agents.len(), people.contacts.len(), statements), (1, 0, 2));
        for never_seen in ["lee@client.test", "mia@client.test"] {
            assert_eq!(find(&database, &caches, &[never_seen]), (People::default(), 0));
        }
    }

    #[test]
    fn all_that_an_event_names_are_one_statement() {
        let (database, caches) = (plan::database(), Default::default());
        database.execute_batch(&format!("{SOMEBODY}; {A_CONTACT}")).expect("somebody");
        let many: Vec<String> = (0..500).map(|n| format!("a{n}@client.test")).collect();
        let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
        many.push("ana@client.test");
        let (people, statements) = find(&database, &caches, &many);
        assert_eq!((people.contacts.len(), statements), (1, 3), "agents, whether there are any, and who");
        assert_eq!(people.contacts[0].memories, ["x"]);
        assert_eq!(find(&database, &caches, &["one@more.test"]).1, 1);
        assert_eq!(find(&database, &caches, &many), (people, 0));
    }

    #[test]
    fn a_caller_is_looked_for_in_one_statement_a_kind() {
        let (database, caches) = (plan::database(), Default::default());
        database.execute_batch(&format!("{SOMEBODY}; {A_CONTACT}")).expect("somebody");
        plan::STATEMENTS.with(|count| count.set(0));
        let people = asked(&caches, names(&["ana@client.test"])).read_at_once(&database).expect("it reads");
        assert_eq!((people.contacts.len(), plan::STATEMENTS.with(std::cell::Cell::get)), (1, 2));
    }

    #[test]
    fn the_agents_of_a_large_organisation_are_asked_for_by_name() {
        let (database, caches) = (plan::database(), Default::default());
        database.execute_batch(SOMEBODY).expect("somebody");
        let more = format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MAX_WHOLE})
            INSERT INTO identities (id, organization_id, handle, status, imessage_enabled, settings, created_ms,
            updated_ms) SELECT CAST(printf('%016d', i) AS BLOB), 1, 'a' || i, 'active', 0, '{{}}', 1, 1 FROM n;
            INSERT INTO mailboxes (id, organization_id, identity_id, address, filter_mode, settings, created_ms,
            updated_ms) SELECT id, 1, id, handle || '@mail.test', 'blacklist', '{{}}', 1, 1 FROM identities
            WHERE handle <> 'help'"
        );
        database.execute_batch(&more).expect("many");
        let (people, _) = find(&database, &caches, &["a1@mail.test", "nobody@mail.test", "help@mail.test"]);
        let handles: Vec<&str> = people.agents.iter().map(|agent| &*agent.agent_handle).collect();
        assert_eq!(handles, ["a1", "help"], "in the order given");
        assert_eq!(find(&database, &caches, &["a2@mail.test"]).1, 1, "it is known to be large");
        assert_eq!(find(&database, &caches, &["a1@mail.test", "nobody@mail.test"]).1, 0);
    }
}
