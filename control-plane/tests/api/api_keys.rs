//! API keys over HTTP, while the server runs.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::follower::now;
use crate::support::process::ControlPlane;
use crate::support::redis_server::RedisServer;

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn with(plane: &ControlPlane, key: &str, method: Method, path: &str) -> reqwest::RequestBuilder {
    plane.request(method, path).bearer_auth(key)
}

/// Creates a key with the admin key; returns its id and its secret.
async fn created(plane: &ControlPlane, scopes: &[&str]) -> (String, String) {
    let body = json!({ "name": "made", "scopes": scopes });
    let made = plane.posted("/v1/api-keys", &body).await;
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("key"))
}

// D40: also with the embedded store, which only one process can open.
#[tokio::test]
async fn keys_are_created_listed_and_deleted_while_the_server_runs() {
    let plane = ControlPlane::start().await;
    let expires_at = now() + 3600;
    let body =
        json!({ "name": "edge", "scopes": ["feed:read", "feed:read"], "expires_at": expires_at });
    let (status, made) = answer(plane.admin(Method::POST, "/v1/api-keys").json(&body)).await;
    assert_eq!(status, 201, "{made}");
    let secret = made["key"].as_str().unwrap();
    assert!(secret.starts_with("osk_"));
    assert_eq!((&made["scopes"], &made["name"]), (&json!(["feed:read"]), &json!("edge")));
    assert_eq!((&made["expires_at"], &made["expired"]), (&json!(expires_at), &json!(false)));
    assert_eq!(answer(with(&plane, secret, Method::GET, "/v1/status")).await.0, 200);
    let (status, problem) = answer(with(&plane, secret, Method::GET, "/v1/api-keys")).await;
    assert_eq!((status, &problem["code"]), (403, &json!("missing_scope")));

    let listed = plane.got("/v1/api-keys").await;
    let keys = listed["api_keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().any(|key| key["name"] == "admin"));
    assert!(keys.iter().any(|key| key["id"] == made["id"]));
    assert!(!listed.to_string().contains(secret), "the secret is shown once");
    assert!(!listed.to_string().contains("hash"));
    assert!(!plane.log().contains(secret));

    let path = format!("/v1/api-keys/{}", made["id"].as_str().unwrap());
    assert_eq!(answer(plane.admin(Method::DELETE, &path)).await.0, 200);
    let (status, problem) = answer(with(&plane, secret, Method::GET, "/v1/status")).await;
    assert_eq!((status, &problem["code"]), (401, &json!("unknown_api_key")));
    let (status, problem) = answer(plane.admin(Method::DELETE, &path)).await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_api_key_id")));
}

// A03: a key can neither create nor delete a key that has more scopes than it has.
#[tokio::test]
async fn a_key_manages_no_key_with_more_scopes_than_its_own() {
    let plane = ControlPlane::start().await;
    let admin = plane.got("/v1/api-keys").await["api_keys"][0]["id"].clone();
    let (id, key) = created(&plane, &["api-keys:write", "feed:read"]).await;
    let create = |scopes: Value| {
        let body = json!({ "name": "x", "scopes": scopes });
        answer(with(&plane, &key, Method::POST, "/v1/api-keys").json(&body))
    };
    assert_eq!(create(json!(["feed:read"])).await.0, 201);
    for scopes in [json!(["keys:write"]), json!(["feed:read", "red-button"])] {
        let (status, problem) = create(scopes.clone()).await;
        assert_eq!((status, &problem["code"]), (403, &json!("missing_scope")), "{scopes}");
    }
    let admin_path = format!("/v1/api-keys/{}", admin.as_str().unwrap());
    let (status, problem) = answer(with(&plane, &key, Method::DELETE, &admin_path)).await;
    assert_eq!((status, &problem["code"]), (403, &json!("missing_scope")));
    // It may delete itself; after that, only the admin key manages keys.
    let own = format!("/v1/api-keys/{id}");
    assert_eq!(answer(with(&plane, &key, Method::DELETE, &own)).await.0, 200);
    let (status, problem) = answer(plane.admin(Method::DELETE, &admin_path)).await;
    assert_eq!((status, &problem["code"]), (409, &json!("last_api_key")));
}

#[tokio::test]
async fn a_key_with_wrong_fields_is_not_created() {
    let plane = ControlPlane::start().await;
    for (body, code) in [
        (json!({ "name": "", "scopes": ["feed:read"] }), "invalid_api_key"),
        (json!({ "name": "x".repeat(101), "scopes": ["feed:read"] }), "invalid_api_key"),
        (json!({ "name": "a\nb", "scopes": ["feed:read"] }), "invalid_api_key"),
        (json!({ "name": "x", "scopes": [] }), "invalid_api_key"),
        (json!({ "name": "x", "scopes": ["feed:read"], "expires_at": 60 }), "invalid_api_key"),
        (json!({ "name": "x", "scopes": ["everything"] }), "invalid_body"),
        (json!({ "name": "x", "scopes": "feed:read" }), "invalid_body"),
        (json!({ "name": "x" }), "invalid_body"),
    ] {
        let (status, problem) = answer(plane.admin(Method::POST, "/v1/api-keys").json(&body)).await;
        assert_eq!((status, &problem["code"]), (400, &json!(code)), "{body}");
    }
    assert_eq!(plane.got("/v1/api-keys").await["api_keys"].as_array().unwrap().len(), 1);
}

// D40: every process of the store refuses a deleted key within seconds.
#[tokio::test]
async fn every_process_honours_a_deletion_within_seconds() {
    let redis = RedisServer::start().await;
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let url = redis.url();
    let issuer = ("OFFSWITCH_ISSUER", "http://plane.example");
    let environment = [("OFFSWITCH_STORE", url.as_str()), issuer];
    let first = ControlPlane::start_in(one.path(), &environment).await;
    for file in ["master.key", "admin.key"] {
        std::fs::copy(one.path().join(file), two.path().join(file)).unwrap();
    }
    let second = ControlPlane::start_in(two.path(), &environment).await;
    let (id, key) = created(&first, &["keys:read"]).await;
    let until = async |expected: StatusCode| {
        let begin = Instant::now();
        while with(&second, &key, Method::GET, "/v1/keys").send().await.unwrap().status()
            != expected
        {
            assert!(begin.elapsed() < Duration::from_secs(15), "{expected}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    until(StatusCode::OK).await;
    let path = format!("/v1/api-keys/{id}");
    assert_eq!(answer(first.admin(Method::DELETE, &path)).await.0, 200);
    assert_eq!(with(&first, &key, Method::GET, "/v1/keys").send().await.unwrap().status(), 401);
    until(StatusCode::UNAUTHORIZED).await;
}
