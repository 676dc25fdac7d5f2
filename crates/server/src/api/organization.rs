//! `/api/v1/organization`: what the caller's organisation is, and what it sets for itself.
//!
//! For those who manage it: an agent key learns neither where operational events go nor what the limits
//! are, because it can do nothing about either.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::AdminCaller;
use super::body::{Body, Object, Patch};
use super::error::{ApiError, ErrorBody};
use super::known::at;
use super::url;
use crate::app::App;
use crate::domain::organization::{MAX_QUEUED, OrganizationChange, PUBLISH_PER_SECOND, RETENTION_DAYS};
use crate::domain::secret::Secret;
use crate::domain::time::TimeMs;
use crate::store::organization_settings::OrganizationView;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get, patch))
}

/// An organisation; what is null is the server's default.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Organization, example = json!({
    "id": "org_0b9c6f1e5b1a4c9e8a533d0f5e1a1001", "name": "acme", "created_at": "2026-05-28T20:26:40.000Z",
    "alerts_url": "https://ops.example.com/inkhook", "retention_days": 90,
    "limits": {"publish_per_second": 500, "max_queued": null}
}))]
struct Shown {
    id: String,
    name: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: TimeMs,
    /// Where operational events are POSTed; null: none are made.
    alerts_url: Option<String>,
    /// Days for which events, ended deliveries and attempts are kept.
    retention_days: Option<u32>,
    limits: LimitsShown,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrganizationLimits)]
struct LimitsShown {
    /// Events that may be published in a second, and at once; null: as many as the server takes.
    publish_per_second: Option<u32>,
    /// Deliveries that may wait; null: 10,000,000.
    max_queued: Option<u32>,
}

impl From<OrganizationView> for Shown {
    fn from(OrganizationView { organization, settings }: OrganizationView) -> Self {
        Self {
            id: organization.id.to_string(),
            name: organization.name,
            created_at: organization.created_at,
            alerts_url: settings.alerts_url,
            retention_days: settings.retention_days,
            limits: LimitsShown {
                publish_per_second: settings.publish_per_second,
                max_queued: settings.max_queued,
            },
        }
    }
}

/// An organisation that was just changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PatchedOrganization)]
struct Patched {
    #[serde(flatten)]
    #[schema(inline)]
    organization: Shown,
    /// The organisation's signing key, when this request made it; otherwise null. It signs operational
    /// events, and deliveries of identities without a key of their own.
    signing_key: Option<String>,
}

/// What changes: a field left out stays, null goes back to the default.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OrganizationPatch, example = json!({
    "alerts_url": "https://ops.example.com/inkhook", "limits": {"publish_per_second": 500}
}))]
struct PatchBody {
    /// By the rules of a subscription's URL; null: no operational events.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    alerts_url: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 3650)]
    retention_days: Patch<i64>,
    /// A limit left out stays, one that is null goes back to the default; null for the defaults of all.
    #[serde(default)]
    #[schema(value_type = Option<LimitsPatch>)]
    limits: Patch<Object<LimitsPatch>>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OrganizationLimitsPatch)]
struct LimitsPatch {
    /// Events that may be published in a second, and at once; a batch counts its events.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_000_000)]
    publish_per_second: Patch<i64>,
    /// Deliveries that may wait.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 10_000_000)]
    max_queued: Patch<i64>,
}

impl PatchBody {
    fn checked(self, policy: &inkhook_egress::Policy) -> Result<OrganizationChange, ApiError> {
        let alerts_url = self
            .alerts_url
            .try_map(|given| url::checked("alerts_url", given, policy).map(|url| url.given))?;
        let (publish_per_second, max_queued) = match self.limits {
            Patch::Keep => (Patch::Keep, Patch::Keep),
            Patch::Clear => (Patch::Clear, Patch::Clear),
            Patch::Set(Object(limits)) => (limits.publish_per_second, limits.max_queued),
        };
        Ok(OrganizationChange {
            alerts_url,
            retention_days: in_range(&["retention_days"], self.retention_days, RETENTION_DAYS)?,
            publish_per_second: in_range(
                &["limits", "publish_per_second"],
                publish_per_second,
                PUBLISH_PER_SECOND,
            )?,
            max_queued: in_range(&["limits", "max_queued"], max_queued, MAX_QUEUED)?,
        })
    }
}

fn in_range(path: &[&str], given: Patch<i64>, (min, max): (u32, u32)) -> Result<Patch<u32>, ApiError> {
    given.try_map(|number| {
        let fits = u32::try_from(number).ok().filter(|number| (min..=max).contains(number));
        fits.ok_or_else(|| at(path, format!("{number} is not between {min} and {max}"), "invalid"))
    })
}

/// The key's organisation, or the one that an operator key names. Needs an admin or operator key.
#[utoipa::path(get, path = "/api/v1/organization", tag = "organization",
    responses((status = 200, body = Shown)))]
async fn get(State(app): State<App>, AdminCaller(caller): AdminCaller) -> Result<Json<Shown>, ApiError> {
    let found = app.store.organization_view(caller.organization).await?;
    Ok(Json(found.ok_or_else(not_found)?.into()))
}

/// Changes the settings that are given. Needs an admin or operator key.
///
/// Takes effect at once: after the answer no operational event is sent to an earlier `alerts_url`.
#[utoipa::path(patch, path = "/api/v1/organization", tag = "organization", request_body = PatchBody,
    responses((status = 200, body = Patched),
        (status = 422, body = ErrorBody, description = "A field is not valid; `errors` names it.")))]
async fn patch(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    Body(body): Body<PatchBody>,
) -> Result<Json<Patched>, ApiError> {
    let change = body.checked(app.egress.policy())?;
    let patched = app.store.patch_organization(caller.organization, change).await?.ok_or_else(not_found)?;
    let signing_key = patched.signing_key.as_ref().map(Secret::expose).map(ToOwned::to_owned);
    Ok(Json(Patched { organization: patched.view.into(), signing_key }))
}

fn not_found() -> ApiError {
    ApiError::not_found("organisation")
}
