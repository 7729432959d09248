//! V14: no bytes make the reader of tokens and keys panic, and none of them are accepted unsigned.
//!
//! The first byte selects the input: a whole token, a header and a payload with a valid signature
//! (so that the code behind the signature check is reached), or a JWK set.

#![no_main]

use std::sync::LazyLock;

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use libfuzzer_sys::fuzz_target;
use offswitch_verifier::snapshot::{ChainHash, Content, Floor, Position, SnapshotSigner};
use offswitch_verifier::{
    Algorithm, IssuerConfig, Jws, KeySet, Verifier, VerifierConfig, verify_jws,
};

fuzz_target!(|data: &[u8]| {
    let Some((door, rest)) = data.split_first() else { return };
    match door % 4 {
        0 => whole_token(rest),
        1 => signed(br#"{"alg":"EdDSA","kid":"k","typ":"at+jwt"}"#, rest),
        2 => signed(rest, br#"{"iss":"i","sub":"u","aud":"a","iat":1,"exp":100,"jti":"t"}"#),
        _ => key_set(rest),
    }
});

fn whole_token(bytes: &[u8]) {
    let Ok(token) = std::str::from_utf8(bytes) else { return };
    assert!(!VERIFIER.verify(token, NOW).is_valid(), "accepted without a signature");
    let _ = Jws::parse(token);
}

fn signed(header: &[u8], payload: &[u8]) {
    let message = format!("{}.{}", encode(header), encode(payload));
    let signature = key().sign(message.as_bytes()).to_bytes();
    let token = format!("{message}.{}", encode(&signature));
    let verdict = VERIFIER.verify(&token, NOW);
    // An accepted token is an object that an independent reader reads in the same way.
    if verdict.is_valid() {
        let header: serde_json::Value = serde_json::from_slice(header).expect("an accepted header");
        let claims: serde_json::Value = serde_json::from_slice(payload).expect("accepted claims");
        assert!(header.get("crit").is_none() && header["kid"] == "k");
        assert!(claims["iss"] == "i" && claims["jti"].is_string() && claims["sub"].is_string());
        assert!(claims["exp"].as_f64().expect("a number") > (NOW - 31) as f64);
    }
    let _ = serde_json::to_string(&verdict).expect("a verdict is always JSON");
}

fn key_set(bytes: &[u8]) {
    let algorithms = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256];
    let Ok(set) = KeySet::from_jwks(bytes, &algorithms) else { return };
    for key in set.keys() {
        assert!(!key.accepts(&[0; 64], b"message"));
        let _ = key.accepts(bytes, bytes);
        let _ = verify_jws("eyJhbGciOiJFUzI1NiJ9.e30.AAAA", key);
    }
}

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let signer = SnapshotSigner::new("f", vec![key()]);
    let mut rules = IssuerConfig::offswitch("i", "a");
    rules.required_claims.retain(|claim| claim != "sid" && claim != "ver");
    let config = serde_json::json!({
        "issuers": [rules],
        "feed": { "id": "f", "publicKeys": [encode(key().verifying_key().as_bytes())] },
    });
    let config = VerifierConfig::from_json(&config.to_string()).expect("a good configuration");
    let mut verifier = Verifier::new(config).expect("a good configuration");
    let jwk = serde_json::json!({
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "k",
        "x": encode(key().verifying_key().as_bytes()),
    });
    verifier.set_keys("i", KeySet::from_jwks(jwk.to_string().as_bytes(), &[]).expect("a good key"));
    let to = Floor { position: Position { era: 1, seq: 0 }, chain: ChainHash::default() };
    let content =
        Content { from: to, to, issued_at: NOW, valid_until: NOW + 60, ..Content::default() };
    verifier.apply(signer.sign(&content), NOW).expect("a good snapshot");
    verifier
});

fn key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

const NOW: u64 = 50;
