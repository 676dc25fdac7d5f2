//! The load driver: publishes over keep-alive connections, as fast as the answers come or at a fixed rate.
//!
//! With a rate (an *open loop*), requests are due at evenly spaced moments, whatever the answers do. A request
//! that finds no free connection waits, and its latency counts from the moment it was due: a stall of the
//! server is not hidden by a driver that stalls with it (no coordinated omission). How late requests left is
//! reported apart, so that a driver that cannot keep up shows.
//!
//! Any HTTP endpoint that publishes will do: a request is made from a [`Template`]. A 2xx is a success.

mod template;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

pub(crate) use template::uuid;
pub use template::{Batch, Template};

use crate::clock::{Clock, linger, micros, pause};
use crate::http::Connection;
use crate::latency::{Latency, per_second};

/// When the next request is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As soon as a connection's last one was answered.
    Closed,
    /// So many requests a second, whatever the answers do.
    Open(f64),
}

/// When it is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// So many requests were sent.
    Requests(u64),
    /// So much time has passed.
    Elapsed(Duration),
}

/// What to send, and how.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where to: connections are dealt out to these in turn; at least one. A request's `Host` is the one that its
    /// template was made for.
    pub addresses: Arc<[SocketAddr]>,
    /// Requests are made from these in turn; at least one.
    pub templates: Arc<[Template]>,
    /// Connections, all of them open before the first request.
    pub connections: usize,
    /// See there.
    pub pace: Pace,
    /// See there.
    pub until: Until,
    /// A connection that was told to come again later does.
    pub honour_retry_after: bool,
    /// Threads that send.
    pub threads: usize,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Requests that were sent.
    pub requests: u64,
    /// Events in requests that were answered 2xx.
    pub accepted: u64,
    /// Events in requests that were answered otherwise, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Requests whose connection ended instead.
    pub cut_off: u64,
    /// Requests of an open loop that were due and found no free connection until it was over.
    pub unsent: u64,
    /// When it began and when the last answer came, in unix microseconds.
    pub began_us: u64,
    /// See there.
    pub ended_us: u64,
    /// From when a request was sent, or due, to its answer.
    pub answer: Latency,
    /// From when a request was due to when it was sent.
    pub lag: Latency,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.accepted += other.accepted;
        for (status, count) in &other.refused {
            *self.refused.entry(*status).or_default() += count;
        }
        self.cut_off += other.cut_off;
        self.ended_us = self.ended_us.max(other.ended_us);
        self.answer.add(&other.answer);
        self.lag.add(&other.lag);
    }

    /// Events accepted in a second.
    pub fn per_second(&self) -> f64 {
        per_second(self.accepted, self.ended_us - self.began_us)
    }

    /// As `drive --json` writes it.
    pub fn to_json(&self) -> Value {
        let refused = self.refused.iter().map(|(status, count)| (status.to_string(), json!(count)));
        json!({"requests": self.requests, "accepted": self.accepted,
            "refused": Value::Object(refused.collect()), "cut_off": self.cut_off, "unsent": self.unsent,
            "seconds": Duration::from_micros(self.ended_us - self.began_us).as_secs_f64(),
            "accepted_per_second": self.per_second(), "answer_us": self.answer.to_json(),
            "send_lag_us": self.lag.to_json()})
    }
}

/// Connections that may fail one after the other before a load is given up.
const FAILURES: u32 = 100;
/// Between them.
const FAILURE_WAIT: Duration = Duration::from_millis(10);
/// How long an open loop goes on after its time to send what was due in it.
const GRACE: Duration = Duration::from_secs(5);
/// A pacer that is this early waits; less is sent at once.
const PACE_STEP: Duration = Duration::from_micros(50);

/// What the threads of a load share.
#[derive(Debug)]
struct Run {
    load: Load,
    clock: Clock,
    began_us: u64,
    next: AtomicU64,
    due: Semaphore,
    over: AtomicBool,
    progress: Arc<AtomicU64>,
}

