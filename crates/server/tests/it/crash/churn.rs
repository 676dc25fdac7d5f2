//! Subscriptions that come, change and go while servers are killed: each change is asked for until it is
//! answered, and what was answered is written down.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::receiver::Receiver;
use super::traffic::{Round, next_round};
use crate::support::ask::{Mailbox, Unanswered, mail_event};
use crate::support::dice::Dice;
use crate::support::time::{now, pass};

const SUBSCRIPTIONS: &str = "/api/v1/webhooks/subscriptions";
const BOTH: [&str; 2] = ["message.received", "message.sent"];
/// Changes of one subscription at most.
const CHANGES: u64 = 8;

/// What was answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    /// Names of URLs that nothing may be sent to any more, and since when: replaced, or their subscription
    /// deleted.
    pub(super) left: Vec<(String, Instant)>,
    /// Events that were accepted.
    pub(super) accepted: Vec<String>,
    /// Changes that were answered, deletes among them.
    pub(super) changes: usize,
}

/// Changes one subscription after the other.
#[derive(Debug, Clone)]
pub(super) struct Churn {
    pub(super) rounds: watch::Receiver<Round>,
    /// A mailbox that nobody else publishes to, and its place.
    pub(super) mailbox: Mailbox,
    pub(super) place: usize,
    pub(super) receiver: Receiver,
    pub(super) dice: Dice,
    pub(super) ledger: Arc<Mutex<Ledger>>,
}

impl Churn {
    /// Until the last round; in the end there is no subscription left.
    pub(super) async fn run(self) {
        let mut number = 0;
        while !self.rounds.borrow().is_last {
            number += 1;
            if let Some(id) = self.create(number).await {
                self.change(&id, number).await;
            }
            self.delete_all().await;
        }
    }

    fn name(number: u64, version: u64) -> String {
        format!("churn-{number}-{version}")
    }

    /// `None` when it was cut off: perhaps it was made.
    async fn create(&self, number: u64) -> Option<String> {
        let url = self.receiver.url(self.place, &Self::name(number, 0));
        let body = json!({"mailbox_id": self.mailbox.id, "url": url, "event_types": BOTH});
        match self.ask("POST", SUBSCRIPTIONS, Some(&body)).await? {
            (201, made) => Some(made["id"].as_str().expect("an id").to_owned()),
            other => panic!("a subscription was not made: {other:?}"),
        }
    }

    async fn change(&self, id: &str, number: u64) {
        let path = format!("{SUBSCRIPTIONS}/{id}");
        let mut version = 0;
        for _ in 0..self.dice.number(2..CHANGES) {
            match self.dice.number(0..8) {
                0 => {
                    version += 1;
                    let url = self.receiver.url(self.place, &Self::name(number, version));
                    self.patch(&path, json!({"url": url})).await;
                    self.leave(Self::name(number, version - 1));
                }
                1 => self.patch(&path, json!({"event_types": ["message.sent"]})).await,
                2 => self.patch(&path, json!({"event_types": BOTH})).await,
                3 => self.by_hand(&path, "pause").await,
                4 => self.by_hand(&path, "resume").await,
                _ => self.publish().await,
            }
            pass(self.dice.millis(1..40)).await;
        }
        self.by_hand(&path, "resume").await;
    }

    async fn publish(&self) {
        let event_type = BOTH[usize::from(self.dice.once_in(2))];
        let body = mail_event(&self.mailbox, event_type, "churn");
        if let Some((status, answer)) = self.ask("POST", "/api/v1/events", Some(&body)).await {
            assert_eq!(status, 202, "{answer}");
            let id = answer["id"].as_str().expect("an id").to_owned();
            self.ledger.lock().expect("no panic").accepted.push(id);
        }
    }

    async fn patch(&self, path: &str, change: Value) {
        let (status, answer) = self.insist("PATCH", path, Some(&change)).await;
        assert_eq!(status, 200, "{answer}");
        self.ledger.lock().expect("no panic").changes += 1;
    }

    /// Pauses or resumes, where the server knows how.
    async fn by_hand(&self, path: &str, what: &str) {
        let (status, answer) = self.insist("POST", &format!("{path}/{what}"), None).await;
        assert!(matches!(status, 200 | 404 | 405), "{status} {answer}");
        self.ledger.lock().expect("no panic").changes += 1;
    }

    /// Deletes every subscription of the mailbox, those among them that a kill cut off when they were made.
    async fn delete_all(&self) {
        let list = format!("{SUBSCRIPTIONS}?mailbox_id={}", self.mailbox.id);
        let (status, listed) = self.insist("GET", &list, None).await;
        assert_eq!(status, 200, "{listed}");
        let listed = listed.as_array().or_else(|| listed["subscriptions"].as_array()).expect("a list");
        for subscription in listed {
            let id = subscription["id"].as_str().expect("an id");
            let url = subscription["url"].as_str().expect("a URL");
            let (status, answer) = self.insist("DELETE", &format!("{SUBSCRIPTIONS}/{id}"), None).await;
            // Not there: a delete that was cut off had been done.
            assert!(matches!(status, 204 | 404), "{status} {answer}");
            self.leave(url.rsplit('/').next().expect("a name").to_owned());
        }
    }

    /// What is asked for was answered: from now on nothing may be sent there.
    fn leave(&self, name: String) {
        let mut ledger = self.ledger.lock().expect("no panic");
        ledger.left.push((name, now()));
        ledger.changes += 1;
    }

    /// Asks until there is an answer.
    async fn insist(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        loop {
            if let Some(answer) = self.ask(method, path, body).await {
                return answer;
            }
        }
    }

    /// `None`: cut off, and another server has been started since.
    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
        let mut rounds = self.rounds.clone();
        loop {
            let round = rounds.borrow().clone();
            match round.api.ask(method, path, &[], body).await {
                Ok(answer) => return Some(answer),
                Err(unanswered) => {
                    next_round(&mut rounds, round.number).await;
                    if unanswered == Unanswered::CutOff {
                        return None;
                    }
                }
            }
        }
    }
}

/// Replays what is in the log, one after the other, until the last round; how many were answered.
pub(super) async fn replay(mut rounds: watch::Receiver<Round>, dice: Dice, replays: Arc<Mutex<usize>>) {
    while !rounds.borrow().is_last {
        let round = rounds.borrow().clone();
        if replay_one(&round, &dice, &replays).await.is_err() {
            next_round(&mut rounds, round.number).await;
        }
        pass(dice.millis(50..200)).await;
    }
}

async fn replay_one(round: &Round, dice: &Dice, replays: &Mutex<usize>) -> Result<(), Unanswered> {
    let (status, page) = round.api.ask("GET", "/api/v1/webhooks/deliveries?limit=50", &[], None).await?;
    assert_eq!(status, 200, "{page}");
    let log = page["deliveries"].as_array().expect("a list");
    if log.is_empty() {
        return Ok(());
    }
    let place = usize::try_from(dice.number(0..log.len() as u64)).expect("small");
    let path = format!("/api/v1/webhooks/deliveries/{}/replay", log[place]["id"].as_str().expect("an id"));
    let (status, answer) = round.api.ask("POST", &path, &[], None).await?;
    // Deleted or narrowed meanwhile, too many of them, or not ended in time.
    assert!(matches!(status, 201 | 409 | 429 | 504), "{status} {answer}");
    *replays.lock().expect("no panic") += usize::from(status == 201);
    Ok(())
}
