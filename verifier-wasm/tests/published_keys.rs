//! Key sets as providers publish them: keys without alg, and neighbours that cannot verify.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use std::collections::HashMap;

use offswitch_verifier::{Algorithm, IssuerConfig, KeyProblem, KeySet, Verifier};
use serde_json::{Value, json};
use support::{ALGORITHMS, ISSUER, Key, Minter, NOW, claims, claims_with, encode, feed};

/// A key of each type, by one algorithm of it, and all algorithms that have such keys.
const TYPES: [(&str, &[&str]); 6] = [
    ("EdDSA", &["EdDSA"]),
    ("ES256", &["ES256"]),
    ("ES384", &["ES384"]),
    ("ES512", &["ES512"]),
    ("RS256", &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]),
    ("HS256", &["HS256", "HS384", "HS512"]),
];

// I01: key type x configured list x the header's alg. A key without alg verifies the only algorithm
// of the list that has such keys, and no header makes it verify another one.
#[test]
fn a_key_without_alg_is_bound_by_the_issuers_list_and_never_by_the_token() {
    let tokens: HashMap<&str, String> =
        ALGORITHMS.map(|alg| (alg, Minter::new(alg).token(&claims()))).into();
    for (of_key, of_type) in TYPES {
        for list in lists(of_key.starts_with("HS")) {
            let fitting: Vec<&str> =
                list.iter().copied().filter(|name| of_type.contains(name)).collect();
            let algorithms = algorithms(&list);
            let set = KeySet::from_configured_jwks(nameless(of_key).as_bytes(), &algorithms);
            let [bound] = fitting[..] else {
                let expected = match fitting.is_empty() {
                    true => KeyProblem::NoAlgorithm,
                    false => KeyProblem::AmbiguousAlgorithm,
                };
                let set = set.unwrap();
                assert_eq!(set.refused()[0].problem, expected, "{of_key} {list:?}");
                assert!(set.keys().is_empty());
                continue;
            };
            let set = set.unwrap();
            assert_eq!(set.keys()[0].algorithm().name(), bound, "{of_key} {list:?}");
            let verifier = verifier(set, algorithms);
            for (alg, token) in &tokens {
                let code = verifier.verify(token, NOW).code();
                let expected = if *alg == bound { "valid" } else { "unsupported_algorithm" };
                assert_eq!(code, expected, "{of_key} {list:?} {alg}");
            }
        }
    }
}

// I01: it is named with its reason, and the other keys verify.
#[test]
fn a_key_that_several_algorithms_fit_is_refused_by_name_and_affects_no_other() {
    let rsa = Minter { kid: "rsa", ..Minter::new("RS256") };
    let good = Minter::new("ES256");
    let list = [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256];
    let mut nameless = rsa.jwk();
    nameless.as_object_mut().unwrap().remove("alg");
    for members in [[nameless.clone(), good.jwk()], [good.jwk(), nameless.clone()]] {
        for read in [KeySet::from_jwks, KeySet::from_fetched_jwks] {
            let set = read(json!({ "keys": members }).to_string().as_bytes(), &list).unwrap();
            let at = members.iter().position(|one| *one == nameless).unwrap();
            assert_eq!(
                set.refused()[0].to_string(),
                format!(
                    "keys[{at}] (kid \"rsa\"): the key names no alg, and several of the issuer's \
                     algorithms fit it (found kty \"RSA\"; keep one that fits it in the option \
                     algorithms)"
                )
            );
            let verifier = verifier(set, list.to_vec());
            assert_eq!(verifier.verify(&good.token(&claims()), NOW).code(), "valid");
            assert_eq!(verifier.verify(&rsa.token(&claims()), NOW).code(), "unknown_key");
        }
    }
    // A list may name one algorithm twice, also by both of its names.
    let twice = [Algorithm::Rs256, Algorithm::Rs256];
    assert!(KeySet::from_jwks(nameless.to_string().as_bytes(), &twice).is_ok());
    // The key's own `alg` counts, even if the list differs.
    let set = KeySet::from_jwks(rsa.jwk().to_string().as_bytes(), &[Algorithm::Ps256]).unwrap();
    assert_eq!(set.keys()[0].algorithm(), Algorithm::Rs256);
    assert_eq!(
        verifier(set, vec![Algorithm::Ps256]).verify(&rsa.token(&claims()), NOW).code(),
        "unsupported_algorithm"
    );
}

