//! A sample token, explained.

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_snapshot::Horizons;
use offswitch_verifier::{Check, Jws, Objection, Refusal, Shown, Step, read_object};
use serde_json::{Map, Value};

use super::{Explained, Finding, RegisteredIssuer};

/// What holds for the tokens of the issuer that a token names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRules {
    /// What can be revoked by an id, and the claim that is it; empty where there is none.
    pub ids: [(&'static str, String); 3],
}

impl OwnRules {
    /// Those of the control plane's own tokens.
    pub fn own() -> Self {
        let ids = [("token", "jti"), ("session", "sid"), ("user", "sub")];
        let ids = ids.map(|(what, claim)| (what, claim.to_owned()));
        Self { ids }
    }

    /// Those that an issuer is registered with.
    pub fn of(issuer: &RegisteredIssuer) -> Self {
        let ids = [
            ("token", issuer.token_id_claim.clone()),
            ("session", issuer.session_id_claim.clone()),
            ("user", issuer.user_id_claim.clone()),
        ];
        Self { ids }
    }
}

/// The claims of a token, which no signature covers yet.
pub fn unverified_claims(token: &str) -> Result<Map<String, Value>, String> {
    let jws = Jws::parse(token).map_err(|error| error.to_string())?;
    let payload = Base64UrlUnpadded::decode_vec(jws.unverified_payload()).ok();
    payload
        .and_then(|text| read_object(&text))
        .ok_or_else(|| "its claims are no JSON object".into())
}

/// Whose token it is: the control plane's own, or that of an issuer that is registered.
pub fn issuer_of_token(
    claims: Result<&Map<String, Value>, &str>,
    own: &str,
    registered: &[RegisteredIssuer],
) -> Finding {
    let claims = match claims {
        Ok(claims) => claims,
        Err(error) => return Finding::failed(ISSUER, format!("this is no token: {error}")),
    };
    let Some(iss) = claims.get("iss").and_then(Value::as_str) else {
        return Finding::failed(ISSUER, "the token names no issuer (iss), so it cannot be revoked");
    };
    let named = registered.iter().find(|one| one.issuer == iss);
    let shown = Shown::new(iss);
    match named {
        Some(one) => Finding::ok(ISSUER, format!("the token is of {shown}")).about(&one.name),
        None if iss == own => Finding::ok(ISSUER, "the token is of the control plane itself"),
        None => {
            let detail = format!(
                "the token is of {shown}, which is not registered: nothing can revoke it; register \
                 exactly this issuer (PUT /v1/issuers/{{name}})"
            );
            Finding::failed(ISSUER, detail)
        }
    }
}

/// What the verifier says about the token.
pub fn explained(steps: &[Step]) -> Finding {
    let explain = |step: &Step| Explained {
        check: step.check.name(),
        passed: match step.finding {
            // Each verifier has its own; here all were accepted.
            Some(Ok(())) if matches!(step.check, Check::Type | Check::Audience) => None,
            _ => step.finding.as_ref().map(Result::is_ok),
        },
        detail: match &step.finding {
            Some(Err(objection)) => Some(in_words(objection)),
            _ => None,
        },
    };
    let objections = steps.iter().filter_map(|step| match &step.finding {
        Some(Err(objection)) => Some((step.check, objection)),
        _ => None,
    });
    let objections: Vec<_> = objections.collect();
    // The proof of a bound token is made by the client that holds its key.
    let is_bound =
        |objection: &Objection| matches!(objection, Objection::Refused(Refusal::SenderConstrained));
    let first = objections.iter().find(|(_, objection)| !is_bound(objection));
    let mut finding = match (first, objections.first()) {
        (Some((check, objection)), _) => {
            let words = in_words(objection);
            Finding::failed(
                "token",
                format!("verifiers refuse it at the check {}: {words}", check.name()),
            )
        }
        (None, Some(_)) => Finding::warning(
            "token",
            "it is valid for a client that proves to have its key, which this command cannot",
        ),
        (None, None) => Finding::ok(
            "token",
            "it is valid for a verifier that accepts its audience and its type",
        ),
    };
    finding.steps = steps.iter().map(explain).collect();
    finding
}

/// Whether the token has each claim that its issuer is registered with.
pub fn id_claims(rules: &OwnRules, claims: &Map<String, Value>) -> Vec<Finding> {
    let finding = |(what, claim): &(&'static str, String)| {
        let check = "token_claims";
        let shown = Shown::new(claim);
        if claim.is_empty() {
            let detail = format!("the issuer has no id of a {what}");
            return Finding::ok(check, detail).about(what);
        }
        match named(claims, claim) {
            Some(Value::String(_)) => {
                Finding::ok(check, format!("the id of the {what} is its claim {shown}")).about(what)
            }
            found => {
                let found = if found.is_some() { "is not a string" } else { "is not in the token" };
                let detail = format!(
                    "the claim {shown} {found}: revoking this {what} by id would do nothing; \
                     correct {what}_id_claim of the registration"
                );
                Finding::warning(check, detail).about(what)
            }
        }
    };
    rules.ids.iter().map(finding).collect()
}

/// Whether the token lives no longer than its revocation would, by what the feed says about its issuer.
pub fn horizon(horizons: Option<&Horizons>, claims: &Map<String, Value>) -> Finding {
    let check = "token_horizon";
    let Some(horizons) = horizons else {
        return Finding::skipped(check, "what the feed says about its issuer is not known");
    };
    let time = |name: &str| claims.get(name).and_then(Value::as_f64);
    let (Some(iat), Some(exp)) = (time("iat"), time("exp")) else {
        let detail = "the token lacks iat or exp, so its life has no limit and verifiers refuse it";
        return Finding::failed(check, detail);
    };
    let life = exp - iat;
    let Some(limit) = horizons.limit_at(iat as u64) else {
        return Finding::skipped(check, "the feed has no horizon for its issuer");
    };
    let detail = format!("it lives for {life:.0} s, the horizon of its issuer is {limit} s");
    // Seconds are whole, and far below what a float holds exactly.
    if life <= limit as f64 {
        Finding::ok(check, detail)
    } else {
        let advice = "verifiers refuse it; register a longer horizon_seconds";
        Finding::failed(check, format!("{detail}: {advice}"))
    }
}

/// The claim of a path as a registration has it.
fn named<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let Some((first, rest)) =
        path.strip_prefix('/').map(|path| path.split_once('/').unwrap_or((path, "")))
    else {
        return claims.get(path);
    };
    let first = claims.get(&first.replace("~1", "/").replace("~0", "~"))?;
    if rest.is_empty() { Some(first) } else { first.pointer(&format!("/{rest}")) }
}

