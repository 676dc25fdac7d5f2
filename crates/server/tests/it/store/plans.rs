//! On a database server: a statement looks at the rows that it is about, although its plan was made while there were no
//! others.

use futures_util::future::join_all;
use inkhook_server::store::settle::Next;
use inkhook_wire::event::EventType::MessageReceived as RECEIVED;

use super::nodes::nodes;
use crate::support::books::Books;
use crate::support::store::{Agent, StoreBench};
use crate::support::time::until;
use crate::support::{PATIENCE, invariants};

/// Rows of the queue that statements have looked at, and rows that they have taken out of it, as far as it is counted.
const LOOKED_AT: &str = "SELECT seq_tup_read
        + (SELECT CAST(sum(idx_tup_read) AS BIGINT) FROM pg_stat_user_indexes WHERE relname = 'queue')
    FROM pg_stat_user_tables WHERE relname = 'queue'";
/// Rows that were fetched after a bitmap had been made of where they are, which for one row costs more than to find it.
const BY_BITMAP: &str = "SELECT idx_tup_fetch
        - (SELECT CAST(sum(idx_tup_fetch) AS BIGINT) FROM pg_stat_user_indexes WHERE relname = 'queue')
    FROM pg_stat_user_tables WHERE relname = 'queue'";
const TAKEN_OUT: &str = "SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 'queue'";

/// Rows that the server believes the queue to have.
const BELIEVED: &str = "SELECT CAST(reltuples AS BIGINT) FROM pg_class WHERE relname = 'queue'";

/// Others' deliveries that are under way, and as many that wait.
const OTHERS: usize = 1_000;
const DELIVERED: usize = 64;
/// Rows that a delivery may cost to look at, from its acceptance to its end; there are about 16.
const AT_MOST_EACH: i64 = 25;

/// Sends so many mails, every other one of which fails once.
async fn deliver(one: &StoreBench, help: Agent) {
    one.accept_mails(help, DELIVERED).await;
    let claimed = one.claim().await;
    assert_eq!(claimed.len(), DELIVERED, "nobody else's is due");
    let again = Next::Retry { due: one.clock.schedule(), maybe_received: true };
    let settled = claimed.iter().enumerate().map(async |(number, claimed)| match number % 2 {
        0 => one.fail(claimed, again).await,
        _ => one.succeed(claimed).await,
    });
    join_all(settled).await;
    let again = one.claim().await;
    assert_eq!(again.len(), DELIVERED / 2);
    join_all(again.iter().map(|claimed| one.succeed(claimed))).await;
}

/// What was looked at, when all that was taken out has been counted.
async fn looked_at(one: &StoreBench, nobody: Agent, taken_out: i64) -> i64 {
    until("the server to have counted", PATIENCE, async || {
        // A session tells what it counted with one of its next transactions.
        one.accept_mails(nobody, 1).await;
        (one.number(TAKEN_OUT) >= taken_out).then_some(())
    })
    .await;
    one.number(LOOKED_AT)
}

/// Has the server look at the queue again, if it believes it to be empty.
async fn refreshed(one: &StoreBench) {
    until("statistics to be refreshed", PATIENCE, async || {
        // A session tells what it counted with one of its next transactions.
        one.claim().await;
        one.store().refresh_statistics().await.expect("asked");
        (!(0..=10).contains(&one.number(BELIEVED))).then_some(())
    })
    .await;
}

/// A delivery beside many others, whose plans were made before there were any. A server that believes by then that there
/// are none is told better in time.
async fn looks_at_few(before_the_others: impl AsyncFnOnce(&StoreBench)) {
    let Some((one, _, help)) = nodes().await else { return };
    let (busy, idle) = (one.agent("busy").await, one.agent("idle").await);
    let nobody = one.agent("nobody").await;
    one.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let (before, by_bitmap) = (one.number(TAKEN_OUT), one.number(BY_BITMAP));
    let delivered = i64::try_from(DELIVERED).expect("a few");
    deliver(&one, help).await;
    before_the_others(&one).await;

    one.subscribe(busy.admin(), busy.by_mail(), &[RECEIVED]).await;
    let paused = one.subscribe(idle.admin(), idle.by_mail(), &[RECEIVED]).await;
    one.store().pause_subscription(idle.admin(), paused.id).await.expect("stored");
    one.accept_mails(idle, OTHERS).await;
    one.accept_mails(busy, OTHERS).await;
    let mut under_way = 0;
    while under_way < OTHERS {
        under_way += one.claim().await.len();
    }
    refreshed(&one).await;

    let looked_at_before = looked_at(&one, nobody, before + delivered).await;
    deliver(&one, help).await;
    let looked_at = looked_at(&one, nobody, before + 2 * delivered).await - looked_at_before;
    assert!(looked_at <= AT_MOST_EACH * delivered, "{looked_at} rows for {delivered} deliveries");
    // A table and its indexes are not counted in the same moment.
    until("what was fetched to be counted as found by an index alone", PATIENCE, async || {
        (one.number(BY_BITMAP) == by_bitmap).then_some(())
    })
    .await;
    invariants::check(&one);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_looks_at_no_more_of_the_queue_when_it_is_long() {
    looks_at_few(async |_| {}).await;
}

/// A vacuum of a queue that had drained leaves it as empty to whoever makes plans, until it is looked at again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_had_drained_is_not_believed_to_be_empty_for_long() {
    looks_at_few(async |one| {
        let Books::Server(database) = &*one.books else { unreachable!("it has a server") };
        let vacuum = database.connect().await;
        vacuum.batch_execute("VACUUM (ANALYZE, TRUNCATE off) queue").await.expect("vacuumed");
        assert_eq!(one.number(BELIEVED), 0);
    })
    .await;
}
