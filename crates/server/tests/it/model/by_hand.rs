//! Schedules that are worth running each time: what a hunt found once, and what it rarely makes.

use super::hunt::replay;
use super::step::Answer::{Bad, Busy, Gone, Good, Hold, Reset};
use super::step::Step;
use super::step::Step::{
    Advance, Answer, Crash, CrashDuring, Create, Delete, Keyed, LateSettle, Mood, NewKey, NewToken, NewUrl,
    Pause, Publish, Replay, Resume, Run, Select, Stop, Tidy, Together, Turn,
};
use super::template;

#[track_caller]
fn holds(steps: &[Step]) {
    let kept = replay(&template(), steps);
    assert_eq!(kept, Ok(()));
}

#[test]
fn the_worst_of_everything() {
    holds(&[
        Create { owner: 0, types: 3, answer: Hold },
        Create { owner: 1, types: 1, answer: Bad },
        Publish { owner: 0, sent: false, expires_s: None },
        Together { count: 2, key: 0, twins: 2 },
        Keyed { key: 0 },
        Turn,
        NewUrl { subscription: 0 },
        NewToken { subscription: 0 },
        NewKey,
        Run,
        Advance { seconds: 36 },
        Run,
        Answer { held: 0, answer: Good },
        Answer { held: 0, answer: Reset },
        Answer { held: 0, answer: Busy { wait_s: 60 } },
        Mood { subscription: 1, answer: Good },
        CrashDuring { events: 2 },
        Select { subscription: 0, types: 2 },
        Select { subscription: 0, types: 3 },
        Publish { owner: 0, sent: true, expires_s: Some(40) },
        Pause { subscription: 1 },
        Run,
        Replay { attempt: 0 },
        Turn,
        Crash,
        Resume { subscription: 1 },
        Publish { owner: 0, sent: false, expires_s: None },
        Run,
        Answer { held: 0, answer: Gone },
        Stop,
        LateSettle { delivery: 0 },
        Advance { seconds: 3_600 },
        Turn,
        Delete { subscription: 0 },
        Run,
        Tidy,
        Replay { attempt: 1 },
    ]);
}

/// What a delete ended while its attempt was prepared stayed open for ever when the lease was over, too.
#[test]
fn an_attempt_whose_lease_is_over_before_it_starts_leaves_nothing_open() {
    holds(&[
        Create { owner: 0, types: 3, answer: Good },
        Keyed { key: 0 },
        Turn,
        Delete { subscription: 0 },
        Tidy,
        Advance { seconds: 31 },
    ]);
}

/// A receiver that was replaced while it had a request asked for time, and the new one was not sent to either.
#[test]
fn who_asks_for_time_at_a_url_that_was_replaced_holds_nothing() {
    holds(&[
        Create { owner: 0, types: 3, answer: Hold },
        Publish { owner: 0, sent: false, expires_s: None },
        Run,
        NewUrl { subscription: 0 },
        Answer { held: 0, answer: Busy { wait_s: 60 } },
        Publish { owner: 0, sent: false, expires_s: None },
        Mood { subscription: 0, answer: Good },
        Run,
    ]);
}

/// It had been claimed when everything that waited was made due, failed at the new URL all the same, and was
/// tried again at once as one that had waited.
#[test]
fn what_fails_at_the_new_url_waits_although_it_was_claimed_for_the_old_one() {
    holds(&[
        Create { owner: 0, types: 3, answer: Bad },
        Publish { owner: 0, sent: true, expires_s: None },
        Turn,
        Publish { owner: 0, sent: true, expires_s: None },
        Turn,
        NewUrl { subscription: 0 },
        Advance { seconds: 1 },
        Run,
    ]);
}

#[test]
fn who_was_replaced_asks_for_time_and_what_it_had_goes_to_the_new_url_at_once() {
    holds(&[
        Create { owner: 0, types: 1, answer: Hold },
        Publish { owner: 0, sent: false, expires_s: None },
        Turn,
        Run,
        Answer { held: 0, answer: Reset },
        Advance { seconds: 36 },
        Run,
        NewUrl { subscription: 0 },
        Answer { held: 0, answer: Busy { wait_s: 1 } },
        Run,
    ]);
}

/// It was claimed in the millisecond of the change, but after it, and was tried again at once as one that had
/// waited.
#[test]
fn what_is_claimed_right_after_everything_was_made_due_and_fails_waits() {
    holds(&[
        Create { owner: 0, types: 1, answer: Bad },
        Publish { owner: 0, sent: false, expires_s: None },
        Together { count: 2, key: 0, twins: 0 },
        Run,
        NewUrl { subscription: 0 },
        Crash,
        Turn,
        Advance { seconds: 1 },
        Run,
    ]);
}

/// A probe ahead of its time is asked to come later: it keeps its place in the schedule, and waits for longer
/// than it would have.
#[test]
fn a_probe_that_is_asked_for_time_has_it() {
    holds(&[
        Create { owner: 0, types: 1, answer: Reset },
        Create { owner: 0, types: 1, answer: Good },
        Keyed { key: 1 },
        CrashDuring { events: 1 },
        Run,
        Advance { seconds: 10 },
        Together { count: 2, key: 0, twins: 0 },
        Turn,
        Publish { owner: 0, sent: false, expires_s: None },
        Crash,
        Run,
        Advance { seconds: 10 },
        Mood { subscription: 0, answer: Hold },
        Run,
        Answer { held: 0, answer: Busy { wait_s: 80 } },
    ]);
}
