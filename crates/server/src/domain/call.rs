//! A call that is coming in: who decides it, and what becomes of it.
//!
//! A number's own rule decides, or a URL is asked. Whatever goes wrong with asking, the call is decided all the
//! same, in time, by the number's default action, and the decision says what went wrong.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use inkhook_wire::id::{IdentityId, PhoneNumberId, RequestId};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::contact::KnownContact;
use super::identity::{CallAction, DefaultAction, IncomingCall};
use super::number::OrganizationNo;
use super::owner::KnownAgent;
use super::phone_number::is_websocket_url;
use super::signing::Signer;

/// How long all the asking may take, unless the number says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// Milliseconds that a number may give for it: half a second to 15 s.
pub const TIMEOUT_MS: (u32, u32) = (500, 15_000);
/// What is left when less than this is left is not worth asking in.
pub const LEAST_TIME: Duration = Duration::from_millis(50);
/// The caller of a call that withholds its number.
pub const ANONYMOUS: &str = "anonymous";

/// How many calls may be asked about at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// In all.
    pub total: usize,
    /// Of one organisation, in parts of a hundred; at least one.
    pub organization_percent: usize,
    /// Calls that were decided and are not in the log yet; one more, and it stays out of it.
    pub unwritten: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { total: 256, organization_percent: 50, unwritten: 10_000 }
    }
}

impl Bounds {
    /// Of one organisation.
    #[must_use]
    pub fn of_one(self) -> usize {
        (self.total * self.organization_percent / 100).max(1)
    }
}

/// A call, as whoever carries it knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its id; the same for every question about it.
    pub id: Uuid,
    /// Who calls: E.164, or [`ANONYMOUS`].
    pub remote: String,
}

/// The number that is called, with all that deciding needs.
#[derive(Debug, Clone)]
pub struct Callee {
    /// Whose it is.
    pub organization: OrganizationNo,
    /// Its id.
    pub number_id: PhoneNumberId,
    /// The number, E.164.
    pub number: String,
    /// The agent that has it.
    pub identity: IdentityId,
    /// What it says of its calls.
    pub rule: IncomingCall,
    /// Signs what is asked. Without one nothing is asked.
    pub signer: Option<Arc<Signer>>,
    /// The caller, when that is an agent of the same organisation.
    pub agent: Option<KnownAgent>,
    /// The caller, when that is one of its contacts.
    pub contact: Option<Arc<KnownContact>>,
}

/// A change of what a number says of its calls; `None` keeps what is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleChange {
    /// The rule.
    pub action: Option<CallAction>,
    /// Where an accepted call's media goes.
    pub client_websocket_url: Option<Option<String>>,
    /// Who is asked.
    pub webhook_url: Option<Option<String>>,
    /// Who is asked next.
    pub fallback_url: Option<Option<String>>,
    /// What becomes of a call when nobody gave a usable answer.
    pub default_action: Option<DefaultAction>,
    /// How long all the asking may take.
    pub timeout_ms: Option<Option<u32>>,
}

impl RuleChange {
    /// The rule after the change.
    #[must_use]
    pub fn applied(&self, before: IncomingCall) -> IncomingCall {
        let text = |new: &Option<Option<String>>, old: Option<String>| new.clone().unwrap_or(old);
        IncomingCall {
            action: self.action.unwrap_or(before.action),
            client_websocket_url: text(&self.client_websocket_url, before.client_websocket_url),
            webhook_url: text(&self.webhook_url, before.webhook_url),
            fallback_url: text(&self.fallback_url, before.fallback_url),
            default_action: self.default_action.unwrap_or(before.default_action),
            timeout_ms: self.timeout_ms.unwrap_or(before.timeout_ms),
        }
    }
}

/// One request that asks what becomes of a call.
#[derive(Debug, Clone)]
pub struct Question {
    /// Whose call it is.
    pub organization: OrganizationNo,
    /// Who is asked.
    pub url: String,
    /// Signs it.
    pub signer: Arc<Signer>,
    /// The call.
    pub call_id: Uuid,
    /// This question alone: whoever keeps request ids to know repeats by does not take the second for one.
    pub request_id: RequestId,
    /// The body.
    pub body: Bytes,
    /// 1 for the first who is asked, 2 for the second.
    pub attempt_no: u32,
    /// The first may have received it.
    pub maybe_received: bool,
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Which call.
    pub call_id: Uuid,
    /// What becomes of it, by whom and why.
    pub ruling: Ruling,
}

