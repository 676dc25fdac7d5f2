//! Recover jobs: what they deliver once more, and how they go on.

use std::time::Duration;

use inkhook_server::domain::delivery::{Claimed, Class, End};
use inkhook_server::domain::number::SubscriptionNo;
use inkhook_server::domain::recover::{Job, JobState, Recover, Which};
use inkhook_server::domain::subscription::Ordering;
use inkhook_server::domain::subscription::Subscription;
use inkhook_server::domain::time::TimeMs;
use inkhook_server::store::recover::{CHUNK_EVENTS, Count, KEPT_JOBS, MAX_QUEUED, Progress, StartRecover};
use inkhook_server::store::settle::Next;
use inkhook_wire::event::EventType;
use inkhook_wire::id::EventId;

use super::lists::page;
use super::ordering::in_thread;
use crate::support::invariants;
use crate::support::store::{Agent, StoreBench};

const RECEIVED: EventType = EventType::MessageReceived;
const SENT: EventType = EventType::MessageSent;

struct Scene {
    bench: StoreBench,
    help: Agent,
    subscription: Subscription,
}

impl Scene {
    async fn new() -> Self {
        let bench = StoreBench::new();
        let help = bench.agent("help").await;
        let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
        Self { bench, help, subscription }
    }

    /// Everything that was ever accepted.
    fn ever(&self, which: Which) -> Recover {
        Recover { which, since: TimeMs::ZERO, until: self.bench.clock.wall() }
    }

    async fn start(&self, recover: Recover) -> Job {
        self.start_for(&self.subscription, recover).await
    }

    async fn start_for(&self, subscription: &Subscription, recover: Recover) -> Job {
        match self.bench.store().start_recover(self.help.admin(), subscription.id, recover).await.unwrap() {
            StartRecover::Started(job) => job,
            refused => panic!("{refused:?}"),
        }
    }

    async fn job(&self, job: &Job) -> Job {
        let found = self.bench.store().recover_job(self.help.admin(), job.subscription_id, job.id).await;
        found.unwrap().expect("it is kept")
    }

    async fn chunk(&self) -> Option<Progress> {
        let chunk = self.bench.store().recover_chunk(SubscriptionNo(0)).await.expect("stored");
        invariants::check(&self.bench);
        chunk.map(|(_, progress)| progress)
    }

    /// Runs the job to its end; the events that it delivers once more, in order.
    async fn recover(&self, recover: Recover) -> Vec<EventId> {
        self.recover_for(&self.subscription, recover).await
    }

    async fn recover_for(&self, subscription: &Subscription, recover: Recover) -> Vec<EventId> {
        let (store, now) = (self.bench.store(), self.bench.clock.wall());
        let counted = store.count_recover(self.help.admin(), subscription.id, recover, now).await.unwrap();
        let job = self.start_for(subscription, recover).await;
        while self.chunk().await.is_some_and(|progress| progress == Progress::Advanced) {}
        let claimed: Vec<Claimed> = self.bench.claim().await;
        let recovered = claimed.iter().filter(|claimed| claimed.class == Class::Recover);
        assert!(recovered.clone().all(|claimed| claimed.target.subscription == subscription.no));
        let events: Vec<EventId> = recovered.map(|claimed| claimed.event.id).collect();
        for claimed in &claimed {
            self.bench.succeed(claimed).await;
        }
        let job = self.job(&job).await;
        assert_eq!((job.state, job.ended_at), (JobState::Completed, Some(self.bench.clock.wall())));
        assert_eq!(job.queued, events.len() as u64);
        let counted = counted.expect("it is there");
        let count = Count {
            examined: usize::try_from(job.examined).unwrap(),
            count: events.len(),
            is_complete: true,
        };
        assert_eq!(counted, count, "a dry run says the same");
        events
    }

    async fn mail(&self) -> EventId {
        self.bench.accept(self.bench.mail(self.help)).await.id
    }

    async fn settled(&self, end: End) -> EventId {
        let event = self.mail().await;
        let claimed = self.bench.claim_one().await;
        match end {
            End::Succeeded => self.bench.succeed(&claimed).await,
            end => self.bench.fail(&claimed, Next::End(end)).await,
        };
        event
    }
}

