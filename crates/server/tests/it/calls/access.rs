//! Who may put a call, and what a call must have.

use serde_json::json;
use uuid::Uuid;

use super::{REMOTE, Scene, assert_decided};
use crate::support::{Setup, TestServer};
use inkhook_server::domain::api_key::KeyScope;
use inkhook_server::store::api_keys::NewApiKey;

#[tokio::test]
async fn only_whoever_manages_the_organisation_may_put_calls() {
    let scene = Scene::new().await;
    let call = || json!({"remote_phone_number": REMOTE});
    let post = |path: &str| scene.server.post(path).json(call());
    let path = scene.calls_path();
    post(&path).send().await.refused(401);
    post(&path).by_agent(&scene.help).send().await.refused(403);
    let unclaimed = NewApiKey {
        organization: Some(scene.acme.no),
        identity: Some(scene.help.id),
        claimed: false,
        ..TestServer::new_key(KeyScope::Agent)
    };
    let unclaimed = scene.server.mint(unclaimed).await;
    post(&path).key(&unclaimed).send().await.refused(403);
    let globex = scene.server.organization("globex").await;
    let theirs = post(&path).by(&globex).send().await.refused(404);
    let nowhere = format!("/api/v1/phone/numbers/{}/incoming-calls", Uuid::from_u128(1));
    assert_eq!(post(&nowhere).by(&scene.acme).send().await.refused(404), theirs);
    let operator = scene.server.operator_key().await;
    let acme = scene.acme.id.to_string();
    let reply = post(&path).key(&operator).header("inkhook-organization", &acme).send().await.expect(200);
    assert_decided(&reply.json, ("reject", None, "auto_reject", None));
    let slash = post(&format!("{path}/")).by(&scene.acme).send().await;
    assert_decided(&slash.expect(200).json, ("reject", None, "auto_reject", None));
}

#[tokio::test]
async fn what_a_call_must_have() {
    let scene = Scene::new().await;
    let remote = ["body", "remote_phone_number"];
    for bad in ["", "2025550178", "+0123", "Anonymous", "+1202555017x"] {
        scene.put_as(json!({"remote_phone_number": bad})).await.invalid(&remote, "invalid");
    }
    scene.put_as(json!({})).await.invalid(&remote, "missing");
    let id = json!({"remote_phone_number": REMOTE, "call_id": "CA123"});
    scene.put_as(id).await.invalid(&["body", "call_id"], "invalid");
    let more = json!({"remote_phone_number": REMOTE, "sip": 1});
    scene.put_as(more).await.invalid(&["body", "sip"], "unknown_field");
}

#[tokio::test]
async fn calls_do_not_count_as_requests_of_the_key() {
    let scene = Scene::with(Setup { requests_per_second: 1, ..Setup::default() }).await;
    for _ in 0..10 {
        scene.put().await;
    }
    let statuses: Vec<u16> = {
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses
                .push(scene.server.get(&scene.number_path()).by(&scene.acme).send().await.status.as_u16());
        }
        statuses
    };
    assert_eq!(statuses, [200, 200, 429], "reading does");
}
