//! The control plane as a client sees it, and requests to others.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::Full;
use offswitch::clock::unix_seconds;
use offswitch::key_sets::{Answer, Client, Limits};
use offswitch_core::doctor::{Finding, clock};
use serde_json::Value;
use url::Url;

/// A control plane, and the API key that it is asked with.
pub(super) struct Remote {
    pub(super) client: Client,
    url: String,
    key: HeaderValue,
}

/// An answer, and between which times of our clock it came.
pub(super) struct Dated {
    pub(super) answer: Answer,
    asked_at: u64,
    answered_at: u64,
}

impl Remote {
    pub(super) fn new(url: &Url, key: &str) -> anyhow::Result<Self> {
        let url = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { client: Client::new(), url, key: bearer(key)? })
    }

    /// With the API key.
    pub(super) async fn get(&self, path: &str, bytes: usize) -> Result<Dated, String> {
        self.ask(Method::GET, path, None, Some(&self.key), bytes).await
    }

    /// Without the API key: what answers at a mistyped address is not to have it.
    pub(super) async fn get_public(&self, path: &str) -> Result<Dated, String> {
        self.ask(Method::GET, path, None, None, MAX_BYTES).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Dated, String> {
        self.ask(Method::POST, path, Some(body), Some(&self.key), MAX_BYTES).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&HeaderValue>,
        bytes: usize,
    ) -> Result<Dated, String> {
        let address = format!("{}{path}", self.url);
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(&address)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body));
        let mut request = request.map_err(|error| format!("{address}: {error}"))?;
        let shown = key.map(|key| (header::AUTHORIZATION, key.clone()));
        request.headers_mut().extend(shown);
        let asked_at = unix_seconds();
        let answer = self.client.answer(request, Limits { bytes, time: TIME }).await;
        let answer = answer.map_err(|error| format!("{address}: {error}"))?;
        Ok(Dated { answer, asked_at, answered_at: unix_seconds() })
    }

    /// A discovery document or a key set of anyone.
    pub(super) async fn document(&self, address: &str) -> Result<Dated, String> {
        let asked_at = unix_seconds();
        let answer = self.client.get(address).await?;
        Ok(Dated { answer, asked_at, answered_at: unix_seconds() })
    }
}

impl Dated {
    pub(super) fn status(&self) -> u16 {
        self.answer.status.as_u16()
    }

    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.answer.body).ok()
    }

    /// What the date of the answer says about the clock of who sent it.
    pub(super) fn clock(&self) -> Finding {
        clock(served_at(&self.answer.headers), self.asked_at, self.answered_at)
    }
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
pub(super) fn bearer(secret: &str) -> anyhow::Result<HeaderValue> {
    let value = HeaderValue::from_str(&format!("Bearer {secret}"));
    let mut value = value.map_err(|_| anyhow::anyhow!("the key or the token is not plain text"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// For one request.
pub(super) const TIME: Duration = Duration::from_secs(10);
/// What the control plane says about itself: up to 512 issuers.
pub(super) const MAX_BYTES: usize = 4 * 1024 * 1024;
