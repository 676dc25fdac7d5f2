//! Two servers, one of which follows the other: a commit is on both before it is answered.
//!
//! With the primary gone its standby is promoted, and answers commits alone until the other has been made anew as
//! its standby. A primary that lost its place never runs again with what it had, so there are never two.

use super::database::said;
use super::{Cluster, Error, Options, Result, START_DEADLINE, USER};

/// What a standby calls itself.
const STANDBY: &str = "standby";
/// The standbys that a commit waits for.
const SYNCHRONOUS: &str = "synchronous_standby_names";
const FOLLOWED: &str = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";

/// See the module. Both are stopped when it is dropped.
#[derive(Debug)]
pub struct Pair {
    servers: [Cluster; 2],
    /// Which of them takes writes.
    primary: usize,
}

impl Pair {
    /// Makes both in this directory, and waits until the one follows the other.
    pub fn start(options: &Options) -> Result<Self> {
        let part = |name| Options { dir: options.dir.join(name), port: None, ..options.clone() };
        let one = Cluster::start(part("one"))?;
        let other = Cluster::prepare(part("other"))?;
        let mut pair = Self { servers: [one, other], primary: 0 };
        pair.rebuild()?;
        Ok(pair)
    }

    /// The one that takes writes.
    pub fn primary(&mut self) -> &mut Cluster {
        &mut self.servers[self.primary]
    }

    /// The one that follows it.
    pub fn standby(&mut self) -> &mut Cluster {
        &mut self.servers[1 - self.primary]
    }

    /// Where each of them listens, whichever takes writes.
    pub fn ports(&self) -> [u16; 2] {
        [self.servers[0].port(), self.servers[1].port()]
    }

    /// Where a database of them is: both hosts in one URL.
    pub fn url(&self, database: &str) -> String {
        let [one, other] = self.ports();
        format!("postgres://{USER}@127.0.0.1:{one},127.0.0.1:{other}/{database}")
    }

    /// Kills the primary, as a crash would, and has the standby take its place.
    pub fn fail_over(&mut self) -> Result<()> {
        self.primary().kill()?;
        self.standby().promote()?;
        self.primary = 1 - self.primary;
        Ok(())
    }

    /// Starts those again that have ended by themselves, with what they have.
    pub fn revive(&mut self) -> Result<()> {
        for server in &mut self.servers {
            if !server.is_running() {
                server.restart()?;
            }
        }
        Ok(())
    }

    /// Makes the standby anew, as a copy of the primary, and waits until commits wait for it.
    pub fn rebuild(&mut self) -> Result<()> {
        let [one, other] = &mut self.servers;
        let (primary, standby) = if self.primary == 0 { (one, other) } else { (other, one) };
        standby.follow(primary)?;
        primary.set(SYNCHRONOUS, STANDBY)?;
        let mut is_followed = false;
        primary.wait_for(START_DEADLINE, |primary| {
            is_followed = primary.ask(FOLLOWED).is_ok_and(|followed| followed == "1");
            is_followed
        });
        if is_followed {
            Ok(())
        } else {
            Err(Error::Failed { what: "the standby does not follow", said: standby.log_tail() })
        }
    }
}

impl Cluster {
    /// Takes over all that this server has, and follows it from there on. What it had itself is gone.
    fn follow(&mut self, primary: &Self) -> Result<()> {
        self.stop()?;
        self.make_directory()?;
        self.clear()?;
        let from = format!("host=127.0.0.1 port={} user={USER} application_name={STANDBY}", primary.port());
        let data = self.data_dir();
        let mut copy = self.command("pg_basebackup");
        copy.args(["--checkpoint=fast", "--wal-method=stream", "--no-sync", "--dbname", &from]);
        copy.arg("--pgdata").arg(&data);
        said("pg_basebackup", copy)?;
        self.write(&data.join("standby.signal"), "")?;
        self.set("primary_conninfo", &from)?;
        // Whoever follows it later is not known yet.
        self.set(SYNCHRONOUS, "")?;
        // A primary that comes back is found at once.
        self.set("wal_retrieve_retry_interval", "100ms")?;
        let port = (self.port != 0).then_some(self.port);
        self.serve(port)
    }

    /// A standby takes writes from now on.
    fn promote(&mut self) -> Result<()> {
        let promoted = self.ask("SELECT pg_promote()")?;
        if promoted == "t" {
            Ok(())
        } else {
            Err(Error::Failed { what: "the standby is not promoted", said: self.log_tail() })
        }
    }
}
