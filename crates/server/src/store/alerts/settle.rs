//! What becomes of an operational event after an attempt. Fenced by the claim's number.

use super::KEPT;
use crate::domain::alert::COALESCED;
use crate::domain::number::OrganizationNo;
use crate::domain::time::TimeMs;
use crate::store::error::StoreError;
use crate::store::sql::params;
use crate::store::writer::Tx;
use crate::store::{Store, rows};

/// How an attempt is recorded.
#[derive(Debug, Clone)]
pub struct AlertSettlement {
    /// Which operational event.
    pub no: i64,
    /// Which claim.
    pub claim_no: u32,
    /// This attempt, or one before it, may have been received although no answer was read.
    pub maybe_received: bool,
    /// What becomes of it.
    pub next: AlertNext,
}

/// What becomes of an operational event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertNext {
    /// It was answered 2xx.
    Sent,
    /// It is not tried again.
    Dropped,
    /// It failed and is tried again.
    Retry {
        /// Not before this.
        due: TimeMs,
    },
    /// No verdict: due again at once.
    Release,
}

/// Rows that one statement ends or removes at most.
const CHUNK_ROWS: usize = 200;

const END: &str = "UPDATE alerts SET state = $3, ended_ms = $4 WHERE no = $1 AND claim_no = $2 AND state = 1
    RETURNING organization_id";
const AGAIN: &str = "UPDATE alerts SET due_ms = $3, failures = failures + $4, maybe_received = $5
    WHERE no = $1 AND claim_no = $2 AND state = 1";
const END_WAITING: &str = "UPDATE alerts SET state = 3, ended_ms = $2 WHERE no IN
    (SELECT no FROM alerts WHERE state = 1 AND organization_id = $1 LIMIT $3)";
const TRIM: &str = "DELETE FROM alerts WHERE no IN
    (SELECT no FROM alerts WHERE state <> 1 AND organization_id = $1 AND no <=
        (SELECT no FROM alerts WHERE state <> 1 AND organization_id = $1 ORDER BY no DESC LIMIT 1 OFFSET $2)
    AND opens_ms <= $3 ORDER BY no LIMIT $4)";

const SENT: i64 = 2;
const DROPPED: i64 = 3;

impl Store {
    /// Records an attempt at an operational event. Nothing, when another claim has it by now.
    pub async fn settle_alert(&self, settlement: AlertSettlement) -> Result<(), StoreError> {
        self.change(move |tx| settle(tx, &settlement)).await
    }
}

fn settle(tx: &Tx<'_>, settlement: &AlertSettlement) -> Result<(), StoreError> {
    let AlertSettlement { no, claim_no, maybe_received, next } = *settlement;
    match next {
        AlertNext::Sent => end(tx, no, claim_no, SENT),
        AlertNext::Dropped => end(tx, no, claim_no, DROPPED),
        AlertNext::Retry { due } => {
            tx.run(AGAIN, params![no, claim_no, due.0, 1, maybe_received])?;
            Ok(())
        }
        AlertNext::Release => {
            tx.run(AGAIN, params![no, claim_no, 0, 0, maybe_received])?;
            Ok(())
        }
    }
}

fn end(tx: &Tx<'_>, no: i64, claim_no: u32, state: i64) -> Result<(), StoreError> {
    let ended = params![no, claim_no, state, tx.context.clock.wall().0];
    match rows::scalar(tx, END, ended)? {
        Some(organization) => trim(tx, OrganizationNo(organization)),
        None => Ok(()),
    }
}

/// The organisation no longer wants to hear of what waits; a chunk of it.
pub(super) fn end_waiting(tx: &Tx<'_>, organization: OrganizationNo) -> Result<(), StoreError> {
    tx.run(END_WAITING, params![organization.0, tx.context.clock.wall().0, CHUNK_ROWS])?;
    trim(tx, organization)
}

fn trim(tx: &Tx<'_>, organization: OrganizationNo) -> Result<(), StoreError> {
    // Younger ones are needed to coalesce what comes.
    let unneeded = tx.context.clock.schedule().before(COALESCED);
    tx.run(TRIM, params![organization.0, KEPT, unneeded.0, CHUNK_ROWS])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn what_is_trimmed_is_found_by_an_index() {
        for sql in [TRIM, END_WAITING] {
            let params =
                if sql == TRIM { params![1, KEPT, 0, CHUNK_ROWS] } else { params![1, 0, CHUNK_ROWS] };
            let plan = plan::of(&sql.replace('$', "?"), params);
            assert!(plan.iter().any(|step| step.contains("INDEX alerts_")), "{plan:#?}");
            plan::assert_bounded(&plan);
        }
    }
}
