//! Keys that anybody may know: an organisation's key pair, and the route where receivers find its public half.
//!
//! With a key pair each POST also carries a signature that the public key verifies (`v1a` in `webhook-signature`), so
//! that a receiver needs no secret, and one that leaks its settings lets nobody sign. The pair is the organisation's:
//! one for the whole server would let any tenant have signed what another's receiver believes.

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use inkhook_wire::id::OrganizationId;
use inkhook_wire::sign::asymmetric::PublicKey;
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::AdminCaller;
use super::body::Body;
use super::client_address::ClientAddress;
use super::error::{ApiError, ErrorBody};
use super::path::PathPart;
use super::signing_keys::RotateBody;
use crate::app::App;
use crate::domain::time::TimeMs;
use crate::store::signing_keys::{PublishedKey, PublishedKeys};

/// Receivers may keep the keys for five minutes: as long as a key whose time is over stays published.
const CACHED: &str = "public, max-age=300";

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get, rotate, remove)).routes(routes!(jwks))
}

/// A public key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PublicKey, example = json!({
    "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    "public_key": "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "created_at": "2026-05-28T20:26:40.000Z"
}))]
struct Shown {
    /// Its name at the JWKS route: its thumbprint (RFC 7638).
    kid: String,
    /// `whpk_` and the base64 of its 32 bytes.
    public_key: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: TimeMs,
}

impl From<PublishedKey> for Shown {
    fn from(published: PublishedKey) -> Self {
        let PublishedKey { key, created_at, .. } = published;
        Self { kid: Jwk::from(key).kid, public_key: key.to_string(), created_at }
    }
}

/// The public keys of an organisation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PublicKeys)]
struct Keys {
    /// The key that verifies what is sent now; null: no such signatures are made.
    current: Option<Shown>,
    /// The key that is to take its place.
    pending: Option<Shown>,
    /// When it will.
    #[schema(value_type = Option<String>, format = DateTime)]
    pending_from: Option<TimeMs>,
    /// Where receivers find both.
    jwks_path: String,
}

impl Keys {
    fn new(keys: &PublishedKeys, organization: OrganizationId) -> Self {
        let PublishedKeys { current, pending, .. } = *keys;
        Self {
            current: current.map(Shown::from),
            pending_from: pending.map(|pending| pending.from),
            pending: pending.map(Shown::from),
            jwks_path: format!("/api/v1/organizations/{organization}/jwks.json"),
        }
    }
}

/// The organisation's public keys.
#[utoipa::path(get, path = "/api/v1/organization/key-pair", tag = "signing keys",
    responses((status = 200, body = Keys)))]
async fn get(State(app): State<App>, AdminCaller(caller): AdminCaller) -> Result<Json<Keys>, ApiError> {
    let keys = app.store.public_keys(caller.organization, app.clock.wall()).await?;
    Ok(Json(Keys::new(&keys, caller.organization_id)))
}

/// Makes the organisation's key pair: from now on, or from its time on, `webhook-signature` carries a `v1a` entry, which
/// the public key verifies. The secret half never leaves the server. A later pair takes the place of an earlier one;
/// with `activate_after_seconds` receivers have that long to learn of its public half.
#[utoipa::path(post, path = "/api/v1/organization/key-pair", tag = "signing keys", request_body = RotateBody,
    responses((status = 201, body = Keys)))]
async fn rotate(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    Body(body): Body<RotateBody>,
) -> Result<(StatusCode, Json<Keys>), ApiError> {
    let keys = app.store.rotate_key_pair(caller.organization, body.activate_after()?).await?;
    Ok((StatusCode::CREATED, Json(Keys::new(&keys, caller.organization_id))))
}

/// Ends the signatures that a public key verifies, if there are any.
#[utoipa::path(delete, path = "/api/v1/organization/key-pair", tag = "signing keys",
    responses((status = 204, description = "There are none any more.")))]
async fn remove(State(app): State<App>, AdminCaller(caller): AdminCaller) -> Result<StatusCode, ApiError> {
    app.store.remove_key_pair(caller.organization).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A key as RFC 8037 writes it.
#[derive(Debug, Serialize, ToSchema)]
struct Jwk {
    /// `OKP`.
    kty: &'static str,
    /// `Ed25519`.
    crv: &'static str,
    /// The key, base64url.
    x: String,
    /// Its thumbprint (RFC 7638).
    kid: String,
    /// `EdDSA`.
    alg: &'static str,
    /// `sig`.
    #[serde(rename = "use")]
    used_for: &'static str,
}

impl From<PublicKey> for Jwk {
    fn from(key: PublicKey) -> Self {
        let x = URL_SAFE_NO_PAD.encode(key.as_bytes());
        // The members that the thumbprint is made of, in their order, without a space.
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(Sha256::digest(members));
        Self { kty: "OKP", crv: "Ed25519", x, kid, alg: "EdDSA", used_for: "sig" }
    }
}

/// The keys that receivers may meet, the one that signs now first.
#[derive(Debug, Serialize, ToSchema)]
struct Jwks {
    keys: Vec<Jwk>,
}

/// An organisation's public keys, for its receivers: the one whose signatures are sent now, the one that is to take its
/// place, and for five minutes the one whose place it has taken at its time; one that was replaced at once is not kept.
/// Needs no API key. Without a key pair, and for an organisation that is not there, the list is empty.
#[utoipa::path(get, path = "/api/v1/organizations/{organization_id}/jwks.json", tag = "signing keys",
    params(("organization_id" = String, Path)), security(()),
    responses((status = 200, body = Jwks),
        (status = 429, body = ErrorBody, description = "Too many requests without a key from this network.")))]
async fn jwks(
    State(app): State<App>,
    client: ClientAddress,
    PathPart(organization): PathPart<OrganizationId>,
) -> Result<([(HeaderName, &'static str); 1], Json<Jwks>), ApiError> {
    app.auth.admit_stranger(client)?;
    let PublishedKeys { current, pending, former } =
        app.store.public_keys_of(organization, app.clock.wall()).await?;
    let keys = [current, pending, former].into_iter().flatten().map(|published| Jwk::from(published.key));
    Ok(([(CACHE_CONTROL, CACHED)], Json(Jwks { keys: keys.collect() })))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and the thumbprint of RFC 8037, appendices A.2 and A.3.
    #[test]
    fn a_key_is_named_by_its_thumbprint() {
        let bytes = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").expect("base64url");
        let text = format!("whpk_{}", base64::engine::general_purpose::STANDARD.encode(bytes));
        let key = Jwk::from(text.parse::<PublicKey>().expect("a key"));
        assert_eq!(key.x, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(key.kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
