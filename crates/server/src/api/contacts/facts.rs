//! `/api/v1/contacts/{contact_id}/facts`: what is remembered of a contact; payloads have it as `memories`, newest
//! first. Admins write it. What was written by hand never expires and cites nothing.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use inkhook_wire::id::{ContactFactId, ContactId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::response::MemorySummary;
use super::{Reader, not_found};
use crate::api::auth::AdminCaller;
use crate::api::body::{Body, Query};
use crate::api::error::{ApiError, ErrorBody};
use crate::api::known;
use crate::api::path::{PathPart, PathParts};
use crate::app::App;
use crate::domain::contact::{FACT_CHARS, Fact, FactKind, MAX_FACTS};
use crate::domain::time::TimeMs;
use crate::store::contacts::{ChangeFact, CreateFact, FactChange};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, patch, delete))
}

/// Which facts to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// None ever has expired here: both answers are the same.
    include_expired: Option<bool>,
}

/// A fact to be written.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateFactBody {
    #[schema(min_length = 1, max_length = 1000)]
    content: String,
    /// `profile`: who it is; `preference`: how it wants things; `context`: what is going on.
    #[schema(value_type = String)]
    kind: FactKind,
}

/// A change of a fact: one of the two, or both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PatchFactBody {
    #[schema(min_length = 1, max_length = 1000)]
    content: Option<String>,
    #[schema(value_type = Option<String>)]
    kind: Option<FactKind>,
}

/// Something that is remembered.
#[derive(Debug, Serialize, ToSchema)]
struct FactBody {
    #[schema(value_type = uuid::Uuid)]
    id: ContactFactId,
    #[schema(value_type = uuid::Uuid)]
    contact_id: ContactId,
    content: String,
    #[schema(value_type = String)]
    kind: FactKind,
    /// `user`: somebody wrote it.
    origin: &'static str,
    /// Null.
    confidence: Option<f64>,
    /// Null.
    #[schema(value_type = Option<String>, format = DateTime)]
    locked_at: Option<TimeMs>,
    /// Null.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<TimeMs>,
    /// Empty.
    citations: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: TimeMs,
    #[schema(value_type = String, format = DateTime)]
    updated_at: TimeMs,
}

/// What is left after a fact is gone.
#[derive(Debug, Serialize, ToSchema)]
struct DeletedFactBody {
    #[schema(value_type = uuid::Uuid)]
    deleted_fact_id: ContactFactId,
    memory_count: u32,
    latest_memory: Option<MemorySummary>,
}

impl FactBody {
    fn new(contact_id: ContactId, fact: Fact) -> Self {
        Self {
            id: fact.id,
            contact_id,
            content: fact.content,
            kind: fact.kind,
            origin: "user",
            confidence: None,
            locked_at: None,
            expires_at: None,
            citations: Vec::new(),
            created_at: fact.created_at,
            updated_at: fact.updated_at,
        }
    }
}

fn no_such_fact() -> ApiError {
    ApiError::not_found("contact fact")
}

fn check(content: &str) -> Result<(), ApiError> {
    if content.trim().is_empty() {
        return Err(known::at(&["content"], "must not be empty", "invalid"));
    }
    known::column_text(&["content"], content, FACT_CHARS)
}

/// Writes down something to be remembered.
#[utoipa::path(post, path = "/api/v1/contacts/{contact_id}/facts", tag = "contacts",
    params(("contact_id" = uuid::Uuid, Path)), request_body = CreateFactBody,
    responses((status = 201, body = FactBody),
        (status = 409, description = "There are 25 already.", body = ErrorBody)))]
