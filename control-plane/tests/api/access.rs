//! Which key may call which route.

use base64ct::{Base64, Encoding};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::process::ControlPlane;
use crate::support::redis_server::RedisServer;

/// Every route of the API's description, with the scope that it requires; absent for public ones.
async fn routes(plane: &ControlPlane) -> Vec<(Method, String, Option<String>)> {
    let description: Value =
        plane.request(Method::GET, "/openapi.json").send().await.unwrap().json().await.unwrap();
    let mut routes = Vec::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase().parse().unwrap();
            let scopes = operation["security"][0]["api_key"].as_array();
            let scope = scopes.map(|scopes| scopes.first().and_then(Value::as_str).unwrap_or(ANY));
            let scope = scope.map(str::to_owned);
            routes.push((method, path.clone(), scope));
        }
    }
    routes
}

// A03: each route requires its scope and accepts a key that has only this scope.
#[tokio::test]
async fn each_route_accepts_a_key_that_has_only_its_scope() {
    let redis = RedisServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let url = redis.url();
    // Thousands of requests with keys that may not do what they ask for are a flood.
    let environment = [("OFFSWITCH_STORE", url.as_str()), ("OFFSWITCH_REQUESTS_PER_SOURCE", "0")];
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    let routes = routes(&plane).await;
    assert_eq!(routes.len(), 48);
    let public: Vec<&str> = routes
        .iter()
        .filter(|(_, _, scope)| scope.is_none())
        .map(|(_, path, _)| path.as_str())
        .collect();
    let expected = [
        "/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server",
        "/healthz",
        "/oauth/revoke",
        "/oauth/token",
        "/readyz",
        "/v1/receivers/{name}/backchannel-logout",
        "/v1/receivers/{name}/events",
        "/v1/receivers/{name}/global-token-revocation",
        "/v1/receivers/{name}/webhook",
        "/v1/receivers/{name}/webhook",
    ];
    assert_eq!(public, expected);

    let (mut keys, mut ids) = (Vec::new(), Vec::new());
    let scopes = routes.iter().filter_map(|(_, _, scope)| scope.as_deref());
    for scope in scopes.filter(|scope| *scope != ANY) {
        let made = plane.posted("/v1/api-keys", &json!({ "name": scope, "scopes": [scope] })).await;
        keys.push((scope, made["key"].as_str().unwrap().to_owned()));
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    for (method, path, scope) in routes.iter().filter(|(_, _, scope)| scope.is_some()) {
        let without = plane.request(method.clone(), path).send().await.unwrap();
        assert_eq!(without.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(without.headers()["www-authenticate"], "Bearer");
        for (key_scope, key) in &keys {
            let may = [Some(ANY), Some(*key_scope)].contains(&scope.as_deref());
            let send = async |request: reqwest::RequestBuilder| {
                let answer = request.send().await.unwrap().status();
                answer != StatusCode::FORBIDDEN && answer != StatusCode::UNAUTHORIZED
            };
            let request = || plane.request(method.clone(), path);
            assert_eq!(send(request().bearer_auth(key)).await, may, "{path} {key_scope}");
            let mut opened_by_basic = 0;
            for id in &ids {
                opened_by_basic += usize::from(send(request().basic_auth(id, Some(key))).await);
            }
            assert_eq!(
                opened_by_basic,
                usize::from(may),
                "{path} {key_scope}: only with its own id"
            );
        }
    }
}

// A03, D13: the scope to revoke tokens is not enough to revoke a signing key of this control plane.
#[tokio::test]
async fn revoking_an_own_signing_key_requires_the_scope_for_keys() {
    let plane = ControlPlane::start().await;
    let kid = plane.got("/v1/keys").await["token_keys"][0]["kid"].clone();
    let create = async |scopes: &[&str]| {
        let body = json!({ "name": "x", "scopes": scopes });
        plane.posted("/v1/api-keys", &body).await["key"].as_str().unwrap().to_owned()
    };
    let key = create(&["revocations:write"]).await;
    let revoke = async |key: &str, body: &Value| {
        let request = plane.request(Method::POST, "/v1/revocations").bearer_auth(key).json(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["code"].clone())
    };
    let lacks = (403, json!("missing_scope"));
    assert_eq!(revoke(&key, &json!({ "kid": kid })).await, lacks);
    let bulk = json!({ "revocations": [{ "sub": "a" }, { "kid": kid }] });
    assert_eq!(revoke(&key, &bulk).await, lacks);
    let line = plane.request(Method::POST, "/v1/revocations").bearer_auth(&key);
    let line =
        line.header("content-type", "application/x-ndjson").body(json!({ "kid": kid }).to_string());
    assert_eq!(line.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(plane.got("/v1/keys").await["token_keys"][0]["state"], "active");
    plane.register("idp", "https://idp.example").await;
    let foreign = json!({ "kid": "k", "issuer": "https://idp.example" });
    assert_eq!(revoke(&key, &foreign).await.0, 200);
    let both = create(&["revocations:write", "keys:write"]).await;
    assert_eq!(revoke(&both, &json!({ "kid": kid })).await.0, 200);
}

#[tokio::test]
async fn wrong_credentials_are_refused_with_a_code() {
    let plane = ControlPlane::start().await;
    let admin = plane.admin_key();
    let long = "x".repeat(10_000);
    for (value, code) in [
        ("", "missing_api_key"),
        (admin.as_str(), "missing_api_key"),
        (&format!("Basic {admin}"), "missing_api_key"),
        ("Bearer osk_unknown", "unknown_api_key"),
        (&format!("Bearer {admin}x"), "unknown_api_key"),
        (&format!("Bearer {long}"), "unknown_api_key"),
    ] {
        let request = plane.request(Method::GET, "/v1/keys").header("authorization", value);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], code, "{}", &value[..value.len().min(20)]);
    }
    let twice = plane.admin(Method::GET, "/v1/keys").header("authorization", "Bearer other");
    assert_eq!(twice.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

// RFC 6749 section 2.3.1: id and key in one header, each form-urlencoded. Everything else is
// refused.
#[tokio::test]
async fn http_basic_takes_a_key_with_its_own_id_and_nothing_else() {
    let plane = ControlPlane::start().await;
    let key = plane.admin_key();
    let revoked = plane.posted("/v1/revocations", &json!({ "sub": "a" })).await;
    assert_eq!(revoked["repeated"], false);
    let by = plane.got("/v1/revocations").await["requests"][0]["by"].clone();
    let id = by.as_str().unwrap();
    let escaped =
        |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02x}")).collect() };
    let encode = |text: String| Base64::encode_string(text.as_bytes());
    let good = encode(format!("{id}:{key}"));
    for (value, answer) in [
        (format!("Basic {good}"), Ok(())),
        (format!("bAsIc {good}"), Ok(())),
        (format!("Basic {}", encode(format!("{}:{}", escaped(id), escaped(&key)))), Ok(())),
        ("Basic".to_owned(), Err("missing_api_key")),
        ("Basic ".to_owned(), Err("missing_api_key")),
        (format!("Basic {id}:{key}"), Err("missing_api_key")),
        (format!("Basic {}", good.trim_end_matches('=').to_owned() + "!"), Err("missing_api_key")),
        (format!("Basic {}", encode(key.clone())), Err("missing_api_key")),
        (format!("Basic {}", encode(format!("{id}:{key}%"))), Err("missing_api_key")),
        (format!("Basic {}", encode(format!("{id}:{key}:"))), Err("missing_api_key")),
        (format!("Basic {}", encode(format!("{id}:%ff"))), Err("missing_api_key")),
        (format!("Basic {}", Base64::encode_string(b"\xff:\xff")), Err("missing_api_key")),
        (format!("Digest {good}"), Err("missing_api_key")),
        (format!("Basic {}", encode(format!(":{key}"))), Err("unknown_api_key")),
        (format!("Basic {}", encode(format!("{id}:"))), Err("unknown_api_key")),
        (format!("Basic {}", encode(format!("admin:{key}"))), Err("unknown_api_key")),
        (format!("Basic {}", encode(format!("{id}+:{key}"))), Err("unknown_api_key")),
        (format!("Basic {}", encode(format!("{key}:{id}"))), Err("unknown_api_key")),
        (format!("Basic {}", encode(format!("{id}:{key}+"))), Err("unknown_api_key")),
        (format!("Basic {}", encode(format!("{id}:{}", "x".repeat(2000)))), Err("unknown_api_key")),
        (format!("Bearer {good}"), Err("unknown_api_key")),
    ] {
        let request = plane.request(Method::GET, "/v1/keys").header("authorization", &value);
        let found = request.send().await.unwrap();
        let Err(code) = answer else {
            assert_eq!(found.status(), StatusCode::OK, "{value}");
            continue;
        };
        assert_eq!(found.status(), StatusCode::UNAUTHORIZED, "{value}");
        let scheme =
            if value.starts_with("Basic ") { "Basic realm=\"offswitch\"" } else { "Bearer" };
        let scheme = if value == "Basic " { "Bearer" } else { scheme };
        assert_eq!(found.headers()["www-authenticate"], scheme, "{value}");
        assert_eq!(found.json::<Value>().await.unwrap()["code"], code, "{value}");
    }
}

// The store and the log contain no key, no token and no secret.
#[tokio::test]
async fn no_secret_and_no_token_is_in_the_store_or_the_log() {
    let redis = RedisServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let url = redis.url();
    let plane = ControlPlane::start_in(folder.path(), &[("OFFSWITCH_STORE", &url)]).await;
    let session = plane.posted("/v1/sessions", &json!({ "sub": "alice" })).await;
    let token = session["access_token"].as_str().unwrap().to_owned();
    plane.posted("/v1/revocations", &json!({ "token": token })).await;
    plane.post("/v1/revocations", &json!({ "token": 17 })).await;
    plane.post("/v1/revocations", &json!({ "jti": token, "exp": token })).await;

    let master = std::fs::read_to_string(folder.path().join("master.key")).unwrap();
    let next = plane.refreshed(session["refresh_token"].as_str().unwrap()).await;
    let offer = plane.posted("/v1/sessions", &json!({ "sub": "alice", "handover": true })).await;
    let edge = json!({ "code": offer["handover_code"] });
    let edge = plane.posted("/v1/handover/login", &edge).await;
    plane.posted("/v1/handover/token", &json!({ "handle": edge["handle"] })).await;
    let given = [
        &session["refresh_token"],
        &next["refresh_token"],
        &next["access_token"],
        &offer["handover_code"],
        &edge["handle"],
        &edge["access_token"],
    ];
    let given = given.map(|text| text.as_str().unwrap().to_owned());
    let mut secrets = vec![plane.admin_key(), master, token];
    secrets.extend(given);
    let mut haystack = plane.log().into_bytes();
    for key in redis.command::<Vec<String>>(&["KEYS", "*"]).await {
        haystack.extend(redis.command::<Vec<u8>>(&["DUMP", &key]).await);
    }
    assert!(haystack.len() > 1000);
    for secret in secrets {
        let secret = secret.trim().as_bytes();
        assert!(!haystack.windows(secret.len()).any(|window| window == secret));
        let middle = &secret[secret.len() / 3..secret.len() / 3 + 20];
        assert!(!haystack.windows(20).any(|window| window == middle));
    }
}

/// The scope of a route that accepts every key.
const ANY: &str = "any";
