//! What two nodes do to one agent at once: one has it move, the other does something else to it. Both wait for its row,
//! so that either may come first, and the later one has read what was there before.

use std::time::Duration;

use inkhook_server::domain::call::RuleChange;
use inkhook_server::domain::caller::Scope;
use inkhook_server::domain::identity::{FilterMode, Identity, IncomingCall, NumberKind, Settings};
use inkhook_server::domain::number::OrganizationNo;
use inkhook_server::domain::owner::Owner;
use inkhook_server::domain::secret::Secret;
use inkhook_server::domain::subscription::{DeliverySettings, EventTypes, NewSubscription};
use inkhook_server::store::call_rules::SetRule;
use inkhook_server::store::error::StoreError;
use inkhook_server::store::organizations::{CreateOrganization, Organization};
use inkhook_server::store::phone_numbers::{AddNumber, ChangeNumber, NewPhoneNumber, NumberChange};
use inkhook_server::store::signups::{Approve, Verify};
use inkhook_server::store::subscriptions::CreateSubscription;
use inkhook_wire::event::EventType;
use inkhook_wire::id::IdentityId;
use tokio_postgres::Client;

use super::HUMAN;
use super::nodes::{nodes, register, take_code};
use crate::support::PATIENCE;
use crate::support::books::Books;
use crate::support::store::StoreBench;
use crate::support::time::until;

/// Two nodes, an organisation whose member the human is, and a session that holds rows.
struct Race {
    one: StoreBench,
    other: StoreBench,
    acme: Organization,
    holder: Client,
}

impl Race {
    async fn new() -> Option<Self> {
        let (one, other) = nodes()?;
        let Books::Server(database) = &*one.books else { unreachable!("it has a server") };
        let holder = database.connect().await;
        let made = one.store().create_organization("acme".into()).await.expect("stored");
        let CreateOrganization::Created(acme) = made else { panic!("{made:?}") };
        assert!(one.store().add_member(acme.no, HUMAN.into()).await.expect("stored"));
        Some(Self { one, other, acme, holder })
    }

    /// An agent, and what may be done in the organisation that was made for it.
    async fn agent(&self) -> (Identity, Scope) {
        let agent = register(&self.one, HUMAN).await.expect("there is room").identity;
        let name = format!("sign-up {}", agent.handle);
        let no = self.one.number(&format!("SELECT no FROM organizations WHERE name = '{name}'"));
        (agent, Scope { organization: OrganizationNo(no), identity: None })
    }

    async fn approve(&self, identity: IdentityId) {
        let approved = self.one.store().approve_signup(self.acme.no, identity).await;
        assert!(matches!(approved, Ok(Approve::Claimed(_))), "{approved:?}");
    }

    /// Both come to the agent's row while it is held, in this order, and go on when it is let go.
    async fn run<A, B>(
        &self,
        identity: IdentityId,
        first: impl Future<Output = A>,
        second: impl Future<Output = B>,
    ) -> (A, B) {
        let id = identity.as_uuid().simple();
        let hold = format!("BEGIN; SELECT 1 FROM identities WHERE id = '\\x{id}' FOR NO KEY UPDATE");
        self.holder.batch_execute(&hold).await.expect("held");
        let second = async {
            self.waiting(1).await;
            second.await
        };
        let let_go = async {
            self.waiting(2).await;
            self.holder.batch_execute("COMMIT").await.expect("let go");
        };
        let (first, second, ()) = tokio::join!(first, second, let_go);
        (first, second)
    }

    async fn waiting(&self, count: i64) {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
            AND datname = current_database()";
        until("them to wait", PATIENCE, async || (self.one.number(waits) == count).then_some(())).await;
    }
}

fn subscription(bench: &StoreBench, identity: IdentityId) -> NewSubscription {
    NewSubscription {
        owner: Owner::Identity(identity),
        url: bench.url(),
        event_types: EventTypes::from_stored(vec![EventType::MessageReceived]),
        context_config: None,
        auth_token: None,
        delivery: DeliverySettings::default(),
    }
}

