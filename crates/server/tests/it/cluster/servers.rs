//! Trouble with the database itself: it is killed, or its place is taken by its standby.

use tokio::task::block_in_place;

use super::event_of;
use super::world::{CALM, Cluster, DRAIN};
use crate::support::ask::mail_event;
use crate::support::time::{pass, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_killed_and_recovers() {
    let Some(mut cluster) = Cluster::on_a_pair("database killed").await else { return };
    let publishers = cluster.publish();
    for _ in 0..2 {
        pass(CALM).await;
        block_in_place(|| cluster.pair().primary().kill()).expect("it is killed");
        pass(CALM).await;
        cluster.is_ready_or_says(0, Some("database is not reachable")).await;
        block_in_place(|| cluster.pair().primary().restart()).expect("it recovers");
        publishers.go_on().await;
        cluster.all_are_ready().await;
    }
    pass(CALM).await;
    let accepted = publishers.stop().await;
    cluster.check(&accepted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_standby_takes_the_place_of_the_primary_and_back() {
    let Some(mut cluster) = Cluster::on_a_pair("failover").await else { return };
    let publishers = cluster.publish();
    for _ in 0..2 {
        pass(CALM).await;
        block_in_place(|| cluster.pair().fail_over()).expect("the standby is promoted");
        // Nobody tells the nodes: both hosts are in their URL.
        publishers.go_on().await;
        cluster.all_are_ready().await;
        block_in_place(|| cluster.pair().rebuild()).expect("the other follows");
    }
    pass(CALM).await;
    let accepted = publishers.stop().await;
    cluster.check(&accepted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_says_nothing_any_more_is_left_for_the_one_that_does() {
    let Some(mut cluster) = Cluster::on_a_pair("hung").await else { return };
    let publishers = cluster.publish();
    pass(CALM).await;
    // It takes connections, and answers none: as a machine whose disk hangs.
    cluster.ways.iter().for_each(|way| way.to(0).silence());
    block_in_place(|| cluster.pair().fail_over()).expect("the standby is promoted");
    publishers.go_on().await;
    cluster.all_are_ready().await;
    cluster.ways.iter().for_each(|way| way.to(0).mend());
    let accepted = publishers.stop().await;
    cluster.check(&accepted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_has_no_room_and_then_has() {
    let Some(mut cluster) = Cluster::on_a_pair("full").await else { return };
    let publishers = cluster.publish();
    let mut more = Vec::new();
    for round in 0..2 {
        pass(CALM).await;
        let log = cluster.pair().primary().log_file();
        cluster.disk().fill(true);
        if round == 1 {
            // The log needs a new file, and its server cannot go on without.
            drop(block_in_place(|| cluster.pair().primary().ask("SELECT pg_switch_wal()")));
        }
        let (accepted, in_doubt) = until_refused(&cluster, round).await;
        more.extend(accepted);
        pass(CALM).await;
        let said = std::fs::read_to_string(log).expect("the server's log");
        assert!(said.contains("No space left on device"), "{said}");
        assert!(round == 0 || said.contains("PANIC"), "{said}");
        cluster.disk().fill(false);
        block_in_place(|| cluster.pair().revive()).expect("they start");
        publishers.go_on().await;
        cluster.all_are_ready().await;
        // It may have been committed all the same: whoever asks again is told.
        let (status, answer) = publish(&cluster, &in_doubt).await;
        assert_eq!(status, 202, "{answer}");
        more.push(event_of(&answer));
    }
    let accepted = [publishers.stop().await, more].concat();
    cluster.check(&accepted).await;
}

/// Publishes one event under a key of its own.
async fn publish(cluster: &Cluster, subject: &str) -> (u16, serde_json::Value) {
    let body = mail_event(&cluster.mailbox, "message.received", subject);
    let headers = [("Idempotency-Key", subject)];
    cluster.apis()[0].ask("POST", "/api/v1/events", &headers, Some(&body)).await.expect("it answers")
}

/// Publishes until that is refused as it should be; what was accepted before, and what was refused.
async fn until_refused(cluster: &Cluster, round: usize) -> (Vec<String>, String) {
    let (api, mut accepted) = (&cluster.apis()[0], Vec::new());
    let refused = until("publishes to be refused", DRAIN, async || {
        let subject = format!("more-{round}-{}", accepted.len());
        let headers = [("Idempotency-Key", subject.as_str())];
        let body = mail_event(&cluster.mailbox, "message.received", &subject);
        let post = ("POST", "/api/v1/events");
        match api.ask_for("retry-after", post, &headers, Some(&body)).await.expect("it answers") {
            (202, answer, _) => accepted.push(event_of(&answer)),
            (503, _, retry_after) => {
                let seconds = retry_after.expect("it says when");
                assert!(seconds.parse().is_ok_and(|seconds: u32| seconds > 0), "{seconds}");
                return Some(subject);
            }
            other => panic!("{other:?}"),
        }
        None
    })
    .await;
    (accepted, refused)
}
