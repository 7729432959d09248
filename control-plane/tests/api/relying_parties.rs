//! Relying parties: registered by the API or in the file, and what they are sent.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::oauth::{answer, text};
use crate::support::process::ControlPlane;
use crate::support::relying_party::{Answers, RelyingParty};

const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";
const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

async fn put(plane: &ControlPlane, name: &str, body: &Value) -> (StatusCode, Value) {
    let request = plane.admin(Method::PUT, &format!("/v1/relying-parties/{name}")).json(body);
    answer(request.send().await.unwrap()).await
}

async fn registered(plane: &ControlPlane, name: &str, body: &Value) -> Value {
    let (status, body) = put(plane, name, body).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

/// The state of a relying party, once `is_so` holds for it.
async fn state(plane: &ControlPlane, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let begin = Instant::now();
    loop {
        let status = plane.got("/v1/status").await;
        let all = status["relying_parties"].as_array().cloned().unwrap_or_default();
        let one = all.into_iter().find(|one| one["name"] == name).unwrap();
        if is_so(&one) {
            return one;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{one}");
        sleep(Duration::from_millis(20)).await;
    }
}

// L02, L06: each way to end a session, by the claims of the specifications; what is no end is not sent.
#[tokio::test]
async fn each_way_to_end_a_session_notifies_and_revoked_tokens_and_keys_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("secrets.toml");
    let credential = "Bearer of-the-crm-0123456789";
    let (shop, crm) =
        (RelyingParty::start(Answers::Accepts).await, RelyingParty::start(Answers::Accepts).await);
    let url = crm.url();
    let table = format!("[crm]\nendpoint_url = \"{url}\"\nauthorization = \"{credential}\"\n");
    offswitch::master_key::write_private(&secrets, table.as_bytes()).unwrap();
    let file = [("OFFSWITCH_RELYING_PARTY_SECRETS_FILE", secrets.to_str().unwrap())];
    let plane = ControlPlane::start_in(folder.path(), &file).await;
    let logout = json!({ "audience": "shop-client", "backchannel_logout_uri": shop.url() });
    registered(&plane, "shop", &logout).await;
    registered(&plane, "crm", &json!({ "audience": "crm-id", "endpoint_url": crm.url() })).await;
    let sessions = [
        plane.login("alice").await,
        plane.login("alice").await,
        plane.login("bob").await,
        plane.login("carol").await,
        plane.login("dave").await,
    ];
    let ids: Vec<&str> = sessions.iter().map(|one| text(one, "session_id")).collect();
    // What ends no session: one token, tokens by a claim, a key, another issuer's session.
    plane.register("idp", "https://idp.example").await;
    let token = text(&sessions[4], "access_token");
    plane.posted("/v1/revocations", &json!({ "token": token })).await;
    for body in [
        json!({ "claims": { "client_id": "x" } }),
        json!({ "issuer": "https://idp.example", "session_id": ids[4] }),
        json!({ "issuer": "https://idp.example", "sub": "dave" }),
    ] {
        plane.posted("/v1/revocations", &body).await;
    }
    // In another second than the registration and the next end: which came first must be known.
    sleep(Duration::from_millis(1_100)).await;
    plane.delete(&format!("/v1/users/alice/sessions/{}", ids[0])).await;
    sleep(Duration::from_millis(1_100)).await;
    plane.posted("/v1/revocations", &json!({ "sub": "alice" })).await;
    // A theft: the token from before comes back after its successor was used.
    let stolen = text(&sessions[2], "refresh_token");
    let first = plane.refreshed(stolen).await;
    plane.refreshed(text(&first, "refresh_token")).await;
    plane.not_refreshed(stolen, "refresh_token_reused").await;
    let held = text(&sessions[3], "refresh_token");
    plane.form("/oauth/revoke", &[("token", held)]).await;
    plane
        .posted("/v1/revocations", &json!({ "refresh_token": text(&sessions[4], "refresh_token") }))
        .await;

    let expected = [0, 1, 2, 3, 4].map(|place| ids[place].to_owned());
    let received = shop.until_received(5).await;
    // More would follow within this time.
    sleep(Duration::from_millis(300)).await;
    assert_eq!(sorted(shop.all("sid")), sorted(expected.to_vec()));
    assert_eq!(sorted(shop.all("sub")), ["alice", "alice", "bob", "carol", "dave"]);
    for one in &received {
        let claims = one.claims();
        assert_eq!(one.headers["content-type"], "application/x-www-form-urlencoded");
        assert!(!one.headers.contains_key("authorization"));
        assert_eq!(one.header()["typ"], "logout+jwt");
        assert_eq!(
            (&claims["iss"], &claims["aud"]),
            (&json!(plane.issuer()), &json!("shop-client"))
        );
        assert_eq!(claims["events"], json!({ LOGOUT: {} }));
        assert!(claims.get("nonce").is_none());
    }
    let received = crm.until_received(5).await;
    let mut initiators = Vec::new();
    for one in &received {
        let claims = one.claims();
        assert_eq!(one.headers["content-type"], "application/secevent+jwt");
        assert_eq!(one.headers["authorization"], credential);
        assert_eq!(one.header()["typ"], "secevent+jwt");
        assert_eq!(claims["aud"], "crm-id");
        assert!(claims.get("sub").is_none() && claims.get("exp").is_none());
        assert!(expected.contains(&text(&claims["sub_id"]["session"], "id").to_owned()));
        let event = &claims["events"][SESSION_REVOKED];
        initiators.push(event["initiating_entity"].as_str().unwrap_or("none").to_owned());
    }
    assert_eq!(sorted(initiators), ["none", "none", "none", "policy", "user"]);
    let metrics = plane.admin(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    for line in [
        "offswitch_notices_total{relying_party=\"shop\",outcome=\"delivered\"} 5",
        "offswitch_notices_waiting{relying_party=\"crm\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    // A caller registers another address under the name: it gets neither the credential nor a notice.
    let elsewhere = RelyingParty::start(Answers::Accepts).await;
    let moved = json!({ "audience": "crm-id", "endpoint_url": elsewhere.url() });
    registered(&plane, "crm", &moved).await;
    plane.login("erin").await;
    plane.delete("/v1/users/erin/sessions").await;
    let has_failed = |one: &Value| one["last_error"]["code"] == "other_endpoint";
    state(&plane, "crm", has_failed).await;
    assert!(elsewhere.received().is_empty() && crm.received().len() == 5);
    // Neither the credential nor a token is in the log.
    let log = plane.log();
    assert!(log.contains("relying_party_registered"), "{log}");
    assert!(!log.contains("of-the-crm") && !log.contains(&received[0].token));
}

// L04, L07: what each answer leads to, and what operators see of it; one that fails holds up no other.
#[tokio::test]
async fn each_answer_of_a_relying_party_is_shown_and_no_other_relying_party_waits_for_it() {
    let plane = ControlPlane::start().await;
    let answers = [
        ("accepts", Answers::Accepts),
        ("endless", Answers::Endless),
        ("fails", Answers::Fails),
        ("later", Answers::Later(30)),
        ("redirects", Answers::Redirects),
        ("refuses", Answers::Refuses),
        ("silent", Answers::Silent),
    ];
    let mut parties = Vec::new();
    for (name, answers) in answers {
        let party = RelyingParty::start(answers).await;
        let body = json!({ "audience": name, "backchannel_logout_uri": party.url() });
        registered(&plane, name, &body).await;
        parties.push(party);
    }
    let mut gone = RelyingParty::start(Answers::Accepts).await;
    gone.go_down().await;
    let body = json!({ "audience": "gone", "backchannel_logout_uri": gone.url() });
    registered(&plane, "gone", &body).await;
    let begin = Instant::now();
    plane.login("alice").await;
    plane.delete("/v1/users/alice/sessions").await;
    parties[0].until_received(1).await;
    assert!(begin.elapsed() < Duration::from_secs(4), "it waits for the silent one");
    for name in ["accepts", "endless"] {
        let one = state(&plane, name, |one| one["delivered"] == 1).await;
        assert!(one.get("last_error").is_none() && one.get("waiting_since").is_none(), "{one}");
        assert!(one["delivered_at"].is_u64());
    }
    let refuses = state(&plane, "refuses", |one| one["refused"] == 1).await;
    assert_eq!(refuses["last_error"]["code"], "refused");
    assert_eq!(refuses["last_error"]["detail"], "answers 400, invalid_request");
    assert!(refuses.get("waiting_since").is_none(), "it is final");
    for (name, code, detail) in [
        ("fails", "unexpected_status", "answers 500"),
        ("later", "unexpected_status", "answers 503"),
        ("redirects", "unexpected_status", "answers 307; redirects are not followed"),
        ("silent", "no_answer", "no answer in 5s"),
        ("gone", "no_answer", ""),
    ] {
        let one = state(&plane, name, |one| one.get("last_error").is_some()).await;
        let error = &one["last_error"];
        assert_eq!(error["code"], code, "{name}");
        assert!(text(error, "detail").contains(detail), "{error}");
        assert!(one["waiting_since"].is_u64() && one["delivered"] == 0, "{one}");
    }
    sleep(Duration::from_secs(3)).await;
    let count = |place: usize| parties[place].received().len();
    assert!((2..=4).contains(&count(2)), "tried again after growing pauses: {}", count(2));
    assert_eq!(count(3), 1, "Retry-After is respected");
    assert!(count(4) <= 4, "a redirect is not followed: {}", count(4));
    assert_eq!(count(5), 1, "400 is final");
    // It answers again.
    parties[2].answer(Answers::Accepts);
    let fails = state(&plane, "fails", |one| one["delivered"] == 1).await;
    assert!(fails.get("waiting_since").is_none());
    assert!(
        text(&fails["last_error"], "code") == "unexpected_status",
        "the last error stays shown"
    );
}

// L01: a registration is checked, needs its scope, is changed in its place, and removed.
#[tokio::test]
async fn relying_parties_are_registered_changed_and_removed() {
    let plane = ControlPlane::start().await;
    let good = json!({ "audience": "a", "endpoint_url": "https://a.example/events" });
    let listed = registered(&plane, "a", &good).await;
    assert_eq!(listed["endpoint_url"], "https://a.example/events");
    assert_eq!((&listed["delivered"], listed.get("backchannel_logout_uri")), (&json!(0), None));
    assert_eq!(registered(&plane, "a", &good).await, listed, "the same again changes nothing");
    let changed = json!({ "audience": "b", "backchannel_logout_uri": "https://a.example/logout",
                          "backchannel_logout_session_required": true });
    let changed = registered(&plane, "a", &changed).await;
    assert_eq!(changed["backchannel_logout_session_required"], true);
    assert_eq!(changed["created_at"], listed["created_at"]);
    assert_eq!(plane.got("/v1/relying-parties").await["relying_parties"], json!([changed]));
    for (body, pointer) in [
        (json!({ "endpoint_url": "https://a.example" }), "/audience"),
        (json!({ "audience": "a" }), "/backchannel_logout_uri"),
        (json!({ "audience": "a", "endpoint_url": "http://a.example" }), "/endpoint_url"),
        (json!({ "audience": "a", "endpoint_url": "http://169.254.169.254/" }), "/endpoint_url"),
    ] {
        let (status, problem) = put(&plane, "c", &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(
            (text(&problem, "code"), text(&problem, "pointer")),
            ("invalid_relying_party", pointer)
        );
    }
    let (status, _) = put(&plane, "c", &json!({ "audience": "a", "colour": 1 })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let key = json!({ "name": "reader", "scopes": ["sessions:write", "issuers:write"] });
    let key = plane.posted("/v1/api-keys", &key).await;
    let weak = |method: Method| {
        plane.request(method, "/v1/relying-parties/a").bearer_auth(text(&key, "key")).json(&good)
    };
    for method in [Method::PUT, Method::DELETE] {
        assert_eq!(weak(method).send().await.unwrap().status(), StatusCode::FORBIDDEN);
    }
    let delete = async || plane.delete("/v1/relying-parties/a").await;
    assert_eq!(delete().await.0, StatusCode::NO_CONTENT);
    let (status, problem) = delete().await;
    assert_eq!((status, text(&problem, "code")), (StatusCode::NOT_FOUND, "unknown_relying_party"));
    assert!(plane.got("/v1/status").await.get("relying_parties").is_none());
}

fn sorted(mut all: Vec<String>) -> Vec<String> {
    all.sort();
    all
}
