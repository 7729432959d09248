//! Every check separately.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use offswitch_verifier::{Check, Jws, Objection, Presentation, Step, Verifier};
use serde_json::json;
use support::feed::{History, Record};
use support::{Minter, NOW, claims, claims_with};

// S01: the first check that does not pass is the verdict, for every token.
#[test]
fn the_first_check_that_does_not_pass_is_the_verdict() {
    let minter = Minter::new("EdDSA");
    let mut verifier = minter.cold_verifier();
    verifier.apply(history().base(2), NOW).unwrap();
    let good = minter.token(&claims_with("ver", json!(9)));
    let other = Minter { kid: "key-9", ..Minter::new("EdDSA") }.token(&claims());
    let tokens = [
        good.clone(),
        other,
        String::new(),
        good.replace('.', ".."),
        format!("{}AAAA", good.rsplit_once('.').unwrap().0),
        minter.sign(&json!({ "alg": "none" }), &claims()),
        minter.sign(&json!({ "alg": "ES256", "kid": "key-1" }), &claims()),
        minter.sign(&json!({ "alg": "EdDSA", "kid": "key-1", "typ": "JWT" }), &claims()),
        minter.sign_bytes(minter.header().to_string().as_bytes(), b"[]"),
    ];
    let wrong = [
        ("iss", json!("https://other.example")),
        ("aud", json!("other")),
        ("sub", json!(5)),
        ("jti", json!("token-2")),
        ("exp", json!(NOW - 31)),
        ("iat", json!(NOW + 31)),
    ];
    let changed = wrong.map(|(name, value)| minter.token(&claims_with(name, value)));
    // I14
    let bound = ["0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", "short"].map(|jkt| {
        let mut claims = claims_with("cnf", json!({ "jkt": jkt }));
        claims["jti"] = json!("token-3");
        minter.token(&claims)
    });
    for token in tokens.iter().chain(&changed).chain(&bound) {
        let steps = explain(&verifier, token);
        let checks: Vec<Check> = steps.iter().map(|step| step.check).collect();
        assert_eq!(checks, Check::ALL);
        let failed = steps.iter().find(|step| step.finding != Some(Ok(())));
        let code = failed.map_or("valid", |step| code_of(step));
        assert_eq!(code, verifier.verify(token, NOW).code(), "{failed:?}");
    }
}

// The failed claim is data: a page need not parse the message.
#[test]
fn a_failed_step_names_the_wrong_claim() {
    let minter = Minter::new("EdDSA");
    let mut verifier = minter.cold_verifier();
    verifier.apply(history().base(2), NOW).unwrap();
    for (name, value, check) in [
        ("jti", json!(5), Check::Claims),
        ("aud", json!({}), Check::Claims),
        ("aud", json!("other"), Check::Audience),
        ("iss", json!("https://other.example"), Check::Issuer),
        ("sub", json!(""), Check::RequiredClaims),
        ("exp", json!(NOW - 31), Check::Expiry),
    ] {
        let steps = explain(&verifier, &minter.token(&claims_with(name, value)));
        let failed = steps.iter().find(|step| step.finding != Some(Ok(()))).unwrap();
        let Some(Err(Objection::Refused(refusal))) = &failed.finding else { unreachable!() };
        assert_eq!((failed.check, refusal.claim()), (check, Some(name)), "{refusal}");
    }
    let other = Minter { kid: "key-9", ..Minter::new("EdDSA") }.token(&claims());
    let steps = explain(&verifier, &other);
    let failed = steps.iter().find(|step| step.finding != Some(Ok(()))).unwrap();
    let Some(Err(Objection::Refused(refusal))) = &failed.finding else { unreachable!() };
    assert_eq!((failed.check, refusal.claim()), (Check::Key, None));
}

// One call reports all problems of a token.
#[test]
fn all_problems_after_the_first_one_are_reported_too() {
    let minter = Minter::new("ES256");
    let mut verifier = minter.cold_verifier();
    verifier.apply(history().base(2), NOW).unwrap();
    verifier.apply(history().range(2, 3, NOW), NOW).unwrap();
    verifier.apply(history().range(3, 4, NOW), NOW).unwrap();
    let mut claims = claims();
    for (name, value) in [
        ("aud", json!("other")),
        ("exp", json!(NOW - 31)),
        ("sub", json!("user-2")),
        ("sid", json!("session-2")),
        ("jti", json!("token-2")),
    ] {
        claims[name] = value;
    }
    let steps = explain(&verifier, &minter.token(&claims));
    let failed = steps.iter().filter(|step| step.finding != Some(Ok(())));
    let reported: Vec<_> = failed
        .map(|step| (step.check.name(), code_of(step), step.position.map(|at| at.to_string())))
        .collect();
    assert_eq!(
        reported,
        [
            ("audience", "wrong_audience", None),
            ("expiry", "expired", None),
            // The entries of the base were revoked at its end at the latest; later ones, when they
            // came.
            ("token", "revoked_token", Some("1.2".to_owned())),
            ("session", "revoked_session", Some("1.3".to_owned())),
            ("user", "revoked_user", Some("1.4".to_owned())),
        ]
    );
}

// A verifier without a snapshot cannot say that a token is not revoked.
#[test]
fn without_a_snapshot_no_revocation_is_ruled_out() {
    let minter = Minter::new("EdDSA");
    let steps = explain(&minter.cold_verifier(), &minter.token(&claims()));
    let (before, after): (Vec<_>, Vec<_>) =
        steps.iter().partition(|step| step.check < Check::RevokedKey);
    assert!(before.iter().all(|step| step.finding == Some(Ok(()))));
    // The scheme that the token is sent with does not depend on the feed.
    let mut of_feed = after.iter().filter(|step| step.check != Check::Binding);
    assert!(of_feed.all(|step| code_of(step) == "no_snapshot"));
}

fn history() -> History {
    let records = vec![Record::Token(1), Record::Token(2), Record::Session(2), Record::User(2, 4)];
    History::new(1, records)
}

fn explain(verifier: &Verifier, token: &str) -> Vec<Step> {
    verifier.explain(Jws::parse(token), Presentation::Bearer, NOW)
}

fn code_of(step: &Step) -> &'static str {
    match &step.finding {
        None => "not reached",
        Some(Ok(())) => "passed",
        Some(Err(Objection::Refused(refusal))) => refusal.code(),
        Some(Err(Objection::Undecided(undecided))) => undecided.code(),
    }
}