/// A decision, whatever call it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// What becomes of the call.
    pub verdict: Verdict,
    /// Whose word it is.
    pub decided_by: DecidedBy,
    /// Why those before had none, or why it is declined although nobody said so.
    pub reason: Option<Reason>,
}

/// Taken or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Taken; its media goes to this WebSocket.
    Answer(Arc<str>),
    /// Declined.
    Reject,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word for programs.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

words! {
    /// Whose word a decision is.
    DecidedBy {
        /// The number's rule.
        AutoAccept = "auto_accept",
        /// The number's rule.
        AutoReject = "auto_reject",
        /// The number's rule, which is not possible here.
        HostedAgent = "hosted_agent",
        /// The number's rule, which is not possible here.
        Forward = "forward",
        /// Who was asked.
        Webhook = "webhook",
        /// Who was asked when the first gave no usable answer.
        Fallback = "fallback",
        /// Nobody: what the number says for that case.
        DefaultAction = "default_action",
    }
}

words! {
    /// Why somebody had no say in a decision.
    Reason {
        /// No whole answer in time.
        Timeout = "timeout",
        /// No connection, or it broke.
        Unreachable = "unreachable",
        /// The URL or its address is not one that may be reached.
        NotAllowed = "not_allowed",
        /// The answer sends us elsewhere, and redirects are not followed.
        Redirect = "redirect",
        /// Another status than 200.
        Status = "status",
        /// The answer is longer than what is read of one.
        TooLarge = "too_large",
        /// The answer is no JSON object.
        InvalidBody = "invalid_body",
        /// The answer says neither answer nor reject.
        InvalidAction = "invalid_action",
        /// The answer names a WebSocket that is no wss:// URL.
        InvalidWebsocketUrl = "invalid_websocket_url",
        /// Answered, but neither the answer nor the number names a WebSocket.
        NoWebsocketUrl = "no_websocket_url",
        /// There is no key to sign the question with.
        NoSigningKey = "no_signing_key",
        /// This server cannot do what the number's rule says.
        NotSupportedHere = "not_supported_here",
        /// The server was told to stop at once.
        Stopping = "stopping",
    }
}

impl Reason {
    /// What the log says of an answer that came and was of no use.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Status => "not used: only an answer with status 200 decides a call",
            Self::TooLarge => "not used: the answer is too long",
            Self::InvalidBody => "not used: the answer is not a JSON object",
            Self::InvalidAction => "not used: \"action\" must be \"answer\" or \"reject\"",
            Self::InvalidWebsocketUrl => "not used: \"client_websocket_url\" must be a wss:// URL",
            Self::NoWebsocketUrl => {
                "not used: to be answered, a call needs a client_websocket_url in the answer or on the number"
            }
            _ => "not used",
        }
    }
}

/// An answer that came from whoever was asked.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// Its status.
    pub status: u16,
    /// What was read of its body.
    pub body: &'a [u8],
    /// The body ended, and was not cut.
    pub is_whole: bool,
}

/// What a number's rule alone makes of a call; `None` when somebody is to be asked.
#[must_use]
pub fn by_rule(rule: &IncomingCall) -> Option<Ruling> {
    let own = own_websocket(rule);
    let (verdict, decided_by, reason) = match (rule.action, own) {
        (CallAction::Webhook, _) => return None,
        (CallAction::AutoAccept, Some(own)) => (Verdict::Answer(own), DecidedBy::AutoAccept, None),
        (CallAction::AutoAccept, None) => {
            (Verdict::Reject, DecidedBy::AutoAccept, Some(Reason::NoWebsocketUrl))
        }
        (CallAction::AutoReject, _) => (Verdict::Reject, DecidedBy::AutoReject, None),
        (CallAction::HostedAgent, _) => {
            (Verdict::Reject, DecidedBy::HostedAgent, Some(Reason::NotSupportedHere))
        }
        (CallAction::Forward, _) => (Verdict::Reject, DecidedBy::Forward, Some(Reason::NotSupportedHere)),
    };
    Some(Ruling { verdict, decided_by, reason })
}

