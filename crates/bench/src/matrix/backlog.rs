//! What a long queue costs those who have nothing to do with it.
//!
//! Three forms: one subscription of another organisation is paused and everything waits for it; a thousand
//! subscriptions have retries that are due later; a thousand subscriptions have a backlog that is due now and
//! drains. Throughput and latency of a fresh subscription are compared with the same server's without a queue,
//! measured in turns.

use std::time::Duration;

use anyhow::Context;
use serde_json::json;

use super::{Plan, attempt};
use crate::api::SUBSCRIPTIONS;
use crate::clock::{Clock, pause};
use crate::drive::Pace;
use crate::latency::{float, per_second};
use crate::receive::{Receiver, ReceiverOptions};
use crate::scene::Scene;
use crate::seed::{Due, Seed, seed};
use crate::store::Home;
use crate::table::{Row, Table, Target, median, thousands};

/// Bytes of text in the mails that wait.
const QUEUED_BYTES: usize = 1_000;
const CONNECTIONS: usize = 64;
const RATE: f64 = 1_000.0;
/// Subscriptions of the forms that have many.
const MANY: usize = 1_000;
/// The group of the receiver that the queue is for.
const QUEUED: &str = "queued";
/// Answers that pause a subscription.
const PAUSING: &str = "status-410";
/// How long a subscription may take to be paused.
const PAUSE_DEADLINE: Duration = Duration::from_secs(10);
/// The backlog that drains is watched for this part of a load's time, so that something is left.
const DRAIN_TIME: u32 = 2;
/// A quarter of each load is a warm-up.
const WARM_UP: u32 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Blocked,
    Retries,
    Draining,
}

impl Form {
    fn id(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Retries => "retries",
            Self::Draining => "draining",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Blocked => "wait for one paused subscription",
            Self::Retries => "wait for retries of 1,000 subscriptions",
            Self::Draining => "are due and drain",
        }
    }
}

/// A stopped server's store with so many deliveries in its queue.
struct Prepared {
    home: Home,
    queued: u64,
    /// Whose queue it is.
    organization: String,
}

/// Every form.
pub(super) fn all(plan: &Plan, table: &mut Table) {
    for form in [Form::Blocked, Form::Retries] {
        attempt(table, &format!("a queue whose deliveries {}", form.what()), &mut |table| {
            compare(plan, table, form)
        });
    }
    attempt(table, "a queue that drains", &mut |table| draining(plan, table));
}

/// A directory with agents, their subscriptions and a queue. The receiver must be the one of later starts.
fn prepare(plan: &Plan, form: Form, queued: u64, receiver: Receiver) -> anyhow::Result<(Prepared, Receiver)> {
    let home = plan.setting.home()?;
    let scene = Scene::start_with(&plan.setting, &home, 0, receiver)?;
    let organization = scene.first().organization("other")?;
    let other = scene.first().operator()?.acting_for(&organization);
    let (agents, segment) = match form {
        Form::Blocked => (1, PAUSING),
        Form::Retries | Form::Draining => (MANY, QUEUED),
    };
    for number in 0..agents {
        let agent = other.agent(&format!("other-{number}"))?;
        other.subscribe(&agent, &scene.receiver.url(&format!("/{segment}/{number}")), 1)?;
        if form == Form::Blocked {
            // One 410 pauses it, as it would in life.
            let load = crate::drive::Load {
                until: crate::drive::Until::Requests(1),
                ..scene.load(vec![other.event(&agent, 10)?], 1, Pace::Closed, Duration::ZERO)
            };
            scene.receiver.reset();
            load.run(&std::sync::Arc::default())?;
            anyhow::ensure!(
                scene.receiver.wait(PAUSING, 1, PAUSE_DEADLINE) == 1,
                "no delivery to be refused"
            );
        }
    }
    let agent = scene.api.agent("fresh")?;
    scene.api.subscribe(&agent, &scene.url(), 1)?;
    let receiver = scene.stop()?;
    if queued > 0 {
        let url = receiver.url(&format!("/{segment}/%"));
        let due = if form == Form::Retries { Due::WithinTheHour } else { Due::Now };
        seed(home.path(), &Seed { url_like: &url, deliveries: queued, due, body_bytes: QUEUED_BYTES })?;
    }
    Ok((Prepared { home, queued, organization }, receiver))
}