#[tokio::test]
async fn failed_is_what_ended_without_success_and_is_not_on_its_way() {
    let scene = Scene::new().await;
    let exhausted = scene.settled(End::OutOfAttempts).await;
    scene.settled(End::Succeeded).await;
    let lost = scene.settled(End::Lost).await;
    let retried = scene.mail().await;
    let claimed = scene.bench.claim_one().await;
    let due = scene.bench.clock.schedule().after(Duration::from_hours(1));
    scene.bench.fail(&claimed, Next::Retry { due, maybe_received: false }).await;

    // One that was replayed, once in vain and once not.
    let replayed = scene.settled(End::OutOfAttempts).await;
    let log = scene.bench.store().attempts(scene.help.admin(), page()).await.unwrap();
    let line = log.iter().find(|line| line.event_id() == Some(replayed)).unwrap().id;
    scene.bench.store().replay(scene.help.admin(), line).await.unwrap();
    assert_eq!(scene.recover(scene.ever(Which::Failed)).await, [exhausted, lost], "one is being replayed");
    assert!(scene.recover(scene.ever(Which::Failed)).await.is_empty(), "they have succeeded by now");

    // What a job delivered in vain is failed again.
    scene.start(Recover { since: scene.bench.clock.wall(), ..scene.ever(Which::All) }).await;
    while scene.chunk().await.is_some() {}
    for claimed in scene.bench.claim().await {
        let end = if claimed.event.id == lost { End::OutOfAttempts } else { End::Succeeded };
        match end {
            End::Succeeded => scene.bench.succeed(&claimed).await,
            end => scene.bench.fail(&claimed, Next::End(end)).await,
        };
    }
    assert!(scene.recover(scene.ever(Which::Failed)).await.is_empty(), "it succeeded once");
    scene.bench.clock.advance(Duration::from_hours(1));
    let claimed = scene.bench.claim_one().await;
    assert_eq!(claimed.event.id, retried);
    scene.bench.fail(&claimed, Next::End(End::OutOfAttempts)).await;
    assert!(scene.recover(scene.ever(Which::Failed)).await.is_empty(), "the job had delivered it before");
    invariants::check_at_rest(&scene.bench);
}

#[tokio::test]
async fn all_is_every_event_that_matches_the_subscription_as_it_is_now() {
    let scene = Scene::new().await;
    let received = scene.settled(End::Succeeded).await;
    let sent =
        scene.bench.accept(scene.bench.event(scene.help.organization, scene.help.by_mail(), SENT)).await;
    let text = EventType::TextReceived;
    scene.bench.accept(scene.bench.event(scene.help.organization, scene.help.by_phone(), text)).await;
    let other = scene.bench.agent_of(scene.help.organization, "other").await;
    scene.bench.accept(scene.bench.mail(other)).await;
    let mut code = scene.bench.mail(scene.help);
    code.expires_at = Some(scene.bench.clock.wall().after(Duration::from_secs(1)));
    scene.bench.accept(code).await;
    scene.bench.clock.advance(Duration::from_secs(1));
    assert!(scene.bench.claim().await.is_empty(), "expired");
    assert_eq!(scene.recover(scene.ever(Which::All)).await, [received]);

    scene.bench.select(scene.help.admin(), &scene.subscription, &[RECEIVED, SENT]).await;
    assert_eq!(scene.recover(scene.ever(Which::All)).await, [received, sent.id], "as it is now");
    scene.bench.select(scene.help.admin(), &scene.subscription, &[SENT]).await;
    assert_eq!(scene.recover(scene.ever(Which::All)).await, [sent.id]);
    scene.bench.tidy().await;
    invariants::check_at_rest(&scene.bench);
}

