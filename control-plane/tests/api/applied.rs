//! `?wait=applied`: a revocation is answered once the followers hold it, and never earlier.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::process::ControlPlane;
use crate::support::raw_follower::{RawFollower as Raw, honest, until_connected};

async fn revoke(plane: &ControlPlane, query: &str) -> Value {
    plane.posted(&format!("/v1/revocations{query}"), &json!({ "sub": "alice" })).await
}

// P01: by stream and by polls; the answer names the slowest.
#[tokio::test]
async fn a_wait_is_answered_once_every_follower_holds_the_revocation() {
    let plane = ControlPlane::start().await;
    let none = revoke(&plane, "?wait=applied").await;
    assert_eq!(none["applied"]["complete"], true, "there is no follower: {none}");
    let stream = Raw::of(&plane, 1, ";software=test/1;staleness=60;name=edge-1").stream(honest);
    until_connected(&plane, 1).await;
    let answer = revoke(&plane, "?wait=applied&timeout=10").await;
    let applied = &answer["applied"];
    assert_eq!(
        (&applied["complete"], &applied["counted"]),
        (&json!(true), &json!("all_processes"))
    );
    assert_eq!((&applied["holding"], &applied["followers"]), (&json!(1), &json!(1)));
    assert_eq!(applied["slowest"]["name"], "edge-1");
    assert!(applied["milliseconds"].as_u64().unwrap() < 9000, "{applied}");
    assert_eq!((&applied["silent"], &applied["refuse_within_seconds"]), (&json!([]), &json!(0)));

    // A poll holds what it asks to continue from.
    let poller = Raw::of(&plane, 2, ";staleness=60;name=edge-2");
    assert_eq!(poller.poll(answer["position"].as_str().unwrap()).await, 200);
    let waiting = async {
        let body = json!({ "sub": "bob" });
        plane.posted("/v1/revocations?wait=applied&timeout=20", &body).await
    };
    let polling = async {
        sleep(Duration::from_millis(200)).await;
        let head = plane.got("/readyz").await["position"].as_str().unwrap().to_owned();
        poller.poll(&head).await
    };
    let (answer, _) = tokio::join!(waiting, polling);
    let applied = &answer["applied"];
    assert_eq!((&applied["complete"], &applied["holding"]), (&json!(true), &json!(2)), "{applied}");
    assert_eq!(applied["slowest"]["name"], "edge-2");
    stream.abort();
}

// P01: what a follower says about itself does not count if it cannot be, and nothing counts for another one.
#[tokio::test]
async fn followers_that_lie_replay_or_sleep_never_count() {
    let plane = ControlPlane::start().await;
    let body = json!({ "name": "other", "scopes": ["feed:read"] });
    let other_key = plane.posted("/v1/api-keys", &body).await["key"].as_str().unwrap().to_owned();
    let before = revoke(&plane, "").await["position"].as_str().unwrap().to_owned();
    let (asks, mut asked) = tokio::sync::mpsc::channel(64);
    // It reads the stream and answers nothing, and it polls for what is beyond the log.
    let victim = Raw::of(&plane, 1, ";staleness=60;name=sleeper");
    let sleeper = {
        let raw = victim.clone();
        tokio::spawn(async move {
            let answer = raw.request(Method::GET, "/stream").send().await.unwrap();
            let mut pieces = answer.bytes_stream();
            while let Some(Ok(piece)) = pieces.next().await {
                let text = String::from_utf8(piece.to_vec()).unwrap();
                if let Some((_, ask)) = text.split_once("event: position\ndata: ") {
                    asks.try_send(ask.trim().to_owned()).unwrap();
                }
            }
        })
    };
    until_connected(&plane, 1).await;
    let (era, seq) = before.split_once('.').unwrap();
    let beyond = |seq: &str| format!("{era}.{}", seq.parse::<u64>().unwrap() + 1000);
    // The log goes on beyond it from then on: a log may have been lost.
    victim.poll(&beyond(seq)).await;

    let waiting = async { revoke(&plane, "?wait=applied&timeout=3").await };
    let attacking = async {
        let ask = timeout(Duration::from_secs(3), asked.recv()).await.unwrap().unwrap();
        let now = plane.got("/readyz").await["position"].as_str().unwrap().to_owned();
        let thief = Raw::new(&plane, &other_key, 1, ";staleness=60;name=thief");
        let guess = "0".repeat(32);
        let ahead = beyond(now.split_once('.').unwrap().1);
        let mut codes = vec![
            thief.answer(&ask, &now).await,
            victim.answer(&guess, &now).await,
            victim.answer("", &now).await,
            victim.answer(&ask, &ahead).await,
            victim.answer(&ask, "now").await,
        ];
        thief.poll(&now).await;
        codes.push(thief.answer(&ask, &now).await);
        codes.push(victim.answer(&ask, &before).await);
        codes
    };
    let (answer, codes) = tokio::join!(waiting, attacking);
    let expected = [
        "unknown_ask",
        "unknown_ask",
        "unknown_ask",
        "position_ahead",
        "invalid_position",
        "unknown_ask",
        "",
    ];
    assert_eq!(codes, expected);
    let applied = &answer["applied"];
    assert_eq!(
        (&applied["complete"], &applied["followers"]),
        (&json!(false), &json!(2)),
        "{applied}"
    );
    assert_eq!(applied["holding"], 1, "the thief speaks for itself: {applied}");
    assert_eq!(applied["silent"][0]["name"], "sleeper");
    assert_eq!(
        applied["silent"][0]["position"],
        before.as_str(),
        "it has answered that: {applied}"
    );
    assert_eq!(applied["refuse_within_seconds"], 60);
    assert!((2900..9000).contains(&applied["milliseconds"].as_u64().unwrap()), "{applied}");
    // The token of an earlier question says nothing about a later position, even if its answer is only late.
    let stale = asked.recv().await.unwrap();
    let waiting = async { revoke(&plane, "?wait=applied&timeout=2").await };
    let replaying = async {
        let mut ask = asked.recv().await.unwrap();
        while ask == stale {
            ask = asked.recv().await.unwrap();
        }
        let now = plane.got("/readyz").await["position"].as_str().unwrap().to_owned();
        (victim.answer(&stale, &now).await, now)
    };
    let (answer, (code, _)) = tokio::join!(waiting, replaying);
    assert_eq!(code, "");
    assert_eq!(answer["applied"]["holding"], 0, "{answer}");
    // The revocation itself was acknowledged each time.
    assert!(answer["position"].is_string() && answer["durability"] == "synced");
    sleeper.abort();
}