impl Load {
    /// Sends it all and waits for the answers. `progress` counts events as they are accepted.
    ///
    /// # Errors
    /// Nobody listens there, or stops listening for good.
    pub fn run(&self, progress: &Arc<AtomicU64>) -> io::Result<Tally> {
        let threads = self.threads.clamp(1, self.connections.max(1));
        let clock = Clock::start();
        let shares = self.dealt(threads);
        let workers = shares.iter().map(|share| Worker::open(share)).collect::<io::Result<Vec<_>>>()?;
        let run = Run {
            load: self.clone(),
            clock,
            began_us: clock.now_us(),
            next: AtomicU64::new(0),
            due: Semaphore::new(0),
            over: AtomicBool::new(false),
            progress: progress.clone(),
        };
        let run = Arc::new(run);
        let mut tally = Tally { began_us: run.began_us, ended_us: run.began_us, ..Tally::default() };
        let results: Vec<io::Result<Tally>> = std::thread::scope(|scope| {
            if let Pace::Open(rate) = self.pace {
                let run = run.clone();
                scope.spawn(move || pace(&run, rate));
            }
            let workers: Vec<_> = workers
                .into_iter()
                .map(|worker| {
                    let run = run.clone();
                    scope.spawn(move || worker.work(&run))
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().expect("a worker does not panic")).collect()
        });
        for result in results {
            tally.add(&result?);
        }
        tally.unsent = self.due_in_all().unwrap_or(0).saturating_sub(tally.requests);
        Ok(tally)
    }
}

impl Load {
    /// Where each thread's connections go: no thread and no address has two more than another, and each thread has
    /// connections to as many addresses as it can.
    fn dealt(&self, threads: usize) -> Vec<Vec<SocketAddr>> {
        let mut shares = Vec::with_capacity(threads);
        let mut addresses = self.addresses.iter().copied().cycle();
        for number in 0..threads {
            let share = self.connections / threads + usize::from(number < self.connections % threads);
            shares.push(addresses.by_ref().take(share).collect());
        }
        shares
    }

    /// Requests of an open loop; nobody knows those of a closed one.
    fn due_in_all(&self) -> Option<u64> {
        match (self.pace, self.until) {
            (Pace::Closed, _) => None,
            (Pace::Open(_), Until::Requests(requests)) => Some(requests),
            (Pace::Open(rate), Until::Elapsed(time)) => Some(due_by(time, rate)),
        }
    }
}

/// Lets requests go when they are due.
fn pace(run: &Run, rate: f64) {
    let began = run.clock.instant(run.began_us);
    let mut released = 0;
    let end = run.load.due_in_all().unwrap_or(0);
    while !run.over.load(Ordering::Relaxed) {
        let now = run.clock.now();
        let due = due_by(now - began, rate).min(end);
        if due > released {
            run.due.add_permits(usize::try_from(due - released).unwrap_or(usize::MAX));
            released = due;
        }
        if released == end {
            break;
        }
        let next = began + Duration::from_secs_f64(crate::latency::float(released + 1) / rate);
        let wait = next.saturating_duration_since(run.clock.now());
        if wait > PACE_STEP {
            pause(wait);
        }
    }
    // Whoever waits then learns that this was all.
    run.due.add_permits(run.load.connections);
}

/// Requests that are due after this time: the first after one interval.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of requests")]
fn due_by(time: Duration, rate: f64) -> u64 {
    (time.as_secs_f64() * rate) as u64
}

struct Worker {
    runtime: tokio::runtime::Runtime,
    connections: Vec<(SocketAddr, Connection)>,
}

impl Worker {
    fn open(addresses: &[SocketAddr]) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let opening = async {
            let mut open = Vec::new();
            for address in addresses {
                open.push((*address, Connection::open(*address).await?));
            }
            Ok::<_, io::Error>(open)
        };
        let connections = runtime.block_on(opening)?;
        Ok(Self { runtime, connections })
    }

