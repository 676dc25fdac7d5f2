//! Two nodes on one database, and the built binary.

use std::time::Duration;

use futures_util::future::join_all;
use inkhook_server::domain::secret::Secret;
use inkhook_server::domain::signup::{GUESSES, GUESSES_OF_CODE, PER_HUMAN};
use inkhook_server::store::signups::{NewSignup, Register, Registered, Resend, Verify};
use serde_json::{Value, json};

use super::sink::{Sink, Tls};
use super::{HUMAN, SIGNUP, STATUS, VERIFY, wrong};
use crate::support::ask::Api;
use crate::support::books::stores_are_files;
use crate::support::running::RunningServer;
use crate::support::store::StoreBench;
use crate::support::time::{now, until};
use crate::support::{MAIL_DOMAIN, PATIENCE};

/// A key that was claimed on another node is known to be within so long.
const LATEST: Duration = Duration::from_secs(1);

fn new(human: &str) -> NewSignup {
    NewSignup {
        human_email: human.into(),
        note: "Hello".into(),
        harness: None,
        display_name: None,
        handle: "help".into(),
        local_part: "help".into(),
        mail_domain: MAIL_DOMAIN.into(),
        block: "192.0.2.0/24".into(),
        invitation: None,
    }
}

pub(super) async fn register(node: &StoreBench, human: &str) -> Option<Registered> {
    match node.store().register(new(human), node.clock.wall()).await.expect("stored") {
        Register::Registered(registered) => Some(*registered),
        Register::Full(..) => None,
        Register::UnknownInvitation => panic!("it has none"),
    }
}

pub(super) async fn take_code(node: &StoreBench) -> Option<String> {
    let mail =
        node.store().claim_signup_mail(node.clock.wall(), Duration::from_mins(1)).await.expect("it reads")?;
    node.store().settle_signup_mail(&mail, None).await.expect("stored");
    Some(mail.content.code.expose().to_owned())
}

