//! A private Postgres server: made from the installed binaries, in a directory and on a port of its own.
//!
//! For tests and measurements only. Anyone on this machine may connect as its superuser; nobody else can, for it
//! listens on 127.0.0.1 and has no Unix socket. Whatever it leaves is in its directory. It never touches another
//! cluster of the machine, and a process is sent a signal only after it has been found to work in that directory.
//!
//! Postgres refuses to run as root. Started by root, everything runs as the user `postgres`, or `nobody`, and the
//! directory is given to that user; the way to it must be open for them.
//!
//! With `fsync` a commit is on disk before it is answered. Without it commits are as durable as the operating
//! system: they outlive a killed server, not a machine that loses power.

mod account;
mod binaries;
mod database;
mod pair;
pub(crate) mod process;
mod settings;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use self::account::Account;
use self::binaries::Binaries;
pub use self::database::Database;
pub use self::pair::Pair;
use self::process::Postmaster;
use crate::clock::{Clock, micros, pause};

/// The superuser of every cluster that is made here.
pub const USER: &str = "inkhook";
/// The oldest version that inkhook works with.
pub const OLDEST_MAJOR: u32 = 15;
/// How long a start may take, recovery after a kill included.
const START_DEADLINE: Duration = Duration::from_mins(2);
/// How long a stop may take before what is left is killed.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A port that was free may be taken when the server gets there: so many are tried.
const PORT_TRIES: usize = 5;
/// What is shown of a log that says why something failed.
const LOG_TAIL_BYTES: usize = 4_000;

/// How a cluster is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Everything of it is in here; made when missing. Used again when a cluster is in it already.
    pub dir: PathBuf,
    /// Where to listen; a free port when none is given.
    pub port: Option<u16>,
    /// Commits reach the disk before they are answered.
    pub fsync: bool,
    /// More lines of its configuration, name and value; they win over those chosen here.
    pub settings: Vec<(String, String)>,
    /// The environment of its processes, besides what is chosen here.
    pub environment: Vec<(String, String)>,
}

impl Options {
    /// A cluster in `dir`, on a free port, not synced.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), port: None, fsync: false, settings: Vec::new(), environment: Vec::new() }
    }
}

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing to start; a test may be skipped for it.
    #[error(
        "no Postgres {OLDEST_MAJOR} or newer: neither in INKHOOK_POSTGRES_BIN, PATH nor /usr/lib/postgresql"
    )]
    NoBinaries,
    /// Root cannot run Postgres, and nobody else is there.
    #[error("Postgres does not run as root, and there is neither a user 'postgres' nor 'nobody'")]
    NoAccount,
    /// The user that it runs as cannot get to its directory.
    #[error("the user '{user}' cannot enter {}", path.display())]
    Unreachable { user: String, path: PathBuf },
    #[error("{what}")]
    Io { what: String, source: io::Error },
    /// A program of Postgres failed; what it said.
    #[error("{what}: {said}")]
    Failed { what: &'static str, said: String },
}

type Result<T> = std::result::Result<T, Error>;

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let what = what.into();
    move |source| Error::Io { what, source }
}

/// See the module. Stopped when dropped, unless it was detached.
#[derive(Debug)]
pub struct Cluster {
    binaries: Binaries,
    account: Option<Account>,
    options: Options,
    port: u16,
    /// The server as our child; not there when another process started it, or it does not run.
    child: Option<Child>,
    detached: bool,
}

impl Cluster {
    /// Makes the cluster if the directory has none, starts it and waits until it takes connections. One that runs
    /// there already is stopped first.
    pub fn start(options: Options) -> Result<Self> {
        let mut cluster = Self::prepare(options)?;
        cluster.stop()?;
        cluster.make()?;
        cluster.serve(cluster.options.port)?;
        Ok(cluster)
    }

    /// The cluster that runs in the directory, whoever started it. It goes on when this is dropped.
    pub fn running(dir: impl Into<PathBuf>) -> Result<Option<Self>> {
        let mut cluster = Self::prepare(Options::new(dir))?;
        cluster.detached = true;
        let Some(port) = cluster.postmaster().and_then(|postmaster| postmaster.ready_on()) else {
            return Ok(None);
        };
        cluster.port = port;
        Ok(Some(cluster))
    }

