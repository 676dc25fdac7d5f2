//! `GET /api/v1/webhooks/catalog`: the event types, and what this server can do with them.

use axum::Json;
use inkhook_wire::event::{Channel, EventType, OwnerKind};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::WebhookCaller;
use super::error::ErrorBody;
use crate::app::App;
use crate::domain::subscription::owner_kinds;

/// Everything that can happen.
#[derive(Debug, Serialize, ToSchema)]
struct Catalog {
    /// Clients ask for this before they list with `scope=identity`.
    supports_identity_subscriptions: bool,
    event_types: Vec<CatalogEntry>,
}

/// One event type.
#[derive(Debug, Serialize, ToSchema)]
struct CatalogEntry {
    name: &'static str,
    /// `mail`, `text`, `imessage`, `call`, `a2a`, `slack` or `whatsapp`.
    channel: &'static str,
    description: &'static str,
    /// False for `phone.incoming_call`: it is a synchronous call, set on the phone number.
    subscribable: bool,
    /// The owner fields with which a subscription may select it.
    owners: Vec<&'static str>,
    /// A made-up `data` object; for `phone.incoming_call` the whole body.
    sample: Value,
}

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(catalog))
}

/// Every event type: what it means, who can select it, and what its data looks like.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/catalog",
    tag = "subscriptions",
    responses(
        (status = 200, body = Catalog),
        (status = 403, body = ErrorBody, description = "The key is not claimed."),
    )
)]
async fn catalog(_: WebhookCaller) -> Json<Catalog> {
    let event_types = EventType::ALL.iter().copied().map(entry).collect();
    Json(Catalog { supports_identity_subscriptions: true, event_types })
}

fn entry(event_type: EventType) -> CatalogEntry {
    let owners: Vec<_> = owner_kinds(event_type).map(OwnerKind::field_name).collect();
    CatalogEntry {
        name: event_type.as_str(),
        channel: channel_name(event_type.channel()),
        description: event_type.description(),
        subscribable: !owners.is_empty(),
        owners,
        sample: event_type.sample(),
    }
}

fn channel_name(channel: Channel) -> &'static str {
    match channel {
        Channel::Mail => "mail",
        Channel::Text => "text",
        Channel::IMessage => "imessage",
        Channel::Call => "call",
        Channel::A2a => "a2a",
        Channel::Slack => "slack",
        Channel::WhatsApp => "whatsapp",
    }
}
