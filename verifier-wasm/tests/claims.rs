//! Claims of the wrong type are refused, never treated as absent; times at their limits.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use offswitch_verifier::{AudienceRule, IssuerConfig, UserRule, Verifier, VerifierConfig};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{
    AUDIENCE, ISSUER, Minter, NOW, claims, claims_with, claims_without, feed, lax_rules,
};

// V08, X14, X28: every claim this crate knows, with every JSON type, under the most lenient and the
// strictest rules: either the type is right or the token is malformed.
#[test]
fn a_known_claim_of_the_wrong_type_is_malformed_whether_or_not_it_is_required() {
    let minter = Minter::new("EdDSA");
    let values = [
        json!(null),
        json!(true),
        json!(false),
        json!(""),
        json!("1"),
        json!("1800000000"),
        json!(0),
        json!(1.5),
        json!(-1),
        json!([]),
        json!([1]),
        json!([null]),
        json!([["api"]]),
        json!({}),
        json!({ "exp": 1 }),
    ];
    let required = ["aud", "exp", "iat", "iss", "jti", "nbf", "sid", "sub", "ver"];
    let all = required.into_iter().chain(["cnf"]);
    let strict = IssuerConfig {
        required_claims: required.map(str::to_owned).to_vec(),
        ..lax_rules(&minter)
    };
    for rules in [lax_rules(&minter), strict, minter.rules()] {
        let required = rules.required_claims.clone();
        let verifier = feed::with_base(minter.verifier_with(rules), vec![]);
        for name in all.clone() {
            for value in &values {
                let typed = match name {
                    "aud" => value.is_string() || *value == json!([]),
                    "exp" | "iat" | "nbf" => *value == json!(0) || *value == json!(1.5),
                    "ver" => *value == json!(0),
                    "cnf" => value.is_object(),
                    "iss" => value.as_str().is_some_and(|text| !text.is_empty()),
                    // An empty id counts as absent.
                    _ => value.is_string(),
                };
                let mut claims = claims();
                claims["nbf"] = json!(NOW);
                claims[name] = value.clone();
                let code = verifier.verify(&minter.token(&claims), NOW).code();
                assert_eq!(code == "malformed", !typed, "{name}: {value} is {code}, {required:?}");
            }
        }
    }
}

// V08: another issuer's "ver" may have any meaning, and is not read then.
#[test]
fn ver_is_not_read_if_users_are_judged_by_iat() {
    let minter = Minter::new("EdDSA");
    let rules = IssuerConfig { user_rule: UserRule::IssuedAt, ..lax_rules(&minter) };
    let verifier = feed::with_base(minter.verifier_with(rules), vec![]);
    for value in [json!("1.0"), json!(null), json!([]), json!(-1)] {
        let token = minter.token(&claims_with("ver", value));
        assert_eq!(verifier.verify(&token, NOW).code(), "valid");
    }
}

// V08, X28: a token without a claim that makes it revocable.
#[test]
fn a_token_without_a_required_claim_is_refused_with_its_name() {
    let minter = Minter::new("EdDSA");
    let all = ["aud", "exp", "iat", "jti", "nbf", "sid", "sub", "ver"];
    let rules =
        IssuerConfig { required_claims: all.map(str::to_owned).to_vec(), ..lax_rules(&minter) };
    let strict = feed::with_base(minter.verifier_with(rules), vec![]);
    let lax = feed::with_base(minter.verifier_with(lax_rules(&minter)), vec![]);
    for name in all {
        let mut claims = claims_with("nbf", json!(NOW));
        claims.as_object_mut().unwrap().remove(name);
        let token = minter.token(&claims);
        let verdict = serde_json::to_value(strict.verify(&token, NOW)).unwrap();
        assert_eq!(verdict["code"], "missing_claim");
        assert_eq!(verdict["detail"], format!("the claim {name} is missing"));
        let code = if name == "exp" { "missing_claim" } else { "valid" };
        assert_eq!(lax.verify(&token, NOW).code(), code, "{name}");
    }
}

