//! A disk that is full, and a disk that refuses.

use std::process::Command;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{join, poll};
use inkhook_server::domain::attempt::Recorded;
use inkhook_server::domain::delivery::{Claimed, End};
use inkhook_server::store::StoreError;
use inkhook_server::store::accept::{Accept, NewEvent};
use inkhook_server::store::faults::{Fault, Point};
use inkhook_server::store::settle::{Next, Settled, Settlement};
use inkhook_wire::event::EventType;

use super::block_writer;
use crate::support::books::needs_a_file;
use crate::support::invariants;
use crate::support::store::{Agent, StoreBench, stored};

/// Where the child of the test on a small disk works.
const SMALL_DISK: &str = "INKHOOK_TEST_SMALL_DISK";
const PATIENCE: Duration = Duration::from_secs(20);

async fn subscribed(bench: StoreBench) -> (StoreBench, Agent) {
    let help = bench.agent("help").await;
    bench.subscribe(help.admin(), help.by_mail(), &[EventType::MessageReceived]).await;
    (bench, help)
}

fn large(bench: &StoreBench, agent: Agent) -> NewEvent {
    NewEvent { payload: Bytes::from(vec![b' '; 64 * 1024]), ..bench.mail(agent) }
}

/// An end whose answer takes more room than the disk has left.
fn large_end(bench: &StoreBench, claimed: &Claimed) -> Settlement {
    let mut settlement = bench.settlement(claimed, Recorded::Failed, Next::End(End::OutOfAttempts));
    if let Some(attempt) = &mut settlement.attempt {
        attempt.response_body = Some(Bytes::from(vec![b' '; 1024 * 1024]));
    }
    settlement
}

#[tokio::test]
async fn a_full_disk_refuses_publishes_and_claims_keeps_settles_and_goes_on_by_itself() {
    let (bench, help) = subscribed(StoreBench::new()).await;
    bench.accept_mails(help, 2).await;
    let claimed = bench.claimed_within(bench.request_within(1, 1)).await.remove(0);
    (0..3).for_each(|_| bench.faults.push(Point::Commit, Fault::Full));
    let refused = bench.store().accept(bench.mail(help)).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    // The settle is tried with what comes after it, and must wait for the third commit from here.
    let blocked = block_writer(&bench.faults);
    let mut all = Box::pin(async {
        join!(
            bench.succeed(&claimed),
            bench.store().claim_due(bench.claim_request()),
            bench.store().accept(bench.mail(help))
        )
    });
    assert!(poll!(&mut all).is_pending());
    drop(blocked);
    let (settled, claims, accepted) = all.await;
    assert!(bench.faults.is_spent());
    assert_eq!(settled, Settled::Done);
    assert!(matches!(claims, Err(StoreError::Full)), "{claims:?}");
    assert!(matches!(accepted, Err(StoreError::Full)), "{accepted:?}");
    assert_eq!(bench.ended(claimed.delivery), Some(stored(End::Succeeded)));
    bench.accept_mails(help, 1).await;
    assert_eq!(bench.claim().await.len(), 2);
    assert_eq!(bench.number("SELECT count(*) FROM events"), 3);
    invariants::check(&bench);
}

/// What was kept is tried again, does not learn what came of it, and then there is no room once more: whoever came
/// meanwhile is told, and does not wait for as long as that lasts.
#[tokio::test]
async fn who_publishes_while_a_full_disk_is_tried_again_is_refused_at_once() {
    let (bench, help) = subscribed(StoreBench::new()).await;
    bench.accept_mails(help, 1).await;
    let claimed = bench.claim_one().await;
    // The last three give the second publish as many seconds to come.
    for fault in [Fault::Full, Fault::Unknown, Fault::Full, Fault::Full, Fault::Full] {
        bench.faults.push(Point::Commit, fault);
    }
    let blocked = block_writer(&bench.faults);
    let mut settled = Box::pin(bench.succeed(&claimed));
    assert!(poll!(&mut settled).is_pending());
    let mut refused = Box::pin(bench.store().accept(bench.mail(help)));
    assert!(poll!(&mut refused).is_pending());
    drop(blocked);
    let refused = refused.await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    let refused = bench.store().accept(bench.mail(help)).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    assert_eq!(settled.await, Settled::Done);
    assert!(bench.faults.is_spent());
    invariants::check(&bench);
}

