//! `/api/v1/events`: publishing, and what was accepted.

mod batch;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use inkhook_wire::event::EventType;
use inkhook_wire::id::{EventId, IdentityId, MailboxId, PhoneNumberId, RequestId, SubscriptionId};
use inkhook_wire::validate::{DataError, DataErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{AdminCaller, WebhookCaller};
use super::body::{Body, Query};
use super::error::{ApiError, quote};
use super::path::PathPart;
use super::{owner, page};
use crate::app::App;
use crate::domain::number::OrganizationNo;
use crate::domain::owner::Owner;
use crate::domain::time::TimeMs;
use crate::ingest::publish::{self, Publish, PublishError, Published};
use crate::store::events::{DeliveryView, EventFilter, EventView};

/// Characters of an `Idempotency-Key` at most.
const IDEMPOTENCY_KEY_CHARS: usize = 255;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(publish_event, list_events))
        .routes(routes!(get_event))
        .merge(batch::routes())
}

/// What happened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PublishBody {
    /// A name of the catalogue.
    event_type: String,
    /// Exactly one of the three names the owner.
    #[schema(value_type = Option<uuid::Uuid>)]
    mailbox_id: Option<MailboxId>,
    #[schema(value_type = Option<uuid::Uuid>)]
    phone_number_id: Option<PhoneNumberId>,
    #[schema(value_type = Option<uuid::Uuid>)]
    agent_identity_id: Option<IdentityId>,
    /// In the catalogue's shape for the type; what the server knows may be left out. At most 512 KiB.
    #[schema(value_type = Object)]
    data: Box<RawValue>,
    /// `evt_` and a UUID, when the publisher names its events itself.
    id: Option<String>,
    /// When it happened, RFC 3339; the time of acceptance when left out.
    #[schema(format = DateTime)]
    timestamp: Option<String>,
    /// No attempt starts after this, RFC 3339.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// The answer to a publish.
#[derive(Debug, Serialize, ToSchema)]
struct PublishedBody {
    #[schema(value_type = String)]
    id: EventId,
    #[schema(value_type = String)]
    event_type: EventType,
    /// Deliveries made when it was accepted.
    deliveries: u32,
    /// It had been accepted before; nothing is sent twice.
    duplicate: bool,
}

/// Publishes an event: durable, with all its deliveries, when this answers. Needs an admin or operator key.
#[utoipa::path(post, path = "/api/v1/events", tag = "events", request_body = PublishBody,
    params(("Idempotency-Key" = Option<String>, Header,
        description = "1 to 255 visible ASCII characters, kept for 24 hours")),
    responses((status = 202, body = PublishedBody),
        (status = 409, description = "The key or id was used for another event", body = super::error::ErrorBody),
        (status = 413, description = "The data is larger than 512 KiB", body = super::error::ErrorBody)))]
async fn publish_event(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    headers: HeaderMap,
    Body(body): Body<PublishBody>,
) -> Result<(StatusCode, Json<PublishedBody>), ApiError> {
    let publish = body.read(caller.organization, idempotency_key(&headers)?)?;
    let (owner, event_type) = (publish.owner, publish.event_type);
    app.auth.admit_publish(&caller, 1)?;
    let published = publish::publish(parts(&app), publish).await.map_err(|error| refusal(owner, error))?;
    Ok((StatusCode::ACCEPTED, Json(PublishedBody::new(event_type, published))))
}

impl PublishBody {
    /// What is published, its names read.
    fn read(
        self,
        organization: OrganizationNo,
        idempotency_key: Option<String>,
    ) -> Result<Publish, ApiError> {
        Ok(Publish {
            organization,
            event_type: event_type(&self.event_type, "body")?,
            owner: owner::exactly_one((self.mailbox_id, self.phone_number_id, self.agent_identity_id))?,
            id: self.id.as_deref().map(event_id).transpose()?,
            expires_at: self.expires_at.as_deref().map(|text| time("expires_at", text)).transpose()?,
            timestamp: self.timestamp.map(|text| time("timestamp", &text).map(|_| text)).transpose()?,
            idempotency_key,
            data: self.data,
        })
    }
}

