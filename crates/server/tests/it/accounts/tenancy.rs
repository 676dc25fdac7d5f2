//! Two organisations, and two identities of one: nobody sees or changes what is not theirs, and the answer
//! does not tell whether it exists.

use axum::http::Method;
use serde_json::{Value, json};

use crate::support::TestServer;

/// Every route that names a row, with the name in place of `{}`.
fn routes(handle: &str, address: &str, number: &str, key: &str) -> Vec<(Method, String, Option<Value>)> {
    let identity = format!("/api/v1/identities/{handle}");
    let mailbox = format!("/api/v1/mail/mailboxes/{address}");
    let number = format!("/api/v1/phone/numbers/{number}");
    let key = format!("/api/v1/api-keys/{key}");
    vec![
        (Method::GET, identity.clone(), None),
        (Method::PATCH, identity.clone(), Some(json!({"display_name": "mine"}))),
        (Method::DELETE, identity.clone(), None),
        (Method::DELETE, format!("{identity}/phone_number"), None),
        (Method::GET, format!("{identity}/signing-key"), None),
        (Method::POST, format!("{identity}/signing-key"), Some(json!({}))),
        (Method::GET, mailbox.clone(), None),
        (Method::PATCH, mailbox, Some(json!({"signature_text": "mine"}))),
        (Method::GET, number.clone(), None),
        (Method::PATCH, number.clone(), Some(json!({"client_websocket_url": "wss://a.example.com"}))),
        (Method::DELETE, number, None),
        (Method::GET, key.clone(), None),
        (Method::DELETE, key, None),
    ]
}

#[tokio::test]
async fn another_organisations_rows_are_not_there() {
    let server = TestServer::new();
    let (acme, globex) = (server.organization("acme").await, server.organization("globex").await);
    let help = acme.identity_with_number("help").await;
    let spy = globex.identity("spy").await;
    let key = server.get("/api/whoami").by_agent(&help).send().await.text("key_id");
    let number = help.phone_number.as_ref().unwrap().0.to_string();
    let none = uuid::Uuid::nil().to_string();
    let theirs = routes("help", "help@mail.test", &number, &key);
    let nobodys = routes("nobody", "nobody@mail.test", &none, &format!("ApiKey_{none}"));
    let before = server.snapshot();
    for ((method, path, body), (_, missing, _)) in theirs.into_iter().zip(nobodys) {
        for by in [&globex.key, &spy.key] {
            let send = async |path: &str| {
                let request = server.request(method.clone(), path).key(by);
                match &body {
                    Some(body) => request.json(body.clone()).send().await,
                    None => request.send().await,
                }
            };
            let (seen, unseen) = (send(&path).await, send(&missing).await);
            // An agent key may not delete at all, whether it is there or not.
            let expected = if *by == spy.key && method == Method::DELETE { 403 } else { 404 };
            assert_eq!(seen.status, expected, "{method} {path}: {}", seen.json);
            assert_eq!((seen.status, &seen.json), (unseen.status, &unseen.json), "{method} {path}");
        }
    }
    for create in ["/api/v1/phone/numbers", "/api/v1/api-keys"] {
        let body = if create.ends_with("numbers") {
            json!({"agent_handle": "help"})
        } else {
            json!({"label": "x", "scoped_identity_id": help.id})
        };
        server.post(create).by(&globex).json(body).send().await.refused(404);
    }
    assert_eq!(server.snapshot(), before, "nothing changed");
}

#[tokio::test]
async fn lists_hold_the_callers_own() {
    let server = TestServer::new();
    let (acme, globex) = (server.organization("acme").await, server.organization("globex").await);
    let help = acme.identity_with_number("help").await;
    let sales = acme.identity_with_number("sales").await;
    for (path, keys_own) in [
        ("/api/v1/identities", 0),
        ("/api/v1/mail/mailboxes", 0),
        ("/api/v1/phone/numbers", 0),
        ("/api/v1/api-keys", 1),
    ] {
        let count = async |key: &str| {
            server.get(path).key(key).send().await.expect(200).json.as_array().expect("a bare array").len()
        };
        assert_eq!(count(&acme.key).await, 2 + keys_own, "{path}");
        assert_eq!(count(&help.key).await, 1, "{path}");
        assert_eq!(count(&sales.key).await, 1, "{path}");
        assert_eq!(count(&globex.key).await, keys_own, "{path}");
    }
}

#[tokio::test]
async fn another_identitys_rows_are_not_there_for_an_agent_key() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity_with_number("help").await;
    let sales = acme.identity("sales").await;
    let key = server.get("/api/whoami").by_agent(&help).send().await.text("key_id");
    let number = help.phone_number.as_ref().unwrap().0.to_string();
    let before = server.snapshot();
    for (method, path, body) in routes("help", "help", &number, &key) {
        let request = server.request(method.clone(), &path).by_agent(&sales);
        let reply = match body {
            Some(body) => request.json(body).send().await,
            None => request.send().await,
        };
        assert_eq!(reply.status, if method == Method::DELETE { 403 } else { 404 }, "{method} {path}");
    }
    assert_eq!(server.snapshot(), before, "nothing changed");
}

#[tokio::test]
async fn an_operator_key_acts_for_the_organisation_it_names_and_nobody_else_can() {
    let server = TestServer::new();
    let (acme, globex) = (server.organization("acme").await, server.organization("globex").await);
    acme.identity("help").await;
    let operator = server.operator_key().await;
    let path = "/api/v1/identities/help";
    let named = async |key: &str, organization: &str| {
        server.get(path).key(key).header("inkhook-organization", organization).send().await
    };
    server.get(path).key(&operator).send().await.refused(403);
    named(&operator, &acme.id.to_string()).await.expect(200);
    named(&operator, &acme.id.to_string()).await.expect(200);
    named(&operator, &globex.id.to_string()).await.refused(404);
    for unknown in ["org_00000000000000000000000000000000", "acme", ""] {
        assert!(named(&operator, unknown).await.refused(404).contains("organisation"));
    }
    named(&acme.key, &acme.id.to_string()).await.refused(403);
    assert!(server.app.store.delete_organization(acme.id).await.unwrap());
    named(&operator, &acme.id.to_string()).await.refused(404);
}
