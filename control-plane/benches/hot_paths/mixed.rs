//! A log of many mixed revocations of one issuer, with five selectors in use: its base, and the verdicts of
//! a verifier that has it, each compared with what was revoked.

use std::collections::BTreeMap;
use std::time::Instant;

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use offswitch_core::fold::Fold;
use offswitch_core::issuers::{Definition, Issuers};
use offswitch_core::log::Checkpoint;
use offswitch_core::record::{Record, Revocation};
use offswitch_snapshot::{ClaimValue, Content, Salt, SnapshotSigner};
use offswitch_verifier::{KeySet, Verifier, VerifierConfig};
use serde_json::{Value, json};

use super::figure::print_times;
use super::{ISSUER, NOW, VALIDITY};

pub(super) fn run(signer: &SnapshotSigner, entries: u64, rounds: usize) {
    let mut fold = registered();
    for request in 0..1000 {
        let all = (0..entries / 1000).map(|number| revocation(request * (entries / 1000) + number));
        push(&mut fold, request + 2, all.collect());
    }
    let sign = |content: &Content<'_>| signer.sign(content);
    let (mut rebuilt, mut loaded) = (Vec::new(), Vec::new());
    let mut verifier = verifier();
    let mut size = 0;
    for _ in 0..rounds {
        let begin = Instant::now();
        let (_, bytes) = fold.compaction().run(NOW, VALIDITY, sign);
        rebuilt.push(begin.elapsed());
        verifier = self::verifier();
        size = bytes.len();
        let begin = Instant::now();
        verifier.apply(bytes, NOW).unwrap();
        loaded.push(begin.elapsed());
    }
    let selectors = verifier.feed().rules_of(IDP).unwrap().selectors.len();
    let what = format!("base of {entries} mixed revocations, {selectors} selectors in use");
    let more = format!("{size} bytes");
    print_times(&format!("{what}, rebuilt and signed"), &rebuilt, &Value::Null, &more);
    print_times(&format!("{what}, verified and loaded natively"), &loaded, &Value::Null, &more);
    let (mut count, mut wrong) = (0, 0);
    for number in (0..entries).step_by(97) {
        for (claims, code) in tokens(number) {
            let found = verifier.verify(&mint(&claims), NOW).code().to_owned();
            count += 1;
            wrong += usize::from(found != code);
        }
    }
    assert_eq!(wrong, 0, "of {count} verdicts, so many differ from what was revoked");
}

/// One of five kinds: a token, a session, a user, a client, a user in one client.
fn revocation(number: u64) -> Revocation {
    let (issuer, exp) = (Some(IDP.to_owned()), 0);
    let claims = |pairs: &[(&str, String)]| {
        let text = |id: &String| ClaimValue::Text(id.clone().into());
        let claims = pairs.iter().map(|(name, id)| ((*name).to_owned(), text(id)));
        let claims: BTreeMap<_, _> = claims.collect();
        Revocation::Claims { issuer: Some(IDP.to_owned()), claims, issued_before: CUTOFF, exp }
    };
    match number % 10 {
        0..=4 => Revocation::Token { issuer, jti: format!("token-{number}"), exp },
        5 | 6 => Revocation::Session { issuer, sid: format!("session-{number}"), exp },
        7 => {
            let (sub, issued_before) = (format!("user-{number}"), Some(CUTOFF));
            Revocation::User { issuer, sub, issued_before, exp }
        }
        8 => claims(&[("client_id", format!("client-{number}"))]),
        _ => claims(&[("client_id", "shared".to_owned()), ("sub", format!("user-{number}"))]),
    }
}

/// A token that the revocation of this number matches, and its neighbours, which none matches.
fn tokens(number: u64) -> Vec<(Value, &'static str)> {
    let fresh = json!({
        "iss": IDP, "aud": "api", "iat": CUTOFF - 1, "exp": NOW + 60, "jti": "free", "sid": "free",
        "sub": "free", "client_id": "free",
    });
    let with = |changes: Value| {
        let mut claims = fresh.clone();
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        claims
    };
    let user = format!("user-{number}");
    match number % 10 {
        0..=4 => vec![
            (with(json!({ "jti": format!("token-{number}") })), "revoked_token"),
            (with(json!({ "sid": format!("token-{number}") })), "valid"),
        ],
        5 | 6 => vec![
            (with(json!({ "sid": format!("session-{number}") })), "revoked_session"),
            (with(json!({ "jti": format!("session-{number}") })), "valid"),
        ],
        7 => vec![
            (with(json!({ "sub": user })), "revoked_user"),
            (with(json!({ "sub": user, "iat": CUTOFF })), "valid"),
        ],
        8 => {
            let client = format!("client-{number}");
            vec![
                (with(json!({ "client_id": client })), "revoked_claims"),
                (with(json!({ "client_id": client, "iat": CUTOFF })), "valid"),
            ]
        }
        _ => vec![
            (with(json!({ "sub": user, "client_id": "shared" })), "revoked_claims"),
            (with(json!({ "sub": user })), "valid"),
            (with(json!({ "client_id": "shared" })), "valid"),
        ],
    }
}

/// A log in which one issuer is registered.
pub(super) fn registered() -> Fold {
    let mut fold = Fold::begin(Salt::default(), ISSUER, 1, &Checkpoint::default()).unwrap();
    let definition = Definition { issuer: IDP.to_owned(), ..Definition::default() };
    let registration = definition.check("idp", &Issuers::new(ISSUER)).unwrap();
    push(
        &mut fold,
        1,
        vec![Revocation::Issuer { name: "idp".to_owned(), registration: Box::new(registration) }],
    );
    fold
}

pub(super) fn push(fold: &mut Fold, seq: u64, revocations: Vec<Revocation>) {
    let record = Record { at: NOW, by: "bench".to_owned(), reason: None, revocations };
    fold.push(seq, &record.encode()).unwrap();
}

fn verifier() -> Verifier {
    let public = SigningKey::from_bytes(&super::FEED_SEED).verifying_key();
    let public = Base64UrlUnpadded::encode_string(public.as_bytes());
    let config = json!({
        "issuers": [{
            "issuer": IDP, "audience": ["api"], "algorithms": ["EdDSA"],
            "requiredClaims": ["exp", "iat"], "types": ["at+jwt"],
        }],
        "feed": { "id": ISSUER, "publicKeys": [public], "maxStaleness": 60 },
    });
    let mut verifier =
        Verifier::new(VerifierConfig::from_json(&config.to_string()).unwrap()).unwrap();
    let x = Base64UrlUnpadded::encode_string(key().verifying_key().as_bytes());
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "k", "x": x });
    let jwks = json!({ "keys": [jwk] }).to_string();
    assert!(verifier.set_keys(IDP, KeySet::from_jwks(jwks.as_bytes(), &[]).unwrap()));
    verifier
}

fn mint(claims: &Value) -> String {
    let encode = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
    let header = json!({ "alg": "EdDSA", "kid": "k", "typ": "at+jwt" });
    let signed = format!("{}.{}", encode(&header), encode(claims));
    let signature = key().sign(signed.as_bytes()).to_bytes();
    format!("{signed}.{}", Base64UrlUnpadded::encode_string(&signature))
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

pub(super) const IDP: &str = "https://idp.example";
const CUTOFF: u64 = NOW - 10;