// V10, X15: which values are a NumericDate.
#[test]
fn a_time_is_a_finite_number_from_0_up_to_2_to_the_53() {
    let minter = Minter::new("EdDSA");
    let verifier = feed::with_base(minter.verifier_with(lax_rules(&minter)), vec![]);
    let code = |name: &str, number: &str, now: u64| {
        let claims = claims_with(name, json!("NUMBER")).to_string();
        let claims = claims.replace("\"NUMBER\"", number);
        let header = minter.header().to_string();
        verifier.verify(&minter.sign_bytes(header.as_bytes(), claims.as_bytes()), now).code()
    };
    let malformed = [
        "-1",
        "-0.5",
        "-1e-300",
        "9007199254740992",
        "9007199254740993",
        "9007199254740992.0",
        "1e16",
        "1e50",
        "1e308",
        "1e309",
        "1e999999999",
        "-1e309",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "100000000000000000000000000000000000000000000000000",
        "NaN",
        "Infinity",
        "0x10",
        "1_000",
        "\"1900000000\"",
        "1900000000.",
        ".5",
        "+1900000000",
    ];
    for name in ["exp", "iat", "nbf"] {
        for number in malformed {
            assert_eq!(code(name, number, NOW), "malformed", "{name} {number}");
        }
    }
    for (number, seconds) in [
        ("1900000000", 1_900_000_000),
        ("1900000000.0", 1_900_000_000),
        ("1900000000.999999", 1_900_000_000),
        ("1.9e9", 1_900_000_000),
        ("19e8", 1_900_000_000),
        ("9007199254740991", 9_007_199_254_740_991),
        ("0", 0),
        ("0.9", 0),
        ("1e-300", 0),
    ] {
        // The longest accepted lifetime here is a week; a token that expires before it was issued
        // has none.
        let expected = if seconds > NOW { "lifetime_too_long" } else { "expired" };
        assert_eq!(code("exp", number, NOW), expected, "{number}");
        let expected = if seconds <= NOW { "valid" } else { "not_yet_valid" };
        assert_eq!(code("nbf", number, NOW), expected, "{number}");
        let expected = if seconds <= NOW { "lifetime_too_long" } else { "not_yet_valid" };
        assert_eq!(code("iat", number, NOW), expected, "{number}");
    }
    for number in ["1800000100", "1800000100.0", "1800000100.999", "18000001e2"] {
        // With a feed this old a token that is not expired is at best stale.
        assert_eq!(code("exp", number, NOW + 99), "stale_snapshot", "{number}");
        assert_eq!(code("exp", number, NOW + 100), "expired", "{number}");
        assert_eq!(code("iat", number, NOW + 100), "stale_snapshot", "{number}");
        assert_eq!(code("iat", number, NOW + 99), "not_yet_valid", "{number}");
    }
    // A negative zero is zero, not a negative number.
    assert_eq!(code("nbf", "-0.0", NOW), "valid");
}

// V10: each limit, one second on either side, for every leeway that a configuration may have.
#[test]
fn a_token_is_valid_from_its_start_to_its_end_plus_or_minus_the_leeway() {
    let minter = Minter::new("EdDSA");
    for leeway_seconds in [0, 1, 30, 300] {
        let rules = IssuerConfig { leeway_seconds, ..lax_rules(&minter) };
        let verifier = feed::with_base(minter.verifier_with(rules), vec![]);
        let code = |name: &str, value: u64| {
            verifier.verify(&minter.token(&claims_with(name, json!(value))), NOW).code()
        };
        assert_eq!(code("exp", NOW - leeway_seconds + 1), "valid");
        assert_eq!(code("exp", NOW - leeway_seconds), "expired");
        assert_eq!(code("exp", NOW - leeway_seconds - 1), "expired");
        for name in ["nbf", "iat"] {
            assert_eq!(code(name, NOW + leeway_seconds - 1), "valid");
            assert_eq!(code(name, NOW + leeway_seconds), "valid");
            assert_eq!(code(name, NOW + leeway_seconds + 1), "not_yet_valid");
        }
    }
}

// V10, X15: the smallest and largest clock values neither wrap nor panic.
#[test]
fn the_largest_and_the_smallest_clock_do_not_wrap() {
    let minter = Minter::new("EdDSA");
    let verifier = feed::verifier(&minter);
    let last = (1u64 << 53) - 1;
    for (exp, now, code) in [
        (last, u64::MAX, "expired"),
        (last, i64::MAX as u64, "expired"),
        // The feed shows that it is later than the clock says.
        (0, 0, "clock_skew"),
        (0, u64::MAX, "expired"),
        (last, 0, "not_yet_valid"),
    ] {
        let mut claims = claims_with("exp", json!(exp));
        claims["iat"] = json!(exp.saturating_sub(60).max(NOW - 60));
        let token = minter.token(&claims);
        assert_eq!(verifier.verify(&token, now).code(), code, "{exp} {now}");
    }
    // Without iat the remaining time counts.
    let verifier = feed::with_base(minter.verifier_with(lax_rules(&minter)), vec![]);
    let mut claims = claims_with("exp", json!(last));
    claims.as_object_mut().unwrap().remove("iat");
    for (now, code) in [(0, "lifetime_too_long"), (NOW, "lifetime_too_long"), (u64::MAX, "expired")]
    {
        assert_eq!(verifier.verify(&minter.token(&claims), now).code(), code, "{now}");
    }
    let token = minter.token(&claims_with("nbf", json!(last)));
    assert_eq!(verifier.verify(&token, u64::MAX).code(), "expired");
}

