//! A revoked token stays revoked in every encoding; every verdict has its code.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use base64ct::{Base64, Base64Url, Base64UrlUnpadded, Encoding};
use offswitch_verifier::{IssuerConfig, OnStale, Verdict, Verifier};
use serde_json::{Value, json};
use support::feed::{History, Record};
use support::{
    ISSUER, Minter, NOW, claims, claims_with, claims_without, decode, encode, feed, lax_rules,
};

// V16, X06: the twin (r, n - s) of a revoked ES256 token is a valid signature; the token is revoked
// by its jti, so the twin is revoked too. No other encoding is a token.
#[test]
fn no_variant_of_a_revoked_token_is_accepted() {
    let minter = Minter::new("ES256");
    let token = minter.token(&claims());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let twin = format!("{signed}.{}", encode(&twin(&decode(signature))));
    assert_ne!(twin, token);
    let clean = feed::verifier(&minter);
    assert!(clean.verify(&token, NOW).is_valid() && clean.verify(&twin, NOW).is_valid());
    for (record, code) in [
        (Record::Token(1), "revoked_token"),
        (Record::Session(1), "revoked_session"),
        (Record::User(1, 2), "revoked_user"),
        (Record::DeadKey(1), "revoked_key"),
        (Record::Epoch(NOW), "revoked_epoch"),
    ] {
        let verifier = feed::with_base(minter.cold_verifier(), vec![record]);
        for text in [&token, &twin] {
            assert_eq!(verifier.verify(text, NOW).code(), code);
            for variant in spellings(text) {
                assert!(!verifier.verify(&variant, NOW).is_valid(), "{variant}");
                if variant != *text {
                    assert!(!clean.verify(&variant, NOW).is_valid(), "{variant}");
                }
            }
        }
    }
}

// X23, V17: the same verifier and token, before and after: no verdict is remembered.
#[test]
fn a_token_seen_as_valid_is_refused_once_it_is_revoked_or_expired() {
    let minter = Minter::new("EdDSA");
    let token = minter.token(&claims());
    let history = History::new(1, vec![Record::User(7, 1), Record::Token(1)]);
    let mut verifier = minter.cold_verifier();
    assert_eq!(verifier.verify(&token, NOW).code(), "no_snapshot");
    verifier.apply(history.base(1), NOW).unwrap();
    assert_eq!(verifier.verify(&token, NOW).code(), "valid");
    assert_eq!(verifier.verify(&token, NOW + 630).code(), "expired");
    assert_eq!(verifier.verify(&token, NOW).code(), "valid");
    verifier.apply(history.range(1, 2, NOW), NOW).unwrap();
    assert_eq!(verifier.verify(&token, NOW).code(), "revoked_token");
    // Another verifier with another audience shares nothing with the first.
    let rules = IssuerConfig {
        audience: offswitch_verifier::AudienceRule::AnyOf(vec!["b".into()]),
        ..minter.rules()
    };
    let other = feed::with_base(minter.verifier_with(rules), vec![]);
    assert_eq!(other.verify(&token, NOW).code(), "wrong_audience");
}

// V16, X28: a token without the claim that it could be revoked by is refused.
#[test]
fn a_token_cannot_hide_the_claims_it_is_revoked_by() {
    let minter = Minter::new("EdDSA");
    let records = vec![Record::Token(1), Record::Session(1), Record::User(1, 5)];
    let verifier = feed::with_base(minter.cold_verifier(), records);
    for name in ["jti", "sub", "iat", "exp"] {
        let mut claims = claims_without(name);
        claims.as_object_mut().unwrap().remove("sid");
        assert_eq!(verifier.verify(&minter.token(&claims), NOW).code(), "missing_claim");
    }
    for name in ["jti", "sub", "sid", "ver"] {
        for value in [json!(null), json!(1.5), json!([]), json!({}), json!(true)] {
            let token = minter.token(&claims_with(name, value));
            assert_eq!(verifier.verify(&token, NOW).code(), "malformed");
        }
    }
}

