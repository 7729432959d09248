//! Tokens that are bound to a key (`cnf`, RFC 7800), and the schemes that they may be sent with.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use offswitch_verifier::{
    CachingVerifier, Check, Jws, Objection, Presentation, Staleness, Verifier,
};
use serde_json::{Value, json};
use support::feed::{History, Record};
use support::{Minter, NOW, claims_with, feed};

// I14: a thief may have a token with any value of `cnf`.
#[test]
fn a_bound_token_is_refused_as_a_bearer_token_on_every_path() {
    let minter = Minter::new("ES256");
    for cnf in [
        json!({ "jkt": JKT }),
        json!({ "jkt": JKT, "x5t#S256": JKT }),
        json!({ "x5t#S256": JKT }),
        json!({ "jwk": { "kty": "oct", "k": "AAAA" } }),
        json!({ "kid": "key" }),
        json!({}),
    ] {
        let token = minter.token(&claims_with("cnf", cnf));
        let verifier = feed::verifier(&minter);
        assert_eq!(verifier.verify(&token, NOW).code(), "sender_constrained");
        let steps = verifier.explain(Jws::parse(&token), Presentation::Bearer, NOW);
        let failed: Vec<_> = steps.iter().filter(|step| step.finding != Some(Ok(()))).collect();
        assert_eq!(failed.iter().map(|step| step.check).collect::<Vec<_>>(), [Check::Binding]);
        let Some(Err(Objection::Refused(refusal))) = &failed[0].finding else { unreachable!() };
        assert_eq!((refusal.code(), refusal.claim()), ("sender_constrained", Some("cnf")));

        // Also when it is remembered, and when a host checks the signature.
        let mut caching = CachingVerifier::new(verifier);
        let known = |caching: &mut CachingVerifier, shown| {
            caching.verify(token.as_bytes(), shown, NOW, 3, STALENESS).map(drop)
        };
        assert_eq!(code(known(&mut caching, Presentation::Bearer)), "sender_constrained");
        assert!(caching.judge(3, Presentation::NotShown, NOW, STALENESS).is_none());
        assert_eq!(code(known(&mut caching, Presentation::NotShown)), "valid");
        let judged = caching.judge(3, Presentation::Bearer, NOW, STALENESS).unwrap();
        assert_eq!(code(judged.map(drop)), "sender_constrained");
        let judged = caching.judge(3, Presentation::NotShown, NOW, STALENESS).unwrap();
        assert_eq!(code(judged.map(drop)), "valid");
        let ticket = caching.candidate(token.as_bytes(), 0).unwrap().ticket;
        let vouched =
            caching.verify_vouched_for(Some(ticket), Presentation::Bearer, NOW, 4, STALENESS);
        assert_eq!(code(vouched.unwrap().map(drop)), "sender_constrained");
    }
}

// I14, V08: an unreadable binding is malformed, because no client could prove it.
#[test]
fn a_binding_of_the_wrong_type_is_malformed() {
    let minter = Minter::new("EdDSA");
    let verifier = feed::verifier(&minter);
    let padded = format!("{JKT}=");
    for (cnf, name) in [
        (json!(null), "cnf"),
        (json!(JKT), "cnf"),
        (json!([]), "cnf"),
        (json!({ "jkt": null }), "/cnf/jkt"),
        (json!({ "jkt": "" }), "/cnf/jkt"),
        (json!({ "jkt": &JKT[1..] }), "/cnf/jkt"),
        (json!({ "jkt": padded }), "/cnf/jkt"),
    ] {
        let verdict = verdict(&verifier, &minter.token(&claims_with("cnf", cnf)), NOW);
        assert_eq!(verdict["code"], "malformed");
        assert!(
            verdict["detail"].as_str().unwrap().starts_with(&format!("{name} is ")),
            "{verdict}"
        );
    }
}

// I14: a refusal that no proof could change comes first; a stale feed does not change that.
#[test]
fn a_bound_token_is_refused_for_its_own_faults_before_those_of_the_feed() {
    let minter = Minter::new("EdDSA");
    let mut verifier = minter.cold_verifier();
    let token = |jti: &str| {
        let mut claims = claims_with("cnf", json!({ "jkt": JKT }));
        claims["jti"] = json!(jti);
        minter.token(&claims)
    };
    assert_eq!(verifier.verify(&token("token-1"), NOW).code(), "sender_constrained");
    verifier.apply(History::new(1, vec![Record::Token(1)]).base(1), NOW).unwrap();
    assert_eq!(verifier.verify(&token("token-1"), NOW).code(), "revoked_token");
    assert_eq!(verifier.verify(&token("token-2"), NOW + 61).code(), "sender_constrained");
}

fn verdict(verifier: &Verifier, token: &str, now: u64) -> Value {
    serde_json::to_value(verifier.verify(token, now)).unwrap()
}

fn code(judged: Result<(), Objection>) -> &'static str {
    match judged {
        Ok(()) => "valid",
        Err(Objection::Refused(refusal)) => refusal.code(),
        Err(Objection::Undecided(undecided)) => undecided.code(),
    }
}

const STALENESS: Staleness = Staleness::Configured;
/// The thumbprint of RFC 9449 section 6.1.
const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
