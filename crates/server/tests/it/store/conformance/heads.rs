//! Queue heads: too early at worst, never too late, and gone when nothing is queued.

use std::time::Duration;

use inkhook_server::domain::attempt::Recorded;
use inkhook_server::domain::delivery::End;
use inkhook_server::domain::time::TimeMs;
use inkhook_server::store::settle::Next;
use inkhook_server::store::sweep::SweepPlace;
use inkhook_wire::event::EventType;

use crate::support::START;
use crate::support::invariants;
use crate::support::store::StoreBench;

const RECEIVED: EventType = EventType::MessageReceived;

#[tokio::test]
async fn a_head_follows_its_queue_and_goes_with_it() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let heads = || bench.rows("SELECT class, due_ms FROM queue_heads ORDER BY class");
    assert!(heads().is_empty());
    bench.accept_mails(help, 2).await;
    assert_eq!(heads(), [[1.into(), 0.into()]]);
    let claimed = bench.claim().await;
    assert_eq!(heads(), [[1.into(), claimed[0].lease_until.0.into()]], "the lease is when it is due again");
    let due = bench.clock.schedule().after(Duration::from_secs(5));
    bench.fail(&claimed[0], Next::Retry { due, maybe_received: false }).await;
    bench.succeed(&claimed[1]).await;
    assert_eq!(heads()[1], [2.into(), due.0.into()]);
    bench.clock.advance(Duration::from_mins(1));
    let claimed = bench.claim_one().await;
    bench.fail(&claimed, Next::End(End::OutOfAttempts)).await;
    assert!(bench.claim().await.is_empty());
    invariants::check_at_rest(&bench);
    bench.clock.advance(Duration::from_mins(1));
    bench.claim().await;
    assert!(heads().is_empty(), "nothing is queued");
}

#[tokio::test]
async fn a_claim_says_when_to_look_again() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    assert_eq!(bench.claims(bench.claim_request()).await.next_due, None);
    bench.accept_mails(help, 1).await;
    let claims = bench.claims(bench.claim_request()).await;
    assert_eq!(claims.next_due, Some(claims.claimed[0].claimed.lease_until));
    let due = bench.clock.schedule().after(Duration::from_secs(5));
    bench.fail(&claims.claimed[0].claimed, Next::Retry { due, maybe_received: false }).await;
    assert_eq!(bench.claims(bench.claim_request()).await.next_due, Some(due));
}

#[tokio::test]
async fn a_claim_that_only_ends_deliveries_asks_to_be_called_again() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let expires_at = Some(bench.clock.wall().after(Duration::from_secs(1)));
    for _ in 0..100 {
        let mut event = bench.mail(help);
        event.expires_at = expires_at;
        bench.accept(event).await;
    }
    bench.accept_mails(help, 1).await;
    bench.clock.advance(Duration::from_secs(1));
    let request = bench.request_within(1, 1);
    let claims = bench.claims(request.clone()).await;
    assert!(claims.claimed.is_empty(), "it had enough to do");
    assert_eq!(claims.next_due, Some(request.now), "and says that there is more");
    assert_eq!(bench.claims(request).await.claimed.len(), 1, "the one that is not too late");
    invariants::check(&bench);
}

#[tokio::test]
async fn more_due_subscriptions_than_one_claim_looks_at_are_all_served() {
    let bench = StoreBench::new();
    let organization = bench.organization("many").await;
    // One more than a claim looks at, spread over identities because an owner has 20 at most.
    let mut made = 0;
    for identity in 0.. {
        let agent = bench.agent_of(organization, &format!("agent-{identity}")).await;
        for _ in 0..20.min(1_025 - made) {
            bench.subscribe(agent.admin(), agent.by_mail(), &[RECEIVED]).await;
            made += 1;
        }
        bench.accept_mails(agent, 2).await;
        if made == 1_025 {
            break;
        }
    }
    let request = bench.request_within(5_000, 1);
    let first = bench.claims(request.clone()).await;
    assert!(first.claimed.len() < 1_025);
    assert_eq!(first.next_due, Some(request.now), "there is more");
    let second = bench.claims(request).await;
    assert_eq!(first.claimed.len() + second.claimed.len(), 1_025, "full ones hide nobody");
}

#[tokio::test]
async fn what_is_held_is_looked_at_when_the_hold_ends() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    bench.accept_mails(help, 2).await;
    let claimed = bench.claimed_within(bench.request_within(1, 1)).await.remove(0);
    let until = bench.clock.schedule().after(Duration::from_mins(1));
    let next = Next::Retry { due: until, maybe_received: false };
    let mut settlement = bench.settlement(&claimed, Recorded::Failed, next);
    settlement.hold_until = Some(until);
    bench.settle(settlement).await;
    let claims = bench.claims(bench.claim_request()).await;
    assert!(claims.claimed.is_empty());
    assert_eq!(claims.next_due, Some(until));
    bench.store().pause_subscription(help.admin(), subscription.id).await.unwrap();
    bench.clock.advance(Duration::from_mins(1));
    let claims = bench.claims(bench.claim_request()).await;
    assert!(claims.claimed.is_empty());
    assert_eq!(claims.next_due, Some(TimeMs(i64::MAX)), "until somebody lets go");
    invariants::check(&bench);
    bench.store().resume_subscription(help.admin(), subscription.id).await.unwrap();
    assert_eq!(bench.claim().await.len(), 2);
}

/// Whether a whole sweep finds anything.
async fn repairs(bench: &StoreBench) -> u64 {
    let before = bench.store().head_repairs();
    let mut place = Some(SweepPlace::default());
    while let Some(from) = place {
        place = bench.store().sweep_heads(from).await.expect("swept");
    }
    bench.store().head_repairs() - before
}

#[tokio::test]
async fn a_sweep_finds_nothing_in_what_is_right() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let held = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let gone = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    bench.accept_mails(help, 3).await;
    let claimed = bench.claimed_within(bench.request_within(2, 1)).await;
    bench.fail(&claimed[0], Next::Retry { due: TimeMs(START.0 + 5_000), maybe_received: false }).await;
    assert_eq!(repairs(&bench).await, 0);
    bench.store().pause_subscription(help.admin(), held.id).await.unwrap();
    bench.claim().await;
    bench.delete(help.admin(), &gone).await;
    assert_eq!(repairs(&bench).await, 0, "what is held or deleted needs no head");
}

#[tokio::test]
async fn a_sweep_puts_a_head_right_that_is_missing_or_too_late() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    bench.accept_mails(help, 1).await;
    for damage in ["DELETE FROM queue_heads", "UPDATE queue_heads SET due_ms = 9223372036854775806"] {
        bench.books.run(damage);
        assert!(bench.claim().await.is_empty(), "nobody finds it");
        assert_eq!(repairs(&bench).await, 1, "{damage}");
        assert_eq!(repairs(&bench).await, 0, "once");
        let claimed = bench.claim_one().await;
        bench
            .settle(bench.settlement(&claimed, Recorded::Failed, Next::Release { maybe_received: false }))
            .await;
    }
    bench.claim_one().await;
}
