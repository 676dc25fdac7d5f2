//! What a delete or a narrowed subscription leaves for the janitor.

use inkhook_server::domain::delivery::End;
use inkhook_server::store::cancel::{CHUNK_ROWS, Tidied};
use inkhook_server::store::settle::Next;
use inkhook_wire::event::EventType;

use crate::support::invariants;
use crate::support::store::{StoreBench, stored};

const RECEIVED: EventType = EventType::MessageReceived;
const SENT: EventType = EventType::MessageSent;

#[tokio::test]
async fn a_chunk_is_bounded_and_the_chunks_end_everything() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let queued = 2 * CHUNK_ROWS + 1;
    bench.accept_mails(help, queued).await;
    bench.delete(help.admin(), &subscription).await;
    let mut left = i64::try_from(queued).unwrap();
    while bench.store().cancel_chunk().await.unwrap() == Tidied::More {
        let ended = left - bench.queued();
        assert!(ended <= i64::try_from(CHUNK_ROWS).unwrap(), "{ended} in one chunk");
        left -= ended;
        invariants::check(&bench);
    }
    assert_eq!(left, 0);
    let ends = bench.rows("SELECT DISTINCT state, reason FROM deliveries");
    let (state, reason) = stored(End::SubscriptionDeleted);
    assert_eq!(ends, [[state.into(), reason.unwrap().into()]]);
    assert_eq!(bench.store().cancel_chunk().await.unwrap(), Tidied::Nothing);
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn a_narrowed_subscription_keeps_what_it_still_selects() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED, SENT]).await;
    for _ in 0..CHUNK_ROWS {
        bench.accept(bench.event(help.organization, help.by_mail(), SENT)).await;
        bench.accept(bench.mail(help)).await;
    }
    bench.select(help.admin(), &subscription, &[SENT]).await;
    assert_eq!(bench.tidy().await, 3, "two chunks of rows, and one that finds no more");
    let kept = bench.rows("SELECT DISTINCT event_type FROM queue");
    assert_eq!(kept, [[i64::from(SENT.code()).into()]]);
    assert_eq!(bench.queued(), i64::try_from(CHUNK_ROWS).unwrap());
    invariants::check(&bench);
}

#[tokio::test]
async fn what_is_in_flight_keeps_its_claim_open_until_it_is_settled() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    bench.accept_mails(help, 1).await;
    let claimed = bench.claim_one().await;
    bench.delete(help.admin(), &subscription).await;
    bench.tidy().await;
    assert_eq!(bench.ended(claimed.delivery), Some(stored(End::SubscriptionDeleted)));
    assert_eq!(bench.number("SELECT open_claim FROM deliveries"), i64::from(claimed.claim_no));
    bench.fail(&claimed, Next::Release { maybe_received: true }).await;
    assert_eq!(bench.outcomes(claimed.delivery), [2]);
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn a_process_lost_after_the_chunk_leaves_an_attempt_that_nobody_knows_of() {
    let mut bench = StoreBench::new();
    let help = bench.agent("help").await;
    let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    bench.accept_mails(help, 1).await;
    let claimed = bench.claim_one().await;
    bench.delete(help.admin(), &subscription).await;
    bench.tidy().await;
    bench.restart().await;
    assert_eq!(bench.outcomes(claimed.delivery), [3]);
    assert_eq!(bench.ended(claimed.delivery), Some(stored(End::SubscriptionDeleted)));
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn a_process_lost_before_the_chunk_leaves_an_attempt_that_nobody_knows_of() {
    for deleted in [true, false] {
        let mut bench = StoreBench::new();
        let help = bench.agent("help").await;
        let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED, SENT]).await;
        bench.accept_mails(help, 1).await;
        let claimed = bench.claim_one().await;
        if deleted {
            bench.delete(help.admin(), &subscription).await;
        } else {
            bench.select(help.admin(), &subscription, &[SENT]).await;
        }
        bench.restart().await;
        bench.tidy().await;
        assert_eq!(bench.outcomes(claimed.delivery), [3], "deleted: {deleted}");
        invariants::check_at_rest(&bench);
    }
}

#[tokio::test]
async fn a_process_lost_between_two_chunks_leaves_nothing_behind() {
    let mut bench = StoreBench::new();
    let help = bench.agent("help").await;
    let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    bench.accept_mails(help, 2 * CHUNK_ROWS).await;
    let oldest = bench.claimed_within(bench.request_within(1, 1)).await.remove(0);
    bench.delete(help.admin(), &subscription).await;
    assert_eq!(bench.store().cancel_chunk().await.unwrap(), Tidied::More);
    // The lease that is freed at the start goes to the front of the queue: behind the janitor's place.
    bench.restart().await;
    bench.tidy().await;
    assert!(bench.claim().await.is_empty());
    assert_eq!(bench.ended(oldest.delivery), Some(stored(End::SubscriptionDeleted)));
    invariants::check_at_rest(&bench);
}
