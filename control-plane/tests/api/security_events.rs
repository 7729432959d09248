//! Security events by push (RFC 8935), over real connections.

use std::path::Path;
use std::sync::Arc;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::follower::{Follower, now};
use crate::support::oauth::answer;
use crate::support::process::ControlPlane;
use crate::support::provider::{Keys, Provider};
use crate::support::redis_server::RedisServer;

const PATH: &str = "/v1/receivers/idp/events";
const IDP: &str = "https://idp.example";
const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const DISABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";

/// The issuer signs its own tokens; a transmitter with another name and other keys signs its
/// events.
async fn register(plane: &ControlPlane, transmitter: &Provider) {
    let body = json!({
        "issuer": IDP, "jwks_uri": "https://idp.example/never-fetched", "horizon_seconds": 3600,
        "receivers": { "events": {
            "audiences": ["https://rp.example"], "issuer": transmitter.issuer(),
            "jwks_uri": format!("{}/jwks", transmitter.issuer()),
        } },
    });
    let answer = plane.admin(Method::PUT, "/v1/issuers/idp").json(&body).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    let listed: Value = answer.json().await.unwrap();
    assert_eq!(listed["receivers"]["events"]["audiences"], json!(["https://rp.example"]));
}

async fn started() -> (ControlPlane, Provider) {
    let (plane, transmitter) = (ControlPlane::start().await, Provider::start().await);
    register(&plane, &transmitter).await;
    (plane, transmitter)
}

fn claims(transmitter: &Provider, jti: &str, event: &str, sub_id: &Value) -> Value {
    json!({
        "iss": transmitter.issuer(), "aud": "https://rp.example", "iat": now(), "jti": jti,
        "sub_id": sub_id, "events": { event: {} },
    })
}

fn user(sub: &str) -> Value {
    json!({ "format": "iss_sub", "iss": IDP, "sub": sub })
}

fn sign(transmitter: &Provider, claims: &Value) -> String {
    let header = json!({ "alg": "EdDSA", "kid": "k1", "typ": "secevent+jwt" });
    transmitter.sign_text(&header, &claims.to_string())
}

async fn send(plane: &ControlPlane, token: String) -> Response {
    let request = plane.request(Method::POST, PATH).body(token);
    request.header("content-type", "application/secevent+jwt").send().await.unwrap()
}

// I11, I08: the answer is 202, durable, with the receiver in the list; an event that revokes
// nothing is acknowledged and counted.
#[tokio::test]
async fn events_revoke_what_they_name_and_others_are_acknowledged_and_counted() {
    let (plane, transmitter) = started().await;
    let mut follower = Follower::start(&plane, &plane.issuer()).await;
    let session = json!({ "format": "complex", "user": user("alice"), "session": { "format": "opaque", "id": "s-1" } });
    let stream = json!({ "format": "opaque", "id": "stream" });
    let token = |jti: &str, event: &str, subject: &Value| {
        sign(&transmitter, &claims(&transmitter, jti, event, subject))
    };
    let disabled = token("2", DISABLED, &user("bob"));
    for token in [
        token("1", SESSION_REVOKED, &session),
        disabled.clone(),
        // Repeated, and with the line break that a shell adds.
        disabled.clone() + "\n",
        token("3", "https://events.example/unknown", &json!({ "format": "opaque", "id": "x" })),
        token("4", &format!("{SSF}verification"), &stream),
    ] {
        let response = send(&plane, token).await;
        assert_eq!(response.status().as_u16(), 202);
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.text().await.unwrap(), "");
    }
    follower.follow(&plane).await;
    let feed = follower.verifier().feed();
    assert!(feed.is_denied(IDP, "sid", "s-1") && feed.cutoff(IDP, "sub", "alice").is_none());
    let cutoff = feed.cutoff(IDP, "sub", "bob").unwrap().not_before;
    assert!((now() - 20..=now() + 1).contains(&cutoff));
    let listed = plane.got("/v1/revocations?limit=3").await;
    let by: Vec<_> = listed["requests"].as_array().unwrap().iter().map(|one| &one["by"]).collect();
    assert_eq!(by[..2], ["receiver:idp:events", "receiver:idp:events"]);
    assert_ne!(by[2], "receiver:idp:events", "the replay has no record");
    let state = async || plane.got("/v1/status").await["issuers"][0]["receivers"][0].clone();
    let seen = state().await;
    assert_eq!(
        (&seen["receiver"], &seen["accepted"], &seen["ignored"]),
        (&json!("events"), &json!(3), &json!(2))
    );
    assert!(seen["stream"]["verified_at"].is_u64() && seen["stream"]["status"].is_null());
    let mut paused = claims(&transmitter, "5", &format!("{SSF}stream-updated"), &stream);
    paused["events"][format!("{SSF}stream-updated")] = json!({ "status": "paused" });
    assert_eq!(send(&plane, sign(&transmitter, &paused)).await.status().as_u16(), 202);
    assert_eq!(state().await["stream"]["status"], "paused");
    let metrics = plane.admin(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    for (outcome, count) in [("accepted", 2), ("repeated", 1), ("ignored", 3)] {
        let series = format!(
            "offswitch_receiver_requests_total{{issuer=\"idp\",receiver=\"events\",outcome=\"{outcome}\"}} {count}"
        );
        assert!(metrics.contains(&series), "{series}");
    }
}

