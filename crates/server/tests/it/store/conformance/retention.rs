//! History that is old enough goes, with all that hangs on it, and nothing else does.

use std::time::Duration;

use inkhook_server::domain::delivery::End;
use inkhook_server::domain::metrics::Swept;
use inkhook_server::domain::organization::OrganizationChange;
use inkhook_server::domain::patch::Patch;
use inkhook_server::engine::janitor::House;
use inkhook_server::store::accept::{Accept, NewEvent};
use inkhook_server::store::cancel::Tidied;
use inkhook_server::store::replay::Replay;
use inkhook_server::store::retention::{CHUNK_ROWS, LOOK_AGAIN};
use inkhook_server::store::settle::Next;
use inkhook_wire::event::EventType;
use tokio_util::sync::CancellationToken;

use super::lists::page;
use crate::support::books::{Books, needs_a_file};
use crate::support::invariants;
use crate::support::store::{Agent, StoreBench};

const RECEIVED: EventType = EventType::MessageReceived;
const DAY: Duration = Duration::from_hours(24);

/// So many milliseconds less.
fn almost(time: Duration, less_ms: u64) -> Duration {
    time.saturating_sub(Duration::from_millis(less_ms))
}

async fn subscribed() -> (StoreBench, Agent) {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    (bench, help)
}

/// Accepts `count` mails and delivers them.
async fn delivered(bench: &StoreBench, agent: Agent, count: usize) {
    bench.accept_mails(agent, count).await;
    for claimed in bench.claim().await {
        bench.succeed(&claimed).await;
    }
}

/// One look of a janitor that has just begun.
async fn keep(bench: &StoreBench, days: u32) {
    let soft = CancellationToken::new();
    House::default().keep(bench.store(), &bench.clock, days, &soft).await.expect("the store works");
}

/// Events, ended deliveries and attempts.
fn kept(bench: &StoreBench) -> [i64; 3] {
    ["events", "deliveries", "attempts"].map(|table| bench.number(&format!("SELECT count(*) FROM {table}")))
}

