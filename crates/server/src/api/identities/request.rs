//! What may be asked about an identity.

use inkhook_egress::Policy;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::api::body::Patch;
use crate::api::error::ApiError;
use crate::api::known::{self, Given};
use crate::api::phone_numbers::NestedBody;
use crate::domain::identity::{FilterMode, IdentityStatus, Settings};
use crate::domain::names;
use crate::domain::number::OrganizationNo;
use crate::store::identities::{IdentityChange, NewIdentity};

/// Characters of a display name at most.
const DISPLAY_NAME_CHARS: usize = 255;
/// Characters of a description at most.
const DESCRIPTION_CHARS: usize = 2_000;

/// An identity to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    /// ASCII letters and digits, and between them single `.`, `-` and `_`; at most 63; with or without a
    /// leading `@`. Unique on the server.
    agent_handle: String,
    /// The handle when left out.
    display_name: Option<String>,
    description: Option<String>,
    imessage_enabled: Option<bool>,
    contact_sharing_enabled: Option<bool>,
    mailbox: Option<MailboxOptions>,
    phone_number: Option<NestedBody>,
    /// Not supported here.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    tunnel: Given,
    /// Not supported here.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    vault_secret_ids: Given,
    /// Not supported here.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    claim_imessage_number: Given,
    /// Not supported here.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    imessage_number_type: Given,
}

/// Its mailbox.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MailboxOptions {
    /// The part before the `@`; the handle when left out.
    email_local_part: Option<String>,
    /// This server's domain, or null.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    sending_domain: Given,
}

impl CreateBody {
    pub(super) fn names_its_address(&self) -> bool {
        self.mailbox.as_ref().is_some_and(|mailbox| mailbox.email_local_part.is_some())
    }

    pub(super) fn checked(
        self,
        organization: OrganizationNo,
        mail_domain: &str,
        policy: &Policy,
    ) -> Result<NewIdentity, ApiError> {
        let handle = handle(&self.agent_handle)?;
        known::column_text(
            &["display_name"],
            self.display_name.as_deref().unwrap_or_default(),
            DISPLAY_NAME_CHARS,
        )?;
        known::column_text(
            &["description"],
            self.description.as_deref().unwrap_or_default(),
            DESCRIPTION_CHARS,
        )?;
        known::only_default(&["tunnel"], &self.tunnel, &[json!({}), json!({"tls_mode": "edge"})])?;
        known::only_default(&["vault_secret_ids"], &self.vault_secret_ids, &[json!([])])?;
        known::only_default(&["claim_imessage_number"], &self.claim_imessage_number, &[json!(false)])?;
        known::only_default(&["imessage_number_type"], &self.imessage_number_type, &[])?;
        let local_part = match &self.mailbox {
            Some(mailbox) => mailbox.checked(mail_domain)?,
            None => None,
        };
        let phone_number = self.phone_number.map(|number| number.checked(&["phone_number"], policy));
        let mut settings = Settings::new();
        if let Some(enabled) = self.contact_sharing_enabled {
            settings.insert("contact_sharing_enabled".into(), enabled.into());
        }
        Ok(NewIdentity {
            organization,
            address: format!("{}@{mail_domain}", local_part.as_ref().unwrap_or(&handle)),
            handle,
            display_name: self.display_name,
            description: self.description,
            imessage_enabled: self.imessage_enabled.unwrap_or(false),
            settings,
            phone_number: phone_number.transpose()?,
        })
    }
}

impl MailboxOptions {
    fn checked(&self, mail_domain: &str) -> Result<Option<String>, ApiError> {
        known::only_default(&["mailbox", "sending_domain"], &self.sending_domain, &[json!(mail_domain)])?;
        let local_part = self.email_local_part.as_deref().map(names::local_part).transpose();
        local_part.map_err(|error| known::at(&["mailbox", "email_local_part"], error.to_string(), "invalid"))
    }
}

fn handle(text: &str) -> Result<String, ApiError> {
    names::handle(text).map_err(|error| ApiError::invalid("agent_handle", error.to_string()))
}

