//! Key sets as issuers publish them: keys that must not verify are left out by name and affect no
//! other key.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use offswitch_verifier::{Algorithm, IssuerConfig, KeyProblem, KeySet, KeySetError, MAX_KEYS};
use serde_json::{Value, json};
use support::{ISSUER, Key, Minter, NOW, claims, encode, feed};

// V04, D39, D104: one bad neighbour at each place. It is named with what was found, and the good
// key verifies as if it were alone.
#[test]
fn a_key_that_must_not_verify_is_left_out_by_name_and_affects_no_other() {
    let good = Minter::new("EdDSA");
    let es256 = |name: &str, value: Value| {
        let mut jwk = named(&Minter::new("ES256").jwk(), "odd");
        jwk[name] = value;
        jwk
    };
    let modulus_1024 = encode(&[vec![0xff; 127], vec![0x01]].concat());
    let neighbours = [
        (
            es256("use", json!("enc")),
            "keys[0] (kid \"odd\"): the key is not for verifying \
            signatures (found use \"enc\"; expected use \"sig\" or none)",
        ),
        (
            es256("key_ops", json!(["encrypt"])),
            "keys[0] (kid \"odd\"): the key is not for verifying \
            signatures",
        ),
        (
            es256("alg", json!("RSA-OAEP")),
            "keys[0] (kid \"odd\"): the key's alg is not supported (found alg \"RSA-OAEP\"; expected \
            EdDSA, ES256 to ES512, RS256 to RS512, PS256 to PS512 or HS256 to HS512)",
        ),
        (
            es256("alg", json!("EdDSA")),
            "keys[0] (kid \"odd\"): the key's type does not fit its alg (found alg \"EdDSA\", kty \
            \"EC\", crv \"P-256\")",
        ),
        (
            es256("crv", json!("secp256k1")),
            "keys[0] (kid \"odd\"): the key's type is not supported (found kty \"EC\", crv \
            \"secp256k1\"; expected RSA, EC with P-256, P-384 or P-521, OKP with Ed25519, or oct)",
        ),
        (es256("d", json!("AQ")), "keys[0] (kid \"odd\"): the key carries its private part"),
        (es256("x", json!("AQ")), "keys[0] (kid \"odd\"): the key is malformed"),
        (es256("x", json!(encode(&[0; 32]))), "keys[0] (kid \"odd\"): the key is weak"),
        (
            es256("kid", json!("k".repeat(257))),
            "keys[0] (kid \"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\
            kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk...\"): the key is malformed",
        ),
        (es256("kid", json!(7)), "keys[0]: the key is malformed"),
        (es256("kid", json!("a\"\n\u{202e}b")), ""),
        (
            json!({ "kid": "odd", "kty": "EC", "crv": "P-256" }),
            "keys[0] (kid \"odd\"): the key names no alg, and none of the issuer's algorithms fits it \
            (found kty \"EC\", crv \"P-256\"; add the one that the issuer signs with to the option \
            algorithms)",
        ),
        (
            json!({ "kid": "odd", "kty": "AKP", "alg": "ML-DSA-44", "pub": "AQ" }),
            "keys[0] (kid \"odd\"): the key's type is not supported (found kty \"AKP\"; expected RSA, \
            EC with P-256, P-384 or P-521, OKP with Ed25519, or oct)",
        ),
        (
            json!({ "kid": "odd", "kty": "OKP", "crv": "X25519", "alg": "ECDH-ES", "x": "AQ" }),
            "keys[0] (kid \"odd\"): the key's type is not supported (found kty \"OKP\", crv \
            \"X25519\"; expected RSA, EC with P-256, P-384 or P-521, OKP with Ed25519, or oct)",
        ),
        (
            json!({ "kid": "odd", "kty": "RSA", "alg": "RS256", "e": "AQAB", "n": modulus_1024 }),
            "keys[0] (kid \"odd\"): the key is weak",
        ),
        (
            json!({ "kid": "odd", "kty": "oct", "alg": "HS256", "k": encode(&[9; 32]) }),
            "keys[0] (kid \
            \"odd\"): a secret (kty oct) is not taken from a set that has public keys",
        ),
        (
            json!({ "kid": "odd", "kty": "oct", "alg": "HS256", "k": "" }),
            "keys[0] (kid \"odd\"): the \
            key is weak",
        ),
        (json!(null), "keys[0]: the key is malformed"),
        (json!("key"), "keys[0]: the key is malformed"),
        (json!({}), "keys[0]: the key is malformed"),
        (json!([]), "keys[0]: the key is malformed"),
    ];
    for (odd, text) in neighbours {
        for place in 0..3 {
            let mut members = vec![good.jwk(), named(&Minter::new("RS256").jwk(), "other")];
            members.insert(place, odd.clone());
            for read in [KeySet::from_jwks, KeySet::from_fetched_jwks] {
                let set = read(jwks(&members).as_bytes(), &[]).unwrap();
                let fine = text.is_empty();
                assert_eq!(set.keys().len(), if fine { 3 } else { 2 }, "{odd}");
                let is_fetched_secret = odd["kty"] == "oct" && odd["k"] != "";
                if !fine && !is_fetched_secret {
                    let expected = text.replacen("keys[0]", &format!("keys[{place}]"), 1);
                    assert_eq!(set.refused()[0].to_string(), expected);
                }
                assert_eq!(code(set, &good, &claims()), "valid", "{odd}");
            }
        }
    }
}

