//! Random schedules against a model of what is promised, with the real store and the real pump.
//!
//! Promises 2, 4, 5 and 7: every delivery ends in exactly one state or is due; after a delete's answer
//! nothing is sent; an attempt has the URL, token and key of the moment at which it starts; the event's id never
//! changes. And: attempts and states agree, two attempts of one delivery never run under leases that stand,
//! what comes twice was in flight at a crash, and first attempts are made in accepted order.
//!
//! Time, ids and the order of steps come from a seed. In the schedules of odd seeds the pump has its seat, so
//! that commits hand deliveries over; in those of even ones every delivery is claimed.
//!
//! `INKHOOK_MODEL_CASES` says how many schedules, `INKHOOK_TEST_SEED` which. Without either they are always the
//! same; with the first alone they are new ones each time. A schedule that fails is made short and printed as
//! it would be pasted into [`by_hand`].

mod by_hand;
mod hunt;
mod life;
mod receiver;
mod reference;
mod seen;
mod step;
mod template;
mod world;

use inkhook_server::store::faults::Bug;

use self::hunt::{Hunt, hunt};
use self::template::Template;
use crate::support::books::{needs_a_file, stores_are_files};
use crate::support::dice;

/// Schedules unless the environment says otherwise.
const CASES: u64 = 300;
/// The same where stores are on a server: there they take fifty times as long.
const CASES_ON_A_SERVER: u64 = 100;
/// Schedules within which each bug must be found.
const ENOUGH: u64 = 2_000;

/// Where an ordinary run begins.
const SEED: u64 = 20_260_528;

/// What was promised and is not so.
type Breach = String;

/// Says what is wrong unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err(format!($($what)+));
        }
    };
}
use ensure;

#[test]
fn whatever_happens_every_promise_is_kept() {
    let enough = if stores_are_files() { CASES } else { CASES_ON_A_SERVER };
    let cases = cases().unwrap_or(enough);
    let hunt = hunt(&template(), None, seed("model"), cases);
    report("the model", &hunt);
    if let Some(found) = hunt.found {
        panic!("{found}");
    }
    assert!(hunt.handed > 0 || cases < enough, "nothing came with its commit");
}

#[test]
fn every_bug_is_found() {
    if !needs_a_file("time for thousands of schedules") {
        return;
    }
    let (template, seed) = (template(), seed("bugs"));
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let hunt = hunt(&template, Some(bug), seed, ENOUGH);
        report(&format!("{bug:?}"), &hunt);
        match hunt.found {
            Some(found) => println!("{bug:?} is found by {found}"),
            None => missed.push(bug),
        }
    }
    assert_eq!(missed, Vec::<Bug>::new(), "not found within {ENOUGH} schedules");
}

/// How many schedules the environment asks for.
fn cases() -> Option<u64> {
    std::env::var("INKHOOK_MODEL_CASES").ok().map(|cases| cases.parse().expect("a number"))
}

/// The environment's seed; always the same one while it asks for nothing, so that an ordinary run is repeated
/// by running it again.
fn seed(test: &str) -> u64 {
    if cases().is_some() { dice::seed(test) } else { dice::seed_or(test, SEED) }
}

fn template() -> Template {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(Template::new())
}

fn report(what: &str, hunt: &Hunt) {
    let rate = u128::from(hunt.schedules) * 1_000 / hunt.took.as_millis().max(1);
    let Hunt { schedules, steps, handed, took, .. } = hunt;
    println!("{what}: {schedules} schedules, {steps} steps, {handed} handed over in {took:?} ({rate}/s)");
}
