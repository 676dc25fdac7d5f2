use proptest::prelude::*;

use super::*;

const START: i64 = 1_780_000_000_000;

fn at(seconds: i64) -> Moment {
    let now = TimeMs(START + seconds * 1_000);
    Moment { schedule: now, wall: now, last_seq: Seq(7) }
}

fn failed(health: Health, failure: Failure, seconds: i64) -> Health {
    health.failed(failure, at(seconds)).0
}

fn failing() -> Health {
    let health = (0..4).fold(Health::default(), |health, second| failed(health, Failure::Counted, second));
    assert!(!health.is_failing && health.consecutive_failures == 4);
    let (health, transition) = health.failed(Failure::Counted, at(4));
    assert_eq!(transition, Some(Transition::Failing { failures: FAILURES_TO_FAILING }));
    health
}

#[test]
fn the_fifth_failure_in_a_row_makes_it_failing_and_a_success_between_does_not() {
    let health = failing();
    assert!(health.is_failing && !health.is_paused);
    assert_eq!(health.probe, Probe { step: 0, next_at: at(9).schedule });
    let health = (0..4).fold(Health::default(), |health, second| failed(health, Failure::Counted, second));
    let (health, transition) = health.succeeded(at(5));
    assert_eq!((transition, health.consecutive_failures, health.first_failure_at), (None, 0, None));
    assert!(health.drain.is_none(), "nothing was held back");
    assert!(!failed(health, Failure::Counted, 6).is_failing);
}

#[test]
fn asking_for_time_and_attempts_by_hand_count_for_nothing() {
    for failure in [Failure::AskedForTime, Failure::ByHand] {
        let health = (0..100).fold(Health::default(), |health, second| failed(health, failure, second));
        assert_eq!(health, Health { last_failure_at: Some(at(99).wall), ..Health::default() });
        let before = failing();
        let after = failed(before.clone(), failure, 50);
        assert_eq!(after, Health { last_failure_at: Some(at(50).wall), ..before }, "nor do they probe");
    }
}