// I01: a published secret is not used as a key, with or without alg; a configured one is bound like
// other keys.
#[test]
fn a_secret_without_alg_is_bound_if_it_is_configured_and_refused_if_it_is_fetched() {
    let text = nameless("HS256");
    let list = [Algorithm::Hs256];
    let set = KeySet::from_jwks(text.as_bytes(), &list).unwrap();
    assert_eq!(set.keys()[0].algorithm(), Algorithm::Hs256);
    let fetched = KeySet::from_fetched_jwks(text.as_bytes(), &list).unwrap();
    assert_eq!(fetched.refused()[0].problem, KeyProblem::PublishedSecret);
}

// I02: every neighbour that cannot verify, at every place, with its own kid, with the good key's,
// and without any. The good key verifies as if it were alone, with and without alg.
#[test]
fn a_neighbour_that_cannot_verify_affects_no_key_even_by_its_kid() {
    for alg in ["EdDSA", "ES256", "RS256"] {
        let good = Minter::new(alg);
        let other = Minter { kid: "other", ..Minter::new("PS384") };
        let list = [Algorithm::from_name(alg).unwrap(), Algorithm::Ps384];
        let list = &list[..if alg == "RS256" { 1 } else { 2 }];
        let (token, mut unnamed) = (good.token(&claims()), good.jwk());
        unnamed.as_object_mut().unwrap().remove("alg");
        for good in [good.jwk(), unnamed] {
            for neighbour in neighbours(&good) {
                for place in 0..3 {
                    let mut members = vec![good.clone(), other.jwk()];
                    members.insert(place, neighbour.clone());
                    let text = json!({ "keys": members }).to_string();
                    let set = KeySet::from_fetched_jwks(text.as_bytes(), list).unwrap();
                    assert_eq!(set.refused().len(), 1, "{neighbour}");
                    assert_eq!(set.refused()[0].index, place, "{neighbour}");
                    let code = verifier(set, list.to_vec()).verify(&token, NOW).code();
                    assert_eq!(code, "valid", "{alg} {neighbour}");
                }
            }
        }
    }
}

// I02: 200 usable keys around it, and 1,000 unusable ones.
#[test]
fn a_key_is_found_among_hundreds_without_alg() {
    let minter = Minter { kid: "last", ..Minter::new("RS256") };
    let list = [Algorithm::Rs256];
    for (count, broken) in [(200, 0), (1, 1000)] {
        let nameless = |number: usize| {
            let mut jwk = minter.key.public();
            jwk["kid"] = json!(format!("k{number}"));
            jwk
        };
        let mut members: Vec<Value> = (1..count).map(nameless).collect();
        members.extend((0..broken).map(|_| json!({ "kty": "AKP", "kid": "last" })));
        let mut last = minter.key.public();
        last["kid"] = json!("last");
        members.push(last);
        let text = json!({ "keys": members }).to_string();
        let set = KeySet::from_fetched_jwks(text.as_bytes(), &list).unwrap();
        assert_eq!((set.keys().len(), set.refused().len()), (count, broken));
        let verifier = verifier(set, list.to_vec());
        assert_eq!(verifier.verify(&minter.token(&claims()), NOW).code(), "valid");
    }
}

// I01, I03: issuers that share a key without alg, each with its own list. The exact iss decides
// among the issuers whose key fits, and a token with another algorithm than its issuer's is
// refused.
#[test]
fn issuers_that_share_a_key_without_alg_each_bind_it_by_their_own_list() {
    let issuers = [
        ("https://a.example", Algorithm::Rs256),
        ("https://b.example", Algorithm::Rs512),
        ("https://c.example", Algorithm::Rs256),
    ];
    let text = nameless("RS256");
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let rules = |at: usize| IssuerConfig {
            issuer: issuers[at].0.to_owned(),
            algorithms: vec![issuers[at].1],
            ..Minter::new("RS256").rules()
        };
        let config = support::config(order.map(rules).to_vec());
        let mut verifier = Verifier::new(config).unwrap();
        for place in 0..3 {
            let set = KeySet::from_fetched_jwks(text.as_bytes(), verifier.algorithms(place));
            assert!(verifier.set_keys_of(place, set.unwrap()));
        }
        let verifier = feed::with_base(verifier, vec![]);
        for (issuer, own) in issuers {
            for alg in ["RS256", "RS512", "PS256"] {
                let token = Minter::new(alg).token(&claims_with("iss", json!(issuer)));
                let code = verifier.verify(&token, NOW).code();
                assert_eq!(code == "valid", alg == own.name(), "{order:?} {issuer} {alg}: {code}");
            }
        }
    }
}

