//! DPoP proofs (RFC 9449): each check of section 4.3, the replay of proofs, and the RFC's own example.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use offswitch_verifier::{
    Check, DpopRequest, Jws, MAX_PROOFS_OF_A_KEY, Objection, Presentation, ProofMemory, Staleness,
    Verifier,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::feed::{History, Record};
use support::{Key, Minter, NOW, claims, claims_with, encode, feed};

const URL: &str = "https://api.example/orders";

/// A client with its own key, and a token that is bound to it.
struct Client {
    key: Key,
    alg: &'static str,
    token: String,
}

impl Client {
    fn new(alg: &'static str) -> Self {
        Self::with(Key::new(alg), alg)
    }

    fn with(key: Key, alg: &'static str) -> Self {
        let cnf = json!({ "jkt": thumbprint(&key.public()) });
        let token = Minter::new("EdDSA").token(&claims_with("cnf", cnf));
        Self { key, alg, token }
    }

    fn header(&self) -> Value {
        json!({ "typ": "dpop+jwt", "alg": self.alg, "jwk": self.key.public() })
    }

    fn claims(&self, jti: &str) -> Value {
        let ath = encode(&Sha256::digest(&self.token));
        json!({ "jti": jti, "htm": "GET", "htu": URL, "iat": NOW, "ath": ath })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let minter = Minter { key: self.key.clone(), alg: self.alg, kid: "" };
        minter.sign(header, claims)
    }

    fn proof(&self, jti: &str) -> String {
        self.sign(&self.header(), &self.claims(jti))
    }

    /// The code and the detail for a request with this proof.
    fn shows(&self, memory: &mut ProofMemory, proof: &str) -> (&'static str, String) {
        judge(&verifier(), memory, &self.token, proof, "GET", URL, NOW)
    }
}

// RFC 9449 sections 6.1 and 7.1, whose token is not a JWT: the thumbprint of the key, the hash of
// the token and the signature of the proof are those of the RFC.
#[test]
fn the_proof_of_the_rfc_is_accepted_for_its_request() {
    let jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgt\
        MzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5\
        VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR\
        1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXR\
        oIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptx\
        RimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    let issued_at = 1_562_262_618;
    let minter = Minter::new("EdDSA");
    let mut claims = claims_with("cnf", json!({ "jkt": jkt }));
    claims["iat"] = json!(issued_at - 10);
    claims["exp"] = json!(issued_at + 600);
    let (standing, _) = verifier().admit(&Jws::parse(&minter.token(&claims)).unwrap()).unwrap();
    let mut memory = ProofMemory::default();
    let mut judge = |token, method, url, now| {
        let request = DpopRequest { token, proof, method, url };
        let shown = Presentation::Dpop(request, &mut memory);
        code_of(verifier().judge(&standing, shown, now, Staleness::Any)).0
    };
    let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    let url = "https://resource.example.org/protectedresource";
    assert_eq!(judge(token, "POST", url, issued_at), "invalid_dpop_proof");
    assert_eq!(
        judge(token, "GET", "https://resource.example.org/", issued_at),
        "invalid_dpop_proof"
    );
    assert_eq!(judge(&token[1..], "GET", url, issued_at), "invalid_dpop_proof");
    assert_eq!(judge(token, "GET", url, issued_at + 61), "invalid_dpop_proof");
    assert_eq!(judge(token, "GET", url, issued_at), "valid");
    assert_eq!(judge(token, "GET", url, issued_at), "invalid_dpop_proof");
}

// I14: a proof of every asymmetric algorithm.
#[test]
fn a_good_proof_is_accepted_once_with_every_algorithm() {
    for alg in ["EdDSA", "ES256", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"] {
        let client = Client::new(alg);
        let mut memory = ProofMemory::default();
        let proof = client.proof("one");
        assert_eq!(client.shows(&mut memory, &proof).0, "valid", "{alg}");
        let (code, detail) = client.shows(&mut memory, &proof);
        assert_eq!((code, detail.contains("jti")), ("invalid_dpop_proof", true), "{detail}");
        assert_eq!(client.shows(&mut memory, &client.proof("two")).0, "valid");
    }
}

