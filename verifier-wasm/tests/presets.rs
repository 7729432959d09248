//! Each preset judges tokens and key sets in the shape that its provider publishes, with our own
//! keys, and refuses near misses. The fixtures are those of `tests/presets` in JavaScript.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use std::sync::LazyLock;

use offswitch_presets::{Audience, Parameters, Preset, PresetError};
use offswitch_verifier::snapshot::{ClaimValue, Content, Fingerprint, Fingerprinter, Floor};
use offswitch_verifier::snapshot::{Horizons, IssuerRules, Position, Uses};
use offswitch_verifier::{KeySet, Verifier, VerifierConfig};
use serde_json::{Map, Value, json};
use support::feed::{FEED, SALT, selector, signer, signing_key};
use support::{Key, NOW, encode};

// I04
#[test]
fn a_token_of_each_provider_is_valid_under_its_preset_and_near_misses_are_refused() {
    for (name, fixture) in fixtures() {
        let provider = Provider::new(&name, &fixture);
        let rules = &provider.rules;
        assert_eq!(rules.issuer, text(&fixture["issuer"]), "{name}");
        let verifier = provider.verifier(&provider.keys(), vec![]);
        let code = |more: &Value| verifier.verify(&provider.token(more), NOW);
        for more in [&json!({})].into_iter().chain(array(&fixture["also"])) {
            let verdict = serde_json::to_value(code(more)).unwrap();
            assert_eq!(verdict["code"], "valid", "{name} {more}: {verdict}");
        }
        let mut misses = array(&fixture["misses"]).to_vec();
        misses.extend([
            json!({ "claims": { "iat": -200_000, "nbf": null, "exp": -199_900 }, "code": "expired" }),
            json!({ "header": { "typ": "logout+jwt" }, "code": "wrong_type" }),
            json!({ "header": { "kid": "unknown" }, "code": "unknown_key" }),
            json!({ "header": { "alg": "HS256" }, "code": "unsupported_algorithm" }),
            json!({ "claims": { "iss": format!("{}/", rules.issuer) }, "code": "wrong_issuer" }),
        ]);
        if rules.audience != Audience::Unchecked {
            misses.push(json!({ "claims": { "aud": ["other"] }, "code": "wrong_audience" }));
        }
        misses.extend(
            rules.required_claims.iter().chain(rules.required_values.keys()).map(
                |claim| json!({ "claims": { claim.as_str(): null }, "code": "missing_claim" }),
            ),
        );
        for more in &misses {
            let found = serde_json::to_value(code(more)).unwrap();
            let expected = &more["code"];
            let is_expected = match expected {
                Value::Array(codes) => codes.contains(&found["code"]),
                code => *code == found["code"],
            };
            assert!(is_expected, "{name} {more}: {found}");
        }
        // Every bit of the signature matters.
        let mut forged = provider.token(&json!({}));
        let last = forged.len() - 20;
        forged.replace_range(last..=last, if &forged[last..=last] == "A" { "B" } else { "A" });
        assert_eq!(verifier.verify(&forged, NOW).code(), "bad_signature", "{name}");
    }
}

// I04, I15: the claims that a preset names as ids of a token, a session or a user revoke the
// provider's token.
#[test]
fn the_claims_that_a_preset_names_as_ids_revoke_the_providers_token() {
    for (name, fixture) in fixtures() {
        let provider = Provider::new(&name, &fixture);
        let claims = &provider.preset.claims;
        let tokens = [json!({})].into_iter().chain(array(&fixture["also"]).iter().cloned());
        for path in [&claims.token, &claims.session, &claims.user].into_iter().flatten() {
            for more in tokens.clone() {
                let token = provider.claims(&more);
                let pointer = if path.starts_with('/') { path.clone() } else { format!("/{path}") };
                let Some(id) = token.pointer(&pointer).and_then(Value::as_str) else { continue };
                if id.is_empty() {
                    continue;
                }
                let verifier = provider.verifier(&provider.keys(), vec![(path, id)]);
                let code = verifier.verify(&provider.token(&more), NOW).code();
                assert!(code.starts_with("revoked_"), "{name} {path} {id}: {code}");
                let other = provider.verifier(&provider.keys(), vec![(path, "another")]);
                assert_eq!(
                    other.verify(&provider.token(&more), NOW).code(),
                    "valid",
                    "{name} {path}"
                );
            }
        }
    }
}