// A revoked user's token must have the version and the time that the feed demands. A token without
// `ver` counts as the first version, one without `iat` as the oldest.
#[test]
fn a_revoked_user_keeps_only_tokens_that_were_issued_afterwards() {
    let minter = Minter::new("EdDSA");
    let records = vec![Record::User(1, 3), Record::UserBefore(2, NOW + 3)];
    let verifier = feed::with_base(minter.verifier_with(lax_rules(&minter)), records);
    let code = |claims: &Value, now: u64| verifier.verify(&minter.token(claims), now).code();
    for (version, expected) in
        [(0, "revoked_user"), (2, "revoked_user"), (3, "valid"), (4, "valid")]
    {
        assert_eq!(code(&claims_with("ver", json!(version)), NOW), expected, "{version}");
    }
    assert_eq!(code(&claims_without("ver"), NOW), "revoked_user");
    let mut without = claims_without("ver");
    without["sub"] = json!("user-2");
    for (iat, expected) in [(NOW + 2, "revoked_user"), (NOW + 3, "valid")] {
        without["iat"] = json!(iat);
        assert_eq!(code(&without, NOW + 3), expected);
    }
    without.as_object_mut().unwrap().remove("iat");
    assert_eq!(code(&without, NOW), "revoked_user");
    without["sub"] = json!("user-3");
    assert_eq!(code(&without, NOW), "valid");
}

// The feed may demand a version and a time: neither undoes the revocation by the other.
#[test]
fn a_version_and_a_time_of_one_user_both_hold() {
    let minter = Minter::new("EdDSA");
    let records = vec![Record::User(1, 3), Record::UserBefore(1, NOW - 5)];
    let verifier = feed::with_base(minter.cold_verifier(), records);
    for (version, iat, expected) in
        [(2, NOW, "revoked_user"), (3, NOW - 6, "revoked_user"), (3, NOW - 5, "valid")]
    {
        let mut claims = claims_with("ver", json!(version));
        claims["iat"] = json!(iat);
        assert_eq!(
            verifier.verify(&minter.token(&claims), NOW).code(),
            expected,
            "{version} {iat}"
        );
    }
}

// A token without iat cannot show that it is younger than the red button.
#[test]
fn a_login_after_a_red_button_on_a_fast_clock_is_valid_immediately() {
    let minter = Minter::new("EdDSA");
    let verifier =
        feed::with_base(minter.verifier_with(lax_rules(&minter)), vec![Record::Epoch(NOW + 240)]);
    for (iat, code) in
        [(NOW + 239, "revoked_epoch"), (NOW + 240, "valid"), (NOW + 241, "not_yet_valid")]
    {
        let claims = claims_with("iat", json!(iat));
        assert_eq!(verifier.verify(&minter.token(&claims), NOW).code(), code, "{iat}");
    }
}

#[test]
fn the_epoch_accepts_only_tokens_with_a_later_iat() {
    let minter = Minter::new("EdDSA");
    let verifier =
        feed::with_base(minter.verifier_with(lax_rules(&minter)), vec![Record::Epoch(NOW - 10)]);
    for (claims, code) in [
        (claims_with("iat", json!(NOW - 11)), "revoked_epoch"),
        (claims_with("iat", json!(NOW - 10)), "valid"),
        (claims_without("iat"), "revoked_epoch"),
    ] {
        assert_eq!(verifier.verify(&minter.token(&claims), NOW).code(), code);
    }
}

// Every verdict code of the design, reached through the public API, with its outcome.
#[test]
fn every_verdict_code_is_reached() {
    let minter = Minter::new("EdDSA");
    let good = minter.token(&claims());
    let plain = || feed::verifier(&minter);
    let revoked = |record| feed::with_base(minter.cold_verifier(), vec![record]);
    let mut forked = plain();
    forked.apply(History::new(1, vec![Record::Token(8)]).base(1), NOW).unwrap();
    forked.apply(History::new(1, vec![Record::Token(9)]).base(1), NOW).unwrap_err();
    let with = |name: &str, value: Value| minter.token(&claims_with(name, value));
    let mut header = minter.header();
    header["typ"] = json!("JWT");
    let mut unknown = minter.header();
    unknown["kid"] = json!("unlisted");
    let mut tampered = good.clone();
    tampered.replace_range(tampered.len() - 4.., "AAAA");
    let cases: Vec<(&str, &str, Verifier, String, u64)> = vec![
        ("valid", "valid", plain(), good.clone(), NOW),
        ("refused", "malformed", plain(), "a.b".into(), NOW),
        ("refused", "unsupported_algorithm", plain(), Minter::new("HS256").token(&claims()), NOW),
        ("refused", "unknown_key", plain(), minter.sign(&unknown, &claims()), NOW),
        ("refused", "bad_signature", plain(), tampered, NOW),
        ("refused", "expired", plain(), with("exp", json!(NOW - 31)), NOW),
        ("refused", "not_yet_valid", plain(), with("nbf", json!(NOW + 31)), NOW),
        ("refused", "wrong_issuer", plain(), with("iss", json!("x")), NOW),
        ("refused", "wrong_audience", plain(), with("aud", json!("x")), NOW),
        ("refused", "wrong_type", plain(), minter.sign(&header, &claims()), NOW),
        ("refused", "missing_claim", plain(), minter.token(&claims_without("jti")), NOW),
        ("refused", "revoked_token", revoked(Record::Token(1)), good.clone(), NOW),
        ("refused", "revoked_session", revoked(Record::Session(1)), good.clone(), NOW),
        ("refused", "revoked_user", revoked(Record::User(1, 2)), good.clone(), NOW),
        ("refused", "revoked_key", revoked(Record::DeadKey(1)), good.clone(), NOW),
        ("refused", "revoked_epoch", revoked(Record::Epoch(NOW)), good.clone(), NOW),
        ("undecided", "no_snapshot", minter.cold_verifier(), good.clone(), NOW),
        ("undecided", "stale_snapshot", plain(), good.clone(), NOW + 61),
        ("undecided", "feed_fork", forked, good.clone(), NOW),
    ];
    for (outcome, code, verifier, token, now) in cases {
        let verdict = verifier.verify(&token, now);
        assert_eq!(verdict.code(), code);
        assert_eq!(verdict.is_valid(), outcome == "valid");
        check_shape(&verdict, outcome, &token);
    }
}

