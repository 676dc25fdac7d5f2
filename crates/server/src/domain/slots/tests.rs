use tokio::task::JoinHandle;

use super::*;
use crate::domain::attempt::{Attempt, Outcome, Verdict};
use crate::domain::time::TimeMs;

const SUBSCRIPTION: SubscriptionNo = SubscriptionNo(1);

pub(super) fn want(subscription: i64) -> Want {
    Want {
        // Every subscription has an organisation of its own, unless a test says otherwise.
        organization: OrganizationNo(subscription),
        subscription: SubscriptionNo(subscription),
        class: Class::Live,
        host: 0,
        bytes: 1,
        max_in_flight: None,
        max_per_second: None,
        now: TimeMs(0),
        failing: false,
    }
}

/// Places that can be had one after the other, and why there are no more.
fn fill(slots: &Slots, want: Want) -> (Vec<Slot>, Full) {
    let mut taken = Vec::new();
    loop {
        match slots.try_take(want) {
            Ok(slot) => taken.push(slot),
            Err(full) => return (taken, full),
        }
    }
}

pub(super) fn made(verdict: Verdict, duration: Duration) -> Outcome {
    Outcome::Made(Attempt {
        verdict,
        status: None,
        error: None,
        response_body: None,
        response_bytes: 0,
        maybe_received: false,
        retry_after: None,
        started_at: TimeMs(0),
        duration,
    })
}

/// What the subscription may have under way after these.
fn bound_after(slots: &Slots, outcomes: &[Outcome]) -> usize {
    for outcome in outcomes {
        slots.try_take(want(1)).expect("a place").learn(outcome);
    }
    fill(slots, want(1)).0.len()
}

/// Slots in which only what a test is about is bounded.
fn wide() -> Bounds {
    Bounds {
        fast: 1_000,
        first: 1_000,
        per_subscription: 1_000,
        organization_percent: 100,
        per_target: 1_000,
        ahead: 0,
        ..Bounds::default()
    }
}

#[test]
fn a_dropped_slot_is_free_again_and_leaves_no_trace() {
    let slots = Slots::new(Bounds::default());
    let (taken, full) = fill(&slots, want(1));
    assert_eq!((taken.len(), full), (4, Full::Subscription));
    assert_eq!(slots.in_use(), InUse { fast: 4, slow: 0, bytes: 4 });
    drop(taken);
    assert_eq!(slots.in_use(), InUse::default());
    let state = slots.lock();
    assert!(state.subscriptions.is_empty() && state.organizations.is_empty() && state.hosts.is_empty());
    assert_eq!(state.bytes, 0);
}

#[test]
fn the_bound_grows_with_good_answers_up_to_its_limit() {
    let good = made(Verdict::Success, Duration::from_millis(3));
    assert_eq!(bound_after(&Slots::new(Bounds::default()), std::slice::from_ref(&good)), 5);
    let none_ahead = || Slots::new(Bounds { ahead: 0, ..Bounds::default() });
    assert_eq!(bound_after(&none_ahead(), &vec![good; 100]), 64);
}

#[test]
fn failures_halve_the_bound_and_slow_answers_leave_it() {
    let failure = made(Verdict::Failure, Duration::from_millis(3));
    let slots = || Slots::new(Bounds::default());
    assert_eq!(bound_after(&slots(), &[made(Verdict::Success, Duration::from_secs(2))]), 4);
    assert_eq!(bound_after(&slots(), std::slice::from_ref(&failure)), 2);
    assert_eq!(bound_after(&slots(), &vec![failure; 10]), 1, "one can always be tried");
    assert_eq!(bound_after(&slots(), &[Outcome::Changed]), 4, "no answer says nothing");
}

#[test]
fn a_subscriptions_own_bound_is_kept() {
    let slots = Slots::new(wide());
    let (taken, full) = fill(&slots, Want { max_in_flight: Some(3), ..want(1) });
    assert_eq!((taken.len(), full), (3, Full::Subscription));
}

