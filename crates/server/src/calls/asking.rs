//! Asking the first, then perhaps the second, within the time that there is.

use std::time::Duration;

use bytes::Bytes;

use super::{Parts, question};
use crate::deliver::ask::{Asked, ask};
use crate::deliver::prepare::prepare_question;
use crate::domain::attempt::Outcome;
use crate::domain::call::{
    Call, Callee, DecidedBy, LEAST_TIME, Question, Reason, Ruling, Verdict, by_default, share, time,
};
use crate::domain::time::TimeMs;
use crate::store::calls::CallLog;
use crate::store::settle::AttemptRow;

/// A call that is being decided.
struct Asking<'a> {
    parts: &'a Parts,
    callee: &'a Callee,
    call: &'a Call,
    /// What is sent to whoever is asked.
    payload: Bytes,
    /// When the call was put, by the monotonic clock.
    began: Duration,
    /// What the attempts took. Their clock does not stand still where ours is told the time.
    spent: Duration,
    maybe_received: bool,
    asked: Vec<(String, AttemptRow)>,
}

/// Decides a call whose number has somebody asked about it, and tells what is to be logged. `began` is when the call
/// was put, by the monotonic clock.
pub(super) async fn decide(
    parts: &Parts,
    callee: &Callee,
    call: &Call,
    began: Duration,
) -> (Ruling, Option<CallLog>) {
    let payload = question::body(callee, call, parts.clock.wall());
    let (spent, maybe_received, asked) = (Duration::ZERO, false, Vec::new());
    let mut asking = Asking { parts, callee, call, payload, began, spent, maybe_received, asked };
    let ruling = asking.decide().await;
    (ruling, asking.log())
}

impl Asking<'_> {
    async fn decide(&mut self) -> Ruling {
        let rule = &self.callee.rule;
        let mut reason = None;
        let whom = [(&rule.webhook_url, DecidedBy::Webhook), (&rule.fallback_url, DecidedBy::Fallback)];
        for (url, decided_by) in whom {
            let Some(url) = url else { continue };
            let another_follows = decided_by == DecidedBy::Webhook && rule.fallback_url.is_some();
            match self.ask(url, another_follows).await {
                Ok(verdict) => return Ruling { verdict, decided_by, reason },
                Err(why) => reason = Some(why),
            }
            if reason == Some(Reason::Stopping) {
                break;
            }
        }
        by_default(rule, reason.unwrap_or(Reason::Timeout))
    }

    fn left(&self) -> Duration {
        let gone = self.spent.max(self.parts.clock.monotonic().saturating_sub(self.began));
        time(&self.callee.rule).saturating_sub(gone)
    }

    async fn ask(&mut self, url: &str, another_follows: bool) -> Result<Verdict, Reason> {
        let Some(signer) = &self.callee.signer else { return Err(Reason::NoSigningKey) };
        let left = self.left();
        if left < LEAST_TIME {
            return Err(Reason::Timeout);
        }
        let parts = self.parts;
        let question = Question {
            organization: self.callee.organization,
            url: url.to_owned(),
            signer: signer.clone(),
            call_id: self.call.id,
            request_id: parts.entropy.uuid().into(),
            body: self.payload.clone(),
            attempt_no: if self.asked.is_empty() { 1 } else { 2 },
            maybe_received: self.maybe_received,
        };
        let started_at = parts.clock.wall();
        let Asked { outcome, said } = put(parts, self.callee, &question, share(left, another_follows)).await;
        if let Outcome::Made(attempt) = &outcome {
            self.spent += attempt.duration;
            self.maybe_received |= attempt.maybe_received;
        }
        self.asked.push((question.url, line(parts, outcome, started_at)));
        said
    }

    fn log(self) -> Option<CallLog> {
        let callee = self.callee;
        let log = CallLog {
            organization: callee.organization,
            number_id: callee.number_id,
            identity: callee.identity,
            call_id: self.call.id,
            payload: self.payload,
            asked: self.asked,
        };
        Some(log).filter(|log| !log.asked.is_empty())
    }
}

async fn put(parts: &Parts, callee: &Callee, question: &Question, deadline: Duration) -> Asked {
    let (policy, wall, trace) = (parts.client.policy(), parts.clock.wall(), parts.entropy.uuid());
    match prepare_question(question, policy, wall, deadline, trace) {
        Ok(request) => {
            let keep = parts.keep_inside_bodies;
            ask(&parts.client, request, &callee.rule, &parts.clock, &parts.cut_off, keep).await
        }
        Err(error) => Asked::not_sent(error.to_string(), Reason::NotAllowed, wall),
    }
}

/// A line of the log.
fn line(parts: &Parts, outcome: Outcome, started_at: TimeMs) -> AttemptRow {
    let id = parts.entropy.uuid_at(parts.clock.wall());
    match outcome {
        Outcome::Made(attempt) => AttemptRow::made(id, attempt),
        Outcome::Changed | Outcome::LeaseOver | Outcome::CutOff { .. } => AttemptRow::cut_off(id, started_at),
    }
}