/// What becomes of a call when nobody who was asked gave a usable answer.
#[must_use]
pub fn by_default(rule: &IncomingCall, reason: Reason) -> Ruling {
    let verdict = match (rule.default_action, own_websocket(rule)) {
        (DefaultAction::Answer, Some(own)) => Verdict::Answer(own),
        (DefaultAction::Answer, None) | (DefaultAction::Reject, _) => Verdict::Reject,
    };
    Ruling { verdict, decided_by: DecidedBy::DefaultAction, reason: Some(reason) }
}

/// How long the asking may take in all.
#[must_use]
pub fn time(rule: &IncomingCall) -> Duration {
    rule.timeout_ms.map_or(TIMEOUT, |ms| Duration::from_millis(ms.into()))
}

/// How much of the time that is left the next question may take: all of it, or half when another can follow.
#[must_use]
pub fn share(left: Duration, another_follows: bool) -> Duration {
    if another_follows { left / 2 } else { left }
}

/// What an answer says.
///
/// # Errors
/// It is of no use, and why.
pub fn read_answer(answered: Answered<'_>, rule: &IncomingCall) -> Result<Verdict, Reason> {
    match answered.status {
        200 => {}
        300..=399 => return Err(Reason::Redirect),
        _ => return Err(Reason::Status),
    }
    if !answered.is_whole {
        return Err(Reason::TooLarge);
    }
    let fields: Map<String, Value> =
        serde_json::from_slice(answered.body).map_err(|_| Reason::InvalidBody)?;
    match fields.get("action").and_then(Value::as_str) {
        Some("answer") => {
            let named = named_websocket(&fields)?;
            named.or_else(|| own_websocket(rule)).map(Verdict::Answer).ok_or(Reason::NoWebsocketUrl)
        }
        Some("reject") => Ok(Verdict::Reject),
        _ => Err(Reason::InvalidAction),
    }
}

/// The WebSocket that an answer names. One official plugin writes the key in camel case.
fn named_websocket(fields: &Map<String, Value>) -> Result<Option<Arc<str>>, Reason> {
    let keys = ["client_websocket_url", "clientWebsocketUrl"];
    let named = keys.iter().filter_map(|key| fields.get(*key)).find(|value| !value.is_null());
    match named {
        None => Ok(None),
        Some(Value::String(url)) if is_websocket_url(url) => Ok(Some(url.as_str().into())),
        Some(_) => Err(Reason::InvalidWebsocketUrl),
    }
}