// Invariant 6: only a good token can be undecided; a bad one is refused in every state of the feed.
#[test]
fn a_bad_token_is_refused_even_if_a_good_one_is_undecided() {
    let minter = Minter::new("EdDSA");
    let revoked = feed::with_base(minter.cold_verifier(), vec![Record::Token(1)]);
    assert_eq!(revoked.verify(&minter.token(&claims()), NOW + 100).code(), "revoked_token");
    let cold = minter.cold_verifier();
    assert_eq!(
        cold.verify(&minter.token(&claims_with("aud", json!("x"))), NOW).code(),
        "wrong_audience"
    );
    let mut lenient = support::config(vec![minter.rules()]);
    lenient.feed.on_stale = OnStale::Allow;
    let mut lenient = Verifier::new(lenient).unwrap();
    lenient.set_keys(ISSUER, minter.keys());
    assert_eq!(lenient.verify(&minter.token(&claims()), NOW).code(), "no_snapshot");
}

/// V18: one code, one outcome, evidence, and no part of the token in the detail.
fn check_shape(verdict: &Verdict, outcome: &str, token: &str) {
    let json = serde_json::to_value(verdict).unwrap();
    assert_eq!(json["outcome"], outcome);
    assert_eq!(json["code"], verdict.code());
    assert!(json["evidence"].is_object());
    match outcome {
        "valid" => assert_eq!(json["claims"], claims()),
        _ => {
            let detail = json["detail"].as_str().unwrap();
            assert!(json.get("claims").is_none() && detail.len() < 100);
            assert!(token.split('.').all(|part| part.len() < 4 || !detail.contains(part)));
            assert!(!detail.contains("token-1") && !detail.contains("user-1"));
        }
    }
}

fn twin(signature: &[u8]) -> Vec<u8> {
    let signature = p256::ecdsa::Signature::from_slice(signature).unwrap();
    let (r, s) = (signature.r().to_bytes(), (-*signature.s()).to_bytes());
    p256::ecdsa::Signature::from_scalars(r, s).unwrap().to_bytes().to_vec()
}

/// The token with its segments, its signature and its base64 encoded in every other way.
fn spellings(token: &str) -> Vec<String> {
    let parts: Vec<&str> = token.split('.').collect();
    let mut all = vec![token.to_owned()];
    for at in 0..3 {
        let bytes = decode(parts[at]);
        let last = parts[at].len() - 1;
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=";
        let mut forms: Vec<String> =
            alphabet.chars().map(|end| format!("{}{end}", &parts[at][..last])).collect();
        forms.extend(alphabet.chars().map(|more| format!("{}{more}", parts[at])));
        forms.push(Base64::encode_string(&bytes));
        forms.push(Base64Url::encode_string(&bytes));
        forms.push(Base64UrlUnpadded::encode_string(&[&bytes[..], &[0]].concat()));
        forms.push(Base64UrlUnpadded::encode_string(&[&[0], &bytes[..]].concat()));
        forms.push(parts[at].replace('-', "+").replace('_', "/"));
        forms.push(parts[at].to_uppercase());
        forms.push(format!("{}\n{}", &parts[at][..20], &parts[at][20..]));
        if at == 2 {
            let signature = p256::ecdsa::Signature::from_slice(&bytes).unwrap();
            forms.push(encode(signature.to_der().as_bytes()));
            forms.push(encode(&[&bytes[32..], &bytes[..32]].concat()));
        }
        forms.retain(|form| form != parts[at]);
        for form in forms {
            let mut parts = parts.clone();
            parts[at] = &form;
            all.push(parts.join("."));
        }
    }
    all
}
