//! The same request twice is one event.

use std::time::Duration;

use futures_util::future::join_all;
use inkhook_server::store::accept::{Accept, Accepted, IDEMPOTENCY_KEY_KEPT_MS, NewEvent};
use inkhook_wire::event::EventType;
use inkhook_wire::id::EventId;
use uuid::Uuid;

use crate::support::invariants;
use crate::support::store::{Agent, StoreBench};

async fn subscribed() -> (StoreBench, Agent) {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    bench.subscribe(help.admin(), help.by_mail(), &[EventType::MessageReceived]).await;
    (bench, help)
}

/// A request with a body, a key and an id; each `Some` is given by the publisher.
fn request(bench: &StoreBench, agent: Agent, body: u8, key: Option<&str>, id: Option<u128>) -> NewEvent {
    let event = bench.mail(agent);
    NewEvent {
        idempotency_key: key.map(Into::into),
        id: id.map_or(event.id, given),
        id_given: id.is_some(),
        request_hash: [body; 32],
        ..event
    }
}

fn given(id: u128) -> EventId {
    Uuid::from_u128(id).into()
}

fn accepted(accept: &Accept) -> &Accepted {
    match accept {
        Accept::Accepted(accepted) => accepted,
        refused => panic!("{refused:?}"),
    }
}

fn events(bench: &StoreBench) -> i64 {
    bench.number("SELECT count(*) FROM events")
}

#[tokio::test]
async fn a_key_or_an_id_or_both_bring_the_first_answer_back() {
    let (bench, help) = subscribed().await;
    for (key, id) in [(Some("key"), None), (None, Some(7)), (Some("both"), Some(8))] {
        let before = events(&bench);
        let first = bench.accept(request(&bench, help, 1, key, id)).await;
        assert!(!first.duplicate);
        bench.subscribe(help.admin(), help.by_mail(), &[EventType::MessageReceived]).await;
        let again = bench.accept(request(&bench, help, 1, key, id)).await;
        assert_eq!(again, Accepted { duplicate: true, waiting: false, ..first }, "{key:?} {id:?}");
        assert_eq!(events(&bench), before + 1, "{key:?} {id:?}");
    }
    invariants::check(&bench);
}

#[tokio::test]
async fn another_body_under_a_known_key_or_id_is_refused_and_leaves_no_key() {
    let (bench, help) = subscribed().await;
    bench.accept(request(&bench, help, 1, Some("key"), Some(7))).await;
    let refused = [
        (request(&bench, help, 2, Some("key"), None), Accept::KeyReused),
        (request(&bench, help, 2, None, Some(7)), Accept::IdReused),
        (request(&bench, help, 2, Some("fresh"), Some(7)), Accept::IdReused),
        (request(&bench, help, 2, Some("key"), Some(9)), Accept::KeyReused),
        (request(&bench, help, 1, Some("key"), Some(9)), Accept::KeyAndIdDiffer),
    ];
    for (request, refusal) in refused {
        assert_eq!(bench.store().accept(request).await.unwrap(), refusal);
    }
    assert_eq!((events(&bench), bench.number("SELECT count(*) FROM dedupe")), (1, 2));
    let (fresh, nine) =
        (request(&bench, help, 2, Some("fresh"), None), request(&bench, help, 2, None, Some(9)));
    assert!(!bench.accept(fresh).await.duplicate, "the refused request did not use the key up");
    assert!(!bench.accept(nine).await.duplicate, "nor the id");
}

#[tokio::test]
async fn a_key_and_an_id_that_name_different_events_are_refused() {
    let (bench, help) = subscribed().await;
    bench.accept(request(&bench, help, 1, Some("key"), None)).await;
    bench.accept(request(&bench, help, 1, None, Some(7))).await;
    let both = request(&bench, help, 1, Some("key"), Some(7));
    assert_eq!(bench.store().accept(both).await.unwrap(), Accept::KeyAndIdDiffer);
}

