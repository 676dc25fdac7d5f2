//! What can happen. Numbers are places, taken modulo how many there are.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Actions in one schedule at most.
const LENGTH: usize = 60;

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
pub enum Action {
    /// A subscription of the mailbox, or (1) of its identity; `types` is a set of two.
    Create {
        owner: usize,
        types: u8,
    },
    Accept {
        owner: usize,
        sent: bool,
        expires_s: Option<u64>,
    },
    Claim {
        free: usize,
        per_subscription: usize,
    },
    Settle {
        claim: usize,
        outcome: Outcome,
    },
    /// The process ends with its claims unsettled, and another one starts.
    Crash,
    Delete {
        subscription: usize,
    },
    Select {
        subscription: usize,
        types: u8,
    },
    Pause {
        subscription: usize,
    },
    Resume {
        subscription: usize,
    },
    NewUrl {
        subscription: usize,
    },
    /// One chunk of the janitor's work.
    Tidy,
    Replay {
        attempt: usize,
    },
    Advance {
        seconds: u64,
    },
}

/// What an attempt comes to.
#[derive(Debug, Clone, Copy)]
pub enum Outcome {
    Succeed,
    Fail {
        wait_s: u64,
        maybe_received: bool,
    },
    /// A failure with `Retry-After`.
    Hold {
        wait_s: u64,
    },
    Exhausted,
    Gone,
    /// The gate refused: nothing was sent.
    Unstarted,
    /// Shutdown ended it after its first byte.
    CutOff,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(Outcome::Succeed),
        7 => (0..90_u64, any::<bool>())
            .prop_map(|(wait_s, maybe_received)| Outcome::Fail { wait_s, maybe_received }),
        1 => (1..90_u64).prop_map(|wait_s| Outcome::Hold { wait_s }),
        1 => Just(Outcome::Exhausted),
        1 => Just(Outcome::Gone),
        1 => Just(Outcome::Unstarted),
        1 => Just(Outcome::CutOff),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let types = 1..4_u8;
    let subscription = any::<usize>();
    prop_oneof![
        3 => (0..3_usize, types.clone()).prop_map(|(owner, types)| Action::Create { owner, types }),
        8 => (0..2_usize, any::<bool>(), option::weighted(0.3, 1..120_u64))
            .prop_map(|(owner, sent, expires_s)| Action::Accept { owner, sent, expires_s }),
        8 => (0..6_usize, 1..4_usize)
            .prop_map(|(free, per_subscription)| Action::Claim { free, per_subscription }),
        12 => (any::<usize>(), outcome()).prop_map(|(claim, outcome)| Action::Settle { claim, outcome }),
        2 => Just(Action::Crash),
        1 => subscription.prop_map(|subscription| Action::Delete { subscription }),
        3 => (subscription, types).prop_map(|(subscription, types)| Action::Select { subscription, types }),
        1 => subscription.prop_map(|subscription| Action::Pause { subscription }),
        2 => subscription.prop_map(|subscription| Action::Resume { subscription }),
        1 => subscription.prop_map(|subscription| Action::NewUrl { subscription }),
        3 => Just(Action::Tidy),
        2 => any::<usize>().prop_map(|attempt| Action::Replay { attempt }),
        5 => prop_oneof![Just(1), Just(10), Just(36), Just(3_600)]
            .prop_map(|seconds| Action::Advance { seconds }),
    ]
}

/// A schedule.
pub fn actions() -> impl Strategy<Value = Vec<Action>> {
    vec(action(), 1..LENGTH)
}
