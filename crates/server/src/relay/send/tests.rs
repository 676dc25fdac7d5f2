use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::*;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_millis(100);
const PATIENT: Times = Times { before: LONG, verdict: LONG, goodbye: LONG };

fn settings(from: &str) -> Settings {
    Settings {
        host: "127.0.0.1".into(),
        port: 25,
        security: Security::None,
        login: None,
        ca: None,
        from: from.into(),
    }
}

/// A mail to a relay that says these things, one after each thing that it is told, and then nothing any more.
async fn send(says: &'static [&'static str], times: Times) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("somebody comes");
        let mut stream = BufReader::new(stream);
        for (place, line) in says.iter().enumerate() {
            let end = if place == MAIL { ".\r\n" } else { "\r\n" };
            let mut told = String::new();
            while place > 0 && told != end && !(end == "\r\n" && told.ends_with(end)) {
                told.clear();
                stream.read_line(&mut told).await.expect("it is told something");
            }
            stream.write_all(format!("{line}\r\n").as_bytes()).await.expect("it listens");
        }
        std::future::pending::<()>().await;
    });
    let relay = Relay::new(Settings { port, ..settings("a@mail.test") }, "mail.test", times);
    relay.expect("a relay").send("ana@client.test", b"Subject: hi\r\n\r\nhello\r\n").await
}

/// Which of the things that a relay is told is the mail.
const MAIL: usize = 5;
const READY: &[&str] = &["220 relay.test", "250 relay.test", "250 ok", "250 ok", "354 go on"];
const TAKEN: &[&str] = &["220 relay.test", "250 relay.test", "250 ok", "250 ok", "354 go on", "250 taken"];

#[test]
fn what_cannot_be_used_is_said_at_once_and_no_password_is_printed() {
    assert!(matches!(Relay::new(settings("nobody"), "mail.test", PATIENT), Err(BuildError::From(_))));
    let broken = Settings {
        security: Security::Tls,
        ca: Some(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".to_vec()),
        ..settings("a@mail.test")
    };
    assert!(matches!(Relay::new(broken, "mail.test", PATIENT), Err(BuildError::Tls(_))));
    let login = Some(("user".into(), Secret::new("hunter2".into())));
    let relay = Relay::new(Settings { login, ..settings("a@mail.test") }, "mail.test", PATIENT);
    assert!(!format!("{:?}", relay.expect("a relay")).contains("hunter2"));
}

#[tokio::test]
async fn who_took_the_mail_has_it_and_need_not_say_goodbye() {
    assert_eq!(send(TAKEN, Times { goodbye: SHORT, ..PATIENT }).await, Ok(()));
}

#[tokio::test]
async fn each_part_has_its_time() {
    let failure = send(&[], Times { before: SHORT, ..PATIENT }).await.expect_err("it says nothing");
    assert_eq!(failure.why, "the relay took longer than 0.1 s until it wanted the mail");
    let failure = send(READY, Times { verdict: SHORT, ..PATIENT }).await.expect_err("it does not say");
    assert_eq!(failure.why, "the relay took longer than 0.1 s to say whether it has the mail");
    assert!(!failure.is_for_good);
}

#[tokio::test]
async fn a_refusal_is_told_once_and_without_addresses() {
    let refused = send(
        &[
            "220 relay.test",
            "250 relay.test",
            "250 ok",
            "550 5.1.1 <Ana@Client.test>: ana (a.lee@corp.test): unknown",
        ],
        PATIENT,
    );
    let failure = refused.await.expect_err("it is refused");
    assert_eq!(failure.why, "permanent error (550): 5.1.1 <…>: … (…): unknown");
    assert!(failure.is_for_good);
}

#[test]
fn addresses_are_found_wherever_they_stand() {
    for (text, clean) in [
        ("", ""),
        ("no address", "no address"),
        ("ana@client.test", "…"),
        ("to=<ana+1@client.test>, user 'ana' Anabel", "to=<…>, user … Anabel"),
        ("é ana.", "é …"),
    ] {
        assert_eq!(without_addresses(text, "ana@client.test"), clean);
    }
}
