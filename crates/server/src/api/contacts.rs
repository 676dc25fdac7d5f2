//! `/api/v1/contacts`: an organisation's address book, by which payloads say who wrote or called.
//!
//! It belongs to the organisation: an agent key sees and changes the same contacts as an admin key. What is remembered
//! of them ([`facts`]) agents may read, and admins write. An unclaimed key may do neither.

mod card;
mod facts;
mod query;
mod request;
mod response;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use inkhook_wire::id::ContactId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::query::{ListQuery, LookupQuery};
use self::request::{AccessBody, CreateBody, PatchBody};
use self::response::{AccessRow, ContactBody};
use super::body::{Body, Query};
use super::error::{ApiError, ErrorBody, quote};
use super::page;
use super::path::PathPart;
use crate::app::App;
use crate::domain::caller::{Caller, Role};
use crate::domain::contact::{CARD_BYTES, MAX_CONTACTS};
use crate::store::contacts::{ChangeContact, CreateContact, NewContact, PointTaken};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(create_with_permissions))
        .routes(routes!(lookup))
        .routes(routes!(get, patch, delete))
        .routes(routes!(list_access, grant_access))
        .merge(facts::routes())
}

/// A caller that may look into the address book: anybody but an unclaimed agent key.
#[derive(Debug, Clone)]
struct Reader(Caller);

impl FromRequestParts<App> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, app).await?;
        match caller.role {
            Role::Agent { claimed: false, .. } => Err(ApiError::forbidden(
                "this key is not claimed yet: contacts need a claimed agent key or an admin key",
            )),
            _ => Ok(Self(caller)),
        }
    }
}

fn not_found() -> ApiError {
    ApiError::not_found("contact")
}

fn taken(taken: &PointTaken) -> ApiError {
    let (field, value) = (taken.kind.field(), quote(&taken.value));
    ApiError::conflict(format!("{field}: {value} belongs to the contact {} already", taken.holder))
}

/// Makes a contact. An address or number is one contact's at most.
#[utoipa::path(post, path = "/api/v1/contacts", tag = "contacts", request_body = CreateBody,
    responses((status = 201, body = ContactBody),
        (status = 409, description = "One of the addresses or numbers belongs to another contact, or there are as many \
            contacts as there may be.", body = ErrorBody)))]
async fn create(
    State(app): State<App>,
    Reader(caller): Reader,
    Body(body): Body<CreateBody>,
) -> Result<(StatusCode, Json<ContactBody>), ApiError> {
    let created_by = match caller.role {
        Role::Agent { identity, .. } => Some(identity),
        Role::Admin => None,
    };
    let new = NewContact { organization: caller.organization, created_by, card: body.checked()? };
    match app.store.create_contact(new).await? {
        CreateContact::Created(contact) => {
            Ok((StatusCode::CREATED, Json(ContactBody::new(&caller, *contact))))
        }
        CreateContact::Taken(point) => Err(taken(&point)),
        CreateContact::TooLarge => Err(too_large()),
        CreateContact::TooMany => Err(ApiError::conflict(format!(
            "the organisation has {MAX_CONTACTS} contacts, as many as there may be: delete some first"
        ))),
    }
}

/// The same, where clients send what one agent may know of the contact; here every agent knows all of it, so that
/// nothing but null can be asked for.
#[utoipa::path(post, path = "/api/v1/contacts/with-permissions", tag = "contacts", request_body = CreateBody,
    responses((status = 201, body = ContactBody), (status = 409, description = "As for `/api/v1/contacts`.",
        body = ErrorBody)))]
async fn create_with_permissions(
    app: State<App>,
    caller: Reader,
    body: Body<CreateBody>,
) -> Result<(StatusCode, Json<ContactBody>), ApiError> {
    create(app, caller, body).await
}

/// The contacts of the organisation.
#[utoipa::path(get, path = "/api/v1/contacts", tag = "contacts", params(
    ("q" = Option<String>, Query, description = "Those of which `preferred_name`, `given_name`, `family_name`, \
        `company_name`, `job_title` or `notes` has this in it, without regard to case; at most 100 characters."),
    ("order" = Option<String>, Query, description = "`name`, or `recent`: changed last first. `name` when left out."),
    ("limit" = Option<i64>, Query, description = "Cut to 1 to 200; 50 when left out."),
    ("offset" = Option<i64>, Query, description = "At most 10,000."),
    ("review_status" = Option<Vec<String>>, Query, description = "`confirmed`, which all contacts are, or \
        `unreviewed`."),
), responses((status = 200, body = Vec<ContactBody>)))]
async fn list(
    State(app): State<App>,
    Reader(caller): Reader,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<Vec<ContactBody>>, ApiError> {
    let Some(filter) = ListQuery::read(pairs)?.filter()? else { return Ok(Json(Vec::new())) };
    let contacts = app.store.contacts(caller.organization, filter).await?;
    Ok(Json(contacts.into_iter().map(|contact| ContactBody::new(&caller, contact)).collect()))
}

/// Contacts by an address or a number, or a part of one. Exactly one parameter.
#[utoipa::path(get, path = "/api/v1/contacts/lookup", tag = "contacts", params(LookupQuery),
    responses((status = 200, description = "By name, at most 200.", body = Vec<ContactBody>)))]
