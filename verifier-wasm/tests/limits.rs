//! Tokens that could not be revoked are refused, and the texts of refusals.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use offswitch_verifier::{
    FOREIGN_LIFETIME_SECONDS, IssuerConfig, MAX_ID_BYTES, OWN_LIFETIME_SECONDS, RequiredValue,
    Verifier, VerifierConfig,
};
use serde_json::{Value, json};
use support::{ISSUER, Minter, NOW, claims, claims_with, claims_without, feed, lax_rules};

// D107, I15: an id that a control plane accepts in a revocation is accepted up to the same byte,
// with any characters; a longer one is refused by name, required or not.
#[test]
fn an_id_has_at_most_as_many_bytes_as_a_revocation_may_name() {
    let minter = Minter::new("EdDSA");
    assert_eq!(MAX_ID_BYTES, 256);
    for rules in [lax_rules(&minter), minter.rules()] {
        let verifier = feed::with_base(minter.verifier_with(rules), vec![]);
        for name in ["sub", "jti", "sid"] {
            for (id, is_good) in [
                ("i".repeat(256), true),
                ("i".repeat(257), false),
                ("\u{43a}".repeat(128), true),
                ("\u{43a}".repeat(128) + "i", false),
                ("\u{1f511}".repeat(64), true),
                ("\u{1f511}".repeat(65), false),
                ("\0".repeat(256), true),
                ("i".repeat(8000), false),
            ] {
                let verdict = verdict(&verifier, &minter.token(&claims_with(name, json!(id))));
                let code = if is_good { "valid" } else { "malformed" };
                assert_eq!(verdict["code"], code, "{name} of {} bytes", id.len());
                if !is_good {
                    let text = format!(
                        "{name} is a string of more than 256 bytes, expected 1 to 256 bytes"
                    );
                    assert_eq!(verdict["detail"], text);
                }
            }
        }
    }
}

// D110: an empty id identifies nothing: it is absent if it is not required, and missing if it is.
#[test]
fn an_empty_id_is_absent_and_never_an_id() {
    let minter = Minter::new("EdDSA");
    let all = ["exp", "iat", "sub", "jti", "sid"].map(str::to_owned).to_vec();
    let strict = IssuerConfig { required_claims: all, ..minter.rules() };
    let strict = feed::with_base(minter.verifier_with(strict), vec![]);
    let lax = feed::with_base(minter.verifier_with(lax_rules(&minter)), vec![]);
    for name in ["sub", "jti", "sid"] {
        let token = minter.token(&claims_with(name, json!("")));
        assert_eq!(verdict(&lax, &token)["code"], "valid");
        let refused = verdict(&strict, &token);
        assert_eq!(refused["code"], "missing_claim");
        assert_eq!(refused["detail"], format!("the claim {name} is missing"));
    }
    let token = minter.token(&claims_with("iss", json!("")));
    assert_eq!(verdict(&lax, &token)["code"], "malformed");
}

// D100: by exp - iat, or by the remaining time without iat; the feed's own control plane and other
// issuers have different limits, and exp in milliseconds is beyond all of them.
#[test]
fn a_token_that_outlives_its_revocation_is_refused() {
    let minter = Minter::new("EdDSA");
    for (rules, limit) in [
        (minter.rules(), OWN_LIFETIME_SECONDS),
        (
            IssuerConfig { max_lifetime_seconds: FOREIGN_LIFETIME_SECONDS, ..minter.rules() },
            FOREIGN_LIFETIME_SECONDS,
        ),
        (IssuerConfig { max_lifetime_seconds: 600, ..minter.rules() }, 600),
    ] {
        let verifier = feed::with_base(minter.verifier_with(rules), vec![]);
        let token = |iat: u64, exp: u64| {
            let mut claims = claims_with("iat", json!(iat));
            claims["exp"] = json!(exp);
            minter.token(&claims)
        };
        for iat in [NOW, NOW - 100, NOW + 30] {
            assert_eq!(verdict(&verifier, &token(iat, iat + limit))["code"], "valid", "{iat}");
            let refused = verdict(&verifier, &token(iat, iat + limit + 1));
            assert_eq!(refused["code"], "lifetime_too_long");
            assert_eq!(
                refused["detail"],
                format!(
                    "the token lives for {} s, accepted are at most {limit} s (option \
                     maxLifetime or the issuer's horizon)",
                    limit + 1
                )
            );
        }
        let milliseconds = token(NOW, NOW * 1000);
        assert_eq!(verdict(&verifier, &milliseconds)["code"], "lifetime_too_long");
        let milliseconds = token(NOW * 1000, NOW * 1000 + 600);
        assert_eq!(verdict(&verifier, &milliseconds)["code"], "not_yet_valid");
    }
    let rules = IssuerConfig { max_lifetime_seconds: 600, ..lax_rules(&minter) };
    let verifier = feed::with_base(minter.verifier_with(rules), vec![]);
    for (left, code) in [(1, "valid"), (600, "valid"), (601, "lifetime_too_long")] {
        let mut claims = claims_without("iat");
        claims["exp"] = json!(NOW + left);
        assert_eq!(verdict(&verifier, &minter.token(&claims))["code"], code, "{left}");
    }
}