/// A change of an identity; what is left out stays, null clears where it can.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchBody {
    agent_handle: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    display_name: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    description: Patch<String>,
    /// `active` or `paused`.
    #[schema(value_type = Option<String>)]
    status: Option<IdentityStatus>,
    imessage_enabled: Option<bool>,
    contact_sharing_enabled: Option<bool>,
    /// Filter modes (`blacklist` or `whitelist`) need an admin key.
    #[schema(value_type = Option<String>)]
    mail_filter_mode: Option<FilterMode>,
    #[schema(value_type = Option<String>)]
    mail_inbound_filter_mode: Option<FilterMode>,
    #[schema(value_type = Option<String>)]
    mail_outbound_filter_mode: Option<FilterMode>,
    #[schema(value_type = Option<String>)]
    phone_filter_mode: Option<FilterMode>,
    #[schema(value_type = Option<String>)]
    phone_inbound_filter_mode: Option<FilterMode>,
    #[schema(value_type = Option<String>)]
    phone_outbound_filter_mode: Option<FilterMode>,
    #[schema(value_type = Option<String>)]
    imessage_filter_mode: Option<FilterMode>,
    #[schema(value_type = Option<String>)]
    slack_filter_mode: Option<FilterMode>,
    #[schema(value_type = Option<String>)]
    slack_inbound_filter_mode: Option<FilterMode>,
    #[schema(value_type = Option<String>)]
    slack_outbound_filter_mode: Option<FilterMode>,
    /// Not supported here.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    claim_imessage_number: Given,
    /// Not supported here.
    #[serde(default)]
    #[schema(value_type = Option<uuid::Uuid>)]
    imessage_number_id: Given,
    /// Not supported here.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    imessage_number_type: Given,
}

impl PatchBody {
    /// Whether another handle is asked for.
    pub(super) fn names_a_handle(&self) -> bool {
        self.agent_handle.is_some()
    }

    /// The first field that only an admin key may change.
    pub(super) fn field_for_admins(&self) -> Option<&'static str> {
        let fields = self.filter_modes();
        fields.into_iter().find_map(|(name, mode)| mode.map(|_| name))
    }

    fn filter_modes(&self) -> [(&'static str, Option<FilterMode>); 10] {
        [
            ("mail_filter_mode", self.mail_filter_mode),
            ("mail_inbound_filter_mode", self.mail_inbound_filter_mode),
            ("mail_outbound_filter_mode", self.mail_outbound_filter_mode),
            ("phone_filter_mode", self.phone_filter_mode),
            ("phone_inbound_filter_mode", self.phone_inbound_filter_mode),
            ("phone_outbound_filter_mode", self.phone_outbound_filter_mode),
            ("imessage_filter_mode", self.imessage_filter_mode),
            ("slack_filter_mode", self.slack_filter_mode),
            ("slack_inbound_filter_mode", self.slack_inbound_filter_mode),
            ("slack_outbound_filter_mode", self.slack_outbound_filter_mode),
        ]
    }

    /// The change.
    pub(super) fn checked(self) -> Result<IdentityChange, ApiError> {
        known::only_default(&["claim_imessage_number"], &self.claim_imessage_number, &[json!(false)])?;
        known::only_default(&["imessage_number_type"], &self.imessage_number_type, &[])?;
        known::only_default(&["imessage_number_id"], &self.imessage_number_id, &[])?;
        for (name, text, most) in [
            ("display_name", &self.display_name, DISPLAY_NAME_CHARS),
            ("description", &self.description, DESCRIPTION_CHARS),
        ] {
            if let Patch::Set(text) = text {
                known::column_text(&[name], text, most)?;
            }
        }
        let settings = self.settings();
        Ok(IdentityChange {
            handle: self.agent_handle.as_deref().map(handle).transpose()?,
            needs_phone_number: self.phone_filter_mode.is_some(),
            mail_filter_mode: self.mail_filter_mode,
            phone_filter_mode: self.phone_filter_mode,
            display_name: self.display_name.into(),
            description: self.description.into(),
            status: self.status,
            imessage_enabled: self.imessage_enabled,
            settings,
        })
    }

    /// What is only kept and given back. A channel's shared mode takes its two directions back to it.
    fn settings(&self) -> Settings {
        let mut settings = Settings::new();
        if let Some(enabled) = self.contact_sharing_enabled {
            settings.insert("contact_sharing_enabled".into(), enabled.into());
        }
        for (channel, shared) in [
            ("mail", self.mail_filter_mode),
            ("phone", self.phone_filter_mode),
            ("slack", self.slack_filter_mode),
        ] {
            if shared.is_some() {
                for direction in ["inbound", "outbound"] {
                    settings.insert(format!("{channel}_{direction}_filter_mode"), Value::Null);
                }
            }
        }
        for (name, mode) in self.filter_modes() {
            // These two are columns of the mailbox and the number.
            if let Some(mode) = mode
                && !["mail_filter_mode", "phone_filter_mode"].contains(&name)
            {
                settings.insert(name.into(), mode.name().into());
            }
        }
        settings
    }
}
