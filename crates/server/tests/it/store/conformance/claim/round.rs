//! Which heads a claim looks at when more are due than one looks at.

use std::collections::HashSet;
use std::time::Duration;

use inkhook_server::domain::number::SubscriptionNo;
use inkhook_server::domain::slots::{Bounds, Slots};
use inkhook_server::store::claim::ClaimRequest;
use inkhook_server::store::settle::Next;

use super::RECEIVED;
use crate::support::invariants;
use crate::support::store::{StoreBench, TIMEOUT};

/// Agents of one organisation, each with as many subscriptions as may be, and more in all than one claim looks
/// at: one event each.
const AGENTS: usize = 52;
const SUBSCRIPTIONS: usize = 20;
/// Long after everything else.
const LATER: Duration = Duration::from_mins(1);

async fn crowd() -> StoreBench {
    let bench = StoreBench::new();
    let organization = bench.organization("crowd").await;
    for n in 0..AGENTS {
        let agent = bench.agent_of(organization, &format!("agent{n}")).await;
        for _ in 0..SUBSCRIPTIONS {
            bench.subscribe(agent.admin(), agent.by_mail(), &[RECEIVED]).await;
        }
        bench.accept_mails(agent, 1).await;
    }
    bench
}

/// One place for each organisation.
fn slots() -> Slots {
    Slots::new(Bounds { fast: 8, organization_percent: 12, ..Bounds::default() })
}

fn request(bench: &StoreBench, slots: &Slots) -> ClaimRequest {
    ClaimRequest { now: bench.clock.schedule(), slots: slots.clone(), timeout: TIMEOUT }
}

/// Whoever finds no place among them is not asked again and again, and hides nobody for ever.
async fn the_crowd_hides_nobody(bench: &StoreBench, other: SubscriptionNo) {
    let slots = slots();
    let first = bench.claims(request(bench, &slots)).await;
    assert_eq!(first.claimed.len(), 1, "the organisation has one place");
    let mut found = false;
    for _ in 0..2 {
        let now = bench.clock.schedule();
        let claims = bench.claims(request(bench, &slots)).await;
        found |= claims.claimed.iter().any(|leased| leased.claimed.target.subscription == other);
        if claims.claimed.is_empty() {
            let next_due = claims.next_due.expect("there is more");
            assert_eq!(next_due.since(now), Duration::from_millis(100), "the rest, but not at once");
        }
        bench.clock.advance(Duration::from_millis(100));
    }
    assert!(found, "it was hidden by those who find no place");
}

#[tokio::test]
async fn what_is_due_at_once_behind_a_crowd_is_found() {
    let bench = crowd().await;
    let rival = bench.agent("rival").await;
    let other = bench.subscribe(rival.admin(), rival.by_mail(), &[RECEIVED]).await;
    bench.accept_mails(rival, 1).await;
    the_crowd_hides_nobody(&bench, other.no).await;
    invariants::check(&bench);
}

#[tokio::test]
async fn what_is_due_by_the_clock_behind_a_crowd_is_found() {
    let bench = crowd().await;
    let rival = bench.agent("rival").await;
    let other = bench.subscribe(rival.admin(), rival.by_mail(), &[RECEIVED]).await;
    bench.accept_mails(rival, 1).await;
    let mut seen = HashSet::new();
    for _ in 0..2 {
        for claimed in bench.claim().await {
            let is_other = claimed.target.subscription == other.no;
            let wait = if is_other { LATER } else { Duration::from_secs(1) };
            let due = bench.clock.schedule().after(wait);
            bench.fail(&claimed, Next::Retry { due, maybe_received: false }).await;
            seen.insert(claimed.target.subscription);
        }
    }
    assert_eq!(seen.len(), AGENTS * SUBSCRIPTIONS + 1);
    bench.clock.advance(LATER);
    the_crowd_hides_nobody(&bench, other.no).await;
    invariants::check(&bench);
}

#[tokio::test]
async fn a_claim_that_took_something_of_a_part_is_followed_by_the_next_at_once() {
    let bench = crowd().await;
    let request = bench.request_within(100_000, 4);
    let first = bench.claims(request.clone()).await;
    assert_eq!((first.claimed.len(), first.next_due), (1_024, Some(bench.clock.schedule())));
    let second = bench.claims(request).await;
    assert_eq!(second.claimed.len(), AGENTS * SUBSCRIPTIONS - 1_024);
    assert_ne!(second.next_due, Some(bench.clock.schedule()));
    invariants::check(&bench);
}

/// Whoever has been given a place and hangs is found out; so a few places go to as many as there are.
#[tokio::test]
async fn when_there_are_fewer_places_than_subscriptions_each_is_given_one() {
    let bench = StoreBench::new();
    let organization = bench.organization("many").await;
    let agent = bench.agent_of(organization, "agent").await;
    for _ in 0..SUBSCRIPTIONS {
        bench.subscribe(agent.admin(), agent.by_mail(), &[RECEIVED]).await;
    }
    bench.accept_mails(agent, 4).await;
    let slots = Slots::new(Bounds { fast: 16, organization_percent: 100, ..Bounds::default() });
    let mut held = Vec::new();
    let mut given = HashSet::new();
    let first = bench.claims(request(&bench, &slots)).await.claimed;
    assert!(first.len() > 8 && first.len() < SUBSCRIPTIONS, "the places are scarce, but not that scarce");
    for leased in first {
        assert!(given.insert(leased.claimed.target.subscription), "twice, before others had any");
        held.push(leased);
    }
    // Who has had one is not left out when there are places.
    let second = bench.claims(request(&bench, &Slots::new(Bounds::default()))).await.claimed;
    assert!(second.len() > SUBSCRIPTIONS, "{}", second.len());
}
