//! What bad neighbours do to a healthy URL.
//!
//! The healthy URL gets 200 events a second. Each neighbour belongs to another organisation and gets 20. *Alone*
//! is the same server with the same subscriptions and rates while all neighbours are healthy; a *pair* is one run
//! alone and one beside bad neighbours, in alternating order, each on a server and a store of its own. The figure
//! is the median of the pairs' ratios of the healthy URL's p99, from publish to arrival. An event of the healthy URL
//! that was refused, or had not arrived a minute after the last publish, counts as one that took a minute.

use std::sync::Arc;
use std::time::Duration;

use crate::api::Api;
use crate::drive::{Pace, Template};
use crate::latency::{Latency, float};
use crate::matrix::{Plan, attempt};
use crate::receive::{Mode, Receiver, ReceiverOptions};
use crate::scene::Scene;
use crate::seed::{Due, Seed, seed};
use crate::table::{Row, Table, Target, thousands};

/// Events a second of the healthy URL, and of each neighbour.
const HEALTHY_RATE: f64 = 200.0;
const NEIGHBOUR_RATE: f64 = 20.0;
/// Connections that publish for the healthy URL, and for all neighbours.
const HEALTHY_CONNECTIONS: usize = 8;
const NEIGHBOUR_CONNECTIONS: usize = 64;
const BODY_BYTES: usize = 1_000;
/// The receiver's group of all neighbours.
const NEAR: &str = "near";
/// Before a run counts; and what is reported apart when all begin to hang at once.
const FIRST: Duration = Duration::from_secs(2);
/// The p99 beside bad neighbours may be so many times that alone.
const BOUND: f64 = 1.25;
/// A receiver whose queue gets long is one that does not keep up.
const SLOW_MS: u32 = 100;

/// Who lives next door.
#[derive(Debug, Clone)]
struct Neighbourhood {
    id: &'static str,
    what: String,
    organizations: usize,
    urls_each: usize,
    mode: Mode,
    /// They turn bad while it is measured, not before.
    sudden: bool,
    /// Deliveries that wait for the first of them.
    queued: u64,
    /// They are healthy, and ask for the last fifty mails of a thread with each one.
    contexts: bool,
}

/// The names by which neighbourhoods are asked for.
pub const IDS: [&str; 5] = ["hang", "reset", "sudden", "context", "queued"];

/// A queue can be written into a file only.
fn neighbourhoods(long_queue: u64, is_server: bool) -> Vec<Neighbourhood> {
    let twenty = |id, what: &str, mode| Neighbourhood {
        id,
        what: what.into(),
        organizations: 20,
        urls_each: 1,
        mode,
        sudden: false,
        queued: 0,
        contexts: false,
    };
    let mut all = vec![
        twenty("hang", "20 that hang", Mode::Hang),
        twenty("reset", "20 that reset", Mode::Reset),
        Neighbourhood {
            organizations: 50,
            urls_each: 10,
            sudden: true,
            ..twenty("sudden", "500 of 50 organisations that begin to hang at once", Mode::Hang)
        },
        Neighbourhood {
            contexts: true,
            ..twenty("context", "20 that get fifty earlier mails with each one", Mode::Ok)
        },
        Neighbourhood {
            organizations: 1,
            queued: long_queue,
            ..twenty(
                "queued",
                &format!("one with {} queued, which takes {SLOW_MS} ms for each", thousands(long_queue)),
                Mode::Slow(SLOW_MS),
            )
        },
    ];
    all.retain(|one| one.queued == 0 || !is_server);
    all
}

/// Every neighbourhood that is asked for.
pub fn all(plan: &Plan, table: &mut Table) {
    let mut asked = neighbourhoods(plan.long_queue, plan.setting.store.is_server());
    asked.retain(|one| plan.neighbourhoods.is_empty() || plan.neighbourhoods.iter().any(|id| id == one.id));
    for neighbourhood in asked {
        for pair in 0..plan.pairs {
            let what = format!("neighbours: {}, pair {}", neighbourhood.what, pair + 1);
            attempt(table, &what, &mut |table| neighbourhood.pair(plan, table, pair));
        }
    }
}

/// How long the healthy URL's events took, in the first seconds and afterwards.
struct Healthy {
    first: Latency,
    rest: Latency,
}

