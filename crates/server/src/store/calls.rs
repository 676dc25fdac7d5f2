//! Incoming calls: what is known of the number that is called, and the log of what was asked about them.
//!
//! The number is read on connections that nothing else uses ([`Store::callee`]), so that a call waits neither for the
//! writer nor behind long lists. The log is written after the decision, as ends of attempts are: kept until it can
//! be written, and written once however often it is tried.

use std::sync::Arc;

use bytes::Bytes;
use inkhook_wire::event::EventType;
use inkhook_wire::id::{IdentityId, PhoneNumberId};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::error::StoreError;
use super::facts::Names;
use super::people::{Asked, People};
use super::seal::Sealer;
use super::settle::{About, AttemptRow, write_line};
use super::signer::{self, identity_signer};
use super::sql::{Connection, Row, params};
use super::writer::{Kind, Op, Tx};
use super::{Store, call_rules, rows, urls};
use crate::domain::call::Callee;
use crate::domain::caller::Scope;
use crate::domain::number::OrganizationNo;
use crate::domain::signing::Signer;

/// What was asked about a call, to be written into the log.
#[derive(Debug, Clone)]
pub struct CallLog {
    /// Whose call it was.
    pub organization: OrganizationNo,
    /// The number that was called.
    pub number_id: PhoneNumberId,
    /// The agent that had it.
    pub identity: IdentityId,
    /// The call.
    pub call_id: Uuid,
    /// What was signed and sent.
    pub payload: Bytes,
    /// Who was asked, in order, and what came of it.
    pub asked: Vec<(String, AttemptRow)>,
}

const CALLEE: &str = concat!(
    "SELECT n.identity_id, n.number, n.incoming_call_action, n.client_websocket_url,
    n.incoming_call_webhook_url, n.incoming_call_fallback_url, n.incoming_call_default_action,
    n.incoming_call_timeout_ms, ",
    identity_signer!(),
    "
    FROM phone_numbers n JOIN identities i ON i.id = n.identity_id
    JOIN organizations o ON o.no = n.organization_id
    WHERE n.id = $1 AND n.organization_id = $2 AND (n.identity_id = $3 OR $3 IS NULL)"
);
const LOGGED: &str = "SELECT 1 FROM attempts WHERE id = $1";
const LINE: &str = "SELECT no FROM call_lines WHERE phone_number_id = $1";
const ADD_LINE: &str = "INSERT INTO call_lines (organization_id, phone_number_id, identity_id)
    VALUES ($1, $2, $3) ON CONFLICT (phone_number_id) DO UPDATE SET identity_id = excluded.identity_id
    RETURNING no";
const ADD_CALL: &str = "INSERT INTO calls (organization_id, id, attempts, payload) VALUES ($1, $2, $3, $4)
    RETURNING no";

impl Store {
    /// The number that is called, if the scope can see it, with all that deciding needs. `remote` is who calls.
    pub async fn callee(
        &self,
        scope: Scope,
        number: PhoneNumberId,
        remote: String,
    ) -> Result<Option<Callee>, StoreError> {
        let sealer = self.sealer.clone();
        let names = Names { addresses: Vec::new(), numbers: vec![remote] };
        let mut asked = self.ask(scope.organization, names);
        let read = move |connection: &Connection| callee(connection, &sealer, scope, number, &mut asked);
        self.call_readers.read(read).await
    }

    /// Writes what was asked into the log. Kept and written again when the store cannot write just now.
    pub async fn log_call(&self, log: CallLog) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.writer.settle(Box::new(LogOp { log, reply }));
        answer.await.unwrap_or(Err(StoreError::Closed))
    }
}

