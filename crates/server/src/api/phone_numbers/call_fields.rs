//! What can be said of incoming calls, by whichever route.

use inkhook_egress::Policy;

use crate::api::body::Patch;
use crate::api::error::{ApiError, quote};
use crate::api::known;
use crate::domain::call::{RuleChange, TIMEOUT_MS};
use crate::domain::identity::{CallAction, DefaultAction, Settings};
use crate::domain::phone_number;

/// Characters of a URL at most.
const URL_CHARS: usize = 2_048;

/// The fields as they were given.
#[derive(Debug)]
pub(in crate::api) struct CallFields {
    pub(in crate::api) action: Option<CallAction>,
    pub(in crate::api) client_websocket_url: Patch<String>,
    pub(in crate::api) webhook_url: Patch<String>,
    pub(in crate::api) fallback_url: Patch<String>,
    pub(in crate::api) default_action: Patch<DefaultAction>,
    pub(in crate::api) timeout_ms: Patch<u32>,
    pub(in crate::api) forwarding_target_type: Patch<String>,
    pub(in crate::api) forwarding_phone_number: Patch<String>,
    pub(in crate::api) forwarding_sip_uri: Patch<String>,
}

impl CallFields {
    /// The change, and the settings beside it; `place` is where the fields stand in the body.
    pub(in crate::api) fn checked(
        self,
        place: &[&str],
        policy: &Policy,
    ) -> Result<(RuleChange, Settings), ApiError> {
        let field = |name| [place, &[name]].concat();
        if let Patch::Set(url) = &self.client_websocket_url {
            check_websocket(&field("client_websocket_url"), url)?;
        }
        if let Patch::Set(url) = &self.webhook_url {
            check_webhook(&field("incoming_call_webhook_url"), url, policy)?;
        }
        if let Patch::Set(url) = &self.fallback_url {
            check_webhook(&field("incoming_call_fallback_url"), url, policy)?;
        }
        let (least, most) = TIMEOUT_MS;
        if let Patch::Set(ms) = &self.timeout_ms
            && !(least..=most).contains(ms)
        {
            let msg = format!("{ms} is not between {least} and {most}");
            return Err(known::at(&field("incoming_call_timeout_ms"), msg, "invalid"));
        }
        let change = RuleChange {
            action: self.action,
            client_websocket_url: self.client_websocket_url.into(),
            webhook_url: self.webhook_url.into(),
            fallback_url: self.fallback_url.into(),
            default_action: match self.default_action {
                Patch::Keep => None,
                Patch::Clear => Some(DefaultAction::Reject),
                Patch::Set(action) => Some(action),
            },
            timeout_ms: self.timeout_ms.into(),
        };
        let settings = forwarding(
            place,
            self.forwarding_target_type,
            self.forwarding_phone_number,
            self.forwarding_sip_uri,
        )?;
        Ok((change, settings))
    }
}

fn check_websocket(path: &[&str], text: &str) -> Result<(), ApiError> {
    known::column_text(path, text, URL_CHARS)?;
    if phone_number::is_websocket_url(text) {
        Ok(())
    } else {
        Err(known::at(path, "must be a wss:// URL", "invalid"))
    }
}

fn check_webhook(path: &[&str], text: &str, policy: &Policy) -> Result<(), ApiError> {
    known::column_text(path, text, URL_CHARS)?;
    policy.check_url(text).map_err(|error| known::at(path, error.to_string(), "invalid"))?;
    Ok(())
}

fn forwarding(
    place: &[&str],
    target_type: Patch<String>,
    phone: Patch<String>,
    sip: Patch<String>,
) -> Result<Settings, ApiError> {
    let field = |name| [place, &[name]].concat();
    if let Patch::Set(kind) = &target_type
        && !["phone", "sip"].contains(&kind.as_str())
    {
        let msg = format!("{} is neither phone nor sip", quote(kind));
        return Err(known::at(&field("forwarding_target_type"), msg, "invalid"));
    }
    for (name, text) in [("forwarding_phone_number", &phone), ("forwarding_sip_uri", &sip)] {
        if let Patch::Set(text) = text {
            known::at_most(&field(name), text, URL_CHARS)?;
        }
    }
    let mut settings = Settings::new();
    known::set(&mut settings, "forwarding_target_type", target_type);
    known::set(&mut settings, "forwarding_phone_number", phone);
    known::set(&mut settings, "forwarding_sip_uri", sip);
    Ok(settings)
}
