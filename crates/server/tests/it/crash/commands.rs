//! `inkhook org` and `inkhook keys`, with a server and without one: the same answers either way.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::json;
use tokio::task::block_in_place;

use crate::support::ask::Api;
use crate::support::running::{RunningServer, binary};

/// Runs the binary on a data directory.
pub(super) fn inkhook(data_dir: &Path, arguments: &[&str]) -> Output {
    binary()
        .args(arguments)
        .arg("--data-dir")
        .arg(data_dir)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

pub fn stdout(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8(output.stdout.clone()).expect("UTF-8").trim().to_owned()
}

/// What a refusal says after the program's name; nothing is on stdout.
#[track_caller]
pub fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let said = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    // Lines of the log may come before it.
    let place =
        if said.starts_with("inkhook: ") { Some(0) } else { said.find("\ninkhook: ").map(|at| at + 1) };
    let place = place.unwrap_or_else(|| panic!("not a sentence for people: {said}"));
    said[place + "inkhook: ".len()..].trim_end().to_owned()
}

/// A number outside the range that is free to take.
const ALLOWED: &str = "+12125559876";

/// Who belongs to an organisation.
fn use_member_commands(server: &RunningServer) {
    let member = |arguments: &[&str]| server.run(&[&["org", "member"], arguments].concat());
    assert_eq!(stdout(&member(&["list", "acme"])), "");
    assert_eq!(stdout(&member(&["add", "acme", "Lee@Client.Test"])), "lee@client.test");
    assert_eq!(stdout(&member(&["add", "acme", "ana@client.test"])), "ana@client.test\nlee@client.test");
    assert_eq!(stdout(&member(&["add", "acme", "ana@client.test"])), "ana@client.test\nlee@client.test");
    assert_eq!(stdout(&member(&["remove", "acme", "LEE@client.test"])), "ana@client.test");
    assert_eq!(
        refusal(&member(&["remove", "acme", "lee@client.test"])),
        "'lee@client.test' is no member of 'acme'"
    );
    assert!(refusal(&member(&["add", "acme", "lee"])).starts_with("'lee' must be a plain mail address"));
    for arguments in
        [&["list", "nobody"][..], &["add", "nobody", "a@b.test"], &["remove", "nobody", "a@b.test"]]
    {
        assert_eq!(refusal(&member(arguments)), "there is no organisation 'nobody'");
    }
    assert_eq!(stdout(&member(&["list", "acme"])), "ana@client.test");
}

/// Every command once, in an order that makes sense.
fn use_every_command(server: &RunningServer) -> [String; 2] {
    let made = stdout(&server.run(&["org", "create", "acme"]));
    assert!(made.starts_with("org_") && made.ends_with("  acme"), "{made}");
    let id = made.split("  ").next().expect("an id");
    assert_eq!(refusal(&server.run(&["org", "create", "acme"])), "there is an organisation 'acme' already");
    assert_eq!(refusal(&server.run(&["org", "create", " "])), "a name has 1 to 255 characters");
    let listed = stdout(&server.run(&["org", "list"]));
    assert!(listed.lines().any(|line| line == made), "{listed}");

    let admin = stdout(&server.run(&["keys", "create", "--org", "acme"]));
    let operator = stdout(&server.run(&["keys", "create", "--operator"]));
    assert_ne!(admin, operator);
    assert_eq!(
        refusal(&server.run(&["keys", "create", "--org", "nobody"])),
        "there is no organisation 'nobody'"
    );
    assert_eq!(
        refusal(&server.run(&["keys", "create", "--org", id, "--agent", "ghost"])),
        "there is no identity 'ghost'"
    );
    assert_eq!(refusal(&server.run(&["org", "delete", "nobody"])), "there is no organisation 'nobody'");

    assert_eq!(stdout(&server.run(&["numbers", "allow", ALLOWED, "--org", "acme"])), "allowed");
    assert_eq!(
        refusal(&server.run(&["numbers", "allow", "555", "--org", "acme"])),
        "'555' is not a number like +12125559876"
    );
    assert_eq!(
        refusal(&server.run(&["numbers", "allow", ALLOWED, "--org", "nobody"])),
        "there is no organisation 'nobody'"
    );

    use_member_commands(server);
    stdout(&server.run(&["org", "create", "short-lived"]));
    assert_eq!(stdout(&server.run(&["org", "delete", "short-lived"])), "deleted");
    assert!(!stdout(&server.run(&["org", "list"])).contains("short-lived"));
    [admin, operator]
}