// I02: each published set with one bad neighbour at each place, identified by the name of the key
// that signs.
#[test]
fn no_bad_neighbour_affects_a_published_key_set() {
    for (name, fixture) in fixtures() {
        let provider = Provider::new(&name, &fixture);
        let token = provider.token(&json!({}));
        let Value::Array(published) = provider.keys()["keys"].clone() else { unreachable!() };
        let kid = &fixture["header"]["kid"];
        let bytes = json!(encode(&[7; 40]));
        let neighbours = [
            json!({ "kid": kid, "kty": "RSA", "use": "enc", "alg": "RSA-OAEP-256", "n": bytes, "e": "AQAB" }),
            json!({ "kid": kid, "kty": "RSA", "use": "enc", "n": bytes, "e": "AQAB" }),
            json!({ "kid": kid, "kty": "EC", "crv": "P-256", "key_ops": ["deriveKey"] }),
            json!({ "kid": kid, "kty": "AKP", "alg": "ML-DSA-44", "pub": bytes }),
            json!({ "kid": kid, "kty": "AKP", "pub": bytes }),
            json!({ "kid": kid, "kty": "OKP", "crv": "X25519", "x": bytes }),
            json!({ "kid": kid, "kty": "oct", "alg": "HS256", "k": bytes }),
            json!({ "kid": kid, "kty": "RSA", "alg": "RS1", "n": bytes, "e": "AQAB" }),
            json!({ "kid": "private", "kty": "RSA", "alg": "RS256", "n": bytes, "e": "AQAB", "d": bytes }),
            json!({ "kid": kid, "kty": "EC", "crv": "P-256", "alg": "ES512", "x": bytes, "y": bytes }),
            json!({ "kid": kid }),
            json!(null),
        ];
        for neighbour in &neighbours {
            for place in 0..=published.len() {
                let mut members = published.clone();
                members.insert(place, neighbour.clone());
                let verifier = provider.verifier(&json!({ "keys": members }), vec![]);
                let code = verifier.verify(&token, NOW).code();
                assert_eq!(code, "valid", "{name} {place} {neighbour}");
            }
        }
    }
}

// X22, I04: a parameter cannot change other parts of an address. The same list as in JavaScript.
#[test]
fn a_parameter_that_does_not_belong_into_an_address_is_refused_by_name() {
    let table: Value = serde_json::from_str(PARAMETERS).unwrap();
    for case in array(&table["good"]) {
        let address = Preset::address(text(&case["preset"]), &parameters(case)).unwrap();
        assert_eq!(address.issuer, text(&case["issuer"]));
    }
    for case in array(&table["bad"]) {
        let name = text(&case["preset"]);
        // A number or an object cannot be a parameter: the reader of a configuration refuses it.
        let Ok(given) = serde_json::from_value(case["parameters"].clone()) else { continue };
        let error = Preset::rules(name, &given).unwrap_err();
        assert_eq!(error.code(), "invalid_preset");
        let PresetError::Invalid { problems, .. } = &error else { unreachable!() };
        for wrong in array(&case["wrong"]) {
            let wrong = text(wrong);
            let is_about = |problem: &String| {
                problem.starts_with(&format!("{wrong} is "))
                    || problem.starts_with(&format!("\"{wrong}\" is "))
            };
            assert!(problems.iter().any(is_about), "{case}: {error}");
        }
        assert_eq!(problems.len(), array(&case["wrong"]).len(), "{case}: {error}");
    }
    for name in array(&table["unknown"]) {
        let error = Preset::rules(text(name), &Parameters::new()).unwrap_err();
        assert_eq!(error.code(), "unknown_preset");
        assert!(error.to_string().contains("keycloak"));
    }
}

// A control plane's part of a preset needs none of the verifier's parameters.
#[test]
fn an_address_needs_no_audience_and_rules_do() {
    let (_, fixture) = fixtures().into_iter().find(|(name, _)| name == "entra").unwrap();
    let mut given = parameters(&fixture);
    given.remove("audience");
    let address = Preset::address("entra", &given).unwrap();
    assert_eq!(address.issuer, text(&fixture["issuer"]));
    assert_eq!(address.jwks_uri, text(&fixture["jwks"]));
    let error = Preset::rules("entra", &given).unwrap_err().to_string();
    assert!(error.starts_with("the preset entra: audience is missing"), "{error}");
}

/// One provider with our own keys.
struct Provider<'f> {
    name: &'f str,
    fixture: &'f Value,
    preset: &'static Preset,
    rules: offswitch_presets::Rules,
}

