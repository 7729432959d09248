//! How many clients may wait for news at the same time.

use std::time::{Duration, Instant};

use offswitch::server::Limits;
use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::support::local_server::{LocalServer, counted};

// A01: streams and long polls count together. A follower over the limit gets 503, a request that
// does not wait still works, and a place is free again when a follower leaves.
#[tokio::test]
async fn a_follower_over_the_limit_gets_503_until_there_is_room() {
    let change = |settings: &mut offswitch::plane::Settings| settings.publish.max_followers = 3;
    let server = LocalServer::start_with(Limits::default(), change).await;
    let client = Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| -> Response {
        let request = client.get(server.url(path)).bearer_auth(server.admin_key());
        request.send().await.unwrap()
    };
    let mut streams = vec![get("/v1/feed/stream").await, get("/v1/feed/stream").await];
    let ready: Value = get("/readyz").await.json().await.unwrap();
    let long_poll = format!("/v1/feed?since={}&wait=60", ready["position"].as_str().unwrap());
    let waiting = get(&long_poll);
    let refused = async {
        let begin = Instant::now();
        while counted("offswitch_followers", "long_poll") < 1.0 {
            assert!(begin.elapsed() < Duration::from_secs(10), "no long poll waits");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let before = counted("offswitch_problems_total", "too_many_followers");
        for path in ["/v1/feed/stream", &long_poll] {
            let answer = get(path).await;
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["retry-after"]),
                (503, &"1".parse().unwrap())
            );
            let problem: Value = answer.json().await.unwrap();
            assert_eq!(problem["code"], "too_many_followers");
        }
        assert!(counted("offswitch_problems_total", "too_many_followers") - before >= 2.0);
        assert!(get("/v1/feed").await.status().is_success());
        // News for the waiting long poll.
        let revoke = client.post(server.url("/v1/revocations")).bearer_auth(server.admin_key());
        assert!(revoke.json(&json!({ "sub": "a" })).send().await.unwrap().status().is_success());
    };
    let (waited, ()) = tokio::join!(waiting, refused);
    assert!(waited.status().is_success());
    streams.push(get("/v1/feed/stream").await);
    assert!(streams[2].status().is_success());
    streams.clear();
    let begin = Instant::now();
    while !get("/v1/feed/stream").await.status().is_success() {
        assert!(begin.elapsed() < Duration::from_secs(10), "no follower is accepted again");
    }
}
