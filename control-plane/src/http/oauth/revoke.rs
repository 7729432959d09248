//! `POST /oauth/revoke` (RFC 7009). Whoever holds a token may switch it off.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Form, OauthError};
use crate::clock::unix_seconds;
use crate::credential::{Credential, CredentialKind};
use crate::http::revocations::{log_out, own_token};
use crate::plane::{Plane, PlaneError};
use crate::record::{Record, Revocation};
use crate::store::Request;

/// A token to revoke, as a form.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the form to the API's readers")]
pub(in crate::http) struct RevokeForm {
    /// A refresh token, or an access token.
    token: String,
    /// `refresh_token` or `access_token`; the token says it by itself.
    token_type_hint: Option<String>,
}

/// Revokes an access token, or with a refresh token its whole session. A token that is unknown,
/// expired or revoked already is no error.
#[utoipa::path(
    post, path = "/oauth/revoke", tag = "oauth",
    request_body(content = RevokeForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Revoked, or never good"),
              (status = 400, body = OauthError), (status = 503, body = OauthError))
)]
pub(in crate::http) async fn revoke(
    State(plane): State<Arc<Plane>>,
    form: Form,
) -> Result<StatusCode, OauthError> {
    let token = form.need("token", "missing_token")?;
    let now = unix_seconds();
    let credential = Credential::parse(token, CredentialKind::RefreshToken, plane.master());
    if let Some(credential) = credential {
        // RFC 7009 section 2.1: the access tokens of the same grant go with it.
        log_out(&plane, credential.session, now).await?;
    } else if let Some((jti, exp)) = own_token(&plane, token).filter(|(_, exp)| *exp > now) {
        revoke_one(&plane, jti, exp, now).await?;
    }
    Ok(StatusCode::OK)
}

/// However often it is asked for, the log gets one record.
async fn revoke_one(plane: &Plane, jti: String, exp: u64, now: u64) -> Result<(), PlaneError> {
    let digest = *blake3::hash(jti.as_bytes()).as_bytes();
    let id = format!("oauth:revoke:{}", blake3::Hash::from_bytes(digest).to_hex());
    let revocations = vec![Revocation::Token { issuer: None, jti, exp }];
    let (by, reason) = ("oauth".to_owned(), Some("RFC 7009".to_owned()));
    plane.revoke(&Request { id, digest }, &Record { at: now, by, reason, revocations }).await?;
    Ok(())
}