// V04, D39: if two usable keys of one algorithm have the same kid, neither is used. A key that
// cannot be used anyway does not count, such as an encryption key of the same name.
#[test]
fn a_repeated_kid_disables_only_the_keys_of_one_algorithm_that_have_it() {
    let first = Minter::new("EdDSA");
    let second = Minter { key: second_ed25519(), ..first.clone() };
    let third = Minter { kid: "key-3", ..Minter::new("RS256") };
    let members = [first.jwk(), second.jwk(), third.jwk()];
    for turn in 0..3 {
        let mut members = members.to_vec();
        members.rotate_left(turn);
        let set = set_of(&members);
        assert_eq!(set.keys().len(), 1);
        let problems: Vec<_> = set.refused().iter().map(|one| one.problem).collect();
        assert_eq!(problems, [KeyProblem::RepeatedKid, KeyProblem::RepeatedKid]);
        assert_eq!(code(set.clone(), &third, &claims()), "valid");
        assert_eq!(code(set.clone(), &first, &claims()), "unknown_key");
        assert_eq!(code(set, &second, &claims()), "unknown_key");
    }
    // A broken neighbour counts too, above all one whose private part is public.
    for (name, value) in [("x", json!("AQ")), ("d", json!("AQ")), ("alg", json!("RS256"))] {
        let mut odd = second.jwk();
        odd[name] = value;
        let set = set_of(&[first.jwk(), odd, third.jwk()]);
        let expected = if name == "alg" { "valid" } else { "unknown_key" };
        assert_eq!(code(set.clone(), &first, &claims()), expected, "{name}");
        assert_eq!(code(set, &third, &claims()), "valid");
    }
    let mut encrypting = second.jwk();
    encrypting["use"] = json!("enc");
    for alg in [json!("RSA-OAEP"), json!("EdDSA")] {
        encrypting["alg"] = alg;
        assert_eq!(code(set_of(&[encrypting.clone(), first.jwk()]), &first, &claims()), "valid");
    }
    encrypting.as_object_mut().unwrap().remove("alg");
    let set = set_of(&[first.jwk(), encrypting]);
    assert_eq!((set.keys().len(), set.refused().len()), (1, 1));
    assert_eq!(code(set, &first, &claims()), "valid");
    // Without kids: one key per algorithm can be distinguished, two of one algorithm cannot.
    let (mut a, mut b) = (first.jwk(), third.jwk());
    for jwk in [&mut a, &mut b] {
        jwk.as_object_mut().unwrap().remove("kid");
    }
    assert_eq!(set_of(&[a.clone(), b.clone()]).keys().len(), 2);
    let set = set_of(&[a.clone(), a, b]);
    assert_eq!((set.keys().len(), set.refused().len()), (1, 2));
}

