//! The rules of `ARCHITECTURE.md` that a reader of the sources can check: who may import whom, where SQL and
//! outbound connections live, how files are named and how long they grow.
//!
//! Sources are read as tokens, after comments, strings and everything under `#[cfg(test)]` are blanked out
//! ([`source`]). A path counts wherever it stands: in a `use`, in a group, in the middle of an expression,
//! and through `super`. What this cannot see are paths that a macro of another crate makes up.

mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use self::source::Source;

/// Who may import whom. A room is a module at the top of `crates/server/src`; what is not in the list does
/// not exist yet, and a new room must be added here before it compiles past this test.
const ROOMS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("store", &["domain"]),
    ("ingest", &["domain", "store", "wake"]),
    ("deliver", &["domain"]),
    ("record", &["domain", "store"]),
    ("calls", &["deliver", "store", "domain"]),
    ("relay", &["store", "domain", "wake"]),
    ("engine", &["deliver", "record", "store", "domain", "wake", "lifecycle"]),
    ("api", &["ingest", "calls", "store", "domain", "wake", "app"]),
    ("smtp_in", &["ingest", "domain", "lifecycle"]),
    ("app", &["api", "calls", "domain", "store", "wake"]),
    ("config", &["domain"]),
    ("wake", &["domain"]),
    ("lifecycle", &["domain"]),
    ("telemetry", &["domain"]),
    (
        "server",
        &[
            "api",
            "app",
            "calls",
            "config",
            "domain",
            "engine",
            "ingest",
            "lifecycle",
            "relay",
            "smtp_in",
            "store",
            "wake",
        ],
    ),
    (
        "cli",
        &[
            "api",
            "app",
            "calls",
            "config",
            "deliver",
            "domain",
            "engine",
            "ingest",
            "lifecycle",
            "record",
            "server",
            "smtp_in",
            "store",
            "telemetry",
            "wake",
        ],
    ),
];

/// Crates, or parts of them, that only some rooms may name.
const CRATES: &[(&str, &[&str])] = &[
    ("rusqlite", &["store"]),
    ("refinery", &["store"]),
    ("rustix", &["server", "store"]),
    ("chacha20poly1305", &["store"]),
    ("mail_parser", &["ingest"]),
    ("inkhook_smtp", &["smtp_in"]),
    // It connects by itself, to the operator's own mail relay.
    ("lettre", &["relay"]),
    // Everybody may hold the client or ask its policy; only `deliver` makes requests.
    ("inkhook_egress", &["deliver", "engine", "calls", "app", "api", "config", "server", "cli"]),
    ("inkhook_egress::Request", &["deliver"]),
    // `cli` for the receiver that the demo runs.
    ("axum", &["api", "server", "cli"]),
    ("clap", &["cli", "config"]),
    ("anyhow", &["cli"]),
];

/// Paths that open outbound connections: for `crates/egress` alone. The demo is an exception: it plays the mail
/// client and the publisher, on loopback. What the operator runs, the database and the mail relay, is connected to
/// by the crates that `store` and `relay` alone may name.
const OUTBOUND: &[&str] =
    &["TcpStream::connect", "TcpSocket", "UdpSocket", "hyper::client", "hyper_util::client", "reqwest"];
const OUTBOUND_EXCEPTION: &str = "cli/demo";

/// What the leaf crates may not name, besides each other: `wire` does no I/O, `smtp` neither.
const LEAVES: &[(&str, &[&str])] = &[
    ("wire", &["inkhook_egress", "inkhook_smtp", "inkhook_server", "tokio", "hyper", "std::fs", "TcpStream"]),
    ("smtp", &["inkhook_egress", "inkhook_wire", "inkhook_server", "tokio", "hyper", "std::fs", "TcpStream"]),
    ("egress", &["inkhook_smtp", "inkhook_wire", "inkhook_server", "std::fs", "std::env"]),
];

/// Lines of a source file at most, tests not counted.
const MAX_LINES: usize = 800;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository exists")
}

/// Every file below `directory` whose name ends with `suffix`, as (path relative to `directory`, text).
fn files(directory: &Path, suffix: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_path_buf()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).expect("a readable directory") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.to_string_lossy().ends_with(suffix) {
                let name = path.strip_prefix(directory).expect("below").to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(&path).expect("UTF-8 text")));
            }
        }
    }
    found.sort();
    found
}

