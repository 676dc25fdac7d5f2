//! Kill -9 at random instants, with requests unanswered and deliveries in flight, and ends between a claim's
//! commit and its request, and between an answer and its settle; the same data directory goes on each time,
//! and in the end every promise was kept.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use inkhook_server::domain::time::Clock;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};

use super::check::{Evidence, Kill, Sort};
use super::churn::{self, Churn, Ledger};
use super::journal::{Journal, Kind};
use super::receiver::{MOODS, Receiver};
use super::rounds;
use super::traffic::{BATCH_PATH, Client, Round};
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
const CLIENTS: [(Kind, usize); 5] =
    [(Kind::Publish, 5), (Kind::KeyedPublish, 5), (Kind::Batch, 2), (Kind::Mail, 5), (Kind::Wrong, 2)];
/// Changes of subscriptions that are answered in all, at least; otherwise nothing was tested.
const CHANGES: usize = 10;
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
    let failpoints = tempfile::tempdir().expect("a temporary directory");
    let path = failpoints.path().to_str().expect("a path in UTF-8");
    let settings = [&SETTINGS[..], &[("FAILPOINTS", path)]].concat();
    let mut server = block_in_place(|| RunningServer::start_with(&settings));
    let api = Api { address: server.api, key: server.admin_key.clone() };
    let mailboxes = subscribe(&api, &receiver).await;
    let changing = subscribe_once(&api, &receiver).await;

    let journal = Arc::new(Journal::default());
    let (begin, rounds) = watch::channel(round(&server, 0, false));
    let (ledger, replays) = (Arc::<Mutex<Ledger>>::default(), Arc::<Mutex<usize>>::default());
    let mut clients = JoinSet::new();
    clients.spawn(churn::replay(rounds.clone(), dice.clone(), replays.clone()));
    let churn = Churn {
        rounds: rounds.clone(),
        mailbox: changing.clone(),
        place: MAILBOXES,
        receiver: receiver.clone(),
        dice: dice.clone(),
        ledger: ledger.clone(),
    };
    clients.spawn(churn.run());
    let client =
        Client { rounds, journal: journal.clone(), mailboxes: Arc::new(mailboxes), dice: dice.clone() };
    let takes_batches = takes_batches(&api).await;
    for (kind, count) in CLIENTS {
        for _ in 0..count {
            if kind != Kind::Batch || takes_batches {
                clients.spawn(client.clone().run(kind));
            }
        }
    }
    let target = Target { journal: &journal, receiver: &receiver, failpoints: failpoints.path() };
    let kills = kill_repeatedly(&mut server, &begin, target, &dice).await;
    // A panicking client is a failed test.
    clients.join_all().await;
    wait_for_drain(&server).await;

    let mut evidence = Evidence {
        asked: journal.entries(),
        arrivals: receiver.arrivals(),
        kills,
        events: all_events(&round(&server, 0, true).api).await,
        churn: ledger.lock().expect("no panic").clone(),
        churned_mailbox: changing.id,
        ..Evidence::default()
    };
    server.terminate();
    let status = block_in_place(|| server.wait_exit());
    assert!(status.success(), "a clean stop after all: {status}");
    evidence.read_store(server.books());
    let replays = *replays.lock().expect("no panic");
    report(&evidence, journal.cut_off(), replays);
    let by_hand = evidence.deliveries.iter().filter(|delivery| delivery.sort == Sort::ByHand).count();
    assert!(evidence.churn.changes >= CHANGES, "only {} changes of subscriptions", evidence.churn.changes);
    assert!(by_hand > 0, "nothing was replayed");
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

/// The mailbox whose subscriptions come and go; its key is made before anything is killed.
async fn subscribe_once(api: &Api, receiver: &Receiver) -> Mailbox {
    let mailbox = api.identity("changing").await;
    let made = api.subscribe(&mailbox, &receiver.url(MAILBOXES, "churn-0-0"), &["message.received"]).await;
    receiver.add_secret(made["signing_key"].as_str().expect("shown once"));
    let path = format!("/api/v1/webhooks/subscriptions/{}", made["id"].as_str().expect("an id"));
    api.must(204, "DELETE", &path, None).await;
    mailbox
}

/// Whether this server knows batches.
async fn takes_batches(api: &Api) -> bool {
    let nothing = json!({"events": []});
    let (status, _) = api.ask("POST", BATCH_PATH, &[], Some(&nothing)).await.expect("it lives");
    !matches!(status, 404 | 405)
}

fn round(server: &RunningServer, number: u32, is_last: bool) -> Round {
    let api = Api { address: server.api, key: server.admin_key.clone() };
    Round { number, api, smtp: server.smtp, is_last }
}

/// Whom a kill must hit, and how.
#[derive(Clone, Copy)]
struct Target<'a> {
    journal: &'a Journal,
    receiver: &'a Receiver,
    failpoints: &'a Path,
}

/// How a process ends.
#[derive(Debug, Clone, Copy)]
enum Way {
    Killed,
    /// Where its own code says so.
    At(&'static str),
}

/// The ways in turn; only a build that knows them has places to end at.
fn way(number: u32) -> Way {
    match number % 3 {
        _ if !cfg!(feature = "failpoints") => Way::Killed,
        1 => Way::At("before_send"),
        2 => Way::At("before_settle"),
        _ => Way::Killed,
    }
}

/// Ends the process; when.
async fn end(server: &mut RunningServer, way: Way, failpoints: &Path) -> Kill {
    let clock = Clock::system();
    let mut after_ms = clock.wall().0;
    let Way::At(place) = way else {
        server.kill();
        return Kill { after_ms, before_ms: clock.wall().0 };
    };
    std::fs::write(failpoints.join(place), "").expect("a file");
    let before_ms = until("an end at a failpoint", DRAIN, async || {
        let looked_at = clock.wall().0;
        if server.has_ended() {
            return Some(clock.wall().0);
        }
        after_ms = looked_at;
        None
    })
    .await;
    std::fs::remove_file(failpoints.join(place)).expect("it is there");
    Kill { after_ms, before_ms }
}

/// Kills and starts again, so often; when.
async fn kill_repeatedly(
    server: &mut RunningServer,
    begin: &watch::Sender<Round>,
    Target { journal, receiver, failpoints }: Target<'_>,
    dice: &Dice,
) -> Vec<Kill> {
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
        let way = way(number);
        kills.push(end(server, way, failpoints).await);
        let start = now();
        block_in_place(|| server.restart());
        slowest = slowest.max(now() - start);
        println!(
            "kill {number} ({way:?}) after {after:?}: {unanswered} unanswered, {open} deliveries in flight"
        );
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

/// What waits now.
fn record(server: &RunningServer) -> Evidence {
    let mut record = Evidence::default();
    block_in_place(|| record.read_queue(server.books()));
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

fn report(evidence: &Evidence, cut_off: usize, replays: usize) {
    let unknown = evidence.attempts.iter().filter(|attempt| attempt.status.is_none()).count();
    let repeated = evidence.arrivals.iter().filter(|arrival| arrival.says_duplicate).count();
    println!(
        "{} asked, {cut_off} cut off, {} events, {} arrivals ({repeated} say duplicate), {} attempts \
         ({unknown} without an answer), {} changes of subscriptions, {replays} replays were answered",
        evidence.asked.len(),
        evidence.events.len(),
        evidence.arrivals.len(),
        evidence.attempts.len(),
        evidence.churn.changes,
    );
}
