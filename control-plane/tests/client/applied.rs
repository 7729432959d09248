//! Real verifiers of Rust services answer for what they hold.

use std::time::Duration;

use offswitch_client::{Follow, Verifier};
use serde_json::json;

use crate::support::oauth::text;
use crate::support::process::ControlPlane;
use crate::{check, feed_of, options_for, until};

// P01: by stream, long poll and poll: when the answer says that all hold the revocation, all refuse.
#[tokio::test]
async fn when_a_revocation_is_applied_every_verifier_refuses() {
    let plane = ControlPlane::start().await;
    let mut verifiers = Vec::new();
    for (follow, name) in [
        (Follow::Stream, "by-stream"),
        (Follow::LongPoll, "by-long-poll"),
        (Follow::Poll, "by-poll"),
    ] {
        let feed = feed_of(&plane).await.follow(follow).name(name);
        verifiers.push(Verifier::start(options_for(&plane, feed)).await.unwrap());
    }
    until("the stream is followed", || verifiers[0].status().following == Follow::Stream).await;
    for round in 0..3 {
        let session = plane.login("alice").await;
        let token = text(&session, "access_token");
        for verifier in &verifiers {
            assert_eq!(check(verifier, token).code(), "valid");
        }
        let body = json!({ "sub": "alice" });
        let answer = plane.posted("/v1/revocations?wait=applied&timeout=20", &body).await;
        let codes: Vec<_> = verifiers.iter().map(|one| check(one, token).code()).collect();
        assert_eq!(codes, ["revoked_user"; 3], "round {round}: {answer}");
        let applied = &answer["applied"];
        assert_eq!(
            (&applied["complete"], &applied["holding"]),
            (&json!(true), &json!(3)),
            "{applied}"
        );
    }
    let listed = plane.got("/v1/followers").await;
    let mut names: Vec<_> =
        listed["followers"].as_array().unwrap().iter().map(|one| one["name"].as_str()).collect();
    names.sort();
    assert_eq!(names, [Some("by-long-poll"), Some("by-poll"), Some("by-stream")]);
    assert_eq!(listed["followers"][0]["software"], "rust/0.1.0");
}

// P01, P02: one that follows no more is named, and no answer is complete until it has to refuse.
#[tokio::test]
async fn a_verifier_that_is_gone_is_named_until_it_would_refuse() {
    let plane = ControlPlane::start().await;
    let feed = feed_of(&plane).await.name("gone").max_staleness_seconds(30);
    let verifier = Verifier::start(options_for(&plane, feed)).await.unwrap();
    until("the stream is followed", || verifier.status().following == Follow::Stream).await;
    drop(verifier);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let body = json!({ "sub": "alice" });
    let applied =
        plane.posted("/v1/revocations?wait=applied&timeout=1", &body).await["applied"].clone();
    assert_eq!(
        (&applied["complete"], &applied["silent"][0]["name"]),
        (&json!(false), &json!("gone"))
    );
    let seconds = applied["refuse_within_seconds"].as_u64().unwrap();
    assert!((20..=30).contains(&seconds), "{applied}");
}
