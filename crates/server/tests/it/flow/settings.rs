//! Current settings: once a change of a subscription has been answered, no attempt uses the old URL, the old
//! token or a type that was taken out; and the log says where each attempt really went.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::{JoinSet, block_in_place};
use tokio_util::sync::CancellationToken;

use super::late::{Receivers, Seen};
use crate::crash::rounds;
use crate::support::ask::{Api, Mailbox};
use crate::support::dice::Dice;
use crate::support::running::RunningServer;
use crate::support::time::{now, pass, until};

/// Changes of each subscription in the short form.
const CHANGES: usize = 24;
/// Subscriptions, each at a mailbox of its own.
const SUBSCRIPTIONS: usize = 4;
/// The type that stays, and the one that comes and goes.
const STAYS: &str = "message.received";
const GOES: &str = "message.sent";
/// Requests that a change must have met between preparing and writing; otherwise nothing was tested.
const TURNED_BACK: usize = 10;
/// After each new URL what waited comes at ten a second; the long form leaves so much that it takes three minutes.
const DRAIN: Duration = Duration::from_mins(5);

/// What the clients share.
struct World {
    api: Api,
    receivers: Receivers,
    dice: Dice,
    subscriptions: Mutex<HashMap<usize, Subscription>>,
}

/// One subscription, and when which of its settings ended.
#[derive(Debug, Clone, Default)]
struct Subscription {
    id: String,
    /// Number of the path that is in force, and when each earlier one ended.
    path: usize,
    paths_ended: HashMap<String, Instant>,
    token: usize,
    tokens_ended: HashMap<String, Instant>,
    /// Each time [`GOES`] was taken out: when that was asked, and when it had been answered.
    removals: Vec<(Instant, Instant)>,
    is_removed: bool,
    /// Events of [`GOES`] and when they had been accepted.
    accepted: HashMap<String, Instant>,
    latest: Option<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_attempt_uses_a_setting_after_its_change_was_answered() {
    let dice = Dice::new("settings");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let certificate = directory.path().join("receivers.pem");
    let receivers = Receivers::start(dice.clone(), &certificate).await;
    let settings = [
        ("SSL_CERT_FILE", certificate.to_str().expect("UTF-8")),
        ("INKHOOK_LIMITS__REQUESTS_PER_SECOND", "100000"),
    ];
    let server = block_in_place(|| RunningServer::start_with(&settings));
    let api = Api { address: server.api, key: server.admin_key.clone() };
    let world = Arc::new(World { api, receivers, dice, subscriptions: Mutex::default() });
    change_under_load(&world).await;
    until("the end of every delivery", DRAIN, async || {
        (world.receivers.is_quiet() && nothing_waits(&world).await).then_some(())
    })
    .await;

    let (seen, turned_back) = (world.receivers.seen(), world.receivers.turned_back());
    let subscriptions = world.subscriptions.lock().expect("no panic").clone();
    let removals: usize = subscriptions.values().map(|subscription| subscription.removals.len()).sum();
    println!("{} requests, {turned_back} turned back at the gate, {removals} times a type less", seen.len());
    let mut breaches: Vec<String> = seen.iter().filter_map(|seen| breach(&subscriptions, seen)).collect();
    let log = whole_log(&world.api).await;
    breaches.extend(seen.iter().filter_map(|seen| not_on_record(&log, seen)));
    for subscription in subscriptions.values() {
        breaches.extend(wrong_ends(&world.api, subscription, &seen).await);
    }
    assert!(breaches.is_empty(), "{} breaches:\n{}", breaches.len(), breaches.join("\n"));
    assert!(turned_back >= TURNED_BACK, "only {turned_back} prepared requests met a change");
}

async fn change_under_load(world: &Arc<World>) {
    let enough = CancellationToken::new();
    let (mut owners, mut publishers) = (JoinSet::new(), JoinSet::new());
    for place in 0..SUBSCRIPTIONS {
        let mailbox = world.api.identity(&format!("agent-{place}")).await;
        let body = json!({"mailbox_id": mailbox.id, "url": world.url(place, 0), "event_types": [STAYS, GOES],
            "auth_token": token(place, 0)});
        let made = world.api.must(201, "POST", "/api/v1/webhooks/subscriptions", Some(body)).await;
        let id = made["id"].as_str().expect("an id").to_owned();
        world.with(place, |subscription| subscription.id = id);
        owners.spawn(change_settings(world.clone(), place));
        for event_type in [STAYS, GOES] {
            publishers.spawn(publish(world.clone(), place, mailbox.clone(), event_type, enough.clone()));
        }
    }
    owners.join_all().await;
    enough.cancel();
    publishers.join_all().await;
}

impl World {
    /// Every other one where most requests are caught between preparing and writing.
    fn url(&self, place: usize, number: usize) -> String {
        format!("{}/{place}/{number}", self.receivers.urls[[0, 1, 0, 2][number % 4]])
    }

