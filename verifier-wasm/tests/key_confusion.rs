//! Keys that must not load, and keys that must not be treated as another kind of key.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use offswitch_verifier::{Jws, KeyProblem, KeySet, VerifyingKey};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};
use support::{Key, Minter, claims, encode, feed, hex, hmac};

// V03, X02: the public key, in every encoding an attacker might try, as the secret of an HMAC.
#[test]
fn no_spelling_of_a_public_key_is_the_secret_of_an_accepted_token() {
    for alg in ["EdDSA", "ES256", "ES384", "ES512", "RS256", "PS256"] {
        let minter = Minter::new(alg);
        let verifier = feed::verifier(&minter);
        assert_eq!(verifier.verify(&minter.token(&claims()), support::NOW).code(), "valid");
        let secrets = spellings(&minter);
        assert!(secrets.len() >= 30, "{}", secrets.len());
        for secret in secrets {
            for name in ["HS256", "HS384", "HS512", "hs256", alg] {
                let header = json!({ "alg": name, "kid": minter.kid, "typ": "at+jwt" });
                let signed = format!(
                    "{}.{}",
                    encode(header.to_string().as_bytes()),
                    encode(claims().to_string().as_bytes())
                );
                let tag = match name {
                    "HS384" => hmac::<Sha384>(&secret, signed.as_bytes(), 128),
                    "HS512" => hmac::<Sha512>(&secret, signed.as_bytes(), 128),
                    _ => hmac::<Sha256>(&secret, signed.as_bytes(), 64),
                };
                let token = format!("{signed}.{}", encode(&tag));
                let verdict = verifier.verify(&token, support::NOW);
                let code = if name == alg { "bad_signature" } else { "unsupported_algorithm" };
                assert_eq!(verdict.code(), code, "{name} {alg}");
            }
        }
    }
}

// V03, X02: only a JWK object is read as a key.
#[test]
fn a_key_set_is_never_guessed_from_pem_der_or_text() {
    for alg in ["EdDSA", "ES256", "ES384", "ES512", "RS256"] {
        let minter = Minter::new(alg);
        for text in spellings(&minter) {
            match KeySet::from_jwks(&text, &[]) {
                Ok(set) => assert!(
                    set.keys()
                        .iter()
                        .all(|key| key.algorithm() == minter.verifying_key().algorithm())
                ),
                Err(_) => continue,
            }
        }
        for kty in ["oct", "OKP", "EC", "RSA"] {
            for hs in ["HS256", "HS384", "HS512"] {
                let mut jwk = minter.jwk();
                jwk["alg"] = json!(hs);
                jwk["kty"] = json!(kty);
                assert!(
                    VerifyingKey::from_jwk(jwk.to_string().as_bytes()).is_err(),
                    "{kty} {hs} {alg}"
                );
            }
        }
    }
}

