//! Who may call what: every route names its access when it is added; there is no other way in.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;

use super::problem::Problem;
use crate::api_keys::Scope;
use crate::plane::Plane;

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing.
    Public,
    /// An API key with this scope.
    Scope(Scope),
}

/// The API key that a request showed.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The key's id, as it stands in the log.
    pub(super) id: String,
}

/// Puts the guard in front of a route.
pub(super) fn guard(
    route: MethodRouter<Arc<Plane>>,
    access: Access,
    plane: &Arc<Plane>,
) -> MethodRouter<Arc<Plane>> {
    match access {
        Access::Public => route,
        Access::Scope(scope) => route.layer(from_fn_with_state((plane.clone(), scope), authorize)),
    }
}

async fn authorize(
    State((plane, scope)): State<(Arc<Plane>, Scope)>,
    mut request: Request,
    next: Next,
) -> Response {
    match caller(&plane, request.headers(), scope) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Finds the caller's key by its hash (RFC 6750 section 2.1).
fn caller(plane: &Plane, headers: &HeaderMap, scope: Scope) -> Result<Caller, Problem> {
    let unauthorized = |code, detail: &str| Problem::new(StatusCode::UNAUTHORIZED, code, detail);
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next(), values.next()) else {
        return Err(unauthorized("unknown_api_key", "there is more than one authorization header"));
    };
    let key = value
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, key)| key.trim())
        .ok_or_else(|| unauthorized("missing_api_key", "send `Authorization: Bearer osk_…`"))?;
    if key.len() > MAX_KEY_CHARS {
        return Err(unauthorized("unknown_api_key", "no such API key"));
    }
    let keys = plane.api_keys();
    let key = keys
        .find(plane.master(), key)
        .ok_or_else(|| unauthorized("unknown_api_key", "no such API key"))?;
    if !key.may(scope) {
        let detail = format!("the API key lacks the scope {scope}");
        return Err(Problem::new(StatusCode::FORBIDDEN, "missing_scope", detail));
    }
    Ok(Caller { id: key.id.clone() })
}

const MAX_KEY_CHARS: usize = 256;
