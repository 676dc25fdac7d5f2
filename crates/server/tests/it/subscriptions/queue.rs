//! What a change does to what is queued and to attempts under way.

use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;
use inkhook_server::domain::delivery::Claimed;
use inkhook_server::domain::number::SubscriptionNo;
use inkhook_server::domain::owner::Owner;
use inkhook_server::store::accept::{Accept, NewEvent};
use inkhook_server::store::cancel::Tidied;
use inkhook_server::store::claim::ClaimRequest;
use inkhook_wire::event::EventType;
use serde_json::{Value, json};

use super::{Bench, one};
use crate::support::store::slots_within;

impl Bench {
    /// Accepts an event of the mailbox; how many deliveries it made.
    async fn accept(&self, event_type: EventType) -> u32 {
        let event = NewEvent {
            id: self.server.app.entropy.uuid().into(),
            id_given: false,
            idempotency_key: None,
            request_hash: [0; 32],
            organization: self.organization.no,
            event_type,
            owner: Owner::Mailbox(self.identity.mailbox),
            expires_at: None,
            payload: Bytes::from_static(b"{}"),
        };
        match self.server.app.store.accept(event).await.expect("stored") {
            Accept::Accepted(accepted) => accepted.deliveries,
            refused => panic!("{refused:?}"),
        }
    }

    async fn claim(&self) -> Vec<Claimed> {
        let request = ClaimRequest {
            now: self.server.app.clock.schedule(),
            slots: slots_within(100, 100),
            timeout: Duration::from_secs(30),
        };
        let claims = self.server.app.store.claim_due(request).await.expect("claimed");
        claims.claimed.into_iter().map(|leased| leased.claimed).collect()
    }

    async fn tidy(&self) {
        while self.server.app.store.cancel_chunk().await.expect("tidied") == Tidied::More {}
    }

    fn ended(&self) -> Vec<String> {
        self.server.query("SELECT reason FROM deliveries ORDER BY no")
    }

    /// Whether an attempt that was prepared under this generation may still start.
    fn may_start(&self, generation: u64) -> bool {
        self.server.generations.write_if_unchanged(SubscriptionNo(1), generation, &mut || ())
    }

    fn generation(&self) -> u64 {
        let generations: Vec<i64> = self.server.query("SELECT generation FROM subscriptions WHERE no = 1");
        u64::try_from(generations[0]).expect("a generation")
    }
}

const RECEIVED: EventType = EventType::MessageReceived;
const SENT: EventType = EventType::MessageSent;

#[tokio::test]
async fn a_delete_cancels_what_is_queued() {
    let bench = Bench::new().await;
    let id = bench.created_id(json!({})).await;
    for _ in 0..3 {
        assert_eq!(bench.accept(RECEIVED).await, 1);
    }
    bench.delete(&id).send().await.expect(204);
    assert!(bench.claim().await.is_empty());
    assert_eq!(bench.accept(RECEIVED).await, 0);
    bench.tidy().await;
    assert_eq!(bench.ended(), ["subscription_deleted"; 3]);
}

#[tokio::test]
async fn a_removed_type_cancels_what_is_queued_of_it_and_revives_nothing() {
    let mut bench = Bench::new().await;
    let both = json!({"event_types": ["message.received", "message.sent"]});
    let id = bench.created_id(both.clone()).await;
    bench.accept(RECEIVED).await;
    bench.accept(SENT).await;
    bench.patch(&id, json!({"event_types": ["message.sent"]})).send().await.expect(200);
    assert_eq!(bench.accept(RECEIVED).await, 0, "no longer selected");
    bench.patch(&id, both).send().await.expect(200);
    bench.accept(RECEIVED).await;
    let claimed = bench.claim().await;
    let types: Vec<EventType> = claimed.iter().map(|claimed| claimed.event.event_type).collect();
    assert_eq!(types, [SENT, RECEIVED], "what was kept, and what came after the type was back");
    bench.tidy().await;
    assert_eq!(bench.ended(), ["event_type_not_selected"]);
    bench.server.leave_queued();
}

#[tokio::test]
async fn a_new_subscription_gets_nothing_from_before() {
    let mut bench = Bench::new().await;
    bench.created_id(json!({})).await;
    bench.accept(RECEIVED).await;
    bench.created_id(json!({"url": "https://hooks.example.com/late"})).await;
    assert_eq!(bench.claim().await.len(), 1);
    assert_eq!(bench.accept(RECEIVED).await, 2);
    assert_eq!(bench.claim().await.len(), 2);
    bench.server.leave_queued();
}

#[tokio::test]
async fn a_paused_subscription_holds_and_resume_or_another_url_lets_go() {
    let mut bench = Bench::new().await;
    let id = bench.created_id(json!({})).await;
    for let_go in ["resume", "url"] {
        bench.post_to(&id, "pause").send().await.expect(200);
        assert_eq!(bench.accept(RECEIVED).await, 1, "deliveries are made and held");
        assert!(bench.claim().await.is_empty());
        let change = match let_go {
            "resume" => bench.post_to(&id, "resume"),
            _ => bench.patch(&id, json!({"url": "https://hooks.example.com/2"})),
        };
        change.send().await.expect(200);
        assert_eq!(bench.claim().await.len(), 1, "{let_go}");
    }
    bench.server.leave_queued();
}

