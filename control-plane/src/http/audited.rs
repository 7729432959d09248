//! Which routes are recorded in the audit log, and how a request becomes a line of it.
//!
//! A route that may change something is recorded unless this file names it: a new one cannot be
//! forgotten. The line is written before the answer is sent. A request that is given up by its client, or
//! that panics, has a line too.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use offswitch_core::audit::Target;
use utoipa::openapi::Paths;

use super::access::{Gate, Shown, authorize};
use crate::audit::{self, Origin, Outcome, Unrecordable};
use crate::problem::{Problem, ProblemCode};

/// How the requests of a route are recorded.
#[derive(Debug)]
pub(super) struct Audited {
    method: Method,
    /// The operation's id in the description of the API.
    operation: Arc<str>,
    /// It is a refresh: it changes nothing about who has access, unless it finds a theft.
    is_routine: bool,
    /// The path names what the request is about.
    has_parameters: bool,
}

impl Audited {
    /// Of the one operation in `paths`; absent if it changes nothing.
    pub(super) fn of(paths: &Paths) -> Option<Self> {
        let (path, item) = paths.paths.iter().next()?;
        let changes = [
            (Method::POST, &item.post),
            (Method::PUT, &item.put),
            (Method::DELETE, &item.delete),
            (Method::PATCH, &item.patch),
        ];
        let (method, operation) =
            changes.into_iter().find_map(|(method, one)| Some((method, one.as_ref()?)))?;
        let id = operation.operation_id.as_deref()?;
        (!READS.contains(&id)).then(|| Self {
            method,
            operation: id.into(),
            is_routine: ROUTINE.contains(&id),
            has_parameters: path.contains('{'),
        })
    }

    /// Answers a request, and writes its line before.
    pub(super) async fn record(
        &self,
        gate: &Gate,
        shown: Shown,
        request: Request,
        next: Next,
    ) -> Response {
        if *request.method() != self.method {
            return authorize(gate, shown, request, next).await;
        }
        let log = &gate.plane.audit;
        let id = named(request.headers()).unwrap_or_else(|| log.request_id());
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let source = peer.map(|ConnectInfo(address)| address.ip().to_canonical());
        let named = HeaderValue::from_str(&id);
        let origin = Origin { kind: "request", request: Some(id), source };
        let change = match log.begin(&self.operation, origin, self.is_routine) {
            Ok(Some(change)) => change,
            Ok(None) => return authorize(gate, shown, request, next).await,
            Err(error) => return unrecordable(error, "nothing was done"),
        };
        let path = self.has_parameters.then(|| shown_path(request.uri().path())).flatten();
        let path = path.map(str::to_owned);
        let answering = async {
            if let Some(path) = &path {
                audit::target(&Target::Path { path });
            }
            authorize(gate, shown, request, next).await
        };
        let mut response = change.collect(answering).await;
        let code = response.extensions().get::<ProblemCode>().map(|ProblemCode(code)| *code);
        let outcome = Outcome::of_answer(response.status().as_u16(), code);
        if let Err(error) = change.finish(outcome)
            && log.refuses()
        {
            return unrecordable(error, "it may have been done");
        }
        if let Ok(named) = named {
            response.headers_mut().insert(REQUEST_ID, named);
        }
        response
    }
}

/// The id that the caller, or a proxy before it, gave the request.
fn named(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    let is_id = is_plain && !is_credential(id) && (1..=MAX_REQUEST_ID_BYTES).contains(&id.len());
    is_id.then(|| id.to_owned())
}

/// The path, unless a caller put a credential into it by mistake.
fn shown_path(path: &str) -> Option<&str> {
    let is_short = path.len() <= MAX_PATH_BYTES;
    (is_short && !path.split('/').any(is_credential)).then_some(path)
}

/// True for what begins like a token, a key or a session's secret.
fn is_credential(text: &str) -> bool {
    let prefix = text.as_bytes().get(..4);
    text.starts_with("eyJ") || prefix.is_some_and(|one| one.starts_with(b"os") && one[3] == b'_')
}

fn unrecordable(error: Unrecordable, done: &str) -> Response {
    let detail = format!("{error}; {done}; an operator must look at the finding audit_not_written");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "audit_unavailable", detail).into_response()
}

/// They are sent by POST for their bodies, and change nothing. What `examine` revokes, it revokes by a
/// request of its own.
const READS: [&str; 3] = ["answerPosition", "examine", "introspectToken"];
const ROUTINE: [&str; 2] = ["issueHandoverToken", "refreshToken"];
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID_BYTES: usize = 64;
const MAX_PATH_BYTES: usize = 600;
