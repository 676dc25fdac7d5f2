//! `/api/v1/events/batch`: several events in one request, all or nothing.

use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{PublishBody, PublishedBody, idempotency_key, parts, refusal};
use crate::api::auth::AdminCaller;
use crate::api::body::Body;
use crate::api::error::ApiError;
use crate::app::App;
use crate::ingest::publish::{self, BatchError};

/// Events of a batch at most.
const MAX_EVENTS: usize = 1_000;
/// Bytes of a batch's body at most.
const MAX_BYTES: usize = 4 * 1024 * 1024;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(publish_batch)).layer(DefaultBodyLimit::max(MAX_BYTES))
}

/// What happened, in order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BatchBody {
    /// 1 to 1,000 events.
    events: Vec<PublishBody>,
}

/// The answer to a batch.
#[derive(Debug, Serialize, ToSchema)]
struct PublishedBatchBody {
    /// One for each event, in the same order.
    events: Vec<PublishedBody>,
}

/// Publishes up to 1,000 events in at most 4 MiB, all or none: durable, with all their deliveries, when this
/// answers. A refusal names the event by its place, counted from 0. The `Idempotency-Key` covers the batch.
/// Needs an admin or operator key.
#[utoipa::path(post, path = "/api/v1/events/batch", tag = "events", request_body = BatchBody,
    params(("Idempotency-Key" = Option<String>, Header,
        description = "1 to 255 visible ASCII characters, kept for 24 hours")),
    responses((status = 202, body = PublishedBatchBody),
        (status = 409, description = "The key or an id was used for another event",
            body = crate::api::error::ErrorBody),
        (status = 413, description = "The body is larger than 4 MiB, or an event's data than 512 KiB",
            body = crate::api::error::ErrorBody)))]
async fn publish_batch(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    headers: HeaderMap,
    Body(body): Body<BatchBody>,
) -> Result<(StatusCode, Json<PublishedBatchBody>), ApiError> {
    if !(1..=MAX_EVENTS).contains(&body.events.len()) {
        let msg = format!("must have 1 to {MAX_EVENTS} events, not {}", body.events.len());
        return Err(ApiError::invalid("events", msg));
    }
    let idempotency_key = idempotency_key(&headers)?;
    let mut batch = Vec::with_capacity(body.events.len());
    for (index, event) in body.events.into_iter().enumerate() {
        batch.push(event.read(caller.organization, None).map_err(|error| error.inside(&place(index)))?);
    }
    app.auth.admit_publish(&caller, u32::try_from(batch.len()).unwrap_or(u32::MAX))?;
    let named: Vec<_> = batch.iter().map(|publish| (publish.owner, publish.event_type)).collect();
    let published = publish::publish_batch(parts(&app), caller.organization, idempotency_key, batch).await;
    let published = published.map_err(|error| match error {
        BatchError::Event { index, error } => refusal(named[index].0, error).inside(&place(index)),
        BatchError::IdRepeated { index } => {
            let msg = "an earlier event of the batch has this id, and is another event";
            ApiError::invalid("id", msg).inside(&place(index))
        }
        BatchError::TooLarge => ApiError::too_large(format!("events: {error}")),
        BatchError::KeyReused => {
            ApiError::conflict("the Idempotency-Key was used for something else in the last 24 hours")
        }
        BatchError::Store(error) => error.into(),
    })?;
    let events = named.iter().zip(published).map(|((_, event_type), it)| PublishedBody::new(*event_type, it));
    Ok((StatusCode::ACCEPTED, Json(PublishedBatchBody { events: events.collect() })))
}

fn place(index: usize) -> [String; 2] {
    ["events".into(), index.to_string()]
}
