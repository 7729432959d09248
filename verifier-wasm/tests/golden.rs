//! The vectors of the format, `vectors/`: these bytes mean the same in every version.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_verifier::Feed;
use offswitch_verifier::snapshot::{
    ClaimValue, Cutoff, FeedKey, Fingerprint, Fingerprinter, Salt, Selector, Snapshot,
};
use serde_json::{Value, json};

// S17: the results, the contents and the state that vectors.json lists for each case.
#[test]
fn every_vector_has_its_documented_meaning() {
    let golden = golden();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 25, "{} cases", cases.len());
    for case in cases {
        let trusted = trusted(&golden, case);
        let now = number(&golden["now"]).saturating_add(10);
        let mut feed = Feed::new(text(&golden["feed"]).to_owned(), trusted.clone());
        let files = case["apply"].as_array().unwrap();
        let mut result = "";
        for file in files {
            result = match feed.apply(bytes(text(file)), now) {
                Ok(applied) => applied.code(),
                Err(problem) => problem.code(),
            };
        }
        let what = text(&case["what"]);
        assert_eq!(result, text(&case["result"]), "{what}");
        let position = feed.position().map(|position| position.to_string());
        assert_eq!(position.as_deref(), case["position"].as_str(), "{what}");
        if let Some(age) = case["age_seconds"].as_u64() {
            assert_eq!(feed.age_seconds(now), Some(age), "{what}");
        }
        check_state(&feed, text(&golden["issuer"]), case);
        let last = Snapshot::open(bytes(text(files.last().unwrap())), &trusted);
        match case["snapshot"].as_object() {
            Some(_) => check_contents(&last.unwrap(), case, text(&golden["issuer"])),
            None => assert!(last.is_err(), "{what}"),
        }
    }
}

// S17, S10: if any part of a vector is changed or missing, nothing is read and nothing panics.
#[test]
fn no_part_of_a_vector_is_accepted_as_the_whole() {
    let golden = golden();
    let trusted = trusted(&golden, &golden["cases"][0]);
    for file in golden["files"].as_array().unwrap() {
        let whole = bytes(text(&file["file"]));
        if Snapshot::open(whole.clone(), &trusted).is_err() {
            continue;
        }
        // Signatures by keys that are not trusted are ignored, and nothing else is.
        let others = file["order"]["other_seeds"].as_array().map_or(0, Vec::len);
        let passed_over = 78..78_usize.saturating_add(others.saturating_mul(72));
        // The large vectors are large in only one part.
        let step = whole.len().div_ceil(400);
        for length in (0..whole.len()).step_by(step) {
            assert!(Snapshot::open(whole[..length].to_vec(), &trusted).is_err(), "{file}");
        }
        for at in (0..whole.len()).step_by(step) {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            let opened = Snapshot::open(changed, &trusted);
            assert_eq!(opened.is_ok(), passed_over.contains(&at), "{file}: byte {at}");
        }
    }
}

fn check_state(feed: &Feed, issuer: &str, case: &Value) {
    let what = text(&case["what"]);
    for (names, is_revoked) in [(&case["revoked"], true), (&case["unaffected"], false)] {
        for (list, claim) in [("tokens", "jti"), ("sessions", "sid")] {
            for id in names[list].as_array().into_iter().flatten() {
                assert_eq!(feed.is_denied(issuer, claim, text(id)), is_revoked, "{what}: {id}");
            }
        }
        for one in names["claims"].as_array().into_iter().flatten() {
            let id = claims_of(one, feed.salt().unwrap(), issuer);
            let found = one["not_before"].as_u64().map_or_else(
                || feed.holds(id),
                |not_before| feed.cutoff_of(id) == Some(Cutoff { minimum_version: 0, not_before }),
            );
            assert_eq!(found, is_revoked, "{what}: {one}");
        }
        for kid in names["keys"].as_array().into_iter().flatten() {
            assert_eq!(feed.is_dead(issuer, text(kid)), is_revoked, "{what}: {kid}");
        }
        for user in names["users"].as_array().into_iter().flatten() {
            // An unaffected user is only a name.
            let name = user.as_str().unwrap_or_else(|| text(&user["sub"]));
            let cutoff = feed.cutoff(issuer, "sub", name);
            assert_eq!(cutoff, is_revoked.then(|| cutoff_of(user)), "{what}: {user}");
        }
    }
}

fn check_contents(snapshot: &Snapshot, case: &Value, issuer: &str) {
    let expected = &case["snapshot"];
    assert_eq!(snapshot.from().to_string(), text(&expected["from"]));
    assert_eq!(snapshot.to().to_string(), text(&expected["to"]));
    assert_eq!(snapshot.issued_at(), number(&expected["issued_at"]));
    assert_eq!(snapshot.valid_until(), number(&expected["valid_until"]));
    let rules = snapshot.issuers().iter().find(|rules| rules.issuer == issuer).unwrap();
    assert_eq!(rules.epoch, number(&expected["epoch"]));
    for (name, found) in
        [("horizons", json!(rules.horizons)), ("selectors", json!(rules.selectors))]
    {
        assert!(expected[name].is_null() || expected[name] == found, "{found}");
    }
    let counts = [snapshot.denied_count(), snapshot.cutoffs_count(), snapshot.dead_keys().count()];
    let names = ["denied", "cutoffs", "dead_keys"];
    assert_eq!(counts.map(Some), names.map(|name| usize::try_from(number(&expected[name])).ok()));
    assert_eq!(snapshot.denied().count(), snapshot.denied_count());
    assert!(snapshot.denied().is_sorted() && snapshot.cutoffs().is_sorted_by_key(|(id, _)| id));
    for id in snapshot.denied() {
        assert!(snapshot.is_denied(id));
    }
    for (id, cutoff) in snapshot.cutoffs() {
        assert_eq!(snapshot.cutoff(id), Some(cutoff));
    }
    let unlisted = Fingerprint::of_claim(snapshot.salt(), issuer, "jti", "unlisted");
    assert!(!snapshot.is_denied(unlisted) && snapshot.cutoff(unlisted).is_none());
}

fn golden() -> Value {
    serde_json::from_slice(&bytes("vectors.json")).unwrap()
}

fn bytes(file: &str) -> Vec<u8> {
    std::fs::read(format!("{}/snapshot/vectors/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn trusted(golden: &Value, case: &Value) -> Vec<FeedKey> {
    let key = |seed: &Value| {
        let key = Base64UrlUnpadded::decode_vec(text(&golden["public_keys"][text(seed)])).unwrap();
        FeedKey::from_bytes(&key.try_into().unwrap()).unwrap()
    };
    case["trust"].as_array().unwrap().iter().map(key).collect()
}

fn claims_of(one: &Value, salt: Salt, issuer: &str) -> Fingerprint {
    let claims = one["claims"].as_object().unwrap();
    let selector = Selector::new(claims.keys()).unwrap();
    let values: Vec<ClaimValue<'_>> = claims.values().map(|value| text(value).into()).collect();
    let issuer = one["issuer"].as_str().unwrap_or(issuer);
    Fingerprinter::new(salt, issuer, &selector).of(&values)
}

fn cutoff_of(user: &Value) -> Cutoff {
    Cutoff {
        minimum_version: number(&user["minimum_version"]),
        not_before: number(&user["not_before"]),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}
