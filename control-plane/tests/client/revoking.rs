//! From a revocation at a real control plane to the refusal in a Rust service.

use std::time::Duration;

use offswitch_client::{Follow, Verifier, Watched};
use serde_json::json;

use crate::support::oauth::text;
use crate::support::process::ControlPlane;
use crate::{check, feed_of, options_for, until, verifier_for};

// S15: by stream, each kind of revocation is refused within a second.
#[tokio::test]
async fn a_revocation_is_refused_within_a_second() {
    let plane = ControlPlane::start().await;
    let verifier = verifier_for(&plane).await;
    until("the stream is followed", || verifier.status().following == Follow::Stream).await;
    for (kind, code) in
        [("jti", "revoked_token"), ("session_id", "revoked_session"), ("sub", "revoked_user")]
    {
        let session = plane.login(&format!("user of {kind}")).await;
        let token = text(&session, "access_token").to_owned();
        assert_eq!(check(&verifier, &token).code(), "valid");
        assert_eq!(check(&verifier, &token).code(), "valid", "seen before");
        let claims = check(&verifier, &token).claims().unwrap().clone();
        let value = match kind {
            "session_id" => claims.string("sid"),
            name => claims.string(name),
        };
        plane.posted("/v1/revocations", &json!({ kind: value.unwrap() })).await;
        let took = until(kind, || check(&verifier, &token).code() == code).await;
        assert!(took < Duration::from_secs(1), "{kind}: {took:?}");
    }
    assert_eq!(verifier.status().feed.failures, 0);
}

// S15: what is still open ends with the revocation, and what is dropped is not watched any more.
#[tokio::test]
async fn a_watched_token_ends_with_its_session() {
    let plane = ControlPlane::start().await;
    let verifier = verifier_for(&plane).await;
    let session = plane.login("alice").await;
    let token = text(&session, "access_token");
    let other = plane.login("bob").await;
    let (mut alice, mut bob) =
        (verifier.watch(token), verifier.watch(text(&other, "access_token")));
    assert_eq!(verifier.status().watched, 2);
    let early = tokio::time::timeout(Duration::from_millis(300), alice.changed()).await;
    assert!(early.is_err(), "nothing has happened yet: {early:?}");
    plane.posted("/v1/revocations", &json!({ "sub": "alice" })).await;
    let ended = tokio::time::timeout(Duration::from_secs(2), alice.changed()).await.unwrap();
    assert!(matches!(&ended, Watched::Refused(one) if one.code() == "revoked_user"), "{ended:?}");
    assert_eq!(alice.refused().await.code(), "revoked_user", "it stays refused");
    let still = tokio::time::timeout(Duration::from_millis(300), bob.changed()).await;
    assert!(still.is_err(), "{still:?}");
    drop((alice, bob));
    assert_eq!(verifier.status().watched, 0);
}

// S07: a feed that is gone leaves tokens undecided in time, and its return is noticed.
#[tokio::test]
async fn a_dead_control_plane_makes_verdicts_undecided_and_its_return_valid() {
    let folder = tempfile::tempdir().unwrap();
    let mut plane = ControlPlane::start_in(folder.path(), &[]).await;
    let session = plane.login("alice").await;
    let token = text(&session, "access_token").to_owned();
    let feed = feed_of(&plane).await.max_staleness_seconds(3);
    let verifier = Verifier::start(options_for(&plane, feed)).await.unwrap();
    assert_eq!(check(&verifier, &token).code(), "valid");
    let mut watch = verifier.watch(&token);
    plane.kill();
    until("it is too old", || check(&verifier, &token).code() == "stale_snapshot").await;
    let seen = tokio::time::timeout(Duration::from_secs(3), watch.changed()).await.unwrap();
    assert!(matches!(&seen, Watched::Undecided(one) if one.code() == "stale_snapshot"), "{seen:?}");
    let verdict = check(&verifier, &token);
    assert!(
        verdict.decision.detail().contains("feed_unreachable"),
        "{}",
        verdict.decision.detail()
    );
    assert_eq!(verdict.decision.outcome(), "undecided");
    assert!(verifier.is_ready() && verifier.status().feed.failures > 0);
}

// The handle's last clone ends the work in the background.
#[tokio::test]
async fn nothing_follows_the_feed_once_the_last_handle_is_gone() {
    let plane = ControlPlane::start().await;
    let verifier = verifier_for(&plane).await;
    let clone = verifier.clone();
    until("the stream is followed", || verifier.status().following == Follow::Stream).await;
    let followers = async || {
        let metrics = plane.admin(reqwest::Method::GET, "/metrics").send().await.unwrap();
        let text = metrics.text().await.unwrap();
        text.contains("offswitch_followers{kind=\"stream\"} 1")
    };
    assert!(followers().await);
    drop(verifier);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(followers().await, "a clone is left");
    drop(clone);
    for _ in 0..200 {
        if !followers().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the stream is still followed");
}

// E06: a token that is newer than what is held makes the client poll before its interval is over.
#[tokio::test]
async fn a_newer_token_shows_that_the_feed_has_gone_on() {
    let plane = ControlPlane::start().await;
    let hour = Duration::from_secs(3600);
    let feed = feed_of(&plane).await.follow(Follow::Poll).poll_interval(hour);
    let verifier = Verifier::start(options_for(&plane, feed)).await.unwrap();
    let before = verifier.evidence().position;
    // Each revocation moves the log on; sessions that are opened later have a higher version.
    plane.posted("/v1/revocations", &json!({ "jti": "something" })).await;
    assert_eq!(verifier.evidence().position, before);
    let session = plane.login("alice").await;
    assert_eq!(check(&verifier, text(&session, "access_token")).code(), "valid");
    until("the feed is asked", || verifier.evidence().position > before).await;
}
