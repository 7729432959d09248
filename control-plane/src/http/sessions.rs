//! `POST /v1/sessions` and a user's sessions.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::access::Caller;
use super::extract::{Body, InPath, idempotency};
use super::problem::{Problem, ProblemDocument};
use super::revocations::Accepted;
use crate::config::LONGEST_ACCESS_TOKEN_SECONDS;
use crate::plane::{Issued, Opened, Plane, RESERVED_CLAIMS, SessionRequest};
use crate::record::{Record, Revocation};
use crate::session::{Device, Grant, Session, SessionId};
use crate::telemetry::audit;

/// A login.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenSession {
    /// The user, 1 to 256 bytes.
    #[schema(example = "alice")]
    sub: String,
    /// The audience of the tokens; the configured one by default.
    audience: Option<String>,
    /// The scope of the tokens, names separated by spaces.
    scope: Option<String>,
    /// The application's own claims, at most 4 KiB; registered names are refused.
    #[schema(value_type = Option<Object>)]
    claims: Option<Map<String, Value>>,
    /// The client that the tokens are for: their `client_id`, which a refresh must then name. The
    /// id of the API key by default, which no refresh needs to name.
    client_id: Option<String>,
    /// What a person would call the device, at most 128 bytes.
    #[schema(example = "Alice's phone")]
    device: Option<String>,
    /// The `User-Agent` of the login, at most 512 bytes.
    user_agent: Option<String>,
    /// The address the login came from.
    ip: Option<String>,
    /// True if the client shall hold no token: the answer is a one-time code, which the edge worker
    /// trades for a cookie.
    #[serde(default)]
    handover: bool,
}

/// A session, just opened.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tokens {
    /// The session's id, the token's `sid`.
    session_id: String,
    /// The access token, a JWT of type `at+jwt` (RFC 9068).
    access_token: String,
    /// Traded at `/oauth/token` for the next access token, once.
    refresh_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds until the access token expires.
    expires_in: u64,
    /// When the access token expires, unix seconds: its `exp`.
    expires_at: u64,
    /// When the session is over at the latest, unix seconds.
    session_expires_at: u64,
    /// The access token's id, its `jti`.
    jti: String,
}

/// A session whose tokens the client never sees.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HandoverOffer {
    /// The session's id.
    session_id: String,
    /// Traded once, by the edge worker.
    handover_code: String,
    /// Seconds until the code is worthless.
    handover_code_expires_in: u64,
}

/// A user's sessions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Sessions {
    /// Newest first.
    sessions: Vec<Listed>,
}

/// A living session.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Listed {
    session_id: String,
    device: Option<String>,
    user_agent: Option<String>,
    ip: Option<String>,
    client_id: String,
    scope: Option<String>,
    /// When it was opened, unix seconds.
    opened_at: u64,
    /// When it last gave out an access token, unix seconds.
    last_used_at: u64,
    /// How often its refresh token was rotated.
    refreshes: u32,
    /// When it is over if it is not refreshed, unix seconds.
    expires_at: u64,
}

/// Logs a user in on one device. A user with too many sessions loses the one idle for longest.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "sessions", request_body = OpenSession,
    params(("idempotency-key" = Option<String>, Header, description = "Repeating is harmless")),
    security(("api_key" = ["sessions:write"])),
    responses((status = 201, description = "The tokens, or with `handover` a one-time code",
               body = Tokens),
              (status = "4XX", body = ProblemDocument), (status = 503, body = ProblemDocument))
)]
pub(super) async fn open(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body<OpenSession>,
) -> Result<(StatusCode, Response), Problem> {
    let named = idempotency(&headers, &caller.id, "/v1/sessions", &body.bytes)?;
    let by = caller.id.clone();
    let mut request = body.value.check(caller)?;
    let name = plane.master().mac(IDEMPOTENCY_CONTEXT, named.id.as_bytes());
    request.opening.name.copy_from_slice(&name.as_bytes()[..16]);
    request.opening.digest.copy_from_slice(&named.digest[..16]);
    let now = plane.now();
    let opened = plane.open_session(request, now).await?;
    let (Opened::Code { session, .. } | Opened::Tokens(Issued { session, .. })) = &opened;
    audit::session("session_opened", &by, session, plane.master());
    let answer = match opened {
        Opened::Code { session, code, expires_at } => Json(HandoverOffer {
            session_id: session.to_string(),
            handover_code: code.to_string(),
            handover_code_expires_in: expires_at.saturating_sub(now),
        })
        .into_response(),
        Opened::Tokens(issued) => Json(Tokens::new(issued, now)).into_response(),
    };
    metrics::counter!("offswitch_sessions_total").increment(1);
    Ok((StatusCode::CREATED, answer))
}

