//! One trouble after the other, in an order that dice throw, with load all the time. `INKHOOK_TEST_SEED` brings an order
//! back; `scripts/soak` goes on for longer.

use std::time::Duration;

use tokio::task::block_in_place;

use super::publishers::Publishers;
use super::world::{CALM, Cluster, LEASE, NODES};
use crate::support::time::pass;

/// Troubles in an ordinary run, and in a soak without a number.
const SHORT: usize = 4;
const LONG: usize = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Kill,
    Freeze,
    CutFromDatabase,
    DatabaseSilent,
    CutFromReceivers,
    AnswersLost,
    KillDatabase,
    FailOver,
    Full,
    Skew,
    Roll,
}

const ALL: [Trouble; 11] = [
    Trouble::Kill,
    Trouble::Freeze,
    Trouble::CutFromDatabase,
    Trouble::DatabaseSilent,
    Trouble::CutFromReceivers,
    Trouble::AnswersLost,
    Trouble::KillDatabase,
    Trouble::FailOver,
    Trouble::Full,
    Trouble::Skew,
    Trouble::Roll,
];

fn rounds() -> usize {
    if std::env::var_os("INKHOOK_SOAK").is_none() {
        return SHORT;
    }
    std::env::var("INKHOOK_SOAK_ROUNDS").ok().map_or(LONG, |rounds| rounds.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn troubles_come_in_any_order() {
    let Some(mut cluster) = Cluster::on_a_pair("troubles").await else { return };
    let publishers = cluster.publish();
    pass(CALM).await;
    // None comes again before the others have come.
    let mut left: Vec<Trouble> = Vec::new();
    for round in 0..rounds() {
        if left.is_empty() {
            left = ALL.to_vec();
        }
        let place = cluster.dice.number(0..left.len() as u64);
        let trouble = left.swap_remove(usize::try_from(place).expect("small"));
        let node = usize::try_from(cluster.dice.number(0..NODES as u64)).expect("small");
        println!("{round}: {trouble:?}, node {node}");
        make(&mut cluster, &publishers, trouble, node).await;
        publishers.go_on().await;
        cluster.all_are_ready().await;
    }
    let accepted = publishers.stop().await;
    cluster.check(&accepted).await;
}

/// Begins a trouble, and ends it after a while.
async fn make(cluster: &mut Cluster, publishers: &Publishers, trouble: Trouble, node: usize) {
    let while_ = cluster.dice.millis(200..2_500);
    match trouble {
        Trouble::Kill => {
            cluster.kill(node);
            pass(while_).await;
            cluster.restart(node, publishers);
        }
        Trouble::Freeze => cluster.freeze(node, LEASE + while_).await,
        Trouble::CutFromDatabase => {
            cluster.ways[node].cut();
            pass(while_).await;
            cluster.ways[node].mend();
        }
        Trouble::DatabaseSilent => {
            cluster.ways[node].silence();
            pass(LEASE + while_).await;
            cluster.ways[node].mend();
        }
        Trouble::CutFromReceivers => {
            cluster.routes[node].cut();
            pass(while_).await;
            cluster.routes[node].mend();
        }
        Trouble::AnswersLost => {
            cluster.routes[node].deafen();
            pass(2 * CALM + while_).await;
            cluster.routes[node].mend();
        }
        Trouble::KillDatabase => {
            block_in_place(|| cluster.pair().primary().kill()).expect("it is killed");
            pass(while_).await;
            block_in_place(|| cluster.pair().primary().restart()).expect("it recovers");
        }
        Trouble::FailOver => {
            block_in_place(|| cluster.pair().fail_over()).expect("the standby is promoted");
            pass(while_).await;
            block_in_place(|| cluster.pair().rebuild()).expect("the other follows");
        }
        Trouble::Full => {
            cluster.disk().fill(true);
            pass(Duration::from_secs(1) + while_).await;
            cluster.disk().fill(false);
            block_in_place(|| cluster.pair().revive()).expect("they start");
        }
        Trouble::Skew => {
            let ahead_ms = i64::try_from(cluster.dice.number(0..3_800)).expect("small") - 1_900;
            cluster.skew(node, ahead_ms);
            pass(while_).await;
        }
        Trouble::Roll => cluster.roll(node, publishers),
    }
}
