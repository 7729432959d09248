//! No input makes the verifier panic or run out of stack; the fuzz targets test this further.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use offswitch_verifier::snapshot::{Position, Snapshot};
use offswitch_verifier::{Jws, KeySet, MAX_TOKEN_BYTES, VerifierConfig, VerifyingKey};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use support::feed::{History, Record, body_at, follower, seal, signer};
use support::{ALGORITHMS, Minter, NOW, claims, feed};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    // V14
    #[test]
    fn random_bytes_are_neither_token_nor_key_nor_snapshot(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes);
        let verifier = feed::verifier(&Minter::new("EdDSA"));
        prop_assert!(!verifier.verify(&text, NOW).is_valid());
        prop_assert!(Jws::parse(&text).is_err());
        prop_assert!(KeySet::from_jwks(&bytes, &[]).is_err());
        prop_assert!(VerifierConfig::from_json(&text).is_err());
        prop_assert!(Snapshot::open(bytes.clone(), &signer().feed_keys()).is_err());
        let _ = text.parse::<Position>();
        let _ = follower().apply(seal(&bytes), NOW);
    }

    // V14: the same with a valid signature, over any header and payload.
    #[test]
    fn a_signed_token_with_random_parts_is_not_valid(
        header in proptest::collection::vec(any::<u8>(), 0..60),
        payload in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let minter = Minter::new("EdDSA");
        let verifier = feed::verifier(&minter);
        let (good_header, good_payload) = (minter.header().to_string(), claims().to_string());
        for (header, payload) in [
            (&header[..], good_payload.as_bytes()), (good_header.as_bytes(), &payload[..]),
            (&header[..], &payload[..]),
        ] {
            prop_assert_eq!(verifier.verify(&minter.sign_bytes(header, payload), NOW).code(), "malformed");
        }
    }

    // V14: a good token with bytes replaced, cut out, doubled or exchanged.
    #[test]
    fn a_mutated_token_is_not_valid(alg in 0..ALGORITHMS.len(), mutations in mutations()) {
        let minter = Minter::new(["EdDSA", "ES256", "HS256"][alg % 3]);
        let token = minter.token(&claims());
        let bytes = mutate(token.clone().into_bytes(), &mutations);
        let text = String::from_utf8_lossy(&bytes);
        let verdict = feed::verifier(&minter).verify(&text, NOW);
        prop_assert_eq!(verdict.is_valid(), text == token);
    }

    // V14: a good key with its text mutated, or members exchanged between kinds of keys.
    #[test]
    fn a_mutated_key_does_not_panic(alg in 0..ALGORITHMS.len(), other in 0..ALGORITHMS.len(), mutations in mutations()) {
        let mut jwk = Minter::new(ALGORITHMS[alg]).jwk();
        let text = mutate(jwk.to_string().into_bytes(), &mutations);
        if let Ok(set) = KeySet::from_jwks(&text, &[]) {
            set.keys().iter().for_each(|key| assert!(!key.accepts(&text, &text)));
        }
        for (name, value) in Minter::new(ALGORITHMS[other]).jwk().as_object().unwrap() {
            jwk[name] = value.clone();
            if let Ok(key) = VerifyingKey::from_jwk(jwk.to_string().as_bytes()) {
                prop_assert!(!key.accepts(&[0; 64], b"") && !key.accepts(&text, &text));
            }
        }
    }

    // V14, S10: mutated bodies with a valid signature: every method of an opened snapshot can be
    // called.
    #[test]
    fn a_mutated_snapshot_does_not_panic(mutations in mutations(), from in 0..6usize, probe in any::<u64>()) {
        let history = History::new(1, vec![Record::Token(1), Record::User(2, 3), Record::Session(4), Record::Epoch(5), Record::DeadKey(6), Record::User(7, 8)]);
        let good = history.range(from, 6, NOW);
        let body = mutate(good[body_at(1)..].to_vec(), &mutations);
        let mut held = follower();
        held.apply(history.base(3), NOW).unwrap();
        for mut feed in [follower(), held] {
            let floor = feed.floor().position;
            let _ = feed.apply(seal(&body), NOW);
            prop_assert!(feed.floor().position >= floor);
            let _ = feed::Model::of(&feed);
            let _ = (feed.since(), feed.age_seconds(probe), feed.is_past_validity(probe));
        }
        if let Ok(snapshot) = Snapshot::open(seal(&body), &signer().feed_keys()) {
            prop_assert_eq!(snapshot.denied().count(), snapshot.denied_count());
            prop_assert_eq!(snapshot.cutoffs().count(), snapshot.cutoffs_count());
            let _ = snapshot.is_denied(offswitch_verifier::snapshot::Fingerprint(probe));
            let _ = snapshot.cutoff(offswitch_verifier::snapshot::Fingerprint(probe));
        }
    }

    // V14: the JSON of a configuration with one value replaced by any other.
    #[test]
    fn a_mutated_configuration_does_not_panic(mutations in mutations()) {
        let config = serde_json::to_string(&support::config(vec![Minter::new("EdDSA").rules()])).unwrap();
        let text = mutate(config.into_bytes(), &mutations);
        if let Ok(config) = VerifierConfig::from_json(&String::from_utf8_lossy(&text)) {
            prop_assert!(offswitch_verifier::Verifier::new(config).is_ok());
        }
    }
}