    fn work(self, run: &Arc<Run>) -> io::Result<Tally> {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let tasks: Vec<_> = self
            .connections
            .into_iter()
            .map(|(address, connection)| {
                self.runtime.spawn(publish(run.clone(), address, connection, tally.clone()))
            })
            .collect();
        self.runtime.block_on(async {
            for task in tasks {
                let result = task.await.map_err(io::Error::other)?;
                if result.is_err() {
                    run.over.store(true, Ordering::Relaxed);
                    run.due.close();
                }
                result?;
            }
            Ok::<_, io::Error>(())
        })?;
        let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(tally.clone())
    }
}

impl Run {
    /// The number of the next request and when it is, or was, due; `None` when it is enough.
    async fn next(&self) -> Option<(u64, u64)> {
        match self.load.pace {
            Pace::Closed => {
                let now_us = self.clock.now_us();
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                let is_enough = match self.load.until {
                    Until::Requests(requests) => number >= requests,
                    Until::Elapsed(time) => now_us - self.began_us >= micros(time),
                };
                let goes_on = !is_enough && !self.over.load(Ordering::Relaxed);
                goes_on.then_some((number, now_us))
            }
            Pace::Open(rate) => {
                self.due.acquire().await.ok()?.forget();
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                let is_over = match self.load.until {
                    Until::Requests(requests) => number >= requests,
                    Until::Elapsed(time) => {
                        let now_us = self.clock.now_us();
                        number >= due_by(time, rate) || now_us - self.began_us >= micros(time + GRACE)
                    }
                };
                let offset = Duration::from_secs_f64(crate::latency::float(number + 1) / rate);
                (!is_over).then(|| (number, self.began_us + micros(offset)))
            }
        }
    }
}

/// One connection's life.
async fn publish(
    run: Arc<Run>,
    address: SocketAddr,
    mut connection: Connection,
    tally: Arc<Mutex<Tally>>,
) -> io::Result<()> {
    let lock = || tally.lock().unwrap_or_else(PoisonError::into_inner);
    let templates = &run.load.templates;
    let (mut request, mut body) = (Vec::new(), Vec::new());
    while let Some((number, due_us)) = run.next().await {
        let place = usize::try_from(number % templates.len() as u64).unwrap_or(0);
        let template = &templates[place];
        template.render(&mut request, &mut body, number, due_us);
        let sent_us = run.clock.now_us();
        let answer = connection.exchange(&request).await;
        let now_us = run.clock.now_us();
        let events = template.events();
        let mut wait = None;
        {
            let mut tally = lock();
            tally.requests += 1;
            tally.ended_us = tally.ended_us.max(now_us);
            tally.lag.record(sent_us.saturating_sub(due_us));
            match &answer {
                Ok(answer) if (200..300).contains(&answer.status) => {
                    tally.answer.record(now_us.saturating_sub(due_us));
                    tally.accepted += events;
                    run.progress.fetch_add(events, Ordering::Relaxed);
                }
                Ok(answer) => {
                    *tally.refused.entry(answer.status).or_default() += events;
                    wait = answer.retry_after_s.filter(|_| run.load.honour_retry_after);
                }
                Err(_) => tally.cut_off += 1,
            }
        }
        if !answer.is_ok_and(|answer| !answer.closes) {
            connection = again(&run, address).await?;
        }
        if let Some(seconds) = wait {
            linger(Duration::from_secs(seconds)).await;
        }
    }
    Ok(())
}

/// Connects again, and again if need be.
async fn again(run: &Run, address: SocketAddr) -> io::Result<Connection> {
    let mut failures = 0;
    loop {
        match Connection::open(address).await {
            Ok(connection) => return Ok(connection),
            Err(_) if failures < FAILURES && !run.over.load(Ordering::Relaxed) => {
                failures += 1;
                linger(FAILURE_WAIT).await;
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
