//! What a gateway is answered.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use offswitch_server::problem::{self, Problem, ProblemDocument};

use crate::claim_headers::Forwarded;

/// The answer about one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    /// The request does not get through.
    Denied(Denial),
    /// The request gets through, with these headers. The code is the verdict's, or `anonymous`.
    Passed(Forwarded<'a>, &'static str),
}

/// Why a request does not get through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) detail: String,
    /// `WWW-Authenticate`.
    pub(crate) challenge: Option<String>,
    /// `Retry-After`, in seconds.
    pub(crate) retry_after: Option<u64>,
}

impl Denial {
    /// 403: no token changes that.
    pub(crate) fn forbidden(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// 503: the same request may get through later.
    pub(crate) fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        let retry_after = problem::retry_after(code).parse().ok();
        Self { retry_after, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail) }
    }

    /// 401: another token may get through. The challenge is as RFC 6750 section 3 defines it, without
    /// an error if there was no token; for a token that must be shown with a proof, or was, as RFC 9449
    /// section 7.1 defines it.
    pub(crate) fn unauthorized(
        code: &'static str,
        detail: impl Into<String>,
        is_of_proof: bool,
    ) -> Self {
        let error = if code == "invalid_dpop_proof" { code } else { "invalid_token" };
        let reason = format!("error=\"{error}\", error_description=\"{code}\"");
        let challenge = match code {
            "missing_token" => "Bearer".to_owned(),
            _ if is_of_proof => format!("DPoP {reason}, algs=\"{PROOF_ALGORITHMS}\""),
            _ => format!("Bearer {reason}"),
        };
        let denial = Self::new(StatusCode::UNAUTHORIZED, code, detail);
        Self { challenge: Some(challenge), ..denial }
    }

    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), challenge: None, retry_after: None }
    }

    /// The headers that the client gets.
    pub(crate) fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = vec![(VERDICT, HeaderValue::from_static(self.code))];
        headers.push((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
        let challenge = self.challenge.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(challenge)) = challenge {
            headers.push((header::WWW_AUTHENTICATE, challenge));
        }
        headers.extend(self.retry_after.map(|seconds| (header::RETRY_AFTER, seconds.into())));
        headers
    }

    /// The problem document.
    pub(crate) fn problem(&self) -> Problem {
        Problem::new(self.status, self.code, self.detail.clone())
    }

    /// The same as JSON text.
    pub(crate) fn body(&self) -> String {
        let document = ProblemDocument::from(self.problem());
        // What consists of texts and numbers can be written.
        serde_json::to_string(&document).unwrap_or_default()
    }
}

impl Answer<'_> {
    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Denied(denial) => denial.code,
            Self::Passed(_, code) => code,
        }
    }

    /// The answer over HTTP. `removes_headers` is true for a gateway that removes headers from the
    /// client's request if it is asked to.
    pub(crate) fn into_http(self, removes_headers: bool) -> Response<Body> {
        match self {
            Self::Denied(denial) => {
                let mut response = denial.problem().into_response();
                let headers = response.headers_mut();
                headers.remove(header::WWW_AUTHENTICATE);
                headers.extend(denial.headers());
                response
            }
            Self::Passed(forwarded, code) => {
                let mut response = Response::new(Body::empty());
                let headers = response.headers_mut();
                headers.insert(VERDICT, HeaderValue::from_static(code));
                if removes_headers && !forwarded.absent.is_empty() {
                    let names: Vec<&str> =
                        forwarded.absent.iter().map(|name| name.as_str()).collect();
                    // Names of headers have characters only that values may have.
                    headers.extend(
                        HeaderValue::try_from(names.join(",")).map(|names| (REMOVE, names)),
                    );
                }
                for (name, value) in forwarded.set {
                    headers.insert(name, value);
                }
                response
            }
        }
    }
}

/// The verdict's code, for access logs.
pub(crate) const VERDICT: HeaderName = HeaderName::from_static("offswitch-verdict");
/// The headers that Envoy removes from the request, in an answer over HTTP.
const REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");
/// The algorithms of DPoP proofs.
const PROOF_ALGORITHMS: &str =
    "ES256 ES384 ES512 EdDSA Ed25519 PS256 PS384 PS512 RS256 RS384 RS512";
