//! A verifier that follows a control plane, like the one at the edge, but natively.

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_snapshot::FeedKey;
use offswitch_verifier::{Applied, ApplyError};
use offswitch_verifier::{
    DpopConfig, FeedConfig, IssuerConfig, KeySet, OnStale, Verifier, VerifierConfig,
};
use serde_json::Value;

use super::process::ControlPlane;

/// A verifier with the keys of one control plane.
pub(crate) struct Follower(Verifier);

impl Follower {
    /// Starts a verifier and fetches keys and base.
    pub(crate) async fn start(plane: &ControlPlane, issuer: &str) -> Self {
        let keys = plane.got("/v1/keys").await;
        let public_keys = keys["feed_public_keys"].as_array().unwrap();
        let public_keys = public_keys.iter().map(|key| key.as_str().unwrap().to_owned());
        let feed = FeedConfig {
            id: issuer.to_owned(),
            public_keys: public_keys.collect(),
            max_staleness_seconds: 60,
            on_stale: OnStale::Deny,
        };
        let issuers = vec![IssuerConfig::offswitch(issuer, "api")];
        let mut follower = Self(
            Verifier::new(VerifierConfig { issuers, feed, dpop: DpopConfig::default() }).unwrap(),
        );
        follower.fetch_keys(plane, issuer).await;
        follower.follow(plane).await;
        follower
    }

    /// A verifier that trusts these feed keys and holds nothing yet.
    pub(crate) fn of_feed(issuer: &str, keys: &[FeedKey]) -> Self {
        let encoded = keys.iter().map(|key| Base64UrlUnpadded::encode_string(key.public_key()));
        let feed = FeedConfig {
            id: issuer.to_owned(),
            public_keys: encoded.collect(),
            max_staleness_seconds: 60,
            on_stale: OnStale::Deny,
        };
        let issuers = vec![IssuerConfig::offswitch(issuer, "api")];
        let config = VerifierConfig { issuers, feed, dpop: DpopConfig::default() };
        Self(Verifier::new(config).unwrap())
    }

    /// Fetches the key set again.
    pub(crate) async fn fetch_keys(&mut self, plane: &ControlPlane, issuer: &str) {
        let jwks: Value = plane.got("/.well-known/jwks.json").await;
        let keys = KeySet::from_jwks(jwks.to_string().as_bytes(), &[]).unwrap();
        assert!(self.0.set_keys(issuer, keys));
    }

    /// Polls the feed until there is nothing new.
    pub(crate) async fn follow(&mut self, plane: &ControlPlane) {
        loop {
            let since = self.0.feed().since();
            let query = since.map(|since| format!("?since={since}")).unwrap_or_default();
            let bytes = plane.feed(&query).await;
            match self.0.apply(bytes, now()) {
                Ok(_) if self.0.feed().since() == since && since.is_some() => return,
                Ok(_) => {}
                Err(error) => panic!("the snapshot after {since:?} was refused: {error}"),
            }
        }
    }

    /// Applies a snapshot that the test passes in.
    pub(crate) fn apply(&mut self, bytes: Vec<u8>) -> Result<Applied, ApplyError> {
        self.0.apply(bytes, now())
    }

    /// The verdict's code.
    pub(crate) fn judge(&self, token: &str) -> &'static str {
        self.0.verify(token, now()).code()
    }

    /// The verifier itself.
    pub(crate) fn verifier(&self) -> &Verifier {
        &self.0
    }
}

/// The claims of a token, without any check.
pub(crate) fn peek(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&Base64UrlUnpadded::decode_vec(payload).unwrap()).unwrap()
}

/// The name of the key that signed a token.
pub(crate) fn kid(token: &str) -> String {
    let header = Base64UrlUnpadded::decode_vec(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

pub(crate) fn now() -> u64 {
    offswitch::clock::unix_seconds()
}
