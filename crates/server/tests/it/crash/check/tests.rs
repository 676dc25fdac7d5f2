//! Evidence without a fault, and each fault in turn.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::support::time::now;

/// One event, accepted and delivered at each subscription: at the second once in vain because of a kill, at the
/// last after a reset. It was replayed in vain. Another event went to a subscription that is deleted later.
fn sound() -> Evidence {
    let start = now();
    let (deliveries, attempts) = record();
    Evidence {
        asked: asked(),
        arrivals: arrivals(start),
        kills: vec![Kill { after_ms: 20, before_ms: 21 }],
        events: told(),
        queued: Vec::new(),
        most_lost: 0,
        deliveries,
        attempts,
        churn: Ledger {
            left: vec![("churn-1-0".into(), start + Duration::from_millis(50))],
            accepted: vec!["evt_2".into()],
            changes: 1,
        },
        churned_mailbox: "changes".into(),
        broken: Vec::new(),
    }
}

fn asked() -> Vec<Entry> {
    let entry =
        |subject: &str, kind, said| Entry { subject: subject.into(), kind, mailbox: 0, batch: None, said };
    let accepted = vec![Said::Nothing, Said::Accepted(Some("evt_1".into()))];
    vec![
        entry("subject-0", Kind::KeyedPublish, accepted),
        entry("subject-1", Kind::Wrong, vec![Said::Refused(422)]),
    ]
}

fn arrivals(start: Instant) -> Vec<Arrival> {
    let at = |millis| start + Duration::from_millis(millis);
    let arrival = |mood: &str, no: usize, attempt, millis, status| Arrival {
        mailbox: 0,
        mood: mood.into(),
        request_id: format!("req_{no}"),
        attempt,
        says_duplicate: attempt > 1,
        event: "evt_1".into(),
        subject: "subject-0".into(),
        body: b"body".to_vec(),
        is_signed: true,
        at: at(millis),
        answered: Some((at(millis + 1), status)),
    };
    let churned = arrival("churn-1-0", 5, 1, 45, 200);
    vec![
        arrival("prompt", 0, 1, 0, 200),
        arrival("slow", 1, 1, 10, 200),
        arrival("slow", 1, 2, 30, 200),
        arrival("moody", 2, 1, 40, 200),
        arrival("flaky", 3, 1, 41, RESET),
        arrival("flaky", 3, 2, 43, 200),
        arrival("moody", 4, 1, 44, 500),
        Arrival { mailbox: 2, subject: "churn".into(), event: "evt_2".into(), ..churned },
    ]
}

fn record() -> (Vec<DeliveryRow>, Vec<AttemptRow>) {
    let delivery = |no: i64, sort, state, attempts| DeliveryRow {
        no,
        request_id: format!("req_{no}"),
        sort,
        state,
        attempts,
    };
    let attempt = |delivery, attempt_no, outcome, status| AttemptRow {
        delivery,
        attempt_no,
        outcome,
        status,
        started_ms: 10,
        recorded_ms: 30,
    };
    let deliveries = vec![
        delivery(0, Sort::Kept, DELIVERED, 1),
        delivery(1, Sort::Kept, DELIVERED, 2),
        delivery(2, Sort::Kept, DELIVERED, 1),
        delivery(3, Sort::Kept, DELIVERED, 2),
        delivery(4, Sort::ByHand, EXHAUSTED, 1),
        delivery(5, Sort::Churned, DELIVERED, 1),
        delivery(6, Sort::Churned, CANCELLED, 0),
    ];
    let attempts = vec![
        attempt(0, 1, SUCCEEDED, Some(200)),
        attempt(1, 1, UNKNOWN, None),
        attempt(1, 2, SUCCEEDED, Some(200)),
        attempt(2, 1, SUCCEEDED, Some(200)),
        attempt(3, 1, FAILED, None),
        attempt(3, 2, SUCCEEDED, Some(200)),
        attempt(4, 1, FAILED, Some(500)),
        attempt(5, 1, SUCCEEDED, Some(200)),
    ];
    (deliveries, attempts)
}

fn told() -> Vec<Value> {
    let told = |no, state: &str, attempts| json!({"request_id": format!("req_{no}"), "state": state, "attempts": attempts});
    let stays = [
        told(0, "succeeded", 1),
        told(1, "succeeded", 2),
        told(2, "succeeded", 1),
        told(3, "succeeded", 2),
        told(4, "exhausted", 1),
    ];
    let changes = [told(5, "succeeded", 1), told(6, "cancelled", 0)];
    vec![
        json!({"id": "evt_1", "mailbox_id": "stays", "deliveries": stays}),
        json!({"id": "evt_2", "mailbox_id": "changes", "deliveries": changes}),
    ]
}