async fn lookup(
    State(app): State<App>,
    Reader(caller): Reader,
    Query(query): Query<LookupQuery>,
) -> Result<Json<Vec<ContactBody>>, ApiError> {
    let limit = page::limit(Some(page::MAX_LIMIT));
    let contacts = app.store.find_contacts(caller.organization, query.checked()?, limit).await?;
    Ok(Json(contacts.into_iter().map(|contact| ContactBody::new(&caller, contact)).collect()))
}

/// One contact.
#[utoipa::path(get, path = "/api/v1/contacts/{contact_id}", tag = "contacts",
    params(("contact_id" = uuid::Uuid, Path)), responses((status = 200, body = ContactBody)))]
async fn get(
    State(app): State<App>,
    Reader(caller): Reader,
    PathPart(id): PathPart<ContactId>,
) -> Result<Json<ContactBody>, ApiError> {
    let contact = app.store.contact(caller.organization, id).await?;
    contact.map(|contact| Json(ContactBody::new(&caller, contact))).ok_or_else(not_found)
}

/// Changes a contact: what is left out stays, null clears, a list replaces the whole list.
#[utoipa::path(patch, path = "/api/v1/contacts/{contact_id}", tag = "contacts",
    params(("contact_id" = uuid::Uuid, Path)), request_body = PatchBody,
    responses((status = 200, body = ContactBody),
        (status = 409, description = "One of the addresses or numbers belongs to another contact.",
            body = ErrorBody)))]
async fn patch(
    State(app): State<App>,
    Reader(caller): Reader,
    PathPart(id): PathPart<ContactId>,
    Body(body): Body<PatchBody>,
) -> Result<Json<ContactBody>, ApiError> {
    let change = match body.checked() {
        Ok(change) => change,
        // A rule's refusal is for those who can see the contact.
        Err(refusal) => {
            let seen = app.store.contact(caller.organization, id).await?;
            return Err(if seen.is_some() { refusal } else { not_found() });
        }
    };
    match app.store.change_contact(caller.organization, id, change).await? {
        ChangeContact::Changed(contact) => Ok(Json(ContactBody::new(&caller, *contact))),
        ChangeContact::NotFound => Err(not_found()),
        ChangeContact::Taken(point) => Err(taken(&point)),
        ChangeContact::TooLarge => Err(too_large()),
    }
}

fn too_large() -> ApiError {
    let msg = format!("a contact may take up {CARD_BYTES} bytes, with what the body adds to it");
    ApiError::invalid_at(vec!["body".into()], msg, "too_long")
}

/// Deletes a contact with what is remembered of it. Events that were accepted keep what they say.
#[utoipa::path(delete, path = "/api/v1/contacts/{contact_id}", tag = "contacts",
    params(("contact_id" = uuid::Uuid, Path)), responses((status = 204)))]
async fn delete(
    State(app): State<App>,
    Reader(caller): Reader,
    PathPart(id): PathPart<ContactId>,
) -> Result<StatusCode, ApiError> {
    if app.store.delete_contact(caller.organization, id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(not_found())
    }
}

/// Who may see a contact: every agent of its organisation.
#[utoipa::path(get, path = "/api/v1/contacts/{contact_id}/access", tag = "contacts",
    params(("contact_id" = uuid::Uuid, Path)), responses((status = 200, body = Vec<AccessRow>)))]
async fn list_access(
    State(app): State<App>,
    Reader(caller): Reader,
    PathPart(id): PathPart<ContactId>,
) -> Result<Json<Vec<AccessRow>>, ApiError> {
    let contact = app.store.contact(caller.organization, id).await?.ok_or_else(not_found)?;
    Ok(Json(vec![AccessRow::everybody(&contact)]))
}

/// Lets everybody of the organisation see a contact, which is how it is. A single agent cannot be asked for.
#[utoipa::path(post, path = "/api/v1/contacts/{contact_id}/access", tag = "contacts",
    params(("contact_id" = uuid::Uuid, Path)), request_body = AccessBody,
    responses((status = 200, body = AccessRow)))]
async fn grant_access(
    State(app): State<App>,
    super::auth::AdminCaller(caller): super::auth::AdminCaller,
    PathPart(id): PathPart<ContactId>,
    Body(body): Body<AccessBody>,
) -> Result<Json<AccessRow>, ApiError> {
    let contact = app.store.contact(caller.organization, id).await?.ok_or_else(not_found)?;
    body.checked()?;
    Ok(Json(AccessRow::everybody(&contact)))
}
