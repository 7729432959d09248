//! Nothing of what relying parties are to hear is lost: not by outages, crashes, restarts or trimming.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offswitch::plane::Plane;
use offswitch::store::{EmbeddedStore, Store};
use offswitch_core::record::{Record, Revocation};
use offswitch_core::relying_parties::RelyingPartyDefinition;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::several_processes::two_with;
use crate::support::in_process::{MASTER, plane_on};
use crate::support::oauth::text;
use crate::support::process::ControlPlane;
use crate::support::redis_server::RedisServer;
use crate::support::relying_party::{Answers, RelyingParty};

async fn put(plane: &ControlPlane, name: &str, body: &Value) {
    let request = plane.admin(Method::PUT, &format!("/v1/relying-parties/{name}")).json(body);
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

async fn register(plane: &ControlPlane, party: &RelyingParty) {
    let body = json!({ "audience": "app", "backchannel_logout_uri": party.url() });
    put(plane, "app", &body).await;
}

/// Logs a user in and out; returns the session's id.
async fn log_out(plane: &ControlPlane, sub: &str) -> String {
    let session = plane.login(sub).await;
    let sid = text(&session, "session_id").to_owned();
    plane.delete(&format!("/v1/users/{sub}/sessions/{sid}")).await;
    sid
}

/// The state of the relying party, once `is_so` holds for it.
async fn state(plane: &ControlPlane, is_so: impl Fn(&Value) -> bool) -> Value {
    let begin = Instant::now();
    loop {
        let one = plane.got("/v1/relying-parties").await["relying_parties"][0].clone();
        if is_so(&one) {
            return one;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{one}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn distinct(all: Vec<String>) -> BTreeSet<String> {
    all.into_iter().collect()
}

// L02: a second Offswitch is the relying party, and believes what the first one sends: its own receivers
// check the signature and every rule of the specifications.
#[tokio::test]
async fn another_offswitch_takes_logout_tokens_and_security_events() {
    let (sender, receiver) = (ControlPlane::start().await, ControlPlane::start().await);
    let issuer = json!({
        "issuer": sender.issuer(), "jwks_uri": format!("{}/.well-known/jwks.json", sender.issuer()),
        "algorithms": ["EdDSA"],
        "receivers": { "backchannel_logout": { "client_ids": ["shop"] }, "events": { "audiences": ["crm"] } },
    });
    let answer =
        receiver.admin(Method::PUT, "/v1/issuers/peer").json(&issuer).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    let at = |path: &str| format!("http://127.0.0.1:{}/v1/receivers/peer/{path}", receiver.port());
    let shop = json!({ "audience": "shop", "backchannel_logout_uri": at("backchannel-logout"),
                       "backchannel_logout_session_required": true });
    put(&sender, "shop", &shop).await;
    put(&sender, "crm", &json!({ "audience": "crm", "endpoint_url": at("events") })).await;
    let wrong = json!({ "audience": "other", "backchannel_logout_uri": at("backchannel-logout") });
    put(&sender, "wrong", &wrong).await;

    let sid = log_out(&sender, "alice").await;
    // A user without any session: both speak of the user.
    sender.posted("/v1/revocations", &json!({ "sub": "nobody-here" })).await;
    let begin = Instant::now();
    let receivers = loop {
        let status = receiver.got("/v1/status").await;
        let receivers = status["issuers"][0]["receivers"].clone();
        if receivers[0]["accepted"] == 1
            && receivers[0]["failed"] == 2
            && receivers[1]["accepted"] == 2
        {
            break receivers;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{receivers}");
        sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(receivers[0]["last_error"]["code"], "wrong_audience");
    let listed = receiver.got("/v1/revocations").await.to_string();
    assert!(listed.contains(&sid) && listed.contains("nobody-here"), "{listed}");
    let parties = sender.got("/v1/relying-parties").await;
    let refused = &parties["relying_parties"][2];
    assert_eq!((&refused["name"], &refused["refused"]), (&json!("wrong"), &json!(2)));
    assert_eq!(refused["last_error"]["detail"], "answers 400, invalid_request");
}

// L03: on both stores, what ended while the relying party was down arrives when it is back, over a restart
// of the control plane and a crash.
#[tokio::test]
async fn what_ended_while_the_relying_party_was_down_arrives_after_restarts() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    for store in ["embedded", url.as_str()] {
        let folder = tempfile::tempdir().unwrap();
        let start = async || {
            let environment = [("OFFSWITCH_STORE", store)];
            ControlPlane::start_in(folder.path(), &environment).await
        };
        let mut party = RelyingParty::start(Answers::Accepts).await;
        let mut plane = start().await;
        register(&plane, &party).await;
        party.go_down().await;
        let mut ended = BTreeSet::from([log_out(&plane, "alice").await]);
        state(&plane, |one| one.get("last_error").is_some()).await;
        plane.ask_to_stop();
        plane.until_stopped().await;
        plane = start().await;
        ended.insert(log_out(&plane, "bob").await);
        plane.kill();
        plane = start().await;
        ended.insert(log_out(&plane, "carol").await);
        party.come_up().await;
        party.until_received(3).await;
        let one = state(&plane, |one| one["delivered"] == 3).await;
        assert!(one.get("waiting_since").is_none(), "{one}");
        assert_eq!(distinct(party.all("sid")), ended);
        assert_eq!(party.received().len(), 3, "none was delivered twice");
    }
}

// L03: a process that is stopped leaves no lease behind: the next one sends without a wait.
#[tokio::test]
async fn after_a_restart_notices_go_on_without_waiting_for_a_lease() {
    let folder = tempfile::tempdir().unwrap();
    let mut plane = ControlPlane::start_in(folder.path(), &[]).await;
    let party = RelyingParty::start(Answers::Accepts).await;
    register(&plane, &party).await;
    log_out(&plane, "alice").await;
    party.until_received(1).await;
    plane.ask_to_stop();
    plane.until_stopped().await;
    let begin = Instant::now();
    let plane = ControlPlane::start_in(folder.path(), &[]).await;
    log_out(&plane, "bob").await;
    party.until_received(2).await;
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(party.received().len(), 2, "what was delivered was stored before the end");
}

// L03: killed between sending and the answer: the notice is sent again, and can be recognised.
#[tokio::test]
async fn a_notice_whose_answer_a_crash_has_swallowed_is_sent_again_as_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut plane = ControlPlane::start_in(folder.path(), &[]).await;
    let party = RelyingParty::start(Answers::Silent).await;
    register(&plane, &party).await;
    let sid = log_out(&plane, "alice").await;
    party.until_received(1).await;
    plane.kill();
    party.answer(Answers::Accepts);
    let plane = ControlPlane::start_in(folder.path(), &[]).await;
    party.until_received(2).await;
    assert_eq!(state(&plane, |one| one["delivered"] == 1).await["refused"], 0);
    assert_eq!(distinct(party.all("sid")), BTreeSet::from([sid]));
    assert_eq!(distinct(party.all("jti")).len(), 1, "the same notice has the same id");
}

// L05: one record that ends everything, and one request that ends many: each session is notified.
#[tokio::test]
async fn every_session_of_a_red_button_and_of_a_bulk_is_notified() {
    let plane = ControlPlane::start().await;
    let mut all = BTreeSet::new();
    for number in 0..300 {
        let session = plane.login(&format!("user-{number}")).await;
        all.insert(text(&session, "session_id").to_owned());
    }
    // One that has ended before the relying party was registered is none of its business.
    let before = log_out(&plane, "early").await;
    sleep(Duration::from_millis(1_100)).await;
    let party = RelyingParty::start(Answers::Accepts).await;
    register(&plane, &party).await;
    let users: Vec<Value> =
        (0..150).map(|number| json!({ "sub": format!("user-{number}") })).collect();
    plane.posted("/v1/revocations", &json!({ "revocations": users })).await;
    party.until_received(150).await;
    plane.posted("/v1/red-button", &json!({ "sessions": "end" })).await;
    let after = plane.login("later").await;
    party.until_received(300).await;
    state(&plane, |one| one["delivered"] == 300 && one.get("waiting_since").is_none()).await;
    let notified = party.all("sid");
    assert_eq!(distinct(notified.clone()), all);
    assert_eq!(notified.len(), 300, "none twice");
    assert!(!notified.contains(&before));
    assert!(!notified.contains(&text(&after, "session_id").to_owned()));
}

// L03: several processes on one store: one of them sends, and another goes on when it is gone.
#[tokio::test]
async fn of_several_processes_one_sends_and_another_takes_over() {
    let redis = RedisServer::start().await;
    let (mut one, mut other, _folders) = two_with(&redis, &[]).await;
    let party = RelyingParty::start(Answers::Accepts).await;
    register(&one, &party).await;
    let mut ended = BTreeSet::new();
    for number in 0..20 {
        let plane = if number % 2 == 0 { &one } else { &other };
        ended.insert(log_out(plane, &format!("user-{number}")).await);
    }
    party.until_received(20).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(party.received().len(), 20, "each was sent by one process");
    assert_eq!(distinct(party.all("sid")), ended);
    for plane in [&one, &other] {
        assert_eq!(state(plane, |one| one["delivered"] == 20).await["name"], "app");
    }
    // Which one sends is shown by who has counted.
    let metrics = one.admin(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    let is_one = metrics.contains("offswitch_notices_total");
    let (sender, rest) = if is_one { (&mut one, &other) } else { (&mut other, &one) };
    sender.kill();
    ended.insert(log_out(rest, "last").await);
    party.until_received(21).await;
    assert_eq!(distinct(party.all("sid")), ended);
}

// L05: the log is gone, and with it what had not been sent: the stored sessions say what has ended.
#[tokio::test]
async fn what_was_not_sent_before_the_log_was_lost_is_found_in_the_stored_sessions() {
    let redis = RedisServer::start().await;
    let (url, folder) = (redis.url(), tempfile::tempdir().unwrap());
    let environment =
        [("OFFSWITCH_STORE", url.as_str()), ("OFFSWITCH_ISSUER", "https://auth.example")];
    let mut plane = ControlPlane::start_in(folder.path(), &environment).await;
    let mut party = RelyingParty::start(Answers::Accepts).await;
    register(&plane, &party).await;
    let delivered = log_out(&plane, "alice").await;
    state(&plane, |one| one["delivered"] == 1).await;
    party.go_down().await;
    let waiting = log_out(&plane, "bob").await;
    let open = plane.login("carol").await;
    state(&plane, |one| one.get("last_error").is_some()).await;
    // The stored session says that it has ended.
    let devices = async |plane: &ControlPlane| plane.devices("bob").await.len();
    assert_eq!(devices(&plane).await, 0);
    sleep(Duration::from_millis(500)).await;
    plane.kill();
    let keys: Vec<String> = redis.command(&["KEYS", "*log*"]).await;
    assert!(!keys.is_empty(), "{:?}", redis.command::<Vec<String>>(&["KEYS", "*"]).await);
    for key in keys {
        redis.command::<()>(&["DEL", &key]).await;
    }
    party.come_up().await;
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    party.until_received(2).await;
    state(&plane, |one| one.get("waiting_since").is_none() && one["delivered"].as_u64() >= Some(2))
        .await;
    let notified = distinct(party.all("sid"));
    assert!(notified.contains(&waiting) && notified.contains(&delivered), "{notified:?}");
    assert!(!notified.contains(text(&open, "session_id")));
    assert!(plane.log().contains("the queue begins with the stored sessions"));
}

// L05: a relying party that does not answer keeps the end of a session in the log for a day, and no longer.
#[tokio::test]
async fn the_log_keeps_the_end_of_a_session_a_day_for_a_relying_party_and_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let begin = async |name: &str| {
        let store = embedded(&folder.path().join(name));
        let plane = plane_on(store.clone(), "https://auth.example", MASTER, store.now()).await;
        // Long ago: tokens that live longer than ten minutes are refused since.
        plane.settle_issuers(&[], plane.now() - 200_000).await.unwrap();
        (store, plane)
    };
    for (name, is_registered) in [("with", true), ("without", false)] {
        let (store, plane) = begin(name).await;
        let now = plane.now();
        if is_registered {
            let definition = RelyingPartyDefinition {
                audience: "app".to_owned(),
                endpoint_url: Some("http://127.0.0.1:1/".to_owned()),
                ..RelyingPartyDefinition::default()
            };
            let party = definition.check("app").unwrap();
            assert!(plane.outgoing.register("app", &party, "key_1", now).await.unwrap());
        }
        let user = Revocation::User {
            issuer: None,
            sub: "alice".to_owned(),
            issued_before: None,
            exp: now + 600,
        };
        let record =
            Record { at: now, by: "key_1".to_owned(), reason: None, revocations: vec![user] };
        append(&store, &plane, &record).await;
        let end = store.end().await.unwrap().position.seq;
        plane.sessions.carry_out_endings().await.unwrap();
        for (later, is_kept) in [(86_300, is_registered), (86_401, false)] {
            // The entry itself is past, for every verifier.
            plane.trim(now + later).await.unwrap();
            let kept = store.read(0, 10).await.unwrap().checkpoint.seq < end;
            assert_eq!(kept, is_kept, "{name} after {later} s");
        }
    }
}

async fn append(store: &Arc<dyn Store>, plane: &Arc<Plane>, record: &Record) {
    let request = offswitch::store::Request {
        id: "1".to_owned(),
        digest: [1; 32],
        memory: Duration::from_secs(1),
    };
    store.append(&request, &record.encode()).await.unwrap();
    plane.log.catch_up().await.unwrap();
}

fn embedded(path: &Path) -> Arc<dyn Store> {
    Arc::new(EmbeddedStore::open(path, 1).unwrap())
}
