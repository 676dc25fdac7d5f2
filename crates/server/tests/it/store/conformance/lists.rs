//! Lists: newest first, what each filter lets through, and whose rows are never seen.

use std::time::Duration;

use inkhook_server::domain::attempt::Recorded;
use inkhook_server::domain::delivery::{Claimed, End};
use inkhook_server::store::attempts::AttemptFilter;
use inkhook_server::store::events::EventFilter;
use inkhook_server::store::settle::Next;
use inkhook_server::store::subscriptions::SubscriptionFilter;
use inkhook_wire::event::EventType;
use inkhook_wire::id::{AttemptId, EventId};

use crate::support::store::{Agent, StoreBench};

const RECEIVED: EventType = EventType::MessageReceived;
const SENT: EventType = EventType::MessageSent;

/// The newest attempts.
pub fn page() -> AttemptFilter {
    AttemptFilter { limit: 100, ..AttemptFilter::default() }
}

/// The newest events.
pub fn events_page() -> EventFilter {
    EventFilter { limit: 100, ..EventFilter::default() }
}

/// Two agents of one organisation and one of another; each with a subscription and, oldest first, a mail
/// received that succeeded, one sent that failed, and one received whose outcome nobody knows.
struct World {
    bench: StoreBench,
    agents: [Agent; 3],
    /// Of each agent, oldest first.
    attempts: Vec<Vec<AttemptId>>,
    events: Vec<Vec<EventId>>,
}

impl World {
    async fn new() -> Self {
        let bench = StoreBench::new();
        let help = bench.agent("help").await;
        let sales = bench.agent_of(help.organization, "sales").await;
        let agents = [help, sales, bench.agent("stranger").await];
        for agent in agents {
            bench.subscribe(agent.admin(), agent.by_mail(), &[RECEIVED, SENT]).await;
        }
        let (mut attempts, mut events) = (vec![Vec::new(); 3], vec![Vec::new(); 3]);
        for (event_type, recorded) in
            [(RECEIVED, Recorded::Succeeded), (SENT, Recorded::Failed), (RECEIVED, Recorded::Unknown)]
        {
            for (index, agent) in agents.into_iter().enumerate() {
                let event = bench.event(agent.organization, agent.by_mail(), event_type);
                events[index].push(bench.accept(event).await.id);
                let claimed = bench.claim_one().await;
                attempts[index].push(settle(&bench, &claimed, recorded).await);
                bench.clock.advance(Duration::from_millis(10));
            }
        }
        Self { bench, agents, attempts, events }
    }

    /// Attempts that the filter lets through, as the places of `attempts`.
    async fn listed(&self, agent: usize, by_agent: bool, filter: AttemptFilter) -> Vec<(usize, usize)> {
        let agent = self.agents[agent];
        let scope = if by_agent { agent.scope() } else { agent.admin() };
        let listed = self.bench.store().attempts(scope, filter).await.unwrap();
        listed.iter().map(|attempt| place(&self.attempts, &attempt.id)).collect()
    }

    async fn listed_events(&self, agent: usize, by_agent: bool, filter: EventFilter) -> Vec<(usize, usize)> {
        let agent = self.agents[agent];
        let scope = if by_agent { agent.scope() } else { agent.admin() };
        let listed = self.bench.store().events(scope, filter).await.unwrap();
        assert!(listed.iter().all(|event| event.deliveries.len() == 1 && event.payload.is_none()));
        listed.iter().map(|event| place(&self.events, &event.id)).collect()
    }
}

async fn settle(bench: &StoreBench, claimed: &Claimed, recorded: Recorded) -> AttemptId {
    let end = if recorded == Recorded::Succeeded { End::Succeeded } else { End::OutOfAttempts };
    let settlement = bench.settlement(claimed, recorded, Next::End(end));
    let id = settlement.attempt.as_ref().expect("one was made").id;
    bench.settle(settlement).await;
    id.into()
}

fn place<T: PartialEq>(all: &[Vec<T>], one: &T) -> (usize, usize) {
    let of = |row: &Vec<T>| row.iter().position(|other| other == one);
    all.iter().enumerate().find_map(|(agent, row)| Some((agent, of(row)?))).expect("it was made here")
}