/// The keys do what their kind may.
async fn keys_work(server: &RunningServer, [admin, operator]: [String; 2]) {
    let api = |key: &str| Api { address: server.api, key: key.to_owned() };
    api(&admin).identity("agent").await;
    let agent =
        block_in_place(|| stdout(&server.run(&["keys", "create", "--org", "acme", "--agent", "agent"])));
    let me = api(&agent).must(200, "GET", "/api/v1/whoami", None).await;
    assert_eq!(me["auth_subtype"], "api_key.agent_scoped.claimed", "{me}");
    let organization = me["organization_id"].as_str().expect("an id").to_owned();
    api(&agent).must(403, "POST", "/api/v1/identities", Some(json!({"agent_handle": "other"}))).await;

    let number = json!({"agent_handle": "agent", "number": ALLOWED});
    let taken = api(&admin).must(201, "POST", "/api/v1/phone/numbers", Some(number)).await;
    assert_eq!(taken["number"], ALLOWED, "{taken}");

    let header = [("Inkhook-Organization", organization.as_str())];
    let seen = api(&operator).ask("GET", "/api/v1/identities", &header, None).await.expect("an answer");
    assert_eq!((seen.0, &seen.1[0]["agent_handle"]), (200, &json!("agent")), "{}", seen.1);
    let default = Api { address: server.api, key: server.admin_key.clone() };
    assert_eq!(default.must(200, "GET", "/api/v1/identities", None).await, json!([]), "another tenant");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_reach_a_running_server() {
    let server = block_in_place(RunningServer::start_blocking);
    let socket = server.data_dir().join("admin.sock");
    let mode = std::fs::metadata(&socket).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "its owner's alone");
    let keys = block_in_place(|| use_every_command(&server));
    keys_work(&server, keys).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_work_on_the_store_when_no_server_runs() {
    let mut server = block_in_place(RunningServer::start_blocking);
    server.terminate();
    block_in_place(|| server.wait_exit());
    assert!(!server.data_dir().join("admin.sock").exists(), "a clean stop takes its socket away");
    let keys = block_in_place(|| use_every_command(&server));
    block_in_place(|| server.restart());
    keys_work(&server, keys).await;
}

#[test]
fn commands_work_after_a_kill_left_the_socket_behind() {
    let mut server = RunningServer::start_blocking();
    server.kill();
    assert!(server.data_dir().join("admin.sock").exists(), "nobody took it away");
    use_every_command(&server);
    server.restart();
    assert!(stdout(&server.run(&["org", "list"])).contains("acme"));
}

#[test]
fn a_data_directory_may_have_a_long_path() {
    let directory = tempfile::Builder::new().prefix(&"long".repeat(40)).tempdir().expect("a directory");
    let server = RunningServer::start_without_key_in(directory);
    assert!(server.data_dir().as_os_str().len() > 160);
    assert!(stdout(&server.run(&["org", "create", "acme"])).ends_with("  acme"));
    assert_eq!(refusal(&server.run(&["org", "create", "acme"])), "there is an organisation 'acme' already");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_organisations_keys_end_with_it() {
    let server = block_in_place(RunningServer::start_blocking);
    let key = block_in_place(|| {
        stdout(&server.run(&["org", "create", "acme"]));
        stdout(&server.run(&["keys", "create", "--org", "acme"]))
    });
    let api = Api { address: server.api, key };
    api.must(200, "GET", "/api/v1/whoami", None).await;
    block_in_place(|| stdout(&server.run(&["org", "delete", "acme"])));
    api.must(401, "GET", "/api/v1/whoami", None).await;
}

#[test]
fn wrong_arguments_are_explained() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let said = |arguments: &[&str]| {
        let output = inkhook(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    assert!(said(&["keys", "create"]).contains("--org <ORG>"), "what is missing is named");
    assert!(said(&["keys", "create", "--operator", "--agent", "x"]).contains("cannot be used with"));
    assert!(said(&["keys", "create", "--org", "x", "--unclaimed"]).contains("--agent <HANDLE>"));
    assert!(said(&["org", "creat", "acme"]).contains("'create'"), "a slip of the finger is recognised");
    assert!(said(&["serve", "--listen", "nonsense"]).contains("--listen <ADDR>"));
    assert!(
        std::fs::read_dir(directory.path()).expect("it is there").next().is_none(),
        "and nothing is made"
    );
}
