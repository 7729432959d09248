//! A control plane as a client sees it, over HTTP with an API key, and requests to others.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use offswitch_client::http::{Answer, Client, Limits};
use offswitch_core::doctor::{Finding, clock};
use offswitch_server::roster::FOLLOWER_HEADER;
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use crate::clock::unix_seconds;

/// A control plane, and the API key that it is asked with.
pub struct Remote {
    pub(crate) client: Client,
    way: Way,
    key: HeaderValue,
}

/// How the control plane is asked.
enum Way {
    /// At this address, without a slash at the end.
    Http(String),
    /// In its own process. Its routes check the API key as those of any request, and record the address of
    /// the caller who asked for the examination.
    Inside(Router, Option<ConnectInfo<SocketAddr>>),
}

/// An answer, and between which times of our clock it came.
pub(crate) struct Dated {
    pub(crate) answer: Answer,
    asked_at: u64,
    answered_at: u64,
}

impl Remote {
    /// The control plane at an address, with an API key.
    ///
    /// # Errors
    ///
    /// If the key cannot be sent.
    pub fn at(url: &Url, key: &str) -> Result<Self, String> {
        let url = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { client: Client::new(), way: Way::Http(url), key: bearer(key)? })
    }

    /// The control plane with these routes, asked with the `Authorization` header of a caller at `peer`.
    pub fn inside(
        routes: Router,
        authorization: HeaderValue,
        peer: Option<ConnectInfo<SocketAddr>>,
    ) -> Self {
        let key = sensitive(authorization);
        Self { client: Client::new(), way: Way::Inside(routes, peer), key }
    }

    /// True if its clock may be another than ours.
    pub(crate) fn is_elsewhere(&self) -> bool {
        matches!(self.way, Way::Http(_))
    }

    /// Its address, without a slash at the end; empty if it is in this process.
    pub fn url(&self) -> &str {
        match &self.way {
            Way::Http(url) => url,
            Way::Inside(..) => "",
        }
    }

    /// The answer to a request, with the API key.
    ///
    /// # Errors
    ///
    /// If there is no whole answer in time. In words, with the address.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        Ok(self.ask(method, path, body, self.keyed(), MAX_BYTES).await?.answer)
    }

    /// With the API key.
    pub(crate) async fn get(&self, path: &str, bytes: usize) -> Result<Dated, String> {
        self.ask(Method::GET, path, None, self.keyed(), bytes).await
    }

    /// With the API key, as a follower of the feed that introduces itself so.
    pub(crate) async fn follow(
        &self,
        path: &str,
        introduction: HeaderValue,
        bytes: usize,
    ) -> Result<Dated, String> {
        let mut headers = self.keyed();
        headers.insert(FOLLOWER_HEADER, introduction);
        self.ask(Method::GET, path, None, headers, bytes).await
    }

    /// Without the API key: what answers at a mistyped address is not to have it.
    pub(crate) async fn get_public(&self, path: &str) -> Result<Dated, String> {
        self.ask(Method::GET, path, None, HeaderMap::new(), MAX_BYTES).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Dated, String> {
        self.ask(Method::POST, path, Some(body), self.keyed(), MAX_BYTES).await
    }

    fn keyed(&self) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, self.key.clone())])
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: HeaderMap,
        bytes: usize,
    ) -> Result<Dated, String> {
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let address = match &self.way {
            Way::Http(url) => format!("{url}{path}"),
            Way::Inside(..) => path.to_owned(),
        };
        let request = Request::builder()
            .method(method)
            .uri(&address)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body));
        let in_words = |error: String| format!("{address}: {error}");
        let mut request = request.map_err(|error| in_words(error.to_string()))?;
        request.headers_mut().extend(headers);
        let asked_at = unix_seconds();
        let limits = Limits { bytes, time: TIME };
        let answer = match &self.way {
            Way::Http(_) => self.client.answer(request, limits).await,
            Way::Inside(routes, peer) => {
                if let Some(peer) = peer {
                    request.extensions_mut().insert(*peer);
                }
                inside(routes, request, limits).await
            }
        };
        let answer = answer.map_err(in_words)?;
        Ok(Dated { answer, asked_at, answered_at: unix_seconds() })
    }

    /// A discovery document or a key set of anyone.
    pub(crate) async fn document(&self, address: &str) -> Result<Dated, String> {
        let asked_at = unix_seconds();
        let answer = self.client.get(address).await?;
        Ok(Dated { answer, asked_at, answered_at: unix_seconds() })
    }
}

impl Dated {
    pub(crate) fn status(&self) -> u16 {
        self.answer.status.as_u16()
    }

    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.answer.body).ok()
    }

    /// What the date of the answer says about the clock of who sent it.
    pub(crate) fn clock(&self) -> Finding {
        clock(served_at(&self.answer.headers), self.asked_at, self.answered_at)
    }
}

/// Reads an http or https address without a user name or a password in it.
///
/// # Errors
///
/// What is wrong, in words and without the address.
pub fn address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is not an address")?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("must be an http or https address");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain a user name or a password");
    }
    Ok(url)
}

async fn inside(
    routes: &Router,
    request: Request<Full<Bytes>>,
    limits: Limits,
) -> Result<Answer, String> {
    let answered = async {
        let Ok(answer) =
            TowerToHyperService::new(routes.clone()).call(request.map(Body::new)).await;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, limits.bytes).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    };
    let late = || Err(format!("no answer in {:?}", limits.time));
    timeout(limits.time, answered).await.unwrap_or_else(|_| late())
}

/// An answer from a cache has the date of its origin, and its age since (RFC 9111 section 5.1).
fn served_at(headers: &HeaderMap) -> Option<u64> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let date = httpdate::parse_http_date(text(header::DATE)?).ok()?;
    let date = date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    let age = text(header::AGE).and_then(|age| age.trim().parse().ok()).unwrap_or(0);
    Some(date.saturating_add(age))
}

/// A credential that no log or error shows.
pub(crate) fn bearer(secret: &str) -> Result<HeaderValue, String> {
    let value = HeaderValue::from_str(&format!("Bearer {secret}"));
    let value = value.map_err(|_| "the key or the token is not plain text".to_owned())?;
    Ok(sensitive(value))
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// For one request.
pub(crate) const TIME: Duration = Duration::from_secs(10);
/// What the control plane says about itself: up to 512 issuers.
pub(crate) const MAX_BYTES: usize = 4 * 1024 * 1024;