#[tokio::test]
async fn an_identitys_subscription_recovers_what_all_its_owners_got() {
    let scene = Scene::new().await;
    let (organization, help) = (scene.help.organization, scene.help);
    let mut accepted = Vec::new();
    let owners = [
        (help.by_phone(), EventType::TextReceived),
        (help.by_mail(), RECEIVED),
        (help.owner(), RECEIVED),
        (help.by_phone(), EventType::TextReceived),
    ];
    for (owner, event_type) in owners {
        accepted.push(scene.bench.accept(scene.bench.event(organization, owner, event_type)).await.id);
    }
    for claimed in scene.bench.claim().await {
        scene.bench.succeed(&claimed).await;
    }
    let types = [RECEIVED, EventType::TextReceived];
    let late = scene.bench.subscribe(help.admin(), help.owner(), &types).await;
    assert_eq!(scene.recover_for(&late, scene.ever(Which::Missed)).await, accepted, "in accepted order");
    assert!(scene.recover_for(&late, scene.ever(Which::Missed)).await.is_empty(), "it has them now");
    assert_eq!(scene.recover_for(&late, scene.ever(Which::All)).await, accepted, "once more");
    invariants::check_at_rest(&scene.bench);
}

#[tokio::test]
async fn missed_is_what_has_no_delivery_in_any_state() {
    let scene = Scene::new().await;
    let admin = scene.help.admin();
    // Each of these has one: succeeded, exhausted, cancelled, queued, in flight, parked.
    scene.settled(End::Succeeded).await;
    scene.settled(End::OutOfAttempts).await;
    scene.mail().await;
    scene.bench.select(admin, &scene.subscription, &[SENT]).await;
    let missed = scene.mail().await;
    scene.bench.select(admin, &scene.subscription, &[RECEIVED]).await;
    let set = scene.bench.store().set_ordering(admin, scene.subscription.id, Ordering::Conversation);
    assert!(set.await.unwrap());
    for thread in ["a", "a", "b"] {
        scene.bench.accept(in_thread(scene.bench.mail(scene.help), thread)).await;
    }
    let in_flight = scene.bench.claimed_within(scene.bench.request_within(1, 1)).await.remove(0);
    assert_eq!(scene.bench.number("SELECT count(*) FROM parked"), 1);
    assert_eq!(scene.recover(scene.ever(Which::Missed)).await, [missed]);
    scene.bench.succeed(&in_flight).await;
    scene.bench.tidy().await;
    for claimed in scene.bench.claim().await {
        scene.bench.succeed(&claimed).await;
    }
    assert!(scene.recover(scene.ever(Which::Missed)).await.is_empty());
    invariants::check_at_rest(&scene.bench);
}

#[tokio::test]
async fn the_window_is_when_events_were_accepted() {
    let scene = Scene::new().await;
    let mut accepted = Vec::new();
    for _ in 0..6 {
        accepted.push((scene.settled(End::Succeeded).await, scene.bench.clock.wall()));
        scene.bench.clock.advance(Duration::from_hours(2));
    }
    let events = |from: usize, to: usize| accepted[from..=to].iter().map(|(id, _)| *id).collect::<Vec<_>>();
    let window = |from: usize, to: usize| Recover {
        since: accepted[from].1,
        until: accepted[to].1,
        ..scene.ever(Which::All)
    };
    for (from, to) in [(0, 5), (2, 3), (4, 4)] {
        assert_eq!(scene.recover(window(from, to)).await, events(from, to), "both ends are included");
    }
    let narrower = Recover {
        since: TimeMs(accepted[2].1.0 + 1),
        until: TimeMs(accepted[4].1.0 - 1),
        ..scene.ever(Which::All)
    };
    assert_eq!(scene.recover(narrower).await, events(3, 3), "to the millisecond");
    // What comes after the job was made is not its business, though it comes in the same millisecond.
    let job = scene.start(scene.ever(Which::All)).await;
    scene.settled(End::Succeeded).await;
    while scene.chunk().await.is_some() {}
    assert_eq!(scene.job(&job).await.queued, 6);
    for claimed in scene.bench.claim().await {
        scene.bench.succeed(&claimed).await;
    }
}

