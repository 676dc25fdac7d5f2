//! Publishers and mail servers that do not give up: what is cut off is sent again after the next start where
//! that is safe, and left alone where it is not.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::journal::{Journal, Kind, Said};
use super::mail;
use crate::support::ask::{Api, Mailbox, Unanswered, mail_event};
use crate::support::dice::Dice;

/// One life of the server.
#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) number: u32,
    pub(super) api: Api,
    pub(super) smtp: SocketAddr,
    /// Only what was begun is brought to its end.
    pub(super) is_last: bool,
}

/// What every client knows.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) rounds: watch::Receiver<Round>,
    pub(super) journal: Arc<Journal>,
    pub(super) mailboxes: Arc<Vec<Mailbox>>,
    pub(super) dice: Dice,
}

/// What is sent.
enum Request {
    Publish { body: Value, key: Option<String> },
    Mail { to: String, message: String },
}

/// Events of one batch at most.
const BATCH: u64 = 6;
/// Where batches go.
pub(super) const BATCH_PATH: &str = "/api/v1/events/batch";

impl Client {
    /// Sends things of this kind, one after the other, until the last round.
    pub(super) async fn run(self, kind: Kind) {
        while !self.rounds.borrow().is_last {
            let mailbox = usize::try_from(self.dice.number(0..self.mailboxes.len() as u64)).expect("small");
            match kind {
                Kind::Wrong => self.send_wrong(mailbox).await,
                Kind::Batch => self.send_batch(mailbox).await,
                _ => drop(self.send(kind, mailbox).await),
            }
        }
    }

    async fn send(&self, kind: Kind, mailbox: usize) -> String {
        let (entry, subject) = self.journal.begin(kind, mailbox);
        let owner = &self.mailboxes[mailbox];
        let request = match kind {
            Kind::Mail => {
                Request::Mail { to: owner.address.clone(), message: message(&subject, "Hello\r\n") }
            }
            _ => Request::Publish {
                body: mail_event(owner, "message.received", &subject),
                key: (kind == Kind::KeyedPublish).then(|| format!("key-{subject}")),
            },
        };
        let repeats = match kind {
            Kind::KeyedPublish => true,
            Kind::Mail => self.dice.once_in(2),
            Kind::Publish | Kind::Batch | Kind::Wrong => false,
        };
        self.insist(entry, &request, repeats).await;
        subject
    }

    /// Several events in one request; half of the time with a key, and then until it is answered.
    async fn send_batch(&self, mailbox: usize) {
        let count = usize::try_from(self.dice.number(1..BATCH + 1)).expect("small");
        let begun = self.journal.begin_batch(mailbox, count);
        let owner = &self.mailboxes[mailbox];
        let events: Vec<Value> =
            begun.iter().map(|(_, subject)| mail_event(owner, "message.received", subject)).collect();
        let body = json!({"events": events});
        let key = self.dice.once_in(2).then(|| format!("batch-{}", begun[0].1));
        let headers: Vec<_> = key.iter().map(|key| ("Idempotency-Key", &**key)).collect();
        let mut rounds = self.rounds.clone();
        loop {
            let round = rounds.borrow().clone();
            let asked = round.api.ask("POST", BATCH_PATH, &headers, Some(&body));
            match self.journal.out(asked).await {
                Ok((202, answer)) => {
                    for (place, (entry, _)) in begun.iter().enumerate() {
                        let id = answer["events"][place]["id"].as_str().map(Into::into);
                        self.journal.say(*entry, Said::Accepted(id));
                    }
                    return;
                }
                Ok(other) => panic!("a batch was not accepted: {other:?}"),
                Err(Unanswered::CutOff) => {
                    for (entry, _) in &begun {
                        self.journal.say(*entry, Said::Nothing);
                    }
                    next_round(&mut rounds, round.number).await;
                    if key.is_none() {
                        return;
                    }
                }
                Err(Unanswered::NotSent) => next_round(&mut rounds, round.number).await,
            }
        }
    }

    /// One of the things that must never become an event.
    async fn send_wrong(&self, mailbox: usize) {
        let owner = self.mailboxes[mailbox].clone();
        let chosen = self.dice.number(0..5);
        let reused = if chosen == 4 { Some(self.send(Kind::KeyedPublish, mailbox).await) } else { None };
        let (entry, subject) = self.journal.begin(Kind::Wrong, mailbox);
        let right = mail_event(&owner, "message.received", &subject);
        let request = match chosen {
            0 => {
                let mut body = right;
                body["data"]["message"]["direction"] = json!("sideways");
                Request::Publish { body, key: None }
            }
            1 => {
                let nowhere = Mailbox { id: "00000000-0000-4000-8000-000000000000".into(), ..owner };
                Request::Publish { body: mail_event(&nowhere, "message.received", &subject), key: None }
            }
            2 => Request::Mail { to: "nobody@mail.localhost".into(), message: message(&subject, "Hi\r\n") },
            3 => Request::Mail { to: owner.address, message: message(&subject, "a bare\nline feed\r\n") },
            _ => Request::Publish { body: right, key: reused.map(|first| format!("key-{first}")) },
        };
        self.insist(entry, &request, false).await;
    }

    /// Sends until there is an answer; once only when a repeat could make a second event.
    async fn insist(&self, entry: usize, request: &Request, repeats: bool) {
        let mut rounds = self.rounds.clone();
        loop {
            let round = rounds.borrow().clone();
            let said = match self.journal.out(request.send(&round)).await {
                Ok(said) => said,
                Err(Unanswered::CutOff) => Said::Nothing,
                Err(Unanswered::NotSent) => {
                    next_round(&mut rounds, round.number).await;
                    continue;
                }
            };
            self.journal.say(entry, said.clone());
            if said != Said::Nothing {
                return;
            }
            next_round(&mut rounds, round.number).await;
            if !repeats {
                return;
            }
        }
    }
}

pub(super) async fn next_round(rounds: &mut watch::Receiver<Round>, after: u32) {
    rounds.wait_for(|round| round.number > after).await.expect("the test goes on");
}

impl Request {
    async fn send(&self, round: &Round) -> Result<Said, Unanswered> {
        match self {
            Self::Publish { body, key } => {
                let headers: Vec<_> = key.iter().map(|key| ("Idempotency-Key", &**key)).collect();
                match round.api.ask("POST", "/api/v1/events", &headers, Some(body)).await? {
                    (202, answer) => Ok(Said::Accepted(answer["id"].as_str().map(Into::into))),
                    (status @ 400..=499, _) => Ok(Said::Refused(status)),
                    other => panic!("neither accepted nor refused: {other:?}"),
                }
            }
            Self::Mail { to, message } => match mail::send(round.smtp, to, message).await? {
                250 => Ok(Said::Accepted(None)),
                code @ 500..=599 => Ok(Said::Refused(code)),
                code => panic!("neither accepted nor refused: {code}"),
            },
        }
    }
}

fn message(subject: &str, body: &str) -> String {
    format!(
        "From: Ana <ana@client.test>\r\nTo: Help <help@mail.localhost>\r\nSubject: {subject}\r\n\
         Message-ID: <{subject}@client.test>\r\nDate: Thu, 28 May 2026 20:26:40 +0000\r\n\r\n{body}"
    )
}
