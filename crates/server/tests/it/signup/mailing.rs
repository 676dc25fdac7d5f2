//! Codes on their way: what the relay is told, and what happens when it does not listen.

use std::time::Duration;

use inkhook_server::domain::metrics::MailOutcome;
use inkhook_server::domain::secret::Secret;
use inkhook_server::relay::{LEASE, Mailer, Security, Settings, WAITS};
use serde_json::json;

use super::sink::{Answer, Sink, Taken, Tls};
use super::{HUMAN, RESEND, body, sign_up, verify};
use crate::support::{MAIL_DOMAIN, TestServer};

const FROM: &str = "no-reply@mail.test";

fn settings(sink: &Sink, tls: Tls) -> Settings {
    Settings {
        host: "127.0.0.1".into(),
        port: sink.address.port(),
        security: match tls {
            Tls::Never => Security::None,
            Tls::Always => Security::Tls,
            Tls::Later => Security::StartTls,
        },
        login: None,
        ca: Some(sink.ca.clone()),
        from: FROM.into(),
    }
}

fn mailer(server: &TestServer, settings: Settings) -> Mailer {
    let app = &server.app;
    let (store, clock, entropy) = (app.store.clone(), app.clock.clone(), app.entropy.clone());
    Mailer::new(store, clock, entropy, MAIL_DOMAIN.into(), Some(settings)).expect("a mailer")
}

async fn turn(mailer: &Mailer) -> bool {
    mailer.turn().await.expect("the store works")
}

/// How many were sent, put off and given up.
fn counted(server: &TestServer) -> [u64; 3] {
    MailOutcome::ALL.map(|outcome| server.app.store.metrics().mails(outcome))
}

/// The line that is the code.
fn code(mail: &Taken) -> String {
    let lines = mail.data.lines().map(str::trim);
    let is_code = |line: &&str| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit());
    lines.into_iter().find(is_code).expect("a code").to_owned()
}

#[tokio::test]
async fn the_human_gets_the_code_that_claims_the_agent() {
    let server = TestServer::new();
    let sink = Sink::start(Tls::Never).await;
    let mailer = mailer(&server, settings(&sink, Tls::Never));
    assert!(!turn(&mailer).await, "nothing waits");
    let mut asked = body(HUMAN);
    asked["note_to_human"] = json!("Click https://evil.example\r\n.\r\nRCPT TO:<lee@client.test>");
    let agent = sign_up(&server, asked).await;
    assert!(sink.take().is_empty(), "nobody waited for the relay");
    assert!(turn(&mailer).await);
    assert!(!turn(&mailer).await, "once");
    let mails = sink.take();
    let [mail] = &mails[..] else { panic!("{mails:?}") };
    assert_eq!((mail.from.as_str(), &mail.to[..]), (FROM, &[HUMAN.to_owned()][..]));
    assert!(
        mail.data.contains("> Click https[:]//evil[.]example\r\n> .\r\n> RCPT TO[:]<lee[at]client[.]test>"),
        "{}",
        mail.data
    );
    assert!(mail.data.contains(&format!("Handle: {}\r\n", agent.handle)), "{}", mail.data);
    assert!(!mail.data.contains(&agent.key), "no key is mailed");
    verify(&server, &agent.key, &code(mail)).await.expect(200);
    assert_eq!(counted(&server), [1, 0, 0]);
}

#[tokio::test]
async fn the_way_to_the_relay_is_kept_from_others() {
    for tls in [Tls::Always, Tls::Later] {
        let server = TestServer::new();
        let sink = Sink::start(tls).await;
        let login = Some(("inkhook".to_owned(), Secret::new("hunter2".into())));
        let mailer = mailer(&server, Settings { login, ..settings(&sink, tls) });
        sign_up(&server, body(HUMAN)).await;
        assert!(turn(&mailer).await);
        let mails = sink.take();
        let [mail] = &mails[..] else { panic!("{tls:?}: {mails:?}") };
        assert!(mail.over_tls);
        assert_eq!(mail.login.as_deref(), Some("/inkhook/hunter2"));
    }
}

#[tokio::test]
async fn a_relay_that_nobody_vouches_for_or_that_has_no_tls_gets_no_mail_and_no_password() {
    for (theirs, ours, trusted) in
        [(Tls::Always, Tls::Always, false), (Tls::Later, Tls::Later, false), (Tls::Never, Tls::Later, true)]
    {
        let server = TestServer::new();
        let sink = Sink::start(theirs).await;
        let login = Some(("inkhook".to_owned(), Secret::new("hunter2".into())));
        let ca = trusted.then(|| sink.ca.clone());
        let mailer = mailer(&server, Settings { login, ca, ..settings(&sink, ours) });
        sign_up(&server, body(HUMAN)).await;
        assert!(turn(&mailer).await);
        assert_eq!(sink.take(), []);
        assert_eq!(counted(&server), [0, 1, 0]);
    }
}

