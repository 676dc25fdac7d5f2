//! One measurement of our server: one or more nodes and a receiver, agents that are subscribed, a load, and what came of
//! it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::api::Api;
use crate::clock::micros;
use crate::drive::{Load, Pace, Tally, Template, Until};
use crate::latency::{Latency, float, per_second};
use crate::process::{Server, ServerOptions, cpu_us};
use crate::receive::{Group, Receiver, ReceiverOptions};
use crate::store::{Home, Store};

/// The receiver's group that is measured.
pub(crate) const MEASURED: &str = "measured";
/// How long the last deliveries may take after the last publish was answered.
pub(crate) const DRAIN: Duration = Duration::from_mins(1);

/// Nodes that a measurement may have: beyond, the driver's connections and the machine are the measure.
pub const MOST_NODES: usize = 8;

/// What all measurements have in common.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The binary `inkhook`.
    pub binary: PathBuf,
    /// A directory on the disk to be measured; each server gets one of its own in it.
    pub work_dir: PathBuf,
    /// See there.
    pub store: Store,
    /// Servers that share each store; more than one on a database server only.
    pub nodes: usize,
    /// How long each load goes on.
    pub time: Duration,
    /// Threads of the driver, and of the receiver.
    pub threads: usize,
}

impl Setting {
    /// A store for the next measurement.
    pub(crate) fn home(&self) -> anyhow::Result<Home> {
        Home::make(&self.store, &self.work_dir)
    }
}

/// The nodes on one store, and a receiver. What is made is made on the first node; loads go to all.
#[derive(Debug)]
pub(crate) struct Scene {
    nodes: Vec<Server>,
    store: Store,
    pub(crate) receiver: Receiver,
    pub(crate) api: Api,
    threads: usize,
}

/// What came of a load.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    pub(crate) tally: Tally,
    pub(crate) group: Group,
    /// Deliveries that should have come.
    pub(crate) expected: u64,
    /// CPU time of the server, or of all nodes.
    pub(crate) server_cpu_us: u64,
    /// CPU time of the database server, where there is one.
    pub(crate) database_cpu_us: Option<u64>,
    /// CPU time of driver and receiver.
    pub(crate) tool_cpu_us: u64,
}

impl Figures {
    /// Deliveries in a second, from the first publish to the last arrival.
    pub(crate) fn delivered_per_second(&self) -> f64 {
        per_second(self.group.deliveries, self.group.last_us.saturating_sub(self.tally.began_us))
    }

    pub(crate) fn server_cpu_each(&self) -> f64 {
        float(self.server_cpu_us) / float(self.group.deliveries.max(1))
    }

    pub(crate) fn database_cpu_each(&self) -> Option<f64> {
        Some(float(self.database_cpu_us?) / float(self.group.deliveries.max(1)))
    }

    pub(crate) fn tool_cpu_each(&self) -> f64 {
        float(self.tool_cpu_us) / float(self.group.deliveries.max(1))
    }

    pub(crate) fn arrival(&self) -> &Latency {
        &self.group.latency
    }

    /// How long each event took that was to be published; what was not sent, was refused or did not arrive counts
    /// as having taken as long as anybody waited.
    pub(crate) fn honest_arrival(&self) -> Latency {
        let tally = &self.tally;
        let missing = self.expected.saturating_sub(self.group.deliveries);
        let refused: u64 = tally.refused.values().sum();
        let mut latency = self.group.latency.clone();
        for _ in 0..missing + refused + tally.unsent + tally.cut_off {
            latency.record(micros(DRAIN));
        }
        latency
    }

    /// Whether everything that was due was sent, and everything that was accepted arrived.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let unsent = self.tally.unsent;
        anyhow::ensure!(unsent == 0, "{unsent} requests were due and could not be sent");
        let missing = self.expected.saturating_sub(self.group.deliveries);
        anyhow::ensure!(missing == 0, "{missing} of {} deliveries did not arrive", self.expected);
        Ok(())
    }
}

