//! Revocation by any claims: the look-ups of a verifier that was configured before the selector
//! existed.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use std::collections::BTreeMap;

use offswitch_verifier::snapshot::{
    ClaimValue, Content, Cutoff, Fingerprint, Fingerprinter, Floor,
};
use offswitch_verifier::snapshot::{Horizon, Horizons, IssuerRules, Position, Uses};
use offswitch_verifier::{CachingVerifier, Presentation, Staleness, Verifier};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::feed::{SALT, rules, selector, signer};
use support::{ISSUER, Minter, NOW, claims, claims_with, claims_without, lax_rules};

/// A revocation: claims by path with their values, and a cut-off or none.
type Revoked = (BTreeMap<String, Value>, Option<u64>);

fn value_of(value: &Value) -> ClaimValue<'_> {
    match value {
        Value::Bool(value) => ClaimValue::Bool(*value),
        Value::Number(number) => ClaimValue::Integer(number.to_string().parse().unwrap()),
        value => value.as_str().unwrap().into(),
    }
}

/// A base, or a delta if `from` is above 0, with these revocations.
fn snapshot(from: u64, to: u64, revoked: &[Revoked], horizons: &Horizons) -> Vec<u8> {
    let mut rules = IssuerRules { horizons: horizons.clone(), ..rules(0) };
    let (mut denied, mut cutoffs) = (vec![], BTreeMap::new());
    for (claims, not_before) in revoked {
        let selector = selector(&claims.keys().map(String::as_str).collect::<Vec<_>>());
        let values: Vec<ClaimValue<'_>> = claims.values().map(value_of).collect();
        let id = Fingerprinter::new(SALT, ISSUER, &selector).of(&values);
        rules.list(&selector, not_before.map_or(Uses::EXACT, |_| Uses::CUTOFF));
        match not_before {
            None => denied.push(id),
            Some(not_before) => {
                let held: &mut Cutoff = cutoffs.entry(id.0).or_default();
                *held = held.join(Cutoff { minimum_version: 0, not_before: *not_before });
            }
        }
    }
    let floor = |seq| Floor { position: Position { era: 1, seq }, ..Floor::default() };
    let cutoffs: Vec<(u64, Cutoff)> = cutoffs.into_iter().collect();
    signer().sign(&Content {
        from: floor(from),
        to: floor(to),
        issued_at: NOW,
        valid_until: NOW + 60,
        salt: SALT,
        issuers: vec![rules],
        denied: &Fingerprint::sorted(denied),
        cutoffs: &cutoffs,
        ..Content::default()
    })
}

fn verifier(minter: &Minter, revoked: &[Revoked]) -> Verifier {
    let mut verifier = minter.verifier_with(lax_rules(minter));
    verifier.apply(snapshot(0, 1, revoked, &Horizons::default()), NOW).unwrap();
    verifier
}

fn revoked(claims: Value, not_before: Option<u64>) -> Revoked {
    (serde_json::from_value(claims).unwrap(), not_before)
}

fn with(more: Value) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

// I07: a verifier knows a selector only from the feed.
#[test]
fn a_selector_that_did_not_exist_at_configuration_is_enforced() {
    let minter = Minter::new("EdDSA");
    let of_client =
        |client: &str| minter.token(&with(json!({"client_id": client, "iat": NOW - 1})));
    let mut verifier = verifier(&minter, &[]);
    assert_eq!(verifier.verify(&of_client("c-1"), NOW).code(), "valid");
    let delta =
        snapshot(1, 2, &[revoked(json!({"client_id": "c-1"}), Some(NOW))], &Horizons::default());
    verifier.apply(delta, NOW).unwrap();
    let verdict = verifier.verify(&of_client("c-1"), NOW);
    assert_eq!(verdict.code(), "revoked_claims");
    let verdict = serde_json::to_value(verdict).unwrap();
    assert_eq!(verdict["detail"], "tokens with its value of client_id were revoked");
    assert_eq!(verifier.verify(&of_client("c-2"), NOW).code(), "valid");
    let later = minter.token(&with(json!({"client_id": "c-1", "iat": NOW})));
    assert_eq!(verifier.verify(&later, NOW).code(), "valid");
}

