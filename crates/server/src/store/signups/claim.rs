//! Vouching: by the code, or by an organisation that may see it; and refusing to.

use inkhook_wire::id::IdentityId;
use subtle::ConstantTimeEq;

use super::{COLUMNS, NONCE_BYTES, OF_IDENTITY, Signup, VISIBLE, code, optional};
use crate::domain::caller::Scope;
use crate::domain::number::OrganizationNo;
use crate::domain::secret::Secret;
use crate::domain::signup::{Closed, GUESSES};
use crate::domain::time::TimeMs;
use crate::store::error::StoreError;
use crate::store::sql::params;
use crate::store::writer::Tx;
use crate::store::{Store, api_keys, identities, members, organizations, rows};

/// What a guess came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verify {
    /// Somebody vouches for it, since now or since before.
    Claimed(Box<Signup>),
    /// It is another code; how many guesses at any are left.
    Wrong {
        /// Of all of them.
        left: u32,
    },
    /// The code was not looked at.
    Closed(Closed),
    /// It did not sign up.
    NotFound,
}

/// What became of asking for another code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resend {
    /// One is made, and waits to be mailed. The earlier one is of no use any more.
    Made(Box<Signup>),
    /// None is made.
    Closed(Closed),
    /// Somebody vouches for it already.
    Claimed,
    /// It did not sign up.
    NotFound,
}

/// What became of an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approve {
    /// The organisation vouches for it, and it belongs there.
    Claimed(Box<Signup>),
    /// It came with the invitation of another organisation, which decides.
    InvitedElsewhere,
    /// Not there for this organisation.
    NotFound,
}

/// What became of a rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reject {
    /// It is deleted.
    Deleted,
    /// It came with the invitation of another organisation, which decides.
    InvitedElsewhere,
    /// Not there for this organisation.
    NotFound,
}

const HOLD: &str = "SELECT 1 FROM signups WHERE identity_id = $1 /*pg FOR UPDATE */";
const COUNT_GUESS: &str = "UPDATE signups SET guesses = guesses + 1, guesses_of_code = guesses_of_code + 1
    WHERE identity_id = $1";
const NEW_CODE: &str = "UPDATE signups SET code_nonce = $2, code_made_ms = $3, guesses_of_code = 0,
    resends = resends + 1, mail_due_ms = $3, mail_attempts = 0 WHERE identity_id = $1";
const CLAIM: &str = "UPDATE signups SET claimed_ms = $2, note = '', mail_due_ms = NULL, is_provisional = 0
    WHERE identity_id = $1";
/// What somebody has put into an organisation; keys that are refused are nothing.
const ANYTHING: &str = "SELECT 1 FROM identities WHERE organization_id = $1
    UNION ALL SELECT 1 FROM api_keys WHERE organization_id = $1 AND revoked_ms IS NULL
    UNION ALL SELECT 1 FROM contacts WHERE organization_id = $1
    UNION ALL SELECT 1 FROM members WHERE organization_id = $1
    UNION ALL SELECT 1 FROM invitations WHERE organization_id = $1
    UNION ALL SELECT 1 FROM allowed_numbers WHERE organization_id = $1 LIMIT 1";

impl Store {
    /// Looks at a code. The right one makes the agent somebody's: of the organisation that invited it, or that its
    /// human is a member of, or else its own, of which its human is a member from then on.
    pub async fn verify_signup(&self, identity: IdentityId, guess: Secret) -> Result<Verify, StoreError> {
        self.change(move |tx| verify(tx, identity, &guess)).await
    }

    /// Makes another code.
    pub async fn resend_signup(&self, identity: IdentityId) -> Result<Resend, StoreError> {
        self.change(move |tx| resend(tx, identity)).await
    }

    /// Makes a sign-up that the organisation may see its own.
    pub async fn approve_signup(
        &self,
        organization: OrganizationNo,
        identity: IdentityId,
    ) -> Result<Approve, StoreError> {
        self.change(move |tx| {
            let Some(signup) = visible(tx, organization, identity)? else { return Ok(Approve::NotFound) };
            if !signup.is_for(organization) {
                return Ok(Approve::InvitedElsewhere);
            }
            claim(tx, &signup, organization)?;
            Ok(Approve::Claimed(Box::new(find(tx, identity)?)))
        })
        .await
    }

    /// Deletes a sign-up that the organisation may see.
    pub async fn reject_signup(
        &self,
        organization: OrganizationNo,
        identity: IdentityId,
    ) -> Result<Reject, StoreError> {
        self.change(move |tx| {
            let Some(signup) = visible(tx, organization, identity)? else { return Ok(Reject::NotFound) };
            if !signup.is_for(organization) {
                return Ok(Reject::InvitedElsewhere);
            }
            remove(tx, &signup)?;
            Ok(Reject::Deleted)
        })
        .await
    }
}

