//! Google's Wycheproof vectors (C2SP/wycheproof at dac1dd47), run against this crate's layers.
//!
//! The files are not part of this repository. The tests look for them in `$OFFSWITCH_VECTORS`,
//! otherwise in `../shared/vectors/wycheproof` next to the workspace.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

use std::path::PathBuf;

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_verifier::{KeySet, VerifyingKey, verify_jws};
use serde_json::{Value, json};

/// Vectors on which our verdict differs from the label on purpose: file, test, our verdict, reason.
const OVERRIDES: [(&str, u64, Expected, &str); 10] = [
    (JWS, 346, Expected::Reject, "the key's alg is PS256, the header's PS384: one key, one alg"),
    (JWS, 347, Expected::Reject, "the key's alg is ES521, which no registry has"),
    (JWS, 350, Expected::Reject, "the key's alg is PS256, the header's PS384: one key, one alg"),
    (JWS, 351, Expected::Reject, "the key's alg is ES521, which no registry has"),
    (JWS, 367, Expected::Skip, "byte for byte tc357, which is valid (C2SP/wycheproof#236)"),
    (JWS, 370, Expected::Skip, "byte for byte tc357, which is valid (C2SP/wycheproof#236)"),
    (JWS, 372, Expected::Reject, "a `?` in the header is not base64url (RFC 7515 section 2)"),
    (JWS, 373, Expected::Reject, "a `?` in the payload is not base64url (RFC 7515 section 2)"),
    (JWK, 7, Expected::Accept, "a ROCA key has no other fault than its factors: documented only"),
    (RSA, 8, Expected::Reject, "labelled acceptable: the NULL of the DigestInfo is missing"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Accept,
    Reject,
    Skip,
}

// V01, V05, V06, V19, X01, X05, X08, X09, X18
#[test]
fn json_web_signatures_are_judged_as_wycheproof_judges_them() {
    run(JWS, 401, |group, test| {
        let key = group.get("public").unwrap_or(&group["private"]);
        accepts_jws(key, test["jws"].as_str().unwrap_or_default())
    });
}

// V01, V04, X24
#[test]
fn json_web_keys_are_loaded_as_wycheproof_judges_them() {
    run(JWK, 26, |group, test| {
        let keys = group.get("public").unwrap_or(&group["private"]);
        accepts_jws(keys, test["jws"].as_str().unwrap())
    });
}

// V01, V15, X07
#[test]
fn ed25519_signatures_are_judged_as_wycheproof_judges_them() {
    run(ED25519, 151, |group, test| {
        let mut jwk = group["publicKeyJwk"].clone();
        jwk["alg"] = json!("EdDSA");
        accepts_raw(&jwk, test, "sig")
    });
}

// V01, V15, X05, X06
#[test]
fn es256_signatures_are_judged_as_wycheproof_judges_them() {
    ecdsa(P256, 262, "ES256", "P-256", HALF_ORDERS[0], 70);
}

// V01, V15, X05, X06
#[test]
fn es384_signatures_are_judged_as_wycheproof_judges_them() {
    ecdsa(P384, 280, "ES384", "P-384", HALF_ORDERS[1], 88);
}

// V01, V15, X05, X06
#[test]
fn es512_signatures_are_judged_as_wycheproof_judges_them() {
    ecdsa(P521, 318, "ES512", "P-521", HALF_ORDERS[2], 107);
}

// V01, X08
#[test]
fn rs256_signatures_are_judged_as_wycheproof_judges_them() {
    run(RSA, 259, |group, test| {
        let modulus = hex(&group["publicKey"]["modulus"]);
        let exponent = hex(&group["publicKey"]["publicExponent"]);
        let jwk = json!({
            "kty": "RSA", "alg": "RS256",
            "n": Base64UrlUnpadded::encode_string(&modulus[1..]),
            "e": Base64UrlUnpadded::encode_string(&exponent),
        });
        accepts_raw(&jwk, test, "sig")
    });
}

// V01, V19: a tag cut to 128 bits is never a JWS signature, regardless of the label; a key that is
// too short for HS256 does not load.
#[test]
fn hmac_tags_are_judged_as_wycheproof_judges_them() {
    let mut counts = [0; 3];
    let was_run = run(HMAC, 174, |group, test| {
        let jwk = json!({
            "kty": "oct", "alg": "HS256",
            "k": Base64UrlUnpadded::encode_string(&hex(&test["key"])),
        });
        let accepted = accepts_raw(&jwk, test, "tag");
        let wanted = test["result"] == "valid";
        let reachable = group["tagSize"] == 256 && group["keySize"].as_u64().unwrap() >= 256;
        counts[usize::from(reachable) * (1 + usize::from(wanted))] += 1;
        // The runner treats this as the label of a vector that is not a JWS.
        if reachable {
            accepted
        } else {
            assert!(!accepted, "{test}");
            wanted
        }
    });
    if was_run {
        // 87 with tags of 128 bits and 3 with short keys, then invalid, then valid.
        assert_eq!(counts, [90, 54, 30]);
    }
}

/// Runs a file of ECDSA signatures, this many of which have a high S and are accepted.
fn ecdsa(file: &str, count: u64, alg: &str, crv: &str, half_order: &str, expected_high_s: u64) {
    let (half_order, mut high_s) = (hex(&json!(half_order)), 0);
    let size = half_order.len();
    let was_run = run(file, count, |group, test| {
        let coordinate = |name: &str| {
            let bytes = hex(&group["publicKey"][name]);
            let extra = bytes.len().saturating_sub(size);
            Base64UrlUnpadded::encode_string(
                &[&vec![0; size - (bytes.len() - extra)], &bytes[extra..]].concat(),
            )
        };
        let jwk = json!({
            "kty": "EC", "crv": crv, "alg": alg, "x": coordinate("wx"), "y": coordinate("wy"),
        });
        let accepted = accepts_raw(&jwk, test, "sig");
        high_s += u64::from(accepted && hex(&test["sig"])[size..] > half_order[..]);
        accepted
    });
    assert!(!was_run || high_s == expected_high_s, "{high_s} high-S signatures were accepted");
}

/// Runs a file: every verdict must be the label's, or the override's. False if the file is missing.
fn run(file: &str, count: u64, mut judge: impl FnMut(&Value, &Value) -> bool) -> bool {
    let path = folder().join(file);
    if !path.exists() {
        eprintln!("NOT RUN: {} is not there; set OFFSWITCH_VECTORS", path.display());
        return false;
    }
    let text = std::fs::read(path).expect("a vector file");
    let vectors: Value = serde_json::from_slice(&text).unwrap();
    let (mut seen, mut overridden, mut differences) = (0, 0, vec![]);
    for group in vectors["testGroups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            seen += 1;
            let number = test["tcId"].as_u64().unwrap();
            let label = match test["result"].as_str().unwrap() {
                "valid" => Expected::Accept,
                _ => Expected::Reject,
            };
            let expected = OVERRIDES.iter().find(|one| one.0 == file && one.1 == number);
            overridden += usize::from(expected.is_some());
            let expected = expected.map_or(label, |one| one.2);
            let found = if judge(group, test) { Expected::Accept } else { Expected::Reject };
            if expected != Expected::Skip && expected != found {
                differences.push(format!("tc{number} {found:?}: {}", test["comment"]));
            }
        }
    }
    assert_eq!(differences, Vec::<String>::new(), "{file}");
    assert_eq!(seen, count, "{file}");
    assert_eq!(overridden, OVERRIDES.iter().filter(|one| one.0 == file).count(), "{file}");
    true
}