fn callee(
    connection: &Connection,
    sealer: &Sealer,
    scope: Scope,
    number_id: PhoneNumberId,
    asked: &mut Asked,
) -> Result<Option<Callee>, StoreError> {
    let (own, id) = (scope.identity.map(IdentityId::as_uuid), number_id.as_uuid());
    let params = params![id.as_bytes(), scope.organization.0, own.as_ref().map(Uuid::as_bytes)];
    let found = rows::optional(connection, CALLEE, params, |row| {
        let identity: IdentityId = rows::id(row, "identity_id")?;
        Ok(Callee {
            organization: scope.organization,
            number_id,
            number: row.get("number")?,
            identity,
            rule: call_rules::read_rule(row)?,
            signer: signer(sealer, row, scope.organization, identity)?,
            agent: None,
            contact: None,
        })
    })?;
    let Some(mut found) = found else { return Ok(None) };
    let People { mut agents, mut contacts } = asked.read_at_once(connection)?;
    (found.agent, found.contact) = (agents.pop(), contacts.pop());
    Ok(Some(found))
}

/// The identity's own keys, or its organisation's. Those that do not open are said in our log and count as none: the
/// call is decided all the same.
fn signer(
    sealer: &Sealer,
    row: &Row<'_>,
    organization: OrganizationNo,
    identity: IdentityId,
) -> Result<Option<Arc<Signer>>, StoreError> {
    match signer::of_identity(sealer, row, organization, identity.as_uuid()) {
        Ok(signer) => Ok(signer.map(Arc::new)),
        Err(StoreError::Seal(error)) => {
            tracing::error!(%identity, %error, "a signing key does not open: nobody is asked about calls");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

struct LogOp {
    log: CallLog,
    reply: oneshot::Sender<Result<(), StoreError>>,
}

impl Op for LogOp {
    fn kind(&self) -> Kind {
        Kind::Settle
    }

    /// It looks at no subscription.
    fn joins(&self) -> bool {
        true
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        log_call(tx, &self.log)
    }

    /// Leaves out what a receiver or the network had to say.
    fn degrade(&mut self) -> bool {
        let mut left_out = false;
        for (_, attempt) in &mut self.log.asked {
            left_out |= attempt.response_body.take().is_some() | attempt.error.take().is_some();
        }
        left_out
    }

    fn finish(self: Box<Self>, result: Result<(), StoreError>) {
        // Nobody waits when the process is stopping; the rows stand all the same.
        drop(self.reply.send(result));
    }
}

fn log_call(tx: &Tx<'_>, log: &CallLog) -> Result<(), StoreError> {
    let Some((_, first)) = log.asked.first() else { return Ok(()) };
    // A commit whose end nobody knew may have written it.
    if rows::scalar::<i64>(tx, LOGGED, params![first.id.as_bytes()])?.is_some() {
        return Ok(());
    }
    let (number, identity) = (log.number_id.as_uuid(), log.identity.as_uuid());
    let line = match rows::scalar(tx, LINE, params![number.as_bytes()])? {
        Some(line) => line,
        None => tx.insert(ADD_LINE, params![log.organization.0, number.as_bytes(), identity.as_bytes()])?,
    };
    let (attempts, payload) = (log.asked.len(), &log.payload[..]);
    let call = tx.insert(ADD_CALL, params![log.organization.0, log.call_id.as_bytes(), attempts, payload])?;
    for (attempt_no, (url, attempt)) in (1..).zip(&log.asked) {
        let about = About {
            organization: log.organization.0,
            delivery: -call,
            subscription: -line,
            event: 0,
            event_type: EventType::PhoneIncomingCall,
            attempt_no,
            claim_no: attempt_no,
            url: urls::intern(tx, url)?,
            is_by_hand: false,
        };
        write_line(tx, &about, attempt)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn a_number_is_found_by_keys_alone() {
        let id = [0_u8; 16];
        plan::assert_bounded(&plan::of(CALLEE, params![&id[..], 1, &id[..]]));
        plan::assert_bounded(&plan::of(LINE, params![&id[..]]));
        plan::assert_bounded(&plan::of(LOGGED, params![&id[..]]));
    }
}
