//! Security events by poll (RFC 8936): a real control plane, and a strict transmitter over real HTTP.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::follower::Follower;
use crate::support::oauth::answer;
use crate::support::polled::{DISABLED, IDP, register, start_two, start_with_token, state, until};
use crate::support::process::ControlPlane;
use crate::support::redis_server::RedisServer;
use crate::support::transmitter::{Polls, TOKEN, Transmitter};

/// A receiver whose events are polled from a stream that was made by hand.
async fn register_polled(plane: &ControlPlane, transmitter: &Transmitter) {
    let endpoint = transmitter.make_stream("1", None);
    let members = json!({
        "issuer": transmitter.issuer(), "jwks_uri": transmitter.jwks_uri(),
        "poll": { "endpoint": endpoint },
    });
    register(plane, &members).await;
}

async fn started(folder: &tempfile::TempDir) -> (ControlPlane, Transmitter) {
    let transmitter = Transmitter::start().await;
    let plane = start_with_token(folder.path(), &transmitter, &[]).await;
    register_polled(&plane, &transmitter).await;
    (plane, transmitter)
}

fn disable(transmitter: &Transmitter, sub: &str) {
    transmitter.emit(sub, &transmitter.claims(sub, DISABLED, IDP, sub));
}

async fn until_settled(transmitter: &Transmitter) {
    until("every event is replied to", async || transmitter.outstanding().is_empty()).await;
}

/// Those of the users whose tokens are not refused.
async fn missing(plane: &ControlPlane, users: &BTreeSet<String>) -> Vec<String> {
    let mut follower = Follower::start(plane, &plane.issuer()).await;
    follower.follow(plane).await;
    let feed = follower.verifier().feed();
    users.iter().filter(|sub| feed.cutoff(IDP, "sub", sub).is_none()).cloned().collect()
}

// I11: a polled event goes the way of a pushed one, with the same answers; only what is durable, or revokes
// nothing, is acknowledged. The token is in no log, and nothing is pushed any more.
#[tokio::test]
async fn polled_events_revoke_what_they_name_and_are_replied_to_as_pushed_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (plane, transmitter) = started(&folder).await;
    disable(&transmitter, "alice");
    until_settled(&transmitter).await;
    let good = |jti: &str| transmitter.claims(jti, DISABLED, IDP, jti);
    let with = |jti: &str, name: &str, value: Value| {
        let mut claims = good(jti);
        claims[name] = value;
        transmitter.emit(jti, &claims);
    };
    disable(&transmitter, "bob");
    transmitter.emit("unknown", &transmitter.claims("unknown", "https://e.example/x", IDP, "x"));
    with("foreign", "iss", json!("https://other.example"));
    with("audience", "aud", json!("https://other.example"));
    transmitter.emit("listed", &good("else"));
    let subject = json!({ "format": "iss_sub", "iss": "https://other.example", "sub": "eve" });
    with("subject", "sub_id", subject);
    transmitter.emit_text("number", &json!(7));
    transmitter.emit_text("text", &json!("x.y.z"));
    transmitter.emit_text("long", &json!("x".repeat(20_000)));
    let signed = transmitter.sign(&good("forged"));
    let other = transmitter.sign(&good("other"));
    let forged =
        signed.rsplit_once('.').unwrap().0.to_owned() + "." + other.rsplit('.').next().unwrap();
    transmitter.emit_text("forged", &json!(forged));
    until_settled(&transmitter).await;

    assert_eq!(transmitter.violations(), [""; 0]);
    let acknowledged = ["alice", "bob", "unknown"].map(str::to_owned);
    assert_eq!(transmitter.acknowledged(), BTreeSet::from(acknowledged));
    let refused = transmitter.refused();
    for (jti, err, description) in [
        ("foreign", "invalid_issuer", "wrong_issuer"),
        ("audience", "invalid_audience", "wrong_audience"),
        ("listed", "invalid_request", "wrong_id"),
        ("subject", "invalid_request", "foreign_subject"),
        ("number", "invalid_request", "malformed"),
        ("text", "invalid_request", "malformed"),
        ("long", "invalid_request", "malformed"),
        ("forged", "authentication_failed", "bad_signature"),
    ] {
        let expected = json!({ "err": err, "description": description });
        assert_eq!(refused.get(jti), Some(&expected), "{jti}");
    }
    assert_eq!(refused.len(), 8);
    let users = ["alice", "bob"].map(str::to_owned).into();
    assert!(missing(&plane, &users).await.is_empty());
    let eve = ["eve", "else", "forged", "foreign"].map(str::to_owned).into();
    assert_eq!(missing(&plane, &eve).await.len(), 4);

    let seen = state(&plane).await;
    assert_eq!(
        (&seen["accepted"], &seen["ignored"], &seen["failed"]),
        (&json!(2), &json!(1), &json!(8))
    );
    assert!(seen["polling"]["answered_at"].is_u64() && seen["polling"]["error"].is_null());
    let pushed = plane.request(reqwest::Method::POST, "/v1/receivers/idp/events");
    let pushed = pushed.header("content-type", "application/secevent+jwt").body(signed);
    let (status, body) = answer(pushed.send().await.unwrap()).await;
    assert_eq!((status.as_u16(), &body["description"]), (404, &json!("unknown_receiver")));
    let metrics = plane.admin(reqwest::Method::GET, "/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("offswitch_polls_total{issuer=\"idp\",outcome=\"events\"}"));
    let issuers = plane.got("/v1/issuers").await.to_string();
    for text in [plane.log(), metrics, seen.to_string(), issuers] {
        assert!(!text.contains(TOKEN), "the token is shown: {text}");
    }
}

