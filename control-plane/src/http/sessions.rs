//! `POST /v1/sessions` and a user's sessions.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use offswitch_core::audit::Target;
use offswitch_core::limits::LONGEST_ACCESS_TOKEN_SECONDS;
use offswitch_core::record::{Record, Revocation};
use offswitch_core::session::{Device, Grant, Session, SessionId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::MAX_ID_BYTES;
use super::access::Caller;
use super::extract::{Body, IdInPath, IdempotencyKey, Params, SessionInPath, idempotency};
use super::proof::{Prefer, ProofQuery, Wanted};
use super::revocations::Accepted;
use crate::audit;
use crate::plane::{Opened, Plane, RESERVED_CLAIMS, SessionRequest, Sessions, TokenPair};
use crate::problem::{Problem, ProblemDocument};

/// A login.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenSession {
    /// The user, 1 to 256 bytes.
    #[schema(example = "alice")]
    sub: String,
    /// The audience of the tokens; by default the configured one.
    audience: Option<String>,
    /// The scope of the tokens, names separated by spaces.
    scope: Option<String>,
    /// The application's own claims, at most 4 KiB. Registered names are refused, and so are whole
    /// numbers beyond 2^53, which many JSON readers round: send those as strings.
    #[schema(value_type = Option<Object>)]
    claims: Option<Map<String, Value>>,
    /// The client that the tokens are for: their `client_id`, which a refresh must then name. By
    /// default the id of the API key, which a refresh need not name.
    client_id: Option<String>,
    /// A name for the device that a person recognises, at most 128 bytes.
    #[schema(example = "Alice's phone")]
    device: Option<String>,
    /// The `User-Agent` of the login, at most 512 bytes.
    user_agent: Option<String>,
    /// The IP address of the login.
    ip: Option<String>,
    /// True if the client must not hold a token: the answer is a one-time code, which the edge
    /// worker exchanges for a cookie.
    #[serde(default)]
    handover: bool,
}

/// A session that was just opened.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tokens {
    /// The session's id: the `sid` of its tokens.
    session_id: String,
    /// The access token, a JWT of type `at+jwt` (RFC 9068).
    access_token: String,
    /// Can be exchanged once at `/oauth/token`, for the next access token and refresh token.
    refresh_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds until the access token expires.
    expires_in: u64,
    /// When the access token expires, unix seconds: its `exp`.
    expires_at: u64,
    /// When the session ends at the latest, unix seconds.
    session_expires_at: u64,
    /// The access token's id, its `jti`.
    jti: String,
}

/// A session whose tokens the client never receives.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HandoverOffer {
    /// The session's id.
    session_id: String,
    /// The edge worker exchanges it, once.
    handover_code: String,
    /// Seconds until the code expires.
    handover_code_expires_in: u64,
}

/// A user's sessions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Sessions)]
pub(super) struct SessionList {
    /// Newest first.
    sessions: Vec<Listed>,
}

/// An active session.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SessionListed)]
pub(super) struct Listed {
    session_id: String,
    device: Option<String>,
    user_agent: Option<String>,
    ip: Option<String>,
    client_id: String,
    scope: Option<String>,
    /// When it was opened, unix seconds.
    opened_at: u64,
    /// When an access token was last issued for it, unix seconds.
    last_used_at: u64,
    /// How often its refresh token was rotated.
    refreshes: u32,
    /// When it ends if it is not refreshed, unix seconds.
    expires_at: u64,
}

/// The answer to a login.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Opened)]
#[expect(dead_code, reason = "describes the answer to the API's readers")]
pub(super) enum LoginAnswer {
    Tokens(Tokens),
    Handover(HandoverOffer),
}

/// Selects the sessions of a user.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SessionsQuery {
    /// The user.
    #[param(example = "alice")]
    sub: String,
}

