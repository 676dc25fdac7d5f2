//! Conversations that end: with their mailbox, or because nobody has written for long.

use std::time::Duration;

use inkhook_server::engine::janitor::House;
use inkhook_server::store::cancel::Tidied;
use inkhook_server::store::conversations::{CHUNK_ROWS, WALK_ROWS, WalkPlace};
use tokio_util::sync::CancellationToken;

use super::Post;
use super::threads::{ANA, LEE, thread};

const DAY: Duration = Duration::from_hours(24);

impl Post {
    async fn keep(&self, days: u32) {
        let (store, clock) = (&self.server.app.store, &self.server.app.clock);
        let soft = CancellationToken::new();
        House::default().keep(store, clock, days, &soft).await.expect("the store works");
    }

    /// References and participants.
    fn remembered(&self) -> [i64; 2] {
        ["mail_references", "mail_participants"]
            .map(|table| self.server.query(&format!("SELECT count(*) FROM {table}"))[0])
    }
}

#[tokio::test]
async fn a_deleted_mailboxes_conversations_are_forgotten_in_chunks() {
    let post = Post::new().await;
    let sales = post.acme.identity("sales").await;
    for n in 0..=CHUNK_ROWS {
        thread(&post, &format!("q{n}"), ANA, "", if n == 1 { "q0" } else { "" }).await;
    }
    let mail = format!("From: {ANA}\r\nMessage-ID: <s@x>\r\n\r\nHello\r\n");
    post.accepted(&[&sales.address], &mail).await;
    let [references, participants] = post.remembered();
    assert_eq!(references, i64::try_from(CHUNK_ROWS).unwrap() + 2);
    assert!(participants >= references, "{participants}");
    let path = "/api/v1/identities/help";
    post.server.delete(path).by(&post.acme).send().await.expect(204);
    assert_eq!(post.remembered(), [references, participants], "the delete has no part in it");
    let store = &post.server.app.store;
    assert_eq!(store.forget_mailbox_chunk().await.unwrap(), Tidied::More);
    assert_eq!(post.remembered()[0], 2, "one chunk");
    while store.forget_mailbox_chunk().await.unwrap() == Tidied::More {}
    assert_eq!(post.remembered(), [1, 1], "another mailbox keeps its own");
}

#[tokio::test]
async fn a_conversation_is_forgotten_when_its_last_mail_is_old() {
    let post = Post::new().await;
    let first = thread(&post, "q1", ANA, LEE, "").await;
    post.server.advance(20 * DAY);
    assert_eq!(thread(&post, "q2", LEE, "", "q1").await, first);
    let [references, participants] = post.remembered();
    assert_eq!(references, 2);
    post.server.advance(10 * DAY);
    post.keep(30).await;
    assert_eq!(post.remembered(), [1, participants], "the first mail's id leads nowhere any more");
    assert_eq!(thread(&post, "q3", ANA, "", "q2").await, first, "but the second's does");
    post.server.advance(30 * DAY);
    post.keep(30).await;
    assert_eq!(post.remembered(), [0, 0]);
    assert_ne!(thread(&post, "q4", ANA, "", "q3").await, first);
}

#[tokio::test]
async fn the_walk_goes_on_where_it_was() {
    let post = Post::new().await;
    let store = &post.server.app.store;
    for n in 0..=WALK_ROWS {
        let mail = format!("From: {ANA}\r\nMessage-ID: <q{n}@x>\r\n\r\nHello\r\n");
        post.accepted(&[&post.help.address], &mail).await;
    }
    let all = i64::try_from(WALK_ROWS).unwrap() + 1;
    let now = post.server.app.clock.wall();
    let next = store.forget_references_step(WalkPlace::default(), now).await.unwrap();
    assert_eq!(post.remembered()[0], 1, "of {all}");
    let next = next.expect("there is one more");
    assert_eq!(store.forget_references_step(next, now).await.unwrap(), None);
    assert_eq!(post.remembered()[0], 0);
}
