//! Global Token Revocation (draft-parecki-oauth-global-token-revocation), over real connections.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::follower::{Follower, now};
use crate::support::oauth::answer;
use crate::support::process::ControlPlane;
use crate::support::provider::Provider;
use crate::support::redis_server::RedisServer;

const PATH: &str = "/v1/receivers/idp/global-token-revocation";
const AUDIENCE: &str = "https://offswitch.example/v1/receivers/idp/global-token-revocation";

async fn register(plane: &ControlPlane, provider: &Provider) {
    let body = json!({
        "issuer": provider.issuer(), "horizon_seconds": 3600,
        "receivers": { "global_token_revocation": {
            "audiences": [AUDIENCE], "subject_claims": { "email": "email" },
        } },
    });
    let answer = plane.admin(Method::PUT, "/v1/issuers/idp").json(&body).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

fn jwt(provider: &Provider, jti: &str, change: &Value) -> String {
    let mut claims = json!({
        "iss": provider.issuer(), "sub": "okta", "aud": AUDIENCE, "iat": now() - 20, "exp": now() + 300,
        "jti": jti,
    });
    for (name, value) in change.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    let header = json!({ "alg": "EdDSA", "kid": "k1", "typ": "global-token-revocation+jwt" });
    provider.sign_text(&header, &claims.to_string())
}

async fn send(plane: &ControlPlane, credential: &str, body: &Value) -> Response {
    let request = plane.request(Method::POST, PATH).bearer_auth(credential).json(body);
    request.send().await.unwrap()
}

async fn outcome(plane: &ControlPlane, credential: &str, body: &Value) -> (u16, String) {
    let (status, body) = answer(send(plane, credential, body).await).await;
    (status.as_u16(), body["code"].as_str().unwrap_or_default().to_owned())
}

// I12, I08: each format of a subject, by a JWT of the issuer (its own time) and by an API key (ours).
#[tokio::test]
async fn a_user_is_revoked_by_each_format_of_subject() {
    let (plane, provider) = (ControlPlane::start().await, Provider::start().await);
    register(&plane, &provider).await;
    let mut follower = Follower::start(&plane, &plane.issuer()).await;
    let iss = provider.issuer();
    for (jti, subject) in [
        ("1", json!({ "format": "iss_sub", "iss": iss, "sub": "alice" })),
        ("2", json!({ "format": "opaque", "id": "bob" })),
        ("3", json!({ "format": "email", "email": "carol@example.com" })),
    ] {
        let response =
            send(&plane, &jwt(&provider, jti, &json!({})), &json!({ "sub_id": subject })).await;
        assert_eq!(response.status().as_u16(), 204, "{subject}");
        assert_eq!(response.text().await.unwrap(), "");
    }
    let by_key = json!({ "sub_id": { "format": "opaque", "id": "dave" } });
    assert_eq!(outcome(&plane, &plane.admin_key(), &by_key).await.0, 204);
    follower.follow(&plane).await;
    let feed = follower.verifier().feed();
    for (claim, id) in [("sub", "alice"), ("sub", "bob"), ("email", "carol@example.com")] {
        let cutoff = feed.cutoff(iss, claim, id).unwrap().not_before;
        assert!((now() - 60..=now() - 15).contains(&cutoff), "{id}: by the issuer's own time");
    }
    assert!(feed.cutoff(iss, "sub", "dave").unwrap().not_before >= now() - 10);
    let listed = plane.got("/v1/revocations?limit=4").await;
    let by: Vec<_> =
        listed["requests"].as_array().unwrap().iter().map(|one| one["by"].clone()).collect();
    assert!(by[0].as_str().unwrap().starts_with("key_"), "{by:?}");
    assert!(by[1..].iter().all(|one| one == "receiver:idp:global-token-revocation"), "{by:?}");
}

// I12: requests that are not authenticated, not allowed, or that name no user.
#[tokio::test]
async fn a_request_without_authentication_or_user_is_refused_and_records_nothing() {
    let (plane, provider) = (ControlPlane::start().await, Provider::start().await);
    register(&plane, &provider).await;
    let alice = json!({ "sub_id": { "format": "opaque", "id": "alice" } });
    let reader = json!({ "name": "reader", "scopes": ["revocations:read"] });
    let reader = plane.posted("/v1/api-keys", &reader).await["key"].as_str().unwrap().to_owned();
    let before = plane.got("/readyz").await["position"].clone();
    let good = jwt(&provider, "h", &json!({}));
    let header = json!({ "alg": "EdDSA", "kid": "k1", "typ": "JWT" });
    let other = jwt(&provider, "other", &json!({}));
    let signature = other.rsplit_once('.').unwrap().1;
    let unsigned = format!("{}.{signature}", good.rsplit_once('.').unwrap().0);
    for (credential, status, code) in [
        (jwt(&provider, "h", &json!({ "aud": "https://other.example" })), 401, "wrong_audience"),
        (jwt(&provider, "h", &json!({ "iss": "https://other.example" })), 401, "wrong_issuer"),
        (jwt(&provider, "h", &json!({ "exp": null })), 401, "missing_claim"),
        (jwt(&provider, "h", &json!({ "exp": now() - 120 })), 401, "expired"),
        (jwt(&provider, "h", &json!({ "iat": now() - 700 })), 401, "too_old"),
        (jwt(&provider, "h", &json!({ "jti": null })), 401, "missing_claim"),
        (provider.sign(&provider.logout_claims("h")), 401, "wrong_type"),
        (provider.sign_text(&header, "{}"), 401, "wrong_type"),
        (unsigned, 401, "bad_signature"),
        ("x.y.z".to_owned(), 401, "malformed"),
        ("osk_unknown".to_owned(), 401, "unknown_api_key"),
        (reader, 403, "missing_scope"),
    ] {
        assert_eq!(outcome(&plane, &credential, &alice).await, (status, code.to_owned()), "{code}");
    }
    for (body, code) in [
        (json!({}), "malformed"),
        (json!({ "sub_id": "alice" }), "malformed"),
        (
            json!({ "sub_id": { "format": "phone_number", "phone_number": "+1" } }),
            "unsupported_subject",
        ),
        (
            json!({ "sub_id": { "format": "jwt_id", "iss": provider.issuer(), "jti": "t" } }),
            "unsupported_subject",
        ),
        (
            json!({ "sub_id": { "format": "iss_sub", "iss": "https://other.example", "sub": "alice" } }),
            "foreign_subject",
        ),
    ] {
        assert_eq!(outcome(&plane, &good, &body).await, (400, code.to_owned()), "{body}");
    }
    let bare = plane.request(Method::POST, PATH).json(&alice).send().await.unwrap();
    assert_eq!(bare.status().as_u16(), 401);
    let text = plane.admin(Method::POST, PATH).body("{}").send().await.unwrap();
    assert_eq!(text.status().as_u16(), 415);
    let other = plane.admin(Method::POST, "/v1/receivers/other/global-token-revocation");
    assert_eq!(other.json(&alice).send().await.unwrap().status().as_u16(), 404);
    assert_eq!(plane.got("/readyz").await["position"], before, "nothing is recorded");
    // A JWT authenticates one request, which may be repeated.
    assert_eq!(outcome(&plane, &good, &alice).await.0, 204);
    assert_eq!(outcome(&plane, &good, &alice).await.0, 204);
    let bob = json!({ "sub_id": { "format": "opaque", "id": "bob" } });
    assert_eq!(outcome(&plane, &good, &bob).await, (400, "jti_reused".to_owned()));
}

// I12, invariant 7: 204 only when it is durable.
#[tokio::test]
async fn a_revocation_that_cannot_be_recorded_is_503() {
    let (mut redis, provider) = (RedisServer::start().await, Provider::start().await);
    let (folder, url) = (tempfile::tempdir().unwrap(), redis.url());
    let plane = ControlPlane::start_in(folder.path(), &[("OFFSWITCH_STORE", &url)]).await;
    register(&plane, &provider).await;
    redis.kill();
    let alice = json!({ "sub_id": { "format": "opaque", "id": "alice" } });
    let response = send(&plane, &jwt(&provider, "1", &json!({})), &alice).await;
    assert_eq!(response.headers()["retry-after"], "1");
    let (status, body) = answer(response).await;
    assert_eq!((status.as_u16(), &body["code"]), (503, &json!("store_unavailable")));
}