#[tokio::test]
async fn what_is_as_old_as_the_retention_goes_and_what_is_younger_stays() {
    let (bench, help) = subscribed().await;
    delivered(&bench, help, CHUNK_ROWS + 1).await;
    bench.clock.advance(Duration::from_millis(1));
    delivered(&bench, help, 3).await;
    bench.clock.advance(almost(30 * DAY, 2));
    keep(&bench, 30).await;
    let all = i64::try_from(CHUNK_ROWS).unwrap() + 4;
    assert_eq!(kept(&bench), [all; 3], "a millisecond too young");
    bench.clock.advance(Duration::from_millis(1));
    keep(&bench, 30).await;
    assert_eq!(kept(&bench), [3, 3, 3]);
    let removed = u64::try_from(CHUNK_ROWS).unwrap() + 1;
    for what in [Swept::Events, Swept::Deliveries, Swept::Attempts] {
        assert_eq!(bench.store().metrics().swept(what), removed);
    }
    assert_eq!(bench.store().attempts(help.admin(), page()).await.unwrap().len(), 3);
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn a_chunk_is_bounded_and_goes_on_where_the_last_one_ended() {
    let (bench, help) = subscribed().await;
    delivered(&bench, help, CHUNK_ROWS + 1).await;
    let cutoff = bench.clock.wall();
    let store = bench.store();
    assert_eq!(store.expire_attempts_chunk(help.organization, cutoff).await.unwrap(), Tidied::More);
    assert_eq!(store.expire_events_chunk(help.organization, cutoff).await.unwrap(), Tidied::More);
    assert_eq!(kept(&bench), [1, 1, 1]);
    assert_eq!(store.expire_attempts_chunk(help.organization, cutoff).await.unwrap(), Tidied::More);
    assert_eq!(store.expire_events_chunk(help.organization, cutoff).await.unwrap(), Tidied::More);
    assert_eq!(kept(&bench), [0, 0, 0]);
    assert_eq!(store.expire_events_chunk(help.organization, cutoff).await.unwrap(), Tidied::Nothing);
    assert_eq!(store.expire_attempts_chunk(help.organization, cutoff).await.unwrap(), Tidied::Nothing);
    assert_eq!(store.organization_with_history(help_before(help)).await.unwrap(), None);
}

fn help_before(agent: Agent) -> inkhook_server::domain::number::OrganizationNo {
    inkhook_server::domain::number::OrganizationNo(agent.organization.0 - 1)
}

#[tokio::test]
async fn what_has_not_ended_is_never_deleted_and_hides_nothing() {
    let (bench, help) = subscribed().await;
    bench.accept_mails(help, 1).await;
    let waiting = bench.claim_one().await;
    let due = bench.clock.schedule().after(40 * DAY);
    bench.fail(&waiting, Next::Retry { due, maybe_received: false }).await;
    delivered(&bench, help, 2).await;
    bench.clock.advance(31 * DAY);
    keep(&bench, 30).await;
    assert_eq!(kept(&bench), [1, 0, 0], "the lines of its log are as old as any");
    assert_eq!(bench.queued(), 1);
    assert_eq!(bench.number("SELECT count(*) FROM retention_late"), 1);

    // It ends late: from then on it is history like any other.
    bench.clock.advance(10 * DAY);
    let waiting = bench.claim_one().await;
    bench.succeed(&waiting).await;
    bench.clock.advance(almost(30 * DAY, 1));
    keep(&bench, 30).await;
    assert_eq!(kept(&bench), [1, 1, 1], "an old number, but it ended lately");
    bench.clock.advance(LOOK_AGAIN);
    keep(&bench, 30).await;
    assert_eq!(kept(&bench), [0, 0, 0]);
    assert_eq!(bench.number("SELECT count(*) FROM retention_late"), 0);
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn what_must_stay_is_looked_at_once_a_day() {
    let (bench, help) = subscribed().await;
    bench.accept_mails(help, 1).await;
    bench.clock.advance(31 * DAY);
    keep(&bench, 30).await;
    let look = || bench.number("SELECT look_ms FROM retention_late");
    assert_eq!(look(), bench.clock.wall().after(LOOK_AGAIN).0);
    let before = look();
    bench.clock.advance(almost(LOOK_AGAIN, 1));
    keep(&bench, 30).await;
    assert_eq!(look(), before, "not yet");
    bench.clock.advance(Duration::from_millis(1));
    keep(&bench, 30).await;
    assert_eq!(look(), before + 24 * 3600 * 1000);
    let claimed = bench.claim_one().await;
    bench.succeed(&claimed).await;
}

#[tokio::test]
async fn a_replay_keeps_its_event_until_it_is_old_itself() {
    let (bench, help) = subscribed().await;
    delivered(&bench, help, 1).await;
    bench.clock.advance(29 * DAY);
    let attempt = bench.store().attempts(help.admin(), page()).await.unwrap()[0].id;
    let replay = bench.store().replay(help.admin(), attempt).await.unwrap();
    assert!(matches!(replay, Replay::Queued(..)), "{replay:?}");
    bench.clock.advance(2 * DAY);
    keep(&bench, 30).await;
    assert_eq!(kept(&bench), [1, 1, 0], "queued");
    let claimed = bench.claim_one().await;
    bench.succeed(&claimed).await;
    bench.clock.advance(29 * DAY);
    keep(&bench, 30).await;
    assert_eq!(kept(&bench), [1, 2, 1], "ended lately");
    bench.clock.advance(DAY);
    keep(&bench, 30).await;
    assert_eq!(kept(&bench), [0, 0, 0]);
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn each_organisation_has_its_own_days_and_a_deleted_one_those_of_everybody() {
    let (bench, help) = subscribed().await;
    let other = bench.agent("other").await;
    bench.subscribe(other.admin(), other.by_mail(), &[RECEIVED]).await;
    let gone = bench.agent("gone").await;
    bench.subscribe(gone.admin(), gone.by_mail(), &[RECEIVED]).await;
    for agent in [other, help, gone, other] {
        delivered(&bench, agent, 1).await;
    }
    for agent in [other, gone] {
        let change = OrganizationChange { retention_days: Patch::Set(20), ..OrganizationChange::default() };
        bench.store().patch_organization(agent.organization, change).await.unwrap().expect("it is there");
    }
    let organizations = bench.store().organizations().await.unwrap();
    let found = organizations.iter().find(|one| one.no == gone.organization).expect("it is there");
    assert!(bench.store().delete_organization(found.id).await.unwrap());
    bench.tidy().await;
    bench.clock.advance(10 * DAY);
    keep(&bench, 5).await;
    assert_eq!(bench.rows("SELECT DISTINCT organization_id FROM events"), [[other.organization.0.into()]]);
    assert_eq!(kept(&bench), [2, 2, 2]);
    bench.clock.advance(10 * DAY);
    keep(&bench, 5).await;
    assert_eq!(kept(&bench), [0, 0, 0]);
}

#[tokio::test]
async fn a_publishers_id_is_kept_as_long_as_its_event() {
    let (bench, help) = subscribed().await;
    let event = NewEvent { id_given: true, ..bench.mail(help) };
    bench.accept(event.clone()).await;
    let claimed = bench.claim_one().await;
    bench.succeed(&claimed).await;
    bench.clock.advance(29 * DAY);
    keep(&bench, 30).await;
    let again = bench.store().accept(event.clone()).await.unwrap();
    assert!(matches!(again, Accept::Accepted(ref accepted) if accepted.duplicate), "{again:?}");
    bench.clock.advance(DAY);
    keep(&bench, 30).await;
    assert_eq!(bench.number("SELECT count(*) FROM dedupe"), 0);
    let again = bench.store().accept(event).await.unwrap();
    assert!(matches!(again, Accept::Accepted(ref accepted) if !accepted.duplicate), "{again:?}");
    let claimed = bench.claim_one().await;
    bench.fail(&claimed, Next::End(End::OutOfAttempts)).await;
}

#[tokio::test]
async fn the_space_is_given_back() {
    if !needs_a_file("space that is given back page by page") {
        return;
    }
    let (bench, help) = subscribed().await;
    for _ in 0..16 {
        let large = || NewEvent { payload: vec![b' '; 256 * 1024].into(), ..bench.mail(help) };
        bench.accept(large()).await;
    }
    for claimed in bench.claim().await {
        bench.succeed(&claimed).await;
    }
    let pages = || bench.number("SELECT page_count FROM pragma_page_count()");
    let full = pages();
    assert!(full > 1_000, "{full}");
    bench.clock.advance(30 * DAY);
    keep(&bench, 30).await;
    assert_eq!(kept(&bench), [0, 0, 0]);
    assert!(pages() < 400, "{} of {full} pages are left", pages());
    assert_eq!(bench.rows("PRAGMA integrity_check"), [[rusqlite::types::Value::from("ok".to_owned())]]);
}

#[tokio::test]
async fn reserved_names_end() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    assert!(bench.store().delete_identity(help.admin(), "help".into()).await.unwrap());
    let reserved = || bench.number("SELECT count(*) FROM reserved_names");
    bench.clock.advance(almost(90 * DAY, 1));
    keep(&bench, 30).await;
    assert_eq!(reserved(), 3);
    bench.clock.advance(Duration::from_millis(1));
    keep(&bench, 30).await;
    assert_eq!(reserved(), 0);
}

/// Looks again and again: a table that somebody is using at that moment is left for the next look.
async fn keep_until(bench: &StoreBench, is_done: impl Fn() -> bool) {
    for _ in 0..20 {
        keep(bench, 30).await;
        if is_done() {
            return;
        }
    }
    panic!("tables are in use for ever");
}

/// Adds so many events to the day of the newest, and a call; what its tables are called by.
fn fill_the_day(bench: &StoreBench, filling: i64) -> String {
    bench.books.run(&format!(
        "INSERT INTO events SELECT seq + n, randomblob(16), organization_id, event_type, owner_kind, owner_id,
            identity_id, accepted_ms, expires_ms, 0, payload
        FROM events, generate_series(1, {filling}) n WHERE seq = (SELECT max(seq) FROM events)"
    ));
    bench.books.run(
        "INSERT INTO calls (organization_id, id, attempts, payload) SELECT 1, randomblob(16), 1, randomblob(16);
        INSERT INTO attempts (no, id, organization_id, delivery, subscription, event_seq, event_type, attempt_no,
            claim_no, url, is_replay, outcome, started_ms, created_ms)
        SELECT a.no + 1, randomblob(16), a.organization_id, -c.no, -1, 0, a.event_type, 1, 0, a.url, 0, 1,
            a.started_ms, a.created_ms
        FROM attempts a, calls c WHERE a.no = (SELECT max(no) FROM attempts)",
    );
    let days =
        bench.rows("SELECT relname FROM pg_class WHERE relname ~ '^events_[0-9]{8}$' ORDER BY relname");
    match &days[0][0] {
        rusqlite::types::Value::Text(name) => name.trim_start_matches("events_").to_owned(),
        other => panic!("{other:?}"),
    }
}

/// As if contexts found all events, and went with them.
const AS_IF_WITH_CONTEXTS: &str = "INSERT INTO context_items (event_seq, key) SELECT seq, 1 FROM events;
    INSERT INTO delivery_bodies (delivery, event_seq, body) SELECT seq * 64, seq, payload FROM events";

/// What there is of either.
fn of_contexts(bench: &StoreBench) -> [i64; 2] {
    ["context_items", "delivery_bodies"].map(|table| bench.number(&format!("SELECT count(*) FROM {table}")))
}

/// On a server a day that has become large goes with its tables; what must stay of it stays, and goes by itself later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_day_goes_with_its_tables() {
    const FILLING: i64 = 12_000;
    let (bench, help) = subscribed().await;
    if bench.books.server().is_none() {
        println!("skipped: days have tables of their own on a server; INKHOOK_TEST_STORE=postgres has one");
        return;
    }
    let beat = async || {
        let beat = bench.store().beat("one".into(), true).await.expect("the store works");
        assert!(beat.is_some(), "a shared database");
    };
    beat().await;
    // One that is delivered, one that is replayed a month later, one that waits for longer than that.
    let given = |bench: &StoreBench| NewEvent { id_given: true, ..bench.mail(help) };
    let (over, replayed, waits) = (given(&bench), given(&bench), given(&bench));
    for event in [&over, &replayed] {
        bench.accept(event.clone()).await;
        let claimed = bench.claim_one().await;
        bench.succeed(&claimed).await;
    }
    let attempt = bench.store().attempts(help.admin(), page()).await.unwrap()[0].id;
    bench.accept(waits.clone()).await;
    let waiting = bench.claim_one().await;
    let due = bench.clock.schedule().after(40 * DAY);
    bench.fail(&waiting, Next::Retry { due, maybe_received: false }).await;
    let day = fill_the_day(&bench, FILLING);
    bench.books.run(AS_IF_WITH_CONTEXTS);
    let there = |parent: &str, part: &str| {
        bench.number(&format!("SELECT count(*) FROM pg_class WHERE relname = '{parent}_{day}{part}'")) == 1
    };
    let parts = |part: &str| ["events", "deliveries", "attempts"].map(|parent| there(parent, part));

    bench.clock.advance(30 * DAY);
    beat().await;
    let replay = bench.store().replay(help.admin(), attempt).await.unwrap();
    assert!(matches!(replay, Replay::Queued(..)), "{replay:?}");
    keep(&bench, 30).await;
    assert_eq!(kept(&bench), [FILLING + 3, 2, 4], "the day is not over for long enough");

    bench.clock.advance(DAY + Duration::from_hours(1));
    beat().await;
    // Somebody reads for a long time: it is left for the next round, and not deleted row by row meanwhile.
    let Books::Server(database) = &*bench.books else { unreachable!("it has a server") };
    let reads = database.connect().await;
    reads.batch_execute("BEGIN; SELECT 1 FROM events LIMIT 1").await.expect("it reads");
    keep(&bench, 30).await;
    assert_eq!(kept(&bench)[0], FILLING + 3);
    assert_eq!((there("events", ""), there("events", "_kept")), (true, false));
    reads.batch_execute("COMMIT").await.expect("it has read");
    keep_until(&bench, || parts("") == [false; 3] && parts("_old") == [false; 3]).await;
    assert_eq!(kept(&bench), [2, 1, 0], "the replayed one with its first delivery, and the one that waits");
    assert_eq!((parts(""), parts("_old")), ([false; 3], [false; 3]));
    assert_eq!(bench.number("SELECT count(*) FROM calls"), 0, "a call goes with its lines");
    assert_eq!(of_contexts(&bench), [2, 3], "with their events; the replay has a body of its own");
    assert_eq!(parts("_kept"), [true, true, false]);
    assert_eq!(bench.store().metrics().swept(Swept::Events), u64::try_from(FILLING).unwrap() + 1);
    let again = async |event: &NewEvent| match bench.store().accept(event.clone()).await.unwrap() {
        Accept::Accepted(accepted) => accepted.duplicate,
        refused => panic!("{refused:?}"),
    };
    assert!(again(&replayed).await && again(&waits).await, "known as long as they are there");
    assert!(!again(&over).await, "forgotten");

    // What stayed is delivered, and gone when it is old.
    bench.clock.advance(10 * DAY);
    for claimed in bench.claim().await {
        bench.succeed(&claimed).await;
    }
    bench.clock.advance(31 * DAY);
    beat().await;
    keep_until(&bench, || parts("_kept") == [false; 3]).await;
    assert_eq!(kept(&bench), [0, 0, 0]);
    assert_eq!(of_contexts(&bench), [0, 0]);
    invariants::check_at_rest(&bench);
}
