//! The OpenAPI document: what the routes say of themselves, and what is the same for all of them.

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi as _};

use super::error::{Detail, ErrorBody, FieldError};

/// Where the routes below are served; they need a key.
const API: &str = "/api/";

/// The parts of the document that belong to no route.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "inkhook",
        description = "Webhook subscriptions and delivery for the mailboxes and phone numbers of agents. \
            Every route answers with and without a trailing slash."
    ),
    components(schemas(Detail, ErrorBody, FieldError)),
    modifiers(&Keys),
    security(("api_key" = []))
)]
struct Frame;

struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut OpenApi) {
        let key = ApiKey::Header(ApiKeyValue::with_description("X-API-Key", "An API key."));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(key));
    }
}

/// What the routes are added to.
pub(super) fn frame() -> OpenApi {
    Frame::openapi()
}

/// Adds the refusals that every route below the API shares.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        if !path.starts_with(API) {
            continue;
        }
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            refusals(operation);
        }
    }
    document
}

fn refusals(operation: &mut Operation) {
    // One that takes no key says so, in a requirement of nothing.
    let is_public = operation.security.is_some();
    let shared = [
        ("401", "No valid API key."),
        ("403", "This key may not do that."),
        ("404", "Not there, or not visible to this key."),
        ("422", "A part of the request is not valid; `errors` names it."),
        ("429", "Too many requests; `Retry-After` says when to go on."),
        ("503", "Not possible right now; `Retry-After` says when to try again."),
    ];
    for (status, description) in shared.into_iter().filter(|(status, _)| !is_public || !KEYS.contains(status))
    {
        let entry = operation.responses.responses.entry(status.into());
        entry.or_insert_with(|| RefOr::T(refusal(description)));
    }
}

/// Refusals that are about keys.
const KEYS: [&str; 2] = ["401", "403"];

fn refusal(description: &str) -> Response {
    let schema = Ref::from_schema_name("ErrorBody");
    ResponseBuilder::new()
        .description(description)
        .content("application/json", Content::new(Some(schema)))
        .build()
}
