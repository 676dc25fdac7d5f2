//! Accepting: which subscriptions get a delivery, and what is refused.

use std::time::Duration;

use inkhook_server::store::accept::{Accept, MAX_FAN_OUT, NewEvent};
use inkhook_server::store::identities::IdentityChange;
use inkhook_wire::event::EventType;

use crate::support::invariants;
use crate::support::store::StoreBench;

const RECEIVED: EventType = EventType::MessageReceived;

/// The subscriptions with a queued delivery, in the order in which they were made.
fn receivers(bench: &StoreBench) -> Vec<Vec<rusqlite::types::Value>> {
    bench.rows("SELECT subscription FROM queue ORDER BY no")
}

#[tokio::test]
async fn an_event_goes_to_the_subscriptions_of_its_owner_and_of_the_identity_behind_it() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let colleague = bench.agent_of(help.organization, "sales").await;
    let stranger = bench.agent("stranger").await;
    let of_mailbox = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let of_identity = bench.subscribe(help.admin(), help.owner(), &[EventType::TextReceived, RECEIVED]).await;
    bench.subscribe(help.admin(), help.by_phone(), &[EventType::TextReceived]).await;
    bench.subscribe(help.admin(), colleague.by_mail(), &[RECEIVED]).await;
    bench.subscribe(help.admin(), colleague.owner(), &[RECEIVED]).await;
    bench.subscribe(stranger.admin(), stranger.owner(), &[RECEIVED]).await;
    assert_eq!(bench.accept(bench.mail(help)).await.deliveries, 2);
    assert_eq!(receivers(&bench), [[of_mailbox.no.0.into()], [of_identity.no.0.into()]]);
    invariants::check(&bench);
}

#[tokio::test]
async fn an_event_of_an_identity_goes_to_the_identitys_subscriptions_only() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let of_identity = bench.subscribe(help.admin(), help.owner(), &[RECEIVED]).await;
    let event = bench.event(help.organization, help.owner(), RECEIVED);
    assert_eq!(bench.accept(event).await.deliveries, 1);
    assert_eq!(receivers(&bench), [[of_identity.no.0.into()]]);
}

#[tokio::test]
async fn a_type_that_is_not_selected_makes_no_delivery() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    bench.subscribe(help.admin(), help.by_mail(), &[EventType::MessageSent]).await;
    let accepted = bench.accept(bench.mail(help)).await;
    assert_eq!((accepted.deliveries, bench.queued()), (0, 0));
    assert_eq!(bench.number("SELECT fan_out FROM events"), 0, "the event is kept all the same");
}

#[tokio::test]
async fn deleted_subscriptions_get_nothing_and_paused_ones_do() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let deleted = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let paused = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    bench.delete(help.admin(), &deleted).await;
    bench.store().pause_subscription(help.admin(), paused.id).await.unwrap().unwrap();
    assert_eq!(bench.accept(bench.mail(help)).await.deliveries, 1);
    assert_eq!(receivers(&bench), [[paused.no.0.into()]]);
}

#[tokio::test]
async fn forty_subscriptions_are_the_most_that_one_event_can_have() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    for owner in [help.by_mail(), help.owner()] {
        for _ in 0..MAX_FAN_OUT / 2 {
            bench.subscribe(help.admin(), owner, &[RECEIVED]).await;
        }
    }
    assert_eq!(bench.accept(bench.mail(help)).await.deliveries, 40);
    assert_eq!(bench.accept(bench.mail(help)).await.deliveries, 40);
    assert_eq!(bench.claim().await.len(), 80);
    invariants::check(&bench);
}

#[tokio::test]
async fn an_event_that_has_expired_leaves_nothing() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let keyed = |expires_at| NewEvent {
        expires_at: Some(expires_at),
        idempotency_key: Some("k".into()),
        id_given: true,
        request_hash: [1; 32],
        ..bench.mail(help)
    };
    let now = bench.clock.wall();
    let late = bench.store().accept(keyed(now)).await.unwrap();
    assert_eq!(late, Accept::Expired, "now is not in the future");
    for table in ["events", "queue", "dedupe"] {
        assert_eq!(bench.number(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    let soon = keyed(now.after(Duration::from_millis(1)));
    assert!(matches!(bench.store().accept(soon.clone()).await.unwrap(), Accept::Accepted(_)));
    bench.clock.advance(Duration::from_secs(1));
    let Accept::Accepted(again) = bench.store().accept(soon).await.unwrap() else {
        panic!("a repeat is recognised before its expiry is looked at")
    };
    assert!(again.duplicate);
}

#[tokio::test]
async fn an_owner_that_is_gone_or_another_organisations_gets_nothing() {
    let bench = StoreBench::new();
    let (help, other) = (bench.agent("help").await, bench.agent("other").await);
    let foreign = NewEvent { organization: other.organization, ..bench.mail(help) };
    assert_eq!(bench.store().accept(foreign).await.unwrap(), Accept::OwnerGone);
    assert!(bench.store().delete_identity(help.admin(), "help".into()).await.unwrap());
    for owner in [help.by_mail(), help.by_phone(), help.owner()] {
        let event = bench.event(help.organization, owner, RECEIVED);
        assert_eq!(bench.store().accept(event).await.unwrap(), Accept::OwnerGone);
    }
    assert_eq!(bench.number("SELECT count(*) FROM events"), 0);
}

#[tokio::test]
async fn acceptance_numbers_are_the_order_of_the_answers() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let mut accepted = Vec::new();
    for _ in 0..5 {
        accepted.push(bench.accept(bench.mail(help)).await.id);
    }
    let claimed: Vec<_> = bench.claim().await.into_iter().map(|claimed| claimed.event.id).collect();
    assert_eq!(claimed, accepted);
}

#[tokio::test]
async fn an_identitys_new_name_changes_nothing_for_its_events() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let change = IdentityChange { handle: Some("helper".into()), ..IdentityChange::default() };
    bench.store().change_identity(help.admin(), "help".into(), change).await.unwrap();
    assert_eq!(bench.accept(bench.mail(help)).await.deliveries, 1);
}