// D100: the two default limits, and the option that sets them.
#[test]
fn the_longest_lifetime_is_a_day_for_the_feeds_own_issuer_and_a_week_for_others() {
    let minter = Minter::new("EdDSA");
    let mut config = serde_json::to_value(support::config(vec![minter.rules()])).unwrap();
    config["issuers"][0].as_object_mut().unwrap().remove("maxLifetime");
    let longest = |config: &Value| {
        let config = VerifierConfig::from_json(&config.to_string()).unwrap();
        config.issuers[0].max_lifetime_seconds
    };
    assert_eq!(longest(&config), 604_800);
    config["feed"]["id"] = json!(ISSUER);
    assert_eq!(longest(&config), 86_400);
    config["issuers"][0]["maxLifetime"] = json!(3600);
    assert_eq!(longest(&config), 3600);
}

// D109, V08: scopes are a string or an array of strings, under both names; anything else is refused
// by name, required or not.
#[test]
fn scopes_of_another_type_are_malformed() {
    let minter = Minter::new("EdDSA");
    let verifier = feed::verifier(&minter);
    for name in ["scope", "scp"] {
        for value in [json!("read write"), json!(""), json!([]), json!(["read", "write"])] {
            let token = minter.token(&claims_with(name, value.clone()));
            assert_eq!(verdict(&verifier, &token)["code"], "valid", "{name} {value}");
        }
        for (value, found) in [
            (json!(null), "null"),
            (json!(true), "a boolean"),
            (json!(1), "a number"),
            (json!({ "read": true }), "an object"),
            (json!(["read", 1]), "an array with members that are not strings"),
            (json!([["read"]]), "an array with members that are not strings"),
        ] {
            let refused = verdict(&verifier, &minter.token(&claims_with(name, value)));
            assert_eq!(refused["code"], "malformed");
            let text = format!("{name} is {found}, expected a string or an array of strings");
            assert_eq!(refused["detail"], text);
        }
    }
}

