use std::sync::Arc;
use std::task::Wake;
use std::time::Duration;

use super::super::tests::{made, want};
use super::super::{Full, InUse, SLOW_AFTER, Slots};
use super::*;
use crate::domain::attempt::Verdict;

/// Two places for each subscription, and two ahead.
fn bounds() -> Bounds {
    Bounds { first: 2, per_subscription: 2, ahead: 2, organization_percent: 100, ..Bounds::default() }
}

fn take<const N: usize>(slots: &Slots) -> [Slot; N] {
    std::array::from_fn(|_| slots.try_take(want(1)).expect("a place"))
}

struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

/// Whether it begins, as far as that is known.
fn begins(slot: &mut Slot) -> Option<bool> {
    let waker = Waker::from(Arc::new(Nobody));
    match Pin::new(&mut Beginning(slot)).poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(begins) => Some(begins),
        Poll::Pending => None,
    }
}

#[test]
fn what_is_ahead_holds_no_place_and_begins_in_order_when_one_is_freed() {
    let slots = Slots::new(bounds());
    let [first, second, mut third, mut fourth] = take(&slots);
    assert!(!first.is_ahead() && !second.is_ahead() && third.is_ahead() && fourth.is_ahead());
    assert_eq!(slots.in_use(), InUse { fast: 2, slow: 0, bytes: 4 });
    assert_eq!(slots.try_take(want(1)).unwrap_err(), Full::Subscription, "two ahead at most");
    assert_eq!((begins(&mut third), begins(&mut fourth)), (None, None));
    assert!(second.free(), "one was refused");
    assert_eq!((begins(&mut fourth), begins(&mut third)), (None, Some(true)), "in order");
    assert_eq!(slots.in_use(), InUse { fast: 2, slow: 0, bytes: 3 });
    drop((first, third));
    assert_eq!(begins(&mut fourth), Some(true));
    assert!(begins(&mut fourth) == Some(true), "and stays so");
    drop(fourth);
    assert_eq!(slots.in_use(), InUse::default());
    assert!(slots.lock().subscriptions.is_empty() && slots.lock().ahead == 0);
}

#[test]
fn nothing_is_lent_that_somebody_else_may_miss_or_that_is_not_wanted() {
    let refused = |bounds: Bounds, want: Want| {
        let slots = Slots::new(bounds);
        let places = want.max_in_flight.unwrap_or(2);
        let _held: Vec<_> = (0..places).map(|_| slots.try_take(want).expect("a place")).collect();
        slots.try_take(want).err()
    };
    let full = Some(Full::Subscription);
    assert_eq!(refused(bounds(), want(1)), None);
    assert_eq!(refused(Bounds { per_subscription: 3, ..bounds() }, want(1)), full, "it has not grown");
    assert_eq!(refused(Bounds { ahead: 0, ..bounds() }, want(1)), full);
    assert_eq!(refused(Bounds { body_bytes: 4, ..bounds() }, want(1)), full, "half of the bytes at most");
    assert_eq!(refused(bounds(), Want { max_in_flight: Some(1), ..want(1) }), full);
    for class in [Class::Retry, Class::Recover] {
        let slots = Slots::new(bounds());
        let _held: [_; 2] = take(&slots);
        assert_eq!(slots.try_take(Want { class, ..want(1) }).err(), full, "only what is fresh");
    }
    let slots = Slots::new(Bounds { fast: 3, ..bounds() });
    let _held: [_; 2] = take(&slots);
    let _other = slots.try_take(want(2)).expect("a place");
    assert!(slots.try_take(want(3)).is_err(), "somebody waits for a place");
    assert_eq!(slots.try_take(want(1)).err(), full);
}

#[test]
fn all_subscriptions_together_have_as_much_ahead_as_there_are_fast_places() {
    let slots = Slots::new(Bounds { fast: 4, ahead: 100, ..bounds() });
    let taken: [_; 6] = take(&slots);
    assert_eq!(taken.iter().filter(|slot| slot.is_ahead()).count(), 4);
    assert_eq!(slots.try_take(want(1)).err(), Some(Full::Subscription));
}

#[test]
fn after_an_answer_that_fails_or_is_slow_or_none_all_is_given_back_and_nothing_fresh_overtakes_it() {
    for how in 0..4 {
        let slots = Slots::new(bounds());
        let [mut first, second, mut third, mut fourth] = take(&slots);
        match how {
            0 => first.learn(&made(Verdict::Failure, Duration::ZERO)),
            1 => first.learn(&made(Verdict::Success, SLOW_AFTER * 2)),
            2 => first.slow_down(),
            _ => assert!(!third.give_up(), "it has waited for long enough"),
        }
        assert_eq!((begins(&mut third), begins(&mut fourth)), (Some(false), Some(false)), "{how}");
        drop((first, second));
        assert!(slots.try_take(want(1)).is_err(), "they are not in the store yet: {how}");
        drop(third);
        assert!(slots.try_take(want(1)).is_err(), "one of them is not: {how}");
        assert!(slots.try_take(Want { class: Class::Manual, ..want(1) }).is_ok());
        drop(fourth);
        assert!(slots.try_take(want(1)).is_ok(), "{how}");
        assert_eq!((slots.in_use(), slots.lock().ahead), (InUse::default(), 0));
    }
}

#[test]
fn one_that_got_its_place_at_the_last_moment_has_it() {
    let slots = Slots::new(bounds());
    let [first, _second, mut third, mut fourth] = take(&slots);
    drop(first);
    assert!(third.give_up());
    assert!(!fourth.give_up());
    assert!(third.give_up(), "it is under way");
}

#[test]
fn what_is_dropped_while_it_waits_or_has_not_noticed_its_place_leaves_no_trace() {
    let slots = Slots::new(bounds());
    let [first, second, third, fourth] = take(&slots);
    drop(first);
    drop(fourth);
    drop(third);
    drop(second);
    assert_eq!(slots.in_use(), InUse::default());
    assert!(slots.lock().subscriptions.is_empty() && slots.lock().ahead == 0);
}

#[tokio::test]
async fn a_closed_door_gives_all_back() {
    let slots = Slots::new(bounds());
    let [_first, second, mut third, fourth] = take(&slots);
    let waits = tokio::spawn(async move { third.begin().await });
    tokio::task::yield_now().await;
    slots.close();
    assert!(!waits.await.expect("it ends"));
    drop((second, fourth));
    assert_eq!(slots.in_use().fast, 1);
}

#[tokio::test]
async fn whoever_waits_is_woken_by_the_place() {
    let slots = Slots::new(bounds());
    let [first, _second, mut third] = take(&slots);
    let waits = tokio::spawn(async move { third.begin().await });
    tokio::task::yield_now().await;
    drop(first);
    assert!(waits.await.expect("it ends"));
}
