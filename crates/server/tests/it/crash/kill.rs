//! Kill -9 at random instants, with requests unanswered and deliveries in flight; the same data directory
//! goes on each time, and in the end every promise was kept.

use std::sync::Arc;
use std::time::Duration;

use inkhook_server::domain::time::Clock;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};

use super::check::{Evidence, Kill};
use super::journal::{Journal, Kind};
use super::receiver::{MOODS, Receiver};
use super::rounds;
use super::traffic::{Client, Round};
use crate::support::ask::{Api, Mailbox};
use crate::support::dice::Dice;
use crate::support::running::RunningServer;
use crate::support::time::{now, pass, until};

/// Kills of the short form.
const KILLS: usize = 12;
/// Requests that are out when the server is killed, at least.
const UNANSWERED: usize = 8;
/// Requests that are cut off in all, at least; otherwise nothing was tested.
const CUT_OFF: usize = 10;
const MAILBOXES: usize = 2;
/// Who sends: so many of each kind, all of them all the time. Mail stays below the bound of ten connections
/// an address.
const CLIENTS: [(Kind, usize); 4] =
    [(Kind::Publish, 6), (Kind::KeyedPublish, 6), (Kind::Mail, 5), (Kind::Wrong, 2)];
/// A delivery that is cut off twenty times is given up; the long form lets it end before that.
const MOST_LOST: u32 = 15;
/// How long everything may take to drain once the killing is over.
const DRAIN: Duration = Duration::from_mins(1);
const SETTINGS: [(&str, &str); 3] = [
    ("INKHOOK_DELIVERY__RETRY_SCHEDULE_S", "[1,1,2]"),
    ("INKHOOK_DELIVERY__TIMEOUT_MS", "10000"),
    ("INKHOOK_LIMITS__REQUESTS_PER_SECOND", "100000"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_keeps_every_promise() {
    let dice = Dice::new("kill");
    let receiver = Receiver::start(dice.clone()).await;
    let mut server = block_in_place(|| RunningServer::start_with(&SETTINGS));
    let api = Api { address: server.api, key: server.admin_key.clone() };
    let mailboxes = subscribe(&api, &receiver).await;

    let journal = Arc::new(Journal::default());
    let (begin, rounds) = watch::channel(round(&server, 0, false));
    let client =
        Client { rounds, journal: journal.clone(), mailboxes: Arc::new(mailboxes), dice: dice.clone() };
    let mut clients = JoinSet::new();
    for (kind, count) in CLIENTS {
        for _ in 0..count {
            clients.spawn(client.clone().run(kind));
        }
    }
    let kills = kill_repeatedly(&mut server, &begin, &journal, &receiver, &dice).await;
    // A panicking client is a failed test.
    clients.join_all().await;
    wait_for_drain(&server).await;

    let mut evidence = Evidence {
        asked: journal.entries(),
        arrivals: receiver.arrivals(),
        kills,
        events: all_events(&round(&server, 0, true).api).await,
        ..Evidence::default()
    };
    server.terminate();
    let status = block_in_place(|| server.wait_exit());
    assert!(status.success(), "a clean stop after all: {status}");
    evidence.read_store(server.data_dir());
    report(&evidence, journal.cut_off());
    assert!(journal.cut_off() >= CUT_OFF, "only {} requests were cut off", journal.cut_off());
    let breaches = evidence.breaches();
    assert!(breaches.is_empty(), "{} breaches:\n{}", breaches.len(), breaches.join("\n"));
}

/// Each mailbox with a subscription of every mood.
async fn subscribe(api: &Api, receiver: &Receiver) -> Vec<Mailbox> {
    let mut mailboxes = Vec::new();
    for place in 0..MAILBOXES {
        let mailbox = api.identity(&format!("agent-{place}")).await;
        for (first, mood) in MOODS.iter().enumerate() {
            let made = api.subscribe(&mailbox, &receiver.url(place, mood), &["message.received"]).await;
            if first == 0 {
                receiver.add_secret(made["signing_key"].as_str().expect("shown once"));
            }
        }
        mailboxes.push(mailbox);
    }
    mailboxes
}

fn round(server: &RunningServer, number: u32, is_last: bool) -> Round {
    let api = Api { address: server.api, key: server.admin_key.clone() };
    Round { number, api, smtp: server.smtp, is_last }
}

/// Kills and starts again, so often; when.
async fn kill_repeatedly(
    server: &mut RunningServer,
    begin: &watch::Sender<Round>,
    journal: &Journal,
    receiver: &Receiver,
    dice: &Dice,
) -> Vec<Kill> {
    let clock = Clock::system();
    let mut kills = Vec::new();
    let mut slowest = Duration::ZERO;
    let count = u32::try_from(rounds(KILLS)).expect("a number of rounds");
    for number in 1..=count {
        let started = now();
        pass(dice.millis(20..350)).await;
        until("requests and deliveries in flight", DRAIN, async || {
            let is_busy = journal.unanswered() >= UNANSWERED && receiver.open(started) > 0;
            (is_busy && (number <= MOST_LOST || record(server).most_lost < MOST_LOST)).then_some(())
        })
        .await;
        let (unanswered, open) = (journal.unanswered(), receiver.open(started));
        let after = now() - started;
        let after_ms = clock.wall().0;
        server.kill();
        kills.push(Kill { after_ms, before_ms: clock.wall().0 });
        let start = now();
        block_in_place(|| server.restart());
        slowest = slowest.max(now() - start);
        println!("kill {number} after {after:?}: {unanswered} unanswered, {open} deliveries in flight");
        begin.send(round(server, number, number == count)).expect("clients listen");
    }
    println!("slowest start after a kill: {slowest:?}");
    kills
}

/// Waits for an empty queue. How long that takes depends on how much the last kill left, so what has a
/// deadline is that it gets shorter.
async fn wait_for_drain(server: &RunningServer) {
    let mut left = usize::MAX;
    while left > 0 {
        left = until("a shorter queue", DRAIN, async || {
            let queued = record(server).queued.len();
            (queued < left).then_some(queued)
        })
        .await;
    }
}

/// What is on record now.
fn record(server: &RunningServer) -> Evidence {
    let mut record = Evidence::default();
    block_in_place(|| record.read_store(server.data_dir()));
    record
}

/// Every event that the API knows.
async fn all_events(api: &Api) -> Vec<Value> {
    let mut events: Vec<Value> = Vec::new();
    loop {
        let before = events.last().map(|event| format!("&before={}", event["id"].as_str().expect("an id")));
        let path = format!("/api/v1/events?limit=200{}", before.unwrap_or_default());
        let page = api.must(200, "GET", &path, None).await;
        let page = page["events"].as_array().expect("a list");
        if page.is_empty() {
            return events;
        }
        events.extend(page.iter().cloned());
    }
}

fn report(evidence: &Evidence, cut_off: usize) {
    let unknown = evidence.attempts.iter().filter(|attempt| attempt.status.is_none()).count();
    let repeated = evidence.arrivals.iter().filter(|arrival| arrival.says_duplicate).count();
    println!(
        "{} asked, {cut_off} cut off, {} events, {} arrivals ({repeated} say duplicate), {} attempts \
         ({unknown} unknown)",
        evidence.asked.len(),
        evidence.events.len(),
        evidence.arrivals.len(),
        evidence.attempts.len(),
    );
}