// I02: one kid for a key of each algorithm. The header's alg and kid together name one key, like
// the kid alone in other sets, and each key verifies only its own algorithm.
#[test]
fn keys_of_different_algorithms_may_share_a_kid() {
    let minters = ["EdDSA", "ES256", "RS256", "RS512", "PS256"].map(Minter::new);
    let algorithms = minters.each_ref().map(|one| Algorithm::from_name(one.alg).unwrap());
    for turn in 0..minters.len() {
        let mut members = minters.each_ref().map(Minter::jwk);
        members.rotate_left(turn);
        let set = set_of(&members);
        assert_eq!((set.keys().len(), set.refused().len()), (minters.len(), 0));
        for minter in &minters {
            let rules = IssuerConfig { algorithms: algorithms.to_vec(), ..minter.rules() };
            let verifier = verifier(set.clone(), rules);
            assert_eq!(verifier.verify(&minter.token(&claims()), NOW).code(), "valid");
            // The EdDSA key's signature with a header that names the ES256 key, and so on.
            for other in minters.iter().filter(|other| other.alg != minter.alg) {
                let token = minter.sign(&other.header(), &claims());
                let code = verifier.verify(&token, NOW).code();
                assert_eq!(code, "bad_signature", "{} {}", minter.alg, other.alg);
            }
        }
    }
}

// V04, D115: Supabase publishes HS256 and ES256 keys in one set. The public keys verify, and no
// secret does, in any order and with any names.
#[test]
fn a_set_of_secrets_and_public_keys_verifies_only_with_the_public_keys() {
    let public = Minter::new("ES256");
    let secret = Minter { kid: "secret", ..Minter::new("HS256") };
    for members in [[public.jwk(), secret.jwk()], [secret.jwk(), public.jwk()]] {
        for read in [KeySet::from_jwks, KeySet::from_fetched_jwks] {
            let set = read(jwks(&members).as_bytes(), &[]).unwrap();
            assert_eq!(code(set.clone(), &public, &claims()), "valid");
            assert_eq!(set.refused().len(), 1);
            assert!(set.keys().iter().all(|key| !key.algorithm().is_symmetric()));
            assert_eq!(code(set.clone(), &secret, &claims()), "unknown_key");
            let rules = IssuerConfig { algorithms: vec![Algorithm::Hs256], ..secret.rules() };
            let verifier = verifier(set, rules);
            let code = verifier.verify(&secret.token(&claims()), NOW).code().to_owned();
            assert_eq!(code, "unknown_key");
        }
    }
    // A secret that every client can fetch is no secret.
    let alone = jwks(&[secret.jwk()]);
    let given = KeySet::from_jwks(alone.as_bytes(), &[]).unwrap();
    let rules = secret.rules();
    let verdict = verifier(given, rules).verify(&secret.token(&claims()), NOW);
    assert_eq!(verdict.code(), "valid");
    let fetched = KeySet::from_fetched_jwks(alone.as_bytes(), &[]).unwrap();
    assert_eq!(fetched.refused()[0].problem, KeyProblem::PublishedSecret);
    assert!(fetched.keys().is_empty());
}

