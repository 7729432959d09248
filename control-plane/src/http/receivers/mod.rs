//! `/v1/receivers`: what identity providers send. No API key: each receiver checks its sender itself.

mod definition;
mod state;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access;
use super::extract::{is_of_type, unsupported, whole_body};
use super::oauth::{Form, OauthError};
pub(super) use definition::ReceiversDefinition;
pub(super) use state::ReceiverState;

use crate::api_keys::Scope;
use crate::plane::{Arrival, Asker, Plane, ReceiverError};
use crate::problem::{Problem, ProblemCode, ProblemDocument};

/// A logout, as a form.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the form to the API's readers")]
pub(super) struct LogoutForm {
    /// The logout token, a JWT that the issuer has signed.
    logout_token: String,
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
              (status = 429, description = "Too many requests, or too many logout tokens were refused", body = OauthError),
              (status = 503, description = "Nothing is recorded: send it again", body = OauthError))
)]
pub(super) async fn backchannel_logout(
    State(plane): State<Arc<Plane>>,
    Path(name): Path<String>,
    from: Peer,
    form: Form,
) -> Result<StatusCode, OauthError> {
    let token = form.need("logout_token", "missing_token")?;
    plane.receivers.take_logout(&name, token, arrival(&plane, from)).await?;
    Ok(StatusCode::OK)
}

/// Takes a security event token (RFC 8417) of a registered issuer: a CAEP or RISC event of the Shared
/// Signals Framework. What it revokes is said by the issuer's registration. Where events are polled, none
/// is taken here.
///
/// 202 means that the revocation is durable. The same token again has no second effect. An event that
/// is not known is acknowledged and counted.
#[utoipa::path(
    post, path = "/v1/receivers/{name}/events", tag = "receivers",
    operation_id = "takeEvent", summary = "Deliver a security event",
    request_body(content = String, content_type = "application/secevent+jwt",
                 description = "The security event token"),
    params(("name" = String, Path, description = "The name of the issuer", example = "idp")),
    responses((status = 202, description = "Done, or there is nothing to do"),
              (status = 400, description = "The token is refused (RFC 8935 section 2.4)", body = DeliveryError),
              (status = 404, description = "There is no such receiver", body = DeliveryError),
              (status = 429, description = "Too many requests, or too many tokens were refused", body = ProblemDocument),
              (status = 503, description = "Nothing is recorded: send it again", body = ProblemDocument))
)]
pub(super) async fn events(
    State(plane): State<Arc<Plane>>,
    Path(name): Path<String>,
    from: Peer,
    request: Request,
) -> Result<StatusCode, Undelivered> {
    if !is_of_type(request.headers(), "application/secevent+jwt") {
        return Err(DeliveryError::new("invalid_request", "unsupported_media_type").into());
    }
    let refused = |code| DeliveryError::new("invalid_request", code);
    let body = whole_body(request, &()).await.map_err(|error| refused(error.code()))?;
    let token = str::from_utf8(&body).map_err(|_| refused("malformed"))?;
    // A line break at the end is what a shell adds.
    plane.receivers.take_event(&name, token.trim_ascii_end(), arrival(&plane, from)).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Takes a webhook of a registered issuer, authenticated as its registration says: by Standard Webhooks, an
/// HMAC, or a secret in a header. What its events revoke is said there too.
///
/// 200 means that the revocation of all events is durable. The same request again has no second effect. An
/// event that is not known is acknowledged and counted.
#[utoipa::path(
    post, path = "/v1/receivers/{name}/webhook", tag = "receivers",
    operation_id = "takeWebhook", summary = "Deliver a webhook",
    request_body(content = serde_json::Value, description = "As the provider sends it"),
    params(("name" = String, Path, description = "The name of the issuer", example = "idp")),
    responses((status = 200, description = "Done, or there is nothing to do"),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "Nothing is recorded: send it again", body = ProblemDocument))
)]
pub(super) async fn webhook(
    State(plane): State<Arc<Plane>>,
    Path(name): Path<String>,
    from: Peer,
    headers: HeaderMap,
    request: Request,
) -> Result<StatusCode, Problem> {
    let body = whole_body(request, &()).await?;
    let header = |name: &str| only(&headers, name);
    plane.receivers.take_webhook(&name, header, &body, arrival(&plane, from)).await?;
    Ok(StatusCode::OK)
}

/// The answer to a challenge.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Verification {
    /// The value of the header.
    verification: String,
}

/// Answers a provider that asks, before its first webhook, whether it is expected at this address: Okta's
/// one-time verification request. It proves nothing about the provider and changes nothing.
#[utoipa::path(
    get, path = "/v1/receivers/{name}/webhook", tag = "receivers",
    operation_id = "verifyWebhook", summary = "Ask whether webhooks are expected",
    params(("name" = String, Path, description = "The name of the issuer", example = "idp"),
           ("x-okta-verification-challenge" = Option<String>, Header,
            description = "What is sent back; another header if the registration says so")),
    responses((status = 200, description = "They are", body = Verification),
              (status = 404, description = "There is no such receiver, or it expects no challenge",
               body = ProblemDocument))
)]
pub(super) async fn webhook_challenge(
    State(plane): State<Arc<Plane>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Verification>, Problem> {
    let verification = plane.receivers.challenge(&name, |name| only(&headers, name));
    Ok(Json(Verification { verification: verification.ok_or(ReceiverError::Unknown)? }))
}

/// The client, if the request came by a connection; what `trusted_proxies` say is applied already.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(peer.map(|ConnectInfo(address)| address.ip())))
    }
}

