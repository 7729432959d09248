//! Workers KV, through the HTTP API of Cloudflare.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Bytes;
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use form_urlencoded::byte_serialize;
use http_body_util::Full;
use offswitch_client::http::{Answer, Client, Limits};
use offswitch_snapshot::{HEAD_NAME, MAX_HEAD_BYTES, Part};
use serde::Deserialize;
use url::Url;

use super::address::PublicationSecrets;
use super::place::{MOST_PARTS, Place, PlaceError, PlaceVersion};

/// The keys of a namespace that begin with a prefix.
pub(super) struct WorkersKv {
    client: Client,
    /// The address of the namespace in the API.
    namespace: String,
    prefix: String,
    authorization: HeaderValue,
    address: String,
}

/// A page of the names of keys.
#[derive(Deserialize)]
struct Page {
    result: Vec<Name>,
    result_info: Option<PageInfo>,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

#[derive(Deserialize)]
struct PageInfo {
    #[serde(default)]
    cursor: String,
}

impl WorkersKv {
    /// Reads the address `workers-kv://account/namespace/prefix`.
    pub(super) fn open(url: &Url, secrets: &PublicationSecrets) -> Result<Self, String> {
        let token = secrets.get("cloudflare_api_token").ok_or("cloudflare_api_token is not set")?;
        let mut authorization = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| "cloudflare_api_token is not visible ASCII".to_owned())?;
        authorization.set_sensitive(true);
        let api = secrets.get("cloudflare_base_url").unwrap_or(API).trim_end_matches('/');
        let account = url.host_str().unwrap_or_default();
        let path = url.path().trim_matches('/');
        let (namespace, prefix) = path.split_once('/').unwrap_or((path, ""));
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self {
            client: Client::new(),
            namespace: format!("{api}/accounts/{account}/storage/kv/namespaces/{namespace}"),
            prefix,
            authorization,
            address: url.to_string(),
        })
    }

    fn value(&self, name: &str) -> String {
        let key: String = byte_serialize(format!("{}{name}", self.prefix).as_bytes()).collect();
        format!("{}/values/{key}", self.namespace)
    }

    /// The answer with status 200; none for one with 404.
    async fn ask(
        &self,
        method: Method,
        address: &str,
        body: Bytes,
        most_bytes: usize,
    ) -> Result<Option<Answer>, PlaceError> {
        let request = Request::builder()
            .method(method)
            .uri(address)
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(Full::new(body))
            .map_err(PlaceError::of)?;
        let limits = Limits { bytes: most_bytes, time: LONGEST };
        let answer = self.client.answer(request, limits).await.map_err(PlaceError::of)?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer)),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(PlaceError::of(format!("the API of Workers KV answers {status}"))),
        }
    }

    async fn write(&self, name: &str, bytes: Bytes) -> Result<(), PlaceError> {
        if bytes.len() > MOST_VALUE_BYTES {
            let text =
                "a value of Workers KV has at most 25 MiB: publish to R2 or another object store";
            return Err(PlaceError::of(text));
        }
        let answer = self.ask(Method::PUT, &self.value(name), bytes, MOST_ANSWER_BYTES).await?;
        answer.map(drop).ok_or_else(|| PlaceError::of("there is no such namespace of Workers KV"))
    }
}

#[async_trait]
impl Place for WorkersKv {
    async fn head(&self) -> Result<Option<(Bytes, PlaceVersion)>, PlaceError> {
        let (address, empty) = (self.value(HEAD_NAME), Bytes::new());
        let answer = self.ask(Method::GET, &address, empty, MOST_VALUE_BYTES).await?;
        // What is larger is no head, and is written over.
        let body = answer.map(|answer| answer.body);
        let body = body.map(|body| if body.len() > MAX_HEAD_BYTES { Bytes::new() } else { body });
        Ok(body.map(|body| (body, PlaceVersion::default())))
    }

    async fn write_head(
        &self,
        text: Bytes,
        _over: Option<&PlaceVersion>,
    ) -> Result<bool, PlaceError> {
        self.write(HEAD_NAME, text).await.map(|()| true)
    }

    async fn write_part(&self, part: Part, bytes: Bytes) -> Result<(), PlaceError> {
        self.write(&part.to_string(), bytes).await
    }

    async fn parts(&self) -> Result<Vec<Part>, PlaceError> {
        let (mut parts, mut seen, mut cursor) = (vec![], 0, String::new());
        let prefix: String = byte_serialize(self.prefix.as_bytes()).collect();
        loop {
            let next: String = byte_serialize(cursor.as_bytes()).collect();
            let address =
                format!("{}/keys?limit=1000&prefix={prefix}&cursor={next}", self.namespace);
            let answer = self.ask(Method::GET, &address, Bytes::new(), MOST_ANSWER_BYTES).await?;
            let Some(answer) = answer else { return Ok(parts) };
            let page: Page = serde_json::from_slice(&answer.body).map_err(PlaceError::of)?;
            seen += page.result.len();
            let names = page.result.iter().filter_map(|one| one.name.strip_prefix(&self.prefix));
            parts.extend(names.filter_map(|name| name.parse::<Part>().ok()));
            cursor = page.result_info.map(|info| info.cursor).unwrap_or_default();
            if cursor.is_empty() || page.result.is_empty() || seen >= MOST_PARTS {
                return Ok(parts);
            }
        }
    }

    async fn remove(&self, part: Part) -> Result<(), PlaceError> {
        let address = self.value(&part.to_string());
        self.ask(Method::DELETE, &address, Bytes::new(), MOST_ANSWER_BYTES).await.map(drop)
    }
}

impl fmt::Display for WorkersKv {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.address)
    }
}

const API: &str = "https://api.cloudflare.com/client/v4";
/// What Workers KV allows.
const MOST_VALUE_BYTES: usize = 25 * 1024 * 1024;
/// A page of a thousand names.
const MOST_ANSWER_BYTES: usize = 1024 * 1024;
const LONGEST: Duration = Duration::from_secs(20);
