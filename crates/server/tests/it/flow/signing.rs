//! Which key signs what is sent, while keys are replaced.

use std::time::Duration;

use serde_json::{Value, json};

use super::Scene;

const OF_HELP: &str = "/api/v1/identities/help/signing-key";
const OF_ALL: &str = "/api/v1/signing-keys";
const PAIR: &str = "/api/v1/organization/key-pair";

impl Scene {
    async fn rotate(&self, path: &str, activate_after_seconds: u64) -> Value {
        let body = json!({"activate_after_seconds": activate_after_seconds});
        self.server.post(path).by(&self.acme).json(body).send().await.expect(201).json
    }

    /// By which of these the newest POST verifies: by the two signatures of a secret, or by the standard one alone.
    fn verdicts<const N: usize>(&self, keys: [&Value; N]) -> [(bool, bool); N] {
        let received = self.receiver.received();
        let newest = received.last().expect("something came");
        keys.map(|key| newest.verdicts(key["signing_key"].as_str().expect("a key")))
    }
}

const SIGNS: (bool, bool) = (true, true);
const IS_LISTED: (bool, bool) = (false, true);
const DOES_NOT: (bool, bool) = (false, false);

#[tokio::test]
async fn from_its_time_on_the_next_key_signs_retries_of_earlier_events_included() {
    let (scene, subscription) = Scene::subscribed().await;
    scene.receiver.answer(500);
    scene.publish("before").await;
    scene.turn().await;
    let next = scene.rotate(OF_HELP, 3).await;
    assert_eq!(scene.verdicts([&subscription, &next]), [SIGNS, DOES_NOT]);
    scene.publish("meanwhile").await;
    scene.turn().await;
    assert_eq!(scene.verdicts([&subscription, &next]), [SIGNS, IS_LISTED]);
    scene.server.advance(Duration::from_secs(10));
    scene.turn().await;
    let received = scene.receiver.received();
    assert_eq!(received.len(), 3);
    assert_eq!(received[2].header("inkhook-attempt"), Some("2"));
    assert_eq!(scene.verdicts([&subscription, &next]), [DOES_NOT, SIGNS]);
}

#[tokio::test]
async fn a_key_that_replaces_at_once_is_alone() {
    let (scene, subscription) = Scene::subscribed().await;
    let pending = scene.rotate(OF_HELP, 60).await;
    let new = scene.rotate(OF_HELP, 0).await;
    scene.publish("after").await;
    scene.turn().await;
    assert_eq!(scene.verdicts([&subscription, &pending, &new]), [DOES_NOT, DOES_NOT, SIGNS]);
}

#[tokio::test]
async fn what_the_organisation_signs_for_is_signed_by_it_until_its_own_key_begins() {
    let scene = Scene::new().await;
    let organizations = scene.rotate(OF_ALL, 0).await;
    let subscription = scene.subscribe(&scene.receiver.url("/in")).await;
    assert_eq!(subscription["signing_key"], Value::Null, "the organisation's signs");
    let next = scene.rotate(OF_ALL, 60).await;
    let own = scene.rotate(OF_HELP, 120).await;
    assert!(own["pending_from"].is_string(), "the organisation's signs until then");
    scene.publish("one").await;
    scene.turn().await;
    assert_eq!(scene.verdicts([&organizations, &next, &own]), [SIGNS, IS_LISTED, DOES_NOT]);
    scene.server.advance(Duration::from_mins(1));
    scene.publish("two").await;
    scene.turn().await;
    assert_eq!(scene.verdicts([&organizations, &next, &own]), [DOES_NOT, SIGNS, IS_LISTED]);
    scene.server.advance(Duration::from_mins(1));
    scene.publish("three").await;
    scene.turn().await;
    assert_eq!(scene.verdicts([&organizations, &next, &own]), [DOES_NOT, DOES_NOT, SIGNS]);
}

#[tokio::test]
async fn a_public_key_verifies_what_is_sent_from_its_time_on() {
    let (scene, subscription) = Scene::subscribed().await;
    let first = scene.rotate(PAIR, 0).await;
    let second = scene.rotate(PAIR, 60).await;
    let key = |shown: &Value| shown["public_key"].as_str().expect("a key").to_owned();
    let keys = [key(&first["current"]), key(&second["pending"])];
    let mut verdicts = Vec::new();
    for advance in [0, 60] {
        scene.server.advance(Duration::from_secs(advance));
        scene.publish("hi").await;
        scene.turn().await;
        assert_eq!(scene.verdicts([&subscription]), [SIGNS], "the secret verifies as before");
        let received = scene.receiver.received();
        let newest = received.last().expect("something came");
        verdicts.push(keys.each_ref().map(|key| newest.verifies_by_public_key(key)));
    }
    assert_eq!(verdicts, [[true, false], [false, true]]);

    scene.server.delete(PAIR).by(&scene.acme).send().await.expect(204);
    scene.publish("after").await;
    scene.turn().await;
    let received = scene.receiver.received();
    let newest = received.last().expect("something came");
    assert!(!newest.header("webhook-signature").expect("it is there").contains("v1a,"));
}