fn is_test(file: &str) -> bool {
    file.split('/').any(|part| part == "tests" || part == "tests.rs")
}

/// The sources of a crate without `tests.rs` files and what is under them.
fn sources(krate: &str) -> Vec<(String, Source)> {
    let sources = files(&repository().join("crates").join(krate).join("src"), ".rs");
    assert!(!sources.is_empty(), "crates/{krate} has sources");
    sources
        .into_iter()
        .filter(|(name, _)| !is_test(name))
        .map(|(name, text)| (name, Source::new(&text)))
        .collect()
}

/// `store/writer/recovery.rs` is `["store", "writer", "recovery"]`; `lib.rs` and `main.rs` are the root.
fn module_path(file: &str) -> Vec<&str> {
    let stem = file.strip_suffix(".rs").unwrap_or(file);
    if matches!(stem, "lib" | "main") { Vec::new() } else { stem.split('/').collect() }
}

/// What `file` imports and may not.
fn forbidden_imports(file: &str, source: &Source) -> Vec<String> {
    let module = module_path(file);
    let Some(room) = module.first() else { return Vec::new() };
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| name == room) else {
        return vec![format!("{file}: the room `{room}` is not in the import table")];
    };
    source
        .imports(&module)
        .into_iter()
        .filter(|import| import != room && !allowed.contains(&import.as_str()))
        .map(|import| format!("{file}: `{room}` may not import `{import}`"))
        .collect()
}

/// Which restricted crates and outbound paths `file` names outside their rooms.
fn forbidden_names(file: &str, source: &Source) -> Vec<String> {
    let module = module_path(file);
    let room = module.first().copied().unwrap_or("main");
    let crates = CRATES
        .iter()
        .filter(|(name, rooms)| !rooms.contains(&room) && source.names(name))
        .map(|(name, rooms)| format!("{file}: `{name}` is only for {rooms:?}"));
    let outbound = OUTBOUND
        .iter()
        .filter(|name| !file.starts_with(OUTBOUND_EXCEPTION) && source.names(name))
        .map(|name| format!("{file}: `{name}`: outbound connections belong to crates/egress"));
    crates.chain(outbound).collect()
}

fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n(the table is in ARCHITECTURE.md)", complaints.join("\n"));
}

#[test]
fn rooms_import_only_what_they_may() {
    let sources = sources("server");
    let complaints: Vec<_> =
        sources.iter().flat_map(|(file, source)| forbidden_imports(file, source)).collect();
    assert_none(&complaints);
}

#[test]
fn crates_stay_in_their_rooms() {
    let sources = sources("server");
    let complaints: Vec<_> =
        sources.iter().flat_map(|(file, source)| forbidden_names(file, source)).collect();
    assert_none(&complaints);
}

#[test]
fn leaf_crates_know_nothing_of_the_application() {
    let mut complaints = Vec::new();
    for (krate, forbidden) in LEAVES {
        for (file, source) in sources(krate) {
            let found = forbidden.iter().filter(|name| source.names(name));
            complaints.extend(found.map(|name| format!("crates/{krate}/src/{file} names `{name}`")));
        }
    }
    assert_none(&complaints);
}

#[test]
fn files_are_named_by_the_rule_and_not_too_long() {
    let mut complaints = Vec::new();
    for (file, text) in files(&repository().join("crates"), ".rs") {
        if file.ends_with("mod.rs") {
            complaints.push(format!("crates/{file}: `name.rs` beside `name/`, not `mod.rs`"));
        }
        let lines = Source::new(&text).lines_without_tests();
        if !is_test(&file) && lines > MAX_LINES {
            complaints.push(format!("crates/{file}: {lines} lines without tests, more than {MAX_LINES}"));
        }
    }
    assert_none(&complaints);
}

#[test]
fn every_room_of_the_architecture_document_is_in_the_table() {
    let text = fs::read_to_string(repository().join("ARCHITECTURE.md")).expect("a document");
    let documented: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| !name.starts_with("crates/"))
        .collect();
    let table: BTreeSet<&str> = ROOMS.iter().map(|(name, _)| *name).collect();
    assert_eq!(documented, table);
    assert!(text.lines().count() < 200, "ARCHITECTURE.md stays under 200 lines");
}