// I14: every check of RFC 9449 section 4.3 separately; the detail names the check.
#[test]
fn each_check_of_a_proof_refuses_its_defect() {
    let client = Client::new("ES256");
    let other =
        Client::with(Key::P256(p256::ecdsa::SigningKey::from_slice(&[9; 32]).unwrap()), "ES256");
    let header = |name: &str, value: Value| {
        let mut header = client.header();
        header[name] = value;
        client.sign(&header, &client.claims("j"))
    };
    let claim = |name: &str, value: Value| {
        let mut claims = client.claims("j");
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        client.sign(&client.header(), &claims)
    };
    let jwk = |name: &str, value: Value| {
        let mut jwk = client.key.public();
        jwk[name] = value;
        header("jwk", jwk)
    };
    let without = |name: &str| {
        let mut header = client.header();
        header.as_object_mut().unwrap().remove(name);
        client.sign(&header, &client.claims("j"))
    };
    let good = client.proof("j");
    let secret = json!({ "kty": "oct", "k": encode(&[7; 64]) });
    let hmac = Minter { key: Key::Secret(vec![7; 64]), alg: "HS256", kid: "" };
    let symmetric = json!({ "typ": "dpop+jwt", "alg": "HS256", "jwk": secret });
    let unsigned = json!({ "typ": "dpop+jwt", "alg": "none", "jwk": client.key.public() });
    let foreign = other.sign(&other.header(), &client.claims("j"));
    let forged = other.sign(&client.header(), &client.claims("j"));
    for (part, proof) in [
        // 2: one well-formed JWT.
        ("header DPoP", String::new()),
        ("form", "a".to_owned()),
        ("form", "a.b".to_owned()),
        ("form", format!("{good}, {good}")),
        ("form", format!("{good}.")),
        ("form", format!("{good}=")),
        ("form", format!(" {good}")),
        ("header DPoP", format!("{good}{}", "A".repeat(8192))),
        ("form", client.sign(&json!([]), &client.claims("j"))),
        ("payload", client.sign(&client.header(), &json!([]))),
        ("form", header("crit", json!(["exp"]))),
        ("form", header("x5u", json!("https://evil.example"))),
        // 3: all claims.
        ("jti", claim("jti", json!(null))),
        ("jti", claim("jti", json!(""))),
        ("jti", claim("jti", json!(7))),
        ("jti", claim("jti", json!("j".repeat(257)))),
        ("htm", claim("htm", json!(null))),
        ("htu", claim("htu", json!(null))),
        ("iat", claim("iat", json!(null))),
        ("iat", claim("iat", json!(NOW.to_string()))),
        ("ath", claim("ath", json!(null))),
        // 4: the type.
        ("typ", without("typ")),
        ("typ", header("typ", json!("JWT"))),
        ("typ", header("typ", json!("at+jwt"))),
        ("form", header("typ", json!(1))),
        // 5: the algorithm.
        ("alg", hmac.sign(&symmetric, &client.claims("j"))),
        ("form", client.sign(&unsigned, &client.claims("j"))),
        ("form", without("alg")),
        ("jwk", header("alg", json!("EdDSA"))),
        ("jwk", header("alg", json!("RS256"))),
        // 6: the signature, with the key in the proof.
        ("form", forged),
        ("form", without("jwk")),
        ("form", header("jwk", json!("key"))),
        ("jwk", jwk("x", json!("AAAA"))),
        ("jwk", jwk("kty", json!("oct"))),
        ("jwk", jwk("alg", json!("RS256"))),
        ("jwk", jwk("use", json!("enc"))),
        // 7: no private key.
        ("jwk", jwk("d", json!(encode(&[5; 32])))),
        ("jwk", jwk("p", json!("AQAB"))),
        ("jwk", jwk("k", json!("AQAB"))),
        // 8: the method.
        ("htm", claim("htm", json!("POST"))),
        ("htm", claim("htm", json!("get"))),
        ("htm", claim("htm", json!(""))),
        // 9: the URL.
        ("htu", claim("htu", json!("https://api.example/"))),
        ("htu", claim("htu", json!("https://api.example/orders/"))),
        ("htu", claim("htu", json!("https://api.example/orders/1"))),
        ("htu", claim("htu", json!("http://api.example/orders"))),
        ("htu", claim("htu", json!("https://api.example:8443/orders"))),
        ("htu", claim("htu", json!("https://evil.example/orders"))),
        ("htu", claim("htu", json!("/orders"))),
        ("htu", claim("htu", json!([URL]))),
        // 11: the time.
        ("iat", claim("iat", json!(NOW - 61))),
        ("iat", claim("iat", json!(NOW + 6))),
        ("iat", claim("iat", json!(-1))),
        ("iat", claim("iat", json!(1_u64 << 53))),
        // 12: the token, and the key that it is bound to.
        ("ath", claim("ath", json!(encode(&Sha256::digest("another"))))),
        ("ath", claim("ath", json!(format!("{}=", encode(&Sha256::digest(&client.token)))))),
        ("jwk", foreign),
    ] {
        let (code, detail) = client.shows(&mut ProofMemory::default(), &proof);
        assert_eq!(code, "invalid_dpop_proof", "{part}: {detail}");
        let named = format!("the DPoP proof's {part} is ");
        assert!(detail.starts_with(&named), "expected {part}, found: {detail}");
        assert!(!detail.contains(&client.token) && detail.len() < 500, "{detail}");
    }
    for proof in [
        header("typ", json!("application/DPOP+jwt")),
        header("kid", json!("any")),
        jwk("alg", json!("ES256")),
        jwk("use", json!("sig")),
        jwk("ext", json!(true)),
        claim("htu", json!("HTTPS://API.example:443/orders?a=b#c")),
        claim("iat", json!(NOW - 60)),
        claim("iat", json!(NOW + 5)),
        claim("nonce", json!("unexpected")),
        claim("more", json!({ "a": 1 })),
    ] {
        let (code, detail) = client.shows(&mut ProofMemory::default(), &proof);
        assert_eq!(code, "valid", "{detail}");
    }
}

