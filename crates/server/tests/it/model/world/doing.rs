//! What is asked of the store, and what it must answer.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use inkhook_server::domain::number::{DeliveryNo, SubscriptionNo};
use inkhook_server::domain::owner::Owner;
use inkhook_server::domain::patch::Patch;
use inkhook_server::domain::secret::Secret;
use inkhook_server::domain::subscription::{
    DeliverySettings, EventTypes, NewSubscription, SubscriptionChange, WebhookUrl,
};
use inkhook_server::store::accept::{Accept, Accepted, IDEMPOTENCY_KEY_KEPT_MS, NewEvent};
use inkhook_server::store::replay::Replay;
use inkhook_server::store::settle::{Next, Settled, Settlement};
use inkhook_server::store::subscriptions::{CreateSubscription, PatchSubscription};
use inkhook_wire::event::EventType;
use inkhook_wire::id::{AttemptId, EventId, RequestId};
use uuid::Uuid;

use super::World;
use crate::model::reference::{Delivery, types_of};
use crate::model::seen;
use crate::model::step::Answer;
use crate::model::template::HANDLE;
use crate::model::{Breach, ensure};
use inkhook_server::domain::time::TimeMs;

/// Subscriptions in one schedule at most.
const SUBSCRIPTIONS: usize = 6;