#[tokio::test]
async fn a_key_that_comes_with_a_known_id_names_that_event_from_then_on() {
    let (bench, help) = subscribed().await;
    let first = bench.accept(request(&bench, help, 1, None, Some(7))).await;
    let again = bench.accept(request(&bench, help, 1, Some("key"), Some(7))).await;
    assert_eq!((again.id, again.duplicate), (first.id, true));
    let other = request(&bench, help, 2, Some("key"), None);
    assert_eq!(bench.store().accept(other).await.unwrap(), Accept::KeyReused);
    assert_eq!(events(&bench), 1);
}

#[tokio::test]
async fn an_id_that_the_server_gave_cannot_be_given_again() {
    let (bench, help) = subscribed().await;
    let first = bench.accept(request(&bench, help, 1, None, None)).await;
    let taken = NewEvent { id: first.id, ..request(&bench, help, 1, Some("key"), Some(1)) };
    assert_eq!(bench.store().accept(taken).await.unwrap(), Accept::IdReused);
    assert_eq!(bench.number("SELECT count(*) FROM dedupe"), 0);
}

#[tokio::test]
async fn a_key_is_kept_for_a_day_and_not_longer_and_an_id_as_long_as_its_event() {
    let (bench, help) = subscribed().await;
    bench.accept(request(&bench, help, 1, Some("key"), Some(7))).await;
    let day = Duration::from_millis(u64::try_from(IDEMPOTENCY_KEY_KEPT_MS).unwrap());
    bench.clock.advance(day.checked_sub(Duration::from_millis(1)).unwrap());
    let other = || request(&bench, help, 2, Some("key"), None);
    assert_eq!(bench.store().accept(other()).await.unwrap(), Accept::KeyReused);
    bench.clock.advance(Duration::from_millis(1));
    let renewed = bench.accept(other()).await;
    assert!(!renewed.duplicate);
    assert_eq!(bench.accept(other()).await.id, renewed.id, "the key names the new event now");
    bench.clock.advance(day * 400);
    assert_eq!(bench.accept(request(&bench, help, 1, None, Some(7))).await.id, given(7));
    let reused = request(&bench, help, 2, None, Some(7));
    assert_eq!(bench.store().accept(reused).await.unwrap(), Accept::IdReused);
}

#[tokio::test]
async fn keys_and_ids_of_another_organisation_are_other_keys_and_ids() {
    let (bench, help) = subscribed().await;
    let other = bench.agent("other").await;
    bench.accept(request(&bench, help, 1, Some("key"), Some(7))).await;
    assert!(!bench.accept(request(&bench, other, 2, Some("key"), Some(7))).await.duplicate);
    assert_eq!(events(&bench), 2);
}

#[tokio::test]
async fn fifty_at_once_are_one_event() {
    let (bench, help) = subscribed().await;
    for (key, id) in [(Some("key"), None), (None, Some(7))] {
        let before = events(&bench);
        let requests = (0..50).map(|_| bench.store().accept(request(&bench, help, 1, key, id)));
        let answers = join_all(requests).await;
        let answers: Vec<_> = answers.iter().map(|answer| accepted(answer.as_ref().unwrap())).collect();
        assert_eq!(events(&bench), before + 1);
        assert_eq!(answers.iter().filter(|answer| !answer.duplicate).count(), 1);
        assert!(answers.iter().all(|answer| answer.id == answers[0].id && answer.deliveries == 1));
    }
}

#[tokio::test]
async fn a_repeat_is_recognised_after_a_restart() {
    let (mut bench, help) = subscribed().await;
    let first = bench.accept(request(&bench, help, 1, Some("key"), None)).await;
    bench.restart().await;
    let again = bench.accept(request(&bench, help, 1, Some("key"), None)).await;
    assert_eq!(again, Accepted { duplicate: true, waiting: false, ..first });
}

#[tokio::test]
async fn a_repeat_is_recognised_when_its_owner_is_gone() {
    let (bench, help) = subscribed().await;
    let first = bench.accept(request(&bench, help, 1, Some("key"), None)).await;
    bench.store().delete_identity(help.admin(), "help".into()).await.unwrap();
    let again = bench.accept(request(&bench, help, 1, Some("key"), None)).await;
    assert_eq!(again, Accepted { duplicate: true, waiting: false, ..first });
}
