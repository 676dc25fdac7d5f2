//! Agents that sign up by themselves.
//!
//! A sign-up is an identity with its mailbox and a key, as any other, and a row that says who is to vouch for it.
//! Until somebody has, its key may look at what is its own and nothing more. Where there is an invitation, it
//! belongs to who invited; else to an organisation that is made for it alone, and that goes when it moves on or
//! goes itself.
//!
//! Promises: the limits hold, on all nodes together. What is registered does not depend on which addresses, handles
//! or humans are known: every name gets a random ending, and members are looked for only when somebody vouches.
//! The code is in no row: it is made of a random value and a key that the master key derives. A guess is counted by
//! the transaction that looks at it. Who was not vouched for in time goes, and its names are free at once.

mod claim;
mod expire;
pub mod mails;
mod register;

use inkhook_wire::id::{IdentityId, OrganizationId};
use uuid::Uuid;

use super::error::StoreError;
use super::seal::{Sealer, SignupMac};
use super::sql::{Connection, Params, Row, params};
use super::{Store, rows};
use crate::domain::number::OrganizationNo;
use crate::domain::secret::Secret;
use crate::domain::signup::{self, Standing};
use crate::domain::time::TimeMs;

pub(super) use self::claim::reject;
pub use self::claim::{Approve, Reject, Resend, Verify};
pub use self::register::{Bound, NewSignup, Register, Registered};

/// Bytes of what a code is made of.
const NONCE_BYTES: usize = 16;

/// A sign-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signup {
    /// Who signed up.
    pub identity: IdentityId,
    /// Where it belongs now.
    pub organization: OrganizationNo,
    /// The same, as the outside knows it.
    pub organization_id: OrganizationId,
    /// Its handle.
    pub handle: String,
    /// What people see.
    pub display_name: Option<String>,
    /// Its mailbox.
    pub address: Option<String>,
    /// Who is to vouch for it, lower case.
    pub human_email: String,
    /// What it wrote to them; empty once it is claimed.
    pub note: String,
    /// What it says that it runs in.
    pub harness: Option<String>,
    /// The invitation that it came with.
    pub invitation: Option<Uuid>,
    /// How it stands.
    pub standing: Standing,
    /// When it signed up.
    pub created_at: TimeMs,
    /// Since when somebody vouches for it.
    pub claimed_at: Option<TimeMs>,
    /// Its organisation was made for it alone.
    is_provisional: bool,
    code_nonce: [u8; NONCE_BYTES],
}

impl Signup {
    /// Whether it came with this organisation's invitation.
    #[must_use]
    pub fn is_invited_by(&self, organization: OrganizationNo) -> bool {
        self.invitation.is_some() && self.organization == organization
    }

    /// Whether this organisation, if it may see it, decides about it: where there is an invitation, nobody else does.
    fn is_for(&self, organization: OrganizationNo) -> bool {
        self.invitation.is_none() || self.organization == organization
    }
}

const COLUMNS: &str = "s.identity_id, i.organization_id AS organization_no, o.id AS organization_id, i.handle,
    i.display_name, m.address, s.human_email, s.note, s.harness, s.invitation_id, s.is_provisional, s.code_nonce,
    s.guesses, s.guesses_of_code, s.resends, s.code_made_ms, s.mail_attempts, s.created_ms, s.expires_ms, s.claimed_ms
    FROM signups s JOIN identities i ON i.id = s.identity_id JOIN organizations o ON o.no = i.organization_id
    LEFT JOIN mailboxes m ON m.identity_id = i.id";
const OF_IDENTITY: &str = "WHERE s.identity_id = $1";
/// What an organisation may see: who came with its invitation, and who names one of its members.
const VISIBLE: &str = "WHERE s.claimed_ms IS NULL AND s.expires_ms > $2
    AND ((s.invitation_id IS NOT NULL AND i.organization_id = $1)
        OR EXISTS (SELECT 1 FROM members v WHERE v.organization_id = $1 AND v.email = s.human_email))";
const UNCLAIMED: &str = "SELECT 1 FROM signups WHERE identity_id = $1 AND claimed_ms IS NULL";

impl Store {
    /// How the sign-up of this identity stands; `None` when it did not sign up.
    pub async fn signup(&self, identity: IdentityId) -> Result<Option<Signup>, StoreError> {
        self.read(move |connection| {
            let id = identity.as_uuid();
            optional(connection, OF_IDENTITY, params![id.as_bytes()])
        })
        .await
    }

    /// What waits for somebody to vouch and is for this organisation to see, oldest first.
    pub async fn pending_signups(
        &self,
        organization: OrganizationNo,
        now: TimeMs,
    ) -> Result<Vec<Signup>, StoreError> {
        self.read(move |connection| rows::all(connection, &pending(), params![organization.0, now.0], read))
            .await
    }
}

fn pending() -> String {
    format!("SELECT {COLUMNS} {VISIBLE} ORDER BY s.expires_ms")
}

/// Whether this identity signed up and nobody has vouched for it.
pub(super) fn is_unclaimed(connection: &Connection, identity: IdentityId) -> Result<bool, StoreError> {
    let id = identity.as_uuid();
    Ok(rows::scalar::<i64>(connection, UNCLAIMED, params![id.as_bytes()])?.is_some())
}

fn optional(
    connection: &Connection,
    condition: &str,
    params: Params<'_>,
) -> Result<Option<Signup>, StoreError> {
    rows::optional(connection, &format!("SELECT {COLUMNS} {condition}"), params, read)
}

fn read(row: &Row<'_>) -> Result<Signup, StoreError> {
    Ok(Signup {
        identity: rows::id(row, "identity_id")?,
        organization: OrganizationNo(row.get("organization_no")?),
        organization_id: rows::id(row, "organization_id")?,
        handle: row.get("handle")?,
        display_name: row.get("display_name")?,
        address: row.get("address")?,
        human_email: row.get("human_email")?,
        note: row.get("note")?,
        harness: row.get("harness")?,
        invitation: rows::optional_id(row, "invitation_id")?,
        standing: Standing {
            guesses: row.get("guesses")?,
            guesses_of_code: row.get("guesses_of_code")?,
            resends: row.get("resends")?,
            code_made_at: rows::time(row, "code_made_ms")?,
            expires_at: rows::time(row, "expires_ms")?,
        },
        created_at: rows::time(row, "created_ms")?,
        claimed_at: rows::optional_time(row, "claimed_ms")?,
        is_provisional: row.get("is_provisional")?,
        code_nonce: row.get("code_nonce")?,
    })
}

/// The code in force. Of another identity, the same random value makes another code.
fn code(sealer: &Sealer, signup: &Signup) -> Secret {
    let made_of = [&signup.identity.as_uuid().as_bytes()[..], &signup.code_nonce].concat();
    signup::code(&sealer.signup_mac(SignupMac::Code, &made_of))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn what_an_organisation_sees_is_found_among_what_waits() {
        let plan = plan::of(&pending(), rusqlite::params![1, 2]);
        plan::assert_bounded(&plan);
        assert!(plan.iter().any(|step| step.contains("signups_by_expiry")), "{plan:#?}");
    }
}