impl World<'_> {
    fn owner(&self, owner: usize) -> Owner {
        let agent = self.bench.template.agent;
        if owner == 1 { agent.owner() } else { agent.by_mail() }
    }

    fn url(&self, subscription: usize, version: usize) -> WebhookUrl {
        let url = format!("http://{}/{subscription}/{version}", self.bench.receiver.address);
        WebhookUrl { given: url.clone(), normalized: url }
    }

    /// The active subscription at this place, if there is one.
    fn place(&self, subscription: usize) -> Option<usize> {
        let known = &self.model.subscriptions;
        let active: Vec<usize> = (0..known.len()).filter(|place| known[*place].is_active).collect();
        (!active.is_empty()).then(|| active[subscription % active.len()])
    }

    pub(super) fn create(&mut self, owner: usize, types: u8, answer: Answer) -> Result<(), Breach> {
        let place = self.subscriptions.len();
        if place == SUBSCRIPTIONS {
            return Ok(());
        }
        let owner = self.owner(owner);
        let new = NewSubscription {
            owner,
            url: self.url(place, 0),
            event_types: EventTypes::from_stored(types_of(types)),
            context_config: None,
            auth_token: None,
            delivery: DeliverySettings::default(),
        };
        match self.ask(self.life().store.create_subscription(self.admin(), new))? {
            CreateSubscription::Created { subscription, signing_key } => {
                if let Some(key) = signing_key {
                    self.bench.receiver.set_key(key.expose());
                }
                self.model.subscribe(subscription.no.0, types);
                self.subscriptions.push((*subscription, owner));
            }
            refused => return Err(format!("a create was refused: {refused:?}")),
        }
        self.bench.receiver.set_mood(place, answer);
        Ok(())
    }

    fn event(&self, owner: Owner, event_type: EventType, id: Option<EventId>) -> NewEvent {
        let entropy = &self.ground.entropy;
        let event = id.unwrap_or_else(|| entropy.uuid_at(self.ground.clock.wall()).into());
        NewEvent {
            id: event,
            id_given: id.is_some(),
            idempotency_key: None,
            request_hash: entropy.bytes(),
            organization: self.bench.template.agent.organization,
            event_type,
            owner,
            expires_at: None,
            payload: Bytes::from(format!("{{\"id\":\"{event}\"}}")),
        }
    }

    /// The event that a key stands for: even ones by `Idempotency-Key`, odd ones by their id.
    fn keyed_event(&self, key: usize) -> NewEvent {
        let id = (key % 2 == 1).then(|| Uuid::from_u128(key as u128 + 1).into());
        let mut event = self.event(self.owner(0), EventType::MessageReceived, id);
        event.idempotency_key = key.is_multiple_of(2).then(|| format!("key-{key}"));
        event.request_hash = [u8::try_from(key).expect("a small key"); 32];
        event
    }

    pub(super) fn publish(&mut self, owner: usize, sent: bool, expires_s: Option<u64>) -> Result<(), Breach> {
        let event_type = if sent { EventType::MessageSent } else { EventType::MessageReceived };
        let mut event = self.event(self.owner(owner), event_type, None);
        event.expires_at = expires_s.map(|seconds| self.model.now.after(Duration::from_secs(seconds)));
        let accept = self.ask(self.life().store.accept(event.clone()))?;
        let accepted = accepted(accept)?;
        self.expect_new(&event, &accepted)
    }

    /// Publishes in one group: `count` events of their own, and the event of `key` so often.
    pub(super) fn together(&mut self, count: usize, key: usize, twins: usize) -> Result<(), Breach> {
        let plain = (0..count).map(|_| self.event(self.owner(0), EventType::MessageReceived, None));
        let mut events: Vec<NewEvent> = plain.collect();
        events.extend((0..twins).map(|_| self.keyed_event(key)));
        let store = &self.life().store;
        self.ground.faults.hold();
        let answers = self.bench.control.block_on(async {
            let mut all = Box::pin(join_all(events.iter().map(|event| store.accept(event.clone()))));
            // Asked once, each of them is in the writer's inbox.
            let early = futures_util::poll!(&mut all);
            self.ground.faults.resume();
            match early {
                std::task::Poll::Ready(answers) => answers,
                std::task::Poll::Pending => all.await,
            }
        });
        for (place, (event, answer)) in events.iter().zip(answers).enumerate() {
            let accepted = accepted(answer.map_err(|error| format!("a verb failed: {error}"))?)?;
            if place < count {
                self.expect_new(event, &accepted)?;
            } else {
                self.expect_keyed(key, event, &accepted)?;
            }
        }
        Ok(())
    }

    fn expect_keyed(&mut self, key: usize, event: &NewEvent, accepted: &Accepted) -> Result<(), Breach> {
        let now = self.model.now;
        let known = self.keys.get(&key).filter(|(_, _, until)| until.is_none_or(|until| until > now));
        if let Some((first, deliveries, _)) = known {
            let is_the_same =
                accepted.duplicate && accepted.id == *first && accepted.deliveries == *deliveries;
            ensure!(is_the_same, "a repeat of {first} became another event: {accepted:?}");
            return Ok(());
        }
        let until = event.idempotency_key.as_ref().map(|_| TimeMs(now.0 + IDEMPOTENCY_KEY_KEPT_MS));
        self.keys.insert(key, (accepted.id, accepted.deliveries, until));
        self.expect_new(event, accepted)
    }

    /// An event of its own: one delivery for each subscription that matches, and none besides.
    fn expect_new(&mut self, event: &NewEvent, accepted: &Accepted) -> Result<(), Breach> {
        ensure!(!accepted.duplicate && accepted.id == event.id, "a new event is none: {accepted:?}");
        let identity = self.owner(1);
        let matches = |place: &usize| {
            let (known, owner) = (&self.model.subscriptions[*place], self.subscriptions[*place].1);
            let is_selected = known.is_active && types_of(known.types).contains(&event.event_type);
            is_selected && (owner == event.owner || owner == identity)
        };
        let expected: Vec<usize> = (0..self.subscriptions.len()).filter(matches).collect();
        let made = seen::made(&self.ground.books, event.id.as_uuid());
        let of: Vec<i64> = made.iter().map(|(_, subscription, _)| *subscription).collect();
        let should: Vec<i64> = expected.iter().map(|place| self.model.subscriptions[*place].no).collect();
        ensure!(of == should, "an event went to {of:?} and should to {should:?}");
        ensure!(accepted.deliveries as usize == of.len(), "it was said to go to {}", accepted.deliveries);
        for ((no, _, request_id), place) in made.into_iter().zip(expected) {
            let mut delivery = Delivery::new(place, event.id, event.event_type, event.payload.to_vec());
            delivery.expires_at = event.expires_at;
            self.model.deliver(no, RequestId::from(request_id).to_string(), delivery);
        }
        Ok(())
    }

    pub(super) fn set_mood(&mut self, subscription: usize, answer: Answer) {
        if let Some(place) = self.place(subscription) {
            self.bench.receiver.set_mood(place, answer);
        }
    }

    pub(super) fn delete(&mut self, subscription: usize) -> Result<(), Breach> {
        let Some(place) = self.place(subscription) else { return Ok(()) };
        let id = self.subscriptions[place].0.id;
        let is_deleted = self.ask(self.life().store.delete_subscription(self.admin(), id))?;
        ensure!(is_deleted, "a subscription was not there");
        self.model.cancel(place, |_| false);
        self.model.subscriptions[place].is_active = false;
        Ok(())
    }

    fn patch(&mut self, place: usize, change: SubscriptionChange) -> Result<(), Breach> {
        let id = self.subscriptions[place].0.id;
        let patched = self.ask(self.life().store.patch_subscription(self.admin(), id, change))?;
        ensure!(matches!(patched, PatchSubscription::Patched(_)), "a patch was refused: {patched:?}");
        Ok(())
    }

    pub(super) fn select(&mut self, subscription: usize, types: u8) -> Result<(), Breach> {
        let Some(place) = self.place(subscription) else { return Ok(()) };
        let event_types = Some(EventTypes::from_stored(types_of(types)));
        self.patch(place, SubscriptionChange { event_types, ..SubscriptionChange::default() })?;
        self.model.cancel(place, |event_type| types_of(types).contains(&event_type));
        self.model.subscriptions[place].types = types;
        Ok(())
    }

    pub(super) fn new_url(&mut self, subscription: usize) -> Result<(), Breach> {
        let Some(place) = self.place(subscription) else { return Ok(()) };
        let version = self.model.subscriptions[place].url + 1;
        let url = Some(self.url(place, version));
        self.patch(place, SubscriptionChange { url, ..SubscriptionChange::default() })?;
        self.model.subscriptions[place].url = version;
        self.model.release(place, true);
        Ok(())
    }

    pub(super) fn new_token(&mut self, subscription: usize) -> Result<(), Breach> {
        let Some(place) = self.place(subscription) else { return Ok(()) };
        self.tokens += 1;
        let token = format!("token-{}", self.tokens);
        let auth_token = Patch::Set(Secret::new(token.clone()));
        self.patch(place, SubscriptionChange { auth_token, ..SubscriptionChange::default() })?;
        self.model.subscriptions[place].token = Some(token);
        Ok(())
    }

    pub(super) fn new_key(&mut self) -> Result<(), Breach> {
        let rotated =
            self.ask(self.life().store.rotate_identity_key(self.admin(), HANDLE.into(), Duration::ZERO))?;
        let rotated = rotated.ok_or("the identity is not there")?;
        self.bench.receiver.set_key(rotated.key.expose());
        Ok(())
    }

    pub(super) fn pause(&mut self, subscription: usize) -> Result<(), Breach> {
        let Some(place) = self.place(subscription) else { return Ok(()) };
        let id = self.subscriptions[place].0.id;
        let paused = self.ask(self.life().store.pause_subscription(self.admin(), id))?;
        ensure!(paused.is_some(), "a subscription was not there");
        self.model.subscriptions[place].is_paused = true;
        Ok(())
    }

    pub(super) fn resume(&mut self, subscription: usize) -> Result<(), Breach> {
        let Some(place) = self.place(subscription) else { return Ok(()) };
        self.let_go_on(place)
    }

    pub(super) fn let_go_on(&mut self, place: usize) -> Result<(), Breach> {
        let id = self.subscriptions[place].0.id;
        let resumed = self.ask(self.life().store.resume_subscription(self.admin(), id))?;
        ensure!(resumed.is_some(), "a subscription was not there");
        self.model.release(place, false);
        Ok(())
    }

    pub(super) fn late_settle(&mut self, delivery: usize) -> Result<(), Breach> {
        let rows = self.rows();
        let stale = |(no, queued): (&i64, &seen::Queued)| {
            // One that is held by nobody was settled under its last claim.
            let claim_no =
                if queued.boot.is_none() { queued.claim_no } else { queued.claim_no.checked_sub(1)? };
            (claim_no > 0).then_some((DeliveryNo(*no), claim_no))
        };
        let stale: Vec<_> = rows.queued.iter().filter_map(stale).collect();
        if stale.is_empty() {
            return Ok(());
        }
        let (delivery, claim_no) = stale[delivery % stale.len()];
        let next = Next::Release { maybe_received: true };
        // What a server would hold meanwhile; in a file there is nothing to hold.
        let subscription = SubscriptionNo(0);
        let settlement =
            Settlement { delivery, subscription, claim_no, attempt: None, next, hold_until: None };
        let settled = self.ask(self.life().store.settle(settlement))?;
        ensure!(settled == Settled::Nothing, "a late settle of delivery {delivery:?} did {settled:?}");
        Ok(())
    }

    pub(super) fn replay(&mut self, attempt: usize) -> Result<(), Breach> {
        let rows = self.rows();
        if rows.log.is_empty() {
            return Ok(());
        }
        let line = rows.log.values().nth(attempt % rows.log.len()).expect("it is there");
        let source = &self.model.deliveries[&line.delivery];
        let known = &self.model.subscriptions[source.subscription];
        let expected = if !known.is_active {
            Some(Replay::SubscriptionDeleted)
        } else if !types_of(known.types).contains(&source.event_type) {
            Some(Replay::TypeNotSelected)
        } else {
            let is_expired = source.expires_at.is_some_and(|expires_at| expires_at <= self.model.now);
            is_expired.then_some(Replay::EventExpired)
        };
        let replay = self.ask(self.life().store.replay(self.admin(), AttemptId::from(line.id)))?;
        let (no, request_id) = match (replay, expected) {
            (Replay::Queued(no, request_id), None) => (no, request_id),
            (refusal, Some(expected)) if refusal == expected => return Ok(()),
            other => return Err(format!("a replay: {other:?}")),
        };
        let (subscription, payload) = (source.subscription, source.payload.clone());
        let mut delivery = Delivery::new(subscription, source.event, source.event_type, payload);
        (delivery.expires_at, delivery.is_manual) = (source.expires_at, true);
        self.model.deliver(no.0, request_id.to_string(), delivery);
        Ok(())
    }
}

fn accepted(accept: Accept) -> Result<Accepted, Breach> {
    match accept {
        Accept::Accepted(accepted) => Ok(accepted),
        refused => Err(format!("an event was refused: {refused:?}")),
    }
}
