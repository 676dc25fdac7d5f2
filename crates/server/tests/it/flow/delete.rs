//! Delete means stop: once a delete has been answered, no request's first byte is written for that
//! subscription, though connections to it are being made, handshakes are under way and requests are prepared.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, block_in_place};
use tokio_util::sync::CancellationToken;

use super::late::Receivers;
use crate::crash::rounds;
use crate::support::ask::{Api, Mailbox};
use crate::support::dice::Dice;
use crate::support::running::RunningServer;
use crate::support::time::{now, pass, until};

/// Deletes of the short form.
const DELETES: usize = 200;
const MAILBOXES: usize = 3;
/// Who subscribes and deletes, at each mailbox; an owner has at most twenty subscriptions.
const DELETERS: usize = 8;
/// Who publishes, at each mailbox.
const PUBLISHERS: usize = 2;
/// Deletes that must have met a prepared request; otherwise nothing was tested.
const TURNED_BACK: usize = 10;
const DRAIN: Duration = Duration::from_mins(1);

/// What the clients share.
struct World {
    api: Api,
    receivers: Receivers,
    dice: Dice,
    begun: AtomicUsize,
    /// When each subscription's delete had been answered and looked after.
    deleted: Mutex<HashMap<usize, Instant>>,
    slowest: Mutex<Duration>,
    /// The event that was published last at each mailbox.
    latest: Mutex<HashMap<String, String>>,
}

impl World {
    fn took(&self, time: Duration) {
        let mut slowest = self.slowest.lock().expect("no panic");
        *slowest = slowest.max(time);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_for_a_subscription_after_its_delete_was_answered() {
    let dice = Dice::new("delete");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let certificate = directory.path().join("receivers.pem");
    let receivers = Receivers::start(dice.clone(), &certificate).await;
    let settings = [
        ("SSL_CERT_FILE", certificate.to_str().expect("UTF-8")),
        ("INKHOOK_LIMITS__REQUESTS_PER_SECOND", "100000"),
    ];
    let server = block_in_place(|| RunningServer::start_with(&settings));
    let world = Arc::new(World {
        api: Api { address: server.api, key: server.admin_key.clone() },
        receivers,
        dice,
        begun: AtomicUsize::new(0),
        deleted: Mutex::default(),
        slowest: Mutex::default(),
        latest: Mutex::default(),
    });
    delete_under_load(&world).await;
    until("the end of every delivery", DRAIN, async || {
        let queued = block_in_place(|| count(&server, "SELECT count(*) FROM queue"));
        (queued == 0 && world.receivers.is_quiet()).then_some(())
    })
    .await;

    let cancelled = "SELECT count(*) FROM deliveries WHERE reason = 'subscription_deleted' AND state = 3";
    let cancelled = block_in_place(|| count(&server, cancelled));
    let (seen, turned_back) = (world.receivers.seen(), world.receivers.turned_back());
    let deleted = world.deleted.lock().expect("no panic").clone();
    println!(
        "{} deletes, the slowest {:?}; {} requests, {turned_back} turned back at the gate, {cancelled} cancelled",
        deleted.len(),
        *world.slowest.lock().expect("no panic"),
        seen.len(),
    );
    let late = seen.iter().filter_map(|seen| {
        let subscription: usize = seen.post.path.trim_start_matches('/').parse().expect("a number");
        let late = seen.stamp.checked_duration_since(*deleted.get(&subscription)?)?;
        (!late.is_zero()).then(|| format!("{subscription}: written more than {late:?} after its 204"))
    });
    let late: Vec<String> = late.collect();
    assert!(late.is_empty(), "{} requests came too late:\n{}", late.len(), late.join("\n"));
    assert!(turned_back >= TURNED_BACK, "only {turned_back} prepared requests met a delete");
    assert!(cancelled > 0, "nothing was queued at a delete");
}

async fn delete_under_load(world: &Arc<World>) {
    let enough = CancellationToken::new();
    let (mut deleters, mut publishers) = (JoinSet::new(), JoinSet::new());
    for place in 0..MAILBOXES {
        let mailbox = world.api.identity(&format!("agent-{place}")).await;
        for _ in 0..DELETERS {
            deleters.spawn(subscribe_and_delete(world.clone(), mailbox.clone()));
        }
        for _ in 0..PUBLISHERS {
            publishers.spawn(publish(world.clone(), mailbox.clone(), enough.clone()));
        }
    }
    deleters.join_all().await;
    enough.cancel();
    publishers.join_all().await;
}

async fn publish(world: Arc<World>, mailbox: Mailbox, enough: CancellationToken) {
    while !enough.is_cancelled() {
        let event = world.api.publish(&mailbox, "message.received", "hi").await;
        world.latest.lock().expect("no panic").insert(mailbox.id.clone(), event);
        pass(world.dice.millis(10..60)).await;
    }
}

async fn subscribe_and_delete(world: Arc<World>, mailbox: Mailbox) {
    let deletes = rounds(DELETES);
    loop {
        let number = world.begun.fetch_add(1, Ordering::SeqCst);
        if number >= deletes {
            return;
        }
        // Every other one where most requests are caught between preparing and writing.
        let receiver = [0, 1, 0, 2][number % 4];
        let url = format!("{}/{number}", world.receivers.urls[receiver]);
        let made = world.api.subscribe(&mailbox, &url, &["message.received"]).await;
        let id = made["id"].as_str().expect("an id").to_owned();
        pass(world.dice.millis(0..1_500)).await;

        let began = now();
        world.api.must(204, "DELETE", &format!("/api/v1/webhooks/subscriptions/{id}"), None).await;
        let answered = now();
        world.receivers.look();
        world.deleted.lock().expect("no panic").insert(number, now());
        world.took(answered - began);
        nothing_is_queued(&world, &mailbox, &id).await;
    }
}

/// What was queued is cancelled, and says so at once.
async fn nothing_is_queued(world: &World, mailbox: &Mailbox, subscription: &str) {
    let latest = world.latest.lock().expect("no panic").get(&mailbox.id).cloned();
    let Some(event) = latest else { return };
    let event = world.api.must(200, "GET", &format!("/api/v1/events/{event}"), None).await;
    let deliveries = event["deliveries"].as_array().expect("a list");
    let queued =
        deliveries.iter().find(|one| one["subscription_id"] == subscription && one["state"] == "queued");
    assert!(queued.is_none(), "queued after its 204: {queued:?}");
}

fn count(server: &RunningServer, sql: &str) -> i64 {
    server.books().column(sql)[0]
}
