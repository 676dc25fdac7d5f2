//! Who stands behind an owner: looked up before a publish is checked, and again when it is stored.

use inkhook_wire::id::IdentityId;

use super::error::StoreError;
use super::{Store, rows};
use crate::domain::caller::Scope;
use crate::domain::number::OrganizationNo;
use crate::domain::owner::{Owner, OwnerFacts};
use crate::store::sql::{Connection, Row, params};

const OF_MAILBOX: &str = "SELECT i.id, i.handle, m.id AS mailbox_id, m.address, n.id AS number_id, n.number
    FROM mailboxes o JOIN identities i ON i.id = o.identity_id
    LEFT JOIN mailboxes m ON m.identity_id = i.id LEFT JOIN phone_numbers n ON n.identity_id = i.id
    WHERE o.id = $1 AND i.organization_id = $2 AND (i.id = $3 OR $3 IS NULL)";
const OF_NUMBER: &str = "SELECT i.id, i.handle, m.id AS mailbox_id, m.address, n.id AS number_id, n.number
    FROM phone_numbers o JOIN identities i ON i.id = o.identity_id
    LEFT JOIN mailboxes m ON m.identity_id = i.id LEFT JOIN phone_numbers n ON n.identity_id = i.id
    WHERE o.id = $1 AND i.organization_id = $2 AND (i.id = $3 OR $3 IS NULL)";
const OF_IDENTITY: &str = "SELECT i.id, i.handle, m.id AS mailbox_id, m.address, n.id AS number_id, n.number
    FROM identities i
    LEFT JOIN mailboxes m ON m.identity_id = i.id LEFT JOIN phone_numbers n ON n.identity_id = i.id
    WHERE i.id = $1 AND i.organization_id = $2 AND (i.id = $3 OR $3 IS NULL)";

/// Names whose agents and contacts are looked for in one organisation.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Normalised mail addresses.
    pub addresses: Vec<String>,
    /// Phone numbers in E.164.
    pub numbers: Vec<String>,
}

impl Names {
    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &String> {
        self.addresses.iter().chain(&self.numbers)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.addresses.len() + self.numbers.len()
    }

    /// All but those that `leave_out` picks.
    pub(super) fn without(mut self, leave_out: impl Fn(&str) -> bool) -> Self {
        self.addresses.retain(|name| !leave_out(name));
        self.numbers.retain(|name| !leave_out(name));
        self
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Store {
    /// What is known about `owner`, if the scope can see it.
    pub async fn owner_facts(&self, scope: Scope, owner: Owner) -> Result<Option<OwnerFacts>, StoreError> {
        self.read(move |connection| find(connection, scope, owner)).await
    }
}

/// Who stands behind an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Behind {
    /// The identity.
    pub(super) identity: IdentityId,
    /// A subscription of it asks what was said before, so its events are put where that is found.
    pub(super) keeps_context: bool,
}

/// Whether the identity in this column has a subscription that asks for a context.
macro_rules! keeps_context {
    ($identity:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM subscriptions w WHERE w.identity_id = ",
            $identity,
            " AND w.status = 'active' AND w.context_config <> '{}') AS keeps_context"
        )
    };
}
pub(super) use keeps_context;

const BEHIND_MAILBOX: &str = concat!(
    "SELECT o.identity_id, ",
    keeps_context!("o.identity_id"),
    " FROM mailboxes o WHERE o.id = $1 AND o.organization_id = $2"
);
const BEHIND_NUMBER: &str = concat!(
    "SELECT o.identity_id, ",
    keeps_context!("o.identity_id"),
    " FROM phone_numbers o WHERE o.id = $1 AND o.organization_id = $2"
);
const ITSELF: &str = concat!(
    "SELECT o.id AS identity_id, ",
    keeps_context!("o.id"),
    " FROM identities o WHERE o.id = $1 AND o.organization_id = $2"
);

/// The identity behind an owner, if the organisation still has it.
pub(super) fn behind(
    connection: &Connection,
    organization: OrganizationNo,
    owner: Owner,
) -> Result<Option<Behind>, StoreError> {
    let sql = match owner {
        Owner::Mailbox(_) => BEHIND_MAILBOX,
        Owner::PhoneNumber(_) => BEHIND_NUMBER,
        Owner::Identity(_) => ITSELF,
    };
    let owner_id = owner.uuid();
    rows::optional(connection, sql, params![owner_id.as_bytes(), organization.0], |row| {
        Ok(Behind { identity: rows::id(row, "identity_id")?, keeps_context: row.get("keeps_context")? })
    })
}

/// The same inside a transaction.
pub(super) fn find(
    connection: &Connection,
    scope: Scope,
    owner: Owner,
) -> Result<Option<OwnerFacts>, StoreError> {
    let sql = match owner {
        Owner::Mailbox(_) => OF_MAILBOX,
        Owner::PhoneNumber(_) => OF_NUMBER,
        Owner::Identity(_) => OF_IDENTITY,
    };
    let identity = scope.identity.map(IdentityId::as_uuid);
    let identity = identity.as_ref().map(uuid::Uuid::as_bytes);
    let owner_id = owner.uuid();
    let params = params![owner_id.as_bytes(), scope.organization.0, identity];
    rows::optional(connection, sql, params, |row| read(row, owner))
}

fn read(row: &Row<'_>, owner: Owner) -> Result<OwnerFacts, StoreError> {
    let address: Option<String> = row.get("address")?;
    let number: Option<String> = row.get("number")?;
    Ok(OwnerFacts {
        owner,
        identity_id: rows::id(row, "id")?,
        agent_handle: row.get("handle")?,
        mailbox: rows::optional_id(row, "mailbox_id")?.zip(address),
        phone_number: rows::optional_id(row, "number_id")?.zip(number),
    })
}