// I07: a new selector also applies to remembered tokens.
#[test]
fn a_token_seen_before_is_checked_against_a_new_selector() {
    let minter = Minter::new("EdDSA");
    let token = minter.token(&with(json!({"groups": ["a", "b"]})));
    let mut caching = CachingVerifier::new(verifier(&minter, &[]));
    let verify = |caching: &mut CachingVerifier| {
        caching
            .verify(token.as_bytes(), Presentation::Bearer, NOW, 7, Staleness::Configured)
            .map(drop)
    };
    verify(&mut caching).unwrap();
    assert_eq!(caching.judge(7, Presentation::Bearer, NOW, Staleness::Configured), Some(Ok(false)));
    let delta =
        |from, claims| snapshot(from, from + 1, &[revoked(claims, None)], &Horizons::default());
    caching.apply(delta(1, json!({"groups": "c"})), NOW).0.unwrap();
    // Its claims must be read again; the remembered state is not enough for a verdict.
    assert_eq!(caching.judge(7, Presentation::Bearer, NOW, Staleness::Configured), None);
    verify(&mut caching).unwrap();
    assert_eq!(caching.judge(7, Presentation::Bearer, NOW, Staleness::Configured), Some(Ok(false)));
    // The selector is the same: the remembered fingerprints are enough.
    caching.apply(delta(2, json!({"groups": "b"})), NOW).0.unwrap();
    let judged =
        caching.judge(7, Presentation::Bearer, NOW, Staleness::Configured).unwrap().unwrap_err();
    assert!(matches!(
        judged,
        offswitch_verifier::Objection::Refused(offswitch_verifier::Refusal::RevokedClaims { .. })
    ));
}

// I07, I15: every type that a revocation can name, byte for byte; any other value at the path is
// refused.
#[test]
fn a_value_matches_only_in_its_type_and_its_bytes() {
    let minter = Minter::new("EdDSA");
    let values = [
        json!("7"),
        json!(7),
        json!(-7),
        json!(0),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(9_007_199_254_740_993u64),
        json!(true),
        json!(false),
        json!("true"),
        json!("\u{e9}"),
        json!("e\u{301}"),
        json!("A"),
        json!("a"),
        json!("\u{0}"),
        json!("x".repeat(256)),
    ];
    for one in &values {
        let verifier = verifier(&minter, &[revoked(json!({"c": one}), None)]);
        for other in &values {
            let code = verifier.verify(&minter.token(&with(json!({"c": other}))), NOW).code();
            assert_eq!(
                code,
                if one == other { "revoked_claims" } else { "valid" },
                "{one} {other}"
            );
        }
        assert_eq!(verifier.verify(&minter.token(&claims()), NOW).code(), "valid");
        assert_eq!(verifier.verify(&minter.token(&with(json!({"c": ""}))), NOW).code(), "valid");
        for odd in [
            json!(null),
            json!(1.5),
            json!(1e300),
            json!({}),
            json!([1]),
            json!(["a", null]),
            json!([["a"]]),
            json!("x".repeat(257)),
            json!(["x".repeat(257)]),
            json!(vec!["a"; 65]),
        ] {
            let verdict = verifier.verify(&minter.token(&with(json!({"c": odd}))), NOW);
            assert_eq!(verdict.code(), "malformed", "{odd}");
            let detail =
                serde_json::to_value(verdict).unwrap()["detail"].as_str().unwrap().to_owned();
            assert!(detail.starts_with("c is "), "{detail}");
        }
    }
}

