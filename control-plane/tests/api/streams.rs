//! Streams of security events that the control plane sets up at their transmitter (SSF 1.0 section 8.1).

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::follower::Follower;
use crate::support::polled::{DISABLED, IDP, register, start_two, start_with_token, state, until};
use crate::support::process::ControlPlane;
use crate::support::redis_server::RedisServer;
use crate::support::transmitter::{TOKEN, Transmitter};

const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";

async fn started(folder: &tempfile::TempDir, members: &Value) -> (ControlPlane, Transmitter) {
    let transmitter = Transmitter::start().await;
    let plane = start_with_token(folder.path(), &transmitter, &[]).await;
    register(&plane, &of(&transmitter, members)).await;
    (plane, transmitter)
}

/// The members of the receiver, with these of its stream.
fn of(transmitter: &Transmitter, members: &Value) -> Value {
    let mut stream = json!({ "transmitter": transmitter.issuer() });
    for (name, value) in members.as_object().unwrap() {
        stream[name] = value.clone();
    }
    json!({ "stream": stream })
}

async fn stream(plane: &ControlPlane) -> Value {
    state(plane).await["stream"].clone()
}

async fn until_verified(plane: &ControlPlane) {
    until("the stream is verified", async || stream(plane).await["verified_at"].is_u64()).await;
}

/// Has the tokens of a user revoked by an event over the stream.
async fn revokes(plane: &ControlPlane, transmitter: &Transmitter, sub: &str) {
    transmitter.emit(sub, &transmitter.claims(sub, DISABLED, IDP, sub));
    until("the event is acknowledged", async || transmitter.acknowledged().contains(sub)).await;
    // Another process may have taken it.
    until("the feed has it", async || {
        let mut follower = Follower::start(plane, &plane.issuer()).await;
        follower.follow(plane).await;
        follower.verifier().feed().cutoff(IDP, "sub", sub).is_some()
    })
    .await;
}

// I11: one line of configuration: the stream is created for the events of the table, verified, polled, and
// found again after a restart. A change of the table changes it.
#[tokio::test]
async fn a_stream_is_created_once_verified_and_polled() {
    let folder = tempfile::tempdir().unwrap();
    let (mut plane, transmitter) = started(&folder, &json!({})).await;
    until_verified(&plane).await;
    let streams = transmitter.streams();
    assert_eq!(streams.len(), 1);
    assert_eq!(streams[0]["method"], "urn:ietf:rfc:8936");
    let requested = streams[0]["requested"].as_array().unwrap();
    assert!(requested.len() == 10 && requested.contains(&json!(DISABLED)));
    revokes(&plane, &transmitter, "alice").await;
    let seen = stream(&plane).await;
    assert_eq!((&seen["status"], &seen["id"]), (&json!("enabled"), &json!("stream 1")));
    assert!(seen["checked_at"].is_u64() && seen["asked_at"].is_u64() && seen["error"].is_null());
    assert_eq!(seen["events"].as_array().unwrap().len(), 3, "what the transmitter sends of them");
    let metrics = plane.admin(reqwest::Method::GET, "/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("offswitch_stream_enabled{issuer=\"idp\"} 1"));

    plane.kill();
    plane = start_with_token(folder.path(), &transmitter, &[]).await;
    until_verified(&plane).await;
    assert_eq!(transmitter.changes(), (1, 0));
    let mut members = of(&transmitter, &json!({}));
    members["actions"] = json!({ "https://e.example/x": "user", SESSION_REVOKED: "ignore" });
    register(&plane, &members).await;
    until("the stream is changed", async || transmitter.changes() == (1, 1)).await;
    let requested = transmitter.streams()[0]["requested"].clone();
    let requested = requested.as_array().unwrap();
    assert!(
        requested.contains(&json!("https://e.example/x"))
            && !requested.contains(&json!(SESSION_REVOKED))
    );
    // An operator deletes it at the transmitter: the next poll finds out.
    transmitter.delete_streams();
    transmitter.set(Duration::from_secs(1), None, "enabled");
    transmitter.wake();
    until("another is created", async || transmitter.changes() == (2, 1)).await;
    revokes(&plane, &transmitter, "bob").await;
    assert_eq!(transmitter.violations(), [""; 0]);
    assert!(!plane.log().contains(TOKEN));
}

