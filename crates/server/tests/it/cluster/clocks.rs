//! Clocks that are wrong: up to the bound every promise holds; beyond it a node claims nothing until it is right.

use super::world::{CALM, Cluster, DRAIN, LEASE};
use crate::support::time::{pass, until};

/// Within the bound of 2 s, with something left for the time that asking takes.
const WITHIN_MS: i64 = 1_900;
const BEYOND_MS: i64 = 15_000;

fn can_be_wrong() -> bool {
    if !cfg!(feature = "failpoints") {
        println!("skipped: only a build with the feature failpoints has a clock that can be wrong");
    }
    cfg!(feature = "failpoints")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_are_wrong_by_the_bound() {
    if !can_be_wrong() {
        return;
    }
    let Some(mut cluster) = Cluster::start("skewed").await else { return };
    let publishers = cluster.publish();
    // One is ahead and one behind: four seconds between them. At work, and again from the start on.
    cluster.skew(0, WITHIN_MS);
    cluster.skew(1, -WITHIN_MS);
    pass(2 * CALM).await;
    for node in 0..2 {
        cluster.roll(node, &publishers);
    }
    pass(2 * CALM).await;
    cluster.all_are_ready().await;
    cluster.kill(2);
    pass(LEASE).await;
    cluster.restart(2, &publishers);
    cluster.skew(0, -WITHIN_MS);
    cluster.skew(1, WITHIN_MS);
    pass(2 * CALM).await;
    let accepted = publishers.stop().await;
    cluster.check(&accepted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_beyond_the_bound_keeps_its_node_from_claiming_until_it_is_right() {
    if !can_be_wrong() {
        return;
    }
    let Some(mut cluster) = Cluster::start("far off").await else { return };
    let publishers = cluster.publish();
    pass(CALM).await;
    for ahead_ms in [BEYOND_MS, -BEYOND_MS] {
        cluster.skew(0, ahead_ms);
        cluster.is_ready_or_says(0, Some("clock")).await;
        pass(CALM).await;
        let claims = |cluster: &Cluster| cluster.claims_of(0);
        let before = claims(&cluster);
        pass(2 * CALM).await;
        assert_eq!(claims(&cluster), before, "it claims nothing");
        cluster.skew(0, 0);
        cluster.is_ready_or_says(0, None).await;
        until("it to take its part again", DRAIN, async || (claims(&cluster) > before).then_some(())).await;
    }
    // Wrong from the start on, and then put right: what it took for the time must not stay with it.
    for ahead_ms in [BEYOND_MS, -BEYOND_MS] {
        cluster.skew(1, ahead_ms);
        cluster.roll(1, &publishers);
        cluster.is_ready_or_says(1, Some("clock")).await;
        cluster.skew(1, 0);
        cluster.is_ready_or_says(1, None).await;
        pass(CALM).await;
    }
    let accepted = publishers.stop().await;
    let verdict = cluster.check(&accepted).await;
    assert_eq!((verdict.lost, verdict.taken_over), (0, 0), "no lease was taken for over");
}
