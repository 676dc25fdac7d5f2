//! The story that the demo tells, step by step: what a user does through the API, what the receiver reads,
//! and whether the two agree.
//!
//! Nothing in here is shown as done before it was seen to be so; the first thing that is not so ends the
//! walk with an error that says what it was.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use inkhook_wire::envelope::Envelope;
use inkhook_wire::event::{Channel, EventType};
use inkhook_wire::payload::mail::MailData;
use inkhook_wire::payload::text::TextData;
use inkhook_wire::sign::SigningKey;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::client::Api;
use super::judge::judge;
use super::mail;
use super::receiver::{Hook, Received, Receiver};
use super::screen::{Screen, printable};
use super::smtp;
use crate::domain::time::Clock;

/// The agent's name.
const HANDLE: &str = "scout";
/// Who writes the text message: a number that the United Kingdom sets aside for fiction, so that it is never
/// the one that the agent is given.
const TEXTER: &str = "+447700900123";
const TEXT: &str = "Bonjour! Are you open today?";
/// How often the log is asked whether it has a line that is about to be written.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Attempts that the log must show before the replay: a refused mail, the mail, the text.
const ATTEMPTS: usize = 3;
/// Characters of a stranger's text that are shown.
const SHOWN: usize = 60;

/// Everything that the walk uses.
pub(super) struct Walk<'a> {
    pub(super) screen: &'a mut Screen,
    pub(super) api: Api,
    pub(super) smtp: SocketAddr,
    pub(super) receiver: &'a mut Receiver,
    pub(super) clock: Clock,
}

/// What the walk made, for whoever goes on from there.
pub(super) struct Agent {
    pub(super) mailbox: String,
    pub(super) key: SigningKey,
    mailbox_id: String,
    number_id: String,
}