fn arrival(plane: &Plane, Peer(source): Peer) -> Arrival {
    Arrival { now: plane.now(), source }
}

/// The value of a header. One that occurs twice does not count: nothing says which of the two is signed.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    value.to_str().ok()
}

/// Whose tokens to revoke.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body to the API's readers")]
pub(super) struct GlobalRevocationRequest {
    /// A subject identifier (RFC 9493) of the user.
    #[schema(value_type = Object, example = json!({ "format": "opaque", "id": "alice" }))]
    sub_id: serde_json::Value,
}

/// Revokes what a user of a registered issuer has (draft-parecki-oauth-global-token-revocation).
///
/// The caller is known by an API key with the scope `revocations:write`, or by a JWT of the type
/// `global-token-revocation+jwt` that the issuer has signed. 204 means that the revocation is durable.
#[utoipa::path(
    post, path = "/v1/receivers/{name}/global-token-revocation", tag = "receivers",
    operation_id = "revokeGlobally", summary = "Revoke what a user has, as an identity provider",
    request_body = GlobalRevocationRequest,
    params(("name" = String, Path, description = "The name of the issuer", example = "idp")),
    responses((status = 204, description = "Revoked"),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "Nothing is recorded: send it again", body = ProblemDocument))
)]
pub(super) async fn global_revocation(
    State(plane): State<Arc<Plane>>,
    Path(name): Path<String>,
    from: Peer,
    headers: HeaderMap,
    request: Request,
) -> Result<StatusCode, Problem> {
    if !is_of_type(&headers, "application/json") {
        return Err(unsupported(&headers, "application/json"));
    }
    let now = plane.now();
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.split_once(' ')).filter(|(scheme, token)| {
        // No API key has a dot, and every JWT has.
        scheme.eq_ignore_ascii_case("bearer") && token.contains('.')
    });
    let caller;
    let asker = match shown {
        Some((_, token)) => Asker::Token(token.trim()),
        None => {
            caller = access::caller(&plane, &headers, Some(Scope::RevocationsWrite), now)?;
            Asker::Key(&caller.id)
        }
    };
    let body = whole_body(request, &()).await?;
    plane
        .receivers
        .take_global_revocation(&name, asker, &body, Arrival { now, source: from.0 })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<ReceiverError> for Problem {
    fn from(error: ReceiverError) -> Self {
        let code = error.code();
        let detail = match &error {
            // Anyone can ask: addresses and their failures are for operators.
            ReceiverError::KeysUnavailable(_) => {
                "the key set of the issuer cannot be fetched now; /v1/status says why".to_owned()
            }
            error => error.to_string(),
        };
        let status = match error {
            ReceiverError::Log(error) => return error.into(),
            ReceiverError::KeysUnavailable(_) | ReceiverError::NoSecret => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ReceiverError::Limited => StatusCode::TOO_MANY_REQUESTS,
            ReceiverError::Forbidden(_) => StatusCode::UNAUTHORIZED,
            ReceiverError::Refused(_) => StatusCode::BAD_REQUEST,
            ReceiverError::Unknown => StatusCode::NOT_FOUND,
        };
        Self::new(status, code, detail)
    }
}

/// Why a security event token is refused (RFC 8935 section 2.4).
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryError {
    /// The RFC's code.
    #[schema(example = "invalid_issuer")]
    err: &'static str,
    /// Our own, more exact code.
    #[schema(example = "wrong_issuer")]
    description: &'static str,
    #[serde(skip)]
    status: StatusCode,
}

/// The answer to a delivery that was not accepted: the transmitter is wrong, or it is to try again.
pub(super) enum Undelivered {
    Refused(DeliveryError),
    Problem(Problem),
}

impl DeliveryError {
    fn new(err: &'static str, description: &'static str) -> Self {
        Self { err, description, status: StatusCode::BAD_REQUEST }
    }
}

impl From<DeliveryError> for Undelivered {
    fn from(error: DeliveryError) -> Self {
        Self::Refused(error)
    }
}

impl From<ReceiverError> for Undelivered {
    fn from(error: ReceiverError) -> Self {
        let code = error.code();
        let refused = |err| DeliveryError::new(err, code);
        match error {
            ReceiverError::Unknown => {
                let status = StatusCode::NOT_FOUND;
                Self::Refused(DeliveryError { status, ..refused("access_denied") })
            }
            ReceiverError::Refused(refusal) => Self::Refused(refused(refusal.delivery_code())),
            other => Self::Problem(other.into()),
        }
    }
}

impl IntoResponse for Undelivered {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(error) => {
                metrics::counter!("offswitch_problems_total", "code" => error.description)
                    .increment(1);
                let code = Extension(ProblemCode(error.description));
                let language = [(header::CONTENT_LANGUAGE, "en")];
                (error.status, code, language, Json(error)).into_response()
            }
            Self::Problem(problem) => problem.into_response(),
        }
    }
}

impl From<ReceiverError> for OauthError {
    fn from(error: ReceiverError) -> Self {
        let code = error.code();
        match error {
            ReceiverError::Log(error) => error.into(),
            ReceiverError::KeysUnavailable(_) | ReceiverError::NoSecret => Self::unavailable(code),
            ReceiverError::Limited => {
                Self::unavailable(code).with_status(StatusCode::TOO_MANY_REQUESTS)
            }
            ReceiverError::Forbidden(_) | ReceiverError::Refused(_) => Self::invalid_request(code),
            ReceiverError::Unknown => {
                Self::invalid_request(code).with_status(StatusCode::NOT_FOUND)
            }
        }
    }
}
