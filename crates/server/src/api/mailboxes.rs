//! `/api/v1/mail/mailboxes`: made and deleted with their identity only.

use axum::Json;
use axum::extract::State;
use inkhook_wire::id::{IdentityId, MailboxId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Body, Patch};
use super::error::ApiError;
use super::known;
use super::path::PathPart;
use crate::app::App;
use crate::domain::caller::Caller;
use crate::domain::identity::{FilterMode, Mailbox, Settings};
use crate::domain::mail_address;
use crate::domain::time::TimeMs;
use crate::store::mailboxes::MailboxChange;

/// Characters of a signature at most.
const SIGNATURE_CHARS: usize = 20_000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get, patch))
}

/// A mailbox.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MailboxBody {
    #[schema(value_type = uuid::Uuid)]
    id: MailboxId,
    email_address: String,
    sending_domain: String,
    #[schema(value_type = String)]
    filter_mode: FilterMode,
    #[schema(value_type = uuid::Uuid)]
    agent_identity_id: IdentityId,
    signature_html: Value,
    signature_text: Value,
    signature_enabled: Value,
    #[schema(value_type = String, format = DateTime)]
    created_at: TimeMs,
    #[schema(value_type = String, format = DateTime)]
    updated_at: TimeMs,
}

impl From<Mailbox> for MailboxBody {
    fn from(mailbox: Mailbox) -> Self {
        let setting = |name: &str| mailbox.settings.get(name).cloned();
        let domain = mailbox.address.split_once('@').map(|(_, domain)| domain.to_owned());
        Self {
            id: mailbox.id,
            sending_domain: domain.unwrap_or_default(),
            filter_mode: mailbox.filter_mode,
            agent_identity_id: mailbox.identity_id,
            signature_html: setting("signature_html").unwrap_or_default(),
            signature_text: setting("signature_text").unwrap_or_default(),
            signature_enabled: setting("signature_enabled").unwrap_or(Value::Bool(false)),
            created_at: mailbox.created_at,
            updated_at: mailbox.updated_at,
            email_address: mailbox.address,
        }
    }
}

/// A change of a mailbox; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PatchBody {
    /// Needs an admin key.
    #[schema(value_type = Option<String>)]
    filter_mode: Option<FilterMode>,
    /// Kept and given back; nothing is sent from here.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    signature_html: Patch<String>,
    /// The same.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    signature_text: Patch<String>,
    /// The same.
    signature_enabled: Option<bool>,
}

impl PatchBody {
    fn checked(self) -> Result<MailboxChange, ApiError> {
        let mut settings = Settings::new();
        for (name, value) in
            [("signature_html", self.signature_html), ("signature_text", self.signature_text)]
        {
            if let Patch::Set(text) = &value {
                known::at_most(&[name], text, SIGNATURE_CHARS)?;
            }
            known::set(&mut settings, name, value);
        }
        if let Some(enabled) = self.signature_enabled {
            settings.insert("signature_enabled".into(), enabled.into());
        }
        Ok(MailboxChange { filter_mode: self.filter_mode, settings })
    }
}

fn not_found() -> ApiError {
    ApiError::not_found("mailbox")
}

/// A full address, or the part before the `@` of one in this server's domain.
fn address(app: &App, text: &str) -> String {
    let address = mail_address::normalize(text);
    if address.contains('@') { address } else { format!("{address}@{}", app.settings.mail_domain) }
}

/// The mailboxes that this key can see, oldest first.
#[utoipa::path(get, path = "/api/v1/mail/mailboxes", tag = "mailboxes",
    responses((status = 200, body = Vec<MailboxBody>)))]
async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Vec<MailboxBody>>, ApiError> {
    let mailboxes = app.store.mailboxes(caller.scope()).await?;
    Ok(Json(mailboxes.into_iter().map(MailboxBody::from).collect()))
}

/// One mailbox, by its address or the part of it before the `@`.
#[utoipa::path(get, path = "/api/v1/mail/mailboxes/{email_address}", tag = "mailboxes",
    params(("email_address" = String, Path)), responses((status = 200, body = MailboxBody)))]
async fn get(
    State(app): State<App>,
    caller: Caller,
    PathPart(text): PathPart<String>,
) -> Result<Json<MailboxBody>, ApiError> {
    let mailbox = app.store.mailbox(caller.scope(), address(&app, &text)).await?;
    mailbox.map(|mailbox| Json(MailboxBody::from(mailbox))).ok_or_else(not_found)
}

/// Changes a mailbox.
#[utoipa::path(patch, path = "/api/v1/mail/mailboxes/{email_address}", tag = "mailboxes",
    params(("email_address" = String, Path)), request_body = PatchBody,
    responses((status = 200, body = MailboxBody)))]
async fn patch(
    State(app): State<App>,
    caller: Caller,
    PathPart(text): PathPart<String>,
    Body(body): Body<PatchBody>,
) -> Result<Json<MailboxBody>, ApiError> {
    if body.filter_mode.is_some() && !caller.is_admin() {
        return Err(ApiError::forbidden("only an admin key may change filter_mode"));
    }
    let address = address(&app, &text);
    let change = match body.checked() {
        Ok(change) => change,
        // A rule's refusal is for those who can see the mailbox.
        Err(refusal) => {
            let seen = app.store.mailbox(caller.scope(), address).await?;
            return Err(if seen.is_some() { refusal } else { not_found() });
        }
    };
    let changed = app.store.change_mailbox(caller.scope(), address, change).await?;
    changed.map(|mailbox| Json(MailboxBody::from(mailbox))).ok_or_else(not_found)
}