impl Walk<'_> {
    /// From an empty server to a replay.
    ///
    /// # Errors
    /// Something was not as it must be.
    pub(super) async fn go(&mut self) -> anyhow::Result<Agent> {
        let mut agent = self.identity().await?;
        self.subscribe(&mut agent).await?;
        let event_id = self.mail(&agent).await?;
        let (refused, read) = self.delivery(&event_id).await?;
        self.verify(&agent, &read)?;
        let text = self.text(&agent).await?;
        let log = self.log(&[&refused, &read, &text]).await?;
        self.replay(&agent, &log, &read).await?;
        Ok(agent)
    }

    fn called(&mut self, status: u16, path: &str, what: &str) -> anyhow::Result<()> {
        Ok(self.screen.good(&format!("POST /api/v1{path}  {status}  {what}"))?)
    }

    async fn identity(&mut self) -> anyhow::Result<Agent> {
        self.screen.step("Make an agent")?;
        let body = json!({"agent_handle": HANDLE, "display_name": "Scout"});
        let identity = self.api.post("/api/v1/identities/", Some(&body), 201).await?;
        let mailbox = text(&identity, "/mailbox/email_address")?;
        self.called(201, "/identities/", &format!("{HANDLE}, with the mailbox {mailbox}"))?;
        let body = json!({"agent_handle": HANDLE, "type": "local"});
        let number = self.api.post("/api/v1/phone/numbers", Some(&body), 201).await?;
        self.called(201, "/phone/numbers", &format!("the number {}", text(&number, "/number")?))?;
        self.screen.note("An agent is an identity: one mailbox, and a phone number if it needs one.")?;
        Ok(Agent {
            mailbox,
            key: SigningKey::new(""),
            mailbox_id: text(&identity, "/mailbox/id")?,
            number_id: text(&number, "/id")?,
        })
    }

    async fn subscribe(&mut self, agent: &mut Agent) -> anyhow::Result<()> {
        self.screen.step("Subscribe two URLs to what happens to it")?;
        let url = self.receiver.url(Hook::Mail);
        let body = json!({"mailbox_id": agent.mailbox_id, "url": url, "event_types": all_of(Channel::Mail)});
        let made = self.api.post("/api/v1/webhooks/subscriptions", Some(&body), 201).await?;
        agent.key = SigningKey::new(text(&made, "/signing_key")?);
        self.called(201, "/webhooks/subscriptions", &format!("message.* to {url}"))?;
        let url = self.receiver.url(Hook::Text);
        let body =
            json!({"phone_number_id": agent.number_id, "url": url, "event_types": all_of(Channel::Text)});
        let made = self.api.post("/api/v1/webhooks/subscriptions", Some(&body), 201).await?;
        ensure!(made["signing_key"].is_null(), "the signing key was shown a second time");
        self.called(201, "/webhooks/subscriptions", &format!("text.* to {url}"))?;
        let shown: String = agent.key.secret().chars().take(12).collect();
        self.screen.good(&format!("signing key {shown}…, read from the first answer"))?;
        self.screen.note("It signs everything of this agent. It is shown once and never again.")?;
        Ok(())
    }

    /// The id of the event that the mail became.
    async fn mail(&mut self, agent: &Agent) -> anyhow::Result<String> {
        self.screen.step("Write to the agent, over SMTP")?;
        let id = format!("demo-{}", self.clock.wall().0);
        let message = mail::compose(&agent.mailbox, &id);
        self.screen.text(&format!("      Subject: {}", mail::SUBJECT))?;
        self.screen.text("      text, HTML and an attachment, as a mail program sends them")?;
        let accepted = smtp::send(self.smtp, mail::FROM, &agent.mailbox, &message).await?;
        self.screen.good(&printable(&accepted, 90))?;
        self.screen
            .note("250 is said when the event and its deliveries are on disk. A crash loses nothing.")?;
        let id = accepted.rsplit(' ').next().unwrap_or_default();
        Ok(id.to_owned())
    }

    /// The request that the receiver refused, and the one that it took.
    async fn delivery(&mut self, event_id: &str) -> anyhow::Result<(Received, Received)> {
        self.screen.step("Deliver it: one failure, one retry")?;
        let refused = self.arrival(Hook::Mail, 500).await?;
        self.screen.meant(&format!(
            "attempt {}  POST {}  answered 500, on purpose",
            refused.attempt(),
            refused.hook.path()
        ))?;
        let read = self.arrival(Hook::Mail, 200).await?;
        let waited = read.at.since(refused.at).as_secs_f64();
        let attempt = read.attempt();
        self.screen.good(&format!("attempt {attempt}  POST /mail  answered 200, {waited:.1} s later"))?;
        ensure!(read.attempt() == "2", "the retry says that it is attempt {}", read.attempt());
        same("event id", event_id, refused.event_id())?;
        same("event id", event_id, read.event_id())?;
        same("request id", refused.request_id(), read.request_id())?;
        ensure!(refused.body == read.body, "the retry carried another body");
        self.screen.good(&format!("both carry {}", read.event_id()))?;
        self.screen.note(
            "The retry repeats ids and body, so a receiver that has seen the event knows it. Here it comes \
             after 1 s; a server's own schedule begins with 5 s and goes on for 28 hours.",
        )?;
        as_written(&read)?;
        self.screen.good("subject, sender, text and attachment are those of the mail")?;
        Ok((refused, read))
    }

    fn verify(&mut self, agent: &Agent, read: &Received) -> anyhow::Result<()> {
        self.screen.step("Verify what the receiver read")?;
        let judgement = judge(&agent.key, &read.headers, &read.body, self.clock.wall().unix_seconds());
        judgement.genuine()?;
        let bytes = read.body.len();
        self.screen.good(&format!("X-Inkbox-Signature  is the key's, over exactly these {bytes} bytes"))?;
        self.screen.good("webhook-signature   (Standard Webhooks) too")?;
        judgement.tamper_proof()?;
        self.screen.good("with one bit of the body flipped, both refuse")?;
        self.screen.note(
            "inkhook_wire::sign::verify_inkbox and verify_standard decided this; a receiver in Rust calls \
             the same functions, others the official SDK's.",
        )?;
        Ok(())
    }

    async fn text(&mut self, agent: &Agent) -> anyhow::Result<Received> {
        self.screen.step("Publish an event, over HTTP")?;
        let body = json!({
            "event_type": "text.received",
            "phone_number_id": agent.number_id,
            "data": {"text_message": {
                "direction": "inbound", "type": "sms", "text": TEXT,
                "remote_phone_number": TEXTER, "sender_phone_number": TEXTER,
            }},
        });
        let published = self.api.post("/api/v1/events", Some(&body), 202).await?;
        let id = text(&published, "/id")?;
        let deliveries = &published["deliveries"];
        self.called(202, "/events", &format!("{id}, {deliveries} delivery"))?;
        self.screen
            .note("202, too, is said when it is on disk. A carrier's system would publish like this.")?;
        let read = self.arrival(Hook::Text, 200).await?;
        same("event id", &id, read.event_id())?;
        let said: Envelope<TextData> = parse(&read)?;
        same("text", TEXT, said.data.text_message.text.as_deref().unwrap_or_default())?;
        self.screen.good(&format!("attempt {}  POST {}  answered 200", read.attempt(), read.hook.path()))?;
        self.judged(agent, &read)?;
        self.screen.good("both signatures verified, a tampered body refused")?;
        self.screen
            .note("Ids, numbers and times that the publisher left out were filled in by the server.")?;
        Ok(read)
    }

    /// The log's lines, newest first.
    async fn log(&mut self, arrived: &[&Received; ATTEMPTS]) -> anyhow::Result<Vec<Value>> {
        self.screen.step("Read the attempt log: GET /api/v1/webhooks/deliveries")?;
        let lines = self.settled().await?;
        self.screen.text("      event              attempt  status  duration  answer")?;
        for line in &lines {
            let (kind, answer) = (text(line, "/event_type")?, text(line, "/response_body")?);
            let [attempt, status, ms] =
                ["attempt", "response_status", "duration_ms"].map(|key| line[key].to_string());
            let row = format!("      {kind:<17}  {attempt:>7}  {status:>6}  {ms:>5} ms  ");
            self.screen.text(&format!("{row}{}", printable(&answer, 40)))?;
        }
        for arrival in arrived {
            let logged = |line: &&Value| {
                line["event_id"] == arrival.event_id() && line["response_status"] == arrival.answered
            };
            let line = lines.iter().find(logged).context("an attempt is missing in the log")?;
            let payload = text(line, "/request_payload")?;
            ensure!(payload.as_bytes() == arrival.body, "the log shows another body than was sent");
        }
        self.screen.good("every request that the receiver read is there, with its body, byte for byte")?;
        Ok(lines)
    }

    /// Asks until the last attempt has been written down: the receiver's answer comes before that.
    async fn settled(&self) -> anyhow::Result<Vec<Value>> {
        let mut tick = interval(LOOK_AGAIN);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let page = self.api.get("/api/v1/webhooks/deliveries").await?;
            let lines = page["deliveries"].as_array().context("the log is not a list")?;
            ensure!(lines.len() <= ATTEMPTS, "the log shows {} attempts, {ATTEMPTS} were made", lines.len());
            if lines.len() == ATTEMPTS {
                return Ok(lines.clone());
            }
        }
    }

    async fn replay(&mut self, agent: &Agent, log: &[Value], first: &Received) -> anyhow::Result<()> {
        self.screen.step("Replay the mail")?;
        let line = log.iter().find(|line| line["event_id"] == first.event_id());
        let id = text(line.context("the mail is not in the log")?, "/id")?;
        let path = format!("/api/v1/webhooks/deliveries/{id}/replay");
        let (answer, read) = tokio::join!(self.api.post(&path, None, 201), self.receiver.next());
        let (answer, read) = (answer?, read?);
        ensure!(answer["is_replay"] == true, "the new line of the log is not a replay");
        ensure!(answer["response_status"] == 200, "the replay was answered {}", answer["response_status"]);
        same("event id", first.event_id(), read.event_id())?;
        ensure!(first.request_id() != read.request_id(), "the replay carried the old request id");
        ensure!(first.body == read.body, "the replay carried another body");
        self.called(201, "/webhooks/deliveries/…/replay", "the receiver took it")?;
        self.screen.good(&format!("the same {}", read.event_id()))?;
        self.screen.good(&format!("a fresh  {}", read.request_id()))?;
        self.judged(agent, &read)?;
        self.screen.good("signed anew: both signatures verified, a tampered body refused")?;
        Ok(())
    }

    fn judged(&self, agent: &Agent, read: &Received) -> anyhow::Result<()> {
        let now = self.clock.wall().unix_seconds();
        let judgement = judge(&agent.key, &read.headers, &read.body, now);
        judgement.genuine()?;
        judgement.tamper_proof()
    }

    /// The next request, which must be this one.
    async fn arrival(&mut self, hook: Hook, answered: u16) -> anyhow::Result<Received> {
        let read = self.receiver.next().await?;
        ensure!(
            read.hook == hook && read.answered == answered,
            "expected a request to {} to be answered {answered}; {} was answered {}",
            hook.path(),
            read.hook.path(),
            read.answered
        );
        Ok(read)
    }
}