/// What a fresh subscription gets.
struct Fresh {
    per_second: f64,
    p50_us: u64,
}

fn compare(plan: &Plan, table: &mut Table, form: Form) -> anyhow::Result<()> {
    let mut receiver =
        Receiver::start(ReceiverOptions { threads: plan.setting.threads, ..ReceiverOptions::default() })?;
    let mut prepared = Vec::new();
    for queued in [0, plan.long_queue / 10, plan.long_queue] {
        let (one, back) = prepare(plan, form, queued, receiver)?;
        receiver = back;
        prepared.push((one, Vec::new()));
    }
    // Whoever comes first after the preparation pays for it: that run does not count.
    (_, receiver) = fresh(plan, table, form, &prepared[0].0, receiver)?;
    for round in 0..plan.runs {
        for place in 0..prepared.len() {
            let turn = (round + place) % prepared.len();
            let (one, runs) = &mut prepared[turn];
            let (fresh, back) = fresh(plan, table, form, one, receiver)?;
            receiver = back;
            runs.push(fresh);
        }
    }
    if form == Form::Blocked {
        changes(plan, table, &prepared.last().expect("three").0, receiver)?;
    }
    let middle = |runs: &[Fresh], read: fn(&Fresh) -> f64| {
        median(&runs.iter().map(read).collect::<Vec<_>>()).unwrap_or(0.0)
    };
    let (empty, long) = prepared.split_first().expect("three");
    for (one, runs) in long {
        let row = |id: &str, what: &str, target| {
            let id = format!("queue.{}.{}.{id}", form.id(), one.queued);
            Row::new(id, format!("{what}, {} deliveries {}", thousands(one.queued), form.what()), "×", target)
        };
        let throughput =
            middle(runs, |fresh| fresh.per_second) / middle(&empty.1, |fresh| fresh.per_second).max(1.0);
        table.add(row("throughput", "throughput against an empty queue", Target::AtLeast(0.85)), throughput);
        let p50 = |runs: &[Fresh]| middle(runs, |fresh| float(fresh.p50_us)).max(1.0);
        let latency = p50(runs) / p50(&empty.1);
        table.add(row("p50", "p50 at 1,000/s against an empty queue", Target::AtMost(1.15)), latency);
    }
    Ok(())
}

/// How long it takes until a change of the subscription that everything waits for is answered.
fn changes(plan: &Plan, table: &mut Table, prepared: &Prepared, receiver: Receiver) -> anyhow::Result<()> {
    let scene = Scene::start_with(&plan.setting, &prepared.home, 0, receiver)?;
    let other = scene.first().operator()?.acting_for(&prepared.organization);
    let listed = other.call("GET", SUBSCRIPTIONS, None)?;
    let id = listed["subscriptions"][0]["id"].as_str().context("the subscription is not listed")?;
    let path = format!("{SUBSCRIPTIONS}/{id}");
    let (resume, pause) = (format!("{path}/resume"), format!("{path}/pause"));
    // None of its type is selected any more: all that waits is cancelled.
    let narrow = json!({"event_types": ["message.sent"]});
    let changes = [
        ("resume", "POST", &resume, None),
        ("pause", "POST", &pause, None),
        ("narrow", "PATCH", &path, Some(&narrow)),
        ("delete", "DELETE", &path, None),
    ];
    let clock = Clock::start();
    for (change, method, path, body) in changes {
        let began = clock.now_us();
        other.call(method, path, body)?;
        let what = format!("{change}, {} deliveries queued", thousands(prepared.queued));
        let row = Row::new(format!("queue.change.{change}"), what, "ms", Target::AtMost(50.0));
        table.add(row, float(clock.now_us() - began) / 1000.0);
    }
    scene.stop()?;
    Ok(())
}

