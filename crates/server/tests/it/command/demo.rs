//! `inkhook demo`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::{inkhook, text};

#[test]
fn once_verifies_everything_says_so_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let output = inkhook(directory.path(), &["demo", "--once"]).output().unwrap();
    let (out, err) = text(&output);
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{out}");
    let mut rest = out.as_str();
    let said = [
        " 1  Start",
        "POST /api/v1/identities/  201",
        "message.* to http://127.0.0.1:",
        "signing key whsec_",
        "✓ 250 2.0.0 Message accepted as evt_",
        "✗ attempt 1  POST /mail  answered 500",
        "✓ attempt 2  POST /mail  answered 200",
        "✓ X-Inkbox-Signature",
        "✓ webhook-signature",
        "✓ with one bit of the body flipped, both refuse",
        "POST /api/v1/events  202  evt_",
        "✓ attempt 1  POST /text  answered 200",
        "Read the attempt log",
        "✓ every request that the receiver read is there",
        "replay  201",
        "✓ Everything was verified.",
        "Where to look next",
    ];
    for line in said {
        let (_, after) = rest.split_once(line).unwrap_or_else(|| panic!("no '{line}' in {rest}"));
        rest = after;
    }
    assert!(!out.contains('\x1b'), "colours only on a terminal");
    assert!(out.lines().all(|line| line.chars().count() <= 100), "{out}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "the data is removed");
}

#[test]
fn a_demo_that_cannot_start_says_why_and_is_no_success() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = directory.path().join("nowhere");
    let output = inkhook(directory.path(), &["demo", "--once"]).env("TMPDIR", nowhere).output().unwrap();
    let (out, err) = text(&output);
    assert_eq!((output.status.code(), out.as_str()), (Some(1), ""));
    assert!(err.contains("no temporary directory"), "{err}");
}

#[test]
fn it_keeps_running_until_it_is_told_to_stop() {
    let directory = tempfile::tempdir().unwrap();
    let mut demo = inkhook(directory.path(), &["demo"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
    let last = lines.find(|line| line.contains("Ctrl-C"));
    let last = last.expect("the demo goes on after its last step");
    assert!(last.contains("keeps running"), "{last}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "the data is there");
    let told = Command::new("kill").args(["-INT", &demo.id().to_string()]).status().unwrap();
    assert!(told.success());
    assert!(demo.wait().unwrap().success());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "the data is removed");
}
