//! `POST /oauth/revoke` (RFC 7009). Whoever holds a token may switch it off.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::{Form, OauthError, TokenForm};
use crate::credential::{Credential, CredentialKind};
use crate::http::revocations::{Claims, HOLDER, own_token};
use crate::plane::{Plane, PlaneError};
use crate::record::{Record, Revocation};
use crate::store::{REQUEST_MEMORY, Request, StoreError};

/// Revokes an access token, or with a refresh token its whole session. A token that is unknown,
/// expired or revoked already is no error.
#[utoipa::path(
    post, path = "/oauth/revoke", tag = "oauth",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Revoked, or never good"),
              (status = 400, body = OauthError), (status = 503, body = OauthError))
)]
pub(in crate::http) async fn revoke(
    State(plane): State<Arc<Plane>>,
    form: Form,
) -> Result<StatusCode, OauthError> {
    let token = form.need("token", "missing_token")?;
    let now = plane.now();
    let credential = Credential::parse(token, CredentialKind::RefreshToken, plane.master());
    if let Some(credential) = credential {
        // RFC 7009 section 2.1: the access tokens of the same grant go with it.
        plane.end_once(&[credential.session], HOLDER, "RFC 7009", now).await?;
    } else if let Some(claims) = own_token(&plane, token).filter(|claims| claims.exp > now) {
        revoke_one(&plane, claims, now).await?;
    }
    Ok(StatusCode::OK)
}

/// However often it is asked for, the log gets one record, and of one session at most
/// [`TOKENS_OF_A_SESSION`]: who refreshes only to revoke ends the session at last (RFC 7009 section
/// 2.1 allows it), or anyone with one refresh token could fill the log.
async fn revoke_one(plane: &Plane, claims: Claims, now: u64) -> Result<(), PlaneError> {
    let Claims { jti, sid, exp, .. } = claims;
    let digest = *blake3::hash(jti.as_bytes()).as_bytes();
    let place = digest[0] % TOKENS_OF_A_SESSION;
    let id = format!("{HOLDER}:revoke:{}:{place}", blake3::hash(sid.as_bytes()).to_hex());
    let revocations = vec![Revocation::Token { issuer: None, jti, exp }];
    let (by, reason) = (HOLDER.to_owned(), Some("RFC 7009".to_owned()));
    let record = Record { at: now, by, reason, revocations };
    match plane.revoke(&Request { id, digest, memory: REQUEST_MEMORY }, &record).await {
        Err(PlaneError::Store(StoreError::RequestReused)) => {
            if let Ok(session) = sid.parse() {
                plane.end_once(&[session], HOLDER, "RFC 7009", now).await?;
            }
            Ok(())
        }
        revoked => revoked.map(drop),
    }
}

const TOKENS_OF_A_SESSION: u8 = 4;
