//! How much goes through, and how long it takes, with nothing waiting.

use std::time::Duration;

use super::{Plan, attempt};
use crate::api::Agent;
use crate::drive::{Pace, Template};
use crate::latency::float;
use crate::process::database_bytes;
use crate::scene::{Figures, Scene};
use crate::store::Store;
use crate::table::{Row, Table, Target};

/// Connections that publish unless a row says otherwise.
const CONNECTIONS: usize = 64;
/// Bytes of text in a mail unless a row says otherwise.
const BODY_BYTES: usize = 1_000;
/// Bytes of text in a mail whose signed body is 1,024 bytes.
const TEXT_OF_1_KB: usize = 285;
/// Of each load, this part is a warm-up that does not count.
const WARM_UP: u32 = 4;
/// Events of a batch.
const BATCH: u64 = 100;
/// The open loop of the latency rows.
const RATE: f64 = 1_000.0;

/// A saturated server: as many publishes as a number of connections can make.
#[derive(Debug, Clone)]
pub(super) struct Saturated {
    id: String,
    what: String,
    target: Target,
    connections: usize,
    batch: u64,
    fan_out: usize,
    body_bytes: usize,
    agents: usize,
    commit_delay_ms: u64,
}

/// What came of it, and the bytes of a file that it took for each delivery, where there is a file.
type Measured = (Figures, Option<f64>);

impl Saturated {
    pub(super) fn new(id: &str, what: &str, target: Target) -> Self {
        Self {
            id: id.into(),
            what: what.into(),
            target,
            connections: CONNECTIONS,
            batch: 1,
            fan_out: 1,
            body_bytes: BODY_BYTES,
            agents: 1,
            commit_delay_ms: 0,
        }
    }

    fn row(&self) -> Row {
        Row::new(&*self.id, &*self.what, "/s", self.target).rate()
    }

    /// The figures, and the bytes of the database's file for each delivery.
    fn measure(&self, plan: &Plan) -> anyhow::Result<Measured> {
        let home = plan.setting.home()?;
        let scene = Scene::start(&plan.setting, &home, self.commit_delay_ms)?;
        let mut templates = Vec::new();
        for number in 0..self.agents {
            let agent = scene.api.agent(&format!("agent-{number}"))?;
            scene.api.subscribe(&agent, &format!("{}/{number}", scene.url()), self.fan_out)?;
            templates.push(self.template(&scene, &agent)?);
        }
        let empty = database_bytes(home.path());
        let time = plan.setting.time;
        let load = |time: Duration| scene.load(templates.clone(), self.connections, Pace::Closed, time);
        let warm_up = scene.measure(&load(time / WARM_UP), self.fan_out as u64)?;
        let figures = scene.measure(&load(time), self.fan_out as u64)?;
        scene.stop()?;
        let all = warm_up.group.deliveries + figures.group.deliveries;
        let bytes = float(database_bytes(home.path()).saturating_sub(empty)) / float(all.max(1));
        Ok((figures, (!plan.setting.store.is_server()).then_some(bytes)))
    }

    fn template(&self, scene: &Scene, agent: &Agent) -> anyhow::Result<Template> {
        match self.batch {
            1 => scene.api.event(agent, self.body_bytes),
            events => scene.api.batch(agent, self.body_bytes, events),
        }
    }

    pub(super) fn run(&self, plan: &Plan, table: &mut Table) -> anyhow::Result<Option<Measured>> {
        let (figures, bytes) = self.measure(plan)?;
        if figures.tally.accepted == 0 {
            let refused: Vec<String> =
                figures.tally.refused.iter().map(|(status, count)| format!("{status} × {count}")).collect();
            // 405: the path is another route's.
            let is_missing = [404, 405].iter().any(|status| figures.tally.refused.contains_key(status));
            let why = if is_missing { "not there".to_owned() } else { refused.join(", ") };
            table.note(self.row(), why);
            return Ok(None);
        }
        figures.check()?;
        table.add(self.row(), figures.delivered_per_second());
        Ok(Some((figures, bytes)))
    }
}

/// One run of every row.
pub(super) fn round(plan: &Plan, table: &mut Table, round: usize) {
    let name = |what: &str| format!("{what}, run {}", round + 1);
    if plan.wants("single") {
        attempt(table, &name("single events"), &mut |table| single(plan, table));
    }
    for (part, rows) in rows(&plan.setting.store) {
        if !plan.wants(part) {
            continue;
        }
        for saturated in rows {
            attempt(table, &name(&saturated.what), &mut |table| saturated.run(plan, table).map(drop));
        }
    }
    if plan.wants("latency") {
        attempt(table, &name("latency"), &mut |table| latency(plan, table));
    }
}

