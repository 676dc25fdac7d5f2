//! Phone numbers: which ones are free to take, and what their settings must have.
//!
//! The North American plan sets 555-0100 to 555-0199 of each area code aside for fiction, so that range can
//! be given out without taking anybody's number.

use super::identity::{CallAction, DefaultAction, IncomingCall, NumberKind};

/// Digits of an E.164 number at most.
const E164_DIGITS: usize = 15;
/// Digits that a number has at least.
const LEAST_DIGITS: usize = 7;
/// Bytes of the URL of a WebSocket at most.
const WEBSOCKET_BYTES: usize = 2_048;
/// Area codes of toll-free numbers.
const TOLL_FREE: [u16; 7] = [800, 833, 844, 855, 866, 877, 888];

/// A North American area code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AreaCode(u16);

impl AreaCode {
    /// Numbers of each that are free to take.
    pub const NUMBERS: u8 = 100;

    /// The area codes in which to look for a number.
    #[must_use]
    pub fn of(kind: NumberKind, state: Option<&str>) -> Vec<Self> {
        match (kind, state) {
            (NumberKind::TollFree, _) => TOLL_FREE.map(Self).to_vec(),
            (NumberKind::Local, Some(state)) => of_state(state).iter().copied().map(Self).collect(),
            (NumberKind::Local, None) => {
                STATES.iter().flat_map(|(_, codes)| *codes).copied().map(Self).collect()
            }
        }
    }

    /// The `n`th number that is free to take.
    #[must_use]
    pub fn number(self, n: u8) -> String {
        format!("+1{}55501{n:02}", self.0)
    }
}

/// Whether there are numbers of this US state.
#[must_use]
pub fn is_state(state: &str) -> bool {
    !of_state(state).is_empty()
}

fn of_state(state: &str) -> &'static [u16] {
    STATES.iter().find(|(name, _)| *name == state).map_or(&[], |(_, codes)| *codes)
}

/// Whether a text is a number in the form `+` and 7 to 15 digits, the first not 0.
#[must_use]
pub fn is_e164(number: &str) -> bool {
    number.strip_prefix('+').is_some_and(|digits| {
        (LEAST_DIGITS..=E164_DIGITS).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

/// Whether a number is in the range that anybody may take.
#[must_use]
pub fn is_free_to_take(number: &str) -> bool {
    let Some(national) = number.strip_prefix("+1").filter(|national| national.len() == 10) else {
        return false;
    };
    let bytes = national.as_bytes();
    bytes.iter().all(u8::is_ascii_digit)
        && matches!(bytes[0], b'2'..=b'9')
        && bytes[1..3] != *b"11"
        && bytes[3..8] == *b"55501"
}

/// Whether a text is a URL to which a call's media can go.
#[must_use]
pub fn is_websocket_url(text: &str) -> bool {
    let is_plain = text.len() <= WEBSOCKET_BYTES && !text.contains(|c: char| c.is_control() || c == ' ');
    is_plain && url::Url::parse(text).is_ok_and(|url| url.scheme() == "wss" && url.has_host())
}

/// What a rule for incoming calls lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// Accepting needs a WebSocket.
    #[error("auto_accept needs a wss:// URL here")]
    ClientWebsocketUrl,
    /// Asking needs somebody to ask.
    #[error("webhook needs a URL here")]
    WebhookUrl,
    /// So does accepting when nobody has decided.
    #[error("needs a wss:// URL in client_websocket_url for calls that are answered")]
    DefaultAction,
}

impl Incomplete {
    /// The field of the API that has to be given.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::ClientWebsocketUrl => "client_websocket_url",
            Self::WebhookUrl => "incoming_call_webhook_url",
            Self::DefaultAction => "incoming_call_default_action",
        }
    }
}

/// Whether a rule for incoming calls has what it needs.
///
/// # Errors
/// It does not.
pub fn check(call: &IncomingCall) -> Result<(), Incomplete> {
    let has_websocket = call.client_websocket_url.as_deref().is_some_and(is_websocket_url);
    match (call.action, call.default_action) {
        (CallAction::AutoAccept, _) if !has_websocket => Err(Incomplete::ClientWebsocketUrl),
        (CallAction::Webhook, _) if call.webhook_url.is_none() => Err(Incomplete::WebhookUrl),
        (_, DefaultAction::Answer) if !has_websocket => Err(Incomplete::DefaultAction),
        _ => Ok(()),
    }
}

