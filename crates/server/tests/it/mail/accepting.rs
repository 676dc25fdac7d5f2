//! Which mail is taken, for whom, and what is left of one that is not.

use inkhook_server::domain::metrics::Refusal;
use inkhook_server::store::StoreLimits;
use inkhook_server::store::keeper::DiskLimit;
use serde_json::json;

use super::Post;
use crate::support::books::needs_a_file;
use crate::support::{Setup, any_disk};

const MAIL: &str = "Message-ID: <q1@client.test>\r\nFrom: ana@client.test\r\nSubject: Hi\r\n\r\nHello\r\n";

#[tokio::test]
async fn a_mail_to_two_of_our_mailboxes_is_two_events() {
    let post = Post::new().await;
    let sales = post.acme.identity("sales").await;
    // Somebody named twice has one mailbox all the same.
    post.accepted(&[&post.help.address, &sales.address, "HELP@mail.test"], MAIL).await;
    let payloads = post.payloads(&post.acme).await;
    let messages: Vec<_> = payloads.iter().map(|payload| &payload["data"]["message"]).collect();
    assert_eq!(messages.len(), 2);
    for field in ["mailbox_id", "id", "thread_id", "email_address"] {
        assert_ne!(messages[0][field], messages[1][field], "{field}");
    }
    assert_eq!(messages[0]["body"], messages[1]["body"]);
    assert_ne!(payloads[0]["id"], payloads[1]["id"]);
}

#[tokio::test]
async fn who_is_not_here_is_550_and_nothing_is_relayed() {
    let post = Post::new().await;
    let before = post.server.snapshot();
    let mut client = post.client().await;
    assert_eq!(client.ask("MAIL FROM:<help@mail.test>").await.0, 250);
    for address in ["nobody@mail.test", "ana@client.test", "help@other.test", "help@sub.mail.test"] {
        let (code, text) = client.ask(&format!("RCPT TO:<{address}>")).await;
        assert_eq!(code, 550, "{address}: {text}");
    }
    assert_eq!(client.ask("DATA").await.0, 554, "nobody is left to receive it");
    assert_eq!(post.server.snapshot(), before);
}

#[tokio::test]
async fn a_mailbox_that_goes_after_its_rcpt_is_left_out() {
    let post = Post::new().await;
    let sales = post.acme.identity("sales").await;
    let mut both = post.client().await;
    both.envelope("ana@client.test", &[&post.help.address, &sales.address]).await;
    let mut one = post.client().await;
    one.envelope("ana@client.test", &[&sales.address]).await;
    let path = "/api/v1/identities/sales";
    post.server.delete(path).by(&post.acme).send().await.expect(204);

    let (code, text) = both.data(MAIL.as_bytes()).await;
    assert_eq!(code, 250, "{text}");
    let payloads = post.payloads(&post.acme).await;
    assert_eq!(payloads.len(), 1);
    assert_eq!(payloads[0]["data"]["message"]["email_address"], post.help.address);

    let before = post.server.snapshot();
    let (code, text) = one.data(MAIL.as_bytes()).await;
    assert_eq!(code, 550, "{text}");
    assert_eq!(post.server.snapshot(), before);
    // From then on it is unknown.
    assert_eq!(one.ask("MAIL FROM:<ana@client.test>").await.0, 250);
    assert_eq!(one.ask(&format!("RCPT TO:<{}>", sales.address)).await.0, 550);
}

#[tokio::test]
async fn what_fails_on_our_side_is_4yz() {
    let post = Post::new().await;
    let mut client = post.client().await;
    client.envelope("ana@client.test", &[&post.help.address]).await;
    post.server.app.store.close().await;
    let (code, text) = client.data(MAIL.as_bytes()).await;
    assert_eq!(code, 451, "{text}");
    assert_eq!(post.events(), 0);
}

#[tokio::test]
async fn a_mail_that_there_is_no_room_for_is_452_and_comes_again() {
    let no_disk = DiskLimit { free_percent: 0, free_bytes: u64::MAX };
    for (limits, why) in
        [(StoreLimits { disk: no_disk, ..any_disk() }, Refusal::LowDisk), (any_disk(), Refusal::Backlog)]
    {
        if why == Refusal::LowDisk && !needs_a_file("a watch on its disk") {
            continue;
        }
        let mut post = Post::with(Setup { limits, ..Setup::default() }).await;
        post.server.leave_queued();
        if why == Refusal::Backlog {
            post.server.app.store.limit_backlog(post.acme.no, Some(1));
            let body = json!({"mailbox_id": post.help.mailbox, "url": "http://127.0.0.1:9/in",
                "event_types": ["message.received"]});
            let subscribe = post.server.post("/api/v1/webhooks/subscriptions").by(&post.acme).json(body);
            subscribe.send().await.expect(201);
            post.accepted(&[&post.help.address], MAIL).await;
        }
        let before = post.events();
        let other = MAIL.replace("q1@", "q2@");
        let (code, text) =
            post.client().await.mail("ana@client.test", &[&post.help.address], other.as_bytes()).await;
        assert_eq!(code, 452, "{why:?}: {text}");
        assert_eq!((post.events(), post.server.app.store.metrics().refusals(why)), (before, 1));
    }
}
