//! Codes that wait to be mailed.
//!
//! A row says when. A claim moves that time on and counts, in one statement's transaction, so that a mail has one
//! sender at a time and one that died is noticed; settling is fenced by the code and the count. Whoever dies between
//! handing a mail over and settling it makes it go out twice.

use std::time::Duration;

use inkhook_wire::id::IdentityId;

use super::{COLUMNS, NONCE_BYTES, code, read};
use crate::domain::signup::CodeMail;
use crate::domain::time::TimeMs;
use crate::store::error::StoreError;
use crate::store::sql::params;
use crate::store::writer::Tx;
use crate::store::{Store, rows};

/// A code to be mailed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueMail {
    /// What is to be said.
    pub content: CodeMail,
    /// How often this code was tried to be mailed, this time included.
    pub attempts: u32,
    identity: IdentityId,
    nonce: [u8; NONCE_BYTES],
}

const ANY: &str = "SELECT 1 FROM signups WHERE mail_due_ms <= $1 LIMIT 1";
const DUE: &str = "WHERE s.mail_due_ms <= $1 AND s.expires_ms > $1 ORDER BY s.mail_due_ms LIMIT 1
    /*pg FOR UPDATE OF s SKIP LOCKED */";
const CLAIM: &str =
    "UPDATE signups SET mail_due_ms = $2, mail_attempts = mail_attempts + 1 WHERE identity_id = $1";
const SETTLE: &str = "UPDATE signups SET mail_due_ms = $4
    WHERE identity_id = $1 AND code_nonce = $2 AND mail_attempts = $3 AND claimed_ms IS NULL";

impl Store {
    /// Takes the code that has waited longest, for so long; `None` when none waits.
    pub async fn claim_signup_mail(
        &self,
        now: TimeMs,
        lease: Duration,
    ) -> Result<Option<DueMail>, StoreError> {
        let any = self.read(move |connection| rows::scalar::<i64>(connection, ANY, params![now.0]));
        if any.await?.is_none() {
            return Ok(None);
        }
        self.change(move |tx| claim(tx, now, now.after(lease))).await
    }

    /// Notes that a mail is with the relay or given up (`None`), or when it is to be tried again. Nothing when there is another
    /// code, or another sender, by now.
    pub async fn settle_signup_mail(&self, mail: &DueMail, next: Option<TimeMs>) -> Result<(), StoreError> {
        let (id, nonce, attempts) = (mail.identity.as_uuid(), mail.nonce, mail.attempts);
        self.change(move |tx| {
            tx.run(SETTLE, params![id.as_bytes(), nonce, attempts, next.map(|at| at.0)])?;
            Ok(())
        })
        .await
    }
}

fn claim(tx: &mut Tx<'_>, now: TimeMs, until: TimeMs) -> Result<Option<DueMail>, StoreError> {
    let sql = format!("SELECT {COLUMNS} {DUE}");
    let found = rows::optional(tx, &sql, params![now.0], |row| {
        Ok((read(row)?, row.get::<_, u32>("mail_attempts")?))
    })?;
    let Some((signup, attempts)) = found else { return Ok(None) };
    let id = signup.identity.as_uuid();
    tx.run(CLAIM, params![id.as_bytes(), until.0])?;
    Ok(Some(DueMail {
        identity: signup.identity,
        nonce: signup.code_nonce,
        attempts: attempts + 1,
        content: CodeMail {
            code: code(&tx.context.sealer, &signup),
            address: signup.address.ok_or(StoreError::Corrupt("a sign-up without a mailbox"))?,
            handle: signup.handle,
            display_name: signup.display_name,
            harness: signup.harness,
            note: signup.note,
            human_email: signup.human_email,
            expires_at: signup.standing.expires_at,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn what_waits_to_be_mailed_is_found_by_its_index() {
        plan::assert_bounded(&plan::of(ANY, [1]));
        plan::assert_bounded(&plan::of(&format!("SELECT {COLUMNS} {DUE}"), [1]));
    }
}
