//! Several issuers, several kinds of tokens: a token for one purpose is accepted for no other.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use offswitch_verifier::{
    Algorithm, AudienceRule, Check, IssuerConfig, Jws, KeySet, Presentation, Verifier,
};
use serde_json::{Value, json};
use support::feed::{History, Record};
use support::{AUDIENCE, ISSUER, Key, Minter, NOW, claims, claims_with, encode, feed};

const OTHER: &str = "https://other.example";

// V11: two issuers use the same kid; each signs for itself and not for the other.
#[test]
fn a_key_signs_for_its_own_issuer_only() {
    let (first, second) = (Minter::new("EdDSA"), Minter::new("ES256"));
    let verifier = two_issuers(&first, &second);
    for (minter, own) in [(&first, ISSUER), (&second, OTHER)] {
        for issuer in [ISSUER, OTHER, "https://third.example"] {
            let token = minter.token(&claims_with("iss", json!(issuer)));
            let code = if issuer == own { "valid" } else { "wrong_issuer" };
            assert_eq!(verifier.verify(&token, NOW).code(), code, "{} {issuer}", minter.alg);
        }
    }
}

// V11: the same, with the same algorithm, so that only the key differs.
#[test]
fn a_shared_kid_and_algorithm_do_not_let_one_issuer_sign_for_another() {
    let first = Minter::new("EdDSA");
    let second = Minter {
        key: Key::Ed25519(ed25519_dalek::SigningKey::from_bytes(&[44; 32])),
        ..first.clone()
    };
    let verifier = two_issuers(&first, &second);
    let code = |minter: &Minter, issuer: &str| {
        verifier.verify(&minter.token(&claims_with("iss", json!(issuer))), NOW).code()
    };
    assert_eq!(code(&first, ISSUER), "valid");
    assert_eq!(code(&second, OTHER), "valid");
    assert_eq!(code(&first, OTHER), "wrong_issuer");
    assert_eq!(code(&second, ISSUER), "wrong_issuer");
}

// V11, V02: an HMAC issuer and an asymmetric one with the same kid; the public key of the one is no
// secret for the other.
#[test]
fn an_hmac_issuer_does_not_weaken_another_issuer() {
    let (public, secret) = (Minter::new("EdDSA"), Minter::new("HS256"));
    let verifier = two_issuers(&public, &secret);
    let token = secret.token(&claims_with("iss", json!(OTHER)));
    assert_eq!(verifier.verify(&token, NOW).code(), "valid");
    assert_eq!(verifier.verify(&secret.token(&claims()), NOW).code(), "wrong_issuer");
    let Key::Ed25519(key) = &public.key else { unreachable!() };
    let forger = Minter { key: Key::Secret(key.verifying_key().to_bytes().to_vec()), ..secret };
    for issuer in [ISSUER, OTHER] {
        let token = forger.token(&claims_with("iss", json!(issuer)));
        assert!(!verifier.verify(&token, NOW).is_valid(), "{issuer}");
    }
}

// V11: a token, session or user revoked at one issuer is not the one of the same name at the other.
#[test]
fn a_revocation_at_one_issuer_does_not_touch_another() {
    let (first, second) = (Minter::new("EdDSA"), Minter::new("ES256"));
    for record in [Record::Token(1), Record::Session(1), Record::User(1, 9), Record::DeadKey(1)] {
        let verifier = feed::with_base(two_issuers_cold(&first, &second), vec![record]);
        assert!(!verifier.verify(&first.token(&claims()), NOW).is_valid(), "{record:?}");
        let token = second.token(&claims_with("iss", json!(OTHER)));
        assert_eq!(verifier.verify(&token, NOW).code(), "valid", "{record:?}");
    }
}

// V11, X25: refresh, ID and logout tokens, signed with the same key.
#[test]
fn a_token_of_another_type_is_no_access_token() {
    let minter = Minter::new("EdDSA");
    let verifier = feed::verifier(&minter);
    let code = |typ: Value| {
        let mut header = minter.header();
        header["typ"] = typ;
        verifier.verify(&minter.sign(&header, &claims()), NOW).code()
    };
    for typ in [
        "JWT",
        "jwt",
        "rt+jwt",
        "refresh+jwt",
        "id_token+jwt",
        "logout+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "application/logout+jwt",
        "application/application/at+jwt",
        "at+jwt ",
        " at+jwt",
        "at+jwt;v=1",
        "text/at+jwt",
        "application/x/at+jwt",
        "application/",
        "",
        "at+JWT\0",
        "application/at+jwt/",
        "at_jwt",
        "at-jwt",
    ] {
        assert_eq!(code(json!(typ)), "wrong_type", "{typ:?}");
    }
    for typ in ["at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "Application/AT+jwt"] {
        assert_eq!(code(json!(typ)), "valid", "{typ:?}");
    }
    let mut header = minter.header();
    header.as_object_mut().unwrap().remove("typ");
    assert_eq!(verifier.verify(&minter.sign(&header, &claims()), NOW).code(), "wrong_type");
}