#[test]
fn an_organisation_has_its_part_of_a_share() {
    let slots = Slots::new(Bounds { fast: 100, organization_percent: 25, ..wide() });
    let (taken, full) = fill(&slots, want(1));
    assert_eq!((taken.len(), full), (25, Full::Organization));
    assert!(slots.try_take(want(2)).is_ok(), "another one has its own");
}

#[test]
fn an_organisation_has_so_many_to_one_host() {
    let slots = Slots::new(Bounds { per_target: 128, ..wide() });
    let (taken, full) = fill(&slots, want(1));
    assert_eq!((taken.len(), full), (128, Full::Host));
    assert!(slots.try_take(Want { host: 1, ..want(1) }).is_ok(), "another host");
    assert!(slots.try_take(want(2)).is_ok(), "another organisation");
}

#[test]
fn bodies_have_so_many_bytes_and_one_body_always_fits() {
    let slots = Slots::new(Bounds { body_bytes: 10, ..wide() });
    let large = slots.try_take(Want { bytes: 11, ..want(1) }).expect("it is alone");
    assert!(matches!(slots.try_take(want(2)), Err(Full::Bytes)));
    drop(large);
    let _ten = slots.try_take(Want { bytes: 10, ..want(1) }).expect("it fits");
    assert!(matches!(slots.try_take(want(2)), Err(Full::Bytes)), "one byte more does not");
}

#[test]
fn a_storm_of_one_class_leaves_the_others_what_they_are_sure_of() {
    let class = |subscription, class| Want { class, ..want(subscription) };
    for (storm, most) in [(Class::Live, 416), (Class::Retry, 256), (Class::Recover, 64), (Class::Manual, 304)]
    {
        let slots = Slots::new(Bounds { fast: 512, ..wide() });
        let taken: Vec<_> = (0..1_000).map_while(|n| slots.try_take(class(n, storm)).ok()).collect();
        assert_eq!(taken.len(), most, "{storm:?}");
        for other in Class::ALL.into_iter().filter(|other| *other != storm) {
            assert!(slots.try_take(class(2_000, other)).is_ok(), "{other:?} beside {storm:?}");
        }
    }
}

#[test]
fn a_storm_of_retries_leaves_a_place_for_a_fresh_event_of_the_same_subscription() {
    for limit in [2, 3, 4, 9] {
        let slots = Slots::new(Bounds { first: limit, ..wide() });
        let retries = fill(&slots, Want { class: Class::Retry, ..want(1) }).0;
        let recovered = fill(&slots, Want { class: Class::Recover, ..want(1) }).0;
        assert!(retries.len() <= limit.div_ceil(2) && recovered.len() <= limit.div_ceil(4));
        assert!(slots.try_take(want(1)).is_ok(), "of {limit}");
    }
}

#[test]
fn what_somebody_waits_for_has_places_beyond_the_bound() {
    let slots = Slots::new(Bounds::default());
    let _full = fill(&slots, want(1));
    let (by_hand, full) = fill(&slots, Want { class: Class::Manual, ..want(1) });
    assert_eq!((by_hand.len(), full), (MANUAL_EXTRA, Full::Subscription));
}

#[test]
fn an_attempt_that_hangs_leaves_the_fast_share_to_the_others() {
    let slots = Slots::new(Bounds { fast: 4, ..Bounds { first: 4, ..wide() } });
    let (mut hanging, _) = fill(&slots, want(1));
    assert!(matches!(slots.try_take(want(2)), Err(Full::Share | Full::Class)));
    hanging.iter_mut().for_each(Slot::slow_down);
    assert_eq!(slots.in_use(), InUse { fast: 0, slow: hanging.len(), bytes: hanging.len() });
    assert!(slots.try_take(want(2)).is_ok());
    drop(hanging);
    assert_eq!(slots.in_use(), InUse::default());
}

