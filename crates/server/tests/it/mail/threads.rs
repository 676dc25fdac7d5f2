//! Who joins a conversation, and who does not.

use inkhook_server::store::cancel::Tidied;
use inkhook_server::store::mail::MAX_THREADS_PER_MESSAGE_ID;
use serde_json::Value;

use super::Post;

/// A mail to `help`; its thread.
pub(super) async fn thread(post: &Post, id: &str, from: &str, cc: &str, answers: &str) -> Value {
    let fields = [
        ("Message-ID", id, format!("<{id}@client.test>")),
        ("In-Reply-To", answers, format!("<{answers}@client.test>")),
        ("Cc", cc, cc.to_owned()),
    ];
    let given = fields.into_iter().filter(|(_, given, _)| !given.is_empty());
    let given: Vec<String> = given.map(|(name, _, value)| format!("{name}: {value}\r\n")).collect();
    let given = given.concat();
    let mail = format!("From: {from}\r\nTo: help@mail.test\r\nSubject: {id} {from}\r\n{given}");
    let event = post.accepted(&["help@mail.test"], &format!("{mail}\r\nHello\r\n")).await;
    post.payload(&event).await["data"]["message"]["thread_id"].clone()
}

pub(super) const ANA: &str = "ana@client.test";
pub(super) const LEE: &str = "lee@client.test";
const EVE: &str = "eve@client.test";

#[tokio::test]
async fn who_took_part_joins_and_who_only_cites_does_not() {
    let post = Post::new().await;
    let first = thread(&post, "q1", ANA, LEE, "").await;
    assert_eq!(thread(&post, "q2", "Ana <Ana@CLIENT.test>", "", "q1").await, first, "the sender");
    assert_eq!(thread(&post, "q3", LEE, "", "q2").await, first, "whom it was copied to");
    assert_eq!(thread(&post, "q4", ANA, "", "q3").await, first, "and so on");
    assert_eq!(thread(&post, "q5", "help@mail.test", "", "q1").await, first, "the mailbox itself");
    assert_ne!(thread(&post, "q6", ANA, "", "").await, first, "a new subject");

    let attack = thread(&post, "e1", EVE, "", "q1").await;
    assert_ne!(attack, first, "she was no part of it");
    assert_ne!(thread(&post, "e2", EVE, "", "q1").await, attack, "nor is what she started a way in");
    assert_eq!(thread(&post, "e3", EVE, "", "e1").await, attack, "what is hers is hers");
    assert_eq!(thread(&post, "q7", ANA, "", "q1").await, first, "and nothing is lost to her");
}

#[tokio::test]
async fn threads_of_two_mailboxes_are_apart() {
    let post = Post::new().await;
    let sales = post.acme.identity("sales").await;
    let first = thread(&post, "q1", ANA, "", "").await;
    let mail = format!("From: {ANA}\r\nMessage-ID: <q2@x>\r\nIn-Reply-To: <q1@client.test>\r\n\r\nHello\r\n");
    let event = post.accepted(&[&sales.address], &mail).await;
    assert_ne!(post.payload(&event).await["data"]["message"]["thread_id"], first);
}

#[tokio::test]
async fn a_mail_without_an_id_brings_its_readers_into_the_thread() {
    let post = Post::new().await;
    let first = thread(&post, "q1", ANA, "", "").await;
    assert_ne!(thread(&post, "l1", LEE, "", "q1").await, first);
    assert_eq!(thread(&post, "", ANA, LEE, "q1").await, first);
    assert_eq!(thread(&post, "l2", LEE, "", "q1").await, first);
}

#[tokio::test]
async fn a_guessed_id_does_not_draw_later_answers_into_another_thread() {
    let post = Post::new().await;
    let first = thread(&post, "q1", ANA, "", "").await;
    for n in 0..=MAX_THREADS_PER_MESSAGE_ID {
        // Other content under the same id, with her victim in copy.
        let sender = format!("eve{n}@client.test");
        assert_ne!(thread(&post, "q1", &sender, ANA, "").await, first);
    }
    assert_eq!(thread(&post, "q2", ANA, "", "q1").await, first);
    // However many mails bear one id, no more than so many of their threads are remembered and looked at.
    let remembered: Vec<usize> =
        post.server.query("SELECT count(*) FROM mail_references WHERE message_id = '<q1@client.test>'");
    assert_eq!(remembered, [MAX_THREADS_PER_MESSAGE_ID]);
    post.server.delete("/api/v1/identities/help").by(&post.acme).send().await.expect(204);
    while post.server.app.store.forget_mailbox_chunk().await.unwrap() == Tidied::More {}
    assert_eq!(post.server.query::<i64>("SELECT count(*) FROM mail_participants"), [0], "nothing is left");
}
