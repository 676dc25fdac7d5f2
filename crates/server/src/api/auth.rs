//! Who is calling.
//!
//! The header `X-API-Key` carries a key; nothing else is taken. A key that is missing, unknown, revoked or
//! expired is 401. An admin or agent key acts for its own organisation; an operator key for the one that
//! the header `Inkhook-Organization` names on each request, as its admin; any other key that sends that
//! header is refused, so that nobody believes it had an effect.

mod keys;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use inkhook_wire::id::{ApiKeyId, OrganizationId};

use self::keys::{Keys, Known};
use super::client_address::ClientAddress;
use super::error::{ApiError, quote};
use super::limit::{Limiter, Rates, TooMany};
use crate::app::App;
use crate::domain::api_key::{self, KeyScope};
use crate::domain::caller::{Caller, Role};
use crate::domain::number::OrganizationNo;
use crate::domain::signup;
use crate::domain::time::Clock;
use crate::store::api_keys::ApiKey;

/// The header that carries a key.
pub const API_KEY: &str = "x-api-key";
/// The header by which an operator key names an organisation.
pub const ORGANIZATION: &str = "inkhook-organization";
/// Publishing below this path is not counted against a key's rate.
const PUBLISH: &str = "/api/v1/events";
/// Neither is a call that is put below this one, by its last part: calls have bounds of their own, and somebody waits on
/// the line.
const NUMBERS: &str = "/api/v1/phone/numbers/";
const CALL: &str = "/incoming-calls";
/// Replays and tests that one organisation may ask for in a second.
const REPLAYS_PER_SECOND: u32 = 10;
/// What may be asked for in a second without a key, from one network.
const STRANGERS_PER_SECOND: u32 = 20;

const NO_KEY: &str = "no API key: send one in the header X-API-Key";
const ONE_KEY: &str = "send exactly one X-API-Key header";
const BEARER: &str = "this server takes no bearer tokens: send an API key in the header X-API-Key";
const WRONG_KEY: &str = "this API key is not valid: it is unknown, revoked or expired";

/// Finds keys and counts their requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keys: Keys,
    limiter: Limiter<ApiKeyId>,
    replays: Limiter<OrganizationNo>,
    strangers: Limiter<String>,
    publishing: Rates<OrganizationNo>,
}

impl Auth {
    /// Knows nothing yet. `requests_per_second` is what one key may ask for, publishing aside; twice that
    /// may come at once.
    #[must_use]
    pub fn new(clock: Clock, requests_per_second: u32) -> Self {
        let limiter = Limiter::new(clock.clone(), requests_per_second);
        let replays = Limiter::new(clock.clone(), REPLAYS_PER_SECOND);
        let strangers = Limiter::new(clock.clone(), STRANGERS_PER_SECOND);
        let publishing = Rates::new(clock);
        Self(Arc::new(Inner { keys: Keys::default(), limiter, replays, strangers, publishing }))
    }

    /// Counts a request that needs no key towards what its network may ask for.
    ///
    /// # Errors
    /// 429 when they are too many now.
    pub(super) fn admit_stranger(&self, ClientAddress(client): ClientAddress) -> Result<(), ApiError> {
        let Some(client) = client else { return Ok(()) };
        self.0.strangers.check(&signup::block(client)).map_err(|seconds| {
            ApiError::too_many(
                "too many requests without a key from this network; wait and try again",
                seconds,
            )
        })
    }

    /// Counts one delivery by hand towards what the caller's organisation may ask for.
    ///
    /// # Errors
    /// 429 when they are too many now; `what` names them.
    pub fn admit_by_hand(&self, caller: &Caller, what: &str) -> Result<(), ApiError> {
        self.0.replays.check(&caller.organization).map_err(|seconds| {
            ApiError::too_many(format!("too many {what} of this organisation; wait and try again"), seconds)
        })
    }

    /// Counts so many events that the caller is about to publish towards what its organisation set as its
    /// limit, if it set one.
    ///
    /// # Errors
    /// 429 when they are too many now; 422 when they are more than may ever come at once.
    pub fn admit_publish(&self, caller: &Caller, events: u32) -> Result<(), ApiError> {
        let Some(per_second) = caller.publish_per_second else { return Ok(()) };
        self.0.publishing.check(caller.organization, per_second, events).map_err(|refused| match refused {
            TooMany::Now(seconds) => ApiError::too_many(
                format!("the organisation's limits.publish_per_second is {per_second}; wait and try again"),
                seconds,
            ),
            TooMany::Ever => ApiError::invalid(
                "events",
                format!(
                    "{events} events are more than the organisation's limits.publish_per_second \
                    ({per_second}) ever lets through at once"
                ),
            ),
        })
    }
}

