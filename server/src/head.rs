//! The maximum size of a request's head, the same over HTTP/1 and HTTP/2.

use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// The response to a request whose head, with its target, has more than `max_bytes`. Sizes are counted as in RFC 9113 section
/// 6.5.2; over HTTP/2 the library refuses most of these requests earlier.
pub(super) fn refusal<B>(request: &Request<B>, max_bytes: usize) -> Option<Response> {
    let fields = request.headers();
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let size = |(name, value): (&header::HeaderName, &HeaderValue)| {
        name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES
    };
    let size_bytes = target + fields.iter().map(size).sum::<usize>();
    if size_bytes <= max_bytes && fields.len() <= MAX_FIELDS {
        return None;
    }
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    let detail = format!(
        "the request's header must have at most {MAX_FIELDS} fields and {max_bytes} bytes, \
         {FIELD_OVERHEAD_BYTES} of them for each field"
    );
    let mut response = Problem::new(status, "header_too_large", detail).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}

/// The limit that hyper has over HTTP/1.
const MAX_FIELDS: usize = 100;
const FIELD_OVERHEAD_BYTES: usize = 32;
