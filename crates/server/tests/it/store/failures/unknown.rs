//! A commit whose result nobody knows: it took place, or it did not, and neither may matter.

use futures_util::{join, poll};
use inkhook_server::domain::attempt::Recorded;
use inkhook_server::domain::delivery::End;
use inkhook_server::store::StoreError;
use inkhook_server::store::accept::NewEvent;
use inkhook_server::store::faults::{Fault, Point};
use inkhook_server::store::settle::{Next, Settled};
use inkhook_wire::event::EventType;

use super::block_writer;
use crate::support::invariants;
use crate::support::store::{Agent, StoreBench, stored};

/// Where the fault strikes, and whether the group was committed then.
const BOTH: [(Point, bool); 2] = [(Point::Commit, false), (Point::AfterCommit, true)];

async fn subscribed() -> (StoreBench, Agent, inkhook_server::domain::subscription::Subscription) {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let subscription = bench.subscribe(help.admin(), help.by_mail(), &[EventType::MessageReceived]).await;
    (bench, help, subscription)
}

#[tokio::test]
async fn a_publish_that_is_repeated_with_its_key_is_one_event() {
    for (point, committed) in BOTH {
        let (bench, help, _) = subscribed().await;
        let request =
            || NewEvent { idempotency_key: Some("key".into()), request_hash: [1; 32], ..bench.mail(help) };
        bench.faults.push(point, Fault::Unknown);
        let unknown = bench.store().accept(request()).await;
        assert!(matches!(unknown, Err(StoreError::UnknownCommit)), "{unknown:?}");
        let repeated = bench.accept(request()).await;
        assert_eq!((repeated.duplicate, repeated.deliveries), (committed, 1));
        assert_eq!((bench.number("SELECT count(*) FROM events"), bench.queued()), (1, 1));
        invariants::check(&bench);
    }
}

#[tokio::test]
async fn settles_are_written_once() {
    let due = crate::support::START;
    let ends = [
        (Recorded::Succeeded, Next::End(End::Succeeded)),
        (Recorded::Failed, Next::End(End::OutOfAttempts)),
        (Recorded::Failed, Next::Retry { due, maybe_received: true }),
        (Recorded::Unknown, Next::Release { maybe_received: true }),
    ];
    for (point, committed) in BOTH {
        for (recorded, next) in ends {
            let (bench, help, _) = subscribed().await;
            bench.accept_mails(help, 1).await;
            let claimed = bench.claim_one().await;
            bench.faults.push(point, Fault::Unknown);
            let settled = bench.settle(bench.settlement(&claimed, recorded, next)).await;
            assert_eq!(settled, if committed { Settled::Nothing } else { Settled::Done });
            assert_eq!(bench.outcomes(claimed.delivery), [recorded.code()], "{next:?}");
            invariants::check(&bench);
            match next {
                Next::End(end) => assert_eq!(bench.ended(claimed.delivery), Some(stored(end))),
                _ => assert_eq!(bench.claim_one().await.claim_no, 2),
            }
        }
    }
}

#[tokio::test]
async fn accepts_are_refused_while_settles_of_the_same_group_are_written() {
    for (point, committed) in BOTH {
        let (bench, help, _) = subscribed().await;
        bench.accept_mails(help, 1).await;
        let claimed = bench.claim_one().await;
        bench.faults.push(point, Fault::Unknown);
        let blocked = block_writer(&bench.faults);
        let mut both =
            Box::pin(async { join!(bench.succeed(&claimed), bench.store().accept(bench.mail(help))) });
        assert!(poll!(&mut both).is_pending());
        drop(blocked);
        let (settled, accepted) = both.await;
        assert_eq!(settled, if committed { Settled::Nothing } else { Settled::Done });
        assert!(matches!(accepted, Err(StoreError::UnknownCommit)), "{accepted:?}");
        let events = bench.number("SELECT count(*) FROM events");
        assert_eq!(events, if committed { 2 } else { 1 });
        assert_eq!(bench.ended(claimed.delivery), Some(stored(End::Succeeded)));
        invariants::check(&bench);
    }
}

#[tokio::test]
async fn a_settle_whose_result_stays_unknown_is_written_in_the_end() {
    let (bench, help, _) = subscribed().await;
    bench.accept_mails(help, 1).await;
    let claimed = bench.claim_one().await;
    for point in [Point::Commit, Point::Commit, Point::AfterCommit] {
        bench.faults.push(point, Fault::Unknown);
    }
    bench.succeed(&claimed).await;
    assert!(bench.faults.is_spent());
    assert_eq!(bench.outcomes(claimed.delivery), [1]);
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn a_change_is_noticed_if_and_only_if_it_took_place() {
    for (point, committed) in BOTH {
        let (bench, help, subscription) = subscribed().await;
        bench.accept_mails(help, 1).await;
        let claimed = bench.claim_one().await;
        bench.faults.push(point, Fault::Unknown);
        let deleted = bench.store().delete_subscription(help.admin(), subscription.id).await;
        assert!(matches!(deleted, Err(StoreError::UnknownCommit)), "{deleted:?}");
        let generation = claimed.target.generation;
        let may_start = bench.generations.write_if_unchanged(subscription.no, generation, &mut || ());
        assert_eq!(may_start, !committed, "or nothing would ever be sent again");
        let again = bench.store().delete_subscription(help.admin(), subscription.id).await.unwrap();
        assert_eq!(again, !committed);
        assert!(!bench.generations.write_if_unchanged(subscription.no, generation, &mut || ()));
    }
}

#[tokio::test]
async fn a_claim_whose_result_is_unknown_comes_back_when_its_lease_ends() {
    for (point, committed) in BOTH {
        let (bench, help, _) = subscribed().await;
        bench.accept_mails(help, 1).await;
        bench.faults.push(point, Fault::Unknown);
        let claims = bench.store().claim_due(bench.claim_request()).await;
        assert!(matches!(claims, Err(StoreError::UnknownCommit)), "{claims:?}");
        assert_eq!(bench.claim().await.is_empty(), committed);
        bench.clock.advance(std::time::Duration::from_mins(1));
        bench.claim_one().await;
        invariants::check(&bench);
    }
}
