//! What can happen. Numbers are places, taken modulo how many there are, so that a schedule stays one when
//! steps are left out of it.

use std::fmt;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Steps of one schedule at most.
const LENGTH: usize = 40;

/// One thing that happens. `Debug` writes it as it would be written in a test.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// A subscription of the mailbox, or (1) of its identity; `types` is a set of two.
    Create {
        owner: usize,
        types: u8,
        answer: Answer,
    },
    Publish {
        owner: usize,
        sent: bool,
        expires_s: Option<u64>,
    },
    /// A publish that says which it is: even by its key, odd by its id.
    Keyed {
        key: usize,
    },
    /// Several publishes in one group; as many of them as `twins` says are the same.
    Together {
        count: usize,
        key: usize,
        twins: usize,
    },
    /// The identity's signing key is replaced.
    NewKey,
    /// Claims what is due and goes no further: nothing is connected, nothing is sent.
    Turn,
    /// Turns until nothing more can happen without another step.
    Run,
    /// The receiver answers one that it holds.
    Answer {
        held: usize,
        answer: Answer,
    },
    /// What the receiver answers to a subscription from now on.
    Mood {
        subscription: usize,
        answer: Answer,
    },
    /// The process is gone, and another one starts on what it left.
    Crash,
    /// The process runs and is gone after this many more things happened at the receiver.
    CrashDuring {
        events: usize,
    },
    /// The process is told to stop, cuts off what is under way, and another one starts.
    Stop,
    Delete {
        subscription: usize,
    },
    Select {
        subscription: usize,
        types: u8,
    },
    NewUrl {
        subscription: usize,
    },
    NewToken {
        subscription: usize,
    },
    Pause {
        subscription: usize,
    },
    Resume {
        subscription: usize,
    },
    /// One chunk of the janitor's work.
    Tidy,
    Replay {
        attempt: usize,
    },
    /// A settle arrives whose claim stands no more: of a node that lost its lease, or once more.
    LateSettle {
        delivery: usize,
    },
    Advance {
        seconds: u64,
    },
}

/// What a receiver does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 200.
    Good,
    /// 500.
    Bad,
    /// 410.
    Gone,
    /// 429 with `Retry-After`.
    Busy { wait_s: u64 },
    /// Reads the request and resets the connection.
    Reset,
    /// Nothing, until it is told to.
    Hold,
}

/// A schedule as it would be pasted into a test.
pub struct Listing<'a>(pub &'a [Step]);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| writeln!(f, "        {step:?},"))
    }
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        5 => Just(Answer::Good),
        3 => Just(Answer::Bad),
        1 => Just(Answer::Gone),
        2 => (1..90_u64).prop_map(|wait_s| Answer::Busy { wait_s }),
        1 => Just(Answer::Reset),
    ]
}

fn mood() -> impl Strategy<Value = Answer> {
    prop_oneof![3 => answer(), 2 => Just(Answer::Hold)]
}

fn types() -> impl Strategy<Value = u8> {
    prop_oneof![2 => Just(1), 1 => Just(2), 3 => Just(3)]
}

fn create() -> impl Strategy<Value = Step> {
    (0..3_usize, types(), mood()).prop_map(|(owner, types, answer)| Step::Create { owner, types, answer })
}

/// Weights are such that every kind of trouble is met often.
fn step() -> impl Strategy<Value = Step> {
    let place = any::<usize>;
    prop_oneof![
        1 => create(),
        8 => (0..2_usize, any::<bool>(), option::weighted(0.2, 1..120_u64))
            .prop_map(|(owner, sent, expires_s)| Step::Publish { owner, sent, expires_s }),
        2 => (0..4_usize).prop_map(|key| Step::Keyed { key }),
        2 => (1..4_usize, 0..4_usize, 0..3_usize)
            .prop_map(|(count, key, twins)| Step::Together { count, key, twins }),
        4 => Just(Step::Turn),
        8 => Just(Step::Run),
        5 => (place(), answer()).prop_map(|(held, answer)| Step::Answer { held, answer }),
        3 => (place(), mood()).prop_map(|(subscription, answer)| Step::Mood { subscription, answer }),
        1 => Just(Step::Crash),
        1 => (1..4_usize).prop_map(|events| Step::CrashDuring { events }),
        1 => Just(Step::Stop),
        1 => place().prop_map(|subscription| Step::Delete { subscription }),
        3 => (place(), types()).prop_map(|(subscription, types)| Step::Select { subscription, types }),
        2 => place().prop_map(|subscription| Step::NewUrl { subscription }),
        1 => place().prop_map(|subscription| Step::NewToken { subscription }),
        1 => Just(Step::NewKey),
        1 => place().prop_map(|subscription| Step::Pause { subscription }),
        2 => place().prop_map(|subscription| Step::Resume { subscription }),
        2 => Just(Step::Tidy),
        2 => place().prop_map(|attempt| Step::Replay { attempt }),
        1 => place().prop_map(|delivery| Step::LateSettle { delivery }),
        5 => prop_oneof![1 => Just(1), 1 => Just(10), 1 => Just(31), 2 => Just(36), 1 => Just(3_600)]
            .prop_map(|seconds| Step::Advance { seconds }),
    ]
}

/// A schedule: a few subscriptions, and then what happens to them.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    (vec(create(), 0..4), vec(step(), 1..LENGTH)).prop_map(|(mut steps, more)| {
        steps.extend(more);
        steps
    })
}