#[tokio::test]
async fn a_delivery_of_a_job_is_a_new_one_of_the_same_event() {
    let scene = Scene::new().await;
    let event = scene.mail().await;
    let first = scene.bench.claim_one().await;
    scene.bench.fail(&first, Next::End(End::OutOfAttempts)).await;
    scene.start(scene.ever(Which::Failed)).await;
    while scene.chunk().await.is_some() {}
    let again = scene.bench.claim_one().await;
    assert_eq!((again.event.id, again.class, again.attempt_no), (event, Class::Recover, 1));
    assert_ne!(again.request_id, first.request_id);
    // It is tried again like any other, and stays in its class.
    let due = scene.bench.clock.schedule().after(Duration::from_secs(5));
    scene.bench.fail(&again, Next::Retry { due, maybe_received: false }).await;
    scene.bench.clock.advance(Duration::from_secs(5));
    let retried = scene.bench.claim_one().await;
    assert_eq!((retried.request_id, retried.class), (again.request_id, Class::Recover));
    scene.bench.succeed(&retried).await;
    let view = scene.bench.store().event(scene.help.admin(), event).await.unwrap().expect("there");
    let states: Vec<_> = view.deliveries.iter().map(|one| (one.state.as_str(), one.is_replay)).collect();
    assert_eq!(states, [("exhausted", false), ("succeeded", false)]);
}

#[tokio::test]
async fn one_event_can_be_recovered_any_number_of_times() {
    let scene = Scene::new().await;
    let event = scene.settled(End::Succeeded).await;
    for _ in 0..100 {
        assert_eq!(scene.recover(scene.ever(Which::All)).await, [event]);
    }
    let deliveries = scene.bench.number("SELECT count(DISTINCT request_id) FROM deliveries");
    assert_eq!(deliveries, 101, "more than one acceptance number has room for");
    let jobs = scene.bench.store().recover_jobs(scene.help.admin(), scene.subscription.id).await.unwrap();
    assert_eq!(jobs.expect("it is there").len(), KEPT_JOBS);
    invariants::check_at_rest(&scene.bench);
}

#[tokio::test]
async fn a_chunk_is_bounded_and_no_more_waits_than_may() {
    let scene = Scene::new().await;
    let events = MAX_QUEUED + 2 * CHUNK_EVENTS + 1;
    scene.bench.accept_mails(scene.help, events).await;
    while let Some(claimed) = Some(scene.bench.claim().await).filter(|claimed| !claimed.is_empty()) {
        for settled in
            futures_util::future::join_all(claimed.iter().map(|one| scene.bench.succeed(one))).await
        {
            assert_eq!(settled, inkhook_server::store::settle::Settled::Done);
        }
    }
    let job = scene.start(scene.ever(Which::All)).await;
    let mut queued = 0;
    while scene.bench.store().recover_chunk(SubscriptionNo(0)).await.unwrap().unwrap().1 == Progress::Advanced
    {
        queued += i64::try_from(CHUNK_EVENTS).unwrap();
        assert_eq!(scene.bench.queued(), queued, "one chunk more");
    }
    assert_eq!(queued, i64::try_from(MAX_QUEUED).unwrap());
    let now = scene.job(&job).await;
    assert_eq!((now.state, now.queued), (JobState::Running, MAX_QUEUED as u64));
    // Room for one less than a chunk is not enough; for a chunk it is.
    let claimed = scene.bench.claim().await;
    for one in &claimed[..CHUNK_EVENTS - 1] {
        scene.bench.succeed(one).await;
    }
    assert_eq!(scene.chunk().await, Some(Progress::Full));
    scene.bench.succeed(&claimed[CHUNK_EVENTS - 1]).await;
    assert_eq!(scene.chunk().await, Some(Progress::Advanced));
    assert_eq!(scene.chunk().await, Some(Progress::Full));
    for one in &claimed[CHUNK_EVENTS..] {
        scene.bench.succeed(one).await;
    }
    while scene.chunk().await == Some(Progress::Advanced) {}
    for one in scene.bench.claim().await {
        scene.bench.succeed(&one).await;
    }
    let ended = scene.job(&job).await;
    assert_eq!(
        (ended.state, ended.queued, ended.examined),
        (JobState::Completed, events as u64, events as u64)
    );
    let twice = "SELECT event_seq FROM deliveries GROUP BY event_seq HAVING count(*) <> 2";
    assert_eq!(scene.bench.rows(twice), Vec::<Vec<_>>::new(), "each once more, and none twice");
}

