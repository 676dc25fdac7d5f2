//! No attempt starts after its event has expired, though it was claimed and connected before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use inkhook_server::domain::time::Clock;
use serde_json::json;
use tokio::task::{JoinSet, block_in_place};

use super::late::Receivers;
use crate::support::ask::{Api, Mailbox, mail_event};
use crate::support::dice::Dice;
use crate::support::running::RunningServer;
use crate::support::time::{now, until};

const EVENTS: usize = 40;
const DRAIN: Duration = Duration::from_secs(30);
/// Events whose handshake was still held back when they expired; otherwise nothing was tested.
const EXPIRED: usize = 5;
/// `expires_at` has milliseconds, and the two clocks are read one after the other.
const PRECISION: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_of_an_event_that_has_expired() {
    let dice = Dice::new("expiry");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let certificate = directory.path().join("receivers.pem");
    let receivers = Receivers::start(dice.clone(), &certificate).await;
    let settings = [("SSL_CERT_FILE", certificate.to_str().expect("UTF-8"))];
    let server = block_in_place(|| RunningServer::start_with(&settings));
    let api = Api { address: server.api, key: server.admin_key.clone() };
    let mailbox = Arc::new(api.identity("help").await);
    api.subscribe(&mailbox, &format!("{}/in", receivers.urls[0]), &["message.received"]).await;

    let mut publishing = JoinSet::new();
    for _ in 0..EVENTS {
        let lifetime = dice.millis(300..1_200);
        publishing.spawn(publish(api.clone(), mailbox.clone(), lifetime));
    }
    let published: Vec<(String, Instant)> = publishing.join_all().await;
    let mut expired = 0;
    for (event, expires) in &published {
        let path = format!("/api/v1/events/{event}");
        let delivery = until("the delivery's end", DRAIN, async || {
            let told = api.must(200, "GET", &path, None).await;
            let delivery = told["deliveries"][0].clone();
            delivery["ended_at"].is_string().then_some(delivery)
        })
        .await;
        let seen = receivers.seen();
        let arrived = seen.iter().find(|seen| seen.post.json()["id"] == **event);
        match (delivery["state"].as_str(), delivery["reason"].as_str(), arrived) {
            (Some("succeeded"), None, Some(seen)) => {
                let late = seen.stamp.saturating_duration_since(*expires + PRECISION);
                assert!(late.is_zero(), "written {late:?} after it had expired: {delivery}");
            }
            (Some("expired"), Some("event_expired"), None) => expired += 1,
            other => panic!("{event}: {other:?}"),
        }
    }
    println!("{expired} of {EVENTS} expired");
    assert!(expired >= EXPIRED, "only {expired} expired");
}

/// Publishes an event that lives so long; its id and when it expires.
async fn publish(api: Api, mailbox: Arc<Mailbox>, lifetime: Duration) -> (String, Instant) {
    let mut body = mail_event(&mailbox, "message.received", "a one-time code");
    let (wall, expires) = (Clock::system().wall(), now() + lifetime);
    body["expires_at"] = json!(wall.after(lifetime).to_string());
    let published = api.must(202, "POST", "/api/v1/events", Some(body)).await;
    (published["id"].as_str().expect("an id").to_owned(), expires)
}
