//! Problem documents (RFC 9457) with a stable code: the response to every refused request.

use std::fmt::Display;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// What went wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    /// The place in the body, a JSON Pointer.
    pointer: Option<String>,
    progress: Option<Progress>,
}

/// An extension of every answer that is a problem or another error: its stable code, for those that
/// record it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProblemCode(pub &'static str);

/// The progress of a request that is carried out in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    accepted: u64,
    line: u64,
}

/// The answer's body.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// A URI that identifies the kind of problem.
    #[schema(example = "urn:offswitch:problem:invalid_body")]
    r#type: String,
    /// The HTTP status's phrase.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// The stable code.
    code: &'static str,
    /// What exactly is wrong, in words.
    detail: String,
    /// The place in the body that is wrong, a JSON Pointer (RFC 6901); in a streamed request, the
    /// place in the line.
    #[schema(example = "/exp")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    /// For a streamed request: how many entries before `line` were accepted, and stay accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<u64>,
    /// For a streamed request: the line that is wrong, or that was reached, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
}

impl Problem {
    /// A problem that the request or the server caused.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), pointer: None, progress: None }
    }

    /// 400: the member `field` of the body is wrong. The detail begins with its name.
    pub fn of_field(code: &'static str, field: &str, detail: impl Display) -> Self {
        Self::bad_request(code, format!("{field}: {detail}")).at(format!("/{field}"))
    }

    /// The same problem with another status.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Sets the place in the body, a JSON Pointer.
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    /// The same problem, for the element `index` of the array `name`.
    pub fn within(mut self, name: &str, index: usize) -> Self {
        let (inner, joint) = match &self.pointer {
            Some(pointer) => (pointer.as_str(), "."),
            None => ("", ": "),
        };
        let pointer = format!("/{name}/{index}{inner}");
        self.detail = format!("{name}[{index}]{joint}{}", self.detail);
        self.at(pointer)
    }

    /// Adds how many entries were accepted before it, and the line of the body (from 1).
    pub fn after(mut self, accepted: u64, line: u64) -> Self {
        self.progress = Some(Progress { accepted, line });
        self
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// 400: the endpoint does not accept the request.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }
}

impl ProblemDocument {
    /// What exactly is wrong.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<Problem> for ProblemDocument {
    fn from(problem: Problem) -> Self {
        Self {
            r#type: format!("urn:offswitch:problem:{}", problem.code),
            title: problem.status.canonical_reason().unwrap_or("Error"),
            status: problem.status.as_u16(),
            code: problem.code,
            detail: problem.detail,
            pointer: problem.pointer,
            accepted: problem.progress.map(|progress| progress.accepted),
            line: problem.progress.map(|progress| progress.line),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code) = (self.status, self.code);
        let document = ProblemDocument::from(self);
        metrics::counter!("offswitch_problems_total", "code" => code).increment(1);
        let mut response = (status, Json(document)).into_response();
        response.extensions_mut().insert(ProblemCode(code));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(retry_after(code)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// When to retry, in seconds: soon, unless only an operator can fix the problem.
pub fn retry_after(code: &str) -> &'static str {
    match code {
        "document_altered" | "session_lost" | "store_newer" => "60",
        // Until then it is not fetched again.
        "keys_unavailable" => "10",
        _ => "1",
    }
}
