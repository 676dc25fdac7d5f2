//! The first start of a data directory, and the starts that must be refused.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};

use tokio::task::block_in_place;

use super::commands::{inkhook, refusal};
use crate::support::ask::Api;
use crate::support::books::needs_a_file;
use crate::support::dice::Dice;
use crate::support::running::{Home, RunningServer, binary};
use crate::support::time::pass;

const OTHER_KEY: &str = "another-key-of-32-bytes-in-base64";

/// First starts that are killed in the short form.
const FIRST_STARTS: usize = 24;

/// `inkhook serve` that is not expected to last.
fn serve(data_dir: &Path, settings: &[(&str, &str)], arguments: &[&str]) -> Output {
    binary()
        .args(["serve", "--smtp-listen", "off", "--data-dir"])
        .arg(data_dir)
        .args(if arguments.is_empty() { &["--listen", "127.0.0.1:0"] } else { arguments })
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_terminal_the_first_key_goes_into_a_private_file() {
    let mut server = block_in_place(RunningServer::start_without_key);
    let path = server.data_dir().join("admin-key");
    assert_eq!(mode(&path), 0o600);
    if needs_a_file("a master key beside its data") {
        assert_eq!(mode(&server.data_dir().join("master.key")), 0o600);
    }
    let key = std::fs::read_to_string(&path).expect("it reads").trim().to_owned();
    let log = server.log();
    assert!(log.contains(path.to_str().expect("UTF-8")), "the log says where it is: {log}");
    assert!(!log.contains(&key), "and not what it is");
    let api = Api { address: server.api, key: key.clone() };
    let me = api.must(200, "GET", "/api/v1/whoami", None).await;
    assert_eq!(me["auth_subtype"], "api_key.admin_scoped", "{me}");
    assert!(inkhook_list(&server).contains("  default"));

    server.terminate();
    block_in_place(|| server.wait_exit());
    block_in_place(|| server.restart());
    let again = Api { address: server.api, key };
    again.must(200, "GET", "/api/v1/whoami", None).await;
    assert_eq!(inkhook_list(&server).lines().count(), 1, "a second start makes nothing");
}

#[test]
fn what_a_first_start_makes_is_its_owners_alone() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data_dir = directory.path().join("data");
    assert!(inkhook(&data_dir, &["org", "create", "acme"]).status.success());
    assert_eq!(mode(&data_dir), 0o700);
    let files: Vec<_> =
        data_dir.read_dir().expect("it reads").map(|file| file.expect("it reads").path()).collect();
    assert!(files.contains(&data_dir.join("inkhook.db")), "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

fn inkhook_list(server: &RunningServer) -> String {
    block_in_place(|| server.command(&["org", "list"]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_given_first_key_counts_on_an_empty_store_only() {
    let mut server = block_in_place(RunningServer::start_blocking);
    let first = Api { address: server.api, key: server.admin_key.clone() };
    first.must(200, "GET", "/api/v1/whoami", None).await;
    assert!(!server.data_dir().join("admin-key").exists(), "who gave it knows it");
    server.terminate();
    block_in_place(|| server.wait_exit());
    let first_key = std::mem::replace(&mut server.admin_key, "some-other-key-0123456789".into());
    block_in_place(|| server.restart());
    let api = |key: &str| Api { address: server.api, key: key.to_owned() };
    api(&first_key).must(200, "GET", "/api/v1/whoami", None).await;
    api(&server.admin_key).must(401, "GET", "/api/v1/whoami", None).await;
}

#[test]
fn a_first_key_that_is_too_short_is_refused_before_anything_is_made() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data_dir = directory.path().join("data");
    let said = refusal(&serve(&data_dir, &[("INKHOOK_BOOTSTRAP__ADMIN_KEY", "short")], &[]));
    assert_eq!(
        said,
        "the configuration is not valid:\n  bootstrap.admin_key: must be at least 20 visible ASCII characters"
    );
    assert!(!data_dir.exists());
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    if !needs_a_file("a lock on its directory") {
        return;
    }
    let server = RunningServer::start_blocking();
    let said = refusal(&serve(server.data_dir(), &[], &[]));
    let directory = server.data_dir().display();
    assert_eq!(said, format!("the data directory {directory} is in use by another server"));
    assert!(server.run(&["org", "list"]).status.success(), "the first one is undisturbed");
}

#[test]
fn a_missing_master_key_is_refused_and_no_new_one_is_made() {
    if !needs_a_file("a master key beside its data") {
        return;
    }
    let mut server = RunningServer::start_blocking();
    server.terminate();
    server.wait_exit();
    let data_dir = server.data_dir();
    let kept = data_dir.join("master.key");
    let right = std::fs::read_to_string(&kept).expect("it reads");

    std::fs::remove_file(&kept).expect("it is ours");
    let said = refusal(&serve(data_dir, &[], &[]));
    assert!(said.starts_with("there is a database but no master key: put "), "{said}");
    assert!(said.contains(kept.to_str().expect("UTF-8")) && said.contains("INKHOOK_SECURITY__MASTER_KEY"));
    assert!(!kept.exists(), "no new key");
    assert_eq!(refusal(&inkhook(data_dir, &["org", "list"])), said, "commands say the same");

    std::fs::write(&kept, right).expect("it is ours");
    server.restart();
    assert_eq!(server.command(&["org", "list"]).lines().count(), 1, "the right key opens it again");
}

#[test]
fn a_wrong_master_key_is_refused() {
    let mut server = RunningServer::start_blocking();
    server.terminate();
    server.wait_exit();
    let serve = |key: &str| {
        let mut serve = server.binary();
        serve.args(["serve", "--smtp-listen", "off", "--listen", "127.0.0.1:0", "--data-dir"]);
        serve.arg(server.data_dir()).env("INKHOOK_SECURITY__MASTER_KEY", key).stdin(Stdio::null());
        refusal(&serve.output().expect("the binary runs"))
    };
    let wrong = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(serve(wrong), "the master key is not the one that this store was made with");
    let said = serve(OTHER_KEY);
    assert!(
        said.ends_with("the master key in INKHOOK_SECURITY__MASTER_KEY is not 32 bytes in base64"),
        "{said}"
    );
    assert!(!said.contains(OTHER_KEY));
    server.restart();
    assert_eq!(server.command(&["org", "list"]).lines().count(), 1, "the right key opens it again");
}

#[test]
fn what_cannot_work_is_refused_with_all_its_reasons() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data_dir = directory.path().join("data");
    let output = serve(
        &data_dir,
        &[("INKHOOK_DELIVERY__TIMEOUT_MS", "1"), ("INKHOOK_SERVER__SHUTDOWN_TIMEOUT_S", "0")],
        &["--dev", "--listen", "0.0.0.0:0"],
    );
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    for reason in ["delivery.timeout_ms: 1 is not", "server.shutdown_timeout_s: 0 is not", "--dev-public"] {
        assert!(said.contains(reason), "{reason:?} is not in {said}");
    }
    let said = refusal(&serve(&data_dir, &[("INKHOOK_SERVER__LISTENS", "x")], &[]));
    assert!(said.contains("listens"), "an unknown key is named: {said}");
    assert!(!data_dir.exists(), "and nothing is made");
}

/// Wherever a first start is cut off, the next one is a first start, or goes on where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_that_is_killed_can_be_repeated() {
    let dice = Dice::new("first start");
    for _ in 0..super::rounds(FIRST_STARTS) {
        let home = Home::new();
        let mut first = home
            .binary()
            .args(["serve", "--listen", "127.0.0.1:0", "--smtp-listen", "off", "--data-dir"])
            .arg(home.data_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        pass(dice.millis(0..60)).await;
        first.kill().expect("a process of ours");
        first.wait().expect("a process of ours");
        let server = block_in_place(|| RunningServer::start_without_key_at(home));
        let key = std::fs::read_to_string(server.data_dir().join("admin-key")).expect("the first key");
        let api = Api { address: server.api, key: key.trim().to_owned() };
        api.must(200, "GET", "/api/v1/whoami", None).await;
    }
}