#[tokio::test]
async fn a_job_goes_on_where_it_was_after_a_restart() {
    let mut scene = Scene::new().await;
    let events = 3 * CHUNK_EVENTS;
    scene.bench.accept_mails(scene.help, events).await;
    for claimed in scene.bench.claim().await {
        scene.bench.succeed(&claimed).await;
    }
    let job = scene.start(scene.ever(Which::All)).await;
    for _ in 0..3 {
        assert_eq!(scene.chunk().await, Some(Progress::Advanced));
        scene.bench.restart().await;
    }
    assert_eq!(scene.chunk().await, Some(Progress::Ended));
    assert_eq!(scene.chunk().await, None);
    assert_eq!(scene.job(&job).await.queued, events as u64);
    let claimed = scene.bench.claim().await;
    assert_eq!(claimed.len(), events);
    // Numbers given out before a restart are not given out again.
    let fresh = scene.bench.accept(scene.bench.mail(scene.help)).await;
    assert_eq!(fresh.deliveries, 1);
    invariants::check(&scene.bench);
    let twice = "SELECT event_seq FROM queue WHERE class = 3 GROUP BY event_seq HAVING count(*) <> 1";
    assert_eq!(scene.bench.rows(twice), Vec::<Vec<_>>::new());
}

#[tokio::test]
async fn one_job_of_a_subscription_runs_at_a_time_and_cancelling_makes_room() {
    let scene = Scene::new().await;
    scene.settled(End::Succeeded).await;
    let job = scene.start(scene.ever(Which::All)).await;
    let (store, admin, id) = (scene.bench.store(), scene.help.admin(), scene.subscription.id);
    let second = store.start_recover(admin, id, scene.ever(Which::All)).await.unwrap();
    assert_eq!(second, StartRecover::Running(job.id));
    let other = scene.bench.subscribe(admin, scene.help.owner(), &[RECEIVED]).await;
    scene.start_for(&other, scene.ever(Which::Missed)).await;

    scene.bench.clock.advance(Duration::from_secs(1));
    let cancelled = store.cancel_recover(admin, id, job.id).await.unwrap().expect("there");
    assert_eq!((cancelled.state, cancelled.queued), (JobState::Cancelled, 0));
    assert_eq!(cancelled.ended_at, Some(scene.bench.clock.wall()));
    scene.bench.clock.advance(Duration::from_secs(1));
    assert_eq!(store.cancel_recover(admin, id, job.id).await.unwrap(), Some(cancelled), "once is enough");
    let chunk = store.recover_chunk(SubscriptionNo(0)).await.unwrap().expect("the other one");
    assert_eq!(chunk, (other.no, Progress::Ended), "a cancelled job does nothing more");
    let third = scene.start(scene.ever(Which::All)).await;
    assert_ne!(third.id, job.id);
    let jobs = store.recover_jobs(admin, id).await.unwrap().expect("there");
    assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [third.id, job.id], "newest first");
}

#[tokio::test]
async fn a_pause_leaves_a_job_and_a_delete_ends_it() {
    let scene = Scene::new().await;
    scene.settled(End::OutOfAttempts).await;
    let (store, admin, id) = (scene.bench.store(), scene.help.admin(), scene.subscription.id);
    store.pause_subscription(admin, id).await.unwrap();
    let job = scene.start(scene.ever(Which::Failed)).await;
    assert_eq!(scene.chunk().await, Some(Progress::Ended));
    assert_eq!(scene.job(&job).await.queued, 1);
    assert!(scene.bench.claim().await.is_empty(), "held like everything else");
    store.resume_subscription(admin, id).await.unwrap();
    let claimed = scene.bench.claim_one().await;
    scene.bench.fail(&claimed, Next::Release { maybe_received: false }).await;

    let job = scene.start(scene.ever(Which::All)).await;
    scene.bench.delete(admin, &scene.subscription).await;
    assert_eq!(scene.chunk().await, None);
    assert_eq!(store.recover_job(admin, id, job.id).await.unwrap(), None, "gone with its subscription");
    assert_eq!(scene.bench.number("SELECT count(*) FROM recover_jobs WHERE state = 3"), 1);
    assert_eq!(store.recover_jobs(admin, id).await.unwrap(), None);
    let refused = store.start_recover(admin, id, scene.ever(Which::All)).await.unwrap();
    assert_eq!(refused, StartRecover::NotFound);
    scene.bench.tidy().await;
    invariants::check_at_rest(&scene.bench);
}

