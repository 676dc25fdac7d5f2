//! What the machine can do at all: signed POSTs with no server in between, and commits that the disk has synced.
//!
//! Absolute figures of a shared machine are worth little; the ratio to what it could do in the same minute is
//! worth more.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context;
use inkhook_wire::sign::SigningKey;
use serde_json::{Value, json};

use crate::clock::{Clock, micros};
use crate::drive::{Load, Pace, Template, Until};
use crate::latency::{Latency, float, per_second};
use crate::process;
use crate::receive::{Receiver, ReceiverOptions};

/// What was found.
#[derive(Debug, Clone)]
pub struct Ceiling {
    /// Signed POSTs of 1 KB from client to receiver in a second.
    pub posts_per_second: f64,
    /// How long each took.
    pub post: Latency,
    /// CPU time of sender and receiver together for each of them, in microseconds.
    pub cpu_us_per_post: f64,
    /// One-row commits in a second, each synced.
    pub commits_per_second: f64,
    /// How long each took.
    pub commit: Latency,
}

impl Ceiling {
    /// As `ceiling --json` writes it.
    pub fn to_json(&self) -> Value {
        json!({"posts_per_second": self.posts_per_second, "post_us": self.post.to_json(),
            "cpu_us_per_post": self.cpu_us_per_post,
            "commits_per_second": self.commits_per_second, "commit_us": self.commit.to_json()})
    }
}

/// A mail event of this many bytes of text, as a delivery has it. The text is in the body's gap `{{mark}}` first,
/// so that a receiver finds it soon.
pub fn event_body(bytes: usize) -> String {
    json!({"id": "evt_{{uuid}}", "event_type": "message.received", "data": {"message": {
        "subject": "{{mark}}", "body": "x".repeat(bytes)}}})
    .to_string()
}

/// Measures both, each for this long. Commits go to a file in this directory.
///
/// # Errors
/// No port, no thread, or no file.
pub fn measure(
    directory: &Path,
    time: Duration,
    connections: usize,
    threads: usize,
) -> anyhow::Result<Ceiling> {
    let (posts_per_second, post, cpu_us_per_post) = posts(time, connections, threads)?;
    let (commits_per_second, commit) = commits(directory, time)?;
    Ok(Ceiling { posts_per_second, post, cpu_us_per_post, commits_per_second, commit })
}

fn posts(time: Duration, connections: usize, threads: usize) -> anyhow::Result<(f64, Latency, f64)> {
    let receiver = Receiver::start(ReceiverOptions { threads, ..ReceiverOptions::default() })?;
    let key = SigningKey::from_random_bytes([7; 32]);
    let template = Template::post(receiver.address(), "/ceiling", &[], &event_body(1_000))?.signed(key);
    let load = Load {
        addresses: [receiver.address()].into(),
        templates: [template].into(),
        connections,
        pace: Pace::Closed,
        until: Until::Elapsed(time),
        honour_retry_after: false,
        threads,
    };
    let cpu_us = process::cpu_us("self");
    let tally = load.run(&Arc::new(AtomicU64::new(0)))?;
    let arrived = receiver.stats().group("ceiling").deliveries;
    anyhow::ensure!(arrived == tally.accepted, "{arrived} of {} arrived", tally.accepted);
    let cpu_us = process::cpu_us("self") - cpu_us;
    Ok((tally.per_second(), tally.answer, float(cpu_us) / float(arrived.max(1))))
}

fn commits(directory: &Path, time: Duration) -> anyhow::Result<(f64, Latency)> {
    let directory = tempfile::tempdir_in(directory).context("no directory to commit in")?;
    let database = rusqlite::Connection::open(directory.path().join("ceiling.db"))?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.execute_batch("CREATE TABLE row (no INTEGER PRIMARY KEY, what BLOB NOT NULL)")?;
    let mut insert = database.prepare("INSERT INTO row (what) VALUES (?1)")?;
    let (clock, row) = (Clock::start(), [7_u8; 1_000]);
    let began_us = clock.now_us();
    let mut latency = Latency::default();
    let mut before_us = began_us;
    while before_us - began_us < micros(time) {
        insert.execute([&row[..]])?;
        let now_us = clock.now_us();
        latency.record(now_us - before_us);
        before_us = now_us;
    }
    Ok((per_second(latency.count(), before_us - began_us), latency))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_measured() {
        let directory = tempfile::tempdir().unwrap();
        let ceiling = measure(directory.path(), Duration::from_millis(100), 4, 1).unwrap();
        assert!(ceiling.posts_per_second > 0.0 && ceiling.commits_per_second > 0.0);
        assert!(ceiling.post.count() > 0 && ceiling.commit.count() > 0);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left behind");
    }
}
