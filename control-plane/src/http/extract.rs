//! Bodies, queries and headers, read strictly: what is wrong is said by name, and never with the
//! value that was sent.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::problem::Problem;
use crate::master_key::random_bytes;
use crate::store;

/// A JSON body, with the bytes it was read from.
pub(super) struct Body<T> {
    pub(super) value: T,
    pub(super) bytes: Bytes,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the content-type must be application/json",
            ));
        }
        let bytes = timeout(BODY_TIMEOUT, Bytes::from_request(request, state)).await;
        let bytes = bytes.map_err(|_| too_slow())?.map_err(|error| unreadable(&error))?;
        let mut deserializer = serde_json::Deserializer::from_slice(&bytes);
        let value = T::deserialize(&mut deserializer)
            .and_then(|value| deserializer.end().map(|()| value))
            .map_err(|error| Problem::bad_request("invalid_body", describe(&error)))?;
        Ok(Self { value, bytes })
    }
}

/// Query parameters; unknown ones are refused where the type refuses them.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(value)| Self(value)).map_err(|error: QueryRejection| {
            Problem::bad_request("invalid_query", error.body_text())
        })
    }
}

/// Names the request for the store: by the `Idempotency-Key` header, within the caller's own names,
/// or by chance where there is none.
pub(super) fn idempotency(
    headers: &HeaderMap,
    caller: &str,
    path: &str,
    body: &[u8],
) -> Result<store::Request, Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let digest = *blake3::hash(&[path.as_bytes(), b"\0", body].concat()).as_bytes();
    let Some(key) = keys.next() else {
        let id = blake3::Hash::from(random_bytes::<32>()).to_hex().to_string();
        return Ok(store::Request { id, digest });
    };
    let key = key.to_str().ok().filter(|key| (1..=MAX_KEY_CHARS).contains(&key.len()));
    match (key, keys.next()) {
        (Some(key), None) => Ok(store::Request { id: format!("{caller}:{key}"), digest }),
        _ => Err(Problem::bad_request(
            "invalid_idempotency_key",
            "the idempotency-key header must stand once, with 1 to 128 printable characters",
        )),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn too_slow() -> Problem {
    let detail = "the body took too long";
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", detail)
}

fn unreadable(error: &BytesRejection) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body is too large")
    } else {
        Problem::bad_request("invalid_body", "the body could not be read")
    }
}

/// What serde says, without the value it may quote: that may be a token.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!("line {} column {}", error.line(), error.column());
    let quotes = ["invalid type", "invalid value", "invalid length"];
    if !quotes.iter().any(|quote| text.starts_with(quote)) {
        return text;
    }
    match text.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None => format!("a wrong value at {place}"),
    }
}

/// For the largest bulk over a slow line.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_KEY_CHARS: usize = 128;