    /// It goes on after this process has ended.
    pub fn detach(mut self) {
        self.detached = true;
    }

    /// Where a database of it is.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it logged.
    pub fn log_file(&self) -> PathBuf {
        self.options.dir.join("postgres.log")
    }

    /// CPU time that it and all its processes have used so far, those that have ended included, in microseconds.
    pub fn cpu_us(&self) -> u64 {
        self.postmaster().map_or(0, |postmaster| postmaster.cpu_us())
    }

    pub fn is_running(&mut self) -> bool {
        self.reap();
        self.postmaster().is_some()
    }

    /// Ends all sessions and stops, in order (a "fast" shutdown). Nothing happens when it does not run.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(postmaster) = self.postmaster() {
            postmaster.ask_to_stop().map_err(io_error("cannot stop Postgres"))?;
            if !self.wait_for(STOP_DEADLINE, |cluster| !cluster.is_running()) {
                self.kill()?;
            }
        }
        self.reap();
        Ok(())
    }

    /// Kills it and all its processes at once, as a crash would.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(postmaster) = self.postmaster() {
            let family = postmaster.kill().map_err(io_error("cannot kill Postgres"))?;
            let gone = |cluster: &mut Self| !cluster.is_running() && family.iter().all(|one| one.is_gone());
            if !self.wait_for(STOP_DEADLINE, gone) {
                return Err(Error::Failed { what: "Postgres was killed and goes on", said: self.log_tail() });
            }
        }
        self.reap();
        Ok(())
    }

    /// Stops it if it runs, and starts it on the same port, with the same data.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.serve(Some(self.port))
    }

    /// From now on it is configured like this, also while it runs, where Postgres can change that without a restart.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        self.options.settings.retain(|(other, _)| other != name);
        self.options.settings.push((name.to_owned(), value.to_owned()));
        let Some(postmaster) = self.postmaster() else { return Ok(()) };
        self.write_settings()?;
        postmaster.reload().map_err(io_error("cannot tell Postgres of its settings"))
    }

    fn prepare(options: Options) -> Result<Self> {
        let binaries = Binaries::find()?;
        let account = Account::to_run_as()?;
        let dir = std::path::absolute(&options.dir).map_err(io_error("the directory has no path"))?;
        let options = Options { dir, ..options };
        Ok(Self { binaries, account, options, port: 0, child: None, detached: false })
    }

    fn data_dir(&self) -> PathBuf {
        self.options.dir.join("data")
    }

    fn postmaster(&self) -> Option<Postmaster> {
        let data = self.data_dir();
        // Our own child is known even when its directory has been removed under it.
        Postmaster::of(&data).or_else(|| Postmaster::child(self.child.as_ref()?.id(), &data))
    }

    /// A child that has ended stays in the table of processes until its parent asks.
    fn reap(&mut self) {
        if self.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None))) {
            self.child = None;
        }
    }

    fn wait_for(&mut self, deadline: Duration, mut condition: impl FnMut(&mut Self) -> bool) -> bool {
        let clock = Clock::start();
        let began_us = clock.now_us();
        while !condition(self) {
            if clock.now_us() - began_us > micros(deadline) {
                return false;
            }
            pause(LOOK_EVERY);
        }
        true
    }

    /// An empty cluster in its directory, unless one is there.
    fn make(&self) -> Result<()> {
        self.make_directory()?;
        let data = self.data_dir();
        // The last file that initdb writes; without it the run before was cut off.
        if data.join("made").exists() {
            return Ok(());
        }
        self.clear()?;
        let mut initdb = self.command("initdb");
        initdb.args([
            "--username",
            USER,
            "--auth",
            "trust",
            "--encoding",
            "UTF8",
            "--locale",
            "C",
            "--no-sync",
        ]);
        initdb.arg("--no-instructions").arg("--pgdata").arg(&data);
        let output = initdb.output().map_err(io_error("cannot run initdb"))?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            return Err(Error::Failed { what: "initdb", said: String::from_utf8_lossy(&said).into_owned() });
        }
        self.write(&data.join("pg_hba.conf"), settings::WHO_MAY_CONNECT)?;
        self.write(&data.join("made"), "")
    }

    fn clear(&self) -> Result<()> {
        let data = self.data_dir();
        fs::remove_dir_all(&data)
            .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
            .map_err(io_error(format!("cannot clear {}", data.display())))
    }

    fn make_directory(&self) -> Result<()> {
        let dir = &self.options.dir;
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(dir);
        made.map_err(io_error(format!("cannot make {}", dir.display())))?;
        if let Some(account) = &self.account {
            account.check_way_to(dir)?;
            self.hand_over(dir)?;
        }
        Ok(())
    }

    fn hand_over(&self, path: &Path) -> Result<()> {
        let Some(account) = &self.account else { return Ok(()) };
        let given = chown(path, Some(account.uid), Some(account.gid));
        given.map_err(io_error(format!("cannot give {} to {}", path.display(), account.name)))
    }

    fn write(&self, path: &Path, text: &str) -> Result<()> {
        fs::write(path, text).map_err(io_error(format!("cannot write {}", path.display())))?;
        self.hand_over(path)
    }

    /// One of the programs, as the user that may run it.
    fn command(&self, program: &str) -> Command {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(self.binaries.path(program));
        // No PGOPTIONS or PGDATA of whoever calls, and messages that can be read by a program.
        command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin");
        command.current_dir(&self.options.dir).stdin(Stdio::null());
        if let Some(account) = &self.account {
            command.uid(account.uid).gid(account.gid);
        }
        // A ctrl-c at the terminal is ours alone.
        command.process_group(0);
        command
    }

    fn serve(&mut self, port: Option<u16>) -> Result<()> {
        let mut left = PORT_TRIES;
        loop {
            self.port = port.map_or_else(free_port, Ok).map_err(io_error("no free port"))?;
            let log_began = fs::metadata(self.log_file()).map_or(0, |meta| meta.len());
            let result = self.spawn();
            let may_try_another = port.is_none() && left > 1;
            if result.is_ok() || !may_try_another || !self.port_was_taken(log_began) {
                return result;
            }
            left -= 1;
        }
    }

    fn spawn(&mut self) -> Result<()> {
        let data = self.data_dir();
        self.write_settings()?;
        let log = self.open_log().map_err(io_error("cannot write the log"))?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(&data);
        command.envs(self.options.environment.iter().map(|(name, value)| (name, value)));
        command.stdout(log.try_clone().map_err(io_error("cannot write the log"))?).stderr(log);
        self.child = Some(command.spawn().map_err(io_error("cannot run postgres"))?);
        let ended = |cluster: &mut Self| {
            cluster.reap();
            cluster.child.is_none()
        };
        let settled = self.wait_for(START_DEADLINE, |cluster| {
            ended(cluster) || cluster.postmaster().is_some_and(|one| one.ready_on() == Some(cluster.port))
        });
        if settled && !ended(self) {
            return Ok(());
        }
        self.kill()?;
        Err(Error::Failed { what: "Postgres does not start", said: self.log_tail() })
    }

    fn write_settings(&self) -> Result<()> {
        self.write(&self.data_dir().join("postgresql.conf"), &settings::of(&self.options, self.port))
    }

    fn open_log(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(self.log_file())
    }

    fn port_was_taken(&self, log_began: u64) -> bool {
        let log = fs::read(self.log_file()).unwrap_or_default();
        let new = log.get(usize::try_from(log_began).unwrap_or(0)..).unwrap_or_default();
        String::from_utf8_lossy(new).contains("Address already in use")
    }

    fn log_tail(&self) -> String {
        let log = fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL_BYTES)..]).into_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Whoever asks for it hears of a failure from `stop`; here nobody listens.
        if !self.detached && self.stop().is_err() {
            drop(self.kill());
        }
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests;