// V04, X03, X04, X24
#[test]
fn a_key_that_is_weak_or_says_too_little_does_not_load() {
    use KeyProblem::{
        AlgorithmMismatch, Malformed, NoAlgorithm, NotForVerifying, PrivateKey, UnsupportedType,
        Weak,
    };
    let ed25519 =
        |x: &[u8]| json!({ "alg": "EdDSA", "kty": "OKP", "crv": "Ed25519", "x": encode(x) });
    let secret =
        |alg: &str, bytes: usize| json!({ "alg": alg, "kty": "oct", "k": encode(&vec![9; bytes]) });
    let with = |alg: &'static str, name: &str, value: Value| {
        let mut jwk = Minter::new(alg).jwk();
        jwk[name] = value;
        jwk
    };
    let p256 = |name: &str, bytes: &[u8]| with("ES256", name, json!(encode(bytes)));
    let zeros = vec![0; 32];
    let modulus_1024 = [vec![0xff; 127], vec![0x01]].concat();
    let cases = [
        (with("ES256", "alg", Value::Null), Malformed),
        (with("ES256", "alg", json!("")), KeyProblem::UnsupportedAlgorithm),
        (with("ES256", "alg", json!("none")), KeyProblem::UnsupportedAlgorithm),
        (with("ES256", "alg", json!("es256")), KeyProblem::UnsupportedAlgorithm),
        (with("ES256", "use", json!("enc")), NotForVerifying),
        (with("ES256", "use", json!(1)), Malformed),
        (with("ES256", "key_ops", json!(["encrypt"])), NotForVerifying),
        (with("ES256", "key_ops", json!(["sign"])), NotForVerifying),
        (with("ES256", "key_ops", json!([])), NotForVerifying),
        (with("ES256", "key_ops", json!("verify")), Malformed),
        (with("ES256", "crv", json!("P-384")), AlgorithmMismatch),
        (with("ES384", "crv", json!("P-521")), AlgorithmMismatch),
        (with("ES512", "crv", json!("P-256")), AlgorithmMismatch),
        (with("ES512", "crv", json!("P-512")), UnsupportedType),
        (with("ES512", "alg", json!("ES521")), KeyProblem::UnsupportedAlgorithm),
        (with("ES256", "crv", json!("secp256k1")), UnsupportedType),
        (with("ES256", "kty", json!("AKP")), UnsupportedType),
        (with("RS256", "crv", json!("P-256")), UnsupportedType),
        (with("ES256", "alg", json!("EdDSA")), AlgorithmMismatch),
        (with("ES256", "alg", json!("RS256")), AlgorithmMismatch),
        (with("EdDSA", "crv", json!("X25519")), UnsupportedType),
        (with("EdDSA", "crv", json!("Ed448")), UnsupportedType),
        (with("EdDSA", "d", json!(encode(&[1; 32]))), PrivateKey),
        (with("EdDSA", "d", Value::Null), PrivateKey),
        (with("RS256", "d", json!("AQ")), PrivateKey),
        (with("RS256", "kid", json!("k".repeat(257))), Malformed),
        (with("RS256", "kid", json!(7)), Malformed),
        (with("RS256", "e", json!("AQ")), Weak),
        (with("RS256", "e", json!("Ag")), Weak),
        (with("RS256", "e", json!("")), Weak),
        (with("RS256", "e", json!("AA")), Weak),
        (with("RS256", "e", json!("BA")), Weak),
        (with("RS256", "e", json!(encode(&[1; 9]))), Malformed),
        (with("RS256", "n", json!("")), Weak),
        (with("RS256", "n", json!(encode(&modulus_1024))), Weak),
        (with("RS256", "n", json!(encode(&[vec![0; 128], modulus_1024.clone()].concat()))), Weak),
        (with("RS256", "n", json!(encode(&[0xfe; 256]))), Weak),
        (with("RS256", "n", json!(encode(&[0xff; 1025]))), Malformed),
        (p256("x", &zeros), Weak),
        (p256("y", &zeros), Weak),
        (p256("y", &[0xff; 32]), Weak),
        (p256("y", &[1; 31]), Malformed),
        (p256("y", &[1; 33]), Malformed),
        (with("ES384", "x", json!(encode(&[0; 48]))), Weak),
        (with("ES384", "x", json!(encode(&[1; 47]))), Malformed),
        (with("ES384", "y", json!(encode(&[1; 49]))), Malformed),
        (with("ES512", "x", json!(encode(&[0; 66]))), Weak),
        (with("ES512", "x", json!(encode(&[1; 65]))), Malformed),
        (with("ES512", "y", json!(encode(&[1; 67]))), Malformed),
        (secret("HS256", 0), Weak),
        (secret("HS256", 31), Weak),
        (secret("HS384", 47), Weak),
        (secret("HS512", 63), Weak),
        (secret("RS256", 64), AlgorithmMismatch),
        (ed25519(&[]), Malformed),
        (ed25519(&[1; 31]), Malformed),
        (ed25519(&[1; 33]), Malformed),
        (json!({ "alg": "EdDSA", "kty": "OKP", "crv": "Ed25519" }), Malformed),
        (json!({ "kty": "oct", "k": encode(&[1; 64]) }), NoAlgorithm),
        (Value::Null, Malformed),
        (json!("secret"), Malformed),
        (json!(""), Malformed),
    ];
    for (jwk, problem) in cases {
        assert_eq!(
            VerifyingKey::from_jwk(jwk.to_string().as_bytes()).unwrap_err(),
            problem,
            "{jwk}"
        );
    }
    assert!(VerifyingKey::from_jwk(secret("HS256", 32).to_string().as_bytes()).is_ok());
    assert!(VerifyingKey::from_jwk(secret("HS384", 48).to_string().as_bytes()).is_ok());
    assert!(VerifyingKey::from_jwk(secret("HS512", 64).to_string().as_bytes()).is_ok());
}