// I14: the server determines the method and URL of the request.
#[test]
fn a_proof_is_accepted_only_for_its_own_request() {
    let client = Client::new("EdDSA");
    let verifier = verifier();
    let code = |method: &str, url: &str| {
        let memory = &mut ProofMemory::default();
        judge(&verifier, memory, &client.token, &client.proof("j"), method, url, NOW).0
    };
    assert_eq!(code("GET", URL), "valid");
    assert_eq!(code("GET", &format!("{URL}?page=2")), "valid");
    for (method, url) in [
        ("HEAD", URL),
        ("get", URL),
        ("", URL),
        ("GET", ""),
        ("GET", "/orders"),
        ("GET", "https://api.example/order"),
        ("GET", "https://api.example/orders%2F"),
        ("GET", "https://other.example/orders"),
    ] {
        assert_eq!(code(method, url), "invalid_dpop_proof", "{method} {url}");
    }
}

// I14: a query may contain a secret, and the detail is logged.
#[test]
fn no_query_is_in_the_detail_of_a_wrong_url() {
    let client = Client::new("EdDSA");
    let mut claims = client.claims("j");
    claims["htu"] = json!("https://evil.example/a?key=hidden");
    let proof = client.sign(&client.header(), &claims);
    let (memory, url) = (&mut ProofMemory::default(), "https://api.example/b?key=secret");
    let (code, detail) = judge(&verifier(), memory, &client.token, &proof, "GET", url, NOW);
    assert_eq!(code, "invalid_dpop_proof");
    assert!(detail.contains("evil.example/a\"") && detail.contains("api.example/b\""), "{detail}");
    assert!(!detail.contains("hidden") && !detail.contains("secret"), "{detail}");
}

