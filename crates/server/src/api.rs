//! The HTTP API: wire names, shapes, statuses.
//!
//! One file a resource. A handler extracts, makes one call into the store or `ingest`, and answers. Order
//! of checks on every route: 401; 403; size and syntax (413, 422); visibility (404); rules (422);
//! conflicts (409). Rows that are not the caller's are found out by the statement itself, so that "not
//! yours" and "not there" cannot differ.
//!
//! Every route answers with and without a trailing slash, directly: one official client does not follow
//! redirects. A handler that panics is answered with 500 and takes nothing down with it.

mod agent_signup;
mod api_keys;
pub mod auth;
pub mod body;
mod catalog;
mod client_address;
mod contacts;
mod deliveries;
pub mod error;
mod events;
mod health;
mod identities;
mod incoming_call_action;
mod incoming_calls;
mod invitation_token;
mod known;
pub mod limit;
mod mailboxes;
mod metrics;
mod openapi;
mod organization;
mod organization_alerts;
mod owner;
pub mod page;
pub mod path;
mod phone_numbers;
mod public_keys;
pub mod read_first;
mod recover;
mod signing_keys;
mod subscriptions;
mod url;
mod whoami;

use std::any::Any;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::normalize_path::NormalizePath;
use tower_http::trace::TraceLayer;
use utoipa_axum::router::OpenApiRouter;

use self::error::{ApiError, quote};
use crate::app::App;

/// Bytes of a request's body at most, unless its route says otherwise.
pub const BODY_BYTES: usize = 1024 * 1024;

/// The list of everything that is served.
fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(agent_signup::routes())
        .merge(api_keys::routes())
        .merge(catalog::routes())
        .merge(contacts::routes())
        .merge(deliveries::routes())
        .merge(events::routes())
        .merge(health::routes())
        .merge(identities::routes())
        .merge(incoming_call_action::routes())
        .merge(incoming_calls::routes())
        .merge(invitation_token::routes())
        .merge(mailboxes::routes())
        .merge(organization::routes())
        .merge(organization_alerts::routes())
        .merge(metrics::routes())
        .merge(phone_numbers::routes())
        .merge(public_keys::routes())
        .merge(recover::routes())
        .merge(signing_keys::routes())
        .merge(subscriptions::routes())
        .merge(whoami::routes())
}

/// What a listener serves.
pub fn router(app: App) -> Router {
    serve(routes(), app)
}

/// What the listener of a node serves that does not answer the API: how it is.
pub fn health_router(app: App) -> Router {
    serve(OpenApiRouter::with_openapi(openapi::frame()).merge(health::routes()).merge(metrics::routes()), app)
}

fn serve(routes: OpenApiRouter<App>, app: App) -> Router {
    let (routes, _) = routes.split_for_parts();
    let routes = routes
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(no_such_route)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(axum::middleware::from_fn(read_first::read_first))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(TraceLayer::new_for_http().make_span_with(span))
        .with_state(app);
    Router::new().fallback_service(NormalizePath::trim_trailing_slash(routes))
}

/// The OpenAPI document of everything that is served.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (_, document) = routes().split_for_parts();
    openapi::complete(document)
}

/// Method and path only: bodies, queries and headers may hold secrets.
fn span(request: &Request<Body>) -> tracing::Span {
    tracing::debug_span!("request", method = %request.method(), path = request.uri().path())
}

async fn no_such_route(uri: Uri) -> ApiError {
    ApiError::not_found(&format!("route {}", quote(uri.path())))
}

async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::method_not_allowed(format!("{} does not take {method}", quote(uri.path())))
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that the layer calls")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(panic = text, "a request's handler panicked");
    ApiError::internal().into_response()
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_500_in_json_and_tells_nothing() {
        async fn handler() -> &'static str {
            panic!("a secret")
        }
        let router: Router = Router::new().route("/", get(handler)).layer(CatchPanicLayer::custom(panicked));
        let Ok(response) = router.oneshot(Request::new(Body::empty())).await;
        assert_eq!(response.status(), 500);
        let body = axum::body::to_bytes(response.into_body(), 1_000).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let detail = body["detail"].as_str().unwrap();
        assert!(!detail.is_empty() && !detail.contains("secret"), "{detail}");
    }
}
