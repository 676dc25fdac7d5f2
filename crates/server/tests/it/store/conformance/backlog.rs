//! What an organisation has queued is counted, and beyond its limit nothing more is taken.

use inkhook_server::domain::metrics::Refusal;
use inkhook_server::store::backlog::{BacklogLimit, CHUNK_ROWS};
use inkhook_server::store::cancel::Tidied;
use inkhook_server::store::faults::{Fault, Point};
use inkhook_server::store::{StoreError, StoreLimits};
use inkhook_wire::event::EventType;

use crate::support::books::needs_a_file;
use crate::support::store::{Agent, StoreBench};

const RECEIVED: EventType = EventType::MessageReceived;

async fn limited(deliveries: u64, bytes: u64) -> (StoreBench, Agent) {
    let mut bench = StoreBench::new();
    bench.limits = StoreLimits { backlog: BacklogLimit { deliveries, bytes }, ..bench.limits };
    bench.restart().await;
    let help = bench.agent("help").await;
    bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    (bench, help)
}

#[tokio::test]
async fn one_event_beyond_the_limit_is_refused_until_something_has_ended() {
    let (bench, help) = limited(3, u64::MAX).await;
    let other = bench.agent("other").await;
    bench.subscribe(other.admin(), other.by_mail(), &[RECEIVED]).await;
    bench.accept_mails(help, 3).await;
    let refused = bench.store().accept(bench.mail(help)).await;
    assert!(matches!(refused, Err(StoreError::TooManyQueued(3))), "{refused:?}");
    assert_eq!(bench.store().metrics().refusals(Refusal::Backlog), 1);
    bench.accept_mails(other, 1).await;
    let claimed = bench.claim().await;
    bench.succeed(&claimed[0]).await;
    bench.accept_mails(help, 1).await;
    bench.store().limit_backlog(help.organization, Some(4));
    bench.accept_mails(help, 1).await;
    bench.store().limit_backlog(help.organization, None);
    assert!(matches!(bench.store().accept(bench.mail(help)).await, Err(StoreError::TooManyQueued(3))));
}

#[tokio::test]
async fn bytes_are_limited_too() {
    let (bench, help) = limited(u64::MAX, 1_000_000).await;
    let mut large = bench.mail(help);
    large.payload = vec![b' '; 400_000].into();
    for _ in 0..3 {
        let mut event = bench.mail(help);
        event.payload.clone_from(&large.payload);
        bench.accept(event).await;
    }
    let refused = bench.store().accept(large).await;
    assert!(matches!(refused, Err(StoreError::TooMuchQueued(1_000_000))), "{refused:?}");
    for claimed in bench.claim().await {
        bench.succeed(&claimed).await;
    }
    assert_eq!(bench.store().backlog(help.organization), (0, 0));
}

#[tokio::test]
async fn what_an_earlier_process_left_is_counted_in_chunks_and_exactly() {
    if !needs_a_file("counting in chunks what was there before") {
        return;
    }
    let (mut bench, help) = limited(u64::MAX, u64::MAX).await;
    let before = CHUNK_ROWS + 10;
    bench.accept_mails(help, before).await;
    bench.restart().await;
    let queued = |bench: &StoreBench| usize::try_from(bench.store().backlog(help.organization).0).unwrap();
    assert_eq!(queued(&bench), 0, "a start does not wait for it");
    bench.accept_mails(help, 5).await;
    // Some of what is not counted yet ends: the first and the last of it.
    let request = bench.claim_request();
    let claimed = bench.claimed_within(request).await;
    assert_eq!(claimed.len(), before + 5);
    bench.succeed(&claimed[0]).await;
    bench.succeed(&claimed[before - 1]).await;
    bench.succeed(&claimed[before]).await;
    assert_eq!(queued(&bench), 4, "of its own five, one has ended");
    assert_eq!(bench.store().count_backlog_chunk().await.unwrap(), Tidied::More);
    assert_eq!(queued(&bench), 4 + CHUNK_ROWS);
    bench.succeed(&claimed[1]).await;
    bench.succeed(&claimed[before - 2]).await;
    assert_eq!(queued(&bench), 3 + CHUNK_ROWS, "one was counted, the other was not");
    assert_eq!(bench.store().count_backlog_chunk().await.unwrap(), Tidied::Nothing);
    assert_eq!(i64::try_from(queued(&bench)).unwrap(), bench.queued());
    assert_eq!(bench.store().metrics().queued.get(), bench.queued());
    assert_eq!(bench.store().count_backlog_chunk().await.unwrap(), Tidied::Nothing);
}

#[tokio::test]
async fn after_a_commit_that_nobody_knows_of_everything_is_counted_again() {
    for point in [Point::Commit, Point::AfterCommit] {
        let (bench, help) = limited(u64::MAX, u64::MAX).await;
        bench.accept_mails(help, 2).await;
        bench.faults.push(point, Fault::Unknown);
        let unknown = bench.store().accept(bench.mail(help)).await;
        assert!(matches!(unknown, Err(StoreError::UnknownCommit)), "{unknown:?}");
        bench.accept_mails(help, 1).await;
        while bench.store().count_backlog_chunk().await.unwrap() == Tidied::More {}
        if bench.store().is_shared() {
            bench.store().recount_backlog().await.unwrap();
        }
        assert_eq!(i64::try_from(bench.store().backlog(help.organization).0).unwrap(), bench.queued());
    }
}

#[tokio::test]
async fn a_group_that_is_rolled_back_counts_nothing() {
    let (bench, help) = limited(u64::MAX, u64::MAX).await;
    bench.faults.push(Point::Accept, Fault::Statement);
    bench.faults.push(Point::Accept, Fault::Statement);
    assert!(bench.store().accept(bench.mail(help)).await.is_err());
    assert_eq!((bench.store().backlog(help.organization), bench.queued()), ((0, 0), 0));
    assert_eq!(bench.store().metrics().accepted.get(), 0);
}