// I11, invariant 7: an event is acknowledged only when it is durable. A process that is killed between the
// receipt and the acknowledgement has lost nothing: the event comes again.
#[tokio::test]
async fn a_kill_between_receipt_and_acknowledgement_loses_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let (mut plane, transmitter) = started(&folder).await;
    let mut all = BTreeSet::new();
    let mut unacknowledged = 0;
    for round in 0..4 {
        let fresh: Vec<String> = (0..250).map(|one| format!("u-{round}-{one}")).collect();
        for sub in &fresh {
            disable(&transmitter, sub);
        }
        all.extend(fresh);
        let before = transmitter.acknowledged().len();
        while transmitter.given_out() <= before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(5 * round)).await;
        plane.kill();
        unacknowledged += transmitter.outstanding().len();
        let acknowledged = transmitter.acknowledged();
        plane = start_with_token(folder.path(), &transmitter, &[]).await;
        let lost = missing(&plane, &acknowledged).await;
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        until_settled(&transmitter).await;
    }
    assert!(unacknowledged > 0, "it was never killed before an acknowledgement");
    assert_eq!(transmitter.acknowledged(), all);
    assert!(missing(&plane, &all).await.is_empty());
    assert_eq!(transmitter.violations(), [""; 0]);
}

// I11, invariants 6 and 7: while the store is down, an event is neither acknowledged nor refused. It comes
// again, and counts when the store is back.
#[tokio::test]
async fn while_the_store_is_down_no_event_is_replied_to() {
    let (mut redis, folder) = (RedisServer::start().await, tempfile::tempdir().unwrap());
    let transmitter = Transmitter::start().await;
    let plane =
        start_with_token(folder.path(), &transmitter, &[("OFFSWITCH_STORE", &redis.url())]).await;
    register_polled(&plane, &transmitter).await;
    disable(&transmitter, "alice");
    until_settled(&transmitter).await;
    redis.kill();
    disable(&transmitter, "bob");
    until("the failure is shown", async || {
        state(&plane).await["polling"]["error"]["code"] == "store_unavailable"
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(transmitter.outstanding().contains("bob") && transmitter.refused().is_empty());
    redis.start_again().await;
    until_settled(&transmitter).await;
    assert!(missing(&plane, &["bob".to_owned()].into()).await.is_empty());
    assert_eq!(transmitter.violations(), [""; 0]);
}

// I11: what no transmitter should answer. It costs a few polls and some memory, is shown, and ends as soon as
// the transmitter answers well.
#[tokio::test]
async fn a_hostile_transmitter_is_bounded_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (plane, transmitter) = started(&folder).await;
    for (number, (polls, code, part)) in [
        (Polls::Status(503, 3), "transmitter_unavailable", "503"),
        (Polls::Status(403, 0), "transmitter_refused", "403"),
        (Polls::Redirected, "transmitter_refused", "307"),
        (Polls::Huge, "transmitter_unavailable", "length limit"),
        (Polls::NotJson, "transmitter_invalid", "not one JSON object"),
        (Polls::WrongType, "transmitter_invalid", "not of the type application/json"),
    ]
    .into_iter()
    .enumerate()
    {
        transmitter.answer(polls);
        let before = transmitter.bodies().len();
        let begin = Instant::now();
        until(&format!("{polls:?} is shown"), async || {
            let error = state(&plane).await["polling"]["error"].clone();
            error["code"] == code && error["detail"].as_str().unwrap().contains(part)
        })
        .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let count = transmitter.bodies().len() - before;
        assert!(count <= 5, "{polls:?}: {count} polls in {:?}", begin.elapsed());
        if polls == Polls::Status(503, 3) {
            assert!(count <= 2, "Retry-After is not honoured: {count}");
        }
        transmitter.answer(Polls::Good);
        let sub = format!("after-{number}");
        disable(&transmitter, &sub);
        until_settled(&transmitter).await;
        assert!(missing(&plane, &[sub].into()).await.is_empty());
    }
    assert_eq!(transmitter.violations(), [""; 0]);
}

// I11: a transmitter that ignores acknowledgements, and one that sends junk without end.
#[tokio::test]
async fn events_that_never_end_are_taken_in_bounded_portions() {
    let folder = tempfile::tempdir().unwrap();
    let (plane, transmitter) = started(&folder).await;
    transmitter.answer(Polls::MoreForever);
    disable(&transmitter, "alice");
    let before = transmitter.bodies().len();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let count = transmitter.bodies().len() - before;
    assert!((1..=6).contains(&count), "{count} polls in 5 s for the same event");
    let listed = plane.got("/v1/revocations?limit=50").await;
    let by = listed["requests"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["by"] == "receiver:idp:events");
    assert_eq!(by.count(), 1, "the same event has one record");
    for number in 0..50_000 {
        transmitter.emit_text(&number.to_string(), &json!("x"));
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let begin = Instant::now();
    assert_eq!(plane.got("/readyz").await["ready"], true);
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    let bodies = transmitter.bodies();
    let most = bodies.iter().map(|one| {
        let errors = one["setErrs"].as_object().map_or(0, |errors| errors.len());
        errors + one["ack"].as_array().map_or(0, Vec::len)
    });
    assert!(most.max().unwrap() <= 100);
    // What never was an event is refused no faster than other senders' junk.
    let refused = state(&plane).await["failed"].as_u64().unwrap();
    assert!((1..=8000).contains(&refused), "{refused} in 4 s");
}

// I11: an answer that trickles is given up after a minute, and the next one counts.
#[tokio::test]
async fn an_answer_that_never_ends_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let (plane, transmitter) = started(&folder).await;
    transmitter.answer(Polls::Slow);
    tokio::time::sleep(Duration::from_secs(45)).await;
    transmitter.answer(Polls::Good);
    disable(&transmitter, "alice");
    until_settled(&transmitter).await;
    assert!(missing(&plane, &["alice".to_owned()].into()).await.is_empty());
    let log = plane.log();
    assert!(log.contains("no answer in 60s"), "{log}");
}

// I11: two processes poll the same stream: each event has one record, and both replies are good ones.
#[tokio::test]
async fn two_processes_poll_one_stream_and_do_no_harm() {
    let (redis, transmitter) = (RedisServer::start().await, Transmitter::start().await);
    let (one, other, _folders) = start_two(&redis, &transmitter).await;
    register_polled(&one, &transmitter).await;
    let users: BTreeSet<String> = (0..300).map(|one| format!("u-{one}")).collect();
    for sub in &users {
        disable(&transmitter, sub);
    }
    until_settled(&transmitter).await;
    assert_eq!(transmitter.acknowledged(), users);
    assert_eq!(transmitter.violations(), [""; 0]);
    for plane in [&one, &other] {
        until("both have all", async || missing(plane, &users).await.is_empty()).await;
    }
    let mut metrics = String::new();
    for plane in [&one, &other] {
        metrics += &plane
            .admin(reqwest::Method::GET, "/metrics")
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
    }
    let accepted = metrics.lines().filter(|line| {
        line.starts_with("offswitch_receiver_requests_total")
            && line.contains("outcome=\"accepted\"")
    });
    let accepted = accepted.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap());
    assert_eq!(accepted.sum::<usize>(), 300, "each event has one record: {metrics}");
}