async fn create(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    PathPart(contact): PathPart<ContactId>,
    Body(CreateFactBody { content, kind }): Body<CreateFactBody>,
) -> Result<(StatusCode, Json<FactBody>), ApiError> {
    if let Err(refusal) = check(&content) {
        // A rule's refusal is for those who can see the contact.
        let seen = app.store.contact(caller.organization, contact).await?;
        return Err(if seen.is_some() { refusal } else { not_found() });
    }
    match app.store.create_contact_fact(caller.organization, contact, kind, content).await? {
        CreateFact::Created(fact) => Ok((StatusCode::CREATED, Json(FactBody::new(contact, fact)))),
        CreateFact::NotFound => Err(not_found()),
        CreateFact::TooMany => Err(ApiError::conflict(format!(
            "total: the contact has {MAX_FACTS} facts, as many as there may be: delete one first"
        ))),
    }
}

/// What is remembered of a contact, newest first.
#[utoipa::path(get, path = "/api/v1/contacts/{contact_id}/facts", tag = "contacts",
    params(("contact_id" = uuid::Uuid, Path), ListQuery), responses((status = 200, body = Vec<FactBody>)))]
async fn list(
    State(app): State<App>,
    Reader(caller): Reader,
    PathPart(contact): PathPart<ContactId>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<FactBody>>, ApiError> {
    // None has expired, so that there is nothing to be left out.
    let _ = query.include_expired;
    let facts = app.store.contact_facts(caller.organization, contact).await?.ok_or_else(not_found)?;
    Ok(Json(facts.into_iter().map(|fact| FactBody::new(contact, fact)).collect()))
}

/// One fact.
#[utoipa::path(get, path = "/api/v1/contacts/{contact_id}/facts/{fact_id}", tag = "contacts",
    params(("contact_id" = uuid::Uuid, Path), ("fact_id" = uuid::Uuid, Path)),
    responses((status = 200, body = FactBody)))]
async fn get(
    State(app): State<App>,
    Reader(caller): Reader,
    PathParts(contact, id): PathParts<ContactId, ContactFactId>,
) -> Result<Json<FactBody>, ApiError> {
    let fact = app.store.contact_fact(caller.organization, contact, id).await?.ok_or_else(no_such_fact)?;
    Ok(Json(FactBody::new(contact, fact)))
}

/// Changes a fact, which is the newest then.
#[utoipa::path(patch, path = "/api/v1/contacts/{contact_id}/facts/{fact_id}", tag = "contacts",
    params(("contact_id" = uuid::Uuid, Path), ("fact_id" = uuid::Uuid, Path)), request_body = PatchFactBody,
    responses((status = 200, body = FactBody)))]
async fn patch(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    PathParts(contact, id): PathParts<ContactId, ContactFactId>,
    Body(PatchFactBody { content, kind }): Body<PatchFactBody>,
) -> Result<Json<FactBody>, ApiError> {
    let nothing = content.is_none() && kind.is_none();
    let refusal = if nothing {
        Some(known::at(&["content"], "give content, kind or both", "missing"))
    } else {
        content.as_deref().and_then(|content| check(content).err())
    };
    if let Some(refusal) = refusal {
        let seen = app.store.contact_fact(caller.organization, contact, id).await?;
        return Err(if seen.is_some() { refusal } else { no_such_fact() });
    }
    let change = FactChange { content, kind };
    match app.store.change_contact_fact(caller.organization, contact, id, change).await? {
        ChangeFact::Changed(fact) => Ok(Json(FactBody::new(contact, fact))),
        ChangeFact::NotFound => Err(no_such_fact()),
    }
}

/// Deletes a fact.
#[utoipa::path(delete, path = "/api/v1/contacts/{contact_id}/facts/{fact_id}", tag = "contacts",
    params(("contact_id" = uuid::Uuid, Path), ("fact_id" = uuid::Uuid, Path)),
    responses((status = 200, body = DeletedFactBody)))]
async fn delete(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    PathParts(contact, id): PathParts<ContactId, ContactFactId>,
) -> Result<Json<DeletedFactBody>, ApiError> {
    let left = app.store.delete_contact_fact(caller.organization, contact, id).await?;
    let left = left.ok_or_else(no_such_fact)?;
    Ok(Json(DeletedFactBody {
        deleted_fact_id: id,
        memory_count: left.facts,
        latest_memory: left.latest.map(MemorySummary::from),
    }))
}
