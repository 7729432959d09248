//! The one HTTP client: each answer is bounded in bytes and time, and no redirect is followed.

mod exchange;
mod key_sets;

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use offswitch_verifier::{KeySet, KeySource, jwks_address};
use rustls::crypto::ring;
use tokio::time::timeout;

pub use exchange::HEARTBEAT_HEADER;
pub(crate) use exchange::{
    Ask, Brought, FetchError, MOST_HEARTBEAT_SECONDS, TOO_LARGE, next_piece,
};
pub use key_sets::{Fetched, KeySetAddress, KeySets, KeysUnavailable};

/// An HTTP client, or why there is none: a system without certificate authorities. It follows no
/// redirect: the address is what the operator registered, or what the issuer's document names.
pub struct Client(Result<Connections, String>);

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// How much an answer may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of its body.
    pub bytes: usize,
    /// From the connection to the last byte.
    pub time: Duration,
}

type Body = Full<Bytes>;
type Connections = hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Body>;

impl Client {
    /// One that trusts the certificate authorities of the system.
    pub fn new() -> Self {
        Self(connections().map_err(|error| format!("no certificate authority is known: {error}")))
    }

    /// The key set at an address; `headers` are sent to that address only. An error is in words.
    pub(crate) async fn key_set(
        &self,
        of: &KeySetAddress,
        headers: &HeaderMap,
    ) -> Result<KeySet, String> {
        let text = match &of.source {
            KeySource::Jwks(address) => self.document(address, headers).await?.body,
            KeySource::Discovery(address) => {
                let document = self.document(address, headers).await?.body;
                // The headers are for the configured address alone.
                self.get(&jwks_address(&of.issuer, address, &document)?).await?.body
            }
        };
        KeySet::from_fetched_jwks(&text, &of.algorithms).map_err(|error| error.to_string())
    }

    /// A key set or a discovery document, with status 200.
    ///
    /// # Errors
    ///
    /// In words, with the address.
    pub async fn get(&self, address: &str) -> Result<Answer, String> {
        self.document(address, &HeaderMap::new()).await
    }

    async fn document(&self, address: &str, headers: &HeaderMap) -> Result<Answer, String> {
        let mut request = Request::get(address)
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .body(Body::default());
        if let Ok(request) = &mut request {
            request.headers_mut().extend(headers.clone());
        }
        let answered =
            async { self.answer(request.map_err(|error| error.to_string())?, DOCUMENT).await };
        let answer = answered.await.map_err(|problem| format!("{address}: {problem}"))?;
        match answer.status {
            StatusCode::OK => Ok(answer),
            status => Err(format!("{address}: answers {status}, expected 200")),
        }
    }

    /// The whole answer to a request.
    ///
    /// # Errors
    ///
    /// In words, without the address.
    pub async fn answer(&self, request: Request<Body>, limits: Limits) -> Result<Answer, String> {
        let whole = async {
            let (head, body) = self.send(request).await?.into_parts();
            let body = Limited::new(body, limits.bytes).collect().await;
            let body = body.map_err(|error| in_words(error.as_ref()))?.to_bytes();
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        in_time(limits.time, whole).await
    }

    /// The head of the answer to a request, with as much of the body as arrives soon and within the
    /// limit: a status is an answer also if its body does not end.
    ///
    /// # Errors
    ///
    /// In words, without the address.
    pub async fn beginning(
        &self,
        request: Request<Body>,
        limits: Limits,
    ) -> Result<Answer, String> {
        let (head, mut rest) = in_time(limits.time, self.send(request)).await?.into_parts();
        let mut body = Vec::new();
        let reading = async {
            while body.len() < limits.bytes
                && let Some(Ok(frame)) = rest.frame().await
            {
                let piece = frame.data_ref().map_or(&[][..], |data| data);
                body.extend_from_slice(&piece[..piece.len().min(limits.bytes - body.len())]);
            }
        };
        // It otherwise ends only when the time is over: what has arrived is enough.
        let _ = timeout(BODY_TIME, reading).await;
        Ok(Answer { status: head.status, headers: head.headers, body: body.into() })
    }

    /// The status of the answer to a request, whose body is not read.
    ///
    /// # Errors
    ///
    /// In words, without the address.
    pub async fn status(
        &self,
        request: Request<Body>,
        time: Duration,
    ) -> Result<StatusCode, String> {
        in_time(time, async { Ok(self.send(request).await?.status()) }).await
    }

    async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, String> {
        let connections = self.0.as_ref().map_err(Clone::clone)?;
        request.headers_mut().insert(header::USER_AGENT, USER_AGENT);
        connections.request(request).await.map_err(|error| in_words(&error))
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

async fn in_time<T>(
    time: Duration,
    answer: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    timeout(time, answer).await.unwrap_or_else(|_| Err(format!("no answer in {time:?}")))
}

fn connections() -> std::io::Result<Connections> {
    let mut http = HttpConnector::new();
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    // Which addresses may be without TLS is decided where an issuer is registered.
    http.enforce_http(false);
    let https = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(ring::default_provider())?
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    Ok(hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(https))
}

/// The error with its causes: the text of the outermost only says which step failed.
fn in_words(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the body of an answer matters of which the status is what counts.
const BODY_TIME: Duration = Duration::from_secs(1);
/// A key set has no more bytes than that.
const DOCUMENT: Limits = Limits { bytes: 256 * 1024, time: Duration::from_secs(5) };
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("offswitch/", env!("CARGO_PKG_VERSION")));
