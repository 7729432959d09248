//! Google's Wycheproof vectors (C2SP/wycheproof at dac1dd47), run against this crate's layers.
//!
//! The files are not part of this repository. They are looked for in `$OFFSWITCH_VECTORS`, else in
//! `../shared/vectors/wycheproof` beside the workspace.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may stop at once"
)]

use std::path::PathBuf;

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_verifier::{KeySet, VerifyingKey, verify_jws};
use serde_json::{Value, json};

/// Where our verdict differs from the label on purpose: file, test, verdict of ours, reason.
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
    let mut high_s = 0;
    run(P1363, 262, |group, test| {
        let coordinate = |name: &str| {
            let bytes = hex(&group["publicKey"][name]);
            let extra = bytes.len().saturating_sub(32);
            Base64UrlUnpadded::encode_string(
                &[&[0; 32][..32 - (bytes.len() - extra)], &bytes[extra..]].concat(),
            )
        };
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256",
            "x": coordinate("wx"), "y": coordinate("wy"),
        });
        let accepted = accepts_raw(&jwk, test, "sig");
        let signature = hex(&test["sig"]);
        high_s += usize::from(accepted && signature[32..] > HALF_ORDER[..]);
        accepted
    });
    assert!(high_s == 70 || folder().is_none(), "{high_s} high-S signatures were accepted");
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

// V01, V19: a tag cut to 128 bits is never a JWS signature, whatever the label says; a key that is
// too short for HS256 does not load.
#[test]
fn hmac_tags_are_judged_as_wycheproof_judges_them() {
    let mut counts = [0; 3];
    run(HMAC, 174, |group, test| {
        let jwk = json!({
            "kty": "oct", "alg": "HS256",
            "k": Base64UrlUnpadded::encode_string(&hex(&test["key"])),
        });
        let accepted = accepts_raw(&jwk, test, "tag");
        let wanted = test["result"] == "valid";
        let reachable = group["tagSize"] == 256 && group["keySize"].as_u64().unwrap() >= 256;
        counts[usize::from(reachable) * (1 + usize::from(wanted))] += 1;
        // Told to the runner as the label where the vector is not a JWS at all.
        if reachable {
            accepted
        } else {
            assert!(!accepted, "{test}");
            wanted
        }
    });
    if folder().is_some() {
        // 87 with tags of 128 bits and 3 with short keys, then invalid, then valid.
        assert_eq!(counts, [90, 54, 30]);
    }
}

/// Runs a file: every verdict must be the label's, or the override's.
fn run(file: &str, count: u64, mut judge: impl FnMut(&Value, &Value) -> bool) {
    let Some(folder) = folder() else { return };
    let text = std::fs::read(folder.join(file)).expect("a vector file");
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
}

fn accepts_jws(jwks: &Value, token: &str) -> bool {
    KeySet::from_jwks(jwks.to_string().as_bytes(), &[])
        .is_ok_and(|set| set.keys().iter().any(|key| verify_jws(token, key).is_ok()))
}

fn accepts_raw(jwk: &Value, test: &Value, signature: &str) -> bool {
    VerifyingKey::from_jwk(jwk.to_string().as_bytes())
        .is_ok_and(|key| key.accepts(&hex(&test[signature]), &hex(&test["msg"])))
}

fn folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/wycheproof");
    let folder = std::env::var_os("OFFSWITCH_VECTORS").map_or(beside.into(), PathBuf::from);
    if folder.join(JWS).exists() {
        return Some(folder);
    }
    eprintln!("NOT RUN: no Wycheproof vectors in {}; set OFFSWITCH_VECTORS", folder.display());
    None
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
const P1363: &str = "ecdsa_secp256r1_sha256_p1363_test.json";
const RSA: &str = "rsa_signature_2048_sha256_test.json";

/// Half the order of P-256, rounded down.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xde, 0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];
