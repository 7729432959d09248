//! Mints the tokens that are revoked, as the control plane's issuer would.

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use offswitch_verifier::KeySet;
use serde_json::{Value, json};

/// The `iss` of all tokens, and the id of the feed.
pub const ISSUER: &str = "https://auth.example";
/// Their `aud`.
pub const AUDIENCE: &str = "api";
/// How long a token lives, seconds.
pub const LIFETIME_SECONDS: u64 = 300;

/// An issuer's key.
pub struct Minter(SigningKey);

/// What a token says.
#[derive(Debug, Clone)]
pub struct Claims {
    /// Its id.
    pub jti: String,
    /// Its session.
    pub sid: String,
    /// Its user.
    pub sub: String,
    /// The log's seq when its session was opened.
    pub ver: u64,
    /// When it was issued, unix seconds.
    pub iat: u64,
}

impl Minter {
    /// The same key in every run.
    pub fn new() -> Self {
        Self(SigningKey::from_bytes(&[7; 32]))
    }

    /// The public key, for verifiers.
    pub fn keys(&self) -> KeySet {
        let x = Base64UrlUnpadded::encode_string(self.0.verifying_key().as_bytes());
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": KID, "x": x });
        let set = json!({ "keys": [jwk] }).to_string();
        KeySet::from_jwks(set.as_bytes(), &[]).expect("a key set of one good key")
    }

    /// A token.
    pub fn token(&self, claims: &Claims) -> String {
        let Claims { jti, sid, sub, ver, iat } = claims;
        let exp = iat + LIFETIME_SECONDS;
        let header = json!({ "alg": "EdDSA", "kid": KID, "typ": "at+jwt" });
        let payload = json!({
            "iss": ISSUER, "aud": AUDIENCE, "jti": jti, "sid": sid, "sub": sub, "ver": ver,
            "iat": iat, "exp": exp,
        });
        let encode = |part: &Value| Base64UrlUnpadded::encode_string(part.to_string().as_bytes());
        let signed = format!("{}.{}", encode(&header), encode(&payload));
        let signature = self.0.sign(signed.as_bytes()).to_bytes();
        format!("{signed}.{}", Base64UrlUnpadded::encode_string(&signature))
    }
}

impl Default for Minter {
    fn default() -> Self {
        Self::new()
    }
}

const KID: &str = "simulated";
