//! `inkhook config check`.

use std::fs;

use super::{inkhook, text};

#[test]
fn what_is_in_force_is_shown_without_secrets() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("inkhook.toml"), "[delivery]\ntimeout_ms = 5000\n").unwrap();
    let output = inkhook(directory.path(), &["config", "check", "--smtp-listen", "off"])
        .env("INKHOOK_BOOTSTRAP__ADMIN_KEY", "a-key-that-nobody-may-read")
        .env("INKHOOK_DELIVERY__MAX_IN_FLIGHT", "64")
        .output()
        .unwrap();
    let (out, err) = text(&output);
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{out}");
    for line in ["[delivery]", "timeout_ms = 5000", "max_in_flight = 64", "listen = \"off\"", "admin_key = "]
    {
        assert!(out.contains(line), "{line} in {out}");
    }
    assert!(!out.contains("nobody-may-read"), "{out}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "a check makes nothing");
}

#[test]
fn every_error_is_named_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = "[delivery]\ntimeout_ms = 999\nmax_in_flight = \"many\"\n[sever]\nlisten = 1\n";
    fs::write(directory.path().join("inkhook.toml"), file).unwrap();
    let output = inkhook(directory.path(), &["config", "check", "--smtp-listen", "somewhere"])
        .env("INKHOOK_SECURITY__MASTER_KEY", "c2VjcmV0")
        .output()
        .unwrap();
    let (out, err) = text(&output);
    assert_eq!(output.status.code(), Some(1), "{err}");
    for key in [
        "delivery.max_in_flight",
        "sever.listen",
        "smtp.listen",
        "delivery.timeout_ms",
        "security.master_key",
    ] {
        assert!(err.contains(&format!("\n  {key}: ")), "{key} in {err}");
    }
    assert!(out.contains("timeout_ms = 999"), "what is in force is shown all the same: {out}");
    assert!(!format!("{out}{err}").contains("c2VjcmV0"), "{out}{err}");
}

#[test]
fn a_file_that_is_no_toml_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("inkhook.toml"), "[delivery").unwrap();
    let output = inkhook(directory.path(), &["config", "check"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).1.contains("inkhook.toml"), "{:?}", text(&output));
}

#[test]
fn a_replica_without_a_database_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let url = "postgres://inkhook:hunter2@replica.example/inkhook";
    let check = |more: &[&str]| {
        let mut command = inkhook(directory.path(), &["config", "check"]);
        command.args(more).env("INKHOOK_DATABASE__REPLICA_URL", url);
        command.env("INKHOOK_SECURITY__MASTER_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
        command.output().unwrap()
    };
    let refused = check(&[]);
    let (out, err) = text(&refused);
    assert_eq!(refused.status.code(), Some(1), "{err}");
    assert!(err.contains("\n  database.replica_url: is only for a database server"), "{err}");
    assert!(!format!("{out}{err}").contains("hunter2"), "{out}{err}");
    let good = check(&["--database-url", "postgres://inkhook@db.example/inkhook"]);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good).1);
}
