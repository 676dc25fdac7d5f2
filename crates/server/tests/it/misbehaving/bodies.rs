//! Answers whose bodies do not end, or are far too long.

use std::time::Duration;

use inkhook_bench::receive::{Receiver, ReceiverOptions};
use tokio::task::block_in_place;

use super::{SLACK, Scene, TIMEOUT, error};
use crate::support::ask::Api;
use crate::support::running::{RunningServer, wait_for};
use crate::support::time::now;

/// What is read of a body at most.
const CAP: usize = 16 * 1024;
/// What the two ends' socket buffers may hold beyond it: the largest that Linux lets a socket grow to by itself,
/// 4 MiB to send (`tcp_wmem`) and 6 MiB to receive (`tcp_rmem`).
const SOCKET_BUFFERS: u64 = 10 * 1024 * 1024;
/// What such a body may cost in memory.
const COST_KIB: u64 = 1024;

/// Svix: the task is held for 90 s under a limit of 2 s, until the receiver stops; logged as a success after 2 ms.
#[tokio::test]
async fn a_body_that_drips_ends_at_the_limit_of_the_whole_attempt_and_is_a_failure() {
    let mut scene = Scene::new("drip").await;
    let began = now();
    let event = scene.publish().await;
    let took = now() - began;
    assert!((TIMEOUT..TIMEOUT + SLACK).contains(&took), "{took:?}");
    assert_eq!(scene.state(&event).await, "queued", "it is tried again");
    let log = scene.attempts().await;
    assert_eq!((log.len(), &log[0]["response_status"]), (1, &200.into()));
    assert_eq!(error(&log[0]), "no answer within 1 s while reading the response body");
    // The next byte finds nobody.
    block_in_wait("the receiver notices", || scene.group("drip").given_up == 1);
    assert!(scene.group("drip").body_bytes <= 8, "half a second a byte");
    scene.server.leave_queued();
}

/// Waits for what the receiver's own threads do.
fn block_in_wait(what: &str, mut look: impl FnMut() -> bool) {
    wait_for(what, || look().then_some(()));
}

/// Svix: memory goes from 41 MB to 440 MB for one delivery with 256 MiB.
#[tokio::test]
async fn nothing_is_read_after_the_cap() {
    for mode in ["flood", "bomb"] {
        let scene = Scene::new(mode).await;
        let event = scene.publish().await;
        assert_eq!(scene.state(&event).await, "succeeded", "{mode}: the status is what counts");
        let log = scene.attempts().await;
        let kept = log[0]["response_body"].as_str().expect("text");
        assert!(kept.chars().count() <= CAP, "{mode}: {}", kept.chars().count());
        if mode == "flood" {
            block_in_wait("the receiver is told to stop", || scene.group(mode).given_up == 1);
            let written = scene.group(mode).body_bytes;
            assert!((CAP as u64..CAP as u64 + SOCKET_BUFFERS).contains(&written), "{mode}: {written}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_256_mib_or_a_bomb_costs_less_than_a_mebibyte_of_memory() {
    let server = block_in_place(RunningServer::start_blocking);
    let receiver = Receiver::start(ReceiverOptions::default()).expect("a free port");
    let api = Api { address: server.api, key: server.admin_key.clone() };
    let mut mailboxes = Vec::new();
    for mode in ["ok", "flood", "bomb"] {
        let mailbox = api.identity(mode).await;
        api.subscribe(&mailbox, &receiver.url(&format!("/{mode}")), &["message.received"]).await;
        mailboxes.push((mode, mailbox));
    }
    let deliver = async |mode: &str, mailbox, count: u64| {
        let before = receiver.stats().group(mode).deliveries;
        for _ in 0..count {
            api.publish(mailbox, "message.received", "hi").await;
        }
        let all = before + count;
        assert_eq!(block_in_place(|| receiver.wait(mode, all, Duration::from_secs(20))), all);
    };
    // What every delivery needs, whatever is answered.
    let (_, ok) = &mailboxes[0];
    deliver("ok", ok, 50).await;
    for (mode, mailbox) in &mailboxes[1..] {
        let before = memory(&server);
        deliver(mode, mailbox, 1).await;
        // Its end is committed before what comes after it is accepted and delivered.
        deliver("ok", ok, 1).await;
        let grown = memory(&server).peak_kib.saturating_sub(before.now_kib);
        assert!(grown < COST_KIB, "{mode}: {grown} KiB");
    }
}

#[derive(Debug, Clone, Copy)]
struct Memory {
    now_kib: u64,
    peak_kib: u64,
}

/// Resident memory now, and the most since this was last asked.
fn memory(server: &RunningServer) -> Memory {
    let process = format!("/proc/{}", server.id());
    let status = std::fs::read_to_string(format!("{process}/status")).expect("a process of ours");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field of every process");
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
    };
    // 5: the peak begins anew.
    std::fs::write(format!("{process}/clear_refs"), "5").expect("a process of ours");
    Memory { now_kib: field("VmRSS:"), peak_kib: field("VmHWM:") }
}
