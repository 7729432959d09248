//! `/v1/receivers`: what identity providers send. No API key: each receiver checks its sender itself.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use offswitch_core::receivers::{ReceiverKind, Receivers};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::oauth::{Form, OauthError};
use crate::plane::{Plane, ReceiverError, ReceiverFailure, ReceiverStatus};

/// A logout, as a form.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the form to the API's readers")]
pub(super) struct LogoutForm {
    /// The logout token, a JWT that the issuer has signed.
    logout_token: String,
}

/// What this process has seen of a receiver since it started.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReceiverState {
    /// Which one.
    #[schema(example = "backchannel-logout")]
    receiver: &'static str,
    /// How many events were accepted.
    accepted: u64,
    /// How many requests were refused, or could not be carried out.
    failed: u64,
    /// When the last event was accepted, unix seconds; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<u64>,
    /// Why the last request failed that did; absent if none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<ReceiverErrorState>,
}

/// Why a request to a receiver failed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReceiverErrorState {
    /// When, unix seconds.
    at: u64,
    /// The stable code.
    code: &'static str,
    /// What was found and what was expected, in words.
    detail: String,
}

/// Takes a logout token of a registered issuer (OpenID Connect Back-Channel Logout 1.0). The tokens of
/// the session that it names are revoked, or without a session those of the user.
///
/// Register this address as the `backchannel_logout_uri` of the client at the provider. 200 means that
/// the revocation is durable. The same logout token again has no second effect.
#[utoipa::path(
    post, path = "/v1/receivers/{name}/backchannel-logout", tag = "receivers",
    operation_id = "takeLogoutToken", summary = "Log out, as an identity provider",
    request_body(content = LogoutForm, content_type = "application/x-www-form-urlencoded"),
    params(("name" = String, Path, description = "The name of the issuer", example = "idp")),
    responses((status = 200, description = "Revoked"),
              (status = 400, description = "The logout token is refused", body = OauthError),
              (status = 404, description = "There is no such receiver", body = OauthError),
              (status = 429, description = "Too many logout tokens were refused", body = OauthError),
              (status = 503, description = "Nothing is recorded: send it again", body = OauthError))
)]
pub(super) async fn backchannel_logout(
    State(plane): State<Arc<Plane>>,
    Path(name): Path<String>,
    form: Form,
) -> Result<StatusCode, OauthError> {
    let token = form.need("logout_token", "missing_token")?;
    plane.receivers.take_logout(&name, token, plane.now()).await?;
    Ok(StatusCode::OK)
}

impl ReceiverState {
    /// The receivers of the issuer with this name.
    pub(super) fn all(plane: &Plane, name: &str, receivers: &Receivers) -> Vec<Self> {
        let state = |kind: ReceiverKind| {
            let status = plane.receivers.status(name, kind);
            let ReceiverStatus { accepted, failed, accepted_at, last_error } = status;
            let last_error = last_error.map(|ReceiverFailure { at, code, detail }| {
                ReceiverErrorState { at, code, detail }
            });
            Self { receiver: kind.name(), accepted, failed, accepted_at, last_error }
        };
        receivers.kinds().map(state).collect()
    }
}

impl From<ReceiverError> for OauthError {
    fn from(error: ReceiverError) -> Self {
        let code = error.code();
        match error {
            ReceiverError::Log(error) => error.into(),
            ReceiverError::KeysUnavailable(_) => Self::unavailable(code),
            ReceiverError::Limited => {
                Self::unavailable(code).with_status(StatusCode::TOO_MANY_REQUESTS)
            }
            ReceiverError::Refused(_) => Self::invalid_request(code),
            ReceiverError::Unknown => {
                Self::invalid_request(code).with_status(StatusCode::NOT_FOUND)
            }
        }
    }
}
