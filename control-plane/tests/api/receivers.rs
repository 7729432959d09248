//! Receivers: the requests of identity providers, and requests that others forge in their name.

use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::follower::{Follower, now};
use crate::support::oauth::answer;
use crate::support::process::ControlPlane;
use crate::support::provider::{Keys, Provider, signing_input};
use crate::support::redis_server::RedisServer;

const PATH: &str = "/v1/receivers/idp/backchannel-logout";

async fn register(plane: &ControlPlane, name: &str, issuer: &str, receiver: &Value) -> Value {
    let body = json!({
        "issuer": issuer, "horizon_seconds": 3600,
        "receivers": { "backchannel_logout": receiver },
    });
    let answer = plane.admin(Method::PUT, &format!("/v1/issuers/{name}")).json(&body);
    let answer = answer.send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    answer.json().await.unwrap()
}

/// A control plane at which a provider is registered as `idp`.
async fn started() -> (ControlPlane, Provider) {
    let (plane, provider) = (ControlPlane::start().await, Provider::start().await);
    register(&plane, "idp", provider.issuer(), &json!({ "client_ids": ["app", "app2"] })).await;
    (plane, provider)
}

async fn send(plane: &ControlPlane, token: &str) -> Response {
    plane.form(PATH, &[("logout_token", token)]).await
}

/// Status and code of the answer; no code for 200.
async fn outcome(plane: &ControlPlane, token: &str) -> (u16, String) {
    let (status, body) = answer(send(plane, token).await).await;
    (status.as_u16(), body["error_description"].as_str().unwrap_or_default().to_owned())
}

