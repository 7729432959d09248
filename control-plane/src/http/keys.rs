//! `GET /v1/keys` and `GET /.well-known/jwks.json`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::ProblemDocument;
use crate::plane::Plane;

/// The keys this control plane signs with.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Keys {
    /// Those for tokens, oldest first.
    token_keys: Vec<TokenKey>,
    /// The public keys of the feed, base64url: verifiers must trust one of them.
    feed_public_keys: Vec<String>,
}

/// A key that signs or signed tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenKey {
    kid: String,
    alg: &'static str,
    /// When it was created, unix seconds.
    created_at: u64,
    /// `active`, `verifying` or `dead`.
    state: &'static str,
}

/// Lists the signing keys; private parts never leave the store unsealed.
#[utoipa::path(
    get, path = "/v1/keys", tag = "keys", security(("api_key" = ["keys:read"])),
    responses((status = 200, body = Keys), (status = "4XX", body = ProblemDocument))
)]
pub(super) async fn list(State(plane): State<Arc<Plane>>) -> Json<Keys> {
    let keyring = plane.keyring();
    let active = plane.active_kid();
    let fold = plane.fold();
    let keys = keyring.token_keys().iter().map(|key| TokenKey {
        kid: key.kid().to_owned(),
        alg: key.algorithm(),
        created_at: key.created_at(),
        state: match key.kid() {
            kid if fold.is_dead(kid) => "dead",
            kid if active.as_deref() == Some(kid) => "active",
            _ => "verifying",
        },
    });
    let token_keys = keys.collect();
    let feed_public_keys = plane
        .feed_keys()
        .iter()
        .map(|key| Base64UrlUnpadded::encode_string(key.public_key()))
        .collect();
    Json(Keys { token_keys, feed_public_keys })
}

/// The public keys that verify tokens, as a JWK set (RFC 7517). Dead keys are not in it.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "keys",
    responses((status = 200, body = serde_json::Value))
)]
pub(super) async fn jwks(State(plane): State<Arc<Plane>>) -> Response {
    let jwks = {
        let fold = plane.fold();
        plane.keyring().jwks(|kid| fold.is_dead(kid))
    };
    let headers = [
        (header::CONTENT_TYPE, "application/jwk-set+json"),
        (header::CACHE_CONTROL, "public, max-age=15"),
    ];
    (headers, jwks.to_string()).into_response()
}
