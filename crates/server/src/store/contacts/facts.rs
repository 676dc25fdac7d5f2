//! What is remembered of a contact.

use inkhook_wire::id::{ContactFactId, ContactId};
use uuid::Uuid;

use super::{hold, json};
use crate::domain::contact::{Contact, Fact, FactKind, MAX_FACTS, memories};
use crate::domain::number::OrganizationNo;
use crate::store::error::StoreError;
use crate::store::sql::{Connection, Row, params};
use crate::store::writer::Tx;
use crate::store::{Store, rows};

/// A change of a fact; `None` keeps what is there.
#[derive(Debug, Clone, Default)]
pub struct FactChange {
    /// What it says.
    pub content: Option<String>,
    /// What it is about.
    pub kind: Option<FactKind>,
}

/// What became of writing a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateFact {
    /// Written.
    Created(Fact),
    /// There is no such contact.
    NotFound,
    /// The contact has as many as there may be.
    TooMany,
}

/// What became of changing a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeFact {
    /// Changed; this is how it is now.
    Changed(Fact),
    /// There is no such contact, or it has no such fact.
    NotFound,
}

const CONTACT: &str = "SELECT no FROM contacts WHERE organization_id = $1 AND id = $2";
const ALL: &str = "SELECT id, kind, content, created_ms, updated_ms FROM contact_facts WHERE contact = $1
    ORDER BY updated_ms DESC, no DESC";
const ONE: &str = "SELECT id, kind, content, created_ms, updated_ms FROM contact_facts
    WHERE id = $2 AND contact = $1";
const COUNT: &str = "SELECT count(*) FROM contact_facts WHERE contact = $1";
const ADD: &str =
    "INSERT INTO contact_facts (id, organization_id, contact, kind, content, created_ms, updated_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $6)";
const CHANGE: &str = "UPDATE contact_facts SET kind = $2, content = $3, updated_ms = $4 WHERE id = $1";
const REMOVE: &str = "DELETE FROM contact_facts WHERE id = $2 AND contact = $1";
const KEEP_MEMORIES: &str = "UPDATE contacts SET memories = $2 WHERE no = $1";

impl Store {
    /// What is remembered of a contact, newest first; `None` when it is not there.
    pub async fn contact_facts(
        &self,
        organization: OrganizationNo,
        contact: ContactId,
    ) -> Result<Option<Vec<Fact>>, StoreError> {
        self.read(move |connection| {
            let Some(no) = number(connection, organization, contact)? else { return Ok(None) };
            rows::all(connection, ALL, params![no], read).map(Some)
        })
        .await
    }

    /// One fact; `None` when it, or its contact, is not there.
    pub async fn contact_fact(
        &self,
        organization: OrganizationNo,
        contact: ContactId,
        id: ContactFactId,
    ) -> Result<Option<Fact>, StoreError> {
        self.read(move |connection| {
            let Some(no) = number(connection, organization, contact)? else { return Ok(None) };
            one(connection, no, id)
        })
        .await
    }

    /// Writes a fact.
    pub async fn create_contact_fact(
        &self,
        organization: OrganizationNo,
        contact: ContactId,
        kind: FactKind,
        content: String,
    ) -> Result<CreateFact, StoreError> {
        self.change(move |tx| {
            hold(tx, organization)?;
            let Some(no) = number(tx, organization, contact)? else { return Ok(CreateFact::NotFound) };
            if rows::scalar::<i64>(tx, COUNT, params![no])?.unwrap_or(0) >= MAX_FACTS {
                return Ok(CreateFact::TooMany);
            }
            let id = ContactFactId::from(tx.context.entropy.uuid());
            let now = tx.context.clock.wall();
            let uuid = id.as_uuid();
            tx.run(ADD, params![uuid.as_bytes(), organization.0, no, kind.code(), content, now.0])?;
            keep_memories(tx, organization, no)?;
            let made = one(tx, no, id)?;
            made.map(CreateFact::Created).ok_or(StoreError::Corrupt("a fact just written"))
        })
        .await
    }

    /// Changes a fact, which is the newest then.
    pub async fn change_contact_fact(
        &self,
        organization: OrganizationNo,
        contact: ContactId,
        id: ContactFactId,
        change: FactChange,
    ) -> Result<ChangeFact, StoreError> {
        self.change(move |tx| {
            hold(tx, organization)?;
            let Some(no) = number(tx, organization, contact)? else { return Ok(ChangeFact::NotFound) };
            let Some(found) = one(tx, no, id)? else { return Ok(ChangeFact::NotFound) };
            let kind = change.kind.unwrap_or(found.kind);
            let content = change.content.as_ref().unwrap_or(&found.content);
            let now = tx.context.clock.wall();
            let uuid = id.as_uuid();
            tx.run(CHANGE, params![uuid.as_bytes(), kind.code(), content, now.0])?;
            keep_memories(tx, organization, no)?;
            let changed = one(tx, no, id)?;
            changed.map(ChangeFact::Changed).ok_or(StoreError::Corrupt("a fact just changed"))
        })
        .await
    }

    /// Deletes a fact; its contact as it is then, or `None` when one of them is not there.
    pub async fn delete_contact_fact(
        &self,
        organization: OrganizationNo,
        contact: ContactId,
        id: ContactFactId,
    ) -> Result<Option<Contact>, StoreError> {
        self.change(move |tx| {
            hold(tx, organization)?;
            let Some(no) = number(tx, organization, contact)? else { return Ok(None) };
            if tx.run(REMOVE, params![no, id.as_uuid().as_bytes()])? == 0 {
                return Ok(None);
            }
            keep_memories(tx, organization, no)?;
            let left = super::find(tx, organization, contact)?;
            Ok(left.map(|(_, contact)| contact))
        })
        .await
    }
}

/// Writes down what payloads say of a contact whose facts have changed.
fn keep_memories(tx: &mut Tx<'_>, organization: OrganizationNo, contact: i64) -> Result<(), StoreError> {
    let facts = rows::all(tx, ALL, params![contact], |row| Ok(row.get::<_, String>("content")?))?;
    let memories = memories(facts.iter().map(String::as_str));
    tx.run(KEEP_MEMORIES, params![contact, json(&memories)?])?;
    tx.forget_contacts(organization);
    Ok(())
}

fn number(
    connection: &Connection,
    organization: OrganizationNo,
    contact: ContactId,
) -> Result<Option<i64>, StoreError> {
    rows::scalar(connection, CONTACT, params![organization.0, contact.as_uuid().as_bytes()])
}

fn one(connection: &Connection, contact: i64, id: ContactFactId) -> Result<Option<Fact>, StoreError> {
    let id: Uuid = id.as_uuid();
    rows::optional(connection, ONE, params![contact, id.as_bytes()], read)
}

fn read(row: &Row<'_>) -> Result<Fact, StoreError> {
    Ok(Fact {
        id: rows::id(row, "id")?,
        kind: FactKind::from_code(row.get("kind")?).ok_or(StoreError::Corrupt("a fact's kind"))?,
        content: row.get("content")?,
        created_at: rows::time(row, "created_ms")?,
        updated_at: rows::time(row, "updated_ms")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn facts_are_found_by_keys_alone() {
        let id = [0_u8; 16];
        plan::assert_bounded(&plan::of(CONTACT, params![1, &id[..]]));
        plan::assert_bounded(&plan::of(ALL, params![1]));
        plan::assert_bounded(&plan::of(ONE, params![1, &id[..]]));
        plan::assert_bounded(&plan::of(COUNT, params![1]));
        plan::assert_bounded(&plan::of(REMOVE, params![1, &id[..]]));
    }
}