#[tokio::test]
async fn attempts_are_newest_first_and_each_sees_its_own() {
    let world = World::new().await;
    let all = [(1, 2), (0, 2), (1, 1), (0, 1), (1, 0), (0, 0)];
    assert_eq!(world.listed(0, false, page()).await, all);
    assert_eq!(world.listed(0, true, page()).await, [(0, 2), (0, 1), (0, 0)]);
    assert_eq!(world.listed(2, false, page()).await, [(2, 2), (2, 1), (2, 0)]);
    let paged = AttemptFilter { limit: 2, offset: 3, ..page() };
    assert_eq!(world.listed(0, false, paged).await, all[3..5]);
    let beyond = AttemptFilter { offset: 6, ..page() };
    assert!(world.listed(0, false, beyond).await.is_empty());
}

#[tokio::test]
async fn each_filter_of_attempts_lets_its_own_through() {
    let world = World::new().await;
    let subscription = async |agent: usize| {
        let scope = world.agents[agent].scope();
        let listed = world.bench.store().subscriptions(scope, SubscriptionFilter::default()).await.unwrap();
        Some(listed[0].id)
    };
    let filters = [
        (AttemptFilter { subscription: subscription(1).await, ..page() }, vec![(1, 2), (1, 1), (1, 0)]),
        (AttemptFilter { subscription: subscription(2).await, ..page() }, vec![]),
        (AttemptFilter { event_type: Some(SENT), ..page() }, vec![(1, 1), (0, 1)]),
        (AttemptFilter { success: Some(true), ..page() }, vec![(1, 0), (0, 0)]),
        (AttemptFilter { success: Some(false), ..page() }, vec![(1, 2), (0, 2), (1, 1), (0, 1)]),
        (AttemptFilter { before: Some(world.attempts[0][1]), ..page() }, vec![(1, 0), (0, 0)]),
        (AttemptFilter { before: Some(world.attempts[2][1]), ..page() }, vec![]),
        (AttemptFilter { phone_number: Some(world.agents[0].number), ..page() }, vec![]),
        (
            AttemptFilter {
                subscription: subscription(1).await,
                event_type: Some(RECEIVED),
                success: Some(false),
                ..page()
            },
            vec![(1, 2)],
        ),
    ];
    for (filter, expected) in filters {
        assert_eq!(world.listed(0, false, filter.clone()).await, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn an_attempt_of_another_scope_is_not_there() {
    let world = World::new().await;
    let [help, sales, stranger] = world.agents;
    let attempt = world.attempts[0][0];
    let seen = async |scope| world.bench.store().attempt(scope, attempt).await.unwrap().is_some();
    assert!(seen(help.admin()).await && seen(help.scope()).await && seen(sales.admin()).await);
    assert!(!seen(sales.scope()).await && !seen(stranger.admin()).await);
    let event = world.events[0][0];
    let seen = async |scope| world.bench.store().event(scope, event).await.unwrap().is_some();
    assert!(seen(help.admin()).await && seen(help.scope()).await && seen(sales.admin()).await);
    assert!(!seen(sales.scope()).await && !seen(stranger.admin()).await);
}

#[tokio::test]
async fn each_filter_of_events_lets_its_own_through() {
    let world = World::new().await;
    let [help, sales, stranger] = world.agents;
    let all = [(1, 2), (0, 2), (1, 1), (0, 1), (1, 0), (0, 0)];
    let filters = [
        (events_page(), all.to_vec()),
        (EventFilter { limit: 2, offset: 1, ..events_page() }, all[1..3].to_vec()),
        (EventFilter { owner: Some(sales.by_mail()), ..events_page() }, vec![(1, 2), (1, 1), (1, 0)]),
        (EventFilter { owner: Some(sales.owner()), ..events_page() }, vec![]),
        (EventFilter { owner: Some(stranger.by_mail()), ..events_page() }, vec![]),
        (EventFilter { event_type: Some(SENT), ..events_page() }, vec![(1, 1), (0, 1)]),
        (EventFilter { before: Some(world.events[0][1]), ..events_page() }, vec![(1, 0), (0, 0)]),
        (EventFilter { before: Some(world.events[2][1]), ..events_page() }, vec![]),
        (
            EventFilter { owner: Some(help.by_mail()), event_type: Some(RECEIVED), ..events_page() },
            vec![(0, 2), (0, 0)],
        ),
    ];
    for (filter, expected) in filters {
        assert_eq!(world.listed_events(0, false, filter.clone()).await, expected, "{filter:?}");
    }
    assert_eq!(world.listed_events(0, true, events_page()).await, [(0, 2), (0, 1), (0, 0)]);
}
