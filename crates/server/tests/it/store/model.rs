//! Random schedules against a model of what the store promises: every delivery ends in exactly one state,
//! nothing is claimed that is deleted, deselected, held, expired or in flight, attempts and states agree,
//! and an event keeps its id over retries, replays and crashes.
//!
//! `PROPTEST_CASES` says how many schedules; 64 without it.

mod schedule;
mod world;

use proptest::prelude::*;
use proptest::test_runner::Config;

use schedule::{Action, actions};
use world::World;

/// Schedules of a short run.
const CASES: u32 = 64;

fn config() -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_every_delivery_ends_once_and_nothing_is_sent_that_must_not_be(actions in actions()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(actions));
    }
}

async fn run(actions: Vec<Action>) {
    let mut world = World::new().await;
    for action in actions {
        world.act(action).await;
        world.check();
    }
    world.finish().await;
}

#[tokio::test]
async fn the_worst_of_everything_by_hand() {
    use schedule::Outcome::{CutOff, Fail, Gone, Hold, Succeed, Unstarted};
    let script = [
        Action::Create { owner: 0, types: 3 },
        Action::Create { owner: 2, types: 1 },
        Action::Accept { owner: 0, sent: false, expires_s: None },
        Action::Accept { owner: 0, sent: true, expires_s: Some(40) },
        Action::Claim { free: 2, per_subscription: 1 },
        Action::Crash,
        Action::Claim { free: 9, per_subscription: 9 },
        Action::Settle { claim: 0, outcome: Fail { wait_s: 5, maybe_received: true } },
        Action::Settle { claim: 0, outcome: Hold { wait_s: 60 } },
        Action::Advance { seconds: 36 },
        Action::Claim { free: 9, per_subscription: 9 },
        Action::Select { subscription: 0, types: 2 },
        Action::Settle { claim: 0, outcome: CutOff },
        Action::Select { subscription: 0, types: 3 },
        Action::Accept { owner: 0, sent: false, expires_s: None },
        Action::Claim { free: 9, per_subscription: 9 },
        Action::Delete { subscription: 0 },
        Action::Tidy,
        Action::Settle { claim: 0, outcome: Unstarted },
        Action::Settle { claim: 0, outcome: Succeed },
        Action::Replay { attempt: 0 },
        Action::Pause { subscription: 1 },
        Action::Claim { free: 9, per_subscription: 9 },
        Action::Settle { claim: 0, outcome: Gone },
        Action::Resume { subscription: 1 },
        Action::Crash,
        Action::Advance { seconds: 3600 },
    ];
    run(script.to_vec()).await;
}