/// Throughput, then latency, of the subscription that has no queue.
fn fresh(
    plan: &Plan,
    table: &mut Table,
    form: Form,
    prepared: &Prepared,
    receiver: Receiver,
) -> anyhow::Result<(Fresh, Receiver)> {
    let scene = Scene::start_with(&plan.setting, &prepared.home, 0, receiver)?;
    if form == Form::Blocked && prepared.queued == plan.long_queue {
        let what = format!("start to ready, {} queued", thousands(prepared.queued));
        let row = Row::new("start.queued", what, "ms", Target::AtMost(1_000.0));
        table.add(row, float(scene.first().ready_us) / 1000.0);
    }
    let agent = scene.api.agent(&format!("fresh-{}", Clock::start().now_us()))?;
    scene.api.subscribe(&agent, &format!("{}/{}", scene.url(), agent.handle), 1)?;
    let template = scene.api.event(&agent, QUEUED_BYTES)?;
    let load = |pace, time| scene.load(vec![template.clone()], CONNECTIONS, pace, time);
    let time = plan.setting.time;
    scene.measure(&load(Pace::Closed, time / WARM_UP), 1)?;
    let saturated = scene.measure(&load(Pace::Closed, time), 1)?;
    let paced = scene.measure(&load(Pace::Open(RATE), time), 1)?;
    if form == Form::Blocked && prepared.queued == plan.long_queue {
        let what = format!("memory (RSS, peak), {} queued, after a load", thousands(prepared.queued));
        let row = Row::new("memory.queued", what, "MiB", Target::AtMost(150.0));
        table.add(row, float(scene.first().peak_kib()) / 1024.0);
    }
    let receiver = scene.stop()?;
    saturated.check()?;
    paced.check()?;
    let fresh = Fresh { per_second: saturated.delivered_per_second(), p50_us: paced.arrival().at(0.5) };
    Ok((fresh, receiver))
}

fn draining(plan: &Plan, table: &mut Table) -> anyhow::Result<()> {
    let receiver =
        Receiver::start(ReceiverOptions { threads: plan.setting.threads, ..ReceiverOptions::default() })?;
    let (prepared, receiver) = prepare(plan, Form::Draining, plan.long_queue, receiver)?;
    let (drained_per_second, receiver) = drain(plan, &prepared.home, receiver)?;
    let row = |id: &str, what: &str, unit| {
        let what = format!("{what}, {} deliveries {}", thousands(prepared.queued), Form::Draining.what());
        Row::new(format!("queue.draining.{id}"), what, unit, Target::None)
    };
    table.add(row("rate", "drained", "/s").rate(), drained_per_second);
    let scene = Scene::start_with(&plan.setting, &prepared.home, 0, receiver)?;
    let agent = scene.api.agent("late")?;
    scene.api.subscribe(&agent, &format!("{}/late", scene.url()), 1)?;
    let load = scene.load(
        vec![scene.api.event(&agent, QUEUED_BYTES)?],
        CONNECTIONS,
        Pace::Open(RATE),
        plan.setting.time,
    );
    let beside = scene.measure(&load, 1)?;
    let still = scene.receiver.stats().group(QUEUED).deliveries > 0;
    scene.stop()?;
    let mut p50 = row("p50", "p50 of a fresh subscription at 1,000/s", "ms");
    if !still {
        p50.note = "the queue was empty by then".into();
    }
    table.add(p50, float(beside.honest_arrival().at(0.5)) / 1000.0);
    Ok(())
}

/// Deliveries in a second while nothing else is asked of it.
fn drain(plan: &Plan, home: &Home, receiver: Receiver) -> anyhow::Result<(f64, Receiver)> {
    receiver.reset();
    let scene = Scene::start_with(&plan.setting, home, 0, receiver)?;
    pause(plan.setting.time / DRAIN_TIME);
    let group = scene.receiver.stats().group(QUEUED);
    let drained = per_second(group.deliveries, group.last_us.saturating_sub(group.first_us));
    Ok((drained, scene.stop()?))
}