#[tokio::test]
async fn a_slow_subscription_begins_in_the_slow_share_and_has_eight_places_there() {
    let slots = Slots::new(wide());
    slots.try_take(want(1)).expect("a place").slow_down();
    let (mut taken, full) = fill(&slots, want(1));
    assert_eq!((taken.len(), full), (8, Full::Subscription));
    assert_eq!(slots.in_use().fast, 0);
    taken[0].learn(&made(Verdict::Success, Duration::from_millis(1)));
    taken.clear();
    slots.freed().await;
    let fast_again = slots.try_take(want(1)).expect("a place");
    assert_eq!(slots.in_use().fast, 1);
    drop(fast_again);
}

#[test]
fn a_full_slow_share_stops_only_those_who_are_slow_or_failing() {
    let slots = Slots::new(Bounds { slow: 2, slow_per_subscription: 8, ..wide() });
    let failing = |n| Want { failing: true, ..want(n) };
    let _two = (slots.try_take(failing(1)).expect("one"), slots.try_take(failing(2)).expect("two"));
    assert!(matches!(slots.try_take(failing(3)), Err(Full::Share)));
    assert!(slots.try_take(want(3)).is_ok());
}

#[test]
fn attempts_that_hang_all_at_once_move_as_far_as_twice_the_slow_share() {
    let slots = Slots::new(Bounds { slow: 2, ..wide() });
    let mut hanging: Vec<_> = (0..5).map(|n| slots.try_take(want(n)).expect("a place")).collect();
    hanging.iter_mut().for_each(Slot::slow_down);
    assert_eq!(slots.in_use(), InUse { fast: 1, slow: 4, bytes: 5 });
}

#[tokio::test]
async fn whoever_was_refused_hears_of_it_when_a_place_is_freed() {
    let slots = Slots::new(Bounds { first: 1, per_subscription: 1, ..wide() });
    let place = slots.try_take(want(1)).expect("a place");
    let other = slots.try_take(want(2)).expect("a place");
    let is_starved = || slots.lock().subscriptions.get(&SUBSCRIPTION).is_some_and(|known| known.starved);
    assert!(slots.places(&want(1)).is_err() && is_starved());
    drop(other);
    assert!(is_starved(), "that was somebody else's");
    drop(place);
    slots.freed().await;
    assert!(!is_starved());
    let place = slots.try_take(want(1)).expect("a place");
    assert!(!slots.try_take(want(3)).expect("a place").free(), "nobody wanted it");
    assert!(slots.try_take(want(1)).is_err());
    assert!(place.free(), "whoever frees it claims what waits");
}

#[test]
fn a_closed_door_stays_closed() {
    let slots = Slots::new(Bounds::default());
    slots.close();
    assert!(matches!(slots.try_take(want(1)), Err(Full::Closed)));
    assert!(slots.exhausted());
}

#[test]
fn what_is_remembered_has_a_bound() {
    let slots = Slots::new(Bounds::default());
    let good = made(Verdict::Success, Duration::from_millis(3));
    for n in 0..=i64::try_from(MAX_REMEMBERED).unwrap() + 1 {
        slots.try_take(want(n)).expect("a place").learn(&good);
    }
    assert_eq!(slots.lock().subscriptions.len(), MAX_REMEMBERED);
}

#[tokio::test]
async fn fresh_deliveries_begin_in_the_order_in_which_they_were_claimed() {
    let slots = Slots::new(wide());
    let begun = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..50_usize {
        let slot = slots.try_take(want(1)).expect("a place");
        let begun = begun.clone();
        tasks.spawn(async move {
            // Connections take as long as they take: the last are there first.
            for _ in 0..(50 - number) {
                tokio::task::yield_now().await;
            }
            let turn = slot.turn().expect("a fresh delivery has one");
            // Every seventh ends before it begins.
            if number % 7 == 3 {
                return;
            }
            turn.come().await;
            begun.lock().unwrap().push(number);
            turn.pass();
        });
    }
    while tasks.join_next().await.is_some() {}
    let expected: Vec<usize> = (0..50).filter(|number| number % 7 != 3).collect();
    assert_eq!(*begun.lock().unwrap(), expected);
    assert!(slots.lock().subscriptions.is_empty(), "and nothing is left of it");
}