#[test]
fn the_waits_between_probes_double_to_five_minutes() {
    let (mut health, mut now, mut waits) = (failing(), 4, Vec::new());
    for _ in 0..9 {
        let wait = health.probe.next_at.since(at(now).schedule).as_secs();
        waits.push(wait);
        now += i64::try_from(wait).unwrap();
        health = failed(health, Failure::Probe, now);
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    assert_eq!(probe_wait(u32::MAX), LONGEST_PROBE_WAIT);
}

#[test]
fn what_was_under_way_when_it_began_to_fail_is_no_probe() {
    let health = failing();
    let later = failed(health.clone(), Failure::Counted, 8);
    assert_eq!((later.probe, later.consecutive_failures), (health.probe, 6));
    let days = i64::try_from(FAILING_TO_PAUSED.as_secs()).unwrap();
    assert!(!failed(health, Failure::Counted, days + 5).is_paused, "only a probe pauses");
}

#[test]
fn one_success_heals_and_what_waits_drains() {
    let (health, transition) = failing().succeeded(at(60));
    assert_eq!(transition, Some(Transition::Recovered { drain_per_second: LEAST_DRAIN_PER_SECOND }));
    assert!(!health.is_failing && health.first_failure_at.is_none());
    assert_eq!(health.drain, Some(Drain { since: at(60).wall, until: Seq(7) }));
    assert!(!health.is_plain() && health.clone().drained().is_plain());
    assert_eq!(failed(health, Failure::Counted, 61).drain.map(|drain| drain.until), Some(Seq(7)), "goes on");
}

/// `count` successes, evenly over `seconds`.
fn good(health: Health, from: i64, seconds: i64, count: i64) -> Health {
    (0..count).fold(health, |health, n| {
        let ms = TimeMs(at(from).schedule.0 + n * seconds * 1_000 / count);
        health.succeeded(Moment { schedule: ms, wall: ms, last_seq: Seq(7) }).0
    })
}

#[test]
fn it_drains_at_twice_the_rate_of_the_last_good_minute_and_faster_with_each_that_goes_well() {
    let health = good(Health::default(), 0, 120, 6_000);
    assert_eq!(health.pace.best(), 3_000);
    let health = (0..5).fold(health, |health, _| failed(health, Failure::Counted, 130));
    let (health, transition) = health.succeeded(at(7_000));
    assert_eq!(transition, Some(Transition::Recovered { drain_per_second: 100 }), "twice 50 a second");
    let health = good(health, 7_000, 60, 5_999);
    assert_eq!(health.drain_per_second(), 100, "the first minute is not over");
    assert_eq!(good(health, 7_060, 1, 1).drain_per_second(), 200, "twice what it took");
}

#[test]
fn a_minute_that_failures_cut_short_counts_for_what_it_got_to() {
    let health = good(Health::default(), 0, 20, 1_200);
    let health = (0..5).fold(health, |health, _| failed(health, Failure::Counted, 21));
    assert_eq!(health.succeeded(at(100)).0.drain_per_second(), 40);
}

#[test]
fn five_days_of_failing_probes_pause() {
    let days = i64::try_from(FAILING_TO_PAUSED.as_secs()).unwrap();
    let health = failed(failing(), Failure::Probe, days - 1);
    assert!(!health.is_paused);
    let (health, transition) = health.failed(Failure::Probe, at(days));
    assert_eq!(transition, Some(Transition::Paused(PauseReason::Failing)));
    assert!(health.is_paused);
    let (again, transition) = health.clone().failed(Failure::Counted, at(days + 1));
    assert_eq!((transition, again.is_paused), (None, true), "what was under way says nothing new");
    let health = health.resumed(at(days + 2));
    assert!(!health.is_paused && !health.is_failing && health.drain.is_some());
    assert_eq!((health.consecutive_failures, health.first_failure_at), (0, None), "it has its days again");
}

#[test]
fn gone_and_by_hand_pause_from_anywhere_once() {
    for health in [Health::default(), failing()] {
        let (gone, transition) = health.clone().failed(Failure::Gone, at(10));
        assert_eq!((transition, gone.is_paused), (Some(Transition::Paused(PauseReason::Gone)), true));
        assert_eq!(gone.failed(Failure::Gone, at(11)).1, None);
        let (held, transition) = health.paused_by_hand();
        assert_eq!((transition, held.is_paused), (Some(Transition::Paused(PauseReason::ByHand)), true));
        assert_eq!(held.paused_by_hand().1, None);
    }
}

#[test]
fn a_success_while_paused_clears_the_failures_and_lifts_no_pause() {
    let (health, _) = failing().paused_by_hand();
    let (health, transition) = health.succeeded(at(20));
    assert_eq!(transition, None);
    assert!(health.is_paused && !health.is_failing && health.drain.is_none());
    assert_eq!(health.consecutive_failures, 0);
}

#[test]
fn resume_probes_a_failing_one_at_once_and_its_days_go_on() {
    let health = failed(failing(), Failure::Probe, 9).resumed(at(12));
    assert!(health.is_failing && health.drain.is_none());
    assert_eq!(health.probe, Probe { step: 0, next_at: TimeMs::ZERO });
    assert_eq!(health.first_failure_at, Some(at(0).schedule));
}

#[test]
fn another_url_knows_nothing_of_the_old_one() {
    let health = good(Health::default(), 0, 60, 6_000);
    let health = (0..5).fold(health, |health, _| failed(health, Failure::Counted, 61)).moved(at(70));
    assert!(!health.is_failing && health.drain.is_some());
    assert_eq!((health.consecutive_failures, health.drain_per_second()), (0, LEAST_DRAIN_PER_SECOND));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Success,
    Fail(Failure),
    Pause,
    Resume,
    Move,
    Drained,
}

fn steps() -> impl Strategy<Value = Vec<(Step, i64)>> {
    let failure = prop_oneof![
        6 => Just(Failure::Counted),
        4 => Just(Failure::Probe),
        1 => Just(Failure::AskedForTime),
        1 => Just(Failure::ByHand),
        1 => Just(Failure::Gone),
    ];
    let step = prop_oneof![
        3 => Just(Step::Success),
        12 => failure.prop_map(Step::Fail),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
        1 => Just(Step::Move),
        1 => Just(Step::Drained),
    ];
    prop::collection::vec((step, 0_i64..200_000), 0..80)
}

proptest! {
    #[test]
    fn whatever_happens_the_state_makes_sense(steps in steps()) {
        let (mut health, mut now) = (Health::default(), 0);
        for (step, wait) in steps {
            now += wait;
            let before = health.clone();
            let transition;
            (health, transition) = match step {
                Step::Success => health.succeeded(at(now)),
                Step::Fail(failure) => health.failed(failure, at(now)),
                Step::Pause => health.paused_by_hand(),
                Step::Resume => (health.resumed(at(now)), None),
                Step::Move => (health.moved(at(now)), None),
                Step::Drained => (health.drained(), None),
            };
            prop_assert!(!health.is_failing || health.consecutive_failures >= FAILURES_TO_FAILING);
            prop_assert_eq!(health.first_failure_at.is_some(), health.consecutive_failures > 0);
            prop_assert!(health.drain.is_none() || !(health.is_failing || health.is_paused));
            let paused = health.is_paused && !before.is_paused;
            let is_pause = matches!(transition, Some(Transition::Paused(_)));
            prop_assert_eq!(is_pause, paused, "each pause is told, once");
            let fails = health.is_failing && !before.is_failing;
            let is_failing = matches!(transition, Some(Transition::Failing { .. }));
            prop_assert_eq!(is_failing, fails, "each fall is told, once");
            let recovers = matches!(transition, Some(Transition::Recovered { .. }));
            let came_back = before.is_failing && !before.is_paused && matches!(step, Step::Success);
            prop_assert_eq!(recovers, came_back, "each recovery is told, once");
            if before.is_paused && health.is_paused == before.is_paused {
                prop_assert_eq!(transition, None, "while it is held nothing is news");
            }
            prop_assert!(health.drain_per_second() >= LEAST_DRAIN_PER_SECOND);
            let wait = health.probe.next_at.since(at(now).schedule);
            prop_assert!(wait <= LONGEST_PROBE_WAIT);
        }
    }
}
