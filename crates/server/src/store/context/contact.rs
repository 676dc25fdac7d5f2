//! Who somebody is: all names of one at the other end.
//!
//! The one place that knows when two names are the same person's.

use super::{Connection, Row, StoreError, params, rows};
use crate::domain::context::Party;
use crate::domain::number::OrganizationNo;

/// Names of one contact that are looked under.
pub(super) const MAX_NAMES: usize = 20;

const OF_AGENT: &str = "SELECT m.address, n.number FROM identities i
    LEFT JOIN mailboxes m ON m.identity_id = i.id LEFT JOIN phone_numbers n ON n.identity_id = i.id
    WHERE i.organization_id = $1 AND i.id IN (
        SELECT identity_id FROM mailboxes WHERE address = $2 AND organization_id = $1
        UNION ALL SELECT identity_id FROM phone_numbers WHERE number = $2 AND organization_id = $1)";

/// All addresses and numbers of the contact that `party` belongs to, its own among them. `None`: nobody knows it.
///
/// An agent of the organisation is known by its mailbox and its number.
pub(super) fn names_of(
    connection: &Connection,
    organization: OrganizationNo,
    party: &Party,
) -> Result<Option<Vec<Party>>, StoreError> {
    let read = |row: &Row<'_>| {
        let (address, number): (Option<String>, Option<String>) = (row.get(0)?, row.get(1)?);
        Ok([address.map(Party::Address), number.map(Party::Number)])
    };
    let agent = rows::optional(connection, OF_AGENT, params![organization.0, party.as_str()], read)?;
    let names = agent.map(|names| names.into_iter().flatten());
    Ok(names.map(|names| names.take(MAX_NAMES).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn names_are_found_by_index() {
        plan::assert_bounded(&plan::of(OF_AGENT, params![1, "x"]));
    }
}