// V11: `null` in the list of types means a token without typ, and nothing else.
#[test]
fn a_missing_type_is_accepted_only_if_configured() {
    let minter = Minter::new("EdDSA");
    let rules = IssuerConfig { types: vec![None], ..minter.rules() };
    let verifier = feed::with_base(minter.verifier_with(rules), vec![]);
    assert_eq!(verifier.verify(&minter.token(&claims()), NOW).code(), "wrong_type");
    for (typ, code) in [(json!(""), "wrong_type"), (json!("null"), "wrong_type")] {
        let mut header = minter.header();
        header["typ"] = typ;
        assert_eq!(verifier.verify(&minter.sign(&header, &claims()), NOW).code(), code);
    }
    let header = json!({ "alg": minter.alg, "kid": minter.kid });
    assert_eq!(verifier.verify(&minter.sign(&header, &claims()), NOW).code(), "valid");
}

// V11: aud as one string and as an array; one matching audience is enough, a part of a name is not.
#[test]
fn an_audience_is_a_string_or_an_array_of_strings() {
    let minter = Minter::new("EdDSA");
    let verifier = feed::verifier(&minter);
    for (aud, code) in [
        (json!(AUDIENCE), "valid"),
        (json!([AUDIENCE]), "valid"),
        (json!(["other", AUDIENCE]), "valid"),
        (json!([]), "wrong_audience"),
        (json!(["other"]), "wrong_audience"),
        (json!("other"), "wrong_audience"),
        (json!(""), "wrong_audience"),
        (json!("api api"), "wrong_audience"),
        (json!("api,other"), "wrong_audience"),
        (json!("[\"api\"]"), "wrong_audience"),
        (json!([AUDIENCE, null]), "malformed"),
        (json!([[AUDIENCE]]), "malformed"),
        (json!({ "api": true }), "malformed"),
    ] {
        let token = minter.token(&claims_with("aud", aud.clone()));
        assert_eq!(verifier.verify(&token, NOW).code(), code, "{aud}");
    }
    let rules = IssuerConfig { audience: AudienceRule::Unchecked, ..minter.rules() };
    let unchecked = feed::with_base(minter.verifier_with(rules), vec![]);
    assert_eq!(
        unchecked.verify(&minter.token(&claims_with("aud", json!("other"))), NOW).code(),
        "valid"
    );
}

// V11, S01, X25: here the feed's key also signs tokens; a snapshot is no token, raw or encoded, and
// a token is no snapshot.
#[test]
fn a_snapshot_is_no_token_and_a_token_is_no_snapshot_even_under_one_key() {
    let minter = Minter { key: Key::Ed25519(feed::signing_key(1)), ..Minter::new("EdDSA") };
    let mut verifier = feed::verifier(&minter);
    let snapshot = History::new(1, vec![Record::Token(9)]).base(1);
    let token = minter.token(&claims());
    assert_eq!(verifier.verify(&token, NOW).code(), "valid");
    let (envelope, body) = snapshot.split_at(feed::body_at(1));
    let signature = envelope.get(14..78).unwrap();
    let (signed, _) = token.rsplit_once('.').unwrap();
    for text in [
        encode(&snapshot),
        format!(
            "{}.{}.{}",
            encode(minter.header().to_string().as_bytes()),
            encode(body),
            encode(signature)
        ),
        format!("{signed}.{}", encode(signature)),
        String::from_utf8_lossy(&snapshot).into_owned(),
    ] {
        assert!(!verifier.verify(&text, NOW).is_valid(), "{text}");
    }
    let (signed, jws_signature) = token.rsplit_once('.').unwrap();
    let jws_signature = support::decode(jws_signature);
    for body in [signed.as_bytes(), body] {
        let forged = [envelope.get(..14).unwrap(), &jws_signature, body].concat();
        assert_eq!(verifier.apply(forged, NOW).unwrap_err().code(), "snapshot_bad_signature");
    }
    // A signature over the body's bytes themselves, as a JWS would be signed, is not enough.
    for message in [body.to_vec(), blake3::hash(body).as_bytes().to_vec()] {
        let forged =
            [envelope.get(..14).unwrap(), &minter.key.sign("EdDSA", &message), body].concat();
        assert_eq!(verifier.apply(forged, NOW).unwrap_err().code(), "snapshot_bad_signature");
    }
    assert_eq!(verifier.apply(token.into_bytes(), NOW).unwrap_err().code(), "snapshot_malformed");
    // And a JWS whose signing input is exactly the bytes that a snapshot's signature covers cannot
    // be parsed.
    let message = [b"\0offswitch snapshot v1\0".as_slice(), blake3::hash(body).as_bytes()].concat();
    let text = format!("{}.{}", String::from_utf8_lossy(&message), encode(signature));
    assert_eq!(verifier.verify(&text, NOW).code(), "malformed");
}