/// Members of key sets that can verify nothing, some with the good key's name, type and parts.
fn neighbours(good: &Value) -> Vec<Value> {
    let with = |members: &[(&str, Value)]| {
        let mut jwk = good.clone();
        for (name, value) in members {
            jwk[*name] = value.clone();
        }
        jwk
    };
    let kid = &good["kid"];
    let bytes = json!(encode(&[7; 56]));
    let mut all = vec![
        with(&[("use", json!("enc"))]),
        with(&[("use", json!("enc")), ("alg", json!("RSA-OAEP-256"))]),
        with(&[("use", json!("tls"))]),
        with(&[("key_ops", json!(["encrypt", "wrapKey"]))]),
        with(&[("key_ops", json!([]))]),
        with(&[("alg", json!("RSA-OAEP"))]),
        with(&[("alg", json!("ESP256"))]),
        with(&[("alg", json!("ES256K"))]),
        with(&[("alg", json!("none"))]),
        with(&[("kty", json!("XYZ"))]),
        with(&[("kty", json!("ec"))]),
        with(&[("crv", json!("Curve9"))]),
        json!({ "kid": kid, "kty": "AKP", "alg": "ML-DSA-65", "pub": bytes }),
        json!({ "kid": kid, "kty": "AKP", "pub": bytes }),
        json!({ "kid": kid, "kty": "OKP", "crv": "X25519", "x": bytes }),
        json!({ "kid": kid, "kty": "OKP", "crv": "X448", "alg": "ECDH-ES", "x": bytes }),
        json!({ "kid": kid, "kty": "OKP", "crv": "Ed448", "x": bytes }),
        json!({ "kid": kid, "kty": "EC", "crv": "secp256k1", "x": bytes, "y": bytes }),
        json!({ "kid": kid, "kty": "oct", "k": bytes }),
        json!({ "kid": kid, "kty": "oct", "k": bytes, "alg": "HS256" }),
        json!({ "kid": kid }),
        json!({ "kid": 7, "kty": "RSA" }),
        json!({}),
        json!([]),
        json!(null),
        json!("key"),
    ];
    // A private key affects no key of another name or algorithm.
    let mut private = Minter { kid: "private", ..Minter::new("RS512") }.jwk();
    private["d"] = json!("AQ");
    all.push(private.clone());
    private["kid"] = kid.clone();
    all.push(private);
    all
}

/// Lists of configured algorithms: each alone, each pair and all of them, without or with HMAC.
fn lists(has_secrets: bool) -> Vec<Vec<&'static str>> {
    let names: Vec<&str> =
        ALGORITHMS.into_iter().filter(|name| name.starts_with("HS") == has_secrets).collect();
    let mut lists = vec![names.clone()];
    for (at, first) in names.iter().enumerate() {
        lists.push(vec![first]);
        lists.extend(names[at + 1..].iter().map(|second| vec![*first, *second]));
    }
    lists
}

fn algorithms(names: &[&str]) -> Vec<Algorithm> {
    names.iter().map(|name| Algorithm::from_name(name).unwrap()).collect()
}

/// A set of one key without alg.
fn nameless(alg: &str) -> String {
    let mut jwk = Key::new(alg).public();
    jwk["kid"] = json!("key-1");
    json!({ "keys": [jwk] }).to_string()
}

fn verifier(set: KeySet, algorithms: Vec<Algorithm>) -> Verifier {
    let rules = IssuerConfig { algorithms, ..Minter::new("EdDSA").rules() };
    let mut verifier = Verifier::new(support::config(vec![rules])).unwrap();
    assert!(verifier.set_keys(ISSUER, set));
    feed::with_base(verifier, vec![])
}
