//! `[smtp]`: mail that comes in.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Problem, require};

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Smtp {
    /// Where mail is taken, or `off`.
    pub listen: String,
    /// The domain of the mailboxes that are made here.
    pub mail_domain: String,
    /// Bytes of one mail at most.
    pub max_message_bytes: usize,
}

/// The value of `listen` that turns the listener off.
const OFF: &str = "off";
/// Mail of this size is what people send; more is what file servers are for.
const DEFAULT_MESSAGE_BYTES: usize = 25 * 1024 * 1024;
/// All mails in memory together may have 64 MiB, so one cannot have more.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

impl Default for Smtp {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:2525".into(),
            mail_domain: "mail.localhost".into(),
            max_message_bytes: DEFAULT_MESSAGE_BYTES,
        }
    }
}

impl Smtp {
    /// Where to listen; `None` when mail is off. Valid after validation.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }

    pub(super) fn validate(&self, problems: &mut Vec<Problem>) {
        require(
            problems,
            self.listen == OFF || self.listen.parse::<SocketAddr>().is_ok(),
            "smtp.listen",
            format!("'{}' is neither an address like 127.0.0.1:2525 nor off", self.listen),
        );
        require(
            problems,
            is_domain(&self.mail_domain),
            "smtp.mail_domain",
            format!("'{}' is not a domain name in lower case", self.mail_domain),
        );
        require(
            problems,
            (1024..=MAX_MESSAGE_BYTES).contains(&self.max_message_bytes),
            "smtp.max_message_bytes",
            format!("{} is not between 1024 and {MAX_MESSAGE_BYTES}", self.max_message_bytes),
        );
    }
}

fn is_domain(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    name.len() <= 253 && name.contains('.') && name.split('.').all(label)
}