// D39: a key with a kid judges tokens without one, if it is the issuer's only usable key of their
// algorithm; a token with a kid uses the key of that name or none.
#[test]
fn a_token_without_kid_finds_the_only_key_of_its_algorithm() {
    let one = Minter::new("EdDSA");
    let other = Minter { kid: "key-2", key: second_ed25519(), ..one.clone() };
    let es256 = Minter { kid: "key-3", ..Minter::new("ES256") };
    let mut unnamed = other.jwk();
    unnamed.as_object_mut().unwrap().remove("kid");
    let without = |minter: &Minter| {
        let header = json!({ "alg": minter.alg, "typ": "at+jwt" });
        minter.sign(&header, &claims())
    };
    let code = |members: &[Value], token: &str| {
        let rules =
            IssuerConfig { algorithms: vec![Algorithm::EdDsa, Algorithm::Es256], ..one.rules() };
        let set = set_of(members);
        verifier(set, rules).verify(token, NOW).code()
    };
    assert_eq!(code(&[one.jwk()], &without(&one)), "valid");
    assert_eq!(code(&[one.jwk(), es256.jwk()], &without(&one)), "valid");
    assert_eq!(code(&[one.jwk(), es256.jwk()], &without(&es256)), "valid");
    assert_eq!(code(&[one.jwk()], &without(&es256)), "unknown_key");
    assert_eq!(code(&[one.jwk()], &without(&other)), "bad_signature");
    assert_eq!(code(&[one.jwk(), other.jwk()], &without(&one)), "unknown_key");
    // A key without a name is preferred.
    assert_eq!(code(&[one.jwk(), unnamed.clone()], &without(&other)), "valid");
    assert_eq!(code(&[one.jwk(), unnamed.clone()], &without(&one)), "bad_signature");
    // A token that names another key does not use the only key.
    let misnamed = Minter { kid: "key-9", ..one.clone() };
    assert_eq!(code(&[one.jwk()], &misnamed.token(&claims())), "unknown_key");
    assert_eq!(code(&[unnamed], &other.token(&claims())), "unknown_key");
    let mut encrypting = other.jwk();
    encrypting["use"] = json!("enc");
    assert_eq!(code(&[one.jwk(), encrypting], &without(&one)), "valid");
}