    fn with<T>(&self, place: usize, act: impl FnOnce(&mut Subscription) -> T) -> T {
        act(self.subscriptions.lock().expect("no panic").entry(place).or_default())
    }

    /// Changes a subscription; when that was asked, and when it had been answered and looked after.
    async fn patch(&self, place: usize, change: Value) -> (Instant, Instant) {
        let id = self.with(place, |subscription| subscription.id.clone());
        let asked = now();
        self.api.must(200, "PATCH", &format!("/api/v1/webhooks/subscriptions/{id}"), Some(change)).await;
        self.receivers.look();
        (asked, now())
    }
}

fn token(place: usize, number: usize) -> String {
    format!("token-{place}-{number}")
}

async fn publish(
    world: Arc<World>,
    place: usize,
    mailbox: Mailbox,
    event_type: &'static str,
    enough: CancellationToken,
) {
    while !enough.is_cancelled() {
        let event = world.api.publish(&mailbox, event_type, "hi").await;
        if event_type == GOES {
            world.with(place, |subscription| {
                subscription.accepted.insert(event.clone(), now());
                subscription.latest = Some(event);
            });
        }
        pass(world.dice.millis(10..60)).await;
    }
}

async fn change_settings(world: Arc<World>, place: usize) {
    for _ in 0..rounds(CHANGES) {
        pass(world.dice.millis(0..700)).await;
        match world.dice.number(0..3) {
            0 => change_url(&world, place).await,
            1 => change_token(&world, place).await,
            _ => change_types(&world, place).await,
        }
    }
}

async fn change_url(world: &World, place: usize) {
    let number = world.with(place, |subscription| subscription.path);
    let (_, ended) = world.patch(place, json!({"url": world.url(place, number + 1)})).await;
    world.with(place, |subscription| {
        subscription.paths_ended.insert(format!("/{place}/{number}"), ended);
        subscription.path = number + 1;
    });
}

async fn change_token(world: &World, place: usize) {
    let number = world.with(place, |subscription| subscription.token);
    let (_, ended) = world.patch(place, json!({"auth_token": token(place, number + 1)})).await;
    world.with(place, |subscription| {
        subscription.tokens_ended.insert(format!("Bearer {}", token(place, number)), ended);
        subscription.token = number + 1;
    });
}

async fn change_types(world: &World, place: usize) {
    let (was_removed, latest) =
        world.with(place, |subscription| (subscription.is_removed, subscription.latest.clone()));
    let types = if was_removed { json!([STAYS, GOES]) } else { json!([STAYS]) };
    let removal = world.patch(place, json!({"event_types": types})).await;
    world.with(place, |subscription| {
        subscription.is_removed = !was_removed;
        subscription.removals.extend((!was_removed).then_some(removal));
    });
    // What was queued of it is cancelled, and says so at once.
    if let (false, Some(event)) = (was_removed, latest) {
        let event = world.api.must(200, "GET", &format!("/api/v1/events/{event}"), None).await;
        let state = event["deliveries"].get(0).map(|delivery| delivery["state"].clone());
        assert_ne!(state, Some(json!("queued")), "queued though its type is no longer selected: {event}");
    }
}

/// What is wrong with a request, if anything is.
fn breach(subscriptions: &HashMap<usize, Subscription>, seen: &Seen) -> Option<String> {
    let Seen { post, stamp } = seen;
    let place = post.path.split('/').nth(1).and_then(|place| place.parse().ok()).expect("a place");
    let subscription = &subscriptions[&place];
    let authorization = post.header("authorization").expect("there is always a token");
    if subscription.paths_ended.get(&post.path).is_some_and(|ended| stamp > ended) {
        return Some(format!("went to {} after that was changed", post.path));
    }
    if subscription.tokens_ended.get(authorization).is_some_and(|ended| stamp > ended) {
        return Some(format!("used {authorization} after that was changed"));
    }
    let event = post.json()["id"].as_str().expect("an id").to_owned();
    let accepted = subscription.accepted.get(&event)?;
    let mut removals = subscription.removals.iter();
    let removed = removals.find(|(asked, answered)| accepted < asked && stamp > answered);
    removed.map(|_| format!("{event} was written after its type was taken out"))
}

/// Whether no event of any subscription waits, the oldest ones included: a slow receiver may hold those longest.
async fn nothing_waits(world: &World) -> bool {
    let mut before = String::new();
    loop {
        let page = world.api.must(200, "GET", &format!("/api/v1/events?limit=200{before}"), None).await;
        let events = page["events"].as_array().expect("a list");
        let Some(last) = events.last() else { return true };
        let mut deliveries = events.iter().flat_map(|event| event["deliveries"].as_array().expect("a list"));
        if !deliveries.all(|delivery| delivery["ended_at"].is_string()) {
            return false;
        }
        before = format!("&before={}", last["id"].as_str().expect("an id"));
    }
}

/// Events of the type that comes and goes are delivered or cancelled, and nothing that is said to be delivered
/// did not arrive.
async fn wrong_ends(api: &Api, subscription: &Subscription, seen: &[Seen]) -> Vec<String> {
    let arrived: Vec<Value> = seen.iter().map(|seen| seen.post.json()["id"].clone()).collect();
    let mut wrong = Vec::new();
    for event in subscription.accepted.keys() {
        let told = api.must(200, "GET", &format!("/api/v1/events/{event}"), None).await;
        let Some(delivery) = told["deliveries"].get(0) else { continue };
        let has_arrived = arrived.iter().any(|arrived| arrived == event);
        let end = (delivery["state"].as_str().expect("a state"), delivery["reason"].as_str());
        let is_right = match end {
            ("succeeded", None) => has_arrived,
            ("cancelled", Some("event_type_not_selected")) => true,
            _ => false,
        };
        if !is_right {
            wrong.push(format!("{event} ended {end:?}, arrived: {has_arrived}"));
        }
    }
    wrong
}

/// Where each attempt of each event went, by the log.
async fn whole_log(api: &Api) -> HashMap<(String, u64), String> {
    let mut log = HashMap::new();
    let mut before = String::new();
    loop {
        let path = format!("/api/v1/webhooks/deliveries?limit=200{before}");
        let page = api.must(200, "GET", &path, None).await;
        let attempts = page["deliveries"].as_array().expect("a list");
        let Some(last) = attempts.last() else { return log };
        before = format!("&before={}", last["id"].as_str().expect("an id"));
        for attempt in attempts {
            let text = |name: &str| attempt[name].as_str().expect("text").to_owned();
            log.insert((text("event_id"), attempt["attempt"].as_u64().expect("a number")), text("url"));
        }
    }
}

fn not_on_record(log: &HashMap<(String, u64), String>, seen: &Seen) -> Option<String> {
    let event = seen.post.json()["id"].as_str().expect("an id").to_owned();
    let attempt = seen.post.header("inkhook-attempt").and_then(|no| no.parse().ok()).expect("a number");
    let logged = log.get(&(event.clone(), attempt));
    let is_right = logged.is_some_and(|url| url.ends_with(&seen.post.path));
    (!is_right).then(|| format!("{event} went to {}, and the log says {logged:?}", seen.post.path))
}