// V11: keys set for one issuer do not apply to another, and an unknown issuer gets none.
#[test]
fn keys_are_set_for_a_configured_issuer_only() {
    let minter = Minter::new("EdDSA");
    let mut verifier = Verifier::new(support::config(vec![minter.rules()])).unwrap();
    assert!(!verifier.set_keys(OTHER, minter.keys()));
    assert_eq!(verifier.verify(&minter.token(&claims()), NOW).code(), "unknown_key");
    assert!(verifier.set_keys(ISSUER, minter.keys()));
    assert_eq!(verifier.verify(&minter.token(&claims()), NOW).code(), "no_snapshot");
    // A rotated set replaces the previous one; the old key is refused immediately.
    assert!(verifier.set_keys(ISSUER, Minter { kid: "key-2", ..minter.clone() }.keys()));
    assert_eq!(verifier.verify(&minter.token(&claims()), NOW).code(), "unknown_key");
}

// D07, I03: two and three issuers publish one key, in every order. The issuer that the token names
// judges, by its own rules; a token that names none of them is refused; no issuer affects another.
#[test]
fn among_issuers_that_share_a_key_the_one_that_the_token_names_judges() {
    let minter = Minter::new("EdDSA");
    let third = "https://third.example";
    let orders = [
        vec![ISSUER, OTHER],
        vec![OTHER, ISSUER],
        vec![ISSUER, OTHER, third],
        vec![ISSUER, third, OTHER],
        vec![OTHER, ISSUER, third],
        vec![OTHER, third, ISSUER],
        vec![third, ISSUER, OTHER],
        vec![third, OTHER, ISSUER],
    ];
    for order in orders {
        let rules = |issuer: &&str| IssuerConfig {
            issuer: (*issuer).to_owned(),
            audience: AudienceRule::AnyOf(vec![format!("of {issuer}")]),
            ..minter.rules()
        };
        let rules = order.iter().map(rules).collect();
        let mut verifier = Verifier::new(support::config(rules)).unwrap();
        for issuer in &order {
            assert!(verifier.set_keys(issuer, minter.keys()));
        }
        let verifier = feed::with_base(verifier, vec![Record::Token(1)]);
        for issuer in &order {
            let mut claims = claims_with("iss", json!(issuer));
            claims["aud"] = json!(format!("of {issuer}"));
            let code = if *issuer == ISSUER { "revoked_token" } else { "valid" };
            let token = minter.token(&claims);
            assert_eq!(verifier.verify(&token, NOW).code(), code, "{order:?} {issuer}");
            // As after a host has found that the signature is by the first matching key.
            let jws = Jws::parse(&token).unwrap();
            let first = verifier.candidate(&jws, 0).unwrap();
            let admitted = verifier.admit_vouched_for(&verifier.suspend(&jws, first));
            assert_eq!(admitted.is_some(), *issuer == order[0], "{order:?} {issuer}");
            claims["aud"] = json!("of no API");
            let code = verifier.verify(&minter.token(&claims), NOW).code();
            assert_eq!(code, "wrong_audience", "{order:?} {issuer}");
        }
        for name in [json!("https://none.example"), json!(format!("{ISSUER}/"))] {
            let token = minter.token(&claims_with("iss", name));
            assert_eq!(verifier.verify(&token, NOW).code(), "wrong_issuer", "{order:?}");
        }
        let mut nameless = claims();
        nameless.as_object_mut().unwrap().remove("iss");
        assert_eq!(verifier.verify(&minter.token(&nameless), NOW).code(), "wrong_issuer");
    }
}

