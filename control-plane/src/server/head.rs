//! How large a request's head may be, the same over HTTP/1 and HTTP/2.

use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// The answer to a request whose head is too large. Sizes are counted as RFC 9113 section 6.5.2
/// does; of HTTP/2 the library refuses most of them before.
pub(super) fn refusal<B>(request: &Request<B>) -> Option<Response> {
    let fields = request.headers();
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let size = |(name, value): (&header::HeaderName, &HeaderValue)| {
        name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES
    };
    let size_bytes = target + fields.iter().map(size).sum::<usize>();
    if size_bytes <= MAX_HEAD_BYTES && fields.len() <= MAX_FIELDS {
        return None;
    }
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    let detail = format!(
        "the request's header must have at most {MAX_FIELDS} fields and {MAX_HEAD_BYTES} bytes, \
         {FIELD_OVERHEAD_BYTES} of them for each field"
    );
    let mut response = Problem::new(status, "header_too_large", detail).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}

/// Of a head with its target; also bounds how many CONTINUATION frames there may be.
pub(super) const MAX_HEAD_BYTES: usize = 16 * 1024;
/// What hyper takes over HTTP/1.
const MAX_FIELDS: usize = 100;
const FIELD_OVERHEAD_BYTES: usize = 32;
