//! Every client library makes every call about webhooks that it has, and `docs/compatibility.md` says so.
//!
//! An ordinary run takes a few versions of the Python SDK, and the Rust one; with `INKHOOK_SOAK=1` or `CI=true` it
//! takes them all. The page's tables are made by the run and compared with what is committed.

use std::path::Path;
use std::sync::Mutex;

use super::report::{Report, differences, idle_patterns, tables};
use super::{python, rust_calls};

/// Set to rewrite the tables instead of comparing them; needs every version.
const BLESS: &str = "INKHOOK_BLESS";
/// Libraries at a time.
const SIDE_BY_SIDE: usize = 2;

const BEGIN: &str = "<!-- made by the tests: begin -->\n";
const END: &str = "<!-- made by the tests: end -->\n";

fn is_set(name: &str, value: &str) -> bool {
    std::env::var(name).as_deref() == Ok(value)
}

/// The Python SDKs that ran, in their order.
fn run_python(whole: bool) -> Vec<(String, Report)> {
    let versions: Vec<&str> = python::versions()
        .into_iter()
        .filter(|(_, short)| whole || *short)
        .map(|(version, _)| version)
        .collect();
    let left = Mutex::new(versions.iter().copied());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let next = left.lock().expect("no panic").next();
                    let Some(version) = next else { break };
                    if let Some(report) = python::drive(version) {
                        done.lock().expect("no panic").push((version.to_owned(), report));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no panic");
    done.sort_by_key(|(version, _)| versions.iter().position(|known| known == version));
    assert!(!whole || done.len() == versions.len(), "not every version is installed: scripts/soak does that");
    done
}

#[test]
fn every_client_library_makes_every_call_that_it_has() {
    let bless = std::env::var_os(BLESS).is_some();
    let whole = bless || is_set("INKHOOK_SOAK", "1") || is_set("CI", "true");
    let mut libraries = run_python(whole);
    let (version, report) = rust_calls::run();
    libraries.push((format!("Rust {version}"), report));

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("the mark where the tables begin");
    let (committed, after) = rest.split_once(END).expect("the mark where they end");
    if !whole {
        let differences = differences(committed, &libraries);
        assert!(differences.is_empty(), "docs/compatibility.md is out of date: {differences:#?}");
        return;
    }
    assert_eq!(idle_patterns(&libraries), [""; 0], "patterns that leave no call of any version out");
    let made = tables(&libraries);
    if bless {
        std::fs::write(&path, format!("{before}{BEGIN}{made}{END}{after}")).expect("written");
        return;
    }
    assert!(
        committed == made,
        "docs/compatibility.md is out of date: run INKHOOK_BLESS=1 scripts/soak -E 'test(contract::matrix)'\n{made}"
    );
}
