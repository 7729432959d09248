//! Access control: every route declares its access when it is added; there is no other way in.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use base64ct::{Base64, Encoding};
use utoipa::openapi::security::SecurityRequirement;
use zeroize::Zeroizing;

use super::audited::Audited;
use super::json::form_decoded;
use super::limited::Limited;
use crate::api_keys::{ApiKey, Scope};
use crate::audit;
use crate::plane::Plane;
use crate::problem::Problem;

/// The access that a route requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Any API key.
    AnyKey,
    /// Nothing, and as often as it is asked: what restarts a process that does not answer asks here.
    Probe,
    /// Nothing.
    Public,
    /// Nothing; an API key with this scope may do more.
    PublicOr(Scope),
    /// An API key with this scope.
    Scope(Scope),
}

impl Access {
    /// The requirement in the description of the API.
    pub(super) fn requirement(self) -> SecurityRequirement {
        match self {
            Self::Probe | Self::Public | Self::PublicOr(_) => SecurityRequirement::default(),
            Self::AnyKey => SecurityRequirement::new::<_, [&str; 0], _>("api_key", []),
            Self::Scope(scope) => SecurityRequirement::new("api_key", [scope.name()]),
        }
    }

    /// True if a key may use the route, or may do more there.
    pub(super) fn is_for(self, key: &ApiKey, now: u64) -> bool {
        let may = match self {
            Self::AnyKey => true,
            Self::Probe | Self::Public => false,
            Self::PublicOr(scope) | Self::Scope(scope) => key.may(scope),
        };
        may && !key.is_expired(now)
    }
}

/// The API key of a request.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The key's id, as recorded in the log.
    pub(super) id: String,
    /// What its operator calls the key.
    pub(super) name: String,
    /// What the key may do.
    pub(super) scopes: Vec<Scope>,
    /// When the key expires, unix seconds, if ever.
    pub(super) expires_at: Option<u64>,
}

impl Caller {
    /// Checks a scope that depends on the content of the request; the guard has already checked the
    /// scope of the route.
    ///
    /// # Errors
    ///
    /// 403 `missing_scope`; the text begins with `what`.
    pub(super) fn need(&self, scope: Scope, what: &str) -> Result<(), Problem> {
        if self.scopes.contains(&scope) {
            return Ok(());
        }
        let detail = format!("{what} needs the scope {scope}, which this API key lacks");
        Err(Problem::new(StatusCode::FORBIDDEN, "missing_scope", detail))
    }
}

/// What every request on a route passes.
pub(super) struct Gate {
    pub(super) plane: Arc<Plane>,
    pub(super) access: Access,
    pub(super) limited: Limited,
    pub(super) audited: Option<Audited>,
}

/// The API key that a request shows, or why it shows none.
pub(super) type Shown = Result<ApiKey, Problem>;

/// Puts the guard in front of a route, limits the requests that pass it, and records them. One layer for all:
/// each makes all requests slower.
pub(super) fn guard(route: MethodRouter<Arc<Plane>>, gate: Gate) -> MethodRouter<Arc<Plane>> {
    if gate.access == Access::Probe {
        return route;
    }
    route.layer(from_fn_with_state(Arc::new(gate), pass))
}

/// Nothing is read of a request beyond the limits but its head, and it is not recorded: it does nothing.
async fn pass(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let shown = shown(&gate.plane, request.headers());
    if !gate.admits(&shown, &request) {
        return gate.limited.refusal();
    }
    match &gate.audited {
        None => authorize(&gate, shown, request, next).await,
        Some(audited) => audited.record(&gate, shown, request, next).await,
    }
}

impl Gate {
    /// Counts a request: for its key if that may use the route, otherwise for its source. What holds a key of
    /// any other kind, such as the one that pages follow the feed with, is anyone.
    fn admits(&self, shown: &Shown, request: &Request) -> bool {
        match shown {
            Ok(key) if self.access.is_for(key, self.plane.now()) => {
                self.limited.admits_key(self.access, &key.id)
            }
            _ => {
                let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
                self.limited.admits_source(peer.map(|ConnectInfo(address)| address.ip()))
            }
        }
    }
}