/// The project speaks of itself alone: no path of somebody's machine in anything that is committed.
#[test]
fn no_file_names_a_path_of_a_machine() {
    let machine =
        [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/tmp/", "wt/"), concat!("/home", "/")];
    let root = repository();
    let mut waiting = vec![root.clone()];
    let mut complaints = Vec::new();
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).expect("a readable directory") {
            let path = entry.expect("a readable entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() {
                let generated = ["target", ".git", "inkhook-data", "__pycache__"].contains(&name.as_str());
                if !generated {
                    waiting.push(path);
                }
            } else if name != ".git"
                && let Ok(text) = fs::read_to_string(&path)
                && let Some(found) = machine.iter().find(|found| text.contains(**found))
            {
                let file = path.strip_prefix(&root).expect("below").display();
                complaints.push(format!("{file} mentions {found}"));
            }
        }
    }
    assert_none(&complaints);
}

fn complaints_about(file: &str, text: &str) -> usize {
    let source = Source::new(text);
    forbidden_imports(file, &source).len() + forbidden_names(file, &source).len()
}

#[test]
fn a_forbidden_import_is_found_however_it_is_written() {
    for text in [
        "use crate::store::Store;",
        "use crate::{domain::time, store};",
        "use crate::{domain::{a, b}, store::{self, Store}};",
        "pub(crate) use crate :: store;",
        "fn f() { crate::store::open(); }",
        "fn f(store: &crate::store::Store) {}",
        "use super::super::store;",
        "mod inside { fn f() { super::super::super::store::open() } }",
        "use crate::*;",
        "use r#crate::domain; use crate::r#store;",
        "use crate::{/* the gate */ domain, // and\n store};",
    ] {
        assert_eq!(complaints_about("deliver/send.rs", text), 1, "{text}");
    }
    assert_eq!(complaints_about("deliver.rs", "use super::store;"), 1, "a room's own file is one level up");
    assert_eq!(complaints_about("billing.rs", ""), 1, "a room that the table does not know");
}

#[test]
fn an_allowed_import_is_let_pass() {
    for text in [
        "use crate::domain::time::Clock; use crate::deliver::prepare; use self::store; use super::store;",
        "use crate::{domain::{store, time}, deliver};",
        "// use crate::store;\n/* crate::store /* nested */ crate::store */",
        r##"const A: &str = "crate::store"; const B: &str = r#"" crate::store "#; const C: char = '"';"##,
        "fn f<'a>(x: &'a str) -> char { '\\'' }",
        "#[cfg(test)]\nmod tests { use crate::store; fn f() { rusqlite::x() } }",
        "#[cfg(test)] use crate::store::Store;",
        "#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests;",
        "pub(crate) fn f() { mycrate::store(); store::crate_(); }",
    ] {
        assert_eq!(complaints_about("deliver/send.rs", text), 0, "{text}");
    }
    let after = "#[cfg(test)]\nfn f() -> [u8; 3] { [0; 3] }\nuse crate::store;";
    assert_eq!(complaints_about("deliver/send.rs", after), 1, "only the item itself is exempt");
}

#[test]
fn a_crate_outside_its_room_is_found() {
    assert_eq!(complaints_about("api/events.rs", "use rusqlite::Connection;"), 1);
    assert_eq!(complaints_about("store/events.rs", "use rusqlite::Connection;"), 0);
    assert_eq!(complaints_about("deliver/send.rs", "tokio::net::TcpStream::connect(address).await"), 1);
    assert_eq!(complaints_about("cli/demo.rs", "TcpStream::connect(address).await"), 0);
    assert_eq!(complaints_about("cli/serve.rs", "TcpStream::connect(address).await"), 1);
    assert_eq!(complaints_about("engine.rs", "use hyper_util::{client::legacy, rt};"), 1);
    assert_eq!(complaints_about("relay/send.rs", "use lettre::Address;"), 0);
    assert_eq!(complaints_about("api/agent_signup.rs", "use lettre::Address;"), 1);
}

#[test]
fn lines_of_tests_do_not_count() {
    let source = Source::new("fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n");
    assert_eq!(source.lines_without_tests(), 1);
    assert_eq!(Source::new("fn a() {}\n// why\nfn b() {}\n").lines_without_tests(), 3);
}