#[tokio::test]
async fn a_job_that_cannot_be_read_fails_by_itself() {
    let scene = Scene::new().await;
    scene.settled(End::Succeeded).await;
    let job = scene.start(scene.ever(Which::All)).await;
    let store = scene.bench.store();
    assert_eq!(store.fail_recover(SubscriptionNo(0)).await.unwrap(), Some(scene.subscription.no));
    assert_eq!(scene.job(&job).await.state, JobState::Failed);
    assert_eq!(store.fail_recover(SubscriptionNo(0)).await.unwrap(), None);
    assert_eq!(scene.chunk().await, None);
    assert_eq!(scene.recover(scene.ever(Which::All)).await.len(), 1, "another one can be made");
}

#[tokio::test]
async fn recover_is_outside_the_order_of_conversations() {
    let scene = Scene::new().await;
    let admin = scene.help.admin();
    let old = scene.bench.accept(in_thread(scene.bench.mail(scene.help), "a")).await.id;
    let claimed = scene.bench.claim_one().await;
    scene.bench.fail(&claimed, Next::End(End::OutOfAttempts)).await;
    let set = scene.bench.store().set_ordering(admin, scene.subscription.id, Ordering::Conversation);
    assert!(set.await.unwrap());
    let head = scene.bench.accept(in_thread(scene.bench.mail(scene.help), "a")).await.id;
    let parked = scene.bench.accept(in_thread(scene.bench.mail(scene.help), "a")).await.id;
    scene.start(scene.ever(Which::Failed)).await;
    while scene.chunk().await.is_some() {}
    let claimed = scene.bench.claim().await;
    let events: Vec<_> = claimed.iter().map(|claimed| (claimed.event.id, claimed.class)).collect();
    assert_eq!(events.len(), 2);
    assert!(events.contains(&(old, Class::Recover)) && events.contains(&(head, Class::Live)), "both at once");
    let (recovered, live) = if claimed[0].event.id == old { (0, 1) } else { (1, 0) };
    scene.bench.succeed(&claimed[recovered]).await;
    assert!(scene.bench.claim().await.is_empty(), "its end lets nothing go");
    scene.bench.succeed(&claimed[live]).await;
    let last = scene.bench.claim_one().await;
    assert_eq!(last.event.id, parked);
    scene.bench.succeed(&last).await;
    invariants::check_at_rest(&scene.bench);
}

#[tokio::test]
async fn nobody_elses_jobs_are_there() {
    let scene = Scene::new().await;
    let job = scene.start(scene.ever(Which::All)).await;
    let stranger = scene.bench.agent("stranger").await;
    let colleague = scene.bench.agent_of(scene.help.organization, "colleague").await;
    let (store, id) = (scene.bench.store(), scene.subscription.id);
    for scope in [stranger.admin(), stranger.scope(), colleague.scope()] {
        let started = store.start_recover(scope, id, scene.ever(Which::All)).await.unwrap();
        assert_eq!(started, StartRecover::NotFound);
        assert_eq!(store.recover_job(scope, id, job.id).await.unwrap(), None);
        assert_eq!(store.recover_jobs(scope, id).await.unwrap(), None);
        assert_eq!(store.cancel_recover(scope, id, job.id).await.unwrap(), None);
        let count = store.count_recover(scope, id, scene.ever(Which::All), scene.bench.clock.wall());
        assert_eq!(count.await.unwrap(), None);
    }
    assert!(store.recover_job(scene.help.scope(), id, job.id).await.unwrap().is_some());
    let theirs = scene.bench.subscribe(colleague.admin(), colleague.by_mail(), &[RECEIVED]).await;
    let elsewhere = store.recover_job(scene.help.admin(), theirs.id, job.id).await.unwrap();
    assert_eq!(elsewhere, None, "a job is where its subscription is");
}