// V10, X16: limits of the configuration, as numbers and as values that JavaScript might send.
#[test]
fn a_configuration_with_an_odd_number_is_refused() {
    let minter = Minter::new("EdDSA");
    let good = serde_json::to_value(support::config(vec![minter.rules()])).unwrap();
    let with = |path: &str, value: &str| {
        let mut config = good.clone();
        *config.pointer_mut(path).unwrap() = json!("VALUE");
        VerifierConfig::from_json(&config.to_string().replace("\"VALUE\"", value))
    };
    let odd = [
        "-1",
        "0.5",
        "30.0",
        "1e309",
        "NaN",
        "Infinity",
        "-Infinity",
        "null",
        "\"30\"",
        "[]",
        "{}",
        "true",
        "18446744073709551616",
        "18446744073709551615",
        "9007199254740992",
    ];
    for value in odd {
        assert!(with("/issuers/0/leewaySeconds", value).is_err(), "{value}");
        assert!(with("/feed/maxStaleness", value).is_err(), "{value}");
        assert!(with("/issuers/0/maxLifetime", value).is_err(), "{value}");
    }
    for (path, good, bad) in [
        ("/issuers/0/leewaySeconds", "0", "301"),
        ("/issuers/0/leewaySeconds", "300", "3600"),
        ("/feed/maxStaleness", "1", "0"),
        ("/feed/maxStaleness", "86400", "86401"),
        ("/issuers/0/maxLifetime", "1", "0"),
        ("/issuers/0/maxLifetime", "31536000", "31536001"),
    ] {
        assert!(with(path, good).is_ok(), "{path} {good}");
        let problems = with(path, bad).unwrap_err();
        let field = path[1..].replace("/0/", "[0].").replace('/', ".");
        assert_eq!(problems.iter().map(|one| &one.field).collect::<Vec<_>>(), [&field]);
    }
}

// X04, X16, X22, V04: values that would disable a check, or turn it into a pattern, are refused.
#[test]
fn a_configuration_that_would_check_too_little_is_refused() {
    let minter = Minter::new("EdDSA");
    let good = serde_json::to_value(support::config(vec![minter.rules()])).unwrap();
    assert!(VerifierConfig::from_json(&good.to_string()).is_ok());
    for (path, value) in [
        ("/issuers", json!([])),
        ("/issuers", json!(null)),
        ("/issuers/0/issuer", json!("")),
        ("/issuers/0/issuer", json!(null)),
        ("/issuers/0/issuer", json!({ "pattern": ".*" })),
        ("/issuers/0/audience", json!([])),
        ("/issuers/0/audience", json!([""])),
        ("/issuers/0/audience", json!(null)),
        ("/issuers/0/audience", json!({ "pattern": ".*" })),
        ("/issuers/0/algorithms", json!([])),
        ("/issuers/0/algorithms", json!(["none"])),
        ("/issuers/0/algorithms", json!(["eddsa"])),
        ("/issuers/0/algorithms", json!(["EdDSA", "HS256"])),
        ("/issuers/0/types", json!([])),
        ("/issuers/0/requiredClaims", json!([])),
        ("/issuers/0/requiredClaims", json!(["iat", "jti"])),
        ("/issuers/0/requiredClaims", json!(["exp", "anything"])),
        ("/issuers/0/userRule", json!("none")),
        ("/feed/id", json!("")),
        ("/feed/onStale", json!("ignore")),
        ("/feed/onStale", json!(true)),
        ("/feed/publicKeys", json!([])),
        ("/feed/publicKeys", json!([""])),
        ("/feed/publicKeys", json!([support::encode(&[0; 32])])),
        ("/feed/publicKeys", json!([support::encode(&[1; 31])])),
        ("/feed/publicKeys", json!(vec![good["feed"]["publicKeys"][0].clone(); 9])),
    ] {
        let mut config = good.clone();
        *config.pointer_mut(path).unwrap() = value.clone();
        assert!(VerifierConfig::from_json(&config.to_string()).is_err(), "{path}: {value}");
    }
    for path in ["", "/issuers/0", "/feed"] {
        let mut config = good.clone();
        config.pointer_mut(path).unwrap()["allowUnsigned"] = json!(true);
        assert!(VerifierConfig::from_json(&config.to_string()).is_err(), "{path}");
    }
    let mut one = good.clone();
    one["issuers"][0]["audience"] = json!("api");
    let audience = VerifierConfig::from_json(&one.to_string()).unwrap().issuers[0].audience.clone();
    assert_eq!(audience, AudienceRule::AnyOf(vec!["api".to_owned()]));
    let twice = support::config(vec![minter.rules(), minter.rules()]);
    assert_eq!(Verifier::new(twice).unwrap_err()[0].field, "issuers[1].issuer");
}