/// Which sessions to end.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EndQuery {
    /// The user.
    #[param(example = "alice")]
    sub: String,
    /// One session of the user; by default all of them.
    session_id: Option<String>,
    /// Asks for a signed receipt, as the header `Prefer: receipt` does.
    receipt: Option<bool>,
    /// `applied`: the answer comes once all followers hold it, or at the end of `timeout`.
    #[param(example = "applied")]
    wait: Option<String>,
    /// How long it waits at most, seconds, 0 to 30; 2 by default.
    #[param(maximum = 30)]
    timeout: Option<u64>,
}

/// Logs a user in on one device. If the user already has the maximum number of sessions, the
/// longest-idle session ends.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "sessions", operation_id = "openSession",
    summary = "Open a session",
    request_body(content = OpenSession, examples(
        ("tokens" = (summary = "Tokens for the client",
                     value = json!({ "sub": "alice", "device": "Alice's phone" }))),
        ("handover" = (summary = "A one-time code for the edge worker",
                       value = json!({ "sub": "alice", "handover": true })))
    )),
    params(IdempotencyKey),
    responses((status = 201, description = "The tokens, or with `handover` a one-time code",
               body = LoginAnswer),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn open(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body<OpenSession>,
) -> Result<(StatusCode, Response), Problem> {
    let named = idempotency(&headers, &caller.id, "/v1/sessions", &body.bytes)?;
    let by = caller.id.clone();
    audit::target(&Target::User { issuer: None, sub: &body.value.sub });
    let mut request = body.value.check(caller)?;
    request.opening = plane.sessions.claim(&named).await?;
    let now = plane.now();
    let opened = plane.sessions.open(request, now).await?;
    let (Opened::Code { session, .. } | Opened::Tokens(TokenPair { session, .. })) = &opened;
    plane.sessions.audit("session_opened", &by, *session);
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

/// Lists the active sessions of a user, newest first.
#[utoipa::path(
    get, path = "/v1/sessions", tag = "sessions", operation_id = "listSessions",
    summary = "List a user's sessions", params(SessionsQuery),
    responses((status = 200, description = "The sessions", body = SessionList),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn list(
    State(plane): State<Arc<Plane>>,
    Params(query): Params<SessionsQuery>,
) -> Result<Json<SessionList>, Problem> {
    sessions_of(&plane, &query.sub).await
}

/// Lists the active sessions of a user, newest first. For users whose id contains a slash see
/// `GET /v1/sessions`.
#[utoipa::path(
    get, path = "/v1/users/{sub}/sessions", tag = "sessions", operation_id = "listUserSessions",
    summary = "List a user's sessions, by path",
    params(("sub" = String, Path, description = "The user", example = "alice")),
    responses((status = 200, description = "The sessions", body = SessionList),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn list_of_user(
    State(plane): State<Arc<Plane>>,
    IdInPath(sub): IdInPath,
) -> Result<Json<SessionList>, Problem> {
    sessions_of(&plane, &sub).await
}

async fn sessions_of(plane: &Plane, sub: &str) -> Result<Json<SessionList>, Problem> {
    let found = plane.sessions.of_user(sub, plane.now()).await?;
    let sessions = found.into_iter().map(|session| Listed::new(session, plane)).collect();
    Ok(Json(SessionList { sessions }))
}

/// Logs out one device: its refresh token and its access tokens are revoked.
#[utoipa::path(
    delete, path = "/v1/users/{sub}/sessions/{session_id}", tag = "sessions",
    operation_id = "endUserSession", summary = "End one session, by path",
    params(("sub" = String, Path, description = "The user", example = "alice"),
           ("session_id" = String, Path, description = "The session",
            example = "{session_id}"),
           IdempotencyKey, Prefer, ProofQuery),
    responses((status = 200, description = "Recorded", body = Accepted),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn end_one(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
    SessionInPath { sub, session_id }: SessionInPath,
    Params(query): Params<ProofQuery>,
    headers: HeaderMap,
) -> Result<Json<Accepted>, Problem> {
    Asked::new(plane, caller, headers, query)?.end_session(&sub, &session_id).await
}

/// Logs a user out everywhere: tokens issued until now are revoked, a later login is accepted. For
/// users whose id contains a slash see `DELETE /v1/sessions`.
#[utoipa::path(
    delete, path = "/v1/users/{sub}/sessions", tag = "sessions", operation_id = "endUserSessions",
    summary = "End all sessions of a user, by path",
    params(("sub" = String, Path, description = "The user", example = "alice"),
           IdempotencyKey, Prefer, ProofQuery),
    responses((status = 200, description = "Recorded", body = Accepted),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn end_all(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
    IdInPath(sub): IdInPath,
    Params(query): Params<ProofQuery>,
    headers: HeaderMap,
) -> Result<Json<Accepted>, Problem> {
    Asked::new(plane, caller, headers, query)?.end_user(&sub).await
}

/// Logs a user out everywhere, or on one device.
#[utoipa::path(
    delete, path = "/v1/sessions", tag = "sessions", operation_id = "endSessions",
    summary = "End a user's sessions", params(EndQuery, IdempotencyKey, Prefer),
    responses((status = 200, description = "Recorded", body = Accepted),
              (status = "4XX", description = "Refused", body = ProblemDocument),
              (status = 503, description = "The store does not answer", body = ProblemDocument))
)]
pub(super) async fn end_named(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Caller>,
    Params(EndQuery { sub, session_id, receipt, wait, timeout }): Params<EndQuery>,
    headers: HeaderMap,
) -> Result<Json<Accepted>, Problem> {
    let asked = Asked::new(plane, caller, headers, ProofQuery { receipt, wait, timeout })?;
    match session_id {
        Some(session_id) => asked.end_session(&sub, &session_id).await,
        None => asked.end_user(&sub).await,
    }
}

/// A request to end sessions.
struct Asked {
    plane: Arc<Plane>,
    caller: Caller,
    headers: HeaderMap,
    wanted: Wanted,
}

impl Asked {
    fn new(
        plane: Arc<Plane>,
        caller: Caller,
        headers: HeaderMap,
        query: ProofQuery,
    ) -> Result<Self, Problem> {
        let wanted = query.read(&headers, &caller)?;
        Ok(Self { plane, caller, headers, wanted })
    }

    async fn end_session(self, sub: &str, session_id: &str) -> Result<Json<Accepted>, Problem> {
        let unknown = || {
            let detail = "the user has no session with this id";
            Problem::new(StatusCode::NOT_FOUND, "unknown_session", detail)
        };
        let sessions = &self.plane.sessions;
        let session = session_id.parse::<SessionId>().ok();
        let session = session.filter(|id| sessions.is_of(*id, sub)).ok_or_else(unknown)?;
        let revocation = Sessions::revocation(session, self.plane.now());
        if sessions.unknown_session(std::slice::from_ref(&revocation)).await?.is_some() {
            return Err(unknown());
        }
        self.end(&format!("session {session_id}"), revocation).await
    }

    async fn end_user(self, sub: &str) -> Result<Json<Accepted>, Problem> {
        if !(1..=MAX_ID_BYTES).contains(&sub.len()) {
            let detail = format!("sub: must have 1 to {MAX_ID_BYTES} bytes");
            return Err(Problem::bad_request("invalid_session", detail));
        }
        let exp = self.plane.now().saturating_add(LONGEST_ACCESS_TOKEN_SECONDS);
        let revocation =
            Revocation::User { issuer: None, sub: sub.to_owned(), issued_before: None, exp };
        self.end(&format!("user {sub}"), revocation).await
    }

    async fn end(self, named: &str, revocation: Revocation) -> Result<Json<Accepted>, Problem> {
        let Self { plane, caller, headers, wanted } = self;
        let request = idempotency(&headers, &caller.id, "DELETE /v1/users", named.as_bytes())?;
        let (at, reason) = (plane.now(), Some("logout".to_owned()));
        let record = Record { at, by: caller.id, reason, revocations: vec![revocation] };
        let named = plane.sessions.named_by(&record.revocations, at).await?;
        let revoked = plane.log.revoke(&request, &record).await?;
        metrics::counter!("offswitch_revocations_total").increment(1);
        let accepted = Accepted::new(revoked, named.sessions);
        Ok(Json(accepted.proven(&plane, wanted).await))
    }
}

impl OpenSession {
    fn check(self, caller: Caller) -> Result<SessionRequest, Problem> {
        let require = |holds: bool, field: &str, detail: &str| {
            let problem = || Problem::of_field("invalid_session", field, detail);
            if holds { Ok(()) } else { Err(problem()) }
        };
        let within = |field: &str, text: &Option<String>, limit: usize| {
            let holds = text.as_ref().is_none_or(|text| (1..=limit).contains(&text.len()));
            require(holds, field, &format!("must have 1 to {limit} bytes"))
        };
        let is_id = (1..=MAX_ID_BYTES).contains(&self.sub.len());
        require(is_id, "sub", &format!("must have 1 to {MAX_ID_BYTES} bytes"))?;
        within("audience", &self.audience, 256)?;
        within("scope", &self.scope, 1024)?;
        let is_scope = self.scope.as_deref().is_none_or(is_scope);
        require(is_scope, "scope", "must be names separated by single spaces")?;
        within("client_id", &self.client_id, 256)?;
        within("device", &self.device, 128)?;
        within("user_agent", &self.user_agent, 512)?;
        let is_address = |text: &String| text.parse::<IpAddr>().is_ok();
        require(self.ip.as_ref().is_none_or(is_address), "ip", "must be an IP address")?;
        let claims = self.claims.unwrap_or_default();
        for name in RESERVED_CLAIMS {
            let detail = format!("{name} is reserved for the control plane");
            require(!claims.contains_key(name), "claims", &detail)?;
        }
        if let Some((name, _)) = claims.iter().find(|(_, value)| !is_exact(value)) {
            let detail = "has a number beyond 2^53, which JSON readers round: send it as a string";
            let name = format!("claims/{}", name.replace('~', "~0").replace('/', "~1"));
            return Err(Problem::of_field("invalid_session", &name, detail));
        }
        let claims = match claims {
            claims if claims.is_empty() => String::new(),
            claims => Value::Object(claims).to_string(),
        };
        let detail = format!("must be at most {MAX_CLAIMS_BYTES} bytes");
        require(claims.len() <= MAX_CLAIMS_BYTES, "claims", &detail)?;
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
    fn new(issued: TokenPair, now: u64) -> Self {
        Self {
            session_id: issued.session.to_string(),
            access_token: issued.access_token,
            refresh_token: issued.credential.to_string(),
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
            expires_at: plane.sessions.expires_at(&session),
            device: session.device.name,
            user_agent: session.device.user_agent,
            ip: session.device.ip,
            client_id: session.grant.client_id,
            scope: session.grant.scope,
        }
    }
}

/// True if no number in the value is rounded by a reader whose numbers are doubles, as in
/// JavaScript. A number that is too large for 64 bits was already read as a double.
fn is_exact(value: &Value) -> bool {
    match value {
        Value::Array(elements) => elements.iter().all(is_exact),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.unsigned_abs() <= MAX_EXACT,
            (None, Some(real)) => real.abs() <= MAX_EXACT as f64,
            (None, None) => false,
        },
        Value::Object(members) => members.values().all(is_exact),
        Value::Bool(_) | Value::Null | Value::String(_) => true,
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
/// 2^53 - 1: JavaScript's `Number.MAX_SAFE_INTEGER`.
const MAX_EXACT: u64 = (1 << 53) - 1;
