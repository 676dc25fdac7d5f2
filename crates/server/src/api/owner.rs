//! The owner that a request names by one of three fields.

use inkhook_wire::id::{IdentityId, MailboxId, PhoneNumberId};

use super::error::ApiError;
use crate::domain::owner::Owner;

/// `mailbox_id`, `phone_number_id` and `agent_identity_id`, as given.
pub(super) type Owners = (Option<MailboxId>, Option<PhoneNumberId>, Option<IdentityId>);

/// The owner that is named, if any; `place` is `body` or `query`. The refusal of several names the last.
pub(super) fn at_most_one(
    place: &str,
    (mailbox, number, identity): Owners,
) -> Result<Option<Owner>, ApiError> {
    let named = [mailbox.map(Owner::Mailbox), number.map(Owner::PhoneNumber), identity.map(Owner::Identity)];
    let mut named = named.into_iter().flatten();
    let first = named.next();
    let Some(second) = named.next_back() else { return Ok(first) };
    let loc = vec![place.into(), second.kind().field_name().into()];
    let msg = "only one of mailbox_id, phone_number_id and agent_identity_id may be given";
    Err(ApiError::invalid_at(loc, msg, "invalid"))
}

/// The one owner that a body has to name.
pub(super) fn exactly_one(owners: Owners) -> Result<Owner, ApiError> {
    at_most_one("body", owners)?.ok_or_else(|| {
        let msg = "exactly one of mailbox_id, phone_number_id and agent_identity_id must be given";
        ApiError::invalid_at(vec!["body".into()], msg, "missing")
    })
}