// I14: a refusal of the token itself comes first, and the proof is not remembered then.
#[test]
fn a_proof_changes_nothing_for_a_token_that_is_refused() {
    let client = Client::new("ES256");
    let mut memory = ProofMemory::default();
    let proof = client.proof("j");
    let mut revoked = Minter::new("EdDSA").cold_verifier();
    let at = |verifier: &Verifier, memory: &mut ProofMemory, now| {
        judge(verifier, memory, &client.token, &proof, "GET", URL, now).0
    };
    assert_eq!(at(&revoked, &mut memory, NOW), "no_snapshot");
    assert_eq!(at(&verifier(), &mut memory, NOW + 10_000), "expired");
    assert_eq!(at(&verifier(), &mut memory, NOW), "valid");
    revoked.apply(History::new(1, vec![Record::Token(1)]).base(1), NOW).unwrap();
    assert_eq!(at(&revoked, &mut memory, NOW), "revoked_token");
    let (code, _) = judge(&revoked, &mut memory, &client.token, "", "GET", URL, NOW);
    assert_eq!(code, "revoked_token");
}

// I14: a route may serve undecided requests. It never gets a request with a wrong proof, and the
// proof of an undecided request is accepted when the request is repeated.
#[test]
fn a_stale_feed_hides_no_bad_proof_and_spends_no_good_one() {
    let client = Client::new("ES256");
    let (verifier, now) = (verifier(), NOW + 61);
    let (standing, _) = verifier.admit(&Jws::parse(&client.token).unwrap()).unwrap();
    let mut claims = client.claims("j");
    claims["iat"] = json!(now);
    let good = client.sign(&client.header(), &claims);
    let mut memory = ProofMemory::default();
    let mut code = |proof: &str, staleness| {
        let request = DpopRequest { token: &client.token, proof, method: "GET", url: URL };
        let shown = Presentation::Dpop(request, &mut memory);
        code_of(verifier.judge(&standing, shown, now, staleness)).0
    };
    assert_eq!(code(&client.proof("old"), Staleness::Configured), "invalid_dpop_proof");
    assert_eq!(code(&good, Staleness::Configured), "stale_snapshot");
    assert_eq!(code(&good, Staleness::Any), "valid");
    assert_eq!(code(&good, Staleness::Configured), "invalid_dpop_proof");
}

// I14: the scheme DPoP is only for tokens that are bound to a key.
#[test]
fn a_token_without_a_bound_key_is_refused_with_any_proof() {
    let client = Client::new("ES256");
    let minter = Minter::new("EdDSA");
    let jkt = thumbprint(&client.key.public());
    for (claims, expected) in [
        (claims(), "unbound_token"),
        (claims_with("cnf", json!({})), "sender_constrained"),
        (claims_with("cnf", json!({ "x5t#S256": jkt })), "sender_constrained"),
        (claims_with("cnf", json!({ "jkt": jkt, "x5t#S256": jkt })), "sender_constrained"),
    ] {
        let client = Client { token: minter.token(&claims), ..Client::new("ES256") };
        let found = client.shows(&mut ProofMemory::default(), &client.proof("j")).0;
        assert_eq!(found, expected);
    }
}

// I14: explain reports the same, and remembers no proof.
#[test]
fn explain_shows_the_defect_of_a_proof_and_remembers_none() {
    let client = Client::new("ES256");
    let verifier = verifier();
    let mut memory = ProofMemory::default();
    let mut step = |proof: &str| {
        let request = DpopRequest { token: &client.token, proof, method: "GET", url: URL };
        let shown = Presentation::Dpop(request, &mut memory);
        let steps = verifier.explain(Jws::parse(&client.token), shown, NOW);
        let failed = steps.into_iter().find(|step| step.finding != Some(Ok(())));
        failed.map(|step| (step.check, code_of(step.finding.unwrap()).0))
    };
    assert_eq!(step(""), Some((Check::Binding, "invalid_dpop_proof")));
    assert_eq!(step(&client.proof("j")), None);
    assert_eq!(step(&client.proof("j")), None);
    client.shows(&mut memory, &client.proof("j"));
    let request =
        DpopRequest { token: &client.token, proof: &client.proof("j"), method: "GET", url: URL };
    let shown = Presentation::Dpop(request, &mut memory);
    let steps = verifier.explain(Jws::parse(&client.token), shown, NOW);
    assert!(steps.iter().any(|step| step.check == Check::Binding && step.finding != Some(Ok(()))));
}