// I11: with `push_to` the transmitter pushes; without it, the same stream is polled.
#[tokio::test]
async fn a_stream_is_pushed_to_the_registered_address_and_polled_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let transmitter = Transmitter::start().await;
    let plane = start_with_token(folder.path(), &transmitter, &[]).await;
    let address = format!("http://127.0.0.1:{}/v1/receivers/idp/events", plane.port());
    register(&plane, &of(&transmitter, &json!({ "push_to": address }))).await;
    until_verified(&plane).await;
    assert_eq!(transmitter.streams()[0]["push_to"], address);
    assert!(state(&plane).await["polling"].is_null() && transmitter.bodies().is_empty());
    register(&plane, &of(&transmitter, &json!({}))).await;
    until("it is polled", async || !transmitter.bodies().is_empty()).await;
    until_verified(&plane).await;
    revokes(&plane, &transmitter, "alice").await;
    assert_eq!((transmitter.streams().len(), transmitter.changes()), (1, (1, 1)));
    assert_eq!(transmitter.violations(), [""; 0]);
}

// I11: two processes that find no stream create one, and a state that one has asked with is known to the other.
#[tokio::test]
async fn two_processes_create_one_stream() {
    let (redis, transmitter) = (RedisServer::start().await, Transmitter::start().await);
    let (one, other, _folders) = start_two(&redis, &transmitter).await;
    // Both have found none before one of them creates it.
    transmitter.gather_lists(2);
    register(&one, &of(&transmitter, &json!({}))).await;
    for plane in [&one, &other] {
        until("both know it", async || stream(plane).await["id"] == "stream 1").await;
        until("both poll it", async || state(plane).await["polling"]["answered_at"].is_u64()).await;
    }
    revokes(&other, &transmitter, "alice").await;
    assert_eq!(transmitter.changes(), (1, 0));
    assert!(transmitter.refused().is_empty(), "{:?}", transmitter.refused());
    assert_eq!(transmitter.violations(), [""; 0]);
}

// I11: a stream of others stays as it is; where the transmitter allows only one, the conflict is shown.
#[tokio::test]
async fn a_stream_of_others_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let transmitter = Transmitter::start().await;
    transmitter.make_stream("theirs", Some("offswitch https://staging.example idp"));
    let plane = start_with_token(folder.path(), &transmitter, &[]).await;
    register(&plane, &of(&transmitter, &json!({}))).await;
    until_verified(&plane).await;
    assert_eq!((transmitter.streams().len(), transmitter.changes()), (2, (1, 0)));

    let (folder, narrow) = (tempfile::tempdir().unwrap(), Transmitter::start().await);
    let plane = start_with_token(folder.path(), &narrow, &[]).await;
    narrow.make_stream("theirs", Some("of another receiver"));
    narrow.be_narrow();
    register(&plane, &of(&narrow, &json!({}))).await;
    until("the conflict is shown", async || {
        stream(&plane).await["error"]["code"] == "stream_conflict"
    })
    .await;
    assert_eq!((narrow.streams().len(), narrow.changes()), (1, (0, 0)));
    // Without a description it may have been made by hand, for us.
    narrow.delete_streams();
    narrow.make_stream("by hand", None);
    let subject = json!({ "format": "opaque", "id": "tenant-1" });
    register(&plane, &of(&narrow, &json!({}))).await;
    until("a subject is missing", async || stream(&plane).await["error"]["code"] == "no_subjects")
        .await;
    register(&plane, &of(&narrow, &json!({ "subjects": [subject] }))).await;
    until_verified(&plane).await;
    assert_eq!(narrow.streams()[0]["subjects"], json!([subject]));
    assert_eq!(narrow.changes(), (0, 1));
    // What was done for a stream that is gone is done again for the next one.
    narrow.delete_streams();
    narrow.set(Duration::from_secs(1), None, "enabled");
    narrow.wake();
    until("the next one has the subject", async || {
        narrow.streams().first().is_some_and(|one| one["subjects"] == json!([subject]))
    })
    .await;
    assert_eq!((narrow.violations(), transmitter.violations()), (vec![], vec![]));
}