#[tokio::test]
async fn a_prepared_attempt_waits_while_its_subscription_is_held() {
    let mut bench = Bench::new().await;
    let id = bench.created_id(json!({})).await;
    bench.accept(RECEIVED).await;
    let claimed = bench.claim().await.remove(0);
    let store = &bench.server.app.store;
    bench.post_to(&id, "pause").send().await.expect(200);
    assert!(store.retarget(claimed.clone()).await.expect("read").is_none(), "not now");
    bench.post_to(&id, "resume").send().await.expect(200);
    let current = store.retarget(claimed.clone()).await.expect("read").expect("nothing holds it");
    assert_eq!(current.target.generation, bench.generation());
    assert_eq!(current.claim_no, claimed.claim_no);
    bench.server.leave_queued();
}

#[tokio::test]
async fn an_attempt_that_goes_elsewhere_is_on_record_there() {
    let mut bench = Bench::new().await;
    let id = bench.created_id(json!({})).await;
    bench.accept(RECEIVED).await;
    let claimed = bench.claim().await.remove(0);
    let elsewhere = "https://hooks.example.com/elsewhere";
    bench.patch(&id, json!({"url": elsewhere})).send().await.expect(200);
    let current = bench.server.app.store.retarget(claimed).await.expect("read").expect("still wanted");
    assert_eq!(current.target.url, elsewhere);
    let on_record = "SELECT u.url FROM queue q JOIN urls u ON u.no = q.claimed_url";
    assert_eq!(bench.server.query::<String>(on_record), [elsewhere]);
    bench.server.leave_queued();
}

#[tokio::test]
async fn what_an_attempt_must_notice_raises_the_generation_before_the_answer() {
    let bench = Bench::new().await;
    let id = bench.created_id(json!({"event_types": ["message.received", "message.sent"]})).await;
    let patch = |body: Value| (Method::PATCH, one(&id), body);
    let noticed = [
        patch(json!({"url": "https://hooks.example.com/2"})),
        patch(json!({"auth_token": "t"})),
        patch(json!({"auth_token": null})),
        patch(json!({"event_types": ["message.received"]})),
        (Method::POST, format!("{}/pause", one(&id)), json!({})),
        (Method::POST, format!("{}/resume", one(&id)), json!({})),
    ];
    let unnoticed = [
        patch(json!({})),
        patch(json!({"event_types": ["message.received", "message.failed"]})),
        patch(json!({"event_types": ["message.failed", "message.received"]})),
        patch(json!({"context_config": {"email": {"mode": "count", "count": 1}}})),
    ];
    let send = async |(method, path, body): (Method, String, Value)| {
        bench.server.request(method, &path).by(&bench.organization).json(body).send().await.expect(200)
    };
    for change in noticed {
        let before = bench.generation();
        assert!(bench.may_start(before));
        send(change.clone()).await;
        assert_eq!(bench.generation(), before + 1, "{change:?}");
        assert!(!bench.may_start(before) && bench.may_start(before + 1), "{change:?}");
    }
    for change in unnoticed {
        let before = bench.generation();
        send(change.clone()).await;
        assert!(bench.generation() == before && bench.may_start(before), "{change:?}");
    }
    let before = bench.generation();
    bench.delete(&id).send().await.expect(204);
    assert!(!bench.may_start(before));
}

#[tokio::test]
async fn an_owner_that_goes_takes_its_subscriptions_along() {
    let bench = Bench::new().await;
    let (number, identity) = (bench.number_id(), bench.identity.id.to_string());
    let mail = bench.created_id(json!({})).await;
    let text = json!({"mailbox_id": null, "phone_number_id": number, "event_types": ["text.sent"]});
    let text = bench.created_id(text).await;
    let any = json!({"mailbox_id": null, "agent_identity_id": identity, "event_types": ["message.sent"]});
    let any = bench.created_id(any).await;
    let colleague = bench.organization.identity("colleague").await;
    let kept = bench.created_id(json!({"mailbox_id": colleague.mailbox.to_string()})).await;
    bench.accept(RECEIVED).await;
    let (store, scope) = (&bench.server.app.store, bench.organization.scope());
    let number = number.parse().expect("an id");
    assert!(store.delete_phone_number(scope, number).await.expect("deleted"));
    bench.get(&one(&text)).send().await.refused(404);
    bench.shown(&mail).await;
    bench.shown(&any).await;
    let generation = bench.generation();
    assert!(store.delete_identity(scope, "help".into()).await.expect("deleted"));
    for gone in [&mail, &any] {
        bench.get(&one(gone)).send().await.refused(404);
    }
    bench.shown(&kept).await;
    assert!(!bench.may_start(generation));
    assert!(bench.claim().await.is_empty());
    bench.tidy().await;
    assert_eq!(bench.ended(), ["subscription_deleted"]);
}
