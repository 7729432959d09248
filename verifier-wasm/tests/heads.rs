//! The head of a feed: `snapshot/HEAD.md` has the rules, and `snapshot/vectors/heads.json` cases for readers in
//! every language.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

use offswitch_verifier::snapshot::{FeedHead, Part, Position, Step};
use serde_json::Value;

// P05: every rule of the format, and what a reader does next from each position.
#[test]
fn every_head_of_the_vectors_is_read_as_they_say() {
    let vectors: Value =
        serde_json::from_str(include_str!("../snapshot/vectors/heads.json")).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() >= 25, "{} cases", cases.len());
    for case in cases {
        let what = case["what"].as_str().unwrap();
        let head = serde_json::from_value::<FeedHead>(case["head"].clone());
        let error = match &head {
            Err(_) => Some("head_malformed"),
            Ok(head) => head.check("feed").err().map(|error| error.code()),
        };
        assert_eq!(error, case["error"].as_str(), "{what}");
        for step in case["steps"].as_array().into_iter().flatten() {
            let held = step["held"].as_str().map(|held| held.parse::<Position>().unwrap());
            let [base, ask] = ["may_take_base", "may_ask"].map(|one| step[one].as_bool().unwrap());
            let next = match head.as_ref().unwrap().next_step(held, base, ask) {
                Step::Behind => "behind".to_owned(),
                Step::Fetch(part) => format!("fetch {part}"),
                Step::Ask(part) => format!("ask {part}"),
                Step::Heartbeat => "heartbeat".to_owned(),
                Step::NoWay => "no way".to_owned(),
            };
            assert_eq!(next, step["step"].as_str().unwrap(), "{what}: {step}");
        }
    }
}

// P05: a name is read in one spelling only, so that no part has two names.
#[test]
fn each_part_has_exactly_one_name() {
    for name in ["bases/7.1-00112233445566ff", "deltas/7.1_7.9", "deltas/1795489144.5_1795489144.6"]
    {
        assert_eq!(name.parse::<Part>().unwrap().to_string(), name);
    }
    for name in [
        "",
        "head",
        "bases/7.1",
        "bases/7.1-",
        "bases/7.1-00112233445566FF",
        "bases/07.1-00112233445566ff",
        "bases/7.1-00112233445566ff/x",
        "bases/../7.1-00112233445566ff",
        "deltas/7.1",
        "deltas/7.1_7.9_7.10",
        "deltas/7.01_7.9",
        "deltas/+7.1_7.9",
        "/deltas/7.1_7.9",
        "delta/7.1_7.9",
    ] {
        assert!(name.parse::<Part>().is_err(), "{name}");
    }
}

// P05: a heartbeat is long enough for eight signatures, and what is longer is not decoded.
#[test]
fn a_heartbeat_that_is_no_base64_or_too_long_is_refused() {
    let text = include_str!("../snapshot/vectors/heads.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let mut head: FeedHead = serde_json::from_value(vectors["cases"][0]["head"].clone()).unwrap();
    for heartbeat in ["!", "AAA", "A", &"A".repeat(12_000)] {
        head.heartbeat = heartbeat.to_owned();
        assert!(head.heartbeat_bytes().is_err(), "{heartbeat:.10}");
        assert!(head.open_heartbeat(&[]).is_err());
    }
    head.heartbeat = FeedHead::heartbeat_text(&[7; 8_000]);
    assert_eq!(head.heartbeat_bytes(), Ok(vec![7; 8_000]));
}