/// Two nodes; nothing where the tests have no database server.
pub(super) fn nodes() -> Option<(StoreBench, StoreBench)> {
    let one = StoreBench::new();
    if one.books.server().is_none() {
        println!("skipped: two nodes need a database server; INKHOOK_TEST_STORE=postgres has one");
        return None;
    }
    let other = one.beside();
    Some((one, other))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounds_hold_on_both_nodes_together() {
    let Some((one, other)) = nodes() else { return };
    let tries = (0..PER_HUMAN).flat_map(|_| [register(&one, HUMAN), register(&other, HUMAN)]);
    let registered = join_all(tries).await.into_iter().flatten().count();
    assert_eq!(registered, PER_HUMAN);

    let agent = register(&one, "lee@client.test").await.expect("there is room");
    let mut code = String::new();
    while let Some(next) = take_code(&one).await {
        code = next;
    }
    let guess = Secret::new(wrong(&code));
    let id = agent.identity.id;
    let mut counted = 0;
    for round in 0..2 {
        let tries = (0..GUESSES_OF_CODE).flat_map(|_| {
            [one.store().verify_signup(id, guess.clone()), other.store().verify_signup(id, guess.clone())]
        });
        let answers = join_all(tries).await;
        let wrong = answers.iter().filter(|answer| matches!(answer, Ok(Verify::Wrong { .. }))).count();
        assert_eq!(wrong, GUESSES_OF_CODE as usize, "round {round}: {answers:?}");
        counted += wrong;
        one.clock.advance(Duration::from_mins(5));
        if round == 0 {
            let made = other.store().resend_signup(id).await.expect("stored");
            assert!(matches!(made, Resend::Made(_)), "{made:?}");
        }
    }
    assert_eq!(counted, GUESSES as usize);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_code_is_mailed_by_one_node() {
    let Some((one, other)) = nodes() else { return };
    for n in 0..10 {
        register(&one, &format!("human-{n}@client.test")).await.expect("there is room");
    }
    let mut codes = Vec::new();
    loop {
        let (mine, theirs) = tokio::join!(take_code(&one), take_code(&other));
        let before = codes.len();
        codes.extend(mine.into_iter().chain(theirs));
        if codes.len() == before {
            break;
        }
    }
    assert_eq!(codes.len(), 10, "none twice, and none is left");
}

/// The code that one of these has shown in its log.
async fn code_in(logs: &[&RunningServer], handle: &str) -> String {
    until("the code to be shown", PATIENCE, async || {
        let lines = logs.iter().map(|server| server.log()).collect::<String>();
        let found = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut found = found.filter(|line| line["handle"] == handle);
        found.find_map(|line| line["code"].as_str().map(ToOwned::to_owned))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_dev_the_code_is_in_the_log_and_a_claim_is_known_on_other_nodes_within_a_second() {
    let settings = [("INKHOOK_SIGNUP__ENABLED", "true")];
    let one = tokio::task::block_in_place(|| RunningServer::start_with(&settings));
    let asked = json!({"human_email": HUMAN, "note_to_human": "Hello", "agent_handle": "help"});
    let public = Api { address: one.api, key: String::new() };
    let made = public.must(201, "POST", SIGNUP, Some(asked)).await;
    let text = |field: &str| made[field].as_str().expect("a text").to_owned();
    let own = Api { address: one.api, key: text("api_key") };
    let hooks = "/api/v1/webhooks/subscriptions";
    own.must(403, "GET", hooks, None).await;
    let other = (!stores_are_files()).then(|| {
        let url = one.books().url().expect("a server's tables");
        tokio::task::block_in_place(|| one.beside(url))
    });
    let elsewhere = other.as_ref().map(|other| Api { address: other.api, key: own.key.clone() });
    if let Some(elsewhere) = &elsewhere {
        elsewhere.must(403, "GET", hooks, None).await;
    }
    let logs: Vec<&RunningServer> = [&one].into_iter().chain(&other).collect();
    let code = code_in(&logs, &text("agent_handle")).await;
    let guess = json!({"verification_code": code});
    own.must(200, "POST", VERIFY, Some(guess)).await;
    let claimed_at = now();
    own.must(200, "GET", hooks, None).await;
    own.must(200, "GET", STATUS, None).await;
    let Some(elsewhere) = elsewhere else { return };
    until("the claim to be known", PATIENCE, async || {
        let (status, _) = elsewhere.ask("GET", hooks, &[], None).await.expect("it answers");
        (status == 200).then_some(())
    })
    .await;
    assert!(claimed_at.elapsed() < LATEST, "{:?}", claimed_at.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configured_relay_gets_the_mail_and_the_clients_network_is_counted() {
    let sink = Sink::start(Tls::Never).await;
    let port = sink.address.port().to_string();
    let settings = [
        ("INKHOOK_SIGNUP__ENABLED", "true"),
        ("INKHOOK_SIGNUP__RELAY_HOST", "127.0.0.1"),
        ("INKHOOK_SIGNUP__RELAY_PORT", &port),
        ("INKHOOK_SIGNUP__RELAY_TLS", "none"),
        ("INKHOOK_SIGNUP__FROM", "no-reply@mail.test"),
        ("INKHOOK_SERVER__TRUSTED_PROXIES", "[\"127.0.0.0/8\"]"),
    ];
    let server = tokio::task::block_in_place(|| RunningServer::start_with(&settings));
    let public = Api { address: server.api, key: String::new() };
    let asked = json!({"human_email": HUMAN, "note_to_human": "Hello"});
    public.must(201, "POST", SIGNUP, Some(asked.clone())).await;
    let through = [("X-Forwarded-For", "203.0.113.1, 192.0.2.7")];
    let (status, answer) = public.ask("POST", SIGNUP, &through, Some(&asked)).await.expect("it answers");
    assert_eq!(status, 201, "{answer}");
    let mut mails = Vec::new();
    until("both mails to come", PATIENCE, async || {
        mails.extend(sink.take());
        (mails.len() == 2).then_some(())
    })
    .await;
    assert!(mails.iter().all(|mail| mail.to == [HUMAN] && mail.from == "no-reply@mail.test"), "{mails:?}");
    assert!(!server.log().contains("\"code\""), "a code that is mailed is in no log");
    let blocks = "SELECT block FROM signup_counts ORDER BY block";
    let blocks = tokio::task::block_in_place(|| server.books().column::<String>(blocks));
    assert_eq!(blocks, ["127.0.0.0/24", "192.0.2.0/24"]);
}