fn own_websocket(rule: &IncomingCall) -> Option<Arc<str>> {
    rule.client_websocket_url.as_deref().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "wss://own.client.test/media";

    fn rule(own: Option<&str>) -> IncomingCall {
        IncomingCall {
            action: CallAction::Webhook,
            client_websocket_url: own.map(Into::into),
            ..IncomingCall::default()
        }
    }

    fn read(status: u16, body: &str, own: Option<&str>) -> Result<Verdict, Reason> {
        read_answer(Answered { status, body: body.as_bytes(), is_whole: true }, &rule(own))
    }

    fn answer(url: &str) -> Verdict {
        Verdict::Answer(url.into())
    }

    #[test]
    fn an_answer_names_a_websocket_or_the_number_does() {
        let other = r#"{"action":"answer","client_websocket_url":"wss://other.test/x"}"#;
        assert_eq!(read(200, other, Some(OWN)), Ok(answer("wss://other.test/x")));
        assert_eq!(read(200, other, None), Ok(answer("wss://other.test/x")));
        let camel = r#"{"action":"answer","clientWebsocketUrl":"wss://other.test/x"}"#;
        assert_eq!(read(200, camel, Some(OWN)), Ok(answer("wss://other.test/x")));
        let both = r#"{"action":"answer","clientWebsocketUrl":"wss://b.test","client_websocket_url":"wss://a.test"}"#;
        assert_eq!(read(200, both, None), Ok(answer("wss://a.test")));
        for silent in [r#"{"action":"answer"}"#, r#"{"action":"answer","client_websocket_url":null}"#] {
            assert_eq!(read(200, silent, Some(OWN)), Ok(answer(OWN)));
            assert_eq!(read(200, silent, None), Err(Reason::NoWebsocketUrl));
        }
        assert_eq!(read(200, r#" {"action":"reject","more":[1]} "#, Some(OWN)), Ok(Verdict::Reject));
    }

    #[test]
    fn anything_else_is_of_no_use_and_says_why() {
        let good = r#"{"action":"reject"}"#;
        for status in [100, 101, 199, 201, 204, 299, 400, 404, 410, 429, 500, 503] {
            assert_eq!(read(status, good, None), Err(Reason::Status), "{status}");
        }
        for status in [300, 301, 302, 307, 399] {
            assert_eq!(read(status, good, None), Err(Reason::Redirect), "{status}");
        }
        for body in
            ["", "ok", "[]", "\"reject\"", "null", r#"{"action":"reject""#, r#"{"action":"reject"} x"#]
        {
            assert_eq!(read(200, body, None), Err(Reason::InvalidBody), "{body}");
        }
        for body in [r#"{"ok":true}"#, r#"{"action":"ignore"}"#, r#"{"action":"Answer"}"#, r#"{"action":1}"#]
        {
            assert_eq!(read(200, body, Some(OWN)), Err(Reason::InvalidAction), "{body}");
        }
        let long = format!("\"wss://a.test/{}\"", "x".repeat(2_048));
        for url in ["\"ws://a.test\"", "\"https://a.test\"", "\"wss://\"", "5", "\"wss://a b.test\"", &long] {
            let body = format!(r#"{{"action":"answer","client_websocket_url":{url}}}"#);
            assert_eq!(read(200, &body, Some(OWN)), Err(Reason::InvalidWebsocketUrl), "{url}");
        }
        let cut = Answered { status: 200, body: good.as_bytes(), is_whole: false };
        assert_eq!(read_answer(cut, &rule(None)), Err(Reason::TooLarge));
    }

    #[test]
    fn a_rule_decides_alone_unless_it_says_to_ask() {
        let of = |action, own| by_rule(&IncomingCall { action, ..rule(own) });
        assert_eq!(of(CallAction::Webhook, Some(OWN)), None);
        let accepted = of(CallAction::AutoAccept, Some(OWN)).expect("decided");
        assert_eq!((accepted.verdict, accepted.reason), (Verdict::Answer(OWN.into()), None));
        for (action, reason) in [
            (CallAction::AutoReject, None),
            (CallAction::AutoAccept, Some(Reason::NoWebsocketUrl)),
            (CallAction::HostedAgent, Some(Reason::NotSupportedHere)),
            (CallAction::Forward, Some(Reason::NotSupportedHere)),
        ] {
            let ruling = of(action, None).expect("decided");
            assert_eq!((ruling.verdict, ruling.reason), (Verdict::Reject, reason));
            assert_eq!(ruling.decided_by.name(), action.name());
        }
    }

    #[test]
    fn the_default_answers_only_with_a_websocket() {
        let answers = |own| IncomingCall { default_action: DefaultAction::Answer, ..rule(own) };
        assert_eq!(by_default(&rule(Some(OWN)), Reason::Timeout).verdict, Verdict::Reject);
        assert_eq!(by_default(&answers(None), Reason::Timeout).verdict, Verdict::Reject);
        let ruling = by_default(&answers(Some(OWN)), Reason::Status);
        assert_eq!(ruling.verdict, Verdict::Answer(OWN.into()));
        assert_eq!((ruling.decided_by, ruling.reason), (DecidedBy::DefaultAction, Some(Reason::Status)));
    }

    #[test]
    fn the_first_leaves_half_of_the_time_to_a_second() {
        assert_eq!(time(&rule(None)), TIMEOUT);
        assert_eq!(time(&IncomingCall { timeout_ms: Some(500), ..rule(None) }), Duration::from_millis(500));
        assert_eq!(share(TIMEOUT, true), TIMEOUT / 2);
        assert_eq!(share(TIMEOUT, false), TIMEOUT);
    }
}