// I14: a proof is remembered while it could be accepted again; then its place is free.
#[test]
fn a_key_may_use_part_of_the_memory_until_its_proofs_are_too_old() {
    let client = Client::new("EdDSA");
    let verifier = verifier();
    let mut memory = ProofMemory::default();
    let mut at = |client: &Client, jti: usize, issued_at: u64, now: u64| {
        let mut claims = client.claims(&jti.to_string());
        claims["iat"] = json!(issued_at);
        let proof = client.sign(&client.header(), &claims);
        judge(&verifier, &mut memory, &client.token, &proof, "GET", URL, now)
    };
    for jti in 0..MAX_PROOFS_OF_A_KEY {
        assert_eq!(at(&client, jti, NOW, NOW).0, "valid");
    }
    let (code, detail) = at(&client, usize::MAX, NOW, NOW);
    assert_eq!((code, detail.contains("1024")), ("invalid_dpop_proof", true), "{detail}");
    // Another client is not affected.
    assert_eq!(at(&Client::new("ES256"), 0, NOW, NOW).0, "valid");
    assert_eq!(at(&client, 0, NOW, NOW + 60).0, "invalid_dpop_proof");
    assert_eq!(at(&client, usize::MAX, NOW + 60, NOW + 60).0, "invalid_dpop_proof");
    assert_eq!(at(&client, usize::MAX, NOW + 61, NOW + 61).0, "valid");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    // I14: a proof that was changed at any place is refused.
    #[test]
    fn no_altered_proof_passes(at in any::<prop::sample::Index>(), with in "[ -~]|\u{e9}") {
        let client = Client::new("ES256");
        let proof = client.proof("j");
        let at = at.index(proof.len());
        let altered = format!("{}{with}{}", &proof[..at], &proof[at + 1..]);
        prop_assume!(altered != proof);
        let found = client.shows(&mut ProofMemory::default(), &altered).0;
        prop_assert_eq!(found, "invalid_dpop_proof");
    }

    // I14: no text panics, and none is accepted.
    #[test]
    fn no_text_is_a_proof(proof in ".{0,300}", method in ".{0,9}", url in ".{0,99}") {
        let client = Client::new("EdDSA");
        let memory = &mut ProofMemory::default();
        for (proof, method, url) in [
            (&*proof, "GET", URL),
            (&*client.proof("j"), &*method, URL),
            (&*client.proof("j"), "GET", &*url),
        ] {
            let found = judge(&verifier(), memory, &client.token, proof, method, url, NOW).0;
            prop_assert_eq!(found, "invalid_dpop_proof");
        }
    }
}

fn verifier() -> Verifier {
    feed::verifier(&Minter::new("EdDSA"))
}

fn judge(
    verifier: &Verifier,
    memory: &mut ProofMemory,
    token: &str,
    proof: &str,
    method: &str,
    url: &str,
    now: u64,
) -> (&'static str, String) {
    let admitted = Jws::parse(token).and_then(|jws| verifier.admit(&jws));
    let (standing, _) = admitted.unwrap();
    let shown = Presentation::Dpop(DpopRequest { token, proof, method, url }, memory);
    code_of(verifier.judge(&standing, shown, now, Staleness::Any))
}

fn code_of(judged: Result<(), Objection>) -> (&'static str, String) {
    match judged {
        Ok(()) => ("valid", String::new()),
        Err(Objection::Refused(refusal)) => (refusal.code(), refusal.to_string()),
        Err(Objection::Undecided(undecided)) => (undecided.code(), undecided.to_string()),
    }
}

/// RFC 7638, implemented differently: serde_json sorts the members of the key.
fn thumbprint(jwk: &Value) -> String {
    encode(&Sha256::digest(jwk.to_string()))
}