/// Lets a caller through who may do this.
pub(super) async fn authorize(
    gate: &Gate,
    shown: Shown,
    mut request: Request,
    next: Next,
) -> Response {
    let scope = match gate.access {
        Access::Probe | Access::Public | Access::PublicOr(_) => return next.run(request).await,
        Access::AnyKey => None,
        Access::Scope(scope) => Some(scope),
    };
    match checked(shown, scope, gate.plane.now()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => {
            let mut response = problem.into_response();
            challenge(request.headers(), &mut response);
            response
        }
    }
}

/// The caller of a request whose key must have `scope`.
pub(super) fn caller(
    plane: &Plane,
    headers: &HeaderMap,
    scope: Option<Scope>,
    now: u64,
) -> Result<Caller, Problem> {
    checked(shown(plane, headers), scope, now)
}

/// Finds the caller's key by the hash of the presented secret.
fn shown(plane: &Plane, headers: &HeaderMap) -> Shown {
    let unknown = || unauthorized("unknown_api_key", "no such API key");
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next(), values.next()) else {
        return Err(unauthorized("unknown_api_key", "there is more than one authorization header"));
    };
    if value.is_some_and(|value| value.len() > MAX_HEADER_BYTES) {
        return Err(unknown());
    }
    let shown = value
        .and_then(|value| value.to_str().ok())
        .and_then(Credentials::parse)
        .ok_or_else(|| unauthorized("missing_api_key", "send `Authorization: Bearer osk_…`"))?;
    let key = plane.api_keys.find(&shown.key).ok_or_else(unknown)?;
    if shown.id.is_some_and(|id| id != key.id) {
        return Err(unknown());
    }
    Ok(key)
}

fn checked(shown: Shown, scope: Option<Scope>, now: u64) -> Result<Caller, Problem> {
    let key = shown?;
    // Also of what is refused: the key may be in the wrong hands.
    audit::by(&key.id);
    if key.is_expired(now) {
        return Err(unauthorized("expired_api_key", "the API key has expired"));
    }
    if let Some(scope) = scope.filter(|scope| !key.may(*scope)) {
        let detail = format!("the API key lacks the scope {scope}");
        return Err(Problem::new(StatusCode::FORBIDDEN, "missing_scope", detail));
    }
    let ApiKey { id, name, scopes, expires_at, .. } = key;
    Ok(Caller { id, name, scopes, expires_at })
}

fn unauthorized(code: &'static str, detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, code, detail)
}

/// The content of an `Authorization` header.
struct Credentials {
    /// The key's id, if the scheme has one.
    id: Option<String>,
    key: Zeroizing<String>,
}

impl Credentials {
    /// Reads `Bearer` (RFC 6750 section 2.1) and `Basic` (RFC 6749 section 2.3.1: id and key, each
    /// form-urlencoded).
    fn parse(value: &str) -> Option<Self> {
        let (scheme, text) = value.split_once(' ')?;
        let text = text.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self { id: None, key: Zeroizing::new(text.to_owned()) });
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let pair = Zeroizing::new(Base64::decode_vec(text).ok()?);
        let (id, key) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
        if key.contains(':') {
            return None;
        }
        let id = form_decoded(id)?.as_str().to_owned();
        Some(Self { id: Some(id), key: form_decoded(key)? })
    }
}

/// Sends the challenge for the scheme that the caller tried (RFC 6749 section 5.2).
fn challenge(headers: &HeaderMap, response: &mut Response) {
    let tried = headers.get(header::AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
    let is_basic = tried.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "));
    if is_basic && response.status() == StatusCode::UNAUTHORIZED {
        let basic = HeaderValue::from_static("Basic realm=\"offswitch\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
    }
}

/// Room for an id and a key, each character escaped, in Base64.
const MAX_HEADER_BYTES: usize = 512;