// I10: a transmitter with its own name signs with the issuer's keys: a dead key of the issuer is
// dead for it too.
#[tokio::test]
async fn a_revoked_key_of_the_issuer_signs_no_events_under_another_name_either() {
    let (plane, provider) = (ControlPlane::start().await, Provider::start().await);
    let name = "https://events.example";
    let body = json!({
        "issuer": provider.issuer(), "horizon_seconds": 3600,
        "receivers": { "events": { "audiences": ["https://rp.example"], "issuer": name } },
    });
    let answer = plane.admin(Method::PUT, "/v1/issuers/idp").json(&body).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    let token = |jti: &str| {
        let subject = json!({ "format": "opaque", "id": "s" });
        let mut claims = claims(&provider, jti, SESSION_REVOKED, &subject);
        claims["iss"] = name.into();
        sign(&provider, &claims)
    };
    assert_eq!(send(&plane, token("1")).await.status(), 202);
    let key = json!({ "issuer": provider.issuer(), "kid": "k1" });
    plane.posted("/v1/revocations", &key).await;
    let refused = send(&plane, token("2")).await;
    assert_eq!(refused.status(), 400);
    let expected = json!({ "err": "invalid_key", "description": "revoked_key" });
    assert_eq!(refused.json::<Value>().await.unwrap(), expected);
}

// I11: each error has a code of RFC 8935 section 2.4, with our own code; nothing is recorded.
#[tokio::test]
async fn a_refused_event_is_answered_with_the_codes_of_the_rfc() {
    let (plane, transmitter) = started().await;
    let before = plane.got("/readyz").await["position"].clone();
    let good = claims(&transmitter, "1", DISABLED, &user("alice"));
    let changed = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        sign(&transmitter, &claims)
    };
    let text = good.to_string();
    let header = |alg: &str, typ: &str| json!({ "alg": alg, "kid": "k1", "typ": typ });
    let (ours, other) = (sign(&transmitter, &good), changed("jti", json!("2")));
    let unsigned =
        ours.rsplit_once('.').unwrap().0.to_owned() + "." + other.rsplit_once('.').unwrap().1;
    let twice = text.replacen("\"aud\":", "\"aud\":\"x\",\"aud\":", 1);
    for (token, err, description) in [
        ("{}".to_owned(), "invalid_request", "malformed"),
        (
            transmitter.sign_text(&header("EdDSA", "secevent+jwt"), &twice),
            "invalid_request",
            "malformed",
        ),
        (transmitter.sign_text(&header("EdDSA", "JWT"), &text), "invalid_request", "wrong_type"),
        (
            transmitter.sign_text(&header("EdDSA", "logout+jwt"), &text),
            "invalid_request",
            "wrong_type",
        ),
        (changed("events", json!({ DISABLED: 1 })), "invalid_request", "malformed"),
        (
            changed("sub_id", json!({ "format": "email", "email": "a@b.example" })),
            "invalid_request",
            "unsupported_subject",
        ),
        (
            changed(
                "sub_id",
                json!({ "format": "iss_sub", "iss": "https://other.example", "sub": "a" }),
            ),
            "invalid_request",
            "foreign_subject",
        ),
        (changed("iat", json!(now() + 600)), "invalid_request", "not_yet_valid"),
        (changed("iss", json!(IDP)), "invalid_issuer", "wrong_issuer"),
        (changed("aud", json!(["https://other.example"])), "invalid_audience", "wrong_audience"),
        (
            transmitter.sign_with_public_key(&header("HS256", "secevent+jwt"), &good),
            "invalid_key",
            "unsupported_algorithm",
        ),
        (unsigned, "authentication_failed", "bad_signature"),
        ("x".repeat(20_000), "invalid_request", "body_too_large"),
    ] {
        let response = send(&plane, token).await;
        assert_eq!(response.headers()["content-language"], "en", "{description}");
        assert_eq!(response.headers()["content-type"], "application/json");
        let (status, body) = answer(response).await;
        assert_eq!(
            (status.as_u16(), body),
            (400, json!({ "err": err, "description": description }))
        );
    }
    let request = plane.request(Method::POST, PATH).header("content-type", "application/jwt");
    let (status, body) =
        answer(request.body(sign(&transmitter, &good)).send().await.unwrap()).await;
    assert_eq!((status.as_u16(), &body["description"]), (400, &json!("unsupported_media_type")));
    let other = plane.request(Method::POST, "/v1/receivers/other/events");
    let other =
        other.header("content-type", "application/secevent+jwt").body(sign(&transmitter, &good));
    let (status, body) = answer(other.send().await.unwrap()).await;
    assert_eq!(
        (status.as_u16(), body),
        (404, json!({ "err": "access_denied", "description": "unknown_receiver" }))
    );
    let logout =
        plane.form("/v1/receivers/idp/backchannel-logout", &[("logout_token", "x.y.z")]).await;
    assert_eq!(logout.status().as_u16(), 404, "each receiver is registered separately");
    assert_eq!(plane.got("/readyz").await["position"], before, "nothing is recorded");
}