fn with(mut claims: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

// I10, I08: the session is revoked by its id, the user up to the provider's own time; both are in
// the list with the receiver's name, in the status and in the metrics.
#[tokio::test]
async fn a_logout_at_the_provider_revokes_the_session_or_the_user() {
    let (plane, provider) = started().await;
    let mut follower = Follower::start(&plane, &plane.issuer()).await;
    let session =
        provider.sign(&with(provider.logout_claims("1"), &json!({ "sid": "s-1", "sub": "alice" })));
    let response = send(&plane, &session).await;
    assert_eq!(response.status().as_u16(), 200);
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.text().await.unwrap(), "");
    let iat = now() - 30;
    let user =
        provider.sign(&with(provider.logout_claims("2"), &json!({ "sub": "bob", "iat": iat })));
    assert_eq!(outcome(&plane, &user).await.0, 200);
    follower.follow(&plane).await;
    let feed = follower.verifier().feed();
    assert!(feed.is_denied(provider.issuer(), "sid", "s-1"));
    assert!(feed.cutoff(provider.issuer(), "sub", "alice").is_none());
    assert_eq!(feed.cutoff(provider.issuer(), "sub", "bob").unwrap().not_before, iat + 1);
    let listed = plane.got("/v1/revocations?limit=2").await;
    for request in listed["requests"].as_array().unwrap() {
        assert_eq!(request["by"], "receiver:idp:backchannel-logout");
    }
    assert_eq!(outcome(&plane, "x.y.z").await, (400, "malformed".to_owned()));
    let status = plane.got("/v1/status").await["issuers"][0]["receivers"][0].clone();
    assert_eq!(status["receiver"], "backchannel-logout");
    assert_eq!((&status["accepted"], &status["failed"]), (&json!(2), &json!(1)));
    assert!(status["accepted_at"].as_u64().unwrap() >= iat);
    assert_eq!(status["last_error"]["code"], "malformed");
    let metrics = plane.admin(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    for (outcome, count) in [("accepted", 2), ("refused", 1)] {
        let series = format!(
            "offswitch_receiver_requests_total{{issuer=\"idp\",receiver=\"backchannel-logout\",outcome=\"{outcome}\"}} {count}"
        );
        assert!(metrics.contains(&series), "{series}");
    }
    assert!(!plane.log().contains(&session[..40]), "the log has no token");
}

// I10: where access tokens have no session id, the operator can choose that a logout revokes the
// user.
#[tokio::test]
async fn a_receiver_may_revoke_the_user_of_a_session() {
    let (plane, provider) = started().await;
    let receiver = json!({ "client_ids": ["app"], "revokes": "user" });
    let changed = register(&plane, "idp", provider.issuer(), &receiver).await;
    assert_eq!(changed["receivers"]["backchannel_logout"], receiver);
    let mut follower = Follower::start(&plane, &plane.issuer()).await;
    let claims = provider.logout_claims("1");
    let both = provider.sign(&with(claims.clone(), &json!({ "sid": "s", "sub": "alice" })));
    assert_eq!(outcome(&plane, &both).await.0, 200);
    let alone = provider.sign(&with(claims, &json!({ "sid": "s", "jti": "2" })));
    assert_eq!(outcome(&plane, &alone).await, (400, "missing_claim".to_owned()));
    follower.follow(&plane).await;
    let feed = follower.verifier().feed();
    assert!(feed.cutoff(provider.issuer(), "sub", "alice").is_some());
    assert!(!feed.is_denied(provider.issuer(), "sid", "s"));
}

// I10: a token that is not a logout token of this issuer for one of these clients records nothing.
#[tokio::test]
async fn a_token_that_is_no_logout_token_of_the_issuer_is_refused_and_records_nothing() {
    let (plane, provider) = started().await;
    let other = Provider::start().await;
    register(&plane, "other", other.issuer(), &json!({ "client_ids": ["app"] })).await;
    let before = plane.got("/readyz").await["position"].clone();
    let good = with(provider.logout_claims("h"), &json!({ "sid": "s" }));
    let header = |alg: &str, typ: &str| json!({ "alg": alg, "typ": typ, "kid": "k1" });
    let changed = |changes: Value| provider.sign(&with(good.clone(), &changes));
    let text = |payload: &str| provider.sign_text(&header("EdDSA", "logout+jwt"), payload);
    let event = "\"http://schemas.openid.net/event/backchannel-logout\":{}";
    let (iss, iat) = (provider.issuer(), now());
    let twice = format!(
        r#"{{"iss":"{iss}","aud":"app","iat":{iat},"jti":"h","sid":"a","events":{{{event},{event}}}}}"#
    );
    let two_subjects = format!(
        r#"{{"iss":"{iss}","aud":"app","iat":{iat},"jti":"h","sub":"a","sub":"b","events":{{{event}}}}}"#
    );
    let [head, body, signature]: [&str; 3] =
        changed(json!({})).leak().split('.').collect::<Vec<_>>().try_into().unwrap();
    for (situation, token, code) in [
        ("no signature", format!("{}.", signing_input(&header("none", "logout+jwt"), &good.to_string())), "unsupported_algorithm"),
        ("the public key as secret", provider.sign_with_public_key(&header("HS256", "logout+jwt"), &good), "unsupported_algorithm"),
        ("another algorithm than that of the key", provider.sign_text(&header("RS256", "logout+jwt"), &good.to_string()), "unsupported_algorithm"),
        ("a signature of another token", format!("{}.{signature}", signing_input(&header("EdDSA", "logout+jwt"), &good.to_string()).replace(body, "e30")), "bad_signature"),
        ("a key of its own", format!("{}.{signature}", signing_input(&json!({ "alg": "EdDSA", "jwk": {} }), "{}")), "malformed"),
        ("an access token", provider.sign_text(&header("EdDSA", "at+jwt"), &json!({ "iss": iss, "aud": "app", "iat": iat, "exp": iat + 60, "jti": "a", "sub": "alice", "sid": "s" }).to_string()), "wrong_type"),
        ("an ID token", provider.sign_text(&header("EdDSA", "JWT"), &json!({ "iss": iss, "aud": "app", "iat": iat, "exp": iat + 60, "jti": "a", "sub": "alice", "sid": "s" }).to_string()), "not_a_logout_token"),
        ("another event", provider.sign_text(&header("EdDSA", "secevent+jwt"), &good.to_string()), "wrong_type"),
        ("from the future", changed(json!({ "iat": iat + 120 })), "not_yet_valid"),
        ("expired", changed(json!({ "exp": iat - 120 })), "expired"),
        ("old", changed(json!({ "iat": iat - 700, "exp": null })), "too_old"),
        ("without a time", changed(json!({ "iat": null })), "missing_claim"),
        ("for another client", changed(json!({ "aud": "app3" })), "wrong_audience"),
        ("of another issuer's name", changed(json!({ "iss": other.issuer() })), "wrong_issuer"),
        ("of another issuer that has the same key", other.sign(&with(other.logout_claims("h"), &json!({ "sid": "s" }))), "wrong_issuer"),
        ("with a nonce", changed(json!({ "nonce": "n" })), "nonce_present"),
        ("without events", changed(json!({ "events": null })), "not_a_logout_token"),
        ("the events of others", changed(json!({ "events": { "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {} } })), "not_a_logout_token"),
        ("a member twice, deep inside", text(&twice), "malformed"),
        ("two subjects", text(&two_subjects), "malformed"),
        ("two objects", text("{}{}"), "malformed"),
        ("without a subject", changed(json!({ "sid": null })), "missing_claim"),
        ("a subject of the wrong type", changed(json!({ "sid": null, "sub": ["a"] })), "malformed"),
        ("an id that no verifier accepts", changed(json!({ "sid": "x".repeat(257) })), "malformed"),
        ("without an id", changed(json!({ "jti": null })), "missing_claim"),
        ("cut off", format!("{head}.{body}"), "malformed"),
        ("no token", "logout".to_owned(), "malformed"),
        ("empty", String::new(), "missing_token"),
        ("oversize", "x".repeat(20_000), "body_too_large"),
    ] {
        let response = send(&plane, &token).await;
        assert_eq!(response.headers()["cache-control"], "no-store", "{situation}");
        let (status, body) = answer(response).await;
        let expected = json!({ "error": "invalid_request", "error_description": code });
        assert_eq!((status.as_u16(), body), (400, expected), "{situation}");
    }
    let twice = format!("logout_token={0}&logout_token={0}", changed(json!({})));
    for (body, media_type, code) in [
        (twice, "application/x-www-form-urlencoded", "repeated_parameter"),
        (changed(json!({})), "application/jwt", "unsupported_media_type"),
        (String::new(), "application/x-www-form-urlencoded", "missing_token"),
    ] {
        let request =
            plane.request(Method::POST, PATH).header("content-type", media_type).body(body);
        let (status, body) = answer(request.send().await.unwrap()).await;
        assert_eq!((status.as_u16(), &body["error_description"]), (400, &json!(code)));
    }
    assert_eq!(plane.got("/readyz").await["position"], before, "nothing is recorded");
    assert_eq!(outcome(&plane, &changed(json!({}))).await.0, 200, "the good one is accepted");
}

// I10: a receiver exists only where it is registered, and disappears with its registration.
#[tokio::test]
async fn a_receiver_that_is_not_registered_does_not_exist() {
    let (plane, provider) = started().await;
    plane.register("plain", "https://plain.example").await;
    let token = provider.sign(&with(provider.logout_claims("1"), &json!({ "sid": "s" })));
    for name in ["plain", "nobody", "IDP", "x".repeat(300).as_str()] {
        let path = format!("/v1/receivers/{name}/backchannel-logout");
        let (status, body) = answer(plane.form(&path, &[("logout_token", &token)]).await).await;
        let expected =
            json!({ "error": "invalid_request", "error_description": "unknown_receiver" });
        assert_eq!((status.as_u16(), body), (404, expected), "{name}");
    }
    let body = json!({ "issuer": provider.issuer() });
    assert!(
        plane
            .admin(Method::PUT, "/v1/issuers/idp")
            .json(&body)
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
    assert_eq!(outcome(&plane, &token).await, (404, "unknown_receiver".to_owned()));
    for receiver in [json!({}), json!({ "client_ids": [] }), json!({ "client_ids": ["a"], "x": 1 })]
    {
        let body =
            json!({ "issuer": provider.issuer(), "receivers": { "backchannel_logout": receiver } });
        let refused = plane.admin(Method::PUT, "/v1/issuers/idp").json(&body).send().await.unwrap();
        assert_eq!(refused.status().as_u16(), 400, "{body}");
    }
}

// I10: the same token twice is one logout; its id in another logout token is refused.
#[tokio::test]
async fn a_repeated_logout_token_has_one_effect() {
    let (plane, provider) = started().await;
    let token = provider.sign(&with(provider.logout_claims("1"), &json!({ "sub": "alice" })));
    assert_eq!(outcome(&plane, &token).await.0, 200);
    let after = plane.got("/readyz").await["position"].clone();
    for _ in 0..3 {
        assert_eq!(outcome(&plane, &token).await.0, 200);
    }
    let other = provider.sign(&with(provider.logout_claims("1"), &json!({ "sub": "bob" })));
    assert_eq!(outcome(&plane, &other).await, (400, "jti_reused".to_owned()));
    assert_eq!(plane.got("/readyz").await["position"], after, "one record");
}

// I10: a revoked key signs no logout, even if the issuer still publishes it.
#[tokio::test]
async fn a_revoked_key_of_the_issuer_is_refused() {
    let (plane, provider) = started().await;
    let token =
        |jti: &str| provider.sign(&with(provider.logout_claims(jti), &json!({ "sid": "s" })));
    assert_eq!(outcome(&plane, &token("1")).await.0, 200);
    let key = json!({ "issuer": provider.issuer(), "kid": "k1" });
    plane.posted("/v1/revocations", &key).await;
    assert_eq!(outcome(&plane, &token("2")).await, (400, "revoked_key".to_owned()));
    // It is the only key of its algorithm, so a token need not name it.
    let claims = with(provider.logout_claims("3"), &json!({ "sid": "s" }));
    let header = json!({ "alg": "EdDSA", "typ": "logout+jwt" });
    let unnamed = provider.sign_text(&header, &claims.to_string());
    assert_eq!(outcome(&plane, &unnamed).await, (400, "revoked_key".to_owned()));
}

// I10, I16: one fetch of a new key serves all requests that wait for it; unknown key ids cause no
// further fetches.
#[tokio::test]
async fn keys_are_fetched_once_and_not_for_each_unknown_key_id() {
    let (plane, provider) = started().await;
    let token =
        |jti: &str| provider.sign(&with(provider.logout_claims(jti), &json!({ "sid": "s" })));
    provider.answer(Keys::Slow);
    let tokens: Vec<String> = (0..20).map(|one| token(&format!("a{one}"))).collect();
    let all = tokens.iter().map(|token| outcome(&plane, token));
    for (status, code) in futures_util::future::join_all(all).await {
        assert_eq!((status, code.as_str()), (200, ""));
    }
    assert_eq!(provider.fetches(), 1);
    // Within the cool-down the server cannot know whether the issuer has the key: the provider
    // retries.
    let unknown = json!({ "alg": "EdDSA", "kid": "made-up" });
    let unknown = provider.sign_text(&unknown, &provider.logout_claims("b").to_string());
    for _ in 0..20 {
        let response = send(&plane, &unknown).await;
        assert_eq!(response.headers()["retry-after"], "10");
        let (status, body) = answer(response).await;
        let expected =
            json!({ "error": "temporarily_unavailable", "error_description": "keys_unavailable" });
        assert_eq!((status.as_u16(), body), (503, expected));
    }
    assert_eq!(provider.fetches(), 1);
    assert_eq!(outcome(&plane, &token("known")).await.0, 200);
    provider.rotate("k2");
    provider.answer(Keys::Served);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(outcome(&plane, &token("rotated")).await.0, 200);
    assert_eq!(provider.fetches(), 2);
}

// I10: the pause between two fetches begins when the first one ends: a slow server is not asked all the time.
#[tokio::test]
async fn a_slow_fetch_is_followed_by_a_whole_pause() {
    let (plane, provider) = started().await;
    provider.answer(Keys::VerySlow);
    let good = provider.sign(&with(provider.logout_claims("1"), &json!({ "sid": "s" })));
    let begin = Instant::now();
    assert_eq!(outcome(&plane, &good).await.0, 200);
    assert!(begin.elapsed() >= Duration::from_secs(4));
    let unknown = json!({ "alg": "EdDSA", "kid": "made-up" });
    let unknown = provider.sign_text(&unknown, &provider.logout_claims("2").to_string());
    tokio::time::sleep_until((begin + Duration::from_millis(10_500)).into()).await;
    assert_eq!(outcome(&plane, &unknown).await, (503, "keys_unavailable".to_owned()));
    assert_eq!(provider.fetches(), 1);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(outcome(&plane, &unknown).await, (400, "unknown_key".to_owned()));
    assert_eq!(provider.fetches(), 2);
}

// I10, invariant 6: without keys nothing is decided; the last fetched key set stays in force.
#[tokio::test]
async fn a_key_set_that_cannot_be_fetched_is_503_and_leaves_the_last_one_in_force() {
    let plane = ControlPlane::start().await;
    for (index, keys) in
        [Keys::Broken, Keys::Redirected, Keys::NotJson, Keys::Endless].into_iter().enumerate()
    {
        let (provider, name) = (Provider::start().await, format!("idp{index}"));
        provider.answer(keys);
        register(&plane, &name, provider.issuer(), &json!({ "client_ids": ["app"] })).await;
        let path = format!("/v1/receivers/{name}/backchannel-logout");
        let token = provider.sign(&with(provider.logout_claims("1"), &json!({ "sid": "s" })));
        let (status, body) = answer(plane.form(&path, &[("logout_token", &token)]).await).await;
        assert_eq!(
            (status.as_u16(), &body["error_description"]),
            (503, &json!("keys_unavailable")),
            "{keys:?}"
        );
        assert_eq!(provider.fetches(), 1, "{keys:?}");
    }
    let status = plane.got("/v1/status").await;
    let detail =
        |index: usize| status["issuers"][index]["receivers"][0]["last_error"]["detail"].clone();
    for (index, part) in ["500", "307", "not a JWK set", "length limit exceeded"].iter().enumerate()
    {
        assert!(detail(index).as_str().unwrap().contains(part), "{}", detail(index));
    }
    let (plane, provider) = started().await;
    let token =
        |jti: &str| provider.sign(&with(provider.logout_claims(jti), &json!({ "sid": "s" })));
    assert_eq!(outcome(&plane, &token("1")).await.0, 200);
    provider.answer(Keys::Broken);
    let unknown = json!({ "alg": "EdDSA", "kid": "made-up" });
    let unknown = provider.sign_text(&unknown, &provider.logout_claims("b").to_string());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(outcome(&plane, &unknown).await.0, 503);
    assert_eq!(provider.fetches(), 2);
    assert_eq!(outcome(&plane, &token("2")).await.0, 200);
}

// I10, invariant 7: 200 means durable; if it is not durable it is 503, so that the provider sends
// it again.
#[tokio::test]
async fn a_logout_that_cannot_be_recorded_is_503_and_succeeds_later() {
    let (mut redis, provider) = (RedisServer::start().await, Provider::start().await);
    let (folder, url) = (tempfile::tempdir().unwrap(), redis.url());
    let plane = ControlPlane::start_in(folder.path(), &[("OFFSWITCH_STORE", &url)]).await;
    register(&plane, "idp", provider.issuer(), &json!({ "client_ids": ["app"] })).await;
    let token = provider.sign(&with(provider.logout_claims("1"), &json!({ "sid": "s" })));
    redis.kill();
    let response = send(&plane, &token).await;
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let (status, body) = answer(response).await;
    let expected =
        json!({ "error": "temporarily_unavailable", "error_description": "store_unavailable" });
    assert_eq!((status.as_u16(), body), (503, expected));
    redis.start_again().await;
    let begin = Instant::now();
    while outcome(&plane, &token).await.0 != 200 {
        assert!(begin.elapsed().as_secs() < 20);
    }
    let mut follower = Follower::start(&plane, &plane.issuer()).await;
    follower.follow(&plane).await;
    assert!(follower.verifier().feed().is_denied(provider.issuer(), "sid", "s"));
}

// I10: the number of invalid tokens that are checked is limited, and valid ones do not count.
#[tokio::test]
async fn refused_requests_are_limited_per_issuer() {
    let (plane, provider) = started().await;
    let good = provider.sign(&with(provider.logout_claims("1"), &json!({ "sid": "s" })));
    assert_eq!(outcome(&plane, &good).await.0, 200);
    let mut limited = 0;
    let begin = Instant::now();
    while limited == 0 && begin.elapsed().as_secs() < 60 {
        let all = (0..1500).map(|_| outcome(&plane, "x.y.z"));
        let answers = futures_util::future::join_all(all).await;
        limited =
            answers.iter().filter(|one| *one == &(429, "too_many_refused".to_owned())).count();
        assert!(answers.iter().all(|(status, _)| [400, 429].contains(status)));
    }
    assert!(limited > 0, "all of a thousand invalid tokens were checked within a second");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(outcome(&plane, &good).await.0, 200);
}

// I10: one address uses up its own budget, and neither that of others nor that of the issuer.
#[tokio::test]
async fn refused_requests_are_limited_per_source() {
    let (plane, provider) = started().await;
    let url = format!("http://127.0.0.1:{}/v1/receivers/idp/backchannel-logout", plane.port());
    let from = |address: &str| {
        let client = reqwest::Client::builder().no_proxy();
        client.local_address(address.parse::<std::net::IpAddr>().ok()).build().unwrap()
    };
    let [attacker, other] = ["127.0.0.2", "127.0.0.3"].map(from);
    let post = |client: &reqwest::Client, token: &str| {
        let request = client.post(&url).form(&[("logout_token", token)]);
        // What a client says about itself changes nothing.
        let request = request.header("x-forwarded-for", "192.0.2.1");
        async move { request.send().await.unwrap() }
    };
    let good = |number: u32| {
        let claims = provider.logout_claims(&number.to_string());
        provider.sign(&with(claims, &json!({ "sid": "s" })))
    };
    let mut limited = None;
    let begin = Instant::now();
    while limited.is_none() && begin.elapsed().as_secs() < 60 {
        let all = (0..300).map(|_| post(&attacker, "x.y.z"));
        let answers = futures_util::future::join_all(all).await;
        // In the same second: another address is looked at, also if what it sends is wrong.
        let (junk, accepted) = (post(&other, "x.y.z").await, post(&other, &good(7)).await);
        assert_eq!((junk.status().as_u16(), accepted.status().as_u16()), (400, 200));
        limited = answers.into_iter().find(|answer| answer.status() == 429);
    }
    let limited = limited.expect("a hundred were refused in a second, and all were looked at");
    assert_eq!(limited.headers()["retry-after"], "1");
    assert_eq!(limited.json::<Value>().await.unwrap()["error_description"], "too_many_refused");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(post(&attacker, &good(8)).await.status(), 200);
    // From now on it may be a proxy that a provider uses: only the issuer's limit is left.
    let all = (0..300).map(|_| post(&attacker, "x.y.z"));
    let answers = futures_util::future::join_all(all).await;
    assert!(answers.iter().all(|answer| answer.status() == 400));
}