/// Lists the living sessions of a user, newest first.
#[utoipa::path(
    get, path = "/v1/users/{sub}/sessions", tag = "sessions", params(("sub" = String, Path)),
    security(("api_key" = ["sessions:read"])),
    responses((status = 200, body = Sessions), (status = "4XX", body = ProblemDocument),
              (status = 503, body = ProblemDocument))
)]
pub(super) async fn list(
    State(plane): State<Arc<Plane>>,
    InPath(sub): InPath<String>,
) -> Result<Json<Sessions>, Problem> {
    let found = plane.sessions(&sub, plane.now()).await?;
    let sessions = found.into_iter().map(|session| Listed::new(session, &plane)).collect();
    Ok(Json(Sessions { sessions }))
}

/// Logs out one device: its refresh token and its access tokens are off.
#[utoipa::path(
    delete, path = "/v1/users/{sub}/sessions/{session_id}", tag = "sessions",
    params(("sub" = String, Path), ("session_id" = String, Path),
           ("idempotency-key" = Option<String>, Header, description = "Repeating is harmless")),
    security(("api_key" = ["sessions:write"])),
    responses((status = 200, body = Accepted), (status = "4XX", body = ProblemDocument),
              (status = 503, body = ProblemDocument))
)]
pub(super) async fn end_one(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
    InPath((sub, session_id)): InPath<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Accepted>, Problem> {
    let session = session_id.parse::<SessionId>().ok();
    let session = session.filter(|id| id.user() == plane.master().user_key(&sub));
    let session = session.ok_or_else(|| {
        let detail = "the user has no session of this id";
        Problem::new(StatusCode::NOT_FOUND, "unknown_session", detail)
    })?;
    let revocation = Plane::session_revocation(session, plane.now());
    end(&plane, caller, &headers, &format!("session {session_id}"), revocation).await
}

/// Logs a user out everywhere: the version of the user is raised. A login after that lives.
#[utoipa::path(
    delete, path = "/v1/users/{sub}/sessions", tag = "sessions",
    params(("sub" = String, Path),
           ("idempotency-key" = Option<String>, Header, description = "Repeating is harmless")),
    security(("api_key" = ["sessions:write"])),
    responses((status = 200, body = Accepted), (status = "4XX", body = ProblemDocument),
              (status = 503, body = ProblemDocument))
)]
pub(super) async fn end_all(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
    InPath(sub): InPath<String>,
    headers: HeaderMap,
) -> Result<Json<Accepted>, Problem> {
    if !(1..=256).contains(&sub.len()) {
        let detail = "sub: must have 1 to 256 bytes";
        return Err(Problem::bad_request("invalid_session", detail));
    }
    let exp = plane.now().saturating_add(LONGEST_ACCESS_TOKEN_SECONDS);
    let revocation = Revocation::User { issuer: None, sub: sub.clone(), exp };
    end(&plane, caller, &headers, &format!("user {sub}"), revocation).await
}