// P01: a follower that sends no id is reported, and nothing is complete while it is served.
#[tokio::test]
async fn a_follower_that_does_not_introduce_itself_keeps_a_count_from_being_complete() {
    let plane = ControlPlane::start().await;
    let answer = plane.admin(Method::GET, "/v1/feed/stream").send().await.unwrap();
    let applied = revoke(&plane, "?wait=applied&timeout=0").await["applied"].clone();
    assert_eq!((&applied["complete"], &applied["unidentified"]), (&json!(false), &json!(1)));
    assert!(applied.get("refuse_within_seconds").is_none(), "nothing is known of it: {applied}");
    drop(answer);
    for wrong in ["", "x", "00;name=a b"] {
        let poll = plane.admin(Method::GET, "/v1/feed").header("offswitch-follower", wrong);
        let answer = poll.send().await.unwrap();
        assert_eq!(answer.status(), 400, "{wrong}");
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], "invalid_follower");
    }
}

// P01: a base is all that one needs to decide: one without an id that asks for nothing else is reported, too.
#[tokio::test]
async fn one_that_only_asks_for_bases_keeps_a_count_from_being_complete() {
    let plane = ControlPlane::start().await;
    assert_eq!(revoke(&plane, "?wait=applied&timeout=0").await["applied"]["complete"], true);
    assert!(!plane.feed("").await.is_empty());
    let applied = revoke(&plane, "?wait=applied&timeout=0").await["applied"].clone();
    assert_eq!((&applied["complete"], &applied["unidentified"]), (&json!(false), &json!(1)));
    // A position that the log does not have says as little.
    let other = ControlPlane::start().await;
    assert!(!other.feed("?since=1.1").await.is_empty());
    let applied = revoke(&other, "?wait=applied&timeout=0").await["applied"].clone();
    assert_eq!((&applied["complete"], &applied["unidentified"]), (&json!(false), &json!(1)));
}

// P02: `offswitch doctor` reads the feed and decides nothing by it: it says so, and leaves the count soon.
#[tokio::test]
async fn a_doctor_that_was_there_keeps_a_count_from_being_complete_for_a_moment_only() {
    let plane = ControlPlane::start().await;
    let report = plane.posted("/v1/doctor", &json!({})).await;
    let is_followed = |one: &Value| {
        one["check"] == "feed" && (one["result"] == "ok" || one["result"] == "warning")
    };
    assert!(report["checks"].as_array().unwrap().iter().any(is_followed), "{report}");
    let applied = revoke(&plane, "?wait=applied&timeout=20").await["applied"].clone();
    assert_eq!((&applied["complete"], &applied["unidentified"]), (&json!(true), &json!(0)));
}