#[test]
fn whoever_is_slow_to_begin_lets_the_others_pass_and_retries_have_no_turn() {
    let slots = Slots::new(wide());
    let mut first = slots.try_take(want(1)).expect("a place");
    let second = slots.try_take(want(1)).expect("a place");
    let turn = second.turn().expect("it is fresh");
    assert!(first.turn().is_some_and(|turn| turn.has_come()) && !turn.has_come());
    first.slow_down();
    assert!(turn.has_come());
    let retry = slots.try_take(Want { class: Class::Retry, ..want(1) }).expect("a place");
    assert!(retry.turn().is_none());
}

#[tokio::test]
async fn whoever_let_the_others_pass_while_it_waited_still_begins_when_its_turn_comes() {
    let slots = Slots::new(wide());
    let first = slots.try_take(want(1)).expect("a place");
    let mut second = slots.try_take(want(1)).expect("a place");
    let third = slots.try_take(want(1)).expect("a place");
    let [turn, last] = [&second, &third].map(|slot| slot.turn().expect("it is fresh"));
    let waiting = [turn, last].map(|turn| tokio::spawn(async move { turn.come().await }));
    tokio::task::yield_now().await;
    second.slow_down();
    tokio::task::yield_now().await;
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()), "the first has not begun");
    drop(first);
    tokio::task::yield_now().await;
    assert!(waiting.iter().all(JoinHandle::is_finished), "their turn has come");
}

#[tokio::test]
async fn whoever_finds_everything_exhausted_hears_of_it_when_a_place_is_freed() {
    let slots = Slots::new(Bounds { fast: 1, slow: 1, ..wide() });
    let place = slots.try_take(want(1)).expect("a place");
    assert!(!slots.exhausted());
    let slow = slots.try_take(Want { failing: true, ..want(2) }).expect("a place");
    assert!(slots.exhausted());
    drop(place);
    slots.freed().await;
    drop(slow);
}

#[test]
fn a_place_in_one_share_is_not_told_to_who_needs_one_in_the_other() {
    use futures_util::FutureExt;
    let slots = Slots::new(Bounds { slow: 1, ..wide() });
    let failing = |n| Want { failing: true, ..want(n) };
    let slow = slots.try_take(failing(1)).expect("a place");
    let (fast, other) =
        (slots.try_take(want(2)).expect("a place"), slots.try_take(want(3)).expect("a place"));
    assert!(matches!(slots.try_take(failing(4)), Err(Full::Share)));
    drop(fast);
    assert_eq!(slots.freed().now_or_never(), None, "that one is of no use");
    assert_eq!(slots.places(&failing(4)), Err(Full::Share));
    drop(slow);
    assert_eq!(slots.freed().now_or_never(), Some(()));
    drop(other);
}

#[test]
fn who_waits_for_a_share_starves_though_it_has_places_of_its_own() {
    let slots = Slots::new(Bounds { slow: 1, ..wide() });
    let failing = |n| Want { failing: true, ..want(n) };
    let slow = slots.try_take(failing(1)).expect("a place");
    assert!(slots.places(&failing(1)).is_err(), "the share is full");
    assert!(slots.places(&want(1)).is_ok(), "the other one is not");
    drop(slow);
    assert!(slots.places(&failing(1)).is_ok());
}

#[test]
fn who_has_all_under_way_that_its_owner_allows_has_no_places() {
    let slots = Slots::new(wide());
    let want = Want { max_in_flight: Some(2), ..want(1) };
    let (place, _other) = (slots.try_take(want).expect("a place"), slots.try_take(want).expect("a place"));
    assert_eq!(slots.places(&want), Err(Full::Subscription));
    assert!(place.free(), "whoever frees it claims what waits");
    assert_eq!(slots.places(&want), Ok(1));
}