#[track_caller]
fn finds(fault: &str, make: impl FnOnce(&mut Evidence)) {
    let mut evidence = sound();
    make(&mut evidence);
    let breaches = evidence.breaches();
    assert!(breaches.iter().any(|breach| breach.contains(fault)), "{fault:?} is not among {breaches:#?}");
}

#[test]
fn sound_evidence_has_no_breach() {
    assert_eq!(sound().breaches(), Vec::<String>::new());
}

#[test]
fn promises_that_were_not_kept_are_found() {
    finds("accepted and not arrived", |all| drop(all.arrivals.remove(0)));
    finds("accepted and not arrived", |all| all.arrivals[3].answered = None);
    finds("accepted and not arrived", |all| all.asked[0].said[1] = Said::Accepted(Some("evt_2".into())));
    finds("refused and arrived", |all| all.arrivals[0].subject = "subject-1".into());
    finds("wrongly answered", |all| all.asked[1].said[0] = Said::Accepted(None));
    finds("wrongly answered", |all| all.asked[0].said[1] = Said::Refused(409));
    finds("became", |all| all.arrivals[0].event = "evt_2".into());
    finds("only", |all| all.arrivals.retain(|arrival| arrival.mood != "moody"));
    finds("nobody asked", |all| all.arrivals[0].mailbox = 1);
    finds("does not verify", |all| all.arrivals[0].is_signed = false);
    finds("another body", |all| all.arrivals[1].body.push(b' '));
}

#[test]
fn records_that_do_not_add_up_are_found() {
    finds("never ended", |all| all.queued.push(9));
    finds("as it could not", |all| all.deliveries[0].state = EXHAUSTED);
    finds("as it could not", |all| all.deliveries[6].state = EXHAUSTED);
    finds("as it could not", |all| all.deliveries[4].state = 4);
    finds("ended twice", |all| all.deliveries[0].request_id = "req_1".into());
    finds("has attempts", |all| all.attempts[2].attempt_no = 3);
    finds("state and attempts differ", |all| all.deliveries[0].attempts = 2);
    finds("state and attempts differ", |all| all.attempts[0].outcome = FAILED);
    finds("state and attempts differ", |all| all.deliveries[5].state = CANCELLED);
    finds("state and attempts differ", |all| {
        all.deliveries[4].attempts = 2;
        all.attempts.push(AttemptRow { attempt_no: 2, ..all.attempts[6].clone() });
    });
    finds("which does not exist", |all| all.attempts[0].delivery = 7);
    finds("not on record", |all| all.attempts.truncate(3));
    finds("two requests", |all| all.arrivals[2].attempt = 1);
    finds("answered Some(500)", |all| all.arrivals[0].answered = Some((now(), 500)));
    finds("answered None", |all| drop(all.arrivals.remove(0)));
    finds("the API says otherwise", |all| all.events[0]["deliveries"][0]["state"] = json!("queued"));
    finds("the API says otherwise", |all| all.events[1]["deliveries"][1]["state"] = json!("succeeded"));
    finds("the API tells of 0", |all| all.events.clear());
    finds("answered Some(0)", |all| all.attempts[4].status = Some(500));
    finds("a queue head", |all| all.broken.push("a queue head is too late".into()));
}

#[test]
fn needless_and_silent_duplicates_are_found() {
    finds("unknown without a kill", |all| all.kills.clear());
    finds("unknown without a kill", |all| all.attempts[1].started_ms = 22);
    finds("unknown without a kill", |all| all.attempts[1].recorded_ms = 19);
    finds("came again without need", |all| all.attempts[1].outcome = FAILED);
    finds("possible-duplicate is wrong", |all| all.arrivals[2].says_duplicate = false);
    finds("possible-duplicate is wrong", |all| all.arrivals[0].says_duplicate = true);
    finds("possible-duplicate is wrong", |all| all.arrivals[5].says_duplicate = false);
}

#[test]
fn what_comes_after_its_end_and_what_is_torn_is_found() {
    finds("after its end was answered", |all| all.arrivals[7].at += UNDER_WAY + Duration::from_millis(10));
    finds("accepted and not there", |all| all.churn.accepted.push("evt_9".into()));
    finds("a part of a batch", |all| {
        let entry = Entry { kind: Kind::Batch, batch: Some(0), ..all.asked[0].clone() };
        all.asked[0].batch = Some(0);
        all.asked.push(Entry { subject: "subject-2".into(), said: vec![Said::Nothing], ..entry });
    });
}
