//! The catalogue's samples, as they would look if they had happened to an owner: its own ids, address and
//! number, fresh ids for what happened, and the time that it is.

use bytes::Bytes;
use inkhook_wire::envelope;
use inkhook_wire::event::EventType;
use serde_json::Value;

use crate::domain::entropy::Entropy;
use crate::domain::number::OrganizationNo;
use crate::domain::owner::{Owner, OwnerFacts};
use crate::domain::time::Clock;
use crate::store::Store;
use crate::store::accept::NewEvent;
use crate::store::error::StoreError;
use crate::store::facts::Names;

/// What making a sample needs.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// Knows the owner.
    pub store: &'a Store,
    /// When it happened.
    pub clock: &'a Clock,
    /// Its ids.
    pub entropy: &'a Entropy,
}

/// A sample event of `event_type` that happened to `owner`; `None` when there is no such owner. It has not
/// been stored.
///
/// # Errors
/// The store could not be read.
pub async fn event(
    parts: Parts<'_>,
    organization: OrganizationNo,
    owner: Owner,
    event_type: EventType,
) -> Result<Option<NewEvent>, StoreError> {
    let Some((facts, _)) = parts.store.publish_facts(organization, owner, Names::default()).await? else {
        return Ok(None);
    };
    let now = parts.clock.wall();
    let mut fresh_id = || parts.entropy.uuid_at(now).to_string();
    let data = data(event_type, &facts, &now.to_rfc3339(), &mut fresh_id);
    let id = parts.entropy.uuid_at(now).into();
    let payload = envelope::write(id, event_type, &now.to_rfc3339(), &data.to_string());
    Ok(Some(NewEvent {
        id,
        id_given: false,
        idempotency_key: None,
        request_hash: [0; 32],
        organization,
        event_type,
        owner,
        expires_at: None,
        payload: Bytes::from(payload),
    }))
}

/// Where samples name their owner, and with what. A number that an identity does not have stays the sample's.
fn data(event_type: EventType, facts: &OwnerFacts, now: &str, fresh_id: &mut dyn FnMut() -> String) -> Value {
    let mut data = event_type.sample();
    let identity = Some(facts.identity_id.to_string());
    let mailbox = facts.mailbox.as_ref().map(|(id, _)| id.to_string());
    let address = facts.mailbox.as_ref().map(|(_, address)| address.clone());
    let number = facts.phone_number.as_ref().map(|(_, number)| number.clone());
    let places = [
        ("/message/mailbox_id", mailbox),
        ("/message/email_address", address),
        ("/text_message/local_phone_number", number.clone()),
        ("/call/local_phone_number", number.clone()),
        ("/message/local_number", number),
        ("/identity_id", identity.clone()),
        ("/message/agent_identity_id", identity.clone()),
        ("/reaction/agent_identity_id", identity),
        ("/message/id", Some(fresh_id())),
        ("/text_message/id", Some(fresh_id())),
        ("/reaction/id", Some(fresh_id())),
        ("/call/id", Some(fresh_id())),
        ("/task_id", Some(fresh_id())),
    ];
    for (place, ours) in places {
        let theirs = data.pointer(place).and_then(Value::as_str).map(ToOwned::to_owned);
        if let Some((theirs, ours)) = theirs.zip(ours) {
            replace(&mut data, &theirs, &ours);
        }
    }
    for part in ["message", "text_message", "reaction", "call"] {
        for key in ["created_at", "updated_at"] {
            if let Some(time) = data.get_mut(part).and_then(|part| part.get_mut(key)) {
                *time = now.into();
            }
        }
    }
    data
}

/// Everywhere: a mail names its mailbox's address among its recipients as well.
fn replace(value: &mut Value, theirs: &str, ours: &str) {
    match value {
        Value::String(text) if text == theirs => ours.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, theirs, ours)),
        Value::Object(fields) => fields.values_mut().for_each(|field| replace(field, theirs, ours)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use inkhook_wire::event::OwnerKind;
    use inkhook_wire::validate::{self, validate_data};
    use serde_json::value::RawValue;
    use uuid::Uuid;

    use super::*;

    const NOW: &str = "2026-11-20T09:30:01.000Z";

    fn facts() -> OwnerFacts {
        OwnerFacts {
            owner: Owner::Identity(Uuid::from_u128(1).into()),
            identity_id: Uuid::from_u128(1).into(),
            agent_handle: "help".into(),
            mailbox: Some((Uuid::from_u128(2).into(), "help@mail.test".into())),
            phone_number: Some((Uuid::from_u128(3).into(), "+14155550123".into())),
        }
    }

    fn sample(event_type: EventType, facts: &OwnerFacts) -> Value {
        let mut next = 100;
        let mut fresh_id = || {
            next += 1;
            Uuid::from_u128(next).to_string()
        };
        data(event_type, facts, NOW, &mut fresh_id)
    }

    #[test]
    fn every_sample_could_have_been_published_for_its_owner() {
        let facts = facts();
        for event_type in EventType::SUBSCRIBABLE {
            let text = sample(*event_type, &facts).to_string();
            let raw = RawValue::from_string(text.clone()).unwrap();
            let mut owner = validate::OwnerFacts {
                kind: OwnerKind::Identity,
                identity_id: facts.identity_id,
                agent_handle: "help",
                mailbox: facts.mailbox.as_ref().map(|(id, address)| (*id, &**address)),
                phone_number: facts.phone_number.as_ref().map(|(id, number)| (*id, &**number)),
                now: NOW,
                fresh_id: &mut || Uuid::nil(),
                contacts_json: None,
                agent_identities_json: None,
            };
            let valid = validate_data(*event_type, &raw, &mut owner);
            let valid = valid.unwrap_or_else(|error| panic!("{event_type}: {error}: {text}"));
            assert_eq!(valid.data, text, "{event_type}: nothing is left out");
        }
    }

    #[test]
    fn a_sample_mail_is_to_the_mailbox_and_has_an_id_of_its_own() {
        let mail = sample(EventType::MessageReceived, &facts());
        assert_eq!(mail["message"]["to_addresses"][0], "help@mail.test");
        assert_eq!(mail["message"]["mailbox_id"], Uuid::from_u128(2).to_string());
        assert_eq!(mail["message"]["created_at"], NOW);
        assert_ne!(mail["message"]["id"], EventType::MessageReceived.sample()["message"]["id"]);
        let sent = sample(EventType::MessageSent, &facts());
        assert_eq!(sent["message"]["from_address"], "help@mail.test");
    }

    #[test]
    fn an_identity_without_a_number_gets_the_samples() {
        let facts = OwnerFacts { phone_number: None, ..facts() };
        let number = |facts: &OwnerFacts| {
            sample(EventType::TextReceived, facts)["text_message"]["local_phone_number"].clone()
        };
        assert_eq!(number(&facts), EventType::TextReceived.sample()["text_message"]["local_phone_number"]);
    }
}
