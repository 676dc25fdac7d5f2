//! The same mail twice is one event; another mail under the same Message-ID is another event.

use std::time::Duration;

use super::Post;

const MS: Duration = Duration::from_millis(1);
const ALMOST_7_DAYS: Duration = Duration::from_millis(7 * 24 * 3600 * 1000 - 1);

fn mail(id: &str, body: &str) -> String {
    format!("Message-ID: <{id}@client.test>\r\nFrom: ana@client.test\r\nSubject: Hi\r\n\r\n{body}\r\n")
}

#[tokio::test]
async fn a_mail_that_comes_again_within_seven_days_is_answered_with_its_event() {
    let post = Post::new().await;
    let help = [&*post.help.address];
    let first = post.accepted(&help, &mail("q1", "Hello")).await;
    let again = format!("Received: by another way\r\n{}", mail("q1", "Hello"));
    assert_eq!(post.accepted(&help, &again).await, first);
    post.server.advance(ALMOST_7_DAYS);
    assert_eq!(post.accepted(&help, &mail("q1", "Hello")).await, first);
    assert_eq!(post.events(), 1);
    post.server.advance(MS + MS);
    let second = post.accepted(&help, &mail("q1", "Hello")).await;
    assert_ne!(second, first);
    assert_eq!(post.accepted(&help, &mail("q1", "Hello")).await, second, "its own seven days begin");
    assert_eq!(post.events(), 2);
}

#[tokio::test]
async fn who_guesses_a_message_id_suppresses_nobodys_mail() {
    let post = Post::new().await;
    let help = [&*post.help.address];
    let attacker = post.accepted(&help, &mail("q1", "I came first")).await;
    let victim = post.accepted(&help, &mail("q1", "What matters")).await;
    assert_ne!(attacker, victim);
    assert_eq!(post.payload(&victim).await["data"]["message"]["body"], "What matters");
    assert_eq!(post.accepted(&help, &mail("q1", "What matters")).await, victim);
    assert_eq!(post.accepted(&help, &mail("q1", "I came first")).await, attacker);
    assert_eq!(post.events(), 2);
}

#[tokio::test]
async fn another_mailbox_or_another_id_or_none_makes_another_event() {
    let post = Post::new().await;
    let sales = post.acme.identity("sales").await;
    let help = [&*post.help.address];
    let first = post.accepted(&help, &mail("q1", "Hello")).await;
    assert_ne!(post.accepted(&[&sales.address], &mail("q1", "Hello")).await, first);
    assert_eq!(post.events(), 2);
    // One of the two knows it already.
    post.accepted(&[&sales.address, &post.help.address], &mail("q1", "Hello")).await;
    assert_eq!(post.events(), 2);
    post.accepted(&help, &mail("q2", "Hello")).await;
    assert_eq!(post.events(), 3);
    let nameless = "From: ana@client.test\r\n\r\nHello\r\n";
    assert_ne!(post.accepted(&help, nameless).await, post.accepted(&help, nameless).await);
    assert_eq!(post.events(), 5);
}
