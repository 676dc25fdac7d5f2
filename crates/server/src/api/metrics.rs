//! `/metrics`: what this process counts, as Prometheus reads it.
//!
//! For whoever runs the server: an operator key, or everybody when the operator says so
//! (`server.public_metrics`), for a listener that only the operator's network reaches. Not by the peer's
//! address: behind a proxy on the same machine every request comes from loopback. It tells of all
//! organisations together and names none, so an organisation's own key is not enough.

use axum::extract::{FromRequestParts, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;

use super::auth::Key;
use super::error::ApiError;
use crate::app::App;
use crate::domain::api_key::KeyScope;
use crate::domain::metrics;

/// The version of the format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Not in the document of the API: it is for machines that know the format, and is no part of the contract.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().route("/metrics", get(show))
}

/// Somebody who may look.
#[derive(Debug)]
struct Looker;

impl FromRequestParts<App> for Looker {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if app.settings.public_metrics {
            return Ok(Self);
        }
        let key = Key::from_request_parts(parts, app).await?;
        match key.record().scope {
            KeyScope::Operator => Ok(Self),
            _ => Err(ApiError::forbidden("this needs an operator key")),
        }
    }
}

async fn show(State(app): State<App>, _: Looker) -> Result<Response, ApiError> {
    let oldest = app.store.oldest_due(app.clock.schedule()).await;
    let oldest = match oldest {
        Ok(oldest) => Some(oldest.unwrap_or_default().as_secs_f64()),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the oldest delivery is not known");
            None
        }
    };
    let text = metrics::render(app.store.metrics(), oldest);
    Ok(([(header::CONTENT_TYPE, TEXT)], text).into_response())
}
