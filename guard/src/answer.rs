//! What a gateway is answered.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use offswitch_client::Problem;
use offswitch_server::problem;

use crate::claim_headers::Forwarded;

/// The answer about one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    /// The request does not get through.
    Denied(Box<Problem>),
    /// The request gets through, with these headers. The code is the verdict's, or `anonymous`.
    Passed(Forwarded<'a>, &'static str),
}

/// 403: no token changes that.
pub(crate) fn forbidden(code: &'static str, detail: impl Into<String>) -> Box<Problem> {
    let headers = HeaderMap::new();
    Box::new(Problem { status: StatusCode::FORBIDDEN, code, detail: detail.into(), headers })
}

/// 503: the same request may get through later.
pub(crate) fn unavailable(code: &'static str, detail: impl Into<String>) -> Box<Problem> {
    let mut headers = HeaderMap::new();
    let retry_after = HeaderValue::from_static(problem::retry_after(code));
    headers.insert(header::RETRY_AFTER, retry_after);
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Box::new(Problem { status, code, detail: detail.into(), headers })
}

impl Answer<'_> {
    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Denied(problem) => problem.code,
            Self::Passed(_, code) => code,
        }
    }

    /// The answer over HTTP. `removes_headers` is true for a gateway that removes headers from the
    /// client's request if it is asked to.
    pub(crate) fn into_http(self, removes_headers: bool) -> Response<Body> {
        let verdict = HeaderValue::from_static(self.code());
        let mut response = match self {
            Self::Denied(problem) => problem.into_response(),
            Self::Passed(forwarded, _) => passed(forwarded, removes_headers),
        };
        response.headers_mut().insert(VERDICT, verdict);
        response
    }
}

fn passed(forwarded: Forwarded<'_>, removes_headers: bool) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    if removes_headers && !forwarded.absent.is_empty() {
        let names: Vec<&str> = forwarded.absent.iter().map(|name| name.as_str()).collect();
        // Names of headers have characters only that values may have.
        headers.extend(HeaderValue::try_from(names.join(",")).map(|names| (REMOVE, names)));
    }
    for (name, value) in forwarded.set {
        headers.insert(name, value);
    }
    response
}

/// The verdict's code, for access logs.
pub(crate) const VERDICT: HeaderName = HeaderName::from_static("offswitch-verdict");
/// The headers that Envoy removes from the request, in an answer over HTTP.
const REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");
