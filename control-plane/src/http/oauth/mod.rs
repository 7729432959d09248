//! The OAuth endpoints, with the responses that their RFCs define.

pub(super) mod introspect;
pub(super) mod revoke;
pub(super) mod token;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::extract::whole_body;
use crate::plane::{Plane, PlaneError};
use crate::problem::{Problem, ProblemCode, retry_after};

/// An error as defined in RFC 6749 section 5.2. The description is a stable code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OauthError)]
pub(super) struct OauthError {
    /// The RFC's code.
    #[schema(example = "invalid_grant")]
    error: &'static str,
    /// Our own, more exact code.
    #[schema(example = "session_ended")]
    error_description: &'static str,
    /// The status of the answer.
    #[serde(skip)]
    status: StatusCode,
}

/// A token to revoke or introspect, as a form (RFC 7009 section 2.1, RFC 7662 section 2.1).
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the form to the API's readers")]
pub(super) struct TokenForm {
    /// An access token, or a refresh token.
    token: String,
    /// `refresh_token` or `access_token`; not needed, because the token itself shows its type.
    token_type_hint: Option<String>,
}

/// A form's fields, each once (RFC 6749 section 3.2).
pub(super) struct Form(HashMap<String, String>);

/// The metadata of the authorization server (RFC 8414): the addresses of the endpoints.
#[utoipa::path(
    get, path = "/.well-known/oauth-authorization-server", tag = "oauth",
    operation_id = "readMetadata", summary = "Read the addresses of the endpoints",
    responses((status = 200, description = "RFC 8414 metadata", body = serde_json::Value))
)]
pub(super) async fn metadata(State(plane): State<Arc<Plane>>) -> Response {
    let issuer = plane.issuer();
    let at = |path: &str| Value::from(format!("{}{path}", issuer.trim_end_matches('/')));
    let document = json!({
        "issuer": issuer,
        "token_endpoint": at("/oauth/token"),
        "token_endpoint_auth_methods_supported": ["none"],
        "jwks_uri": at("/.well-known/jwks.json"),
        "revocation_endpoint": at("/oauth/revoke"),
        "revocation_endpoint_auth_methods_supported": ["none"],
        "introspection_endpoint": at("/oauth/introspect"),
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic"],
        "grant_types_supported": ["refresh_token"],
        "response_types_supported": [],
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
    });
    let headers = [(header::CACHE_CONTROL, "public, max-age=300")];
    (headers, Json(document)).into_response()
}

impl Form {
    /// A form with these fields.
    #[cfg(test)]
    fn of(fields: HashMap<String, String>) -> Self {
        Self(fields)
    }

    /// The field `name`, which is required.
    pub(super) fn need(&self, name: &str, missing: &'static str) -> Result<&str, OauthError> {
        self.find(name).ok_or(OauthError::invalid_request(missing))
    }

    /// The field `name`; a field without a value counts as absent (RFC 6749 section 3.2).
    pub(super) fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = OauthError;

    async fn from_request(request: Request, state: &S) -> Result<Self, OauthError> {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(OauthError::invalid_request("unsupported_media_type"));
        }
        let bytes = whole_body(request, state).await;
        let bytes = bytes.map_err(|error| OauthError::invalid_request(error.code()))?;
        let mut fields = HashMap::new();
        for (name, value) in form_urlencoded::parse(&bytes) {
            if fields.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(OauthError::invalid_request("repeated_parameter"));
            }
        }
        Ok(Self(fields))
    }
}

impl OauthError {
    /// The grant is not valid: after a refresh, the client must log in again.
    pub(super) fn invalid_grant(code: &'static str) -> Self {
        Self::bad_request("invalid_grant", code)
    }

    /// The request needs an API key that may do this; `code` says what is wrong with the given one.
    pub(super) fn invalid_client(code: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", code)
    }

    /// The endpoint does not accept the request.
    pub(super) fn invalid_request(code: &'static str) -> Self {
        Self::bad_request("invalid_request", code)
    }

    /// 400, with a code of the RFC and our own.
    pub(super) fn bad_request(error: &'static str, code: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, code)
    }

    /// Nothing was done. Never `invalid_grant`: clients would discard valid tokens.
    pub(super) fn unavailable(code: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", code)
    }

    /// The same error with another status.
    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    fn new(status: StatusCode, error: &'static str, error_description: &'static str) -> Self {
        Self { error, error_description, status }
    }
}

impl IntoResponse for OauthError {
    fn into_response(self) -> Response {
        metrics::counter!("offswitch_problems_total", "code" => self.error_description)
            .increment(1);
        let status = self.status;
        let retry_after = HeaderValue::from_static(retry_after(self.error_description));
        let code = ProblemCode(self.error_description);
        let mut response = (status, Json(self)).into_response();
        response.extensions_mut().insert(code);
        if status == StatusCode::UNAUTHORIZED {
            let basic = HeaderValue::from_static("Basic realm=\"offswitch\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
        }
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, retry_after);
        }
        response
    }
}

impl From<PlaneError> for OauthError {
    fn from(error: PlaneError) -> Self {
        // The conversion logs it, once.
        let code = Problem::from(error).code();
        Self::unavailable(code)
    }
}
