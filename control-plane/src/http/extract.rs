//! Bodies, queries and headers, read strictly: errors name what is wrong, and never contain the
//! value that was sent.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body as HttpBody, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::TryStreamExt;
use offswitch_core::limits::{REQUEST_MEMORY, UNNAMED_REQUEST_MEMORY};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};
use utoipa::IntoParams;

use super::json;
use crate::master_key::random_id;
use crate::problem::Problem;
use crate::store;

/// A JSON body, with the bytes it was read from. A missing body counts as `{}`.
pub(super) struct Body<T> {
    pub(super) value: T,
    pub(super) bytes: Bytes,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let headers = request.headers();
        let is_named = headers.contains_key(header::CONTENT_TYPE);
        let problem = unsupported(headers, "application/json");
        if is_named && !is_of_type(headers, "application/json") {
            return Err(problem);
        }
        let bytes = whole_body(request, state).await?;
        if !is_named && !bytes.is_empty() {
            return Err(problem);
        }
        let value = json::read(&bytes)?;
        Ok(Self { value, bytes })
    }
}

/// 415, with the media types that the endpoint accepts.
pub(super) fn unsupported(headers: &HeaderMap, expected: &str) -> Problem {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let found = found.and_then(|value| value.split(';').next()).map(str::trim);
    let is_media_type = |text: &&str| {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"/+-.".contains(&byte);
        (1..=MAX_SHOWN_CHARS).contains(&text.len()) && text.bytes().all(is_good)
    };
    let found = found.filter(is_media_type).unwrap_or("missing or not a media type");
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        format!("the content-type is {found}, expected {expected}"),
    )
}

/// Why the body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyError {
    TooLarge,
    TooSlow,
    Unreadable,
}

impl BodyError {
    /// The stable code.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "body_too_large",
            Self::TooSlow => "body_too_slow",
            Self::Unreadable => "invalid_body",
        }
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let (status, detail) = match error {
            BodyError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
            BodyError::TooSlow => (StatusCode::REQUEST_TIMEOUT, "the body took too long"),
            BodyError::Unreadable => (StatusCode::BAD_REQUEST, "the body could not be read"),
        };
        Self::new(status, error.code(), detail)
    }
}

/// Reads the whole body. The time limit grows with the bytes received: a large bulk may arrive over
/// a slow line, but sending a byte now and then does not extend the time.
pub(super) async fn whole_body<S: Send + Sync>(
    request: Request,
    state: &S,
) -> Result<Bytes, BodyError> {
    let received = Arc::new(AtomicUsize::new(0));
    let counter = received.clone();
    let request = request.map(|body| {
        HttpBody::from_stream(body.into_data_stream().inspect_ok(move |piece| {
            counter.fetch_add(piece.len(), Ordering::Relaxed);
        }))
    });
    let begin = Instant::now();
    let mut reading = pin!(Bytes::from_request(request, state));
    loop {
        let earned = received.load(Ordering::Relaxed) / LEAST_BYTES_PER_SECOND;
        let end = begin + BODY_GRACE + Duration::from_secs(earned as u64);
        match timeout_at(end, reading.as_mut()).await {
            Ok(read) => return read.map_err(|error| unreadable(&error)),
            Err(_) if received.load(Ordering::Relaxed) / LEAST_BYTES_PER_SECOND > earned => {}
            Err(_) => return Err(BodyError::TooSlow),
        }
    }
}

/// Query parameters; unknown ones are refused if the type refuses them.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        json::read_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// The user's id in the path.
pub(super) struct IdInPath(pub(super) String);

/// The id of a user and of a session in the path.
pub(super) struct SessionInPath {
    pub(super) sub: String,
    pub(super) session_id: String,
}

impl<S: Send + Sync> FromRequestParts<S> for IdInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = in_path::<String, S>(parts, state).await?;
        need_plain(&id)?;
        Ok(Self(id))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SessionInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let (sub, session_id) = in_path::<(String, String), S>(parts, state).await?;
        need_plain(&sub)?;
        need_plain(&session_id)?;
        Ok(Self { sub, session_id })
    }
}

async fn in_path<T: DeserializeOwned + Send, S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
) -> Result<T, Problem> {
    let path = Path::<T>::from_request_parts(parts, state).await;
    path.map(|Path(value)| value).map_err(|_| {
        Problem::bad_request("invalid_path", "the path must be UTF-8, percent-encoded")
    })
}

/// Refuses ids that a proxy may split into several segments of the path, or may remove: with
/// `a/../b` in the path another user would be logged out.
fn need_plain(id: &str) -> Result<(), Problem> {
    if id == "." || id == ".." || id.contains(['/', '\\']) {
        let detail = "an id with a slash, or of dots alone, is ambiguous in a path: use \
                      /v1/sessions?sub=… or POST /v1/revocations {\"sub\": …}";
        return Err(Problem::bad_request("invalid_path", detail));
    }
    Ok(())
}

/// The header that [`idempotency`] reads, for the API's description.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header to the API's readers")]
pub(super) struct IdempotencyKey {
    /// Identifies the request, 1 to 128 printable characters: repeating it within a day has no
    /// second effect and gets the same response. Using the key for a different request is refused.
    #[param(rename = "idempotency-key")]
    idempotency_key: Option<String>,
}

/// The id of the request for the store: the `Idempotency-Key` header, in a namespace of the caller,
/// or a random id without the header.
pub(super) fn idempotency(
    headers: &HeaderMap,
    caller: &str,
    path: &str,
    body: &[u8],
) -> Result<store::Request, Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let digest = *blake3::hash(&[path.as_bytes(), b"\0", body].concat()).as_bytes();
    let Some(key) = keys.next() else {
        let id = random_id();
        return Ok(store::Request { id, digest, memory: UNNAMED_REQUEST_MEMORY });
    };
    let key = key.to_str().ok().filter(|key| (1..=MAX_KEY_CHARS).contains(&key.len()));
    match (key, keys.next()) {
        (Some(key), None) => {
            let id = format!("{caller}:{key}");
            Ok(store::Request { id, digest, memory: REQUEST_MEMORY })
        }
        _ => Err(Problem::bad_request(
            "invalid_idempotency_key",
            "send the idempotency-key header once, with 1 to 128 printable characters",
        )),
    }
}

/// True if the body has this media type, regardless of its parameters.
pub(super) fn is_of_type(headers: &HeaderMap, media_type: &str) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(media_type))
}

fn unreadable(error: &BytesRejection) -> BodyError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        BodyError::TooLarge
    } else {
        BodyError::Unreadable
    }
}

/// How long any body may take; most arrive with the header.
const BODY_GRACE: Duration = Duration::from_secs(10);
/// This many bytes extend the time by one second.
const LEAST_BYTES_PER_SECOND: usize = 64 * 1024;
const MAX_KEY_CHARS: usize = 128;
/// Limit for a content type.
const MAX_SHOWN_CHARS: usize = 64;
