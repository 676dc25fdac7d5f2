//! Registering.

use std::time::Duration;

use inkhook_wire::id::IdentityId;
use uuid::Uuid;

use crate::domain::api_key::KeyScope;
use crate::domain::identity::{Identity, Settings};
use crate::domain::names::{HANDLE_CHARS, LOCAL_PART_CHARS};
use crate::domain::number::OrganizationNo;
use crate::domain::secret::Secret;
use crate::domain::signup::{self, IN_ALL, LASTS, PER_BLOCK, PER_HUMAN, WINDOW};
use crate::domain::time::TimeMs;
use crate::store::api_keys::{self, MintKey, NewApiKey};
use crate::store::error::StoreError;
use crate::store::identities::{self, CreateIdentity, NewIdentity};
use crate::store::locks::{self, Task};
use crate::store::seal::{Sealer, SignupMac};
use crate::store::sql::{Connection, params};
use crate::store::writer::Tx;
use crate::store::{Store, invitations, mailboxes, organizations, rows};

/// Endings that are tried before it is a fault: one of 32^8 is drawn each time.
const TRIES: usize = 4;

/// Somebody who signs up.
#[derive(Debug, Clone)]
pub struct NewSignup {
    /// Who is to vouch, in the form of [`signup::human_email`].
    pub human_email: String,
    /// What the agent writes to them.
    pub note: String,
    /// What it says that it runs in.
    pub harness: Option<String>,
    /// What people see; the handle when left out.
    pub display_name: Option<String>,
    /// What its handle begins with.
    pub handle: String,
    /// What its address begins with.
    pub local_part: String,
    /// The domain of its mailbox.
    pub mail_domain: String,
    /// The network that it comes from.
    pub block: String,
    /// The token of an invitation.
    pub invitation: Option<Secret>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Register {
    /// It is there.
    Registered(Box<Registered>),
    /// There were so many already; how long until there is room for one more.
    Full(Bound, Duration),
    /// Nobody gave out this invitation, or it was taken back.
    UnknownInvitation,
}

/// Who has just signed up.
#[derive(Debug, Clone, PartialEq)]
pub struct Registered {
    /// The agent.
    pub identity: Identity,
    /// Its key, told this once.
    pub key: Secret,
    /// The invitation that it came with.
    pub invitation: Option<Uuid>,
}

/// Which bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Sign-ups that name this human.
    Human,
    /// Sign-ups from this network.
    Block,
    /// Sign-ups.
    All,
}

const OF_HUMAN: &str = "SELECT created_ms FROM signup_counts WHERE email = $1 AND created_ms > $2
    ORDER BY created_ms DESC LIMIT 1 OFFSET $3";
const OF_BLOCK: &str = "SELECT created_ms FROM signup_counts WHERE block = $1 AND created_ms > $2
    ORDER BY created_ms DESC LIMIT 1 OFFSET $3";
const OF_ALL: &str = "SELECT created_ms FROM signup_counts WHERE created_ms > $1
    ORDER BY created_ms DESC LIMIT 1 OFFSET $2";
const COUNT: &str =
    "INSERT INTO signup_counts (identity_id, email, block, created_ms) VALUES ($1, $2, $3, $4)";
const ADD: &str =
    "INSERT INTO signups (identity_id, human_email, note, harness, invitation_id, is_provisional,
    code_nonce, code_made_ms, mail_due_ms, created_ms, expires_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $8, $9)";

impl Store {
    /// Registers an agent. Its code waits to be mailed from then on.
    pub async fn register(&self, new: NewSignup, now: TimeMs) -> Result<Register, StoreError> {
        // Anybody may ask, as often as they like, and what is refused is not counted: it costs a read, and the
        // writer nothing.
        let (sealer, asked) = (self.sealer().clone(), new.clone());
        let admitted = self.read(move |connection| admit(connection, &sealer, &asked, now)).await?;
        match admitted {
            Err(refused) => Ok(refused),
            Ok(_) => self.change(move |tx| register(tx, &new)).await,
        }
    }
}

/// The invitation that it comes with, and the organisation that invites; or why it may not register.
fn admit(
    connection: &Connection,
    sealer: &Sealer,
    new: &NewSignup,
    now: TimeMs,
) -> Result<Result<Option<(OrganizationNo, Uuid)>, Register>, StoreError> {
    let human = human_mac(sealer, &new.human_email);
    if let Some((bound, wait)) = full(connection, &human, &new.block, now)? {
        return Ok(Err(Register::Full(bound, wait)));
    }
    let Some(token) = &new.invitation else { return Ok(Ok(None)) };
    let found = invitations::find(connection, sealer, token)?;
    Ok(found.map(Some).ok_or(Register::UnknownInvitation))
}

fn human_mac(sealer: &Sealer, email: &str) -> [u8; 32] {
    sealer.signup_mac(SignupMac::Human, signup::counted_as(email).as_bytes())
}

