//! `POST /v1/handover/…`: the edge worker exchanges codes and handles; no browser calls this.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use offswitch_core::record::HOLDER;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::Body;

use super::revocations::Accepted;
use crate::credential::{Credential, CredentialKind};
use crate::plane::{Issued, Plane};
use crate::problem::{Problem, ProblemDocument};

/// A one-time code.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Code {
    code: String,
}

/// The value of the cookie.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Handle {
    handle: String,
}

/// An access token for the edge worker.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HandedOver {
    /// The cookie's value; only present in the login response.
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<String>,
    session_id: String,
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds until the access token expires.
    expires_in: u64,
    /// When the access token expires, unix seconds.
    expires_at: u64,
    /// When the session ends at the latest, unix seconds.
    session_expires_at: u64,
}

/// Exchanges a one-time code for the handle, which is stored in the browser's cookie.
#[utoipa::path(
    post, path = "/v1/handover/login", tag = "handover", operation_id = "redeemHandoverCode",
    summary = "Exchange a one-time code",
    request_body(content = Code, example = json!({ "code": "{handover_code}" })),
    responses((status = 200, description = "An access token", body = HandedOver), (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn login(
    State(plane): State<Arc<Plane>>,
    body: Body<Code>,
) -> Result<Json<HandedOver>, Problem> {
    let spent = || Problem::bad_request("invalid_code", "the code is unknown, spent or too old");
    let code = plane.sessions.credential(&body.value.code, CredentialKind::HandoverCode);
    let now = plane.now();
    let issued =
        plane.sessions.redeem_code(code.ok_or_else(spent)?, now).await?.ok_or_else(spent)?;
    plane.sessions.audit("session_handed_over", "holder", issued.session);
    let handle = Some(issued.credential.to_string());
    Ok(Json(HandedOver::new(issued, handle, now)))
}

/// Issues a new access token for the session.
#[utoipa::path(
    post, path = "/v1/handover/token", tag = "handover", operation_id = "issueHandoverToken",
    summary = "Issue an access token for a handle",
    request_body(content = Handle, example = json!({ "handle": "{handle}" })),
    responses((status = 200, description = "An access token", body = HandedOver), (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn token(
    State(plane): State<Arc<Plane>>,
    body: Body<Handle>,
) -> Result<Json<HandedOver>, Problem> {
    let (handle, now) = (body.value.credential(&plane)?, plane.now());
    let issued = plane.sessions.handover_token(handle, now).await?;
    let issued =
        issued.ok_or_else(|| Problem::new(StatusCode::GONE, "session_ended", "log in again"))?;
    Ok(Json(HandedOver::new(issued, None, now)))
}

/// Logs the device out.
#[utoipa::path(
    post, path = "/v1/handover/logout", tag = "handover", operation_id = "endHandover",
    summary = "Log out the session of a handle",
    request_body(content = Handle, example = json!({ "handle": "{handle}" })),
    responses((status = 200, description = "Recorded", body = Accepted), (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn logout(
    State(plane): State<Arc<Plane>>,
    body: Body<Handle>,
) -> Result<Json<Accepted>, Problem> {
    let handle = body.value.credential(&plane)?;
    let ended = plane.sessions.end_once(&[handle.session], HOLDER, "logout", plane.now()).await?;
    Ok(Json(ended.into()))
}

impl Handle {
    fn credential(&self, plane: &Plane) -> Result<Credential, Problem> {
        plane
            .sessions
            .credential(&self.handle, CredentialKind::HandoverHandle)
            .ok_or_else(|| Problem::bad_request("invalid_handle", "there is no such handle"))
    }
}

impl HandedOver {
    fn new<C>(issued: Issued<C>, handle: Option<String>, now: u64) -> Self {
        Self {
            handle,
            session_id: issued.session.to_string(),
            access_token: issued.access_token,
            token_type: "Bearer",
            expires_in: issued.expires_at.saturating_sub(now),
            expires_at: issued.expires_at,
            session_expires_at: issued.session_expires_at,
        }
    }
}