/// A few area codes of each US state and of the District of Columbia: enough to choose from.
#[rustfmt::skip]
const STATES: [(&str, &[u16]); 51] = [
    ("AK", &[907]), ("AL", &[205, 251, 256, 334]), ("AR", &[479, 501, 870]), ("AZ", &[480, 520, 602, 623]),
    ("CA", &[213, 310, 408, 415, 510, 619]), ("CO", &[303, 719, 970]), ("CT", &[203, 860]), ("DC", &[202]),
    ("DE", &[302]), ("FL", &[305, 407, 561, 813, 904]), ("GA", &[404, 706, 770, 912]), ("HI", &[808]),
    ("IA", &[319, 515, 563, 641]), ("ID", &[208]), ("IL", &[217, 309, 312, 618, 708]),
    ("IN", &[219, 260, 317, 765, 812]), ("KS", &[316, 620, 785, 913]), ("KY", &[270, 502, 606, 859]),
    ("LA", &[225, 318, 337, 504]), ("MA", &[413, 508, 617, 781, 978]), ("MD", &[301, 410]), ("ME", &[207]),
    ("MI", &[231, 248, 313, 517, 616]), ("MN", &[218, 320, 507, 612, 651]), ("MO", &[314, 417, 573, 816]),
    ("MS", &[228, 601, 662]), ("MT", &[406]), ("NC", &[252, 336, 704, 910, 919]), ("ND", &[701]),
    ("NE", &[308, 402]), ("NH", &[603]), ("NJ", &[201, 609, 732, 856, 908]), ("NM", &[505, 575]),
    ("NV", &[702, 775]), ("NY", &[212, 315, 518, 607, 716]), ("OH", &[216, 330, 419, 513, 614]),
    ("OK", &[405, 580, 918]), ("OR", &[503, 541]), ("PA", &[215, 412, 570, 610, 717]), ("RI", &[401]),
    ("SC", &[803, 843, 864]), ("SD", &[605]), ("TN", &[423, 615, 731, 865, 901]),
    ("TX", &[210, 214, 281, 512, 713]), ("UT", &[435, 801]), ("VA", &[276, 434, 540, 703, 804]),
    ("VT", &[802]), ("WA", &[206, 253, 360, 425, 509]), ("WI", &[262, 414, 608, 715]), ("WV", &[304]),
    ("WY", &[307]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_that_is_given_out_is_free_to_take() {
        let all = AreaCode::of(NumberKind::Local, None).into_iter();
        for code in all.chain(AreaCode::of(NumberKind::TollFree, None)) {
            for n in [0, AreaCode::NUMBERS - 1] {
                assert!(is_free_to_take(&code.number(n)), "{}", code.number(n));
                assert!(is_e164(&code.number(n)));
            }
        }
        assert_eq!(AreaCode::of(NumberKind::Local, Some("WY")), [AreaCode(307)]);
        assert_eq!(AreaCode(307).number(7), "+13075550107");
        assert!(is_state("NY") && !is_state("XX"));
    }

    #[test]
    fn other_numbers_are_not() {
        for number in [
            "+13075550200",
            "+13075560100",
            "+11115550100",
            "+12115550100",
            "+1307555010",
            "+130755501000",
            "13075550100",
            "+443075550100",
            "+1307555010x",
            "",
        ] {
            assert!(!is_free_to_take(number), "{number}");
        }
        for number in ["+4930123456", "+13075550100", "+1234567"] {
            assert!(is_e164(number), "{number}");
        }
        for number in ["+0123456789", "+123456", "+1234567890123456", "4930123456", "+49 30 123456", "+"] {
            assert!(!is_e164(number), "{number}");
        }
    }

    #[test]
    fn media_goes_to_wss_urls_only() {
        for url in ["wss://a.test", "wss://a.test:8443/x?y=1", "WSS://a.test/"] {
            assert!(is_websocket_url(url), "{url}");
        }
        let long = format!("wss://a.test/{}", "x".repeat(WEBSOCKET_BYTES - 13));
        assert!(is_websocket_url(&long));
        let longer = format!("{long}x");
        for url in ["", "wss://", "ws://a.test", "https://a.test", "wss://a.\ttest", "wss://a.test ", &longer]
        {
            assert!(!is_websocket_url(url), "{url}");
        }
    }

    #[test]
    fn a_rule_needs_its_url() {
        let call = |action, websocket: Option<&str>, webhook: Option<&str>| IncomingCall {
            action,
            client_websocket_url: websocket.map(Into::into),
            webhook_url: webhook.map(Into::into),
            ..IncomingCall::default()
        };
        assert_eq!(check(&call(CallAction::AutoReject, None, None)), Ok(()));
        let lacks = Err(Incomplete::ClientWebsocketUrl);
        assert_eq!(check(&call(CallAction::AutoAccept, None, None)), lacks);
        assert_eq!(check(&call(CallAction::AutoAccept, Some("ws://a.test"), None)), lacks);
        assert_eq!(check(&call(CallAction::AutoAccept, Some("wss://a.test"), None)), Ok(()));
        assert_eq!(check(&call(CallAction::Webhook, None, None)), Err(Incomplete::WebhookUrl));
        assert_eq!(check(&call(CallAction::Webhook, None, Some("https://a.test"))), Ok(()));
        let answers = |call| IncomingCall { default_action: DefaultAction::Answer, ..call };
        let rejects = call(CallAction::AutoReject, None, None);
        assert_eq!(check(&answers(rejects)), Err(Incomplete::DefaultAction));
        assert_eq!(check(&answers(call(CallAction::AutoReject, Some("wss://a.test"), None))), Ok(()));
    }
}
