//! A server of ours as a process: started, looked at through `/proc`, stopped by its id.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::api::Api;
use crate::clock::{Clock, micros, pause};

/// The first admin key of every server that is started here.
const ADMIN_KEY: &str = "inkhook-bench-admin-key";
/// What seals the secrets of every database server's store here: all nodes of one must have the same.
const MASTER_KEY: &str = "aW5raG9vay1iZW5jaDogb2Ygbm8gdXNlIHRvIHlvdSE=";
/// How long a start may take; a migration of a large database is part of it.
const START_DEADLINE: Duration = Duration::from_mins(2);
/// How long a stop may take before the process is killed.
const STOP_DEADLINE: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// What `/proc/PID/stat` counts in, on every Linux.
const TICK_US: u64 = 10_000;

/// How a server is started.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The binary `inkhook`.
    pub binary: PathBuf,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// Its database, when that is not a file in the data directory.
    pub database_url: Option<String>,
    /// Each commit takes so much longer, as on a disk that is slow to sync.
    pub commit_delay_ms: u64,
}

impl ServerOptions {
    /// The binary, with nothing of this process's environment, told where the database is.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear();
        if let Some(url) = &self.database_url {
            command.env("INKHOOK_DATABASE__URL", url).env("INKHOOK_SECURITY__MASTER_KEY", MASTER_KEY);
        }
        command
    }
}

/// See the module. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    /// Its API.
    pub api: SocketAddr,
    /// From its start to the first 200 of `/readyz`, in microseconds.
    pub ready_us: u64,
    options: ServerOptions,
    child: Child,
}

impl Server {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// It cannot be started, or does not become ready; what it logged is in `server.log` beside its data.
    pub fn start(options: ServerOptions) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&options.data_dir)?;
        let log = File::create(options.data_dir.join("server.log"))?;
        let clock = Clock::start();
        let began_us = clock.now_us();
        let mut command = options.command();
        command
            .env("INKHOOK_BOOTSTRAP__ADMIN_KEY", ADMIN_KEY)
            .env("INKHOOK_LIMITS__REQUESTS_PER_SECOND", "1000000")
            .env("INKHOOK_SERVER__SHUTDOWN_TIMEOUT_S", "1")
            .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--smtp-listen", "off", "--data-dir"])
            .arg(&options.data_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        if options.commit_delay_ms > 0 {
            command.env("INKHOOK_MEASURE__COMMIT_DELAY_MS", options.commit_delay_ms.to_string());
        }
        let child = command.spawn();
        let child = child.with_context(|| format!("cannot start {}", options.binary.display()))?;
        let mut server = Self { api: ([127, 0, 0, 1], 0).into(), ready_us: 0, options, child };
        server.api = server.listening()?;
        while !server.is_ready() {
            if clock.now_us() - began_us > micros(START_DEADLINE) {
                bail!("not ready within {START_DEADLINE:?}: {}", server.log());
            }
            pause(LOOK_EVERY);
        }
        server.ready_us = clock.now_us() - began_us;
        Ok(server)
    }

    /// Where it says that it listens.
    fn listening(&mut self) -> anyhow::Result<SocketAddr> {
        let stdout = self.child.stdout.take().context("no standard output")?;
        let (found, listening) = mpsc::channel();
        // Reads to the end, so that the server never blocks on a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let api = line.strip_prefix("listening api=http://").and_then(|rest| rest.split(' ').next());
                if let Some(address) = api.and_then(|address| address.parse().ok())
                    && found.send(address).is_err()
                {
                    // The deadline has passed, and the server is being killed.
                    return;
                }
            }
        });
        listening
            .recv_timeout(START_DEADLINE)
            .map_err(|_| anyhow::anyhow!("it did not say where it listens: {}", self.log()))
    }

    fn is_ready(&self) -> bool {
        Api::new(self.api, "").call("GET", "/readyz", None).is_ok()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.options.data_dir.join("server.log")).unwrap_or_default()
    }

    /// Its API, as the admin of the organisation `default`.
    pub fn admin(&self) -> Api {
        Api::new(self.api, ADMIN_KEY)
    }

    /// A key that acts for any organisation.
    ///
    /// # Errors
    /// The command fails.
    pub fn operator(&self) -> anyhow::Result<Api> {
        let key = self.command(&["keys", "create", "--operator"])?;
        Ok(Api::new(self.api, key.trim()))
    }

    /// Makes an organisation; its id.
    ///
    /// # Errors
    /// The command fails.
    pub fn organization(&self, name: &str) -> anyhow::Result<String> {
        let line = self.command(&["org", "create", name])?;
        Ok(line.split_whitespace().next().context("no id")?.to_owned())
    }

    fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = self.options.command();
        let output = command.args(arguments).arg("--data-dir").arg(&self.options.data_dir).output()?;
        if !output.status.success() {
            bail!("inkhook {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// CPU time that it has used so far, in microseconds.
    pub fn cpu_us(&self) -> u64 {
        cpu_us(&self.child.id().to_string())
    }

    /// Memory that it has now, in KiB.
    pub fn rss_kib(&self) -> u64 {
        status_kib(self.child.id(), "VmRSS:")
    }

    /// The most memory that it has had, in KiB.
    pub fn peak_kib(&self) -> u64 {
        status_kib(self.child.id(), "VmHWM:")
    }

    /// Asks it to stop (SIGTERM) and waits until it has; kills it when that takes too long.
    ///
    /// # Errors
    /// It ended badly.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().to_string();
        // `kill` is a command here: the crate has no unsafe code.
        Command::new("sh").args(["-c", "kill -TERM \"$0\"", &pid]).status()?;
        let clock = Clock::start();
        let began_us = clock.now_us();
        while clock.now_us() - began_us < micros(STOP_DEADLINE) {
            if let Some(status) = self.child.try_wait()? {
                anyhow::ensure!(status.success(), "the server ended with {status}: {}", self.log());
                return Ok(());
            }
            pause(LOOK_EVERY);
        }
        bail!("the server did not stop within {STOP_DEADLINE:?}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// CPU time that a process has used, its threads' included; `self` is this one.
pub(crate) fn cpu_us(pid: &str) -> u64 {
    // utime and stime, its fields 14 and 15.
    ticks_us(pid, 14)
}

/// CPU time of its children that have ended and that it has waited for.
pub(crate) fn ended_children_cpu_us(pid: &str) -> u64 {
    // cutime and cstime.
    ticks_us(pid, 16)
}

/// Two fields of `/proc/PID/stat`, counted as its manual does, from one.
fn ticks_us(pid: &str, first: usize) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses, field 2, may hold spaces.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let ticks =
        fields.split_whitespace().skip(first - 3).take(2).filter_map(|field| field.parse::<u64>().ok());
    ticks.sum::<u64>() * TICK_US
}

fn status_kib(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Bytes of the database in a data directory, its write-ahead log included.
pub(crate) fn database_bytes(data_dir: &Path) -> u64 {
    let length = |name: &str| std::fs::metadata(data_dir.join(name)).map_or(0, |meta| meta.len());
    length("inkhook.db") + length("inkhook.db-wal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_can_be_looked_at() {
        let began = cpu_us("self");
        let mut number = 0_u64;
        while cpu_us("self") <= began {
            number = std::hint::black_box(number.wrapping_add(1));
        }
        assert!(status_kib(std::process::id(), "VmRSS:") > 100);
        assert!(status_kib(std::process::id(), "VmHWM:") >= status_kib(std::process::id(), "VmRSS:") / 2);
    }
}
