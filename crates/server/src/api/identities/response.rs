//! How an identity is shown.

use inkhook_wire::id::{IdentityId, OrganizationId};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::mailboxes::MailboxBody;
use crate::api::phone_numbers::NumberBody;
use crate::domain::identity::{FilterMode, Identity, IdentityStatus};
use crate::domain::time::TimeMs;

/// An identity with all that is its own.
#[expect(clippy::struct_excessive_bools, reason = "what the clients parse")]
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IdentityBody {
    #[schema(value_type = uuid::Uuid)]
    id: IdentityId,
    #[schema(value_type = String)]
    organization_id: OrganizationId,
    agent_handle: String,
    display_name: Option<String>,
    description: Option<String>,
    #[schema(value_type = String)]
    status: IdentityStatus,
    email_address: Option<String>,
    imessage_enabled: bool,
    whatsapp_configured: bool,
    contact_sharing_enabled: bool,
    #[schema(value_type = String)]
    mail_filter_mode: FilterMode,
    #[schema(value_type = String)]
    mail_inbound_filter_mode: FilterMode,
    #[schema(value_type = String)]
    mail_outbound_filter_mode: FilterMode,
    #[schema(value_type = String)]
    phone_filter_mode: FilterMode,
    #[schema(value_type = String)]
    phone_inbound_filter_mode: FilterMode,
    #[schema(value_type = String)]
    phone_outbound_filter_mode: FilterMode,
    #[schema(value_type = String)]
    imessage_filter_mode: FilterMode,
    #[schema(value_type = String)]
    slack_filter_mode: FilterMode,
    #[schema(value_type = String)]
    slack_inbound_filter_mode: FilterMode,
    #[schema(value_type = String)]
    slack_outbound_filter_mode: FilterMode,
    /// Whether it has a key of its own; the organisation's may sign for it all the same.
    signing_key_configured: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    signing_key_created_at: Option<TimeMs>,
    mailbox: Option<MailboxBody>,
    phone_number: Option<NumberBody>,
    /// Null: there is no iMessage line here.
    #[schema(value_type = Option<Object>)]
    imessage_number: (),
    /// Null: there are no tunnels here.
    #[schema(value_type = Option<Object>)]
    tunnel: (),
    #[schema(value_type = String, format = DateTime)]
    created_at: TimeMs,
    #[schema(value_type = String, format = DateTime)]
    updated_at: TimeMs,
}

impl IdentityBody {
    /// As it is now.
    pub(super) fn new(identity: Identity, now: TimeMs) -> Self {
        let signing_key = identity.signing_key.at(now);
        let setting = |name: &str| identity.settings.get(name).and_then(Value::as_str);
        let mode =
            |name: &str, shared: FilterMode| setting(name).and_then(FilterMode::parse).unwrap_or(shared);
        let mail = identity.mailbox.as_ref().map_or(FilterMode::Blacklist, |mailbox| mailbox.filter_mode);
        let phone = identity.phone_number.as_ref().map_or(FilterMode::Blacklist, |number| number.filter_mode);
        let slack = mode("slack_filter_mode", FilterMode::Blacklist);
        let sharing = identity.settings.get("contact_sharing_enabled").and_then(Value::as_bool);
        Self {
            id: identity.id,
            organization_id: identity.organization_id,
            status: identity.status,
            email_address: identity.mailbox.as_ref().map(|mailbox| mailbox.address.clone()),
            imessage_enabled: identity.imessage_enabled,
            whatsapp_configured: false,
            contact_sharing_enabled: sharing.unwrap_or(true),
            mail_filter_mode: mail,
            mail_inbound_filter_mode: mode("mail_inbound_filter_mode", mail),
            mail_outbound_filter_mode: mode("mail_outbound_filter_mode", mail),
            phone_filter_mode: phone,
            phone_inbound_filter_mode: mode("phone_inbound_filter_mode", phone),
            phone_outbound_filter_mode: mode("phone_outbound_filter_mode", phone),
            imessage_filter_mode: mode("imessage_filter_mode", FilterMode::Blacklist),
            slack_filter_mode: slack,
            slack_inbound_filter_mode: mode("slack_inbound_filter_mode", slack),
            slack_outbound_filter_mode: mode("slack_outbound_filter_mode", slack),
            signing_key_configured: signing_key.created_at.is_some(),
            signing_key_created_at: signing_key.created_at,
            agent_handle: identity.handle,
            display_name: identity.display_name,
            description: identity.description,
            mailbox: identity.mailbox.map(MailboxBody::from),
            phone_number: identity.phone_number.map(NumberBody::from),
            imessage_number: (),
            tunnel: (),
            created_at: identity.created_at,
            updated_at: identity.updated_at,
        }
    }
}
