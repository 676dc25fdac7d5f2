//! Bodies of their own: kept once, under the fence of their claim, for as long as their event; and events that are put
//! where contexts find them.

use std::time::Duration;

use bytes::Bytes;
use inkhook_server::domain::context::{LEASE_MORE, MAX_CONTEXT_BYTES};
use inkhook_server::domain::delivery::{Claimed, End};
use inkhook_server::domain::patch::Patch;
use inkhook_server::domain::slots::{Bounds, Slots};
use inkhook_server::domain::subscription::{ClassContext, ContextConfig, Subscription, SubscriptionChange};
use inkhook_server::engine::janitor::{self, House};
use inkhook_server::store::StoreLimits;
use inkhook_server::store::accept::NewEvent;
use inkhook_server::store::claim::LEASE_SKEW;
use inkhook_server::store::context::{Asked, Body, Keep};
use inkhook_server::store::faults::{Fault, Point};
use inkhook_server::store::keeper::DiskLimit;
use inkhook_server::store::replay::Replay;
use inkhook_server::store::settle::{Next, Settled};
use inkhook_wire::envelope;
use inkhook_wire::event::EventType;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::lists::page;
use crate::support::books::needs_a_file;
use crate::support::store::{Agent, StoreBench, TIMEOUT, stored};
use crate::support::time::until;
use crate::support::{PATIENCE, invariants};

const RECEIVED: EventType = EventType::MessageReceived;
/// Says so often enough to be stored shorter than it is.
macro_rules! body {
    ($item:literal) => {
        Bytes::from_static(
            concat!("[", $item, $item, $item, $item, $item, $item, $item, $item, "null]").as_bytes(),
        )
    };
}
const BODY: Bytes = body!("{\"with\":\"context\"},");
const OTHER: Bytes = body!("{\"with\":\"another\"},");
const DAY: Duration = Duration::from_hours(24);

/// A subscription that asks for the last mails of a thread.
async fn asking() -> (StoreBench, Agent, Subscription) {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    ask(&bench, help, &subscription, true).await;
    (bench, help, subscription)
}

async fn ask(bench: &StoreBench, agent: Agent, subscription: &Subscription, asks: bool) {
    let count = ClassContext::Count { count: 5 };
    let config = ContextConfig { email: Some(count), ..ContextConfig::default() };
    let context_config = if asks { Patch::Set(config) } else { Patch::Clear };
    bench
        .patch(agent.admin(), subscription, SubscriptionChange { context_config, ..Default::default() })
        .await;
}

/// A mail that says something.
fn mail(bench: &StoreBench, agent: Agent, subject: &str) -> NewEvent {
    let mut data = RECEIVED.sample();
    data["message"]["id"] = json!(bench.entropy.uuid());
    data["message"]["subject"] = json!(subject);
    let event = bench.mail(agent);
    let payload = envelope::write(event.id, RECEIVED, "2026-05-28T20:26:40Z", &data.to_string());
    NewEvent { payload: payload.into(), ..event }
}

async fn claimed(bench: &StoreBench, agent: Agent) -> Claimed {
    bench.accept(mail(bench, agent, "now")).await;
    bench.claim_one().await
}

fn asked(claimed: &Claimed) -> Asked {
    Asked {
        delivery: claimed.delivery,
        event: claimed.event.seq,
        event_type: claimed.event.event_type,
        payload: claimed.event.payload.clone(),
        config: claimed.context_to_build().cloned(),
    }
}

async fn body(bench: &StoreBench, claimed: &Claimed) -> Body {
    bench.store().context_body(asked(claimed)).await.expect("it reads")
}

/// The subjects that the context of a delivery would have.
async fn subjects(bench: &StoreBench, claimed: &Claimed) -> Vec<String> {
    let Body::New(body) = body(bench, claimed).await else { panic!("nothing is kept") };
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let mails = body["data"]["context"]["email"]["items"].as_array().expect("a list").iter();
    mails.map(|mail| mail["subject"].as_str().expect("a subject").to_owned()).collect()
}

async fn keep(bench: &StoreBench, claimed: &Claimed, body: Option<Bytes>) -> Keep {
    bench.store().keep_body(claimed, body).await.expect("it is stored")
}