impl PublishedBody {
    fn new(event_type: EventType, Published { id, deliveries, duplicate }: Published) -> Self {
        Self { id, event_type, deliveries, duplicate }
    }
}

fn parts(app: &App) -> publish::Parts<'_> {
    publish::Parts { store: &app.store, clock: &app.clock, entropy: &app.entropy, queued: &app.bells.queued }
}

fn event_type(name: &str, place: &str) -> Result<EventType, ApiError> {
    EventType::parse(name).ok_or_else(|| {
        let msg = format!("{} is not an event of the catalogue", quote(name));
        ApiError::invalid_at(vec![place.into(), "event_type".into()], msg, "invalid")
    })
}

fn event_id(text: &str) -> Result<EventId, ApiError> {
    text.parse().map_err(|error| ApiError::invalid("id", format!("{} is {error}", quote(text))))
}

fn time(field: &str, text: &str) -> Result<TimeMs, ApiError> {
    TimeMs::parse_rfc3339(text).ok_or_else(|| {
        let msg = format!("{} is not an RFC 3339 date-time with an offset", quote(text));
        ApiError::invalid(field, msg)
    })
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all("idempotency-key").iter();
    let (Some(value), more) = (values.next(), values.next()) else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| {
        (1..=IDEMPOTENCY_KEY_CHARS).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    });
    match (key, more) {
        (Some(key), None) => Ok(Some(key.to_owned())),
        // The value may be secret: it is not quoted.
        _ => Err(ApiError::invalid_at(
            vec!["header".into(), "Idempotency-Key".into()],
            "must be given once, as 1 to 255 visible ASCII characters",
            "invalid",
        )),
    }
}

fn refusal(owner: Owner, error: PublishError) -> ApiError {
    match error {
        PublishError::OwnerNotFound => ApiError::not_found(owner.kind().field_name()),
        PublishError::Data(error) => data_refusal(error),
        PublishError::Expired => ApiError::invalid("expires_at", "must be in the future"),
        PublishError::KeyReused => {
            ApiError::conflict("the Idempotency-Key was used for another event in the last 24 hours")
        }
        PublishError::IdReused => ApiError::conflict("the id belongs to another event"),
        PublishError::KeyAndIdDiffer => {
            ApiError::conflict("the Idempotency-Key and the id name different events")
        }
        PublishError::Store(error) => error.into(),
    }
}

fn data_refusal(error: DataError) -> ApiError {
    if error.kind == DataErrorKind::TooLarge {
        return ApiError::too_large(error.message);
    }
    let loc = std::iter::once("body".to_owned()).chain(error.loc).collect();
    ApiError::invalid_sentence(loc, error.message, error.kind.as_str())
}

/// Which events to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// At most one of the three.
    #[param(value_type = Option<uuid::Uuid>)]
    mailbox_id: Option<MailboxId>,
    #[param(value_type = Option<uuid::Uuid>)]
    phone_number_id: Option<PhoneNumberId>,
    #[param(value_type = Option<uuid::Uuid>)]
    agent_identity_id: Option<IdentityId>,
    /// A name of the catalogue.
    event_type: Option<String>,
    /// Events accepted before this one.
    #[param(value_type = Option<String>)]
    before: Option<EventId>,
    /// Cut to 1 to 200; 50 when left out.
    limit: Option<i64>,
    /// At most 10,000.
    offset: Option<i64>,
}

/// Accepted events.
#[derive(Debug, Serialize, ToSchema)]
struct EventsBody {
    events: Vec<EventBody>,
}

