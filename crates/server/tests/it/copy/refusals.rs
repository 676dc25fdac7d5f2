//! What a copy refuses, and what it says then.

use tokio::task::block_in_place;

use super::kill::many;
use super::{command, copy, tables, target};
use crate::crash::{refusal, stdout};
use crate::support::ask::Api;
use crate::support::books::Books;
use crate::support::running::{RunningServer, binary};

const OTHER_KEY: &str = "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk=";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_copied_is_refused_and_nothing_is_changed() {
    let Some(books) = target() else { return };
    let mut server = block_in_place(|| RunningServer::start_on_file(&[]));
    let api = Api { address: server.api, key: server.admin_key.clone() };
    api.identity("help").await;
    let data_dir = server.data_dir().to_owned();
    block_in_place(|| {
        let said = refusal(&copy(&data_dir, &books));
        assert_eq!(said, format!("the data directory {} is in use by another server", data_dir.display()));
        server.terminate();
        assert!(server.wait_exit().success());

        let nothing = tempfile::tempdir().expect("a temporary directory");
        let said = refusal(&copy(nothing.path(), &books));
        assert_eq!(said, format!("there is no store in {}", nothing.path().display()));
        let mut wrong = command(&data_dir, &books, &[]);
        let said = refusal(&wrong.env("INKHOOK_SECURITY__MASTER_KEY", OTHER_KEY).output().expect("it runs"));
        assert_eq!(said, "the master key is not the one that this store was made with");
        let mut nowhere = command(&data_dir, &books, &[]);
        let said = refusal(&nowhere.env_remove("INKHOOK_DATABASE__URL").output().expect("it runs"));
        assert!(said.starts_with("name the database to copy to: --database-url"), "{said}");
        assert_eq!(books.column::<i64>("SELECT count(*) FROM meta"), [0], "nothing was written");

        books.run("INSERT INTO urls (url) VALUES ('x')");
        let said = refusal(&copy(&data_dir, &books));
        assert_eq!(
            said,
            "the database is not empty: there is something in urls. A copy needs an empty database"
        );
        books.run("DELETE FROM urls");

        server.restart();
        server.terminate();
        assert!(server.wait_exit().success(), "the file is as fit for use as before");
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_served_already_is_not_empty() {
    if crate::support::books::stores_are_files() {
        println!("skipped: this needs a server on a database; INKHOOK_TEST_STORE=postgres has one");
        return;
    }
    let served = block_in_place(RunningServer::start_blocking);
    let server = many(3).await;
    let said = block_in_place(|| refusal(&copy(server.data_dir(), served.books())));
    assert!(
        said.starts_with("the database is not empty: there is something in meta, organizations"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_used_between_the_halves_of_a_copy_is_not_gone_on_with() {
    let (Some(books), Some(anew)) = (target(), target()) else { return };
    let mut server = many(6_000).await;
    let data_dir = server.data_dir().to_owned();
    block_in_place(|| {
        half(&server, &books);
        // Another store does not go on with it either.
        let other = tempfile::tempdir().expect("a temporary directory");
        std::fs::copy(data_dir.join("inkhook.db"), other.path().join("inkhook.db")).expect("it is copied");
        Books::of_file(other.path()).run("DELETE FROM meta WHERE key = 'copy'");
        let said = refusal(&copy(other.path(), &books));
        assert!(
            said.starts_with("the database holds a part of a copy that cannot be gone on with"),
            "{said}"
        );

        server.restart();
        assert!(server.log().contains("a copy of this store was not finished"), "{}", server.log());
        server.terminate();
        assert!(server.wait_exit().success());
        let said = refusal(&copy(&data_dir, &books));
        assert!(
            said.starts_with("the database holds a part of a copy that cannot be gone on with"),
            "{said}"
        );
        assert!(stdout(&copy(&data_dir, &anew)).contains("read back and found the same"));
        let said = refusal(&copy(other.path(), &anew));
        assert_eq!(said, "the database holds the copy of another store");
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_not_the_same_on_both_sides_is_found() {
    let Some(anew) = target() else { return };
    let server = many(6_000).await;
    let changes = [
        (
            "UPDATE events SET payload = 'x' WHERE seq = (SELECT min(seq) FROM events)",
            "events has 6000 rows in the file and 6000",
        ),
        (
            "DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)",
            "events has 6000 rows in the file and 5999",
        ),
        (
            "INSERT INTO dedupe (organization_id, kind, key, request_hash, event_id) VALUES (1, 2, 'x', 'x', 'x')",
            "dedupe has 0 rows in the file and 1",
        ),
        ("UPDATE subscriptions SET generation = generation + 1", "subscriptions has 1 rows"),
    ];
    block_in_place(|| {
        for (change, expected) in changes {
            let books = target().expect("a cluster");
            half(&server, &books);
            books.run(change);
            let said = refusal(&copy(server.data_dir(), &books));
            assert!(said.starts_with("the copy is not the same as the store"), "{change}: {said}");
            assert!(said.contains(expected), "{change}: {said}");
        }
        let good = stdout(&copy(server.data_dir(), &anew));
        assert!(tables(&good).iter().any(|line| line.starts_with("events") && line.contains("6000")));
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_of_the_directory_is_enough() {
    let Some(books) = target() else { return };
    let mut server = block_in_place(|| RunningServer::start_on_file(&[]));
    server.terminate();
    block_in_place(|| {
        assert!(server.wait_exit().success());
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut made = binary();
        made.args(["org", "create", "acme", "--data-dir"]).arg(directory.path());
        stdout(&made.output().expect("it runs"));
        assert!(directory.path().join("master.key").exists());
        let mut copy = command(directory.path(), &books, &[]);
        let report = stdout(&copy.env_remove("INKHOOK_SECURITY__MASTER_KEY").output().expect("it runs"));
        assert!(report.contains("the same master key"), "{report}");
        assert_eq!(books.column::<String>("SELECT name FROM organizations"), ["acme"]);
    });
}

/// A copy that has come to the deliveries and died there.
fn half(server: &RunningServer, target: &Books) {
    let failpoints = tempfile::tempdir().expect("a temporary directory");
    // The place is come to once for each table, and twice for events.
    std::fs::write(failpoints.path().join("copy_after_chunk"), "19").expect("written");
    let died = command(server.data_dir(), target, &[]).env("FAILPOINTS", failpoints.path()).output();
    assert_eq!(died.expect("the binary runs").status.code(), None, "it died");
}