// P02: a follower that was killed leaves five seconds after it had to refuse.
#[tokio::test]
async fn a_killed_follower_leaves_the_count() {
    let plane = ControlPlane::start().await;
    let stream = Raw::of(&plane, 1, ";staleness=1;name=short").stream(honest);
    until_connected(&plane, 1).await;
    stream.abort();
    let begin = Instant::now();
    until_connected(&plane, 0).await;
    let applied = revoke(&plane, "?wait=applied&timeout=0").await["applied"].clone();
    assert_eq!(
        (&applied["followers"], &applied["silent"][0]["name"]),
        (&json!(1), &json!("short"))
    );
    let applied = revoke(&plane, "?wait=applied&timeout=20").await["applied"].clone();
    assert_eq!(
        (&applied["complete"], &applied["followers"]),
        (&json!(true), &json!(0)),
        "{applied}"
    );
    let took = begin.elapsed();
    assert!((4..12).contains(&took.as_secs()), "{took:?}");
}

// P01: every way to revoke can wait, and what is wrong with the query is found before anything is revoked.
#[tokio::test]
async fn every_way_to_revoke_can_wait() {
    let plane = ControlPlane::start().await;
    let open = async || plane.posted("/v1/sessions", &json!({ "sub": "alice" })).await;
    let session = open().await["session_id"].as_str().unwrap().to_owned();
    for (method, path, body) in [
        (Method::DELETE, format!("/v1/users/alice/sessions/{session}?"), None),
        (Method::DELETE, "/v1/users/alice/sessions?".to_owned(), None),
        (Method::DELETE, "/v1/sessions?sub=alice&".to_owned(), None),
        (Method::POST, "/v1/revocations?".to_owned(), Some(json!({ "sub": "alice" }))),
        (Method::POST, "/v1/red-button?".to_owned(), Some(json!({ "sessions": "keep" }))),
    ] {
        open().await;
        let send = async |query: &str| {
            let request = plane.admin(method.clone(), &format!("{path}{query}"));
            let request = if let Some(body) = &body { request.json(body) } else { request };
            request.send().await.unwrap()
        };
        let before = plane.got("/readyz").await["position"].clone();
        for wrong in ["wait=yes", "wait=applied&timeout=31", "wait=applied&timeout=-1", "timeout=2"]
        {
            let answer = send(wrong).await;
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path} {wrong}");
            assert_eq!(answer.json::<Value>().await.unwrap()["code"], "invalid_query");
        }
        assert_eq!(plane.got("/readyz").await["position"], before, "{path}");
        let answer: Value = send("wait=applied&timeout=1").await.json().await.unwrap();
        assert_eq!(answer["applied"]["complete"], true, "{path}: {answer}");
        assert!(answer["position"].is_string(), "{path}");
    }
    let lines = plane.admin(Method::POST, "/v1/revocations?wait=applied");
    let lines = lines.header("content-type", "application/x-ndjson").body("{\"sub\":\"a\"}\n");
    let answer: Value = lines.send().await.unwrap().json().await.unwrap();
    assert_eq!((&answer["accepted"], &answer["applied"]["complete"]), (&json!(1), &json!(true)));
    let dry = plane.posted("/v1/red-button?wait=applied", &json!({ "dry_run": true })).await;
    assert!(dry.get("applied").is_none(), "nothing was revoked: {dry}");
}

// P01: operators see the followers, and no id as a whole; metrics count them.
#[tokio::test]
async fn the_list_of_followers_shows_no_id_as_a_whole() {
    let plane = ControlPlane::start().await;
    let raw = Raw::of(&plane, 0xab, ";software=test/1;staleness=60;name=edge-1");
    let _stream = raw.stream(honest);
    until_connected(&plane, 1).await;
    let listed = plane.got("/v1/followers?wait=applied&timeout=5").await;
    let one = &listed["followers"][0];
    assert_eq!((&one["follower"], &one["name"]), (&json!("abababab"), &json!("edge-1")));
    assert_eq!((&one["software"], &one["position"]), (&json!("test/1"), &listed["position"]));
    assert_eq!((&listed["live"], &listed["holding"]), (&json!(1), &json!(1)));
    assert!(!listed.to_string().contains(&"ab".repeat(16)));
    let metrics = plane.admin(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    for line in ["offswitch_followers_live 1", "offswitch_followers_behind 0"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert!(metrics.contains("offswitch_propagation_seconds_count"), "{metrics}");
}