// I11, invariants 6 and 7: without keys or store the answer is 503 with Retry-After, and nothing is
// acknowledged.
#[tokio::test]
async fn an_event_that_cannot_be_judged_or_recorded_is_503() {
    let (mut redis, transmitter) = (RedisServer::start().await, Provider::start().await);
    let (folder, url) = (tempfile::tempdir().unwrap(), redis.url());
    let plane = ControlPlane::start_in(folder.path(), &[("OFFSWITCH_STORE", &url)]).await;
    register(&plane, &transmitter).await;
    let token =
        |jti: &str| sign(&transmitter, &claims(&transmitter, jti, DISABLED, &user("alice")));
    assert_eq!(send(&plane, token("1")).await.status().as_u16(), 202);
    redis.kill();
    let response = send(&plane, token("2")).await;
    assert_eq!(response.headers()["retry-after"], "1");
    let (status, problem) = answer(response).await;
    assert_eq!((status.as_u16(), &problem["code"]), (503, &json!("store_unavailable")));
    transmitter.answer(Keys::Broken);
    transmitter.rotate("k2");
    let header = json!({ "alg": "EdDSA", "kid": "k2", "typ": "secevent+jwt" });
    let response = send(&plane, transmitter.sign_text(&header, "{}")).await;
    assert_eq!(response.headers()["retry-after"], "10");
    let (status, problem) = answer(response).await;
    assert_eq!((status.as_u16(), &problem["code"]), (503, &json!("keys_unavailable")));
}

// I11: the sender is not authenticated: only operators see where the keys are and why a fetch
// failed.
#[tokio::test]
async fn an_answer_does_not_reveal_the_addresses_of_keys() {
    let (plane, transmitter) = started().await;
    transmitter.answer(Keys::Broken);
    let (status, problem) = answer(send(&plane, sign(&transmitter, &json!({}))).await).await;
    assert_eq!((status.as_u16(), &problem["code"]), (503, &json!("keys_unavailable")));
    assert!(!problem.to_string().contains("/jwks"), "{problem}");
    let status = plane.got("/v1/status").await.to_string();
    assert!(status.contains(&format!("{}/jwks", transmitter.issuer())), "{status}");
}

// I11, invariant 7: every event that was acknowledged before a kill -9 is revoked after it.
#[tokio::test]
async fn no_acknowledged_event_is_lost_when_the_process_is_killed() {
    let (folder, transmitter) = (tempfile::tempdir().unwrap(), Provider::start().await);
    let mut plane = ControlPlane::start_in(folder.path(), &[]).await;
    register(&plane, &transmitter).await;
    let port = plane.port();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let transmitter = Arc::new(transmitter);
    let senders: Vec<_> = (0..8_u32)
        .map(|sender| {
            let (client, transmitter) = (client.clone(), transmitter.clone());
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for number in 0.. {
                    let sub = format!("u-{sender}-{number}");
                    let token =
                        sign(&transmitter, &claims(&transmitter, &sub, DISABLED, &user(&sub)));
                    let request = client.post(format!("http://127.0.0.1:{port}{PATH}")).body(token);
                    let request = request.header("content-type", "application/secevent+jwt");
                    match request.send().await {
                        Ok(answer) if answer.status().as_u16() == 202 => acknowledged.push(sub),
                        Ok(answer) => panic!("{}", answer.status()),
                        Err(_) => break,
                    }
                }
                acknowledged
            })
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    plane.kill();
    let mut acknowledged = Vec::new();
    for sender in senders {
        acknowledged.extend(sender.await.unwrap());
    }
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    let plane = again(folder.path()).await;
    let mut follower = Follower::start(&plane, &plane.issuer()).await;
    follower.follow(&plane).await;
    let feed = follower.verifier().feed();
    let lost: Vec<_> =
        acknowledged.iter().filter(|sub| feed.cutoff(IDP, "sub", sub).is_none()).collect();
    assert!(lost.is_empty(), "of {} lost: {lost:?}", acknowledged.len());
}

async fn again(folder: &Path) -> ControlPlane {
    ControlPlane::start_in(folder, &[]).await
}
