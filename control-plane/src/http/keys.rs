//! `GET /v1/keys`, `POST /v1/keys/rotate`, `POST /v1/feed-keys/…` and `GET /.well-known/jwks.json`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Caller;
use super::extract::{Body, IdInPath, IdempotencyKey, idempotency};
use crate::keyring::{FeedKeyState, FeedKeyStatus, KeyState, Rotated};
use crate::plane::Plane;
use crate::problem::{Problem, ProblemDocument};

/// The keys this control plane signs with.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Keys {
    /// The token keys that are not retired, in the order in which they sign.
    token_keys: Vec<TokenKey>,
    /// The public keys of the feed, base64url: verifiers must trust at least one of them.
    feed_public_keys: Vec<String>,
    /// The same keys, oldest first, with what an operator needs to rotate them.
    feed_keys: Vec<FeedKey>,
}

/// A key that signs every snapshot of the feed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FeedKey {
    /// Its id in snapshots and in `/v1/feed-keys/{id}/drop`.
    #[schema(example = "4f1c0a9be2d37788")]
    id: String,
    /// The public key that verifiers trust, base64url.
    public_key: String,
    /// When it was made, unix seconds.
    created_at: u64,
    /// `current` (the newest) or `overlapping` (signs until it is dropped).
    #[schema(value_type = String, example = "current")]
    state: FeedKeyState,
}

/// The new feed key.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewFeedKey {
    #[serde(flatten)]
    key: FeedKey,
    /// True if the same request made it before.
    repeated: bool,
}

/// A feed key that does not sign any more.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Dropped {
    id: String,
    /// False if it was dropped before.
    dropped: bool,
}

/// A key that signs, signed or will sign tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenKey {
    kid: String,
    alg: &'static str,
    /// When it was created, unix seconds.
    created_at: u64,
    /// `pending`, `active`, `verifying` or `dead`.
    #[schema(value_type = String, example = "active")]
    state: KeyState,
    /// When it starts to sign, unix seconds.
    signs_from: u64,
    /// When it is removed from the key set, long after its last token expired (unix seconds);
    /// absent while it has no successor.
    retires_at: Option<u64>,
}

/// A request for a new signing key; it has no members.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotate {}

/// The new signing key.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewKey {
    kid: String,
    alg: &'static str,
    /// When it starts to sign, unix seconds; until then it is only published.
    signs_from: u64,
    /// True if the key was already pending.
    repeated: bool,
}

/// Lists the signing keys; private parts never leave the store unsealed.
#[utoipa::path(
    get, path = "/v1/keys", tag = "keys", operation_id = "listKeys", summary = "List the signing keys",
    responses((status = 200, description = "The keys", body = Keys), (status = "4XX", description = "Refused", body = ProblemDocument))
)]
pub(super) async fn list(State(plane): State<Arc<Plane>>) -> Json<Keys> {
    let keys = plane.signing.token_keys().into_iter().map(|key| TokenKey {
        kid: key.kid,
        alg: key.algorithm,
        created_at: key.created_at,
        state: key.state,
        signs_from: key.signs_from,
        retires_at: key.retires_at,
    });
    let token_keys = keys.collect();
    let feed_public_keys = plane
        .signing
        .feed_keys()
        .iter()
        .map(|key| Base64UrlUnpadded::encode_string(key.public_key()))
        .collect();
    let feed_keys = plane.signing.feed_key_states().into_iter().map(FeedKey::from).collect();
    Json(Keys { token_keys, feed_public_keys, feed_keys })
}

/// Makes a new signing key. It is published now and signs after `key_publish_seconds`; the tokens
/// of the old key stay valid. While a key is pending, it is returned instead, so that repeating the
/// call is harmless.
#[utoipa::path(
    post, path = "/v1/keys/rotate", tag = "keys", operation_id = "rotateKey",
    summary = "Make a new signing key",
    request_body(content = Rotate, example = json!({})),
    responses((status = 200, description = "The new key", body = NewKey), (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn rotate(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
    _body: Body<Rotate>,
) -> Result<Json<NewKey>, Problem> {
    let rotated = plane.rotate_key(&caller.id, plane.now()).await?;
    let Rotated { kid, algorithm: alg, signs_from, repeated } = rotated;
    Ok(Json(NewKey { kid, alg, signs_from, repeated }))
}

/// Makes a new feed key, which signs every snapshot together with the old ones from now on.
/// Configure all verifiers with it, then drop the old one.
#[utoipa::path(
    post, path = "/v1/feed-keys/rotate", tag = "keys", operation_id = "rotateFeedKey",
    summary = "Make a new feed key", params(IdempotencyKey),
    responses((status = 200, description = "The new key", body = NewFeedKey),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn rotate_feed(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Json<NewFeedKey>, Problem> {
    let request = idempotency(&headers, &caller.id, "/v1/feed-keys/rotate", b"")?;
    let rotated = plane.publisher.rotate_feed_key(&request.id, plane.now()).await?;
    Ok(Json(NewFeedKey { key: rotated.key.into(), repeated: rotated.repeated }))
}

/// Stops signing with a feed key. From then on verifiers that trust only this key accept no
/// snapshot, and they answer 503 once the snapshot that they have is stale. Drop a stolen key
/// immediately, and an old one when all verifiers trust a newer one. The last key cannot be
/// dropped.
#[utoipa::path(
    post, path = "/v1/feed-keys/{id}/drop", tag = "keys", operation_id = "dropFeedKey",
    summary = "Drop a feed key",
    params(("id" = String, Path, description = "The key's id", example = "{feed_key_id}")),
    responses((status = 200, description = "Dropped", body = Dropped),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn drop_feed(
    State(plane): State<Arc<Plane>>,
    IdInPath(id): IdInPath,
) -> Result<Json<Dropped>, Problem> {
    let dropped = plane.publisher.drop_feed_key(&id, plane.now()).await?;
    Ok(Json(Dropped { id, dropped }))
}

/// The public keys that verify tokens, as a JWK set (RFC 7517), without dead and retired keys.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "keys", operation_id = "readKeySet",
    summary = "Read the public keys",
    responses((status = 200, description = "A JWK set", body = serde_json::Value,
               content_type = "application/jwk-set+json"))
)]
pub(super) async fn jwks(State(plane): State<Arc<Plane>>) -> Response {
    // Another process may have signed with a key that this one has not read yet.
    plane.publisher.refresh_keys().await;
    let headers = [
        (header::CONTENT_TYPE, "application/jwk-set+json"),
        (header::CACHE_CONTROL, "public, max-age=15"),
    ];
    (headers, plane.signing.jwks().to_string()).into_response()
}

impl From<FeedKeyStatus> for FeedKey {
    fn from(key: FeedKeyStatus) -> Self {
        let FeedKeyStatus { id, public_key, created_at, state } = key;
        Self { id, public_key, created_at, state }
    }
}