fn accepts_jws(jwks: &Value, token: &str) -> bool {
    KeySet::from_jwks(jwks.to_string().as_bytes(), &[])
        .is_ok_and(|set| set.keys().iter().any(|key| verify_jws(token, key).is_ok()))
}

fn accepts_raw(jwk: &Value, test: &Value, signature: &str) -> bool {
    VerifyingKey::from_jwk(jwk.to_string().as_bytes())
        .is_ok_and(|key| key.accepts(&hex(&test[signature]), &hex(&test["msg"])))
}

fn folder() -> PathBuf {
    let neighbour = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/wycheproof");
    std::env::var_os("OFFSWITCH_VECTORS").map_or(neighbour.into(), PathBuf::from)
}

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

const ED25519: &str = "ed25519_test.json";
const HMAC: &str = "hmac_sha256_test.json";
const JWK: &str = "json_web_key_test.json";
const JWS: &str = "json_web_signature_test.json";
const P256: &str = "ecdsa_secp256r1_sha256_p1363_test.json";
const P384: &str = "ecdsa_secp384r1_sha384_p1363_test.json";
const P521: &str = "ecdsa_secp521r1_sha512_p1363_test.json";
const RSA: &str = "rsa_signature_2048_sha256_test.json";

/// Half the orders of P-256, P-384 and P-521, rounded down.
const HALF_ORDERS: [&str; 3] = [
    "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8",
    "7fffffffffffffffffffffffffffffffffffffffffffffffe3b1a6c0fa1b96efac0d06d9245853bd76760cb5666294b9",
    "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
     fd28c343c1df97cb35bfe600a47b84d2e81ddae4dc44ce23d75db7db8f489c3204",
];