// V04, V15, X07: all points of small order, each also in its non-canonical encodings, and keys
// whose y is not reduced; speccheck's vectors 0-2 and 8-11 use such keys.
#[test]
fn an_ed25519_key_of_small_order_or_not_canonical_does_not_load() {
    let mut keys = vec![
        "0100000000000000000000000000000000000000000000000000000000000000".to_owned(),
        "0100000000000000000000000000000000000000000000000000000000000080".to_owned(),
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f".to_owned(),
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff".to_owned(),
        "0000000000000000000000000000000000000000000000000000000000000000".to_owned(),
        "0000000000000000000000000000000000000000000000000000000000000080".to_owned(),
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a".to_owned(),
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa".to_owned(),
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05".to_owned(),
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85".to_owned(),
    ];
    for low in 0xed..=0xff_u8 {
        for top in ["7f", "ff"] {
            keys.push(format!("{low:02x}{}{top}", "ff".repeat(30)));
        }
    }
    for key in keys {
        let jwk =
            json!({ "alg": "EdDSA", "kty": "OKP", "crv": "Ed25519", "x": encode(&hex(&key)) });
        assert!(VerifyingKey::from_jwk(jwk.to_string().as_bytes()).is_err(), "{key}");
    }
}

proptest! {
    // V03: with any secret, an asymmetric key does not accept a token that names HS256.
    #[test]
    fn no_secret_at_all_signs_for_a_public_key(secret in proptest::collection::vec(any::<u8>(), 0..200)) {
        let minter = Minter::new("EdDSA");
        let forger = Minter { key: Key::Secret(secret), alg: "HS256", kid: minter.kid };
        let token = forger.token(&claims());
        let key = minter.verifying_key();
        prop_assert!(Jws::parse(&token).unwrap().verify(&key).is_err());
    }
}

/// Encodings of the public key: raw, DER, PEM, JWK and text, each with extra characters.
fn spellings(minter: &Minter) -> Vec<Vec<u8>> {
    let (raw, der) = public_bytes(&minter.key);
    let pem = |label: &str, newline: &str| {
        let text = Base64::encode_string(&der);
        let lines: Vec<_> =
            text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
        let body = lines.join(newline);
        format!("-----BEGIN {label}-----{newline}{body}{newline}-----END {label}-----")
    };
    let jwk = minter.jwk();
    let mut texts = vec![];
    for label in ["PUBLIC KEY", "RSA PUBLIC KEY", "EC PUBLIC KEY", "CERTIFICATE"] {
        for newline in ["\n", "\r\n", ""] {
            texts.push(pem(label, newline));
        }
    }
    texts.push(jwk.to_string());
    texts.push(serde_json::to_string_pretty(&jwk).unwrap());
    texts.push(json!({ "keys": [jwk] }).to_string());
    texts.push(minter.key.public().to_string());
    for bytes in [&raw, &der] {
        texts.push(Base64::encode_string(bytes));
        texts.push(Base64UrlUnpadded::encode_string(bytes));
        texts.push(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
        texts.push(bytes.iter().map(|byte| format!("{byte:02X}")).collect());
    }
    let mut all = vec![raw, der, vec![]];
    for text in &texts {
        for (before, after) in [
            ("", ""),
            ("", "\n"),
            ("\n", "\n"),
            (" ", " "),
            ("\t", ""),
            ("\u{feff}", ""),
            ("\0", "\0"),
        ] {
            all.push(format!("{before}{text}{after}").into_bytes());
        }
    }
    for name in ["x", "y", "n", "e"] {
        all.extend(jwk.get(name).map(|value| support::decode(value.as_str().unwrap())));
        all.extend(jwk.get(name).map(|value| value.as_str().unwrap().as_bytes().to_vec()));
    }
    all
}

/// The public key's bytes alone, and as a SubjectPublicKeyInfo.
fn public_bytes(key: &Key) -> (Vec<u8>, Vec<u8>) {
    let jwk = key.public();
    let part = |name: &str| support::decode(jwk[name].as_str().unwrap());
    match key {
        Key::Ed25519(_) => {
            let raw = part("x");
            (raw.clone(), [hex("302a300506032b6570032100"), raw].concat())
        }
        Key::P256(_) | Key::P384(_) | Key::P521(_) => {
            let raw = [vec![4], part("x"), part("y")].concat();
            let prefix = match key {
                Key::P256(_) => "3059301306072a8648ce3d020106082a8648ce3d030107034200",
                Key::P384(_) => "3076301006072a8648ce3d020106052b81040022036200",
                _ => "30819b301006072a8648ce3d020106052b8104002303818600",
            };
            (raw.clone(), [hex(prefix), raw].concat())
        }
        Key::Rsa(_) => {
            let raw = [hex("3082010a0282010100"), part("n"), hex("0203010001")].concat();
            let prefix = hex("30820122300d06092a864886f70d01010105000382010f00");
            (raw.clone(), [prefix, raw].concat())
        }
        Key::Secret(_) => unreachable!("a secret has no public part"),
    }
}
