//! Judges the cases of `tests/conformance` natively, as every JavaScript runtime does.
//!
//! In: `{verifiers: {name: {now, config, keys: [[issuer, jwks]], snapshots: [{bytes, code}]}},
//! cases: [{name, verifier, token | apply, outcome, code, claims, at, policy}]}`, claims as JSON
//! text; see `tests/conformance/cases/expected.mjs`. Out: `{count, valid, differences}`.

use std::collections::HashMap;

use base64ct::{Base64, Encoding};
use offswitch_verifier::{
    Decision, Jws, KeySet, Presentation, Staleness, Verdict, Verifier, VerifierConfig,
};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Input {
    cases: Vec<Case>,
    verifiers: HashMap<String, Setup>,
}

#[derive(Deserialize)]
struct Setup {
    config: String,
    keys: Vec<(String, String)>,
    now: f64,
    snapshots: Vec<Snapshot>,
}

#[derive(Deserialize)]
struct Snapshot {
    bytes: String,
    code: String,
}

#[derive(Deserialize)]
struct Case {
    apply: Option<String>,
    #[serde(default)]
    at: f64,
    claims: Option<String>,
    code: String,
    name: String,
    outcome: Option<String>,
    policy: Option<Policy>,
    token: Option<String>,
    verifier: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    max_staleness: Option<u64>,
    on_stale: Option<String>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Input { cases, verifiers } = serde_json::from_reader(std::io::stdin().lock())?;
    let mut differences = vec![];
    let mut differ = |name: &str, expected: &str, found: &str| {
        if found != expected {
            differences.push(json!({ "name": name, "expected": expected, "found": found }));
        }
    };
    let mut made = HashMap::new();
    for (name, setup) in verifiers {
        let mut verifier = setup.verifier()?;
        for Snapshot { bytes, code } in &setup.snapshots {
            differ(&name, code, apply(&mut verifier, bytes, seconds(setup.now))?);
        }
        made.insert(name, (verifier, setup.now));
    }
    let mut valid: Vec<&str> = vec![];
    for case in &cases {
        let (verifier, now) = made.get_mut(&case.verifier).ok_or("no such verifier")?;
        let now = seconds(*now + case.at);
        if let Some(bytes) = &case.apply {
            differ(&case.name, &case.code, apply(verifier, bytes, now)?);
            continue;
        }
        let token = case.token.as_deref().ok_or("neither token nor snapshot")?;
        for verdict in verdicts(verifier, token, now, case.staleness()) {
            let outcome = verdict.decision.outcome();
            differ(&case.name, &case.code, verdict.code());
            differ(&case.name, case.outcome.as_deref().unwrap_or_default(), outcome);
            if let Decision::Valid(claims) = &verdict.decision {
                valid.push(&case.name);
                let expected = serde_json::from_str(case.claims.as_deref().unwrap_or("null"))?;
                if !is_same(&Value::Object(claims.payload()), &expected) {
                    differ(&case.name, "its claims", claims.text());
                }
            }
        }
    }
    let (count, valid) = (cases.len(), valid.len());
    println!("{}", json!({ "count": count, "differences": differences, "valid": valid }));
    Ok(())
}

impl Setup {
    fn verifier(&self) -> Result<Verifier, String> {
        let config = VerifierConfig::from_json(&self.config).and_then(Verifier::new);
        let mut verifier = config.map_err(|problems| format!("{problems:?}"))?;
        // The keys are in the order of the issuers.
        for (at, (_, jwks)) in self.keys.iter().enumerate() {
            let keys = KeySet::from_jwks(jwks.as_bytes(), verifier.algorithms(at));
            verifier.set_keys_of(at, keys.map_err(|error| error.to_string())?);
        }
        Ok(verifier)
    }
}

impl Case {
    fn staleness(&self) -> Staleness {
        match &self.policy {
            Some(Policy { on_stale: Some(on_stale), .. }) if on_stale == "allow" => Staleness::Any,
            Some(Policy { max_staleness: Some(seconds), .. }) => Staleness::AtMost(*seconds),
            _ => Staleness::Configured,
        }
    }
}

/// The verdict on a new token, and the verdict on the same token when it is remembered.
fn verdicts(verifier: &Verifier, token: &str, now: u64, staleness: Staleness) -> Vec<Verdict> {
    let admitted = Jws::parse(token).and_then(|jws| verifier.admit(&jws));
    let by_parts = verifier.verdict(admitted, Presentation::Bearer, now, staleness);
    match staleness {
        Staleness::Configured => vec![verifier.verify(token, now), by_parts],
        _ => vec![by_parts],
    }
}

fn apply(verifier: &mut Verifier, bytes: &str, now: u64) -> Result<&'static str, String> {
    let bytes = Base64::decode_vec(bytes).map_err(|error| error.to_string())?;
    Ok(match verifier.apply(bytes, now) {
        Ok(applied) => applied.code(),
        Err(problem) => problem.code(),
    })
}

/// Numbers are compared as JavaScript numbers.
fn is_same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Array(found), Value::Array(expected)) => {
            let pairs = found.iter().zip(expected);
            found.len() == expected.len() && pairs.into_iter().all(|(one, two)| is_same(one, two))
        }
        (Value::Number(found), Value::Number(expected)) => {
            let (found, expected) = (found.as_f64(), expected.as_f64());
            let near = |one: f64, two: f64| (one - two).abs() <= one.abs() * f64::EPSILON;
            found.zip(expected).is_some_and(|(one, two)| near(one, two))
        }
        (Value::Object(found), Value::Object(expected)) => {
            let known = |(name, one)| expected.get(name).is_some_and(|two| is_same(one, two));
            found.len() == expected.len() && found.iter().all(known)
        }
        _ => found == expected,
    }
}

#[expect(clippy::as_conversions, reason = "the cases' times are whole and positive")]
fn seconds(now: f64) -> u64 {
    now.floor() as u64
}