async fn end(
    plane: &Plane,
    caller: Caller,
    headers: &HeaderMap,
    named: &str,
    revocation: Revocation,
) -> Result<Json<Accepted>, Problem> {
    let request = idempotency(headers, &caller.id, "DELETE /v1/users", named.as_bytes())?;
    let (at, reason) = (plane.now(), Some("logout".to_owned()));
    let record = Record { at, by: caller.id, reason, revocations: vec![revocation] };
    let revoked = plane.revoke(&request, &record).await?;
    metrics::counter!("offswitch_revocations_total").increment(1);
    Ok(Json(revoked.into()))
}

impl OpenSession {
    fn check(self, caller: Caller) -> Result<SessionRequest, Problem> {
        let require = |holds: bool, detail: &str| {
            if holds { Ok(()) } else { Err(Problem::bad_request("invalid_session", detail)) }
        };
        let within = |text: &Option<String>, limit: usize| {
            text.as_ref().is_none_or(|text| (1..=limit).contains(&text.len()))
        };
        require((1..=256).contains(&self.sub.len()), "sub: must have 1 to 256 bytes")?;
        require(within(&self.audience, 256), "audience: must have 1 to 256 bytes")?;
        require(within(&self.scope, 1024), "scope: must have 1 to 1024 bytes")?;
        let is_scope = self.scope.as_deref().is_none_or(is_scope);
        require(is_scope, "scope: must be names separated by single spaces")?;
        require(within(&self.client_id, 256), "client_id: must have 1 to 256 bytes")?;
        require(within(&self.device, 128), "device: must have 1 to 128 bytes")?;
        require(within(&self.user_agent, 512), "user_agent: must have 1 to 512 bytes")?;
        let is_address = |text: &String| text.parse::<IpAddr>().is_ok();
        require(self.ip.as_ref().is_none_or(is_address), "ip: must be an IP address")?;
        let claims = self.claims.unwrap_or_default();
        for name in RESERVED_CLAIMS {
            let detail = format!("claims: {name} is set by the control plane");
            require(!claims.contains_key(name), &detail)?;
        }
        let claims = match claims {
            claims if claims.is_empty() => String::new(),
            claims => Value::Object(claims).to_string(),
        };
        require(claims.len() <= MAX_CLAIMS_BYTES, "claims: must be at most 4096 bytes")?;
        let grant = Grant {
            client_bound: self.client_id.is_some(),
            client_id: self.client_id.unwrap_or(caller.id),
            audience: self.audience.unwrap_or_default(),
            scope: self.scope,
            claims,
        };
        let device = Device { name: self.device, user_agent: self.user_agent, ip: self.ip };
        let Self { sub, handover, .. } = self;
        Ok(SessionRequest { sub, grant, device, handover, ..SessionRequest::default() })
    }
}

impl Tokens {
    fn new(issued: Issued, now: u64) -> Self {
        Self {
            session_id: issued.session.to_string(),
            access_token: issued.access_token,
            refresh_token: issued.credential.map(|token| token.to_string()).unwrap_or_default(),
            token_type: "Bearer",
            expires_in: issued.expires_at.saturating_sub(now),
            expires_at: issued.expires_at,
            session_expires_at: issued.session_expires_at,
            jti: issued.token_id,
        }
    }
}

impl Listed {
    fn new(session: Session, plane: &Plane) -> Self {
        Self {
            session_id: session.id.to_string(),
            opened_at: session.opened_at,
            last_used_at: session.used_at,
            refreshes: session.spent(),
            expires_at: session.expires_at(&plane.settings().lifetimes),
            device: session.device.name,
            user_agent: session.device.user_agent,
            ip: session.device.ip,
            client_id: session.grant.client_id,
            scope: session.grant.scope,
        }
    }
}

/// RFC 6749 section 3.3.
pub(super) fn is_scope(text: &str) -> bool {
    let is_name = |name: &str| {
        let good = |byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        !name.is_empty() && name.bytes().all(good)
    };
    text.split(' ').all(is_name)
}

/// The verifier refuses tokens over 16 KiB; this leaves room for everything else.
const MAX_CLAIMS_BYTES: usize = 4096;
const IDEMPOTENCY_CONTEXT: &str = "offswitch 2026-11 session of a request v1";