fn number() -> NewPhoneNumber {
    NewPhoneNumber {
        number: None,
        kind: NumberKind::Local,
        state: None,
        incoming_call: IncomingCall::default(),
        settings: Settings::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_moves_takes_no_subscription_along_whichever_comes_first() {
    let Some(race) = Race::new().await else { return };
    for moves_first in [false, true] {
        let (agent, scope) = race.agent().await;
        let create = race.other.store().create_subscription(scope, subscription(&race.other, agent.id));
        let approve = race.approve(agent.id);
        let created = if moves_first {
            race.run(agent.id, approve, create).await.1
        } else {
            race.run(agent.id, create, approve).await.0
        };
        let created = created.expect("stored");
        assert_eq!(created == CreateSubscription::OwnerNotFound, moves_first, "{created:?}");
        assert_eq!(race.one.number("SELECT count(*) FROM subscriptions WHERE status = 'active'"), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_leaves_no_subscription_whichever_comes_first() {
    let Some(race) = Race::new().await else { return };
    for goes_first in [false, true] {
        let (agent, scope) = race.agent().await;
        let create = race.other.store().create_subscription(scope, subscription(&race.other, agent.id));
        let delete = race.one.store().delete_identity(scope, agent.handle.clone());
        let (created, deleted) = if goes_first {
            let (deleted, created) = race.run(agent.id, delete, create).await;
            (created, deleted)
        } else {
            race.run(agent.id, create, delete).await
        };
        assert!(deleted.expect("stored"));
        let created = created.expect("stored");
        assert_eq!(created == CreateSubscription::OwnerNotFound, goes_first, "{created:?}");
        assert_eq!(race.one.number("SELECT count(*) FROM subscriptions WHERE status = 'active'"), 0);
    }
}

/// What somebody in the organisation that it leaves does to it, too late. It is not deleted from there, either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_moved_gets_no_key_number_or_rule_from_where_it_was() {
    let Some(race) = Race::new().await else { return };
    let store = race.other.store();

    let (agent, scope) = race.agent().await;
    let rotate = store.rotate_identity_key(scope, agent.handle.clone(), Duration::ZERO);
    let ((), rotated) = race.run(agent.id, race.approve(agent.id), rotate).await;
    assert_eq!(rotated.expect("stored"), None);

    let (agent, scope) = race.agent().await;
    let add = store.create_phone_number(scope, agent.handle.clone(), number());
    let ((), added) = race.run(agent.id, race.approve(agent.id), add).await;
    assert_eq!(added.expect("stored"), AddNumber::IdentityNotFound);

    let (agent, scope) = race.agent().await;
    let set = store.set_call_rule(scope, agent.id, RuleChange::default(), Settings::new());
    let ((), set) = race.run(agent.id, race.approve(agent.id), set).await;
    assert_eq!(set.expect("stored"), SetRule::IdentityNotFound);

    let (agent, scope) = race.agent().await;
    let added = store.create_phone_number(scope, agent.handle.clone(), number()).await.expect("stored");
    let AddNumber::Added(number) = added else { panic!("{added:?}") };
    let change = NumberChange { filter_mode: Some(FilterMode::Whitelist), ..NumberChange::default() };
    let change = store.change_phone_number(scope, number.id, change);
    let ((), changed) = race.run(agent.id, race.approve(agent.id), change).await;
    assert_eq!(changed.expect("stored"), ChangeNumber::NotFound);

    let (agent, scope) = race.agent().await;
    let delete = store.delete_identity(scope, agent.handle.clone());
    let ((), deleted) = race.run(agent.id, race.approve(agent.id), delete).await;
    assert!(!deleted.expect("stored"));
    assert_eq!(race.one.number("SELECT count(*) FROM identities"), 5, "all have moved, and are there");
    assert_eq!(race.one.number("SELECT count(*) FROM identities WHERE signing_key IS NOT NULL"), 0);
    assert_eq!(race.one.number("SELECT count(*) FROM call_rules"), 0);
}

/// Who waited for another node's approval is told where the agent is now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_comes_while_another_node_approves_is_answered_with_where_it_is_then() {
    let Some(race) = Race::new().await else { return };
    let (agent, _) = race.agent().await;
    let code = Secret::new(take_code(&race.one).await.expect("it waits"));
    let verify = race.other.store().verify_signup(agent.id, code);
    let ((), verified) = race.run(agent.id, race.approve(agent.id), verify).await;
    let verified: Result<Verify, StoreError> = verified;
    let Ok(Verify::Claimed(signup)) = verified else { panic!("{verified:?}") };
    assert_eq!((signup.organization, signup.organization_id), (race.acme.no, race.acme.id));
}