// I07: an array matches by any element, only in selectors of one claim.
#[test]
fn an_array_matches_by_any_element() {
    let minter = Minter::new("EdDSA");
    let single = verifier(&minter, &[revoked(json!({"aud": "api", "/o/g": "x"}), None)]);
    let token = |claims| minter.token(&with(claims));
    assert_eq!(
        single.verify(&token(json!({"aud": "api", "o": {"g": "x"}})), NOW).code(),
        "revoked_claims"
    );
    // In a pair an array has no value to match, so it is refused.
    assert_eq!(single.verify(&token(json!({"o": {"g": ["x"]}})), NOW).code(), "malformed");
    let groups = verifier(&minter, &[revoked(json!({"/o/g": "x"}), None)]);
    let many: Vec<String> = (0..63).map(|number| number.to_string()).collect();
    for (group, code) in [
        (json!([]), "valid"),
        (json!(["a", "b"]), "valid"),
        (json!(["a", "x"]), "revoked_claims"),
        (json!("x"), "revoked_claims"),
        (json!([many.clone(), vec!["x".to_owned()]].concat()), "revoked_claims"),
    ] {
        assert_eq!(groups.verify(&token(json!({"o": {"g": group}})), NOW).code(), code, "{group}");
    }
    assert_eq!(groups.verify(&token(json!({"o": {"h": "x"}})), NOW).code(), "valid");
    assert_eq!(groups.verify(&token(json!({"/o/g": "x"})), NOW).code(), "valid");
    // A value that is not an object on the path does not count as absent.
    assert_eq!(groups.verify(&token(json!({"o": "x"})), NOW).code(), "malformed");
}

// I06: a token that lives longer than the horizon of its issuer allows is refused, and so is one
// without a lifetime.
#[test]
fn a_horizon_limits_a_tokens_life_by_when_it_was_issued() {
    let minter = Minter::new("EdDSA");
    let mut verifier = minter.verifier_with(lax_rules(&minter));
    let mut horizons = Horizons::constant(3600);
    horizons.add(Horizon { issued_from: NOW - 100, seconds: 600 });
    verifier.apply(snapshot(0, 1, &[], &horizons), NOW).unwrap();
    let code = |verifier: &Verifier, iat: u64, seconds: u64| {
        let token = minter.token(&with(json!({"iat": iat, "exp": iat + seconds})));
        verifier.verify(&token, NOW).code()
    };
    for (iat, seconds, expected) in [
        (NOW - 101, 3600, "valid"),
        (NOW - 101, 3601, "lifetime_too_long"),
        (NOW - 100, 600, "valid"),
        (NOW - 100, 601, "lifetime_too_long"),
        (NOW, 601, "lifetime_too_long"),
    ] {
        assert_eq!(code(&verifier, iat, seconds), expected, "{iat} {seconds}");
    }
    let token = minter.token(&claims_without("iat"));
    assert_eq!(verifier.verify(&token, NOW).code(), "missing_claim");
    // The same token, remembered, after the horizon was raised.
    let mut caching = CachingVerifier::new(verifier);
    let long = minter.token(&with(json!({"iat": NOW, "exp": NOW + 900})));
    let refused = caching
        .verify(long.as_bytes(), Presentation::Bearer, NOW, 1, Staleness::Configured)
        .unwrap_err();
    assert!(matches!(
        refused,
        offswitch_verifier::Objection::Refused(offswitch_verifier::Refusal::LifetimeTooLong {
            seconds: 900,
            limit_seconds: 600
        })
    ));
    let mut raised = Horizons::default();
    raised.add(Horizon { issued_from: NOW, seconds: 1800 });
    caching.apply(snapshot(1, 2, &[], &raised), NOW).0.unwrap();
    assert!(
        caching
            .verify(long.as_bytes(), Presentation::Bearer, NOW, 1, Staleness::Configured)
            .is_ok()
    );
}

