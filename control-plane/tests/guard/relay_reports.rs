//! Relays report for those behind them, so that a count at the control plane has all followers.

use std::time::{Duration, Instant};

use offswitch_client::{FeedOptions, Issuer, Keys, Options, Verifier};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::guard::{Guard, feed_at, feed_of};
use crate::support::process::ControlPlane;
use crate::support::redis_server::free_port;

/// A relay of the feed at `feed`, and its port.
async fn relay(feed: &str, settings: &str) -> (Guard, u16) {
    let port = free_port();
    let settings = format!("relay_listen = \"127.0.0.1:{port}\"\n{settings}");
    let mut guard = Guard::launch(feed, &settings, "");
    guard.until_ready().await;
    (guard, port)
}

/// A verifier that follows the relay at this port.
async fn verifier(plane: &ControlPlane, port: u16, name: &str) -> Verifier {
    let keys = plane.got("/v1/keys").await;
    let url = format!("http://127.0.0.1:{port}/v1/feed");
    let feed = FeedOptions::new(&url, keys["feed_public_keys"][0].as_str().unwrap()).name(name);
    let jwks = format!("http://127.0.0.1:{}/.well-known/jwks.json", plane.port());
    let issuer = Issuer::new(&plane.issuer(), "api").keys(Keys::url(&jwks));
    let verifier = Verifier::start(Options::new(feed).issuer(issuer)).await.unwrap();
    assert!(verifier.is_ready(), "{:?}", verifier.status());
    verifier
}

async fn revoked(plane: &ControlPlane, seconds: u64) -> Value {
    let path = format!("/v1/revocations?wait=applied&timeout={seconds}");
    plane.posted(&path, &json!({ "sub": "alice" })).await["applied"].clone()
}

/// Waits until so many followers are known, also those behind relays.
async fn until_known(plane: &ControlPlane, count: u64) -> Value {
    let begin = Instant::now();
    loop {
        let applied = revoked(plane, 5).await;
        if applied["followers"] == count {
            return applied;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "{applied}");
        sleep(Duration::from_millis(50)).await;
    }
}

// P02: through two relays, of which the first follows in each way; each follower counts once.
#[tokio::test]
async fn a_count_has_the_followers_behind_a_chain_of_relays() {
    tokio::join!(behind_a_chain("stream"), behind_a_chain("poll"), behind_a_chain("long-poll"));
}

async fn behind_a_chain(follow: &str) {
    let plane = ControlPlane::start().await;
    let named = format!("feed_name = \"relay-{follow}\"\nfeed_follow = \"{follow}\"");
    let (_first, first_port) = relay(&feed_of(&plane).await, &named).await;
    let (_second, second_port) = relay(&feed_at(&plane, first_port).await, "").await;
    let near = verifier(&plane, first_port, "near").await;
    let far = verifier(&plane, second_port, "far").await;
    let applied = until_known(&plane, 4).await;
    assert_eq!((&applied["complete"], &applied["holding"]), (&json!(true), &json!(4)), "{applied}");
    assert_eq!(applied["behind_relays"], 3);
    let head = plane.got("/readyz").await["position"].as_str().unwrap().to_owned();
    for verifier in [&near, &far] {
        assert_eq!(verifier.evidence().position.unwrap().to_string(), head, "{follow}");
    }
    let listed = plane.got("/v1/followers").await;
    let name = format!("relay-{follow}");
    let one =
        listed["followers"].as_array().unwrap().iter().find(|one| one["name"] == name.as_str());
    assert_eq!(one.unwrap()["behind"]["followers"], 3, "{listed}");
}

// P01: a follower behind a relay that does not answer keeps the relay from counting as a whole.
#[tokio::test]
async fn a_silent_follower_behind_a_relay_is_not_counted() {
    let plane = ControlPlane::start().await;
    let (_relay, port) = relay(&feed_of(&plane).await, "feed_name = \"relay-1\"").await;
    let _good = verifier(&plane, port, "good").await;
    let client = Client::builder().no_proxy().build().unwrap();
    let id = "ab".repeat(16);
    let sleeper = client
        .get(format!("http://127.0.0.1:{port}/v1/feed/stream"))
        .header("offswitch-follower", format!("{id};staleness=40;name=sleeper"))
        .send()
        .await
        .unwrap();
    assert!(sleeper.status().is_success());
    let applied = revoked(&plane, 3).await;
    assert_eq!(
        (&applied["complete"], &applied["followers"]),
        (&json!(false), &json!(3)),
        "{applied}"
    );
    assert_eq!(
        (&applied["holding"], &applied["silent"][0]["name"]),
        (&json!(2), &json!("relay-1"))
    );
    assert_eq!(applied["silent"][0]["behind"]["holding"], 1);
    assert!(
        applied["refuse_within_seconds"].as_u64().is_some_and(|seconds| seconds >= 30),
        "{applied}"
    );
    // The relay counts only what its follower itself says.
    let forged = client
        .post(format!("http://127.0.0.1:{port}/v1/feed/position"))
        .header("offswitch-follower", format!("{id};staleness=40;name=sleeper"))
        .json(&json!({ "ask": "00", "position": "1.1" }));
    assert_eq!(forged.send().await.unwrap().json::<Value>().await.unwrap()["code"], "unknown_ask");
}
