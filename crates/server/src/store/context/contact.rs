//! Who somebody is: all names of one at the other end.
//!
//! The one place that knows when two names are the same person's.

use super::{Connection, Row, StoreError, params, rows};
use crate::domain::context::Party;
use crate::domain::number::OrganizationNo;

/// Names of one contact that are looked under.
pub(super) const MAX_NAMES: usize = 20;

/// Of an agent both, and of a contact what its card has; the other half of each row is null.
const NAMES: &str = "SELECT m.address, n.number FROM identities i
    LEFT JOIN mailboxes m ON m.identity_id = i.id LEFT JOIN phone_numbers n ON n.identity_id = i.id
    WHERE i.organization_id = $1 AND i.id IN (
        SELECT identity_id FROM mailboxes WHERE address = $2 AND organization_id = $1
        UNION ALL SELECT identity_id FROM phone_numbers WHERE number = $2 AND organization_id = $1)
    UNION ALL SELECT CASE p.kind WHEN 1 THEN p.value END, CASE p.kind WHEN 2 THEN p.value END FROM contact_points p
    WHERE p.contact = (SELECT c.contact FROM contact_points c WHERE c.organization_id = $1 AND c.value = $2)";

/// All addresses and numbers of the contact that `party` belongs to, its own among them. `None`: nobody knows it.
///
/// Contacts are those of the address book; an agent of the organisation is known by its mailbox and its number.
pub(super) fn names_of(
    connection: &Connection,
    organization: OrganizationNo,
    party: &Party,
) -> Result<Option<Vec<Party>>, StoreError> {
    let found = rows::all(connection, NAMES, params![organization.0, party.as_str()], |row: &Row<'_>| {
        let (address, number): (Option<String>, Option<String>) = (row.get(0)?, row.get(1)?);
        Ok([address.map(Party::Address), number.map(Party::Number)])
    })?;
    let mut names: Vec<Party> = found.into_iter().flatten().flatten().collect();
    if names.is_empty() {
        return Ok(None);
    }
    names.sort_unstable();
    names.dedup();
    names.truncate(MAX_NAMES);
    Ok(Some(names))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn names_are_found_by_index() {
        plan::assert_bounded(&plan::of(NAMES, params![1, "x"]));
    }
}
