//! The address book of an organisation.
//!
//! Everything that changes it holds the organisation's row, so that its bounds hold with several nodes, too; an
//! address that two of them write at once is the database's to refuse, and whoever comes second looks again. A card
//! is one value; the addresses and numbers on it stand in a table of their own as well, by which whoever wrote is
//! found, and the newest facts are kept as payloads have them, so that finding somebody is one row.

mod facts;
mod list;

use inkhook_wire::id::{ContactId, IdentityId};
use uuid::Uuid;

pub use self::facts::{ChangeFact, CreateFact, FactChange};
pub use self::list::{ContactFilter, ContactOrder, Lookup};
use super::error::StoreError;
use super::sql::{Connection, Row, params};
use super::writer::Tx;
use super::{Store, rows};
use crate::domain::contact::{CARD_BYTES, Card, Contact, LatestFact, MAX_CONTACTS, Point, PointKind};
use crate::domain::identity::Settings;
use crate::domain::number::OrganizationNo;

/// A contact to be made.
#[derive(Debug, Clone)]
pub struct NewContact {
    /// Whose address book it goes into.
    pub organization: OrganizationNo,
    /// The agent that makes it.
    pub created_by: Option<IdentityId>,
    /// What is said of it.
    pub card: Card,
}

/// A change of a contact; `None` keeps what is there.
#[derive(Debug, Clone, Default)]
pub struct ContactChange {
    /// Fields to add or replace; null takes one away.
    pub fields: Settings,
    /// Other addresses.
    pub emails: Option<Vec<Point>>,
    /// Other numbers.
    pub phones: Option<Vec<Point>>,
}

/// An address or number that another contact has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointTaken {
    /// Which of the two it is.
    pub kind: PointKind,
    /// The address or number.
    pub value: String,
    /// Who has it.
    pub holder: ContactId,
}

/// What became of making a contact.
#[derive(Debug, Clone, PartialEq)]
pub enum CreateContact {
    /// Made.
    Created(Box<Contact>),
    /// One of its addresses or numbers is another's.
    Taken(PointTaken),
    /// The organisation has as many as there may be.
    TooMany,
    /// More is said of it than may be.
    TooLarge,
}

/// What became of changing a contact.
#[derive(Debug, Clone, PartialEq)]
pub enum ChangeContact {
    /// Changed; this is how it is now.
    Changed(Box<Contact>),
    /// Not there for this organisation.
    NotFound,
    /// One of its addresses or numbers is another's.
    Taken(PointTaken),
    /// More would be said of it than may be.
    TooLarge,
}

/// One text for every statement that reads contacts; what follows narrows it down.
macro_rules! contacts {
    ($rest:literal) => {
        concat!(
            "SELECT c.no, c.id, c.created_by, c.card, c.created_ms, c.updated_ms,
    (SELECT count(*) FROM contact_facts f WHERE f.contact = c.no) AS facts,
    l.id AS latest_id, l.content AS latest_content, l.updated_ms AS latest_ms
    FROM contacts c LEFT JOIN contact_facts l ON l.no = (SELECT f.no FROM contact_facts f
        WHERE f.contact = c.no ORDER BY f.updated_ms DESC, f.no DESC LIMIT 1)
    WHERE c.organization_id = $1 ",
            $rest
        )
    };
}
use contacts;

const BY_ID: &str = contacts!("AND c.id = $2");
const HOLD_ORGANIZATION: &str = "SELECT no FROM organizations WHERE no = $1 /*pg FOR NO KEY UPDATE */";
const COUNT: &str = "SELECT count(*) FROM contacts WHERE organization_id = $1";
const ADD: &str =
    "INSERT INTO contacts (id, organization_id, created_by, name, sort_key, searched, card, memories,
    created_ms, updated_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, '[]', $8, $8) RETURNING no";
const CHANGE: &str = "UPDATE contacts SET name = $2, sort_key = $3, searched = $4, card = $5, updated_ms = $6
    WHERE no = $1";
const REMOVE: &str = "DELETE FROM contacts WHERE organization_id = $1 AND id = $2";
const HOLDER: &str = "SELECT c.id FROM contact_points p JOIN contacts c ON c.no = p.contact
    WHERE p.organization_id = $1 AND p.value = $2 AND p.contact <> $3";
const ADD_POINT: &str =
    "INSERT INTO contact_points (organization_id, value, kind, contact) VALUES ($1, $2, $3, $4)";
const REMOVE_POINTS: &str = "DELETE FROM contact_points WHERE contact = $1";
/// No contact has it: what is compared with it is another.
const NOBODY: i64 = 0;

impl Store {
    /// Makes a contact.
    pub async fn create_contact(&self, new: NewContact) -> Result<CreateContact, StoreError> {
        self.change(move |tx| create(tx, &new)).await
    }

    /// One contact.
    pub async fn contact(
        &self,
        organization: OrganizationNo,
        id: ContactId,
    ) -> Result<Option<Contact>, StoreError> {
        self.read(move |connection| Ok(find(connection, organization, id)?.map(|(_, contact)| contact))).await
    }

    /// Changes a contact.
    pub async fn change_contact(
        &self,
        organization: OrganizationNo,
        id: ContactId,
        change: ContactChange,
    ) -> Result<ChangeContact, StoreError> {
        self.change(move |tx| self::change(tx, organization, id, &change)).await
    }

    /// Deletes a contact with what is remembered of it; false when it is not there.
    pub async fn delete_contact(
        &self,
        organization: OrganizationNo,
        id: ContactId,
    ) -> Result<bool, StoreError> {
        self.change(move |tx| {
            hold(tx, organization)?;
            let removed = tx.run(REMOVE, params![organization.0, id.as_uuid().as_bytes()])? > 0;
            if removed {
                tx.forget_contacts(organization);
            }
            Ok(removed)
        })
        .await
    }
}

