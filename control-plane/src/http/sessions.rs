//! `POST /v1/sessions`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::extract::Body;
use super::problem::{Problem, ProblemDocument};
use crate::clock::unix_seconds;
use crate::plane::{Plane, RESERVED_CLAIMS, SessionRequest};

/// A login.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenSession {
    /// The user, 1 to 256 bytes.
    #[schema(example = "alice")]
    sub: String,
    /// The audience of the token; the configured one by default.
    audience: Option<String>,
    /// The scope of the token, names separated by spaces.
    scope: Option<String>,
    /// The application's own claims, at most 4 KiB; registered names are refused.
    #[schema(value_type = Option<Object>)]
    claims: Option<Map<String, Value>>,
}

/// A session, just opened.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Session {
    /// The session's id, the token's `sid`.
    session_id: String,
    /// The access token, a JWT of type `at+jwt`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds until the token expires.
    expires_in: u64,
    /// When the token expires, unix seconds: its `exp`.
    expires_at: u64,
    /// The token's id, its `jti`.
    jti: String,
}

/// Logs a user in on one device and answers with an access token.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "sessions", request_body = OpenSession,
    security(("api_key" = ["sessions:write"])),
    responses((status = 201, body = Session), (status = "4XX", body = ProblemDocument),
              (status = 503, body = ProblemDocument))
)]
pub(super) async fn open(
    State(plane): State<Arc<Plane>>,
    body: Body<OpenSession>,
) -> Result<(StatusCode, Json<Session>), Problem> {
    let request = body.value.check()?;
    let now = unix_seconds();
    let opened = plane.open_session(request, now).await?;
    metrics::counter!("offswitch_sessions_total").increment(1);
    let session = Session {
        session_id: opened.session_id,
        access_token: opened.access_token,
        token_type: "Bearer",
        expires_in: opened.expires_at.saturating_sub(now),
        expires_at: opened.expires_at,
        jti: opened.token_id,
    };
    Ok((StatusCode::CREATED, Json(session)))
}

impl OpenSession {
    fn check(self) -> Result<SessionRequest, Problem> {
        let require = |holds: bool, detail: &str| {
            if holds { Ok(()) } else { Err(Problem::bad_request("invalid_session", detail)) }
        };
        let within = |text: &Option<String>, limit: usize| {
            text.as_ref().is_none_or(|text| (1..=limit).contains(&text.len()))
        };
        require((1..=256).contains(&self.sub.len()), "sub: must have 1 to 256 bytes")?;
        require(within(&self.audience, 256), "audience: must have 1 to 256 bytes")?;
        require(within(&self.scope, 1024), "scope: must have 1 to 1024 bytes")?;
        let claims = self.claims.unwrap_or_default();
        for name in RESERVED_CLAIMS {
            let detail = format!("claims: {name} is set by the control plane");
            require(!claims.contains_key(name), &detail)?;
        }
        let size = serde_json::to_vec(&claims).map_or(usize::MAX, |bytes| bytes.len());
        require(size <= MAX_CLAIMS_BYTES, "claims: must be at most 4096 bytes")?;
        let Self { sub, audience, scope, .. } = self;
        Ok(SessionRequest { sub, audience, scope, claims })
    }
}

/// The verifier refuses tokens over 16 KiB; this leaves room for everything else.
const MAX_CLAIMS_BYTES: usize = 4096;
