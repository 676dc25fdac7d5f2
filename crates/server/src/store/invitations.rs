//! Invitations: one token an organisation, told once. An agent that signs up with it belongs to the organisation
//! from the start, and the organisation sees it and may approve it.

use uuid::Uuid;

use super::error::StoreError;
use super::seal::{Sealer, SignupMac};
use super::sql::Connection;
use super::{Store, rows};
use crate::domain::number::OrganizationNo;
use crate::domain::secret::Secret;
use crate::domain::signup;
use crate::domain::time::TimeMs;
use crate::store::sql::params;

/// An invitation that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInvitation {
    /// Its id.
    pub id: Uuid,
    /// Its token, told this once.
    pub token: Secret,
    /// When it was made: now.
    pub created_at: TimeMs,
}

const SET: &str = "INSERT INTO invitations (organization_id, id, mac, created_ms) VALUES ($1, $2, $3, $4)
    ON CONFLICT (organization_id) DO UPDATE SET id = excluded.id, mac = excluded.mac,
    created_ms = excluded.created_ms";
const REMOVE: &str = "DELETE FROM invitations WHERE organization_id = $1";
const BY_MAC: &str = "SELECT organization_id, id FROM invitations WHERE mac = $1";

impl Store {
    /// Makes the organisation's invitation, in place of an earlier one, whose token is of no use any more. Who
    /// has signed up with that stays where they are.
    pub async fn invite(&self, organization: OrganizationNo) -> Result<NewInvitation, StoreError> {
        self.change(move |tx| {
            let context = tx.context;
            let token = signup::invitation_token(&context.entropy);
            let new = NewInvitation { id: context.entropy.uuid(), token, created_at: context.clock.wall() };
            let mac = mac(&context.sealer, &new.token);
            tx.run(SET, params![organization.0, new.id.as_bytes(), mac, new.created_at.0])?;
            Ok(new)
        })
        .await
    }

    /// Takes the organisation's invitation back, if there is one.
    pub async fn take_invitation_back(&self, organization: OrganizationNo) -> Result<(), StoreError> {
        self.change(move |tx| tx.run(REMOVE, params![organization.0]).map(drop)).await
    }
}

/// The organisation that this token invites to, and the invitation.
pub(super) fn find(
    connection: &Connection,
    sealer: &Sealer,
    token: &Secret,
) -> Result<Option<(OrganizationNo, Uuid)>, StoreError> {
    rows::optional(connection, BY_MAC, params![mac(sealer, token)], |row| {
        Ok((OrganizationNo(row.get("organization_id")?), rows::id(row, "id")?))
    })
}

fn mac(sealer: &Sealer, token: &Secret) -> [u8; 32] {
    sealer.signup_mac(SignupMac::Invitation, token.expose().as_bytes())
}