// D07, I03: if an issuer lists another's new key first, the issuer in the token is not wrong: the
// key is unknown until the other's own set has it, which is a reason to fetch that set again.
#[test]
fn a_key_that_only_another_issuer_lists_is_unknown_at_the_issuer_that_the_token_names() {
    let new = Minter { kid: "new", ..Minter::new("EdDSA") };
    let old = Minter {
        kid: "old",
        key: Key::Ed25519(ed25519_dalek::SigningKey::from_bytes(&[44; 32])),
        ..new.clone()
    };
    for own in [Some(&old), None] {
        let mut verifier = two_issuers_cold(&old, &new);
        if own.is_none() {
            verifier.set_keys_of(0, KeySet::default());
        }
        let mut verifier = feed::with_base(verifier, vec![]);
        assert_eq!(verifier.verify(&new.token(&claims()), NOW).code(), "unknown_key");
        let theirs = new.token(&claims_with("iss", json!(OTHER)));
        assert_eq!(verifier.verify(&theirs, NOW).code(), "valid");
        let stranger = new.token(&claims_with("iss", json!("https://none.example")));
        assert_eq!(verifier.verify(&stranger, NOW).code(), "wrong_issuer");
        assert!(verifier.set_keys(ISSUER, new.keys()));
        assert_eq!(verifier.verify(&new.token(&claims()), NOW).code(), "valid");
    }
}

// D102: the issuer that the token names has rotated to a key whose `kid` another issuer uses, with
// the same algorithm or another. The key is unknown until the issuer's own set has it, which is a
// reason to fetch that set again. For an issuer that has a key of that name nothing changes.
#[test]
fn a_rotated_key_whose_kid_another_issuer_uses_is_unknown() {
    let [old, new, next] = [("old", 44), ("new", 45), ("new", 46)].map(|(kid, seed)| Minter {
        kid,
        key: Key::Ed25519(ed25519_dalek::SigningKey::from_bytes(&[seed; 32])),
        ..Minter::new("EdDSA")
    });
    let other_algorithm = Minter { kid: "new", ..Minter::new("ES256") };
    for (theirs, code) in [(&new, "bad_signature"), (&other_algorithm, "unsupported_algorithm")] {
        let mut verifier = feed::with_base(two_issuers_cold(&old, theirs), vec![]);
        assert_eq!(verifier.verify(&next.token(&claims()), NOW).code(), "unknown_key");
        let steps = verifier.explain(Jws::parse(&next.token(&claims())), Presentation::Bearer, NOW);
        let failed = steps.iter().find(|step| step.finding != Some(Ok(()))).unwrap();
        assert_eq!(failed.check, Check::Key);
        for issuer in [OTHER, "https://none.example"] {
            let token = next.token(&claims_with("iss", json!(issuer)));
            assert_eq!(verifier.verify(&token, NOW).code(), code, "{issuer}");
        }
        assert!(verifier.set_keys(ISSUER, next.keys()));
        assert_eq!(verifier.verify(&next.token(&claims()), NOW).code(), "valid");
    }
}

// I03: a shared key that one of its issuers has revoked is dead only at that issuer.
#[test]
fn a_shared_key_is_dead_only_at_the_issuer_that_revoked_it() {
    let minter = Minter::new("EdDSA");
    let verifier = feed::with_base(two_issuers_cold(&minter, &minter), vec![Record::DeadKey(1)]);
    assert_eq!(verifier.verify(&minter.token(&claims()), NOW).code(), "revoked_key");
    let theirs = minter.token(&claims_with("iss", json!(OTHER)));
    assert_eq!(verifier.verify(&theirs, NOW).code(), "valid");
}

fn two_issuers(first: &Minter, second: &Minter) -> Verifier {
    feed::with_base(two_issuers_cold(first, second), vec![])
}

fn two_issuers_cold(first: &Minter, second: &Minter) -> Verifier {
    let other = IssuerConfig {
        issuer: OTHER.to_owned(),
        algorithms: vec![Algorithm::from_name(second.alg).unwrap()],
        ..first.rules()
    };
    let mut verifier = Verifier::new(support::config(vec![first.rules(), other])).unwrap();
    assert!(verifier.set_keys(ISSUER, first.keys()));
    assert!(verifier.set_keys(OTHER, second.keys()));
    verifier
}