fn verify(tx: &mut Tx<'_>, identity: IdentityId, guess: &Secret) -> Result<Verify, StoreError> {
    let Some(signup) = held(tx, identity)? else { return Ok(Verify::NotFound) };
    if signup.claimed_at.is_some() {
        return Ok(Verify::Claimed(Box::new(signup)));
    }
    if let Err(closed) = signup.standing.may_guess(tx.context.clock.wall()) {
        return Ok(Verify::Closed(closed));
    }
    let code = code(&tx.context.sealer, &signup);
    if !bool::from(code.expose().as_bytes().ct_eq(guess.expose().as_bytes())) {
        let id = identity.as_uuid();
        tx.run(COUNT_GUESS, params![id.as_bytes()])?;
        return Ok(Verify::Wrong { left: GUESSES.saturating_sub(signup.standing.guesses + 1) });
    }
    let to = match signup.invitation {
        Some(_) => signup.organization,
        None => members::organization_of(tx, &signup.human_email)?.unwrap_or(signup.organization),
    };
    claim(tx, &signup, to)?;
    if to == signup.organization && signup.is_provisional {
        members::add(tx, to, &signup.human_email, tx.context.clock.wall().0)?;
    }
    Ok(Verify::Claimed(Box::new(find(tx, identity)?)))
}

fn resend(tx: &mut Tx<'_>, identity: IdentityId) -> Result<Resend, StoreError> {
    let Some(signup) = held(tx, identity)? else { return Ok(Resend::NotFound) };
    if signup.claimed_at.is_some() {
        return Ok(Resend::Claimed);
    }
    let now = tx.context.clock.wall();
    if let Err(closed) = signup.standing.may_resend(now) {
        return Ok(Resend::Closed(closed));
    }
    let id = identity.as_uuid();
    let nonce: [u8; NONCE_BYTES] = tx.context.entropy.bytes();
    tx.run(NEW_CODE, params![id.as_bytes(), nonce, now.0])?;
    Ok(Resend::Made(Box::new(find(tx, identity)?)))
}

/// From this commit on its keys are claimed, and it belongs to `to`.
fn claim(tx: &mut Tx<'_>, signup: &Signup, to: OrganizationNo) -> Result<(), StoreError> {
    let now = tx.context.clock.wall();
    let id = signup.identity.as_uuid();
    if to != signup.organization {
        identities::hand_over(tx, signup.identity, signup.organization, to)?;
    }
    api_keys::claim_of_identity(tx, id, to, now)?;
    tx.run(CLAIM, params![id.as_bytes(), now.0])?;
    if to != signup.organization {
        leave_organization(tx, signup)?;
    }
    Ok(())
}

/// Deletes the agent with its names.
pub(super) fn remove(tx: &mut Tx<'_>, signup: &Signup) -> Result<(), StoreError> {
    let scope = Scope { organization: signup.organization, identity: Some(signup.identity) };
    for identity in identities::all(tx, scope)? {
        identities::delete(tx, signup.organization, &identity)?;
    }
    leave_organization(tx, signup)
}

/// Deletes an agent that waits for somebody to vouch; false: it does not, and is there still.
pub(in crate::store) fn reject(tx: &mut Tx<'_>, identity: IdentityId) -> Result<bool, StoreError> {
    match held(tx, identity)?.filter(|signup| signup.claimed_at.is_none()) {
        Some(signup) => remove(tx, &signup).map(|()| true),
        None => Ok(false),
    }
}

/// An organisation that was made for one agent goes when it is gone, unless somebody put something else there.
fn leave_organization(tx: &mut Tx<'_>, signup: &Signup) -> Result<(), StoreError> {
    if !signup.is_provisional {
        return Ok(());
    }
    let is_used = rows::scalar::<i64>(tx, ANYTHING, params![signup.organization.0])?.is_some();
    if !is_used {
        organizations::remove(tx, signup.organization)?;
    }
    Ok(())
}

/// The sign-up of an identity, kept from others until the end of the transaction.
fn held(tx: &Tx<'_>, identity: IdentityId) -> Result<Option<Signup>, StoreError> {
    let id = identity.as_uuid();
    // Two statements: what is joined is read after the wait, too.
    if tx.is_shared() && rows::scalar::<i64>(tx, HOLD, params![id.as_bytes()])?.is_none() {
        return Ok(None);
    }
    optional(tx, OF_IDENTITY, params![id.as_bytes()])
}

fn find(tx: &Tx<'_>, identity: IdentityId) -> Result<Signup, StoreError> {
    held(tx, identity)?.ok_or(StoreError::Corrupt("a sign-up that was just there"))
}

fn visible(
    tx: &Tx<'_>,
    organization: OrganizationNo,
    identity: IdentityId,
) -> Result<Option<Signup>, StoreError> {
    let now: TimeMs = tx.context.clock.wall();
    let id = identity.as_uuid();
    let sql = format!("SELECT {COLUMNS} {VISIBLE} AND s.identity_id = $3 /*pg FOR UPDATE OF s */");
    rows::optional(tx, &sql, params![organization.0, now.0, id.as_bytes()], super::read)
}
