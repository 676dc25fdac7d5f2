//! Lists of contacts, and finding some by a part of their addresses or numbers.

use super::{contacts, read};
use crate::domain::contact::{Contact, PointKind};
use crate::domain::number::OrganizationNo;
use crate::store::error::StoreError;
use crate::store::sql::{Connection, params};
use crate::store::{Store, rows};

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContactOrder {
    /// By name, without regard to case; who has none comes first.
    #[default]
    Name,
    /// Changed last first.
    Recent,
}

/// Which contacts to list.
#[derive(Debug, Clone, Default)]
pub struct ContactFilter {
    /// Those of which one of the searched fields has this in it, in lower case.
    pub q: Option<String>,
    /// In this order.
    pub order: ContactOrder,
    /// At most this many.
    pub limit: u32,
    /// After this many.
    pub offset: u32,
}

/// By what contacts are looked up. Addresses are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// Whoever has this address or number.
    Point(String),
    /// Those of whose addresses or numbers one has this in it.
    Contains(PointKind, String),
    /// Those with an address in this domain.
    Domain(String),
}

const BY_NAME: &str = contacts!(
    "AND (c.searched LIKE $2 ESCAPE '!' OR $2 IS NULL) ORDER BY c.sort_key, c.no LIMIT $3 OFFSET $4"
);
const BY_CHANGE: &str = contacts!(
    "AND (c.searched LIKE $2 ESCAPE '!' OR $2 IS NULL) ORDER BY c.updated_ms DESC, c.no DESC LIMIT $3 OFFSET $4"
);
const BY_POINT: &str = contacts!(
    "AND c.no = (SELECT p.contact FROM contact_points p WHERE p.organization_id = $1 AND p.value = $2)"
);
const BY_PART: &str = contacts!(
    "AND c.no IN (SELECT p.contact FROM contact_points p
        WHERE p.organization_id = $1 AND p.kind = $2 AND p.value LIKE $3 ESCAPE '!')
    ORDER BY c.sort_key, c.no LIMIT $4"
);
impl Store {
    /// Contacts of an organisation.
    pub async fn contacts(
        &self,
        organization: OrganizationNo,
        filter: ContactFilter,
    ) -> Result<Vec<Contact>, StoreError> {
        self.read(move |connection| {
            let sql = match filter.order {
                ContactOrder::Name => BY_NAME,
                ContactOrder::Recent => BY_CHANGE,
            };
            let part = filter.q.as_deref().map(|q| format!("%{}%", escaped(q)));
            rows::all(connection, sql, params![organization.0, part, filter.limit, filter.offset], read)
        })
        .await
    }

    /// Contacts of an organisation by one of their addresses or numbers, by name, at most `limit`.
    pub async fn find_contacts(
        &self,
        organization: OrganizationNo,
        lookup: Lookup,
        limit: u32,
    ) -> Result<Vec<Contact>, StoreError> {
        self.read(move |connection| find(connection, organization, &lookup, limit)).await
    }
}

fn find(
    connection: &Connection,
    organization: OrganizationNo,
    lookup: &Lookup,
    limit: u32,
) -> Result<Vec<Contact>, StoreError> {
    let (kind, pattern) = match lookup {
        Lookup::Point(point) => return rows::all(connection, BY_POINT, params![organization.0, point], read),
        Lookup::Contains(kind, part) => (*kind, format!("%{}%", escaped(part))),
        Lookup::Domain(domain) => (PointKind::Email, format!("%@{}", escaped(domain))),
    };
    rows::all(connection, BY_PART, params![organization.0, kind.code(), pattern, limit], read)
}

/// A text that LIKE takes for itself.
fn escaped(text: &str) -> String {
    let escape = |c: char| matches!(c, '!' | '%' | '_').then_some('!').into_iter().chain([c]);
    text.chars().flat_map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn lists_neither_sort_nor_read_other_organisations() {
        for sql in [BY_NAME, BY_CHANGE] {
            plan::assert_bounded(&plan::of(sql, params![1, "%a%", 1, 1]));
        }
        plan::assert_bounded(&plan::of(BY_POINT, params![1, "a"]));
        plan::assert_bounded(&plan::of(BY_PART, params![1, 1, "%a%", 1]));
    }

    #[test]
    fn what_like_would_read_as_more_is_itself() {
        assert_eq!(escaped("50%_off!"), "50!%!_off!!");
    }
}