/// The same when an end is written once more, without its text, and there is no room for that either.
#[tokio::test]
async fn who_comes_after_an_end_that_finds_no_room_is_refused_at_once() {
    let (bench, help) = subscribed(StoreBench::new()).await;
    bench.accept_mails(help, 1).await;
    let claimed = bench.claim_one().await;
    (0..2).for_each(|_| bench.faults.push(Point::Settle, Fault::Statement));
    (0..2).for_each(|_| bench.faults.push(Point::Commit, Fault::Full));
    let blocked = block_writer(&bench.faults);
    let mut both = Box::pin(async {
        join!(bench.settle(large_end(&bench, &claimed)), bench.store().accept(bench.mail(help)))
    });
    assert!(poll!(&mut both).is_pending());
    drop(blocked);
    let (settled, refused) = both.await;
    assert_eq!(settled, Settled::Done);
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    assert!(bench.faults.is_spent());
    invariants::check(&bench);
}

#[tokio::test]
async fn nothing_hangs_when_the_store_is_closed_while_its_disk_is_full() {
    let (bench, help) = subscribed(StoreBench::new()).await;
    bench.accept_mails(help, 1).await;
    let claimed = bench.claim_one().await;
    (0..100).for_each(|_| bench.faults.push(Point::Commit, Fault::Full));
    let settlement = bench.settlement(&claimed, Recorded::Failed, Next::End(End::OutOfAttempts));
    let (settled, ()) = join!(bench.store().settle(settlement), bench.store().close());
    assert!(matches!(settled, Err(StoreError::Full)), "{settled:?}");
}

#[tokio::test]
async fn a_database_that_cannot_grow_takes_what_waited_when_it_can() {
    if !needs_a_file("a limit of pages") {
        return;
    }
    let (bench, help) = subscribed(StoreBench::new()).await;
    bench.accept_mails(help, 1).await;
    let claimed = bench.claim_one().await;
    let pages = bench.number("SELECT page_count + 64 FROM pragma_page_count()");
    bench.faults.limit_pages(Some(u32::try_from(pages).unwrap()));
    let accepted = fill(&bench, help).await;
    assert!(accepted > 0);
    let mut settled = Box::pin(bench.store().settle(large_end(&bench, &claimed)));
    assert!(poll!(&mut settled).is_pending());
    let refused = bench.store().accept(large(&bench, help)).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    assert!(poll!(&mut settled).is_pending(), "kept");
    bench.faults.limit_pages(None);
    let settled = tokio::time::timeout(PATIENCE, settled).await.expect("written when there is room");
    assert_eq!(settled.unwrap(), Settled::Done);
    assert_eq!(bench.number("SELECT length(response_body) FROM attempts"), 1024 * 1024);
    assert!(matches!(bench.store().accept(large(&bench, help)).await, Ok(Accept::Accepted(_))));
    assert_eq!(bench.number("SELECT count(*) FROM events"), accepted + 2);
    invariants::check(&bench);
}

/// Accepts until nothing goes in any more; how many went.
async fn fill(bench: &StoreBench, agent: Agent) -> i64 {
    for accepted in 0.. {
        match bench.store().accept(large(bench, agent)).await {
            Ok(Accept::Accepted(_)) => {}
            Err(StoreError::Full) => return accepted,
            other => panic!("{other:?}"),
        }
    }
    unreachable!("a disk ends")
}

#[test]
fn a_real_disk_without_room_refuses_keeps_and_goes_on() {
    if !needs_a_file("a disk of its own") {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let name = "store::failures::disk::on_a_small_disk";
    let script = "mount -t tmpfs -o size=3m tmpfs \"$1\" && exec \"$2\" --exact \"$3\" --ignored --nocapture";
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script, "sh"]).arg(directory.path());
    command.arg(std::env::current_exe().expect("this test")).arg(name).env(SMALL_DISK, directory.path());
    let mut may_mount = Command::new("unshare");
    may_mount.args(["-rm", "mount", "-t", "tmpfs", "tmpfs"]).arg(directory.path());
    if !may_mount.output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: a small disk cannot be mounted here");
        return;
    }
    let output = command.output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{output:?}");
}