/// Keeps the organisation's address book from being changed by others until the end of the transaction.
fn hold(tx: &Tx<'_>, organization: OrganizationNo) -> Result<(), StoreError> {
    rows::scalar::<i64>(tx, HOLD_ORGANIZATION, params![organization.0]).map(drop)
}

fn create(tx: &mut Tx<'_>, new: &NewContact) -> Result<CreateContact, StoreError> {
    let organization = new.organization;
    let text = json(&new.card)?;
    if text.len() > CARD_BYTES {
        return Ok(CreateContact::TooLarge);
    }
    hold(tx, organization)?;
    if rows::scalar::<i64>(tx, COUNT, params![organization.0])?.unwrap_or(0) >= MAX_CONTACTS {
        return Ok(CreateContact::TooMany);
    }
    if let Some(taken) = taken(tx, organization, &new.card, NOBODY)? {
        return Ok(CreateContact::Taken(taken));
    }
    let id = ContactId::from(tx.context.entropy.uuid());
    let created_by = new.created_by.map(IdentityId::as_uuid);
    let (uuid, card) = (id.as_uuid(), &new.card);
    let params = params![
        uuid.as_bytes(),
        organization.0,
        created_by.as_ref().map(Uuid::as_bytes),
        card.name(),
        card.sort_key(),
        card.searched(),
        text,
        tx.context.clock.wall().0,
    ];
    let no = tx.insert(ADD, params)?;
    add_points(tx, organization, card, no)?;
    tx.forget_contacts(organization);
    let (_, made) = find(tx, organization, id)?.ok_or(StoreError::Corrupt("a contact just made"))?;
    Ok(CreateContact::Created(Box::new(made)))
}

fn change(
    tx: &mut Tx<'_>,
    organization: OrganizationNo,
    id: ContactId,
    change: &ContactChange,
) -> Result<ChangeContact, StoreError> {
    hold(tx, organization)?;
    let Some((no, found)) = find(tx, organization, id)? else { return Ok(ChangeContact::NotFound) };
    let card = Card {
        fields: rows::merged(found.card.fields, &change.fields),
        emails: change.emails.clone().unwrap_or(found.card.emails),
        phones: change.phones.clone().unwrap_or(found.card.phones),
    };
    let text = json(&card)?;
    if text.len() > CARD_BYTES {
        return Ok(ChangeContact::TooLarge);
    }
    if let Some(taken) = taken(tx, organization, &card, no)? {
        return Ok(ChangeContact::Taken(taken));
    }
    let now = tx.context.clock.wall();
    tx.run(CHANGE, params![no, card.name(), card.sort_key(), card.searched(), text, now.0])?;
    if change.emails.is_some() || change.phones.is_some() {
        tx.run(REMOVE_POINTS, params![no])?;
        add_points(tx, organization, &card, no)?;
    }
    tx.forget_contacts(organization);
    let (_, changed) = find(tx, organization, id)?.ok_or(StoreError::Corrupt("a contact just changed"))?;
    Ok(ChangeContact::Changed(Box::new(changed)))
}

/// The first address or number of a card that another than `own` has.
fn taken(
    tx: &Tx<'_>,
    organization: OrganizationNo,
    card: &Card,
    own: i64,
) -> Result<Option<PointTaken>, StoreError> {
    for (kind, value) in card.points() {
        let holder: Option<[u8; 16]> = rows::scalar(tx, HOLDER, params![organization.0, value, own])?;
        if let Some(holder) = holder {
            return Ok(Some(PointTaken { kind, value, holder: Uuid::from_bytes(holder).into() }));
        }
    }
    Ok(None)
}

fn add_points(tx: &Tx<'_>, organization: OrganizationNo, card: &Card, no: i64) -> Result<(), StoreError> {
    for (kind, value) in card.points() {
        tx.run(ADD_POINT, params![organization.0, value, kind.code(), no])?;
    }
    Ok(())
}

/// A contact with its number.
fn find(
    connection: &Connection,
    organization: OrganizationNo,
    id: ContactId,
) -> Result<Option<(i64, Contact)>, StoreError> {
    let id = id.as_uuid();
    rows::optional(connection, BY_ID, params![organization.0, id.as_bytes()], |row| {
        Ok((row.get("no")?, read(row)?))
    })
}

fn read(row: &Row<'_>) -> Result<Contact, StoreError> {
    let card: String = row.get("card")?;
    let latest = rows::optional_id(row, "latest_id")?.zip(rows::optional_time(row, "latest_ms")?);
    let content: Option<String> = row.get("latest_content")?;
    Ok(Contact {
        id: rows::id(row, "id")?,
        created_by: rows::optional_id(row, "created_by")?,
        card: serde_json::from_str(&card).map_err(|_| StoreError::Corrupt("a contact's card"))?,
        facts: row.get("facts")?,
        latest: latest.map(|(id, updated_at)| LatestFact {
            id,
            content: content.unwrap_or_default(),
            updated_at,
        }),
        created_at: rows::time(row, "created_ms")?,
        updated_at: rows::time(row, "updated_ms")?,
    })
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Corrupt("a contact"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn a_contact_and_its_points_are_found_by_keys_alone() {
        let id = [0_u8; 16];
        plan::assert_bounded(&plan::of(BY_ID, params![1, &id[..]]));
        plan::assert_bounded(&plan::of(HOLDER, params![1, "a", 1]));
        plan::assert_bounded(&plan::of(COUNT, params![1]));
        plan::assert_bounded(&plan::of(REMOVE, params![1, &id[..]]));
        plan::assert_bounded(&plan::of(REMOVE_POINTS, params![1]));
    }
}
