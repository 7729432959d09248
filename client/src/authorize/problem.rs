//! The answers to requests that do not get through: problem documents (RFC 9457) with a stable code.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::policy::Lacking;
use crate::verdict::Decision;
use crate::verdict::Verdict;

/// The answer to a request that does not get through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// 401, 403 or 503.
    pub status: StatusCode,
    /// The stable code string.
    pub code: &'static str,
    /// The same for people.
    pub detail: String,
    /// Further headers: `WWW-Authenticate`, `Retry-After`.
    pub headers: HeaderMap,
}

/// In which scheme a token was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Bearer,
    Dpop,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: String) -> Self {
        let mut headers = HeaderMap::new();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Self { status, code, detail, headers }
    }

    /// A request without a token (RFC 6750 section 3.1: the challenge names no error).
    pub(crate) fn missing_token() -> Self {
        let detail = "expected the header Authorization: Bearer <token>".to_owned();
        let challenge = HeaderValue::from_static("Bearer");
        Self::new(StatusCode::UNAUTHORIZED, "missing_token", detail)
            .with(header::WWW_AUTHENTICATE, challenge)
    }

    /// A 401 as RFC 6750 section 3 defines it, or RFC 9449 section 7.1 for a token that must be shown with a
    /// proof, or was.
    pub(super) fn refusal(code: &'static str, detail: String, scheme: Scheme) -> Self {
        let is_of_proof = scheme == Scheme::Dpop || code == "sender_constrained";
        let error = if code == "invalid_dpop_proof" { code } else { "invalid_token" };
        let reason = format!("error=\"{error}\", error_description=\"{code}\"");
        let challenge = match is_of_proof {
            true => format!("DPoP {reason}, algs=\"{PROOF_ALGORITHMS}\""),
            false => format!("Bearer {reason}"),
        };
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
            .with(header::WWW_AUTHENTICATE, text(&challenge))
    }

    /// The answer to a token that is not valid. After a red button all clients want a new token at the same time:
    /// each is given another time to come back.
    pub(super) fn denial(verdict: &Verdict, jitter_seconds: u64, scheme: Scheme) -> Self {
        let (code, detail) = (verdict.code(), verdict.decision.detail());
        if !matches!(verdict.decision, Decision::Refused(_)) {
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        }
        let refusal = Self::refusal(code, detail, scheme);
        if !MASS_EVENTS.contains(&code) || jitter_seconds == 0 {
            return refusal;
        }
        let seconds = 1 + fastrand::u64(..jitter_seconds);
        refusal.with(header::RETRY_AFTER, seconds.into())
    }

    /// A valid token that does not go far enough (RFC 6750 section 3.1).
    pub(super) fn insufficient(scopes: &[String], lacking: &Lacking<'_>, scheme: Scheme) -> Self {
        let detail = lacking.to_string();
        match lacking {
            Lacking::Claim(..) => Self::new(StatusCode::FORBIDDEN, "insufficient_claims", detail),
            Lacking::Scopes(_) => {
                let scheme = if scheme == Scheme::Dpop { "DPoP" } else { "Bearer" };
                let scopes = scopes.join(" ");
                let challenge =
                    format!("{scheme} error=\"insufficient_scope\", scope=\"{scopes}\"");
                Self::new(StatusCode::FORBIDDEN, "insufficient_scope", detail)
                    .with(header::WWW_AUTHENTICATE, text(&challenge))
            }
        }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The document, as JSON text.
    pub fn body(&self) -> String {
        let Self { status, code, detail, .. } = self;
        let title = status.canonical_reason().unwrap_or_default();
        let kind = format!("urn:offswitch:problem:{code}");
        json!({ "type": kind, "title": title, "status": status.as_u16(), "code": code, "detail": detail })
            .to_string()
    }

    /// The whole answer.
    pub fn into_response<B: From<String>>(self) -> Response<B> {
        let mut response = Response::new(B::from(self.body()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        *headers = self.headers;
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let media_type = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, media_type);
        response
    }
}

/// Of codes and of the names of scopes, which are visible ASCII.
fn text(value: &str) -> HeaderValue {
    HeaderValue::try_from(value).unwrap_or(const { HeaderValue::from_static("Bearer") })
}

/// The algorithms of proofs.
const PROOF_ALGORITHMS: &str =
    "ES256 ES384 ES512 EdDSA Ed25519 PS256 PS384 PS512 RS256 RS384 RS512";
/// What happens to all clients at the same time.
const MASS_EVENTS: [&str; 3] = ["revoked_epoch", "revoked_key", "unknown_key"];