// I09: an epoch, a horizon and a selector belong to one issuer.
#[test]
fn rules_of_another_issuer_apply_to_no_token_of_this_one() {
    let minter = Minter::new("EdDSA");
    let mut other = IssuerRules { epoch: NOW, ..IssuerRules::new("https://other.example") };
    other.horizons.add(Horizon { issued_from: 0, seconds: 1 });
    other.list(&selector(&["client_id"]), Uses::EXACT);
    let id = Fingerprint::of_claim(SALT, "https://other.example", "client_id", "c-1");
    let to = Floor { position: Position { era: 1, seq: 1 }, ..Floor::default() };
    let content = Content {
        from: Floor { position: Position { era: 1, seq: 0 }, ..Floor::default() },
        to,
        issued_at: NOW,
        valid_until: NOW + 60,
        salt: SALT,
        issuers: vec![other, rules(0)],
        denied: &[id.0],
        ..Content::default()
    };
    let mut verifier = minter.cold_verifier();
    verifier.apply(signer().sign(&content), NOW).unwrap();
    let token = minter.token(&claims_with("client_id", json!("c-1")));
    assert_eq!(verifier.verify(&token, NOW).code(), "valid");
}

/// A base or delta as [`snapshot`] makes it, signed at another time, in which only these selectors
/// are listed.
fn listing(from: u64, to: u64, issued_at: u64, rules: IssuerRules, denied: &[u64]) -> Vec<u8> {
    let floor = |seq| Floor { position: Position { era: 1, seq }, ..Floor::default() };
    signer().sign(&Content {
        from: floor(from),
        to: floor(to),
        issued_at,
        valid_until: issued_at + 60,
        salt: SALT,
        issuers: vec![rules],
        denied,
        ..Content::default()
    })
}

// R21: a base of a log that just lost a selector undoes no revocation: the selector stays with its
// entry.
#[test]
fn a_base_of_a_log_that_lost_a_selector_leaves_it_in_force() {
    let minter = Minter::new("EdDSA");
    let mut verifier = verifier(&minter, &[]);
    let token = minter.token(&with(json!({"client_id": "c-1"})));
    let delta = snapshot(1, 2, &[revoked(json!({"client_id": "c-1"}), None)], &Horizons::default());
    verifier.apply(delta, NOW).unwrap();
    verifier.apply(listing(0, 3, NOW + 1, rules(0), &[]), NOW + 1).unwrap();
    assert_eq!(verifier.verify(&token, NOW + 1).code(), "revoked_claims");
    // A selector that a later base lacks has expired there: verdicts no longer look it up.
    let mut later = self::verifier(&minter, &[]);
    let delta = snapshot(1, 2, &[revoked(json!({"client_id": "c-1"}), None)], &Horizons::default());
    later.apply(delta, NOW).unwrap();
    later.apply(listing(0, 3, NOW + 601, rules(0), &[]), NOW + 601).unwrap();
    assert_eq!(later.feed().rules_of(ISSUER).unwrap().selectors.len(), 3);
}

// Invariant 2: no base undoes an epoch or a horizon.
#[test]
fn a_base_without_an_epoch_or_a_horizon_undoes_neither() {
    let minter = Minter::new("EdDSA");
    let mut verifier = verifier(&minter, &[]);
    let strict = IssuerRules { horizons: Horizons::constant(600), ..rules(NOW - 50) };
    verifier.apply(listing(1, 2, NOW, strict, &[]), NOW).unwrap();
    verifier.apply(listing(0, 3, NOW + 1000, rules(0), &[]), NOW + 1000).unwrap();
    let now = NOW + 1000;
    let old = minter.token(&with(json!({"iat": NOW - 51, "exp": now + 60})));
    assert_eq!(verifier.verify(&old, now).code(), "lifetime_too_long");
    let rules = verifier.feed().rules_of(ISSUER).unwrap();
    assert_eq!((rules.epoch, rules.horizons.limit_at(now)), (NOW - 50, Some(600)));
}

