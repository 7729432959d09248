//! A provider with one key, which signs the events for a receiver.

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use offswitch_verifier::{Algorithm, KeySet};
use serde_json::{Value, json};

/// A JWT of this type and these claims, and the provider's key set.
pub(crate) fn signed(typ: &str, claims: &Value) -> (String, KeySet) {
    let key = SigningKey::from_bytes(&[7; 32]);
    let encode = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
    let x = encode(key.verifying_key().as_bytes());
    let jwks = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x }] });
    let jwks = KeySet::from_fetched_jwks(jwks.to_string().as_bytes(), &[Algorithm::EdDsa]).unwrap();
    let header = json!({ "alg": "EdDSA", "kid": "k", "typ": typ }).to_string();
    let text = format!("{}.{}", encode(header.as_bytes()), encode(claims.to_string().as_bytes()));
    (format!("{text}.{}", encode(&key.sign(text.as_bytes()).to_bytes())), jwks)
}