impl<'f> Provider<'f> {
    fn new(name: &'f str, fixture: &'f Value) -> Self {
        let (_, preset) = Preset::of(name).unwrap();
        let rules = Preset::rules(name, &parameters(fixture)).unwrap();
        Self { name, fixture, preset, rules }
    }

    /// The key set as it is published.
    fn keys(&self) -> Value {
        let one = |member: &Value| {
            let mut jwk = member.as_object().unwrap().clone();
            let key = key_of(text(&jwk.remove("type").unwrap()));
            let Value::Object(public) = key.public() else { unreachable!() };
            jwk.extend(public);
            Value::Object(jwk)
        };
        let mut set = self.fixture["set"].as_object().cloned().unwrap_or_default();
        let members = array(&self.fixture["keys"]).iter().map(one).collect();
        set.insert("keys".to_owned(), Value::Array(members));
        Value::Object(set)
    }

    fn verifier(&self, keys: &Value, denied: Vec<(&str, &str)>) -> Verifier {
        let config = json!({
            "issuers": [self.rules],
            "feed": { "id": FEED, "publicKeys": [encode(signing_key(1).verifying_key().as_bytes())] },
        });
        let config = VerifierConfig::from_json(&config.to_string()).unwrap();
        let mut verifier = Verifier::new(config).unwrap();
        let set = KeySet::from_fetched_jwks(keys.to_string().as_bytes(), verifier.algorithms(0));
        verifier.set_keys_of(0, set.unwrap());
        verifier.apply(self.snapshot(denied), NOW).unwrap();
        verifier
    }

    /// A base with the preset's horizon, in which these ids are denied.
    fn snapshot(&self, denied: Vec<(&str, &str)>) -> Vec<u8> {
        let horizons = Horizons::constant(self.preset.horizon_seconds);
        let mut rules = IssuerRules { horizons, ..IssuerRules::new(&self.rules.issuer) };
        let mut ids = vec![];
        for (path, id) in denied {
            let selector = selector(&[path]);
            rules.list(&selector, Uses::EXACT);
            ids.push(
                Fingerprinter::new(SALT, &self.rules.issuer, &selector).of(&[ClaimValue::from(id)]),
            );
        }
        let to = Floor { position: Position { era: 1, seq: 1 }, ..Floor::default() };
        signer().sign(&Content {
            to,
            issued_at: NOW,
            valid_until: NOW + 60,
            salt: SALT,
            issuers: vec![rules],
            denied: &Fingerprint::sorted(ids),
            ..Content::default()
        })
    }

    fn claims(&self, more: &Value) -> Value {
        changed(&self.fixture["claims"], &more["claims"])
    }

    fn token(&self, more: &Value) -> String {
        let header = changed(&self.fixture["header"], &more["header"]);
        let signed = format!(
            "{}.{}",
            encode(header.to_string().as_bytes()),
            encode(self.claims(more).to_string().as_bytes())
        );
        let alg = text(&self.fixture["header"]["alg"]);
        let key = key_of(if alg.starts_with("ES") { "EC" } else { "RSA" });
        assert!(self.preset.algorithms.iter().any(|one| one == alg), "{}", self.name);
        format!("{signed}.{}", encode(&key.sign(alg, signed.as_bytes())))
    }
}

fn key_of(kind: &str) -> &'static Key {
    static KEYS: LazyLock<[Key; 2]> = LazyLock::new(|| ["RS256", "ES256"].map(Key::new));
    &KEYS[usize::from(kind == "EC")]
}

/// Replaces members, removes those that are null, and turns relative times into absolute ones.
fn changed(object: &Value, changes: &Value) -> Value {
    let mut object = object.as_object().unwrap().clone();
    object.extend(changes.as_object().cloned().unwrap_or_default());
    let time = |name: &str, value: Value| match value.as_i64() {
        Some(offset) if ["exp", "iat", "nbf", "auth_time"].contains(&name) => {
            json!(NOW.checked_add_signed(offset).unwrap())
        }
        _ => value,
    };
    let present = object.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(present.map(|(name, value)| (name.clone(), time(&name, value))).collect())
}

fn fixtures() -> Map<String, Value> {
    let fixtures: Map<String, Value> = serde_json::from_str(FIXTURES).unwrap();
    assert_eq!(fixtures.len(), Preset::all().count());
    fixtures
}

fn parameters(case: &Value) -> Parameters {
    serde_json::from_value(case["parameters"].clone()).unwrap()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

const FIXTURES: &str = include_str!("../../tests/presets/fixtures.json");
const PARAMETERS: &str = include_str!("../../tests/presets/parameters.json");