// D115: 200 keys are all kept; of more than 256 usable ones the rest is named and left out.
#[test]
fn a_set_of_256_usable_keys_is_kept_and_of_a_larger_one_the_first_256() {
    let minter = Minter::new("EdDSA");
    let last = Minter { kid: "last", ..minter.clone() };
    let jwk = |number: usize| named(&minter.jwk(), &format!("k{number}"));
    for (count, kept, code_of_last) in
        [(65, 65, "valid"), (200, 200, "valid"), (256, 256, "valid"), (257, 256, "unknown_key")]
    {
        let mut members: Vec<Value> = (1..count).map(jwk).collect();
        members.push(last.jwk());
        let set = set_of(&members);
        assert_eq!((set.keys().len(), set.refused().len()), (kept, count - kept));
        assert!(set.refused().iter().all(|one| one.problem == KeyProblem::TooManyKeys));
        assert_eq!(code(set, &last, &claims()), code_of_last, "{count}");
    }
    assert_eq!(MAX_KEYS, 256);
    // An unusable key takes no place.
    let mut members: Vec<Value> = (0..400).map(|_| json!({ "kty": "EC", "use": "enc" })).collect();
    members.push(last.jwk());
    let set = set_of(&members);
    assert_eq!((set.keys().len(), set.refused().len()), (1, 400));
    assert_eq!(code(set, &last, &claims()), "valid");
    // Tens of thousands of members are not compared with each other.
    let members: Vec<Value> = (0..60_000).map(|_| json!({})).collect();
    let mut text = jwks(&members);
    text.insert_str(text.len() - 2, r#",{"kty":"EC"}"#);
    assert_eq!(KeySet::from_fetched_jwks(text.as_bytes(), &[]).unwrap().refused().len(), 1025);
}

// D15: an issuer that publishes an empty set, or only unusable keys, has withdrawn its keys. An
// answer that is not a key set changes nothing.
#[test]
fn a_fetched_set_without_usable_keys_withdraws_the_keys_before_it() {
    let minter = Minter::new("EdDSA");
    let unusable = r#"{"keys":[{"kty":"EC","use":"enc","kid":"e","alg":"ES256"}]}"#;
    for text in [r#"{"keys":[]}"#, unusable] {
        let mut verifier = feed::verifier(&minter);
        assert_eq!(verifier.verify(&minter.token(&claims()), NOW).code(), "valid");
        let set = KeySet::from_fetched_jwks(text.as_bytes(), &[]).unwrap();
        assert!(verifier.set_keys(ISSUER, set));
        let verdict = serde_json::to_value(verifier.verify(&minter.token(&claims()), NOW)).unwrap();
        assert_eq!(verdict["code"], "unknown_key");
        let detail = r#"kid is "key-1", expected the name of a key, but no usable key is loaded"#;
        assert_eq!(verdict["detail"], detail);
    }
    let error = KeySet::from_jwks(unusable.as_bytes(), &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the set has no usable key; keys[0] (kid \"e\"): the key is not for verifying signatures \
         (found use \"enc\"; expected use \"sig\" or none)"
    );
    assert!(matches!(KeySet::from_jwks(b"{\"keys\":[]}", &[]), Err(KeySetError::NoUsableKey(_))));
    for text in [
        "",
        "[]",
        "{}",
        "null",
        r#"{"message":"maintenance"}"#,
        r#"{"keys":{}}"#,
        r#"{"keys":null}"#,
        r#"{"keys":"x"}"#,
        r#"{"keys":["x",1,null]}"#,
        r#"{"keys":[{}]}"#,
        r#"{"keys":[],"keys":[]}"#,
        r#"{"keys":[{"kty":"EC","kty":"EC"}]}"#,
    ] {
        for read in [KeySet::from_jwks, KeySet::from_fetched_jwks] {
            let found = read(text.as_bytes(), &[]);
            assert!(matches!(found, Err(KeySetError::NotJson)), "{text}: {found:?}");
        }
    }
    // A single key is not a set: if it is unusable, nothing is withdrawn.
    let single = r#"{"kty":"EC","use":"enc","kid":"e","alg":"ES256"}"#;
    let found = KeySet::from_fetched_jwks(single.as_bytes(), &[]);
    assert!(matches!(found, Err(KeySetError::NoUsableKey(_))), "{found:?}");
    assert!(KeySet::from_fetched_jwks(minter.jwk().to_string().as_bytes(), &[]).is_ok());
    let padded = format!("{}{}", minter.jwk(), " ".repeat(256 * 1024));
    for read in [KeySet::from_jwks, KeySet::from_fetched_jwks] {
        assert_eq!(read(padded.as_bytes(), &[]).unwrap_err(), KeySetError::TooLarge);
    }
}

// X02, V03: no order and no neighbour makes a public key the secret of an HMAC.
#[test]
fn a_public_key_is_no_secret_in_a_mixed_set_either() {
    let public = Minter::new("EdDSA");
    let secret = Minter { kid: "secret", ..Minter::new("HS256") };
    let Key::Ed25519(key) = &public.key else { unreachable!() };
    let bytes = key.verifying_key().to_bytes().to_vec();
    let set = set_of(&[public.jwk(), secret.jwk()]);
    for kid in ["key-1", "secret"] {
        let forger = Minter { key: Key::Secret(bytes.clone()), alg: "HS256", kid };
        for algorithms in [vec![Algorithm::EdDsa], vec![Algorithm::Hs256]] {
            let rules = IssuerConfig { algorithms, ..public.rules() };
            let verdict = verifier(set.clone(), rules).verify(&forger.token(&claims()), NOW);
            assert!(["unknown_key", "unsupported_algorithm"].contains(&verdict.code()));
        }
    }
}

fn code(set: KeySet, minter: &Minter, claims: &Value) -> &'static str {
    verifier(set, minter.rules()).verify(&minter.token(claims), NOW).code()
}

fn verifier(set: KeySet, rules: IssuerConfig) -> offswitch_verifier::Verifier {
    let config = support::config(vec![rules]);
    let mut verifier = offswitch_verifier::Verifier::new(config).unwrap();
    verifier.set_keys(ISSUER, set);
    feed::with_base(verifier, vec![])
}

fn jwks(members: &[Value]) -> String {
    json!({ "keys": members }).to_string()
}

/// The keys that load from a configured set of these members.
fn set_of(members: &[Value]) -> KeySet {
    KeySet::from_jwks(jwks(members).as_bytes(), &[]).unwrap()
}

fn named(jwk: &Value, kid: &str) -> Value {
    let mut jwk = jwk.clone();
    jwk["kid"] = json!(kid);
    jwk
}

fn second_ed25519() -> Key {
    Key::Ed25519(ed25519_dalek::SigningKey::from_bytes(&[44; 32]))
}
