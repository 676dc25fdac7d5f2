//! Two neighbouring versions on one database: the schema grows under nodes that know nothing of it, and nodes start that
//! know less than is there. Only what says that they must not keeps them out.
//!
//! There is no build of another version at hand. What the next one does to the schema, expanding it, is done here by
//! hand: a column more in every table, and a table more, as its migration would.

use tokio::task::block_in_place;

use super::world::{CALM, Cluster};
use crate::support::running::RunningServer;
use crate::support::time::pass;

/// Kept by the migrations themselves.
const HISTORY: &str = "refinery_schema_history";

fn newest(node: &RunningServer) -> i64 {
    node.books().column(&format!("SELECT CAST(max(version) AS BIGINT) FROM {HISTORY}")).remove(0)
}

/// What the next version's migration does.
fn expand(node: &RunningServer) {
    let books = node.books();
    for table in books.tables().iter().filter(|table| *table != HISTORY) {
        books.run(&format!("ALTER TABLE {table} ADD COLUMN of_the_next_version TEXT"));
    }
    let version = newest(node) + 1;
    books.run(&format!(
        "CREATE TABLE of_the_next_version (no BIGINT PRIMARY KEY);
         INSERT INTO {HISTORY} (version, name, applied_on, checksum)
         VALUES ({version}, 'next', '2026-01-01T00:00:00Z', '1')"
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_work_and_start_on_the_schema_of_the_next_version() {
    let Some(mut cluster) = Cluster::start("next version").await else { return };
    let publishers = cluster.publish();
    pass(CALM).await;
    let known = block_in_place(|| newest(&cluster.nodes[0]));
    block_in_place(|| expand(&cluster.nodes[0]));
    publishers.go_on().await;
    // Two that have begun on it, and one that it came to.
    for node in 0..2 {
        cluster.roll(node, &publishers);
    }
    publishers.go_on().await;
    cluster.all_are_ready().await;
    block_in_place(|| {
        let node = &cluster.nodes[0];
        assert_eq!(node.command(&["migrate"]), format!("the schema is up to date: version {known}"));
        // The version after that takes something away, and says so.
        let oldest = format!("convert_to('{}', 'UTF8')", known + 1);
        node.books().run(&format!("INSERT INTO meta (key, value) VALUES ('oldest_schema', {oldest})"));
        let refused = node.run(&["migrate"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("this one knows number"), "{said}");
        node.books().run("DELETE FROM meta WHERE key = 'oldest_schema'");
    });
    let accepted = publishers.stop().await;
    cluster.check(&accepted).await;
}
