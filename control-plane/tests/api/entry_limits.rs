//! How many revocations may be held in total.

use offswitch::server::Limits;
use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::support::local_server::{LocalServer, counted};

// Revocations are refused before a snapshot becomes too large for a verifier. Logouts, revoked keys
// and the red button still work then.
#[tokio::test]
async fn revocations_are_bounded_in_total_and_logouts_still_work() {
    let change = |settings: &mut offswitch::plane::Settings| settings.log.max_entries = 5;
    let server = LocalServer::start_with(Limits::default(), change).await;
    let mut sessions = Vec::new();
    for sub in ["a", "b"] {
        let answer = post(&server, "/v1/sessions", &json!({ "sub": sub })).await;
        sessions.push(answer.json::<Value>().await.unwrap());
    }
    let exp = offswitch::clock::unix_seconds() + 3600;
    let token = |number: usize| json!({ "jti": format!("t-{number}"), "exp": exp });
    let several: Vec<Value> = (0..6).map(token).collect();
    let before = counted("offswitch_problems_total", "too_many_entries");
    refused(&server, &json!({ "revocations": several })).await;
    let several: Vec<Value> = (0..4).map(token).collect();
    assert!(
        post(&server, REVOCATIONS, &json!({ "revocations": several })).await.status().is_success()
    );
    assert!(post(&server, REVOCATIONS, &json!({ "sub": "c" })).await.status().is_success());
    refused(&server, &token(7)).await;
    refused(&server, &json!({ "sub": "d" })).await;
    assert!(counted("offswitch_problems_total", "too_many_entries") - before >= 3.0);
    let client = Client::builder().no_proxy().build().unwrap();
    let id = sessions[0]["session_id"].as_str().unwrap();
    for path in [format!("/v1/users/a/sessions/{id}"), "/v1/users/b/sessions".to_owned()] {
        let delete = client.delete(server.url(&path)).bearer_auth(server.admin_key());
        assert!(delete.send().await.unwrap().status().is_success(), "{path}");
    }
    register(&server, "idp", "https://idp.example").await;
    let key = json!({ "issuer": "https://idp.example", "kid": "stolen" });
    assert!(post(&server, REVOCATIONS, &key).await.status().is_success());
    assert!(post(&server, "/v1/red-button", &json!({})).await.status().is_success());
}

// D13: dead keys never expire, and a caller who may revoke can make up names of foreign ones. An
// issuer may have as many as one key set, all issuers a quarter of the total, and the red button
// always has room.
#[tokio::test]
async fn foreign_dead_keys_are_bounded_per_issuer_and_in_all() {
    let server = LocalServer::start(Limits::default()).await;
    let keys = |issuer: usize, count: usize| {
        let key = |number: usize| json!({ "issuer": format!("https://idp-{issuer}.example"), "kid": format!("k{number}") });
        json!({ "revocations": (0..count).map(key).collect::<Vec<_>>() })
    };
    let send = async |body: Value| {
        let answer = post(&server, REVOCATIONS, &body).await;
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap()["code"].clone())
    };
    for issuer in 0..5 {
        register(&server, &format!("idp-{issuer}"), &format!("https://idp-{issuer}.example")).await;
    }
    let full = (409, json!("too_many_dead_keys"));
    assert_eq!(send(keys(0, 65)).await, full);
    for issuer in 0..4 {
        assert_eq!(send(keys(issuer, 64)).await.0, 200, "{issuer}");
        assert_eq!(send(keys(issuer, 65)).await, full, "{issuer}");
    }
    assert_eq!(send(keys(0, 64)).await.0, 200, "they are dead already");
    assert_eq!(send(keys(4, 1)).await, full);
    let own = post(&server, "/v1/keys/rotate", &json!({})).await;
    let kid = own.json::<Value>().await.unwrap()["kid"].clone();
    assert_eq!(send(json!({ "kid": kid })).await.0, 200);
    assert!(post(&server, "/v1/red-button", &json!({})).await.status().is_success());
}

// The request was accepted, but its answer was lost: a client that repeats it gets the answer,
// although the limit is reached by now. Another request under the same key is refused as such, and
// a request under an unknown key is refused by the limit.
#[tokio::test]
async fn a_repeated_request_is_answered_although_the_limit_is_reached() {
    let change = |settings: &mut offswitch::plane::Settings| settings.log.max_entries = 2;
    let server = LocalServer::start_with(Limits::default(), change).await;
    let exp = offswitch::clock::unix_seconds() + 3600;
    let tokens = json!({ "revocations": [{ "jti": "a", "exp": exp }, { "jti": "b", "exp": exp }] });
    register(&server, "idp", "https://idp.example").await;
    let keys: Vec<Value> = (0..64)
        .map(|number| json!({ "issuer": "https://idp.example", "kid": format!("k{number}") }))
        .collect();
    let one_more = json!({ "jti": "c", "exp": exp });
    let one_more_key = json!({ "issuer": "https://idp.example", "kid": "k64" });
    for (name, body, more, status) in [
        ("tokens", tokens, one_more.clone(), 507),
        ("keys", json!({ "revocations": keys }), one_more_key, 409),
    ] {
        let first = named(&server, name, &body).await;
        assert_eq!(first.status(), 200, "{name}");
        let first: Value = first.json().await.unwrap();
        let again = named(&server, name, &body).await;
        assert_eq!(again.status(), 200, "{name}");
        let again: Value = again.json().await.unwrap();
        assert_eq!((&again["position"], &again["repeated"]), (&first["position"], &json!(true)));
        let other = named(&server, &format!("other {name}"), &more).await;
        assert_eq!(other.status(), status, "{name}");
        let reused = named(&server, name, &one_more).await;
        assert_eq!(reused.json::<Value>().await.unwrap()["code"], "idempotency_key_reused");
    }
}

async fn named(server: &LocalServer, name: &str, body: &Value) -> Response {
    let client = Client::builder().no_proxy().build().unwrap();
    let request = client.post(server.url(REVOCATIONS)).bearer_auth(server.admin_key());
    request.header("idempotency-key", name).json(body).send().await.unwrap()
}

async fn post(server: &LocalServer, path: &str, body: &Value) -> Response {
    let client = Client::builder().no_proxy().build().unwrap();
    let request = client.post(server.url(path)).bearer_auth(server.admin_key());
    request.json(body).send().await.unwrap()
}

async fn refused(server: &LocalServer, body: &Value) {
    let answer = post(server, REVOCATIONS, body).await;
    assert_eq!(answer.status(), 507, "{body}");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "too_many_entries");
}

const REVOCATIONS: &str = "/v1/revocations";

/// Registers an issuer, so that its keys can be revoked.
async fn register(server: &LocalServer, name: &str, issuer: &str) {
    let client = Client::builder().no_proxy().build().unwrap();
    let put =
        client.put(server.url(&format!("/v1/issuers/{name}"))).bearer_auth(server.admin_key());
    let answer = put.json(&json!({ "issuer": issuer })).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}