/// A valid key, whether or not it has an organisation.
#[derive(Debug, Clone)]
pub struct Key(Arc<Known>);

impl Key {
    /// What is known about it. The time of its last use may be older than the stored one.
    #[must_use]
    pub fn record(&self) -> &ApiKey {
        &self.0.key
    }
}

impl FromRequestParts<App> for Key {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let text = text(&parts.headers)?;
        let Inner { keys, limiter, .. } = &*app.auth.0;
        // A text that cannot be a key is not worth a read.
        let known = match api_key::validate(text) {
            Ok(()) => keys.find(&app.store, &app.clock, text).await?,
            Err(_) => None,
        };
        let known = known.ok_or_else(|| ApiError::unauthorized(WRONG_KEY))?;
        if is_counted(parts) {
            limiter.check(&known.key.id).map_err(|seconds| {
                ApiError::too_many("too many requests with this API key; wait and try again", seconds)
            })?;
        }
        Ok(Self(known))
    }
}

fn text(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut values = headers.get_all(API_KEY).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| ApiError::unauthorized(WRONG_KEY)),
        (Some(_), Some(_)) => Err(ApiError::unauthorized(ONE_KEY)),
        (None, _) if headers.contains_key(header::AUTHORIZATION) => Err(ApiError::unauthorized(BEARER)),
        (None, _) => Err(ApiError::unauthorized(NO_KEY)),
    }
}

fn is_counted(parts: &Parts) -> bool {
    let path = parts.uri.path();
    let below = path.strip_prefix(PUBLISH);
    let publishes = below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let calls = path.starts_with(NUMBERS) && path.ends_with(CALL);
    parts.method != Method::POST || !(publishes || calls)
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let known = Key::from_request_parts(parts, app).await?;
        let key = known.record();
        let named = named_organization(&parts.headers)?;
        let mut publish_per_second = known.0.publish_per_second;
        let ((organization, organization_id), role) = match (key.scope, key.organization, key.identity) {
            (KeyScope::Operator, ..) => {
                let (no, id, rate) = operated_organization(app, named).await?;
                publish_per_second = rate;
                ((no, id), Role::Admin)
            }
            _ if named.is_some() => {
                return Err(ApiError::forbidden(
                    "only an operator key may name an organisation in the header Inkhook-Organization",
                ));
            }
            (KeyScope::Admin, Some(own), _) => (own, Role::Admin),
            (KeyScope::Agent, Some(own), Some(identity)) => {
                (own, Role::Agent { identity, claimed: key.claimed })
            }
            _ => return Err(ApiError::unauthorized(WRONG_KEY)),
        };
        Ok(Self { organization, organization_id, key_id: key.id, role, publish_per_second })
    }
}

type Named<'a> = Option<&'a str>;

fn named_organization(headers: &HeaderMap) -> Result<Named<'_>, ApiError> {
    let mut values = headers.get_all(ORGANIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Ok(Some(value.to_str().unwrap_or_default())),
        (Some(_), Some(_)) => Err(ApiError::forbidden("send exactly one Inkhook-Organization header")),
    }
}

async fn operated_organization(
    app: &App,
    named: Named<'_>,
) -> Result<(OrganizationNo, OrganizationId, Option<u32>), ApiError> {
    let named = named.ok_or_else(|| {
        ApiError::forbidden(
            "an operator key acts for the organisation in the header Inkhook-Organization: org_…",
        )
    })?;
    let unknown = || ApiError::not_found(&format!("organisation {}", quote(named)));
    let id: OrganizationId = named.parse().map_err(|_| unknown())?;
    let known = app.auth.0.keys.organization(&app.store, id).await?;
    let (no, publish_per_second) = known.ok_or_else(unknown)?;
    Ok((no, id, publish_per_second))
}

/// A caller of a webhook route: anybody but an unclaimed agent key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookCaller(pub Caller);

impl FromRequestParts<App> for WebhookCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, app).await?;
        match caller.role {
            Role::Agent { claimed: false, .. } => Err(ApiError::forbidden(
                "this key is not claimed yet: webhooks need a claimed agent key or an admin key",
            )),
            _ => Ok(Self(caller)),
        }
    }
}

/// A caller that manages its organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminCaller(pub Caller);

impl FromRequestParts<App> for AdminCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, app).await?;
        if caller.is_admin() {
            Ok(Self(caller))
        } else {
            Err(ApiError::forbidden("this needs an admin key of the organisation"))
        }
    }
}