/// The rows that have nothing but a rate.
fn rows(store: &Store) -> Vec<(&'static str, Vec<Saturated>)> {
    let plain = |id: &str, what: &str| Saturated::new(id, what, Target::None);
    let batch = Saturated {
        batch: BATCH,
        connections: 8,
        ..Saturated::new(
            "batch",
            "events in batches of 100, 8 connections",
            store.target(Target::AtLeast(30_000.0), Target::None),
        )
    };
    let fan_out = [(5, Target::None), (20, Target::AtLeast(40_000.0))].map(|(fan_out, target)| Saturated {
        fan_out,
        ..Saturated::new(&format!("fan_out.{fan_out}"), &format!("deliveries, fan-out {fan_out}"), target)
    });
    let payload = [16, 256].map(|kib| Saturated {
        body_bytes: kib * 1024,
        ..plain(&format!("payload.{kib}k"), &format!("events of {kib} KB"))
    });
    let subscriptions = [100, 1_000].map(|agents| Saturated {
        agents,
        ..plain(&format!("subscriptions.{agents}"), &format!("events over {agents} subscriptions"))
    });
    let delay = [(64, Target::None), (256, store.target(Target::AtLeast(18_000.0), Target::None))].map(
        |(connections, target)| Saturated {
            connections,
            commit_delay_ms: 2,
            ..Saturated::new(
                &format!("commit_delay.{connections}"),
                &format!("events, each sync 2 ms slower, {connections} connections"),
                target,
            )
        },
    );
    vec![
        ("batch", vec![batch]),
        ("fan-out", fan_out.into()),
        ("payload", payload.into()),
        ("subscriptions", subscriptions.into()),
        ("commit-delay", delay.into()),
    ]
}

fn single(plan: &Plan, table: &mut Table) -> anyhow::Result<()> {
    let target = plan.setting.store.target(Target::AtLeast(20_000.0), Target::AtLeast(14_000.0));
    let saturated = Saturated::new("single", "events accepted and delivered, 64 connections", target);
    let Some((figures, bytes)) = saturated.run(plan, table)? else { return Ok(()) };
    let row = |id: &str, what: &str, unit, target| Row::new(format!("single.{id}"), what, unit, target);
    let ms = |micros: u64| float(micros) / 1000.0;
    let arrival = figures.arrival();
    table.add(
        row("p50", "… from publish to arrival, saturated, p50", "ms", Target::None),
        ms(arrival.at(0.5)),
    );
    table.add(row("p99", "… p99", "ms", Target::None), ms(arrival.at(0.99)));
    table.add(
        row("cpu", "server CPU for a delivered event", "µs", Target::AtMost(60.0)),
        figures.server_cpu_each(),
    );
    table.add(
        row("tool_cpu", "driver and receiver CPU for one", "µs", Target::AtMost(30.0)),
        figures.tool_cpu_each(),
    );
    if let Some(each) = figures.database_cpu_each() {
        table.add(row("postgres_cpu", "CPU of Postgres for one", "µs", Target::None), each);
    }
    if let Some(bytes) = bytes {
        table.add(row("disk", "disk for an event delivered once", "KB", Target::None), bytes / 1000.0);
    }
    let mut small = Saturated::new("single.1k", "the same with a signed body of 1 KB", target);
    small.body_bytes = TEXT_OF_1_KB;
    if let Some((_, Some(bytes))) = small.run(plan, table)? {
        let what = "disk for an event delivered once, signed body of 1 KB";
        table.add(row("disk_1k", what, "KB", Target::AtMost(2.2)), bytes / 1000.0);
    }
    Ok(())
}

fn latency(plan: &Plan, table: &mut Table) -> anyhow::Result<()> {
    let home = plan.setting.home()?;
    let scene = Scene::start(&plan.setting, &home, 0)?;
    let agent = scene.api.agent("agent")?;
    scene.api.subscribe(&agent, &scene.url(), 1)?;
    let template = scene.api.event(&agent, BODY_BYTES)?;
    let time = plan.setting.time;
    let load = |time| scene.load(vec![template.clone()], CONNECTIONS, Pace::Open(RATE), time);
    scene.measure(&load(time / WARM_UP), 1)?;
    let figures = scene.measure(&load(time), 1)?;
    scene.stop()?;
    figures.check()?;
    let mut add = |id: &str, what: &str, target, micros: u64| {
        let target = plan.setting.store.target(target, Target::None);
        let row = Row::new(format!("latency.{id}"), what, "ms", target);
        table.add(row, float(micros) / 1000.0);
    };
    let arrival = figures.arrival();
    add("p50", "from publish to arrival at 1,000/s, p50", Target::AtMost(2.0), arrival.at(0.5));
    add("p99", "… p99", Target::AtMost(6.0), arrival.at(0.99));
    add(
        "answer_p50",
        "from publish to its answer at 1,000/s, p50",
        Target::None,
        figures.tally.answer.at(0.5),
    );
    add("send_lag_p99", "lag of the driver itself, p99", Target::None, figures.tally.lag.at(0.99));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Subscriptions that a mailbox or an identity can have.
    const OWNER_LIMIT: usize = 20;

    #[test]
    fn no_row_asks_for_more_subscriptions_than_an_owner_can_have() {
        let all: Vec<_> = rows(&Store::Sqlite).into_iter().flat_map(|(_, rows)| rows).collect();
        assert!(all.iter().all(|row| row.fan_out <= 2 * OWNER_LIMIT));
        let ids: std::collections::BTreeSet<_> = all.iter().map(|row| &row.id).collect();
        assert_eq!(ids.len(), all.len(), "each row has an id of its own");
    }

    #[test]
    fn every_part_can_be_asked_for_by_name() {
        assert!(rows(&Store::Sqlite).iter().all(|(part, _)| super::super::PARTS.contains(part)));
    }
}
