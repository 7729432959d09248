//! `POST /oauth/token`: the refresh grant (RFC 6749 section 6), with rotation (RFC 9700 section
//! 4.14).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use offswitch_core::record::HOLDER;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Form, OauthError};
use crate::audit;
use crate::credential::CredentialKind;
use crate::http::sessions::is_scope;
use crate::plane::{Plane, RefreshRefusal, Refreshed};

/// A refresh request, as a form.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the form to the API's readers")]
pub(in crate::http) struct RefreshForm {
    #[schema(example = "refresh_token")]
    grant_type: String,
    #[schema(example = "osr_…")]
    refresh_token: String,
    /// Required if the session was opened for a client.
    client_id: Option<String>,
    /// At most the scope that was granted.
    scope: Option<String>,
}

/// New tokens (RFC 6749 section 5.1).
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct TokenAnswer {
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds until the access token expires.
    expires_in: u64,
    /// The next refresh token: the one in the request has been used.
    refresh_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// The session's id.
    session_id: String,
}

/// Exchanges a refresh token for an access token and the next refresh token. During the grace
/// period a used token returns the same successor again, as long as the successor is unused. After
/// that it counts as theft, and the session is revoked. The session is also revoked if used tokens
/// come back later than ten seconds in three generations in a row. A session that the store has
/// lost is answered with 503 (`session_lost`), or, depending on the setting `lost_sessions`, with
/// an `invalid_grant` that says so.
#[utoipa::path(
    post, path = "/oauth/token", tag = "oauth", operation_id = "refreshToken",
    summary = "Refresh",
    request_body(content = RefreshForm, content_type = "application/x-www-form-urlencoded",
                 example = json!({ "grant_type": "refresh_token",
                                   "refresh_token": "{refresh_token}" })),
    responses((status = 200, description = "New tokens", body = TokenAnswer), (status = 400, description = "Refused", body = OauthError),
              (status = 503, description = "The store does not answer", body = OauthError))
)]
pub(in crate::http) async fn refresh(
    State(plane): State<Arc<Plane>>,
    form: Form,
) -> Result<Json<TokenAnswer>, OauthError> {
    if form.need("grant_type", "missing_grant_type")? != "refresh_token" {
        let code = "unsupported_grant_type";
        return Err(OauthError::bad_request(code, code));
    }
    let token = form.need("refresh_token", "missing_refresh_token")?;
    let token = plane.sessions.credential(token, CredentialKind::RefreshToken);
    let token = token.ok_or(OauthError::invalid_grant("unknown_refresh_token"))?;
    audit::by(HOLDER);
    if form.find("scope").is_some_and(|scope| !is_scope(scope)) {
        return Err(RefreshRefusal::WrongScope.into());
    }
    let now = plane.now();
    let (client, scope) = (form.find("client_id"), form.find("scope"));
    let refreshed = plane.sessions.refresh(token, client, scope, now).await?;
    let issued = match refreshed {
        Refreshed::Issued(issued) => issued,
        Refreshed::Refused(refusal) => {
            metrics::counter!("offswitch_refreshes_total", "outcome" => refusal.code())
                .increment(1);
            audit::refused_refresh(refusal.code());
            return Err(refusal.into());
        }
    };
    metrics::counter!("offswitch_refreshes_total", "outcome" => "issued").increment(1);
    plane.sessions.audit("session_refreshed", "holder", issued.session);
    Ok(Json(TokenAnswer {
        access_token: issued.access_token,
        token_type: "Bearer",
        expires_in: issued.expires_at.saturating_sub(now),
        refresh_token: issued.credential.to_string(),
        scope: issued.scope,
        session_id: issued.session.to_string(),
    }))
}

impl From<RefreshRefusal> for OauthError {
    fn from(refusal: RefreshRefusal) -> Self {
        let error = match refusal {
            RefreshRefusal::WrongScope => "invalid_scope",
            RefreshRefusal::SessionEnded
            | RefreshRefusal::SessionLost
            | RefreshRefusal::TokenReused
            | RefreshRefusal::WrongClient => "invalid_grant",
        };
        let error_description = match refusal {
            RefreshRefusal::SessionLost => SESSION_LOST,
            refusal => refusal.code(),
        };
        Self::bad_request(error, error_description)
    }
}

/// This is not the client's fault: the client should say so to the user.
const SESSION_LOST: &str = "session_lost: the session store lost this session; log in again";
