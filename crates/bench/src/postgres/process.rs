//! The server's processes, as `/proc` and the file `postmaster.pid` show them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::process::{cpu_us, ended_children_cpu_us};

/// Lines of `postmaster.pid`, counted from nothing.
const PORT_LINE: usize = 3;
const STATUS_LINE: usize = 7;

/// The first process of a server that runs.
#[derive(Debug, Clone)]
pub(super) struct Postmaster {
    process: Process,
    pid_file: PathBuf,
}

/// A process by its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(Pid);

impl Postmaster {
    /// The one that works in this data directory. A number in a file that was left behind may be another
    /// process's by now: it must be at home in the directory.
    pub(super) fn of(data: &Path) -> Option<Self> {
        let pid_file = data.join("postmaster.pid");
        let text = fs::read_to_string(&pid_file).ok()?;
        let process = Process(Pid::from_raw(text.lines().next()?.trim().parse().ok()?)?);
        let home = fs::read_link(process.proc("cwd")).ok()?;
        let is_it = home == data.canonicalize().ok()? && !process.is_gone();
        is_it.then_some(Self { process, pid_file })
    }

    /// A child that nobody has asked for its exit status yet, so that its number is no other's.
    pub(super) fn child(pid: u32, data: &Path) -> Option<Self> {
        let process = Process(Pid::from_raw(pid.try_into().ok()?)?);
        (!process.is_gone()).then(|| Self { process, pid_file: data.join("postmaster.pid") })
    }

    /// Where it takes connections, when it does.
    pub(super) fn ready_on(&self) -> Option<u16> {
        let text = fs::read_to_string(&self.pid_file).ok()?;
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        // Until it has written its own, the file may be that of a server that was killed.
        let is_its = lines.first()?.parse() == Ok(self.process.0.as_raw_nonzero().get());
        (is_its && lines.get(STATUS_LINE) == Some(&"ready")).then(|| lines.get(PORT_LINE)?.parse().ok())?
    }

    /// SIGINT: a fast shutdown.
    pub(super) fn ask_to_stop(&self) -> io::Result<()> {
        self.process.signal(Signal::INT)
    }

    /// SIGHUP: it reads its settings again.
    pub(super) fn reload(&self) -> io::Result<()> {
        self.process.signal(Signal::HUP)
    }

    /// CPU time of itself, of its children, and of those that have ended: it waits for each.
    pub(super) fn cpu_us(&self) -> u64 {
        let number = |process: &Process| process.0.as_raw_nonzero().to_string();
        let own = number(&self.process);
        let ended = cpu_us(&own) + ended_children_cpu_us(&own);
        ended + self.process.children().iter().map(|child| cpu_us(&number(child))).sum::<u64>()
    }

    /// Kills it and its children; who they were. It is stopped first, so that it starts no others meanwhile.
    pub(super) fn kill(&self) -> io::Result<Vec<Process>> {
        self.process.signal(Signal::STOP)?;
        let mut family = self.process.children();
        for child in &family {
            child.signal(Signal::KILL)?;
        }
        self.process.signal(Signal::KILL)?;
        family.push(self.process);
        Ok(family)
    }
}

impl Process {
    /// Kills the children of this very process that run this program.
    pub(crate) fn kill_own(program: &Path) -> io::Result<()> {
        let own = Self(rustix::process::getpid()).children().into_iter();
        let mut running =
            own.filter(|child| fs::read_link(child.proc("exe")).is_ok_and(|exe| exe == program));
        running.try_for_each(|child| child.signal(Signal::KILL))
    }

    /// It has ended; a zombie has, too.
    pub(super) fn is_gone(self) -> bool {
        test_kill_process(self.0) == Err(rustix::io::Errno::SRCH)
            || matches!(self.stat(), None | Some((b'Z', _)))
    }

    /// Nothing happens when it has ended already.
    fn signal(self, signal: Signal) -> io::Result<()> {
        match kill_process(self.0, signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            result => Ok(result?),
        }
    }

    fn children(self) -> Vec<Self> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
        let parent = self.0.as_raw_nonzero().get();
        numbers
            .map(Self)
            .filter(|one| one.stat().is_some_and(|(_, its_parent)| its_parent == parent))
            .collect()
    }

    /// Its state and its parent.
    fn stat(self) -> Option<(u8, i32)> {
        let stat = fs::read_to_string(self.proc("stat")).ok()?;
        // The name in parentheses may hold spaces and parentheses.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        Some((fields.next()?.bytes().next()?, fields.next()?.parse().ok()?))
    }

    fn proc(self, what: &str) -> PathBuf {
        format!("/proc/{}/{what}", self.0.as_raw_nonzero()).into()
    }
}
