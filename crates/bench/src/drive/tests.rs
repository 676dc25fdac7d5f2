use std::net::Ipv4Addr;

use super::*;
use crate::receive::{Mode, Receiver, ReceiverOptions};

fn receiver() -> Receiver {
    Receiver::start(ReceiverOptions::default()).unwrap()
}

fn load(receiver: &Receiver, path: &str, pace: Pace, until: Until) -> Load {
    let template = Template::post(receiver.address(), path, &[], "{\"x\":\"{{mark}}\"}").unwrap();
    Load {
        addresses: [receiver.address()].into(),
        templates: [template].into(),
        connections: 4,
        pace,
        until,
        honour_retry_after: false,
        threads: 2,
    }
}

fn run(load: &Load) -> Tally {
    load.run(&Arc::default()).unwrap()
}

#[test]
fn a_closed_loop_sends_as_many_as_it_was_told() {
    let receiver = receiver();
    let tally = run(&load(&receiver, "/a", Pace::Closed, Until::Requests(1_000)));
    assert_eq!((tally.requests, tally.accepted, tally.cut_off), (1_000, 1_000, 0));
    assert_eq!(tally.answer.count(), 1_000);
    let group = receiver.stats().group("a");
    assert_eq!((group.requests, group.latency.count()), (1_000, 1_000));
}

#[test]
fn an_open_loop_counts_from_when_a_request_was_due() {
    let receiver = receiver();
    // Four connections can have 40 answers a second; asked for 100, the later ones wait.
    let tally = run(&load(&receiver, "/slow-100", Pace::Open(100.0), Until::Requests(40)));
    assert_eq!(tally.accepted, 40);
    let (answer, group) = (tally.answer.max(), receiver.stats().group("slow-100"));
    assert!(answer >= 500_000, "the last was due after 0.4 s and sent after 0.9 s: {answer}");
    assert!(group.latency.max() >= 400_000, "and its mark says so: {}", group.latency.max());
    assert!(tally.lag.max() >= 400_000, "the driver admits it: {}", tally.lag.max());
}

#[test]
fn an_open_loop_ends_when_its_time_is_up() {
    let receiver = receiver();
    let time = Duration::from_millis(200);
    let tally = run(&load(&receiver, "/a", Pace::Open(500.0), Until::Elapsed(time)));
    assert_eq!((tally.requests, tally.unsent), (100, 0));
}

#[test]
fn an_open_loop_gives_up_what_it_could_not_send() {
    let receiver = receiver();
    let hopeless =
        load(&receiver, "/slow-500", Pace::Open(1_000.0), Until::Elapsed(Duration::from_millis(100)));
    let tally = run(&hopeless);
    assert_eq!(tally.requests + tally.unsent, 100);
    assert!(
        tally.unsent > 30,
        "four connections send 8 a second for a little more than five: {}",
        tally.unsent
    );
    assert!(tally.ended_us - tally.began_us < micros(GRACE + Duration::from_secs(3)));
}

#[test]
fn refusals_are_counted_by_status_and_the_wait_is_honoured() {
    let receiver = receiver();
    let refused = load(&receiver, "/busy-1", Pace::Closed, Until::Requests(8));
    let tally = run(&Load { honour_retry_after: true, ..refused });
    assert_eq!((tally.accepted, tally.refused), (0, [(429, 8)].into()));
    let group = receiver.stats().group("busy-1");
    assert!(group.last_us - group.first_us >= 900_000, "the second round came after a second");
}

#[test]
fn connections_are_dealt_out_to_all_addresses() {
    let receivers = [receiver(), receiver(), receiver()];
    let addresses: Vec<_> = receivers.iter().map(Receiver::address).collect();
    let one = load(&receivers[0], "/a", Pace::Closed, Until::Requests(300));
    let [a, b, c] = addresses[..] else { panic!("there are three") };
    let all = Load { addresses: addresses.into(), connections: 7, ..one };
    assert_eq!(all.dealt(2), [vec![a, b, c, a], vec![b, c, a]]);
    assert_eq!(Load { connections: 2, ..all.clone() }.dealt(1), [vec![a, b]], "one is left out");
    let tally = run(&all);
    let arrived = receivers.each_ref().map(|one| one.stats().group("a").requests);
    assert_eq!((tally.accepted, arrived.iter().sum()), (300, 300));
    assert!(arrived.iter().all(|requests| *requests > 0), "{arrived:?}");
}

#[test]
fn a_connection_comes_back_to_its_own_address() {
    let [first, second] = [receiver(), receiver()];
    second.set("a", Mode::Close);
    let one = load(&first, "/a", Pace::Closed, Until::Requests(50));
    let both = Load { addresses: [first.address(), second.address()].into(), connections: 2, ..one };
    let tally = run(&both);
    let arrived = [&first, &second].map(|one| one.stats().group("a").requests);
    assert_eq!(arrived.iter().sum::<u64>(), 50);
    assert_eq!(
        (tally.accepted, tally.cut_off),
        (arrived[0], arrived[1]),
        "whoever is cut off goes nowhere else"
    );
}

#[test]
fn a_connection_that_ends_is_replaced() {
    let receiver = receiver();
    for (mode, path) in [(Mode::Reset, "/r"), (Mode::Close, "/c")] {
        receiver.set(&path[1..], mode);
        let tally = run(&load(&receiver, path, Pace::Closed, Until::Requests(20)));
        assert_eq!((tally.requests, tally.cut_off, tally.accepted), (20, 20, 0), "{path}");
    }
}

#[test]
fn nobody_who_listens_is_an_error() {
    let port = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let receiver = receiver();
    let load = Load { addresses: [port].into(), ..load(&receiver, "/a", Pace::Closed, Until::Requests(1)) };
    assert!(load.run(&Arc::default()).is_err());
}