// D115: an issuer's tokens for another client, or of another use, are refused; a claim that is
// absent or of another type has no matching value.
#[test]
fn a_claim_must_have_one_of_the_values_that_are_required() {
    let minter = Minter::new("EdDSA");
    let value = |claim: &str, any_of: &[&str]| RequiredValue {
        claim: claim.to_owned(),
        any_of: any_of.iter().map(|one| (*one).to_owned()).collect(),
    };
    let rules = IssuerConfig {
        required_values: vec![value("client_id", &["a", "b"]), value("token_use", &["access"])],
        ..minter.rules()
    };
    let verifier = feed::with_base(minter.verifier_with(rules), vec![]);
    let token = |client: Value, token_use: Value| {
        let mut claims = claims_with("client_id", client);
        claims["token_use"] = token_use;
        minter.token(&claims)
    };
    for client in ["a", "b"] {
        assert_eq!(verdict(&verifier, &token(json!(client), json!("access")))["code"], "valid");
    }
    for (token, detail) in [
        (token(json!("c"), json!("access")), r#"client_id is "c", expected "a" or "b""#),
        (token(json!("a"), json!("id")), r#"token_use is "id", expected "access""#),
        (token(json!("A"), json!("access")), r#"client_id is "A", expected "a" or "b""#),
        (token(json!(["a"]), json!("access")), r#"client_id is an array, expected "a" or "b""#),
        (token(json!(null), json!("access")), r#"client_id is null, expected "a" or "b""#),
    ] {
        let refused = verdict(&verifier, &token);
        assert_eq!(refused["code"], "wrong_claim");
        assert_eq!(refused["detail"], detail);
    }
    let refused = verdict(&verifier, &minter.token(&claims_with("client_id", json!("a"))));
    assert_eq!(refused["detail"], "the claim token_use is missing");
    assert_eq!(refused["code"], "missing_claim");
}

// D115: the configuration: values alone keep the default names.
#[test]
fn required_values_are_configured_with_the_names_or_instead_of_them() {
    let minter = Minter::new("EdDSA");
    let good = serde_json::to_value(support::config(vec![minter.rules()])).unwrap();
    let read = |name: &str, value: Value| {
        let mut config = good.clone();
        config["issuers"][0][name] = value;
        VerifierConfig::from_json(&config.to_string())
    };
    let alone =
        read("requiredClaims", json!({ "client_id": "x", "token_use": ["access"] })).unwrap();
    assert_eq!(alone.issuers[0].required_claims, ["exp", "iat", "sub", "jti"]);
    assert_eq!(alone.issuers[0].required_values.len(), 2);
    let values = read("requiredValues", json!({ "client_id": ["x", "y"] })).unwrap();
    assert_eq!(values.issuers[0].required_claims, minter.rules().required_claims);
    assert_eq!(values.issuers[0].required_values[0].any_of, ["x", "y"]);
    let text = serde_json::to_string(&values).unwrap();
    assert_eq!(VerifierConfig::from_json(&text), Ok(values));
    for value in [
        json!({}),
        json!({ "client_id": 1 }),
        json!({ "client_id": null }),
        json!({ "client_id": [] }),
        json!({ "client_id": ["x", 1] }),
        json!({ "client_id": { "any_of": ["x"] } }),
        json!({ "": "x" }),
        json!({ "a\nb": "x" }),
        json!({ "sub": "x" }),
        json!({ "exp": "1" }),
        (0..17).map(|at| (format!("c{at}"), json!("x"))).collect(),
    ] {
        for name in ["requiredClaims", "requiredValues"] {
            let problems = read(name, value.clone()).unwrap_err();
            let field = &problems[0].field;
            assert!(field.starts_with("issuers[0].required"), "{value}: {problems:?}");
        }
    }
    for value in [json!(["client_id"]), json!("client_id"), json!(1)] {
        assert!(read("requiredValues", value).is_err());
    }
}

// D38, V17: every refusal names what was found and what was expected, bounded and escaped, and of
// the token only the claim in question.
#[test]
fn a_refusal_says_what_was_found_and_what_was_expected() {
    let minter = Minter::new("EdDSA");
    let verifier = feed::verifier(&minter);
    let header = |name: &str, value: Value| {
        let mut header = minter.header();
        match value {
            Value::Null => drop(header.as_object_mut().unwrap().remove(name)),
            value => header[name] = value,
        }
        minter.sign(&header, &claims())
    };
    let claim = |name: &str, value: Value| minter.token(&claims_with(name, value));
    for (token, code, detail) in [
        (
            header("typ", json!("JWT")),
            "wrong_type",
            r#"typ is "JWT", expected "at+jwt" (option types)"#,
        ),
        (
            header("typ", json!(null)),
            "wrong_type",
            r#"typ is missing, expected "at+jwt" (option types)"#,
        ),
        (
            header("kid", json!("key-9")),
            "unknown_key",
            r#"kid is "key-9", expected the name of one of the 1 keys that are loaded"#,
        ),
        (header("kid", json!(7)), "malformed", "the header's kid is a number, expected a string"),
        (
            header("alg", json!("none")),
            "unsupported_algorithm",
            "alg is \"none\", expected one of \
            EdDSA, ES256, ES384, ES512, RS256, RS384, RS512, PS256, PS384, PS512, HS256, HS384, HS512",
        ),
        (
            header("alg", json!("HS256")),
            "unsupported_algorithm",
            "alg is HS256, expected EdDSA, the algorithm of that key",
        ),
        (
            header("crit", json!(["b64"])),
            "malformed",
            "the header has crit, which is never accepted",
        ),
        (
            claim("iss", json!("https://other.example")),
            "wrong_issuer",
            r#"iss is "https://other.example", expected "https://issuer.example""#,
        ),
        (claim("aud", json!("other")), "wrong_audience", r#"aud is "other", expected "api""#),
        (
            claim("aud", json!(["a", "b", "c", "d"])),
            "wrong_audience",
            r#"aud is ["a", "b", "c", ...], expected "api""#,
        ),
        (
            claim("aud", json!(7)),
            "malformed",
            "aud is a number, expected a string or an array of strings",
        ),
        (
            claim("exp", json!("soon")),
            "malformed",
            "exp is a string, expected a number of seconds in [0, 2^53)",
        ),
        (
            claim("nbf", json!(-1)),
            "malformed",
            "nbf is a negative number, expected a number of seconds in [0, 2^53)",
        ),
        (
            claim("iat", json!(1u64 << 53)),
            "malformed",
            "iat is a number of 2^53 or more, expected a number of seconds in [0, 2^53)",
        ),
        (claim("sub", json!(7)), "malformed", "sub is a number, expected a string"),
        (
            claim("ver", json!(1.5)),
            "malformed",
            "ver is a number with a fraction, expected a whole number in [0, 2^53)",
        ),
        (
            claim("exp", json!(NOW - 31)),
            "expired",
            &format!("exp is {}, the time is {NOW}", NOW - 31),
        ),
        (
            claim("nbf", json!(NOW + 31)),
            "not_yet_valid",
            &format!("the later of nbf and iat is {}, the time is {NOW}", NOW + 31),
        ),
        (
            "a.b".to_owned(),
            "malformed",
            "the token has 2 segments, expected three with dots between",
        ),
        ("..AA=".to_owned(), "malformed", "the header is not a JSON object"),
        (
            header("cty", json!("JWT")),
            "malformed",
            r#"the header's cty is "JWT", expected "json" or none"#,
        ),
        (
            header("kid", json!("k".repeat(257))),
            "malformed",
            "the header's kid is a string of more than 256 bytes, expected at most 256 bytes",
        ),
    ] {
        let refused = verdict(&verifier, &token);
        assert_eq!(refused["code"], code, "{detail}");
        assert_eq!(refused["detail"], detail);
        assert_eq!(refused["outcome"], "refused");
    }
    let long = verdict(&verifier, &claim("iss", json!("\u{1f511}\r\n\"".repeat(1000))));
    let detail = long["detail"].as_str().unwrap();
    assert!(detail.len() < 900 && detail.bytes().all(|byte| (32..127).contains(&byte)), "{detail}");
}

// D105: the claims of a verdict are the signed text, with any numbers.
#[test]
fn claims_are_passed_on_as_the_bytes_that_were_signed() {
    let minter = Minter::new("EdDSA");
    let verifier = feed::verifier(&minter);
    let text = claims().to_string();
    let numbers = r#","a":9007199254740993,"b":123456789012345678901234567890,"c":1.10,"d":-0}"#;
    let payload = text.strip_suffix('}').unwrap().to_owned() + numbers;
    let token = minter.sign_bytes(minter.header().to_string().as_bytes(), payload.as_bytes());
    let verdict = verifier.verify(&token, NOW);
    let claims = match &verdict.decision {
        offswitch_verifier::Decision::Valid(claims) => Some(claims.text()),
        _ => None,
    };
    assert_eq!(claims, Some(payload.as_str()), "{verdict:?}");
    // A verdict in JSON has them in the same way.
    assert!(serde_json::to_string(&verdict).unwrap().contains(numbers));
}

fn verdict(verifier: &Verifier, token: &str) -> Value {
    serde_json::to_value(verifier.verify(token, NOW)).unwrap()
}
