//! One measurement of our server: a server and a receiver, agents that are subscribed, a load, and what came of
//! it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::api::Api;
use crate::clock::micros;
use crate::drive::{Load, Pace, Tally, Template, Until};
use crate::latency::{Latency, float, per_second};
use crate::process::{Server, ServerOptions, cpu_us};
use crate::receive::{Group, Receiver, ReceiverOptions};

/// The receiver's group that is measured.
pub(crate) const MEASURED: &str = "measured";
/// How long the last deliveries may take after the last publish was answered.
const DRAIN: Duration = Duration::from_mins(1);

/// What all measurements have in common.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The binary `inkhook`.
    pub binary: PathBuf,
    /// A directory on the disk to be measured; each server gets one of its own in it.
    pub work_dir: PathBuf,
    /// How long each load goes on.
    pub time: Duration,
    /// Threads of the driver, and of the receiver.
    pub threads: usize,
}

/// A server and a receiver.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) server: Server,
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
    /// CPU time of the server.
    pub(crate) server_cpu_us: u64,
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
    /// Starts both on this data directory.
    pub(crate) fn start(setting: &Setting, data_dir: &Path, commit_delay_ms: u64) -> anyhow::Result<Self> {
        let receiver =
            Receiver::start(ReceiverOptions { threads: setting.threads, ..ReceiverOptions::default() })?;
        Self::start_with(setting, data_dir, commit_delay_ms, receiver)
    }

    /// The same with a receiver that is there already: subscriptions of an earlier start know its port.
    pub(crate) fn start_with(
        setting: &Setting,
        data_dir: &Path,
        commit_delay_ms: u64,
        receiver: Receiver,
    ) -> anyhow::Result<Self> {
        let (binary, data_dir) = (setting.binary.clone(), data_dir.to_owned());
        let server = Server::start(ServerOptions { binary, data_dir, commit_delay_ms })?;
        let api = server.admin();
        Ok(Self { server, receiver, api, threads: setting.threads })
    }

    /// Stops the server; the receiver goes on.
    pub(crate) fn stop(self) -> anyhow::Result<Receiver> {
        self.server.stop()?;
        Ok(self.receiver)
    }

    /// A load on this server.
    pub(crate) fn load(
        &self,
        templates: Vec<Template>,
        connections: usize,
        pace: Pace,
        time: Duration,
    ) -> Load {
        Load {
            addresses: [self.server.api].into(),
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
        let (server_cpu_us, tool_cpu_us) = (self.server.cpu_us(), cpu_us("self"));
        let tally = load.run(&Arc::new(AtomicU64::new(0)))?;
        let expected = tally.accepted * fan_out;
        self.receiver.wait(MEASURED, expected, DRAIN);
        Ok(Figures {
            server_cpu_us: self.server.cpu_us() - server_cpu_us,
            tool_cpu_us: cpu_us("self") - tool_cpu_us,
            group: self.receiver.stats().group(MEASURED),
            tally,
            expected,
        })
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
