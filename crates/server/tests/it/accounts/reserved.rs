use std::time::Duration;

use serde_json::json;

use crate::support::TestServer;

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn names_stay_reserved_for_their_organisation_for_90_days() {
    let server = TestServer::new();
    let (acme, globex) = (server.organization("acme").await, server.organization("globex").await);
    let help = acme.identity_with_number("help").await;
    let number = help.phone_number.unwrap().1;
    server.delete("/api/v1/identities/help").by(&acme).send().await.expect(204);
    let create = async |by, handle: &str, local: &str, number: Option<&str>| {
        let mut body = json!({"agent_handle": handle, "mailbox": {"email_local_part": local}});
        if let Some(number) = number {
            body["phone_number"] = json!({"number": number});
        }
        server.post("/api/v1/identities").by(by).json(body).send().await
    };
    server.advance((90 * DAY).checked_sub(Duration::from_millis(1)).unwrap());
    create(&globex, "help", "other", None).await.expect(409);
    create(&globex, "other", "help", None).await.expect(409);
    create(&globex, "other", "other", Some(&number)).await.expect(409);
    assert_eq!(server.query::<i64>("SELECT count(*) FROM identities"), [0], "no half of any was made");
    server.advance(Duration::from_millis(1));
    create(&globex, "help", "help", Some(&number)).await.expect(201);
}

#[tokio::test]
async fn their_own_organisation_may_have_them_back_at_once() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity_with_number("help").await;
    let number = help.phone_number.unwrap().1;
    server.delete("/api/v1/identities/help").by(&acme).send().await.expect(204);
    let body = json!({"agent_handle": "help", "phone_number": {"number": number}});
    let again = server.post("/api/v1/identities").by(&acme).json(body).send().await.expect(201);
    assert_ne!(again.text("id"), help.id.to_string(), "the names come back, not the identity");
}