impl Scene {
    /// Starts them on this store.
    pub(crate) fn start(setting: &Setting, home: &Home, commit_delay_ms: u64) -> anyhow::Result<Self> {
        let receiver =
            Receiver::start(ReceiverOptions { threads: setting.threads, ..ReceiverOptions::default() })?;
        Self::start_with(setting, home, commit_delay_ms, receiver)
    }

    /// The same with a receiver that is there already: subscriptions of an earlier start know its port.
    pub(crate) fn start_with(
        setting: &Setting,
        home: &Home,
        commit_delay_ms: u64,
        receiver: Receiver,
    ) -> anyhow::Result<Self> {
        let start = |number| {
            let (binary, database_url) = (setting.binary.clone(), home.database_url());
            Server::start(ServerOptions {
                binary,
                data_dir: home.node(number),
                database_url,
                commit_delay_ms,
            })
        };
        // One after the other: the first makes the schema.
        let nodes: Vec<Server> = (0..setting.nodes.max(1)).map(start).collect::<anyhow::Result<_>>()?;
        let api = nodes[0].admin();
        Ok(Self { nodes, store: setting.store.clone(), receiver, api, threads: setting.threads })
    }

    /// The first node; the only one, where there are no others.
    pub(crate) fn first(&self) -> &Server {
        &self.nodes[0]
    }

    /// Stops the nodes; the receiver goes on.
    pub(crate) fn stop(self) -> anyhow::Result<Receiver> {
        for node in self.nodes {
            node.stop()?;
        }
        Ok(self.receiver)
    }

    /// A load on all nodes.
    pub(crate) fn load(
        &self,
        templates: Vec<Template>,
        connections: usize,
        pace: Pace,
        time: Duration,
    ) -> Load {
        Load {
            addresses: self.nodes.iter().map(|node| node.api).collect(),
            templates: templates.into(),
            connections,
            pace,
            until: Until::Elapsed(time),
            honour_retry_after: true,
            threads: self.threads,
        }
    }

    /// Runs a load and waits until what it published has arrived at the measured group, each event `fan_out`
    /// times.
    pub(crate) fn measure(&self, load: &Load, fan_out: u64) -> anyhow::Result<Figures> {
        self.receiver.reset();
        let (server_cpu_us, tool_cpu_us) = (self.server_cpu_us(), cpu_us("self"));
        let database_cpu_us = self.store.cpu_us();
        let tally = load.run(&Arc::new(AtomicU64::new(0)))?;
        let expected = tally.accepted * fan_out;
        self.receiver.wait(MEASURED, expected, DRAIN);
        Ok(Figures {
            server_cpu_us: self.server_cpu_us() - server_cpu_us,
            database_cpu_us: self
                .store
                .cpu_us()
                .zip(database_cpu_us)
                .map(|(now, then)| now.saturating_sub(then)),
            tool_cpu_us: cpu_us("self") - tool_cpu_us,
            group: self.receiver.stats().group(MEASURED),
            tally,
            expected,
        })
    }

    fn server_cpu_us(&self) -> u64 {
        self.nodes.iter().map(Server::cpu_us).sum()
    }

    /// The URL that measured subscriptions point to.
    pub(crate) fn url(&self) -> String {
        self.receiver.url(&format!("/{MEASURED}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_arrive_is_not_left_out_of_how_long_it_took() {
        let mut figures = Figures {
            tally: Tally { accepted: 3, refused: [(429, 1)].into(), unsent: 1, ..Tally::default() },
            group: Group { deliveries: 2, ..Group::default() },
            expected: 3,
            server_cpu_us: 0,
            database_cpu_us: None,
            tool_cpu_us: 0,
        };
        figures.group.latency.record(1_000);
        figures.group.latency.record(1_000);
        let latency = figures.honest_arrival();
        assert_eq!(latency.count(), 5);
        assert!(latency.at(0.9) >= micros(DRAIN), "{}", latency.at(0.9));
        assert!(latency.at(0.4) <= 1_001, "{}", latency.at(0.4));
        assert!(figures.check().is_err());
        figures.tally.unsent = 0;
        assert!(figures.check().is_err());
        figures.group.deliveries = 3;
        figures.check().expect("all of it was sent and arrived");
    }
}