// X22, V11: names are compared exactly; no part of them is a pattern.
#[test]
fn an_issuer_or_audience_is_compared_byte_by_byte() {
    let minter = Minter::new("EdDSA");
    let rules = IssuerConfig {
        audience: AudienceRule::AnyOf(vec!["a.i".into(), ".*".into()]),
        ..minter.rules()
    };
    let verifier = feed::with_base(minter.verifier_with(rules), vec![]);
    for audience in ["api", "A.I", "a.i ", "a.i\0", "a.i.evil", "", "*"] {
        let token = minter.token(&claims_with("aud", json!(audience)));
        assert_eq!(verifier.verify(&token, NOW).code(), "wrong_audience", "{audience}");
    }
    for audience in [json!("a.i"), json!(["x", ".*"])] {
        // The same verdict every time: no state is kept between two comparisons.
        for _ in 0..3 {
            let token = minter.token(&claims_with("aud", audience.clone()));
            assert_eq!(verifier.verify(&token, NOW).code(), "valid");
        }
    }
    let verifier = feed::verifier(&minter);
    for issuer in
        [format!("{ISSUER}/"), ISSUER.to_uppercase(), format!("{ISSUER} "), "https://".into()]
    {
        let token = minter.token(&claims_with("iss", json!(issuer)));
        assert_eq!(verifier.verify(&token, NOW).code(), "wrong_issuer");
    }
    assert_eq!(verifier.verify(&minter.token(&claims_without("iss")), NOW).code(), "wrong_issuer");
    assert_eq!(
        verifier.verify(&minter.token(&claims_without("aud")), NOW).code(),
        "wrong_audience"
    );
    assert_eq!(
        verifier.verify(&minter.token(&claims_with("aud", json!([AUDIENCE, 1]))), NOW).code(),
        "malformed"
    );
}

proptest! {
    // V08, V10: any JSON value of a claim leads to a verdict, which is never "valid" if a time
    // claim is not a number.
    #[test]
    fn no_value_of_a_time_claim_counts_as_absent(
        name in prop_oneof![Just("exp"), Just("iat"), Just("nbf")],
        value in prop_oneof![
            Just(Value::Null), any::<bool>().prop_map(Value::from), ".*".prop_map(Value::from),
            any::<i64>().prop_filter("negative", |number| *number < 0).prop_map(Value::from),
            any::<f64>().prop_filter("out of range", |number| !(0.0..9e15).contains(number)).prop_map(Value::from),
            proptest::collection::vec(any::<u8>(), 0..3).prop_map(Value::from),
        ],
    ) {
        let minter = Minter::new("EdDSA");
        let verifier = feed::with_base(minter.verifier_with(lax_rules(&minter)), vec![]);
        let verdict = verifier.verify(&minter.token(&claims_with(name, value)), NOW);
        prop_assert_eq!(verdict.code(), "malformed");
    }
}

// X22, I10: a provider's logout token is not a login, although it has the same audience and user.
#[test]
fn a_logout_token_is_not_accepted_as_an_id_token() {
    let minter = Minter::new("EdDSA");
    let verifier = feed::with_base(minter.verifier_with(lax_rules(&minter)), vec![]);
    let code = |events| verifier.verify(&minter.token(&claims_with("events", events)), NOW).code();
    let logout = "http://schemas.openid.net/event/backchannel-logout";
    assert_eq!(code(json!({ logout: {} })), "wrong_type");
    assert_eq!(code(json!({ "login": {} })), "valid");
    assert_eq!(code(json!([logout])), "valid");
}