impl Neighbourhood {
    fn pair(&self, plan: &Plan, table: &mut Table, number: usize) -> anyhow::Result<()> {
        let (alone, beside) = if number.is_multiple_of(2) {
            let alone = self.run(plan, false)?;
            (alone, self.run(plan, true)?)
        } else {
            let beside = self.run(plan, true)?;
            (self.run(plan, false)?, beside)
        };
        let mut add = |id: &str, what: String, unit, target, figure: f64| {
            table.add(Row::new(format!("neighbours.{}.{id}", self.id), what, unit, target), figure);
        };
        let ms = |micros: u64| float(micros) / 1000.0;
        let p99_ms = |latency: &Latency| ms(latency.at(0.99));
        let ratio = |beside: &Latency, alone: &Latency| p99_ms(beside) / p99_ms(alone).max(0.001);
        let what = &self.what;
        add(
            "alone",
            format!("healthy p99 alone, neighbours: {what}"),
            "ms",
            Target::None,
            p99_ms(&alone.rest),
        );
        add("beside", "… beside them".into(), "ms", Target::None, p99_ms(&beside.rest));
        add("max", "… beside them, the longest".into(), "ms", Target::None, ms(beside.rest.max()));
        let bound = Target::AtMost(BOUND);
        add("ratio", "… beside against alone".into(), "×", bound, ratio(&beside.rest, &alone.rest));
        if self.sudden {
            let first = ratio(&beside.first, &alone.first);
            add("first", "… in the first 2 s, p99".into(), "ms", Target::None, p99_ms(&beside.first));
            add("first_ratio", "… in the first 2 s, against alone".into(), "×", Target::None, first);
        }
        Ok(())
    }

    fn run(&self, plan: &Plan, bad: bool) -> anyhow::Result<Healthy> {
        let home = plan.setting.home()?;
        let options = ReceiverOptions { threads: plan.setting.threads, ..ReceiverOptions::default() };
        let mut scene = Scene::start_with(&plan.setting, &home, 0, Receiver::start(options)?)?;
        let agents = self.settle(&scene, bad)?;
        let healthy = scene.api.agent("healthy")?;
        scene.api.subscribe(&healthy, &scene.url(), 1)?;
        if bad && !self.sudden {
            scene.receiver.set(NEAR, self.mode);
        }
        if bad && self.queued > 0 {
            let url = scene.receiver.url(&format!("/{NEAR}/0/%"));
            let receiver = scene.stop()?;
            let rows =
                Seed { url_like: &url, deliveries: self.queued, due: Due::Now, body_bytes: BODY_BYTES };
            seed(home.path(), &rows)?;
            scene = Scene::start_with(&plan.setting, &home, 0, receiver)?;
        }
        let templates = agents
            .iter()
            .map(|(api, agent)| {
                let api = api.at(scene.first().api);
                if self.contexts {
                    api.mail_of_a_thread(agent, BODY_BYTES)
                } else {
                    api.event(agent, BODY_BYTES)
                }
            })
            .collect::<anyhow::Result<Vec<Template>>>()?;
        let template = scene.api.event(&healthy, BODY_BYTES)?;
        let found = self.measure(plan, &scene, templates, &template, bad);
        scene.stop()?;
        found
    }

    /// Makes the neighbours; for each, who publishes for it.
    fn settle(&self, scene: &Scene, bad: bool) -> anyhow::Result<Vec<(Api, crate::api::Agent)>> {
        let operator = scene.first().operator()?;
        let mut agents = Vec::new();
        for organization in 0..self.organizations {
            let id = scene.first().organization(&format!("near-{organization}"))?;
            let api = operator.acting_for(&id);
            for number in 0..self.urls_each {
                let agent = api.agent(&format!("near-{organization}-{number}"))?;
                let path = format!("/{NEAR}/{organization}/{number}");
                let url = scene.receiver.url(&path);
                if bad && self.contexts {
                    api.ask_for_contexts(&agent, &url)?;
                } else {
                    api.subscribe(&agent, &url, 1)?;
                }
                agents.push((api.clone(), agent));
            }
        }
        Ok(agents)
    }

    fn measure(
        &self,
        plan: &Plan,
        scene: &Scene,
        templates: Vec<Template>,
        template: &Template,
        bad: bool,
    ) -> anyhow::Result<Healthy> {
        let time = plan.neighbours_time;
        let rate = NEIGHBOUR_RATE * float(templates.len() as u64);
        // They go on for as long as the healthy one is measured, whatever that takes.
        let near = scene.load(templates, NEIGHBOUR_CONNECTIONS, Pace::Open(rate), FIRST * 2 + time);
        let healthy =
            |time| scene.load(vec![template.clone()], HEALTHY_CONNECTIONS, Pace::Open(HEALTHY_RATE), time);
        std::thread::scope(|scope| {
            let near = scope.spawn(move || near.run(&Arc::default()));
            scene.measure(&healthy(FIRST), 1)?;
            if bad && self.sudden {
                scene.receiver.set(NEAR, self.mode);
            }
            let first = scene.measure(&healthy(FIRST), 1)?;
            let rest = scene.measure(&healthy(time), 1)?;
            near.join().expect("a load does not panic")?;
            Ok(Healthy { first: first.honest_arrival(), rest: rest.honest_arrival() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_no_neighbour_on_a_database_server() {
        let ids =
            |is_server| neighbourhoods(1_000, is_server).into_iter().map(|one| one.id).collect::<Vec<_>>();
        assert_eq!(ids(false), IDS);
        assert_eq!(ids(true), ["hang", "reset", "sudden", "context"]);
    }
}
