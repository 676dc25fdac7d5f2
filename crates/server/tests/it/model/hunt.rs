//! Running schedules, as many at a time as there are processors, and making the one that fails short.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use inkhook_server::store::faults::Bug;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio::runtime::Builder;

use super::Breach;
use super::receiver::Receiver;
use super::step::{Listing, Step, steps};
use super::template::Template;
use super::world::{Bench, World};
use crate::support::time::now;

/// Shorter forms of a failing schedule that are tried; fewer when it was meant to fail.
const SHORTER: usize = 400;
const SHORTER_OF_A_BUG: usize = 40;

/// The first schedule that failed.
#[derive(Debug)]
pub struct Found {
    /// 1 for the first.
    pub number: u64,
    pub seed: u64,
    pub breach: Breach,
    /// As short as it could be made.
    pub steps: Vec<Step>,
    pub steps_before: usize,
}

/// What a hunt came to.
#[derive(Debug)]
pub struct Hunt {
    pub schedules: u64,
    pub steps: u64,
    /// Deliveries that came with their commit, in schedules that did not fail.
    pub handed: u64,
    pub took: Duration,
    pub found: Option<Found>,
}

/// Runs schedules until one fails or `cases` have been run. The first has the seed `seed`, each other the
/// next one.
pub fn hunt(template: &Template, bug: Option<Bug>, seed: u64, cases: u64) -> Hunt {
    let began = now();
    let (next, steps, is_over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let handed = AtomicU64::new(0);
    let found = Mutex::new(None::<Found>);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let bench = bench(template);
        while !is_over.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= cases {
                return;
            }
            let seed = seed.wrapping_add(index);
            let mut tree = schedule(seed);
            let schedule = tree.current();
            steps.fetch_add(schedule.len() as u64, Ordering::Relaxed);
            let breach = match attempt(&bench, &schedule, seed, bug) {
                Ok(came) => {
                    handed.fetch_add(came, Ordering::Relaxed);
                    continue;
                }
                Err(breach) => breach,
            };
            is_over.store(true, Ordering::Relaxed);
            let mut found = found.lock().expect("no panic");
            if found.as_ref().is_none_or(|found| found.number > index + 1) {
                let steps_before = schedule.len();
                let (breach, steps) = shorten(&bench, tree.as_mut(), seed, bug, (breach, schedule));
                *found = Some(Found { number: index + 1, seed, breach, steps, steps_before });
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    Hunt {
        schedules: next.into_inner().min(cases),
        steps: steps.into_inner(),
        handed: handed.into_inner(),
        took: now() - began,
        found: found.into_inner().expect("no panic"),
    }
}

/// Runs one schedule that is written out: in lives whose pumps have no seat, and in those that have one, with
/// places for everybody, with few, and with some lent ahead.
pub fn replay(template: &Template, steps: &[Step]) -> Result<(), Breach> {
    let bench = bench(template);
    let mut seeds = [2, 1, 3, 7].into_iter();
    seeds.try_for_each(|seed| {
        let kept = attempt(&bench, steps, seed, None);
        kept.map(drop).map_err(|breach| format!("seed {seed}: {breach}"))
    })
}

fn bench(template: &Template) -> Bench<'_> {
    let control = Builder::new_current_thread().build().expect("a runtime");
    Bench { template, receiver: Receiver::new(), control }
}

/// The schedule of a seed, which knows how to become shorter.
fn schedule(seed: u64) -> Box<dyn ValueTree<Value = Vec<Step>>> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    Box::new(steps().new_tree(&mut runner).expect("every schedule is one"))
}

fn attempt(bench: &Bench<'_>, steps: &[Step], seed: u64, bug: Option<Bug>) -> Result<u64, Breach> {
    let run = || {
        let mut world = World::new(bench, seed, bug)?;
        for (place, step) in steps.iter().enumerate() {
            world.take(*step).map_err(|breach| format!("step {}, {step:?}: {breach}", place + 1))?;
        }
        world.finish().map_err(|breach| format!("in the end: {breach}"))
    };
    // Our own mistakes need a schedule to be found, too.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(format!("a panic: {}", text.or_else(|| panic.downcast_ref().copied()).unwrap_or("?")))
    })
}

/// Leaves out and makes smaller whatever is not needed to fail.
fn shorten(
    bench: &Bench<'_>,
    tree: &mut dyn ValueTree<Value = Vec<Step>>,
    seed: u64,
    bug: Option<Bug>,
    mut best: (Breach, Vec<Step>),
) -> (Breach, Vec<Step>) {
    let mut is_smaller = tree.simplify();
    for _ in 0..if bug.is_some() { SHORTER_OF_A_BUG } else { SHORTER } {
        if !is_smaller {
            break;
        }
        let steps = tree.current();
        is_smaller = match attempt(bench, &steps, seed, bug) {
            Err(breach) => {
                best = (breach, steps);
                tree.simplify()
            }
            Ok(_) => tree.complicate(),
        };
    }
    best
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { number, seed, breach, steps, steps_before } = self;
        writeln!(f, "schedule {number} (seed {seed}): {breach}")?;
        writeln!(f, "its {steps_before} steps came down to:\n    &[\n{}    ]", Listing(steps))
    }
}
