//! Replays: one more delivery of an event, under a request id of its own.

use std::time::Duration;

use inkhook_server::domain::attempt::Recorded;
use inkhook_server::domain::delivery::{Class, End};
use inkhook_server::store::attempts::ByHand;
use inkhook_server::store::attempts::ManualEnd;
use inkhook_server::store::replay::Replay;
use inkhook_server::store::settle::Next;
use inkhook_wire::event::EventType;
use inkhook_wire::id::AttemptId;

use super::lists::page;
use crate::support::invariants;
use crate::support::store::{Agent, StoreBench, stored};

const RECEIVED: EventType = EventType::MessageReceived;
const SENT: EventType = EventType::MessageSent;

async fn one_attempted() -> (StoreBench, Agent, inkhook_server::domain::subscription::Subscription, AttemptId)
{
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED, SENT]).await;
    let mut event = bench.mail(help);
    event.expires_at = Some(bench.clock.wall().after(Duration::from_mins(1)));
    bench.accept(event).await;
    let claimed = bench.claim_one().await;
    bench.fail(&claimed, Next::End(End::OutOfAttempts)).await;
    let attempt = bench.store().attempts(help.admin(), page()).await.unwrap()[0].id;
    (bench, help, subscription, attempt)
}

#[tokio::test]
async fn a_replay_is_a_delivery_of_its_own_and_can_be_replayed() {
    let (bench, help, _, first) = one_attempted().await;
    let mut attempt = first;
    let mut request_ids = Vec::new();
    let event = bench.store().attempt(help.admin(), first).await.unwrap().unwrap().event_id().unwrap();
    for _ in 0..2 {
        let replay = bench.store().replay(help.admin(), attempt).await.unwrap();
        let Replay::Queued(delivery, request_id) = replay else { panic!("{replay:?}") };
        request_ids.push(request_id);
        let waiting = bench.store().manual_attempt(help.admin(), delivery).await.unwrap();
        assert!(matches!(waiting, ManualEnd::Waiting));
        let claimed = bench.claim_one().await;
        assert_eq!((claimed.delivery, claimed.class, claimed.event.id), (delivery, Class::Manual, event));
        assert_eq!((claimed.request_id, claimed.attempt_no), (request_id, 1));
        bench.fail(&claimed, Next::End(End::OutOfAttempts)).await;
        let ended = bench.store().manual_attempt(help.admin(), delivery).await.unwrap();
        let ManualEnd::Attempted(line) = ended else { panic!("{ended:?}") };
        assert!(
            line.by_hand == Some(ByHand::Replay)
                && line.event_id() == Some(event)
                && line.recorded == Recorded::Failed
        );
        attempt = line.id;
    }
    assert_ne!(request_ids[0], request_ids[1]);
    let shown = bench.store().event(help.admin(), event).await.unwrap().unwrap();
    let replays: Vec<bool> = shown.deliveries.iter().map(|delivery| delivery.is_replay).collect();
    assert_eq!(replays, [false, true, true]);
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_by_name_and_leaves_nothing() {
    let (bench, help, subscription, attempt) = one_attempted().await;
    let (other, colleague) =
        (bench.agent("other").await, bench.agent_of(help.organization, "colleague").await);
    let replay = async |scope, attempt| bench.store().replay(scope, attempt).await.unwrap();
    assert_eq!(replay(other.admin(), attempt).await, Replay::NotFound);
    assert_eq!(replay(colleague.scope(), attempt).await, Replay::NotFound);
    assert_eq!(replay(help.admin(), bench.entropy.uuid().into()).await, Replay::NotFound);
    bench.select(help.admin(), &subscription, &[SENT]).await;
    assert_eq!(replay(help.admin(), attempt).await, Replay::TypeNotSelected);
    bench.select(help.admin(), &subscription, &[RECEIVED]).await;
    bench.clock.advance(Duration::from_mins(1));
    assert_eq!(replay(help.admin(), attempt).await, Replay::EventExpired);
    bench.delete(help.admin(), &subscription).await;
    assert_eq!(replay(help.scope(), attempt).await, Replay::SubscriptionDeleted);
    assert_eq!(bench.queued(), 0);
}

#[tokio::test]
async fn a_replay_that_was_cancelled_or_expired_before_it_started_has_ended_without_an_attempt() {
    for expired in [true, false] {
        let (bench, help, subscription, attempt) = one_attempted().await;
        let replay = bench.store().replay(help.admin(), attempt).await.unwrap();
        let Replay::Queued(delivery, _) = replay else { panic!("{replay:?}") };
        if expired {
            bench.clock.advance(Duration::from_mins(1));
            let claims = bench.claims(bench.claim_request()).await;
            assert!(claims.ended_manual, "whoever waits is told");
        } else {
            bench.delete(help.admin(), &subscription).await;
            bench.tidy().await;
        }
        let ended = bench.store().manual_attempt(help.admin(), delivery).await.unwrap();
        assert!(matches!(ended, ManualEnd::Ended), "{ended:?}");
        let end = if expired { End::EventExpired } else { End::SubscriptionDeleted };
        assert_eq!(bench.ended(delivery), Some(stored(end)));
        invariants::check_at_rest(&bench);
    }
}

#[tokio::test]
async fn a_replay_does_not_come_back_with_its_type() {
    let (bench, help, subscription, attempt) = one_attempted().await;
    bench.store().replay(help.admin(), attempt).await.unwrap();
    bench.select(help.admin(), &subscription, &[SENT]).await;
    bench.select(help.admin(), &subscription, &[RECEIVED, SENT]).await;
    assert!(bench.claim().await.is_empty());
    bench.store().replay(help.admin(), attempt).await.unwrap();
    bench.claim_one().await;
}