fn in_words(objection: &Objection) -> String {
    match objection {
        Objection::Refused(refusal) => format!("{}: {refusal}", refusal.code()),
        Objection::Undecided(undecided) => format!("{}: {undecided}", undecided.code()),
    }
}

const ISSUER: &str = "token_issuer";

#[cfg(test)]
mod tests {
    use offswitch_snapshot::Horizon;
    use serde_json::json;

    use super::*;
    use crate::doctor::Outcome;

    // O06: a claim that the tokens lack revokes nothing.
    #[test]
    fn a_claim_of_the_registration_that_the_token_lacks_is_a_warning() {
        let claims = json!({ "jti": "t", "sub": 7, "login": { "a/b": "s" } });
        let ids = ["jti", "/login/a~1b", "sub"];
        let mut rules = OwnRules::own();
        for ((_, claim), path) in rules.ids.iter_mut().zip(ids) {
            *claim = path.to_owned();
        }
        let results = |rules: &OwnRules| {
            let found = id_claims(rules, claims.as_object().unwrap());
            found.into_iter().map(|one| one.result).collect::<Vec<_>>()
        };
        assert_eq!(results(&rules), [Outcome::Ok, Outcome::Ok, Outcome::Warning]);
        rules.ids[1].1 = "sid".to_owned();
        rules.ids[2].1 = String::new();
        assert_eq!(results(&rules), [Outcome::Ok, Outcome::Warning, Outcome::Ok]);
    }

    // O06, I06: exactly as long as the horizon is not too long.
    #[test]
    fn a_token_may_live_as_long_as_the_horizon() {
        let mut horizons = Horizons::constant(30);
        horizons.add(Horizon { issued_from: 10, seconds: 60 });
        for (claims, expected) in [
            (json!({ "iat": 10, "exp": 70 }), Outcome::Ok),
            (json!({ "iat": 10, "exp": 71 }), Outcome::Failed),
            (json!({ "iat": 9, "exp": 40 }), Outcome::Failed),
            (json!({ "exp": 70 }), Outcome::Failed),
            (json!({ "iat": 10 }), Outcome::Failed),
        ] {
            let found = horizon(Some(&horizons), claims.as_object().unwrap());
            assert_eq!(found.result, expected, "{claims}");
        }
        assert_eq!(horizon(None, &Map::new()).result, Outcome::Skipped);
    }
}
