//! An identity provider: a discovery document, a key set, and the tokens that it signs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::task::JoinHandle;

use super::follower::now;

/// How the provider answers when its key set is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// With its keys.
    Served,
    /// With its keys, after a while.
    Slow,
    /// With its keys, just before a client gives up.
    VerySlow,
    /// With more keys than a key set may have.
    Endless,
    Broken,
    Redirected,
    NotJson,
    /// With a key that no signature matches.
    Unusable,
}

/// A provider, stopped when it is dropped.
pub(crate) struct Provider {
    url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    url: Mutex<String>,
    keys: Mutex<(Keys, Vec<(String, SigningKey)>)>,
    fetches: AtomicUsize,
}

impl Provider {
    /// One with the key `k1`.
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let keys = Mutex::new((Keys::Served, vec![key("k1")]));
        let shared = Shared { url: Mutex::new(url.clone()), keys, fetches: AtomicUsize::new(0) };
        let shared = Arc::new(shared);
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, task }
    }

    /// Its `iss`.
    pub(crate) fn issuer(&self) -> &str {
        &self.url
    }

    /// How often its key set was fetched.
    pub(crate) fn fetches(&self) -> usize {
        self.shared.fetches.load(Ordering::SeqCst)
    }

    /// Answers like this from now on.
    pub(crate) fn answer(&self, keys: Keys) {
        self.shared.keys.lock().unwrap().0 = keys;
    }

    /// Names another issuer in its discovery document from now on.
    pub(crate) fn call_itself(&self, issuer: &str) {
        *self.shared.url.lock().unwrap() = issuer.to_owned();
    }

    /// Publishes one more key, and signs with it.
    pub(crate) fn rotate(&self, kid: &str) {
        self.shared.keys.lock().unwrap().1.push(key(kid));
    }

    /// The claims of a good logout token for the client `app`.
    pub(crate) fn logout_claims(&self, jti: &str) -> Value {
        json!({
            "iss": self.url, "aud": "app", "iat": now(), "exp": now() + 120, "jti": jti,
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        })
    }

    /// Signs with the newest key.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let kid = self.newest().0;
        self.sign_text(
            &json!({ "alg": "EdDSA", "typ": "logout+jwt", "kid": kid }),
            &claims.to_string(),
        )
    }

    /// The same with a header and a payload of any text.
    pub(crate) fn sign_text(&self, header: &Value, payload: &str) -> String {
        let signed = signing_input(header, payload);
        let signature = self.newest().1.sign(signed.as_bytes());
        format!("{signed}.{}", Base64UrlUnpadded::encode_string(&signature.to_bytes()))
    }

    /// A token with an HMAC whose secret is the public key's text, which everyone has.
    pub(crate) fn sign_with_public_key(&self, header: &Value, claims: &Value) -> String {
        let signed = signing_input(header, &claims.to_string());
        let public = self.newest().1.verifying_key();
        let mut mac = Hmac::<Sha256>::new_from_slice(public.as_bytes()).unwrap();
        mac.update(signed.as_bytes());
        format!("{signed}.{}", Base64UrlUnpadded::encode_string(&mac.finalize().into_bytes()))
    }

    fn newest(&self) -> (String, SigningKey) {
        self.shared.keys.lock().unwrap().1.last().unwrap().clone()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Header and payload of a token, as a signature covers them.
pub(crate) fn signing_input(header: &Value, payload: &str) -> String {
    let encode = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
    format!("{}.{}", encode(&header.to_string()), encode(payload))
}

fn key(kid: &str) -> (String, SigningKey) {
    (kid.to_owned(), SigningKey::from_bytes(blake3::hash(kid.as_bytes()).as_bytes()))
}

async fn discovery(State(shared): State<Arc<Shared>>) -> Response {
    let url = shared.url.lock().unwrap().clone();
    json!({ "issuer": url, "jwks_uri": format!("{url}/jwks") }).to_string().into_response()
}

async fn jwks(State(shared): State<Arc<Shared>>) -> Response {
    shared.fetches.fetch_add(1, Ordering::SeqCst);
    let (how, keys) = shared.keys.lock().unwrap().clone();
    let jwk = |(kid, key): &(String, SigningKey)| {
        let x = Base64UrlUnpadded::encode_string(key.verifying_key().as_bytes());
        json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x })
    };
    let set = json!({ "keys": keys.iter().map(jwk).collect::<Vec<_>>() }).to_string();
    match how {
        Keys::Served => set.into_response(),
        Keys::Slow => {
            tokio::time::sleep(Duration::from_millis(800)).await;
            set.into_response()
        }
        Keys::VerySlow => {
            tokio::time::sleep(Duration::from_secs(4)).await;
            set.into_response()
        }
        Keys::Endless => format!("{set}{}", " ".repeat(300 * 1024)).into_response(),
        Keys::Broken => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Keys::Redirected => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/jwks")]).into_response()
        }
        Keys::NotJson => "<html>".into_response(),
        Keys::Unusable => {
            json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "use": "enc", "x": "AA" }] })
                .to_string()
                .into_response()
        }
    }
}
