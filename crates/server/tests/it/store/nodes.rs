//! Two nodes on one database: what each promises holds although the other is there.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use inkhook_server::domain::attempt::Recorded;
use inkhook_server::domain::delivery::End;
use inkhook_server::domain::organization::OrganizationChange;
use inkhook_server::domain::patch::Patch;
use inkhook_server::domain::subscription::MAX_ACTIVE_PER_OWNER;
use inkhook_server::domain::subscription::{DeliverySettings, EventTypes, NewSubscription};
use inkhook_server::store::accept::{Accept, NewEvent};
use inkhook_server::store::claim::LEASE_SKEW;
use inkhook_server::store::settle::{Next, Settled};
use inkhook_server::store::subscriptions::CreateSubscription;
use inkhook_wire::event::EventType::{MessageReceived as RECEIVED, MessageSent as SENT};

use crate::support::books::Books;
use crate::support::store::{Agent, StoreBench, TIMEOUT};
use crate::support::time::until;
use crate::support::{PATIENCE, invariants};

/// Two nodes and an agent; nothing where the tests have no database server.
pub(super) async fn nodes() -> Option<(StoreBench, StoreBench, Agent)> {
    let one = StoreBench::new();
    if one.books.server().is_none() {
        println!("skipped: two nodes need a database server; INKHOOK_TEST_STORE=postgres has one");
        return None;
    }
    let other = one.beside();
    let help = one.agent("help").await;
    Some((one, other, help))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_on_another_node_is_a_repeat() {
    let Some((one, other, help)) = nodes().await else { return };
    one.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    for round in 0..20 {
        let key = Some(format!("key-{round}"));
        let event = NewEvent { idempotency_key: key, ..one.mail(help) };
        let again = NewEvent { id: other.mail(help).id, ..event.clone() };
        let (first, second) = tokio::join!(one.store().accept(event), other.store().accept(again));
        let (Accept::Accepted(first), Accept::Accepted(second)) = (first.unwrap(), second.unwrap()) else {
            panic!("both are accepted");
        };
        assert_eq!(first.id, second.id, "one event");
        assert!(first.duplicate ^ second.duplicate, "{first:?} {second:?}");
    }
    assert_eq!(one.number("SELECT count(*) FROM events"), 20);
    assert_eq!(one.queued(), 20);
    invariants::check(&one);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_delivery_is_claimed_by_one_node() {
    let Some((one, other, help)) = nodes().await else { return };
    for _ in 0..5 {
        one.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    }
    let mut taken = HashSet::new();
    for _ in 0..10 {
        tokio::join!(one.accept_mails(help, 10), other.accept_mails(help, 10));
        let (mine, theirs) = tokio::join!(one.claim(), other.claim());
        for claimed in mine.into_iter().chain(theirs) {
            assert!(taken.insert(claimed.delivery), "claimed twice: {claimed:?}");
        }
    }
    // What one node left to the other is there for whoever looks next.
    while taken.len() < 1_000 {
        let rest = one.claim().await;
        assert!(!rest.is_empty(), "{} of 1,000 were found", taken.len());
        taken.extend(rest.into_iter().map(|claimed| claimed.delivery));
    }
    assert_eq!(taken.len(), 1_000);
    invariants::check(&one);
}

/// A claim takes what nobody holds just now. Whoever adds to the queues all the time must not keep it from them for
/// ever, so the second one waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_found_everything_held_waits_the_next_time() {
    /// What the locks on subscriptions are taken under: "inkh", and one of 256.
    const CLASS: i32 = 0x696e_6b68;
    let Some((one, _, help)) = nodes().await else { return };
    let subscription = one.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    one.accept_mails(help, 1).await;
    let Books::Server(database) = &*one.books else { unreachable!("it has a server") };
    let adds = database.connect().await;
    let bucket = subscription.no.0 % 256;
    let hold = format!("BEGIN; SELECT pg_advisory_xact_lock_shared({CLASS}, {bucket})");
    adds.batch_execute(&hold).await.expect("held");
    let first = one.claims(one.claim_request()).await;
    assert!(first.claimed.is_empty());
    assert_eq!(first.next_due, Some(one.clock.schedule()), "to be claimed again at once");
    let let_go = async {
        until("the claim to wait", PATIENCE, async || {
            let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
            (one.number(waits) == 1).then_some(())
        })
        .await;
        adds.batch_execute("COMMIT").await.expect("let go");
    };
    let (second, ()) = tokio::join!(one.claim(), let_go);
    assert_eq!(second.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_late_finds_its_delivery_taken_over() {
    let Some((one, other, help)) = nodes().await else { return };
    one.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    one.accept_mails(help, 1).await;
    let frozen = one.claim_one().await;
    assert!(other.claim().await.is_empty(), "it is leased");
    one.clock.advance(TIMEOUT + LEASE_SKEW);
    let taken = other.claim_one().await;
    assert_eq!((taken.delivery, taken.claim_no), (frozen.delivery, frozen.claim_no + 1));
    assert!(taken.maybe_received, "nobody knows what became of the first attempt");
    assert_eq!(one.succeed(&frozen).await, Settled::Late);
    assert_eq!(one.store().retarget(frozen.clone()).await.unwrap().map(|claimed| claimed.delivery), None);
    assert_eq!(other.succeed(&taken).await, Settled::Done);
    assert_eq!(one.outcomes(taken.delivery), [1, 1], "both attempts are on record");
    invariants::check_at_rest(&one);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_accepted_while_its_subscription_is_deleted_ends_with_it() {
    let Some((one, other, help)) = nodes().await else { return };
    for _ in 0..20 {
        let subscription = one.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
        one.accept_mails(help, 1).await;
        let accepts = join_all((0..20).map(|_| one.store().accept(one.mail(help))));
        let (accepted, deleted) =
            tokio::join!(accepts, other.store().delete_subscription(help.admin(), subscription.id));
        assert!(deleted.unwrap());
        assert!(accepted.iter().all(Result::is_ok), "{accepted:?}");
        let after = one.accept(one.mail(help)).await;
        assert_eq!(after.deliveries, 0, "it was answered as deleted");
        assert!(one.claim().await.is_empty() && other.claim().await.is_empty());
        one.tidy().await;
        assert_eq!(one.queued(), 0, "nothing is left behind");
    }
    invariants::check_at_rest(&one);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_and_after_mean_the_same_to_all_nodes() {
    let Some((one, other, help)) = nodes().await else { return };
    let subscription = one.subscribe(help.admin(), help.by_mail(), &[RECEIVED, SENT]).await;
    for round in 0..10 {
        // Numbers are drawn in blocks: whoever used theirs first must not seem to be first.
        let (before, at) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        before.accept_mails(help, 3).await;
        at.select(help.admin(), &subscription, &[SENT]).await;
        at.select(help.admin(), &subscription, &[SENT, RECEIVED]).await;
        before.accept_mails(help, 2).await;
        at.accept_mails(help, 1).await;
        let claimed = before.claim().await;
        assert_eq!(claimed.len(), 3, "round {round}: what was cancelled stays so, what came after is not");
        for claimed in &claimed {
            before.succeed(claimed).await;
        }
        one.tidy().await;
        assert_eq!(one.queued(), 0);
    }
    invariants::check_at_rest(&one);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_more_than_an_owner_may_have_is_refused_whoever_asks_whom() {
    let Some((one, other, help)) = nodes().await else { return };
    let create = async |bench: &StoreBench, url| {
        let new = NewSubscription {
            owner: help.by_mail(),
            url,
            event_types: EventTypes::from_stored(vec![RECEIVED]),
            context_config: None,
            auth_token: None,
            delivery: DeliverySettings::default(),
        };
        bench.store().create_subscription(help.admin(), new).await.expect("stored")
    };
    // The same on both, so that there are duplicates as well.
    let urls: Vec<_> = (0..MAX_ACTIVE_PER_OWNER + 5).map(|_| one.url()).collect();
    let made = |answers: Vec<CreateSubscription>| {
        answers.iter().filter(|answer| matches!(answer, CreateSubscription::Created { .. })).count()
    };
    let (mine, theirs) = tokio::join!(
        join_all(urls.iter().map(|url| create(&one, url.clone()))),
        join_all(urls.iter().map(|url| create(&other, url.clone())))
    );
    assert_eq!(made(mine) + made(theirs), MAX_ACTIVE_PER_OWNER);
    let distinct = one.number("SELECT count(DISTINCT url_normalized) FROM subscriptions");
    assert_eq!(distinct, i64::try_from(MAX_ACTIVE_PER_OWNER).unwrap(), "none twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_on_two_nodes_add_up_and_one_success_heals() {
    let Some((one, other, help)) = nodes().await else { return };
    let subscription = one.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let health = async || {
        let shown = other.store().subscription(help.admin(), subscription.id).await.unwrap().expect("there");
        (shown.health.is_failing, shown.health.consecutive_failures)
    };
    for (failures, bench) in [&one, &other, &one, &other, &one].into_iter().enumerate() {
        assert_eq!(health().await, (false, u32::try_from(failures).unwrap()));
        bench.accept_mails(help, 1).await;
        let claimed = bench.claim().await;
        let due = bench.clock.schedule().after(Duration::from_hours(1));
        bench.fail(&claimed[0], Next::Retry { due, maybe_received: false }).await;
    }
    assert_eq!(health().await, (true, 5));
    one.accept_mails(help, 3).await;
    let probe = other.claim_one().await;
    assert!(probe.is_probe && one.claim().await.is_empty(), "one probe in all");
    other.succeed(&probe).await;
    assert_eq!(health().await, (false, 0));
    one.clock.advance(Duration::from_mins(1));
    for _ in 0..20 {
        for bench in [&one, &other] {
            for claimed in bench.claim().await {
                bench.succeed(&claimed).await;
            }
        }
        one.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(one.queued(), 0, "all that waited has drained");
    invariants::check_at_rest(&one);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_at_full_speed_lose_nothing_and_repeat_nothing() {
    let Some((one, other, help)) = nodes().await else { return };
    for _ in 0..3 {
        one.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    }
    let work = async |bench: &StoreBench| {
        let mut settled = 0;
        for round in 0..30 {
            bench.accept_mails(help, 10).await;
            let claimed = bench.claim().await;
            let settle = claimed.iter().enumerate().map(async |(place, claimed)| {
                let settlement = if (place + round) % 7 == 0 {
                    let due = bench.clock.schedule();
                    bench.settlement(claimed, Recorded::Failed, Next::Retry { due, maybe_received: false })
                } else {
                    bench.settlement(claimed, Recorded::Succeeded, Next::End(End::Succeeded))
                };
                bench.settle(settlement).await
            });
            let done = join_all(settle).await;
            assert!(done.iter().all(|settled| *settled == Settled::Done), "{done:?}");
            settled += done.len();
            invariants::check(bench);
        }
        settled
    };
    let (mine, theirs) = tokio::join!(work(&one), work(&other));
    assert!(mine + theirs > 1_000, "{mine} and {theirs}");
    assert_eq!(one.number("SELECT count(*) FROM events"), 600);
    let all = one.number("SELECT (SELECT count(*) FROM queue) + (SELECT count(*) FROM deliveries)");
    assert_eq!(all, 1_800);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_stands_until_another_node_says_otherwise() {
    let Some((one, other, help)) = nodes().await else { return };
    let subscription = one.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    one.accept_mails(help, 2).await;
    let claimed = one.claim().await;
    let stands = async |place: usize| one.store().stands(&claimed[place]).await.unwrap();
    assert!(stands(0).await && stands(1).await);
    assert!(!other.store().stands(&claimed[0]).await.unwrap(), "it is not the other's");
    other.store().pause_subscription(help.admin(), subscription.id).await.unwrap();
    assert!(!stands(0).await, "paused");
    assert!(one.store().retarget(claimed[0].clone()).await.unwrap().is_none());
    other.store().resume_subscription(help.admin(), subscription.id).await.unwrap();
    assert!(!stands(0).await, "as it was read it is no more");
    let again = one.store().retarget(claimed[0].clone()).await.unwrap().expect("it may be sent");
    assert!(one.store().stands(&again).await.unwrap());
    one.clock.advance(TIMEOUT + LEASE_SKEW);
    assert_eq!(other.claim().await.len(), 2);
    assert!(!one.store().stands(&again).await.unwrap(), "the other has it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_goes_where_any_node_says_that_it_goes() {
    let Some((one, other, help)) = nodes().await else { return };
    let told_at = async |bench: &StoreBench, url: &str| {
        let change =
            OrganizationChange { alerts_url: Patch::Set(url.into()), ..OrganizationChange::default() };
        bench.store().patch_organization(help.organization, change).await.unwrap().expect("it is there");
    };
    told_at(&one, "https://ops.example.com/old").await;
    one.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    one.accept_mails(help, 1).await;
    let claimed = one.claim_one().await;
    one.fail(&claimed, Next::End(End::OutOfAttempts)).await;
    let now = one.clock.schedule();
    let claims = one.store().claim_alerts(now, vec![help.organization], TIMEOUT).await.unwrap();
    let [told] = claims.claimed.as_slice() else { panic!("one is due: {claims:?}") };
    assert!(one.store().alert_stands(told).await.unwrap());
    told_at(&other, "https://ops.example.com/new").await;
    assert!(!one.store().alert_stands(told).await.unwrap(), "it goes elsewhere now");
    let later = now.after(TIMEOUT + LEASE_SKEW);
    let again = other.store().claim_alerts(later, vec![help.organization], TIMEOUT).await.unwrap();
    assert_eq!(again.claimed[0].url, "https://ops.example.com/new");
    assert!(other.store().alert_stands(&again.claimed[0]).await.unwrap());
    assert!(!one.store().alert_stands(told).await.unwrap(), "and another node has it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_starts_again_where_it_was_killed_waits_for_nobody() {
    let Some((mut one, other, _)) = nodes().await else { return };
    let beat = async |bench: &StoreBench, name: &str| {
        bench.store().beat(name.into(), true).await.unwrap().expect("a shared database").live
    };
    assert_eq!(beat(&one, "one").await, 1);
    one.restart().await;
    assert_eq!(beat(&one, "one").await, 1, "it was that one itself");
    let joined_at = one.store().joined_at().await.unwrap().expect("it is there");
    assert!(one.store().is_noticed(joined_at).await.unwrap(), "there is nobody else");
    assert_eq!(beat(&other, "other").await, 2);
    one.restart().await;
    assert_eq!(beat(&one, "one").await, 2, "the other is where it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_know_of_each_other_and_of_what_the_other_changed() {
    let Some((one, other, help)) = nodes().await else { return };
    let beat = async |bench: &StoreBench, name: &str| {
        bench.store().beat(name.into(), true).await.unwrap().expect("a shared database")
    };
    assert_eq!(one.store().joined_at().await.unwrap(), None);
    assert_eq!(beat(&one, "one").await.live, 1);
    let joined_at = one.store().joined_at().await.unwrap().expect("it is there");
    assert!(one.store().is_noticed(joined_at).await.unwrap(), "there is nobody to notice");
    assert_eq!(beat(&other, "other").await.live, 2);
    let joined_at = other.store().joined_at().await.unwrap().expect("it is there");
    assert!(!other.store().is_noticed(joined_at).await.unwrap(), "the other has not counted again");
    until("the server's clock to go on", PATIENCE, async || {
        assert_eq!(beat(&one, "one").await.live, 2);
        other.store().is_noticed(joined_at).await.unwrap().then_some(())
    })
    .await;
    let later = other.store().joined_at().await.unwrap().expect("it is there");
    one.books.run("UPDATE nodes SET seen_ms = seen_ms - 6000 WHERE name = 'one'");
    assert!(other.store().is_noticed(later).await.unwrap(), "who is gone notices nothing");
    let key = one.store().bootstrap("acme".into(), None).await.unwrap();
    drop(key);
    let epoch = one.store().keys_epoch();
    assert!(other.store().delete_identity(help.admin(), "help".into()).await.unwrap());
    beat(&one, "one").await;
    assert!(one.store().keys_epoch() > epoch, "its keys were revoked");
    let epoch = one.store().keys_epoch();
    beat(&one, "one").await;
    assert_eq!(one.store().keys_epoch(), epoch, "nothing has changed since");
    other.store().leave().await.unwrap();
    assert_eq!(beat(&one, "one").await.live, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bell_is_heard_by_the_others_and_not_by_whoever_rings_it() {
    let Some((one, other, _)) = nodes().await else { return };
    let mut mine = one.store().remote_bell().await.unwrap().expect("a shared database");
    let mut theirs = other.store().remote_bell().await.unwrap().expect("a shared database");
    mine.ring().await.unwrap();
    let heard = tokio::time::timeout(PATIENCE, theirs.rung()).await;
    assert!(heard.expect("it is heard"));
    theirs.ring().await.unwrap();
    assert!(tokio::time::timeout(PATIENCE, mine.rung()).await.expect("it is heard"));
    mine.ring().await.unwrap();
    assert!(tokio::time::timeout(PATIENCE, theirs.rung()).await.expect("it is heard"));
    let own = tokio::time::timeout(Duration::from_millis(20), mine.rung()).await;
    assert!(own.is_err(), "one's own ringing is no news");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_accepts_and_the_other_ends_is_counted_once_and_no_more() {
    let Some((one, other, help)) = nodes().await else { return };
    one.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    one.accept_mails(help, 5).await;
    let backlog = |bench: &StoreBench| bench.store().backlog(help.organization).0;
    assert_eq!((backlog(&one), backlog(&other)), (5, 0), "each knows what it did");
    for claimed in other.claim().await.iter().take(3) {
        other.succeed(claimed).await;
    }
    for bench in [&one, &other] {
        bench.store().recount_backlog().await.unwrap();
        assert_eq!(backlog(bench), 2);
        assert_eq!(bench.store().metrics().queued.get(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_whose_node_is_gone_is_lost_when_none_takes_so_long() {
    const LONGEST: Duration = Duration::from_mins(3);
    const MOMENT: Duration = Duration::from_millis(1);
    let Some((one, other, help)) = nodes().await else { return };
    let subscription = one.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    one.accept_mails(help, 2).await;
    let gone = one.claim().await;
    assert!(other.store().delete_subscription(help.admin(), subscription.id).await.unwrap());
    other.tidy().await;
    let open = "SELECT count(*) FROM deliveries WHERE open_claim IS NOT NULL";
    assert_eq!(one.number(open), 2, "they ended while they were under way");
    one.clock.advance(LONGEST.saturating_sub(MOMENT));
    assert_eq!(other.store().close_left_open().await.unwrap(), 0, "they may be under way");
    one.succeed(&gone[1]).await;
    one.clock.advance(MOMENT);
    assert_eq!(other.store().close_left_open().await.unwrap(), 1);
    assert_eq!((one.outcomes(gone[0].delivery), one.outcomes(gone[1].delivery)), (vec![3], vec![1]));
    assert_eq!(other.store().close_left_open().await.unwrap(), 0, "it was the only one");
    one.succeed(&gone[0]).await;
    assert_eq!(one.outcomes(gone[0].delivery), [1], "whoever is late completes what is on record");
    invariants::check_at_rest(&one);
}