#[tokio::test]
async fn a_body_is_kept_once_and_every_later_claim_has_it() {
    let (mut bench, help, _) = asking().await;
    let first = claimed(&bench, help).await;
    assert!(matches!(body(&bench, &first).await, Body::New(_)));
    assert_eq!(keep(&bench, &first, None).await, Keep::Nothing);
    assert_eq!(keep(&bench, &first, Some(BODY)).await, Keep::Body(BODY));
    assert_eq!(keep(&bench, &first, Some(OTHER)).await, Keep::Body(BODY), "the first one stays");
    assert_eq!(body(&bench, &first).await, Body::Kept(BODY));
    bench.fail(&first, Next::Retry { due: bench.clock.schedule(), maybe_received: false }).await;
    let second = bench.claim_one().await;
    assert_eq!(body(&bench, &second).await, Body::Kept(BODY));
    // The process ends where it stands.
    bench.restart().await;
    bench.clock.advance(Duration::from_mins(1));
    let third = bench.claim_one().await;
    assert_eq!((third.attempt_no, body(&bench, &third).await), (3, Body::Kept(BODY)));
    assert_eq!(keep(&bench, &third, Some(OTHER)).await, Keep::Body(BODY));
    bench.succeed(&third).await;
    let log = bench.store().attempts(help.admin(), page()).await.expect("it reads");
    let shown: Vec<_> = log.iter().map(|line| line.request_payload.as_deref()).collect();
    assert_eq!(shown, [Some(&BODY[..]); 3]);
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn who_has_lost_its_claim_keeps_nothing() {
    let (bench, help, _) = asking().await;
    let late = claimed(&bench, help).await;
    bench.clock.advance(TIMEOUT + LEASE_SKEW + LEASE_MORE + Duration::from_millis(1));
    let now = bench.claim_one().await;
    assert_eq!((now.delivery, now.claim_no), (late.delivery, 2));
    assert_eq!(keep(&bench, &late, Some(BODY)).await, Keep::Lost);
    assert!(matches!(body(&bench, &now).await, Body::New(_)));
    assert_eq!(keep(&bench, &now, Some(OTHER)).await, Keep::Body(OTHER));
    assert_eq!(keep(&bench, &late, None).await, Keep::Lost, "not even what there is");
    bench.succeed(&now).await;
    assert_eq!(keep(&bench, &now, Some(BODY)).await, Keep::Lost, "it has ended");
    assert_eq!(bench.number("SELECT count(*) FROM delivery_bodies"), 1);
    let stored = bench.number("SELECT length(body) FROM delivery_bodies");
    assert!(usize::try_from(stored).expect("a length") < OTHER.len(), "compressed");
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn a_node_that_was_overtaken_keeps_nothing_beside_the_other() {
    let (bench, help, _) = asking().await;
    if bench.books.server().is_none() {
        println!("skipped: only a server has other nodes; INKHOOK_TEST_STORE=postgres has one");
        return;
    }
    let other = bench.beside();
    let late = claimed(&bench, help).await;
    bench.clock.advance(TIMEOUT + LEASE_SKEW + LEASE_MORE + Duration::from_millis(1));
    let now = other.claim_one().await;
    assert_eq!(keep(&bench, &late, Some(BODY)).await, Keep::Lost);
    assert_eq!(keep(&other, &now, Some(OTHER)).await, Keep::Body(OTHER));
    assert_eq!(body(&bench, &now).await, Body::Kept(OTHER), "whoever reads it");
    other.succeed(&now).await;
    assert_eq!(
        bench
            .settle(bench.settlement(
                &late,
                inkhook_server::domain::attempt::Recorded::Failed,
                Next::Release { maybe_received: false }
            ))
            .await,
        Settled::Late
    );
    drop(other);
}

#[tokio::test]
async fn a_body_that_may_have_been_stored_is_stored_once() {
    let (bench, help, _) = asking().await;
    let first = claimed(&bench, help).await;
    bench.faults.push(Point::AfterCommit, Fault::Unknown);
    let unknown = bench.store().keep_body(&first, Some(BODY)).await;
    assert!(unknown.is_err(), "{unknown:?}");
    assert_eq!(keep(&bench, &first, Some(OTHER)).await, Keep::Body(BODY));
    bench.succeed(&first).await;
}

#[tokio::test]
async fn the_lease_has_time_for_a_context_and_the_place_has_bytes() {
    let (bench, help, subscription) = asking().await;
    let with = claimed(&bench, help).await;
    let from = bench.clock.schedule();
    assert_eq!(with.lease_until, from.after(LEASE_MORE).after(TIMEOUT).after(LEASE_SKEW));
    bench.succeed(&with).await;
    // Two contexts in flight have no room for a third until they are known to be shorter.
    let slots = Slots::new(Bounds { body_bytes: 2 * MAX_CONTEXT_BYTES + 10_000, ..Bounds::default() });
    for _ in 0..3 {
        bench.accept(mail(&bench, help, "more")).await;
    }
    let request =
        || inkhook_server::store::claim::ClaimRequest { slots: slots.clone(), ..bench.claim_request() };
    let mut two = bench.claims(request()).await.claimed;
    assert_eq!(two.len(), 2);
    assert_eq!(bench.claims(request()).await.claimed.len(), 0);
    two[0].slot.shrink_to(1_000);
    assert!(slots.in_use().bytes < MAX_CONTEXT_BYTES + 10_000);
    let third = bench.claims(request()).await.claimed;
    assert_eq!(third.len(), 1);
    for leased in two.into_iter().chain(third) {
        bench.succeed(&leased.claimed).await;
    }
    assert_eq!(slots.in_use().bytes, 0);
    // Without a setting nothing of that.
    ask(&bench, help, &subscription, false).await;
    let plain = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    bench.delete(help.admin(), &subscription).await;
    let without = claimed(&bench, help).await;
    assert_eq!(without.target.subscription, plain.no);
    assert_eq!(
        (without.lease_until, without.context_to_build()),
        (from.after(TIMEOUT).after(LEASE_SKEW), None)
    );
    bench.succeed(&without).await;
}

#[tokio::test]
async fn a_replay_has_the_body_of_what_it_replays_and_the_last_of_them_goes_with_the_event() {
    let (bench, help, subscription) = asking().await;
    let first = claimed(&bench, help).await;
    keep(&bench, &first, Some(BODY)).await;
    bench.succeed(&first).await;
    ask(&bench, help, &subscription, false).await;
    let line = bench.store().attempts(help.admin(), page()).await.expect("it reads")[0].id;
    let replay = bench.store().replay(help.admin(), line).await.expect("stored");
    assert!(matches!(replay, Replay::Queued(..)), "{replay:?}");
    let again = bench.claim_one().await;
    assert_ne!(again.delivery, first.delivery);
    assert_eq!((again.context_to_build(), body(&bench, &again).await), (None, Body::Kept(BODY)));
    bench.succeed(&again).await;
    // A replay of what was sent without sends it without.
    let plain = claimed(&bench, help).await;
    bench.succeed(&plain).await;
    ask(&bench, help, &subscription, true).await;
    let line = bench.store().attempts(help.admin(), page()).await.expect("it reads")[0].id;
    bench.store().replay(help.admin(), line).await.expect("stored");
    let again = bench.claim_one().await;
    assert_eq!((again.context_to_build(), body(&bench, &again).await), (None, Body::Plain));
    bench.succeed(&again).await;
    bench.clock.advance(31 * DAY);
    let (soft, mut house) = (CancellationToken::new(), House::default());
    janitor::tidy_up(bench.store(), &bench.clock, &soft).await.expect("the store works");
    house.keep(bench.store(), &bench.clock, 30, &soft).await.expect("the store works");
    for table in ["events", "context_items", "delivery_bodies"] {
        assert_eq!(bench.number(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn only_what_is_accepted_after_the_setting_gets_a_context() {
    let (bench, help, subscription) = asking().await;
    ask(&bench, help, &subscription, false).await;
    let before = claimed(&bench, help).await;
    bench.fail(&before, Next::Retry { due: bench.clock.schedule(), maybe_received: false }).await;
    ask(&bench, help, &subscription, true).await;
    let retried = bench.claim_one().await;
    assert_eq!((retried.context_to_build(), body(&bench, &retried).await), (None, Body::Plain));
    bench.succeed(&retried).await;
    let after = claimed(&bench, help).await;
    assert!(after.context_to_build().is_some());
    bench.succeed(&after).await;
}

#[tokio::test]
async fn nobody_pays_for_what_nobody_asks_for() {
    let (bench, help, subscription) = asking().await;
    let other = bench.agent_of(help.organization, "other").await;
    bench.subscribe(other.admin(), other.by_mail(), &[RECEIVED]).await;
    let items = || bench.number("SELECT count(*) FROM context_items");
    bench.accept(mail(&bench, other, "unasked")).await;
    assert_eq!(items(), 0);
    bench.accept(mail(&bench, help, "asked")).await;
    assert_eq!(items(), 2, "by who, and by who in that thread");
    bench.accept(bench.mail(help)).await;
    assert_eq!(items(), 2, "what cannot be read says nothing");
    bench.delete(help.admin(), &subscription).await;
    bench.accept(mail(&bench, help, "no more")).await;
    assert_eq!(items(), 2);
    bench.tidy().await;
    for claimed in bench.claim().await {
        bench.succeed(&claimed).await;
    }
}

#[tokio::test]
async fn what_was_accepted_before_is_put_there_chunk_by_chunk_and_no_test_is() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    for number in 0..250 {
        bench.accept(mail(&bench, help, &number.to_string())).await;
    }
    let trial = mail(&bench, help, "a test");
    bench.store().try_subscription(help.admin(), subscription.id, trial).await.expect("stored");
    for claimed in bench.claim().await {
        bench.succeed(&claimed).await;
    }
    ask(&bench, help, &subscription, true).await;
    // Of the mailbox, of the number and of the identity.
    assert_eq!(bench.number("SELECT count(*) FROM context_histories"), 3);
    let soft = CancellationToken::new();
    let tidy = async || janitor::tidy_up(bench.store(), &bench.clock, &soft).await.expect("the store works");
    tidy().await;
    assert_eq!(bench.number("SELECT count(*) FROM context_items"), 2 * 250);
    let now = claimed(&bench, help).await;
    assert_eq!(subjects(&bench, &now).await, ["245", "246", "247", "248", "249"]);
    bench.succeed(&now).await;
    // On a server the newest end is gone over once more.
    bench.clock.advance(Duration::from_secs(10));
    tidy().await;
    assert_eq!(bench.number("SELECT count(*) FROM context_histories"), 0);
    assert_eq!(bench.number("SELECT count(*) FROM context_items"), 2 * 251);
    // A second subscription finds it all there.
    let second = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    ask(&bench, help, &second, true).await;
    assert_eq!(bench.number("SELECT count(*) FROM context_histories"), 0);
    assert_eq!(bench.ended(now.delivery), Some(stored(End::Succeeded)));
}

#[tokio::test]
async fn nothing_long_is_built_while_the_disk_is_almost_full() {
    if !needs_a_file("a disk of ours") {
        return;
    }
    let (mut bench, help, _) = asking().await;
    bench.accept(mail(&bench, help, "before")).await;
    let before = bench.claim_one().await;
    keep(&bench, &before, Some(BODY)).await;
    bench.accept(mail(&bench, help, "now")).await;
    bench.limits = StoreLimits { disk: DiskLimit { free_percent: 0, free_bytes: u64::MAX }, ..bench.limits };
    bench.restart().await;
    until("a look at the disk", PATIENCE, async || bench.store().is_disk_low().then_some(())).await;
    bench.clock.advance(Duration::from_mins(1));
    let mut claimed = bench.claim().await;
    claimed.sort_by_key(|one| one.delivery);
    assert_eq!(body(&bench, &claimed[0]).await, Body::Kept(BODY));
    let Body::New(unavailable) = body(&bench, &claimed[1]).await else { panic!("nothing is kept") };
    let unavailable: Value = serde_json::from_slice(&unavailable).expect("JSON");
    let block = &unavailable["data"]["context"]["email"];
    assert_eq!((&block["skipped"], &block["items"]), (&json!("unavailable"), &json!([])));
    for one in &claimed {
        bench.succeed(one).await;
    }
}