/// An accepted event and where each of its deliveries stands.
#[derive(Debug, Serialize, ToSchema)]
struct EventBody {
    #[schema(value_type = String)]
    id: EventId,
    #[schema(value_type = String)]
    event_type: EventType,
    mailbox_id: Option<uuid::Uuid>,
    phone_number_id: Option<uuid::Uuid>,
    agent_identity_id: Option<uuid::Uuid>,
    /// The identity behind the owner.
    #[schema(value_type = uuid::Uuid)]
    owner_identity_id: IdentityId,
    #[schema(value_type = String, format = DateTime)]
    accepted_at: TimeMs,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<TimeMs>,
    deliveries: Vec<DeliveryBody>,
    /// The body that is signed and sent; left out of lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    payload: Option<Box<RawValue>>,
}

/// One event on its way to one subscription.
#[derive(Debug, Serialize, ToSchema)]
struct DeliveryBody {
    #[schema(value_type = String)]
    request_id: RequestId,
    #[schema(value_type = uuid::Uuid)]
    subscription_id: SubscriptionId,
    /// `queued` (also while it waits for an earlier one of its conversation), `delivering`, `succeeded`,
    /// `exhausted`, `cancelled` or `expired`.
    state: &'static str,
    reason: Option<String>,
    attempts: u32,
    is_replay: bool,
    /// The event was made for this delivery: somebody tested the subscription.
    is_test: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<TimeMs>,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<TimeMs>,
}

/// Accepted events, newest first.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", params(ListQuery),
    responses((status = 200, body = EventsBody)))]
async fn list_events(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    Query(query): Query<ListQuery>,
) -> Result<Json<EventsBody>, ApiError> {
    let owners = (query.mailbox_id, query.phone_number_id, query.agent_identity_id);
    let filter = EventFilter {
        owner: owner::at_most_one("query", owners)?,
        event_type: query.event_type.as_deref().map(|name| event_type(name, "query")).transpose()?,
        before: query.before,
        limit: page::limit(query.limit),
        offset: page::offset(query.offset)?,
    };
    let events = app.store.events(caller.scope(), filter).await?;
    let events = events.into_iter().map(event_body).collect::<Result<_, _>>()?;
    Ok(Json(EventsBody { events }))
}

/// One event, its payload and its deliveries.
#[utoipa::path(get, path = "/api/v1/events/{event_id}", tag = "events",
    params(("event_id" = String, Path, description = "`evt_` and a UUID")),
    responses((status = 200, body = EventBody)))]
async fn get_event(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    PathPart(id): PathPart<EventId>,
) -> Result<Json<EventBody>, ApiError> {
    let event = app.store.event(caller.scope(), id).await?;
    Ok(Json(event_body(event.ok_or_else(|| ApiError::not_found("event"))?)?))
}

fn event_body(event: EventView) -> Result<EventBody, ApiError> {
    let id = event.owner.uuid();
    let (mailbox_id, phone_number_id, agent_identity_id) = match event.owner {
        Owner::Mailbox(_) => (Some(id), None, None),
        Owner::PhoneNumber(_) => (None, Some(id), None),
        Owner::Identity(_) => (None, None, Some(id)),
    };
    Ok(EventBody {
        id: event.id,
        event_type: event.event_type,
        mailbox_id,
        phone_number_id,
        agent_identity_id,
        owner_identity_id: event.identity_id,
        accepted_at: event.accepted_at,
        expires_at: event.expires_at,
        deliveries: event.deliveries.into_iter().map(delivery_body).collect(),
        payload: event.payload.map(raw).transpose()?,
    })
}

fn raw(payload: Vec<u8>) -> Result<Box<RawValue>, ApiError> {
    let text = String::from_utf8(payload).map_err(|_| ApiError::internal())?;
    RawValue::from_string(text).map_err(|_| ApiError::internal())
}

fn delivery_body(delivery: DeliveryView) -> DeliveryBody {
    DeliveryBody {
        request_id: delivery.request_id,
        subscription_id: delivery.subscription_id,
        state: delivery.state.as_str(),
        reason: delivery.reason,
        attempts: delivery.attempts,
        is_replay: delivery.is_replay,
        is_test: delivery.is_test,
        next_attempt_at: delivery.next_attempt_at,
        ended_at: delivery.ended_at,
    }
}
