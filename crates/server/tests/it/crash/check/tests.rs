//! Evidence without a fault, and each fault in turn.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::support::time::now;

/// One event, accepted and delivered; at the second subscription once in vain because of a kill.
fn sound() -> Evidence {
    let start = now();
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
    let delivery =
        |no: i64, attempts| DeliveryRow { no, request_id: format!("req_{no}"), state: DELIVERED, attempts };
    let attempt = |delivery, attempt_no, outcome, status| AttemptRow {
        delivery,
        attempt_no,
        outcome,
        status,
        started_ms: 10,
        recorded_ms: 30,
    };
    let told =
        |no, attempts| json!({"request_id": format!("req_{no}"), "state": "succeeded", "attempts": attempts});
    Evidence {
        asked: vec![
            Entry {
                subject: "subject-0".into(),
                kind: Kind::KeyedPublish,
                mailbox: 0,
                said: vec![Said::Nothing, Said::Accepted(Some("evt_1".into()))],
            },
            Entry {
                subject: "subject-1".into(),
                kind: Kind::Wrong,
                mailbox: 0,
                said: vec![Said::Refused(422)],
            },
        ],
        arrivals: vec![
            arrival("prompt", 0, 1, 0, 200),
            arrival("slow", 1, 1, 10, 200),
            arrival("slow", 1, 2, 30, 200),
            arrival("moody", 2, 1, 40, 200),
        ],
        kills: vec![Kill { after_ms: 20, before_ms: 21 }],
        events: vec![json!({"deliveries": [told(0, 1), told(1, 2), told(2, 1)]})],
        queued: Vec::new(),
        most_lost: 0,
        deliveries: vec![delivery(0, 1), delivery(1, 2), delivery(2, 1)],
        attempts: vec![
            attempt(0, 1, SUCCEEDED, Some(200)),
            attempt(1, 1, UNKNOWN, None),
            attempt(1, 2, SUCCEEDED, Some(200)),
            attempt(2, 1, SUCCEEDED, Some(200)),
        ],
    }
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
    finds("only", |all| drop(all.arrivals.remove(3)));
    finds("nobody asked", |all| all.arrivals[0].mailbox = 1);
    finds("does not verify", |all| all.arrivals[0].is_signed = false);
    finds("another body", |all| all.arrivals[1].body.push(b' '));
}

#[test]
fn records_that_do_not_add_up_are_found() {
    finds("never ended", |all| all.queued.push(9));
    finds("otherwise than delivered", |all| all.deliveries[0].state = 2);
    finds("ended twice", |all| all.deliveries[0].request_id = "req_1".into());
    finds("has attempts", |all| all.attempts[2].attempt_no = 3);
    finds("state and attempts differ", |all| all.deliveries[0].attempts = 2);
    finds("state and attempts differ", |all| all.attempts[0].outcome = FAILED);
    finds("which does not exist", |all| all.attempts[0].delivery = 7);
    finds("not on record", |all| all.attempts.truncate(3));
    finds("two requests", |all| all.arrivals[2].attempt = 1);
    finds("answered Some(500)", |all| all.arrivals[0].answered = Some((now(), 500)));
    finds("answered None", |all| drop(all.arrivals.remove(0)));
    finds("the API says otherwise", |all| all.events[0]["deliveries"][0]["state"] = json!("queued"));
    finds("the API tells of 0", |all| all.events.clear());
}

#[test]
fn needless_and_silent_duplicates_are_found() {
    finds("unknown without a kill", |all| all.kills.clear());
    finds("unknown without a kill", |all| all.attempts[1].started_ms = 22);
    finds("unknown without a kill", |all| all.attempts[1].recorded_ms = 19);
    finds("came again without need", |all| all.attempts[1].outcome = FAILED);
    finds("possible-duplicate is wrong", |all| all.arrivals[2].says_duplicate = false);
    finds("possible-duplicate is wrong", |all| all.arrivals[0].says_duplicate = true);
}