#[tokio::test]
async fn what_was_not_taken_is_tried_again_for_some_minutes_and_then_given_up() {
    let server = TestServer::new();
    let sink = Sink::start(Tls::Never).await;
    let login = Some(("inkhook".to_owned(), Secret::new("hunter2".into())));
    let mailer = mailer(&server, Settings { login, ..settings(&sink, Tls::Never) });
    let agent = sign_up(&server, body(HUMAN)).await;
    let answers = [Answer::Later, Answer::HangsUp, Answer::NoLogin];
    for (place, wait) in WAITS.into_iter().enumerate() {
        sink.answer(&[answers[place % answers.len()]]);
        assert!(turn(&mailer).await, "{place}");
        assert!(!turn(&mailer).await, "not at once");
        server.advance(wait.checked_sub(Duration::from_millis(1)).expect("longer"));
        assert!(!turn(&mailer).await, "nor too soon");
        server.advance(Duration::from_millis(1));
    }
    sink.answer(&[Answer::Later]);
    assert!(turn(&mailer).await);
    assert_eq!(counted(&server), [0, WAITS.len() as u64, 1]);
    server.advance(Duration::from_hours(1));
    assert!(!turn(&mailer).await, "it is given up");
    // Asked for again, it goes.
    server.post(RESEND).key(&agent.key).send().await.expect(200);
    assert!(turn(&mailer).await);
    let mails = sink.take();
    let [mail] = &mails[..] else { panic!("{mails:?}") };
    verify(&server, &agent.key, &code(mail)).await.expect(200);
}

#[tokio::test]
async fn what_is_refused_for_good_is_given_up_at_once_and_holds_nobody_up() {
    let server = TestServer::new();
    let sink = Sink::start(Tls::Never).await;
    let mailer = mailer(&server, settings(&sink, Tls::Never));
    sink.answer(&[Answer::Refused]);
    sign_up(&server, body("nobody@client.test")).await;
    sign_up(&server, body(HUMAN)).await;
    assert!(turn(&mailer).await && turn(&mailer).await && !turn(&mailer).await);
    assert_eq!(counted(&server), [1, 0, 1]);
    assert_eq!(sink.take().len(), 1);
}

#[tokio::test]
async fn a_relay_that_takes_a_mail_has_it_whatever_becomes_of_the_goodbye() {
    let server = TestServer::new();
    let sink = Sink::start(Tls::Never).await;
    let mailer = mailer(&server, settings(&sink, Tls::Never));
    for (place, answer) in [Answer::TakesAndHangsUp, Answer::TakesAndSaysNoMore].into_iter().enumerate() {
        sink.answer(&[answer]);
        sign_up(&server, body(HUMAN)).await;
        assert!(turn(&mailer).await && !turn(&mailer).await);
        assert_eq!((counted(&server), sink.take().len()), ([place as u64 + 1, 0, 0], 1), "{answer:?}");
        server.advance(LEASE);
        assert!(!turn(&mailer).await, "nor later");
    }
}

#[tokio::test]
async fn a_relay_that_says_nothing_holds_no_request_up_and_its_mail_is_lost_to_nobody() {
    let server = TestServer::new();
    let sink = Sink::start(Tls::Never).await;
    sink.answer(&[Answer::Silent]);
    sign_up(&server, body(HUMAN)).await;
    let stuck = mailer(&server, settings(&sink, Tls::Never));
    let stuck = tokio::spawn(async move { stuck.turn().await });
    server
        .eventually("the mail to be claimed", async || {
            let claimed = server.query::<i64>("SELECT mail_attempts FROM signups");
            (claimed == [1]).then_some(())
        })
        .await;
    let agent = sign_up(&server, body(HUMAN)).await;
    server.get("/api/whoami").key(&agent.key).send().await.expect(200);
    // Its process dies; another one takes both over.
    stuck.abort();
    let other = mailer(&server, settings(&sink, Tls::Never));
    assert!(turn(&other).await && !turn(&other).await, "the first is somebody's still");
    server.advance(LEASE);
    assert!(turn(&other).await && !turn(&other).await);
    assert_eq!(sink.take().len(), 2);
}

#[tokio::test]
async fn a_late_answer_about_an_earlier_code_changes_nothing() {
    let server = TestServer::new();
    let agent = sign_up(&server, body(HUMAN)).await;
    let store = &server.app.store;
    let claim = async || {
        let mail = store.claim_signup_mail(server.app.clock.wall(), Duration::from_mins(1)).await;
        mail.expect("it reads")
    };
    let first = claim().await.expect("a mail");
    server.advance(Duration::from_mins(5));
    server.post(RESEND).key(&agent.key).send().await.expect(200);
    store.settle_signup_mail(&first, None).await.expect("stored");
    let second = claim().await.expect("the other code still waits");
    assert_ne!(first.content.code, second.content.code);
    store.settle_signup_mail(&second, None).await.expect("stored");
    assert_eq!(claim().await, None);
}
