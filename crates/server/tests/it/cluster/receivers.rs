//! Nodes that do not reach the receivers, while the others do.

use tokio::task::block_in_place;

use super::world::{CALM, Cluster};
use crate::support::time::pass;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_cut_off_from_the_receivers() {
    let Some(cluster) = Cluster::start("no receivers").await else { return };
    let publishers = cluster.publish();
    pass(CALM).await;
    let failed = |cluster: &Cluster| -> i64 {
        let sql = "SELECT count(*) FROM attempts WHERE status IS NULL";
        block_in_place(|| cluster.nodes[0].books().column(sql)).remove(0)
    };
    assert_eq!(failed(&cluster), 0, "all is well");
    // Its requests end without an answer, and its connections are refused.
    cluster.routes[0].cut();
    let before = cluster.claims_of(1);
    pass(2 * CALM).await;
    assert!(failed(&cluster) > 0, "node 0 was cut off");
    assert!(cluster.claims_of(1) > before, "the others go on");
    cluster.all_are_ready().await;
    cluster.routes[0].mend();
    // Its requests arrive, and it does not hear so.
    cluster.routes[1].deafen();
    pass(4 * CALM).await;
    cluster.routes[1].mend();
    pass(CALM).await;
    // All of them: the receiver is gone as far as anybody can see.
    cluster.routes.iter().for_each(super::route::Route::cut);
    pass(2 * CALM).await;
    cluster.routes.iter().for_each(super::route::Route::mend);
    pass(CALM).await;
    let accepted = publishers.stop().await;
    cluster.check(&accepted).await;
}