#[tokio::test]
#[ignore = "runs on the small disk that the test above mounts"]
async fn on_a_small_disk() {
    let Some(disk) = std::env::var_os(SMALL_DISK) else { return };
    let directory = tempfile::tempdir_in(&disk).expect("a directory on it");
    let ballast = std::path::Path::new(&disk).join("ballast");
    let (mut bench, help) = subscribed(StoreBench::in_directory(directory)).await;
    bench.accept_mails(help, 2).await;
    let claimed = bench.claimed_within(bench.request_within(1, 1)).await.remove(0);
    // To the last byte, so that not even a page fits.
    let mut file = std::fs::File::create(&ballast).expect("a file");
    while std::io::Write::write(&mut file, &[0; 4096]).is_ok_and(|written| written > 0) {}
    let refused = bench.store().accept(large(&bench, help)).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    let mut settled = Box::pin(bench.store().settle(large_end(&bench, &claimed)));
    assert!(poll!(&mut settled).is_pending());
    let claims = bench.store().claim_due(bench.claim_request()).await;
    assert!(matches!(claims, Err(StoreError::Full)), "{claims:?}");
    let seen = bench.store().events(help.admin(), crate::store::conformance::lists::events_page()).await;
    assert_eq!(seen.expect("reading goes on").len(), 2);
    assert!(matches!(poll!(&mut settled), Poll::Pending), "kept");
    std::fs::remove_file(&ballast).expect("room again");
    drop(file);
    let settled = tokio::time::timeout(PATIENCE, settled).await.expect("written when there is room");
    assert_eq!(settled.unwrap(), Settled::Done);
    bench.accept_mails(help, 1).await;
    let rest = bench.claim().await;
    assert_eq!(rest.len(), 2);
    for claimed in &rest {
        bench.succeed(claimed).await;
    }
    invariants::check_at_rest(&bench);
    bench.restart().await;
    assert_eq!(bench.number("SELECT count(*) FROM events"), 3);
    assert_eq!(bench.rows("PRAGMA integrity_check"), [[rusqlite::types::Value::from("ok".to_owned())]]);
}

#[tokio::test]
async fn a_sync_that_fails_ends_the_store_with_nothing_half_written() {
    let (mut bench, help) = subscribed(StoreBench::new()).await;
    bench.accept_mails(help, 1).await;
    let claimed = bench.claim_one().await;
    let before = bench.rows("SELECT * FROM queue");
    bench.faults.push(Point::Commit, Fault::Io);
    let blocked = block_writer(&bench.faults);
    let settlement = bench.settlement(&claimed, Recorded::Succeeded, Next::End(End::Succeeded));
    let mut all = Box::pin(async {
        join!(
            bench.store().accept(bench.mail(help)),
            bench.store().settle(settlement),
            bench.store().create_organization("other".into()),
            bench.store().cancel_chunk(),
        )
    });
    assert!(poll!(&mut all).is_pending());
    drop(blocked);
    let (accepted, settled, created, tidied) = all.await;
    assert!(matches!(accepted, Err(StoreError::Closed)), "{accepted:?}");
    assert!(matches!(settled, Err(StoreError::Closed)), "{settled:?}");
    assert!(matches!(created, Err(StoreError::Closed)), "{created:?}");
    assert!(matches!(tidied, Err(StoreError::Closed)), "{tidied:?}");
    tokio::time::timeout(PATIENCE, bench.store().failed()).await.expect("the process is told to end");
    assert!(matches!(bench.store().probe().await, Err(StoreError::Closed)));
    assert!(matches!(bench.store().accept(bench.mail(help)).await, Err(StoreError::Closed)));
    assert_eq!(bench.rows("SELECT * FROM queue"), before);
    bench.restart().await;
    assert_eq!(bench.number("SELECT count(*) FROM events"), 1);
    assert_eq!(bench.number("SELECT count(*) FROM organizations"), 1);
    let again = bench.claim_one().await;
    assert!(again.maybe_received, "its attempt is one that nobody knows of");
    bench.succeed(&again).await;
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn settles_that_wait_for_room_are_told_when_the_disk_then_refuses() {
    let (bench, help) = subscribed(StoreBench::new()).await;
    bench.accept_mails(help, 1).await;
    let claimed = bench.claim_one().await;
    bench.faults.push(Point::Commit, Fault::Full);
    bench.faults.push(Point::Commit, Fault::Io);
    let settlement = bench.settlement(&claimed, Recorded::Failed, Next::End(End::OutOfAttempts));
    let settled = bench.store().settle(settlement).await;
    assert!(matches!(settled, Err(StoreError::Closed)), "{settled:?}");
    tokio::time::timeout(PATIENCE, bench.store().failed()).await.expect("the process is told to end");
}