// I11: what an operator must know of a stream: that it is paused, that its verification failed, that it is for
// another audience, or that the credential is missing.
#[tokio::test]
async fn a_stream_that_does_not_work_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let transmitter = Transmitter::start().await;
    transmitter.set(Duration::from_secs(1), Some("1800000000.made-up"), "enabled");
    let plane = start_with_token(folder.path(), &transmitter, &[]).await;
    register(&plane, &of(&transmitter, &json!({}))).await;
    until("the verification event is refused", async || !transmitter.refused().is_empty()).await;
    let refused = transmitter.refused().into_values().next().unwrap();
    assert_eq!(refused, json!({ "err": "invalid_state", "description": "invalid_state" }));
    let seen = state(&plane).await;
    assert!(seen["stream"]["verified_at"].is_null());
    assert_eq!(seen["last_error"]["code"], "invalid_state");

    // Reported by an event, while it is still polled.
    let kind = format!("{SSF}stream-updated");
    let mut updated = transmitter.claims("updated", &kind, IDP, "x");
    updated["events"][&kind] = json!({ "status": "paused", "reason": "maintenance" });
    transmitter.emit("updated", &updated);
    until("it is shown as paused", async || stream(&plane).await["status"] == "paused").await;
    // And by the status endpoint, from the beginning.
    transmitter.set(Duration::from_secs(1), None, "disabled");
    let subjects = json!({ "subjects": [{ "format": "opaque", "id": "tenant-1" }] });
    register(&plane, &of(&transmitter, &subjects)).await;
    until("it is shown as disabled", async || stream(&plane).await["status"] == "disabled").await;
    assert!(stream(&plane).await["asked_at"].is_null(), "nothing is asked of a disabled stream");
    let metrics = plane.admin(reqwest::Method::GET, "/metrics").send().await.unwrap();
    assert!(metrics.text().await.unwrap().contains("offswitch_stream_enabled{issuer=\"idp\"} 0"));

    transmitter.address_to("https://other.example");
    register(&plane, &of(&transmitter, &json!({}))).await;
    until("the audience is shown", async || {
        let error = stream(&plane).await["error"].clone();
        error["code"] == "transmitter_invalid" && error["detail"].to_string().contains("aud is")
    })
    .await;
    // The token of the file goes to no other transmitter, also if it is registered.
    let other = Transmitter::start().await;
    register(&plane, &of(&other, &json!({}))).await;
    until("the other transmitter is shown", async || {
        stream(&plane).await["error"]["code"] == "other_transmitter"
    })
    .await;
    let bare = ControlPlane::start().await;
    register(&bare, &of(&transmitter, &json!({}))).await;
    until("the missing token is shown", async || {
        let error = stream(&bare).await["error"].clone();
        error["code"] == "transmitter_refused" && error["detail"].to_string().contains("401")
    })
    .await;
    assert_eq!(transmitter.violations(), [""; 0]);
}

// I11: what is registered is read strictly, by file and by API; it never contains the token.
#[tokio::test]
async fn a_receiver_is_pushed_or_polled_in_one_way() {
    let plane = ControlPlane::start().await;
    let put = async |members: Value| {
        let mut events = json!({ "audiences": ["me"] });
        for (name, value) in members.as_object().unwrap() {
            events[name] = value.clone();
        }
        let body = json!({ "issuer": IDP, "receivers": { "events": events } });
        let request = plane.admin(reqwest::Method::PUT, "/v1/issuers/idp").json(&body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (tr, poll) = ("https://tr.example", json!({ "endpoint": "https://tr.example/poll" }));
    let many = vec![json!({ "format": "opaque", "id": "x" }); 17];
    for (members, part) in [
        (json!({ "poll": {} }), "endpoint"),
        (json!({ "poll": { "endpoint": "http://tr.example/poll" } }), "events.poll.endpoint"),
        (json!({ "poll": { "endpoint": "https://tr.example", "token": "x" } }), "token"),
        (json!({ "poll": poll, "stream": { "transmitter": tr } }), "events.poll"),
        (json!({ "stream": {} }), "events.stream transmitter"),
        (
            json!({ "stream": { "transmitter": "https://tr.example?a" } }),
            "events.stream transmitter",
        ),
        (json!({ "stream": { "transmitter": tr, "push_to": "http://us.example" } }), "push_to"),
        (json!({ "stream": { "transmitter": tr, "subjects": [{ "id": "x" }] } }), "subjects"),
        (json!({ "stream": { "transmitter": tr, "subjects": many } }), "subjects"),
        (json!({ "stream": { "transmitter": tr }, "issuer": tr }), "events.issuer"),
    ] {
        let (status, text) = put(members.clone()).await;
        assert!(status == 400 && text.contains(part), "{members}: {status} {text}");
    }
    let (status, text) =
        put(json!({ "stream": { "transmitter": tr, "push_to": "https://us.example/e" } })).await;
    assert_eq!(status, 200, "{text}");
    let listed: Value = serde_json::from_str(&text).unwrap();
    let expected = json!({ "transmitter": tr, "push_to": "https://us.example/e" });
    assert_eq!(listed["receivers"]["events"]["stream"], expected);
}