/// The first bound that is reached, and how long until it is not.
fn full(
    connection: &Connection,
    human: &[u8; 32],
    block: &str,
    now: TimeMs,
) -> Result<Option<(Bound, Duration)>, StoreError> {
    let since = now.before(WINDOW).0;
    let all = rows::scalar(connection, OF_ALL, params![since, IN_ALL - 1])?;
    let of_block = rows::scalar(connection, OF_BLOCK, params![block, since, PER_BLOCK - 1])?;
    let of_human = rows::scalar(connection, OF_HUMAN, params![human, since, PER_HUMAN - 1])?;
    let bounds = [(Bound::All, all), (Bound::Block, of_block), (Bound::Human, of_human)];
    Ok(bounds.into_iter().find_map(|(bound, reached)| {
        let reached: i64 = reached?;
        Some((bound, TimeMs(reached).after(WINDOW).since(now)))
    }))
}

fn register(tx: &mut Tx<'_>, new: &NewSignup) -> Result<Register, StoreError> {
    let now = tx.context.clock.wall();
    locks::wait_for_task(tx, Task::SignUp)?;
    // Again: others may have come first, and an invitation may be gone.
    let invitation = match admit(tx, &tx.context.sealer, new, now)? {
        Ok(invitation) => invitation,
        Err(refused) => return Ok(refused),
    };
    let human = human_mac(&tx.context.sealer, &new.human_email);
    let (identity, key) = make(tx, new, invitation.map(|(organization, _)| organization), now)?;
    let invitation = invitation.map(|(_, id)| id);
    add(tx, new, identity.id, invitation, now)?;
    let id = identity.id.as_uuid();
    tx.run(COUNT, params![id.as_bytes(), human, new.block, now.0])?;
    Ok(Register::Registered(Box::new(Registered { identity, key, invitation })))
}

fn add(
    tx: &Tx<'_>,
    new: &NewSignup,
    identity: IdentityId,
    invitation: Option<Uuid>,
    now: TimeMs,
) -> Result<(), StoreError> {
    let id = identity.as_uuid();
    let nonce: [u8; super::NONCE_BYTES] = tx.context.entropy.bytes();
    let params = params![
        id.as_bytes(),
        new.human_email,
        new.note,
        new.harness,
        invitation.as_ref().map(Uuid::as_bytes),
        invitation.is_none(),
        nonce,
        now.0,
        now.after(LASTS).0,
    ];
    tx.run(ADD, params)?;
    Ok(())
}

/// The agent with its mailbox and its key, in the organisation that invited it or in one of its own.
fn make(
    tx: &mut Tx<'_>,
    new: &NewSignup,
    invited_to: Option<OrganizationNo>,
    now: TimeMs,
) -> Result<(Identity, Secret), StoreError> {
    let (handle, address) = free_names(tx, new, invited_to, now)?;
    let organization = match invited_to {
        Some(organization) => organization,
        None => organizations::create(tx, &own_organization(&handle))?.no,
    };
    let wanted = NewIdentity {
        organization,
        handle,
        display_name: new.display_name.clone(),
        description: None,
        imessage_enabled: false,
        settings: Settings::new(),
        address,
        phone_number: None,
    };
    let CreateIdentity::Created(identity) = identities::create(tx, &wanted)? else {
        return Err(StoreError::Corrupt("names that were free are not"));
    };
    let key = NewApiKey {
        organization: Some(organization),
        scope: KeyScope::Agent,
        identity: Some(identity.id),
        claimed: false,
        label: "sign-up".into(),
        description: None,
        created_by: "sign-up".into(),
        expires_at: None,
        text: None,
    };
    match api_keys::mint(tx, &key)? {
        MintKey::Minted(_, text) => Ok((*identity, text)),
        _ => Err(StoreError::Corrupt("an agent that was just made has no key")),
    }
}

/// Names that nobody has: what was asked for, and a random ending.
fn free_names(
    tx: &Tx<'_>,
    new: &NewSignup,
    invited_to: Option<OrganizationNo>,
    now: TimeMs,
) -> Result<(String, String), StoreError> {
    // No organisation has this number, so that every reserved name is somebody else's.
    let organization = invited_to.unwrap_or(OrganizationNo(0));
    for _ in 0..TRIES {
        let suffix = signup::suffix(&tx.context.entropy);
        let handle = signup::named(&new.handle, &suffix, HANDLE_CHARS);
        let local_part = signup::named(&new.local_part, &suffix, LOCAL_PART_CHARS);
        let address = format!("{local_part}@{}", new.mail_domain);
        let taken = identities::handle_taken(tx, organization, &handle, now)?
            || mailboxes::taken(tx, organization, &address, now)?
            || organizations::name_taken(tx, &own_organization(&handle))?;
        if !taken {
            return Ok((handle, address));
        }
    }
    Err(StoreError::Corrupt("random names are taken again and again"))
}

fn own_organization(handle: &str) -> String {
    format!("sign-up {handle}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn bounds_are_looked_up_by_indexes() {
        plan::assert_bounded(&plan::of(OF_HUMAN, rusqlite::params![vec![0_u8; 32], 1, 4]));
        plan::assert_bounded(&plan::of(OF_BLOCK, rusqlite::params!["192.0.2.0/24", 1, 19]));
        plan::assert_bounded(&plan::of(OF_ALL, [1, 499]));
    }
}
