//! One HTTP exchange. Its bytes and its time are bounded.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::{Body, Client};

/// Why a document could not be fetched.
#[derive(Debug)]
pub(crate) struct FetchError {
    /// In words, without the address.
    pub(crate) detail: String,
    /// What was wrong with bytes that did arrive.
    pub(crate) code: Option<&'static str>,
    /// What the server asked for.
    pub(crate) retry_after: Duration,
    /// The status, where it was another one than was expected.
    pub(crate) status: Option<StatusCode>,
}

/// A request, and what its answer may be.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) url: &'a str,
    pub(crate) headers: HeaderMap,
    /// The media type, which the answer must have; `*/*` for any.
    pub(crate) accept: &'static str,
    /// The entity tag that is held: a 304 is an answer too.
    pub(crate) etag: Option<HeaderValue>,
    pub(crate) max_bytes: usize,
    /// From the connection to the last byte, or to the headers where the body is a stream.
    pub(crate) timeout: Duration,
}

/// A whole body with its entity tag, and how old a relay lets its newest statement get; or nothing, where it is
/// as before.
pub(crate) enum Brought {
    Body {
        bytes: Vec<u8>,
        etag: Option<HeaderValue>,
        heartbeat_seconds: u32,
        /// A question to a relay.
        question: Option<String>,
    },
    NotModified,
}

impl FetchError {
    pub(crate) fn new(detail: impl Into<String>) -> Self {
        let (code, retry_after, status) = (None, Duration::ZERO, None);
        Self { detail: detail.into(), code, retry_after, status }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.detail)
    }
}

impl Client {
    /// Sends a request and reads the whole answer. `inspect` looks at the first bytes once there are
    /// `head_bytes` of them, or all.
    pub(crate) async fn fetch(
        &self,
        ask: Ask<'_>,
        head_bytes: usize,
        inspect: impl Fn(&[u8]) -> Result<(), FetchError>,
    ) -> Result<Brought, FetchError> {
        let end = Instant::now() + ask.timeout;
        let max_bytes = ask.max_bytes;
        let response = self.open(ask, end).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(Brought::NotModified);
        }
        let etag = response.headers().get(header::ETAG).cloned();
        let heartbeat_seconds = heartbeat_seconds(response.headers());
        let question = question(response.headers());
        let declared = declared_length(response.headers()).unwrap_or(0);
        let mut body = response.into_body();
        let mut bytes = Vec::new();
        let mut is_inspected = false;
        while let Some(piece) = next_piece(&mut body, end).await? {
            if piece.len() > max_bytes - bytes.len() {
                return Err(FetchError::new(TOO_LARGE));
            }
            // Room for all that was declared, once the first bytes were found worth it.
            if is_inspected && bytes.capacity() < declared {
                bytes.reserve_exact(declared - bytes.len());
            }
            bytes.extend_from_slice(&piece);
            if !is_inspected && bytes.len() >= head_bytes {
                inspect(&bytes[..head_bytes])?;
                is_inspected = true;
            }
        }
        if !is_inspected {
            inspect(&bytes)?;
        }
        Ok(Brought::Body { bytes, etag, heartbeat_seconds, question })
    }

    /// Sends a request; the answer is there once its headers are as they should be.
    pub(crate) async fn open(
        &self,
        ask: Ask<'_>,
        end: Instant,
    ) -> Result<Response<Incoming>, FetchError> {
        let mut request = Request::get(ask.url)
            .body(Body::default())
            .map_err(|error| FetchError::new(error.to_string()))?;
        let headers = request.headers_mut();
        headers.extend(ask.headers.clone());
        headers.insert(header::ACCEPT, HeaderValue::from_static(ask.accept));
        if let Some(etag) = &ask.etag {
            headers.insert(header::IF_NONE_MATCH, etag.clone());
        }
        let response = timeout_at(end, self.send(request)).await;
        let response =
            response.map_err(|_| FetchError::new(TIMED_OUT))?.map_err(FetchError::new)?;
        match wrong_answer(&response, &ask) {
            None => Ok(response),
            Some(detail) => {
                let status = response.status();
                Err(FetchError {
                    detail,
                    code: None,
                    retry_after: retry_after(response.headers()),
                    status: (status != StatusCode::OK).then_some(status),
                })
            }
        }
    }
}

/// What a relay says about its own feed; 0 for a control plane, which signs what it answers.
fn heartbeat_seconds(headers: &HeaderMap) -> u32 {
    let said = headers.get(HEARTBEAT_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
    said.filter(|seconds| *seconds <= MOST_HEARTBEAT_SECONDS).unwrap_or(0)
}

/// What a server asks a relay that polls.
fn question(headers: &HeaderMap) -> Option<String> {
    let ask = headers.get(ASK_HEADER)?.to_str().ok()?;
    (ask.len() <= MOST_ASK_BYTES).then(|| ask.to_owned())
}

/// The next piece of a body; none at its end.
pub(crate) async fn next_piece(
    body: &mut Incoming,
    end: Instant,
) -> Result<Option<Bytes>, FetchError> {
    loop {
        let frame = timeout_at(end, body.frame()).await;
        match frame.map_err(|_| FetchError::new(TIMED_OUT))? {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
            Some(Err(error)) => {
                return Err(FetchError::new(format!("the answer broke off: {error}")));
            }
        }
    }
}

fn wrong_answer(response: &Response<Incoming>, ask: &Ask<'_>) -> Option<String> {
    let (status, headers) = (response.status(), response.headers());
    if status == StatusCode::NOT_MODIFIED && ask.etag.is_some() {
        return None;
    }
    if [301, 302, 303, 307, 308].contains(&status.as_u16()) {
        return Some(REDIRECTED.to_owned());
    }
    if status != StatusCode::OK {
        return Some(format!("status {}", status.as_u16()));
    }
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let media_type = text(header::CONTENT_TYPE).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if ask.accept != "*/*" && media_type != ask.accept {
        let shown: String = media_type.chars().take(64).collect();
        return Some(format!("content-type {shown:?}"));
    }
    // None was accepted.
    if text(header::CONTENT_ENCODING).is_some_and(|one| !one.eq_ignore_ascii_case("identity")) {
        return Some("a compressed answer, expected none".to_owned());
    }
    let is_large = declared_length(headers).is_some_and(|length| length > ask.max_bytes);
    is_large.then(|| TOO_LARGE.to_owned())
}

fn declared_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Seconds or a date (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Duration {
    let text = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let text = text.unwrap_or_default();
    if !text.is_empty() && text.bytes().all(|one| one.is_ascii_digit()) {
        return Duration::from_secs(text.parse().unwrap_or(u64::MAX));
    }
    let date = httpdate::parse_http_date(text).ok();
    let left = date.and_then(|date| date.duration_since(now()).ok());
    left.unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "a date of another server is compared with our own")]
fn now() -> SystemTime {
    SystemTime::now()
}

const REDIRECTED: &str =
    "a redirect, which is not followed: configure the address that it leads to";
const TIMED_OUT: &str = "timed out";
pub(crate) const TOO_LARGE: &str = "the answer is too large";
/// The header in which a relay says how old it lets its newest statement get, whole seconds.
pub const HEARTBEAT_HEADER: HeaderName = HeaderName::from_static("offswitch-heartbeat-seconds");
/// The header in which a relay is asked for the position that it holds.
const ASK_HEADER: HeaderName = HeaderName::from_static("offswitch-ask");
const MOST_ASK_BYTES: usize = 128;
/// The control plane's `heartbeat_seconds` cannot be more.
pub(crate) const MOST_HEARTBEAT_SECONDS: u32 = 60;