/// One line about something that arrived after the walk.
///
/// # Errors
/// The screen is gone.
pub(super) fn watch(
    screen: &mut Screen,
    agent: &Agent,
    read: &Received,
    clock: &Clock,
) -> anyhow::Result<()> {
    let judgement = judge(&agent.key, &read.headers, &read.body, clock.wall().unix_seconds());
    let about: Value = serde_json::from_slice(&read.body).unwrap_or_default();
    let gist = ["/data/message/subject", "/data/text_message/text"];
    let gist = gist.iter().find_map(|place| about.pointer(place)?.as_str()).unwrap_or_default();
    let kind = about["event_type"].as_str().unwrap_or("(unknown)");
    let line = format!("{}  \"{}\"", printable(kind, SHOWN), printable(gist, SHOWN));
    match judgement.genuine() {
        Ok(()) => screen.good(&format!("{line}  verified"))?,
        Err(error) => screen.bad(&format!("{line}  {error:#}"))?,
    }
    Ok(())
}

/// Every type of a channel that can be subscribed to.
fn all_of(channel: Channel) -> Vec<EventType> {
    EventType::SUBSCRIBABLE.iter().copied().filter(|event_type| event_type.channel() == channel).collect()
}

/// The event says what the mail said.
fn as_written(read: &Received) -> anyhow::Result<()> {
    let said: Envelope<MailData> = parse(read)?;
    let message = &said.data.message;
    same("subject", mail::SUBJECT, message.subject.as_deref().unwrap_or_default())?;
    same("sender", mail::FROM, &message.from_address)?;
    ensure!(message.has_attachments, "the attachment was not noticed");
    let body = message.body.as_deref().unwrap_or_default();
    ensure!(body.contains(mail::SENTENCE), "the text of the mail is not in the body");
    Ok(())
}

fn parse<D: DeserializeOwned>(read: &Received) -> anyhow::Result<Envelope<D>> {
    serde_json::from_slice(&read.body).context("the body is not in the catalogue's shape")
}

fn text(answer: &Value, place: &str) -> anyhow::Result<String> {
    let found = answer.pointer(place).and_then(Value::as_str);
    Ok(found.with_context(|| format!("the answer has no {place}"))?.to_owned())
}

fn same(what: &str, expected: &str, found: &str) -> anyhow::Result<()> {
    ensure!(expected == found, "the {what} is '{}' instead of '{expected}'", printable(found, 200));
    Ok(())
}