// Every verdict looks up each selector: deltas with too many selectors make a verifier request a
// base, and a base with as many does not make it request another one.
#[test]
fn more_selectors_than_a_base_has_are_a_reason_to_fetch_one() {
    let minter = Minter::new("EdDSA");
    let mut verifier = verifier(&minter, &[]);
    let many = |count: usize| {
        let mut many = rules(0);
        for number in 0..count {
            many.list(&selector(&[&format!("c{number}")]), Uses::EXACT);
        }
        many
    };
    verifier.apply(listing(1, 2, NOW, many(5), &[]), NOW).unwrap();
    assert!(verifier.feed().since().is_some());
    verifier.apply(listing(2, 3, NOW, many(6), &[]), NOW).unwrap();
    assert_eq!(verifier.feed().since(), None);
    verifier.apply(listing(0, 4, NOW, many(6), &[]), NOW).unwrap();
    assert!(verifier.feed().since().is_some());
}

/// The naive evaluation: is there a revocation all of whose claims the token has?
fn is_revoked(token: &Value, all: &[Revoked]) -> bool {
    let at = |path: &str| match path.starts_with('/') {
        true => token.pointer(path),
        false => token.get(path),
    };
    let iat = token["iat"].as_u64().unwrap();
    all.iter().any(|(claims, not_before)| {
        not_before.is_none_or(|not_before| iat < not_before)
            && claims.iter().all(|(path, value)| match at(path) {
                Some(Value::Array(items)) if claims.len() == 1 => items.contains(value),
                found => found == Some(value),
            })
    })
}

fn some_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0..3u8).prop_map(|number| json!(number)),
        (0..3u8).prop_map(|number| json!(number.to_string())),
        any::<bool>().prop_map(Value::Bool),
    ]
}

fn some_revocation() -> impl Strategy<Value = Revoked> {
    let path = prop::sample::select(vec!["a", "b", "/o/a", "/o/b", "sub"]);
    let not_before = prop::option::of(NOW - 3..NOW + 3);
    (prop::collection::btree_map(path.prop_map(str::to_owned), some_value(), 1..3), not_before)
}

fn some_token() -> impl Strategy<Value = Value> {
    let value = || prop::option::of(some_value());
    let list = prop::collection::vec((0..3u8).prop_map(|one| json!(one.to_string())), 0..3);
    (value(), prop::option::of(list), value(), value(), NOW - 4..NOW + 1).prop_map(
        |(a, list, inner, other, iat)| {
            let mut claims = json!({"iat": iat, "sub": "1", "o": {}});
            for (within, name, value) in [("", "a", a), ("/o", "a", inner), ("/o", "b", other)] {
                if let Some(value) = value {
                    claims.pointer_mut(within).unwrap()[name] = value;
                }
            }
            if let Some(list) = list {
                claims["b"] = json!(list);
            }
            with(claims)
        },
    )
}

proptest! {
    // I07: random revocations in base and deltas against a naive evaluation of the claims.
    #[test]
    fn verdicts_agree_with_a_naive_evaluation_of_the_claims(
        base in prop::collection::vec(some_revocation(), 0..5),
        deltas in prop::collection::vec(prop::collection::vec(some_revocation(), 1..3), 0..4),
        tokens in prop::collection::vec(some_token(), 1..8),
    ) {
        let minter = Minter::new("EdDSA");
        let mut verifier = verifier(&minter, &base);
        let mut all = base;
        for (from, delta) in (1..).zip(deltas) {
            verifier.apply(snapshot(from, from + 1, &delta, &Horizons::default()), NOW).unwrap();
            all.extend(delta);
        }
        for token in tokens {
            let code = verifier.verify(&minter.token(&token), NOW).code();
            // A list at a path of a pair is refused, also if the pair does not match.
            let is_pair = |(claims, _): &Revoked| claims.len() > 1 && claims.contains_key("b");
            if token["b"].is_array() && all.iter().any(is_pair) {
                prop_assert_eq!(code, "malformed");
            } else {
                prop_assert_eq!(code == "valid", !is_revoked(&token, &all), "{} {}", code, token);
            }
        }
    }
}
