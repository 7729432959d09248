//! One bounded request for a key set, or for the discovery document that says where it is.

use std::error::Error;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use offswitch_core::issuers::{KeySource, jwks_address};
use offswitch_core::receivers::Sender;
use offswitch_verifier::KeySet;
use rustls::crypto::ring;
use tokio::time::timeout;

/// An HTTP client, or why there is none: a system without certificate authorities. It follows no
/// redirect: the address is what the operator registered, or what the issuer's document names.
pub(super) struct Client(Result<Connections, String>);

type Connections = hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

impl Client {
    pub(super) fn new() -> Self {
        Self(connections().map_err(|error| format!("no certificate authority is known: {error}")))
    }

    /// The key set of a sender; an error is in words.
    pub(super) async fn key_set(&self, sender: &Sender) -> Result<KeySet, String> {
        let address = match &sender.keys {
            KeySource::Jwks(address) => address.clone(),
            KeySource::Discovery(address) => {
                let document = self.get(address).await?;
                jwks_address(&sender.keys_of, address, &document)?
            }
        };
        let text = self.get(&address).await?;
        KeySet::from_fetched_jwks(&text, &sender.algorithms).map_err(|error| error.to_string())
    }

    async fn get(&self, address: &str) -> Result<Bytes, String> {
        let answered = timeout(TIMEOUT, self.get_whole(address)).await;
        let answered = answered.unwrap_or_else(|_| Err(format!("no answer in {TIMEOUT:?}")));
        answered.map_err(|problem| format!("{address}: {problem}"))
    }

    async fn get_whole(&self, address: &str) -> Result<Bytes, String> {
        let connections = self.0.as_ref().map_err(Clone::clone)?;
        let request = Request::get(address)
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .header(header::USER_AGENT, concat!("offswitch/", env!("CARGO_PKG_VERSION")));
        let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
        let response = connections.request(request).await.map_err(|error| in_words(&error))?;
        if response.status() != StatusCode::OK {
            return Err(format!("answers {}, expected 200", response.status()));
        }
        let whole = Limited::new(response.into_body(), MAX_BYTES).collect().await;
        Ok(whole.map_err(|error| in_words(error.as_ref()))?.to_bytes())
    }
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
/// For one request, from the connection to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);
/// As many as a key set may have.
const MAX_BYTES: usize = 256 * 1024;
