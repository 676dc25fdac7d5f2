//! Publishers that ask one node after the other until one has accepted.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::world::DRAIN;
use super::{Accepted, event_of};
use crate::support::ask::{Api, Mailbox, mail_event};
use crate::support::dice::Dice;
use crate::support::time::{pass, until};

/// Between two tries.
const AGAIN: Duration = Duration::from_millis(50);
/// Between two events of one publisher.
const BREATH: Duration = Duration::from_millis(10);
/// A node that says nothing for so long is left for another one.
const PATIENCE: Duration = Duration::from_secs(2);

/// So many accepted events are no accident.
pub(super) const SOME: usize = 50;

/// See the module.
pub(super) struct Publishers {
    apis: Arc<Mutex<Vec<Api>>>,
    go_on: watch::Sender<bool>,
    accepted: Arc<AtomicUsize>,
    tasks: JoinSet<Accepted>,
}

impl Publishers {
    pub(super) fn start(apis: Vec<Api>, mailbox: &Mailbox, dice: &Dice, count: usize) -> Self {
        let apis = Arc::new(Mutex::new(apis));
        let go_on = watch::Sender::new(true);
        let all = Arc::<AtomicUsize>::default();
        let mut tasks = JoinSet::new();
        for publisher in 0..count {
            let (apis, mailbox, dice) = (apis.clone(), mailbox.clone(), dice.clone());
            let (go_on, all) = (go_on.subscribe(), all.clone());
            tasks.spawn(async move {
                let mut accepted = Vec::new();
                while *go_on.borrow() {
                    let subject = format!("{publisher}-{}", accepted.len());
                    accepted.push(insist(&apis, &mailbox, &subject, &dice).await);
                    all.fetch_add(1, Ordering::SeqCst);
                    pass(BREATH).await;
                }
                accepted
            });
        }
        Self { apis, go_on, accepted: all, tasks }
    }

    /// This node is somewhere else now.
    pub(super) fn reach(&self, node: usize, address: SocketAddr) {
        self.apis.lock().expect("no panic")[node].address = address;
    }

    /// Waits until as much again has been accepted as shows that things go on.
    pub(super) async fn go_on(&self) {
        let wanted = self.accepted.load(Ordering::SeqCst) + SOME;
        let has = async || (self.accepted.load(Ordering::SeqCst) >= wanted).then_some(());
        until("more to be accepted", DRAIN, has).await;
    }

    /// Begins nothing more, once there has been some load; what was accepted, once all that was begun has been.
    pub(super) async fn stop(self) -> Accepted {
        let has = async || (self.accepted.load(Ordering::SeqCst) > SOME).then_some(());
        until("some load", DRAIN, has).await;
        self.go_on.send_replace(false);
        self.tasks.join_all().await.into_iter().flatten().collect()
    }
}

/// Publishes it under one key, wherever that works.
async fn insist(apis: &Mutex<Vec<Api>>, mailbox: &Mailbox, subject: &str, dice: &Dice) -> String {
    let body = mail_event(mailbox, "message.received", subject);
    let key = format!("key-{subject}");
    loop {
        let api = {
            let apis = apis.lock().expect("no panic");
            let place = usize::try_from(dice.number(0..apis.len() as u64)).expect("small");
            apis[place].clone()
        };
        let headers = [("Idempotency-Key", key.as_str())];
        let asked = api.ask("POST", "/api/v1/events", &headers, Some(&body));
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok((202, answer))) => return event_of(&answer),
            Ok(Ok((429 | 503, _)) | Err(_)) | Err(_) => pass(AGAIN).await,
            Ok(Ok((status, answer))) => panic!("{status}: {answer}", answer = Value::to_string(&answer)),
        }
    }
}