// X21: as deep as each size limit allows, on a stack of a quarter of wasm's size.
#[test]
fn deeply_nested_json_is_refused_without_exhausting_the_stack() {
    let check = || {
        let minter = Minter::new("HS256");
        let verifier = feed::verifier(&minter);
        let deep = |open: &str, close: &str, levels: usize| {
            format!("{{\"x\":{}1{}}}", open.repeat(levels), close.repeat(levels))
        };
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
            for levels in [130, 400, 1500] {
                let text = deep(open, close, levels);
                for text in [text.clone(), text[..text.len() / 2].to_owned()] {
                    let header = minter.header().to_string();
                    let payload = minter.sign_bytes(header.as_bytes(), text.as_bytes());
                    assert_eq!(verifier.verify(&payload, NOW).code(), "malformed");
                    let header = minter.sign_bytes(text.as_bytes(), b"{}");
                    assert_eq!(verifier.verify(&header, NOW).code(), "malformed");
                }
            }
            for text in [deep(open, close, 20_000), open.repeat(20_000)] {
                assert!(KeySet::from_jwks(text.as_bytes(), &[]).is_err());
                assert!(VerifierConfig::from_json(&text).is_err());
            }
        }
        // 100,000 levels do not fit a token, and are refused because of their length.
        let text = deep("[", "]", 100_000);
        let token = minter.sign_bytes(minter.header().to_string().as_bytes(), text.as_bytes());
        assert!(token.len() > MAX_TOKEN_BYTES);
        assert_eq!(verifier.verify(&token, NOW).code(), "malformed");
        let mut nested = claims();
        nested["x"] = (0..100).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(verifier.verify(&minter.token(&nested), NOW).code(), "valid");
    };
    std::thread::Builder::new().stack_size(256 * 1024).spawn(check).unwrap().join().unwrap();
}

// V14, X20: many copies of everything that can be repeated within the limits of size.
#[test]
fn a_token_full_of_members_or_audiences_gets_a_verdict() {
    let minter = Minter::new("HS256");
    let verifier = feed::verifier(&minter);
    let many: Vec<Value> = (0..3000).map(|number| json!(format!("{number}"))).collect();
    let mut token_claims = claims();
    token_claims["aud"] = json!(many[..1200]);
    assert_eq!(verifier.verify(&minter.token(&token_claims), NOW).code(), "wrong_audience");
    token_claims["aud"] = json!(many);
    assert_eq!(verifier.verify(&minter.token(&token_claims), NOW).code(), "malformed");
    let mut token_claims = claims();
    (0..900).for_each(|number| token_claims[format!("m{number}")] = json!(0));
    assert_eq!(verifier.verify(&minter.token(&token_claims), NOW).code(), "valid");
}

#[derive(Debug, Clone)]
enum Mutation {
    Cut(Index, Index),
    Double(Index, Index),
    Insert(Index, u8),
    Set(Index, u8),
    Swap(Index, Index),
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let byte = || prop_oneof![any::<u8>(), Just(b'.'), Just(b'"'), Just(0), Just(0xff), Just(0x80)];
    let mutation = prop_oneof![
        any::<(Index, Index)>().prop_map(|(one, other)| Mutation::Cut(one, other)),
        any::<(Index, Index)>().prop_map(|(one, other)| Mutation::Double(one, other)),
        (any::<Index>(), byte()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        (any::<Index>(), byte()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        any::<(Index, Index)>().prop_map(|(one, other)| Mutation::Swap(one, other)),
    ];
    proptest::collection::vec(mutation, 1..4)
}

fn mutate(mut bytes: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
    for mutation in mutations {
        if bytes.is_empty() {
            return bytes;
        }
        let length = bytes.len();
        let range = |one: &Index, other: &Index| {
            let (one, other) = (one.index(length), other.index(length));
            one.min(other)..one.max(other)
        };
        match mutation {
            Mutation::Cut(one, other) => drop(bytes.drain(range(one, other))),
            Mutation::Double(one, other) => {
                let range = range(one, other);
                let part = bytes[range.clone()].to_vec();
                bytes.splice(range.start..range.start, part);
            }
            Mutation::Insert(at, byte) => bytes.insert(at.index(length), *byte),
            Mutation::Set(at, byte) => bytes[at.index(length)] = *byte,
            Mutation::Swap(one, other) => bytes.swap(one.index(length), other.index(length)),
        }
    }
    bytes
}
