//! How often the feed speaks through relays, and how soon its silence is noticed behind them.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use reqwest::Client;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::support::guard::{Guard, feed_at, feed_of, issuer_of, session};
use crate::support::process::ControlPlane;
use crate::support::redis_server::free_port;

/// A relay of the feed at `feed`, and its port.
async fn relay(feed: &str, follow: &str) -> (Guard, u16) {
    let port = free_port();
    let settings = format!("relay_listen = \"127.0.0.1:{port}\"\nfeed_follow = \"{follow}\"");
    let mut guard = Guard::launch(feed, &settings, "");
    guard.until_ready().await;
    (guard, port)
}

async fn plane_with_heartbeats(folder: &Path, seconds: &str) -> ControlPlane {
    ControlPlane::start_in(folder, &[("OFFSWITCH_HEARTBEAT_SECONDS", seconds)]).await
}

/// Waits until a stream of the relay announces this many seconds between two heartbeats.
async fn until_announced(port: u16, expected: u64) {
    let announced = async {
        let client = Client::builder().no_proxy().build().unwrap();
        let url = format!("http://127.0.0.1:{port}/v1/feed/stream");
        let mut pieces = client.get(url).send().await.unwrap().bytes_stream();
        let mut text = String::new();
        let wanted = format!("data: {{\"heartbeat_seconds\":{expected}}}\n\n");
        while !text.contains(&wanted) {
            let piece = pieces.next().await.unwrap().unwrap();
            text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    };
    let announced = timeout(Duration::from_secs(30), announced).await;
    assert!(announced.is_ok(), "the relay at {port} does not announce {expected} s");
}

/// What a relay says about its feed in the answer to a poll.
async fn told_to_polls(port: u16) -> u64 {
    let client = Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("http://127.0.0.1:{port}/v1/feed")).send().await.unwrap();
    answer.headers()["offswitch-heartbeat-seconds"].to_str().unwrap().parse().unwrap()
}

// G07: a relay announces the pace of what it follows: by stream that of its source, by polls the time from one
// to the next and what its source says of itself. On an open stream it announces another pace when there is one.
#[tokio::test]
async fn each_relay_of_a_chain_announces_the_pace_of_what_it_follows() {
    let folder = tempfile::tempdir().unwrap();
    let plane = plane_with_heartbeats(folder.path(), "5").await;
    let (_first, first) = relay(&feed_of(&plane).await, "stream").await;
    until_announced(first, 5).await;
    let (_second, second) = relay(&feed_at(&plane, first).await, "stream").await;
    let (_polling, polling) = relay(&feed_at(&plane, first).await, "poll").await;
    let (_direct, direct) = relay(&feed_of(&plane).await, "poll").await;
    until_announced(second, 5).await;
    until_announced(polling, 7).await;
    until_announced(direct, 2).await;
    assert_eq!([told_to_polls(second).await, told_to_polls(polling).await], [5, 7]);
    // The stream of a follower of a relay that polls.
    let (_last, last) = relay(&feed_at(&plane, polling).await, "stream").await;
    until_announced(last, 7).await;
    // It is not taken for late, although its source speaks seldom.
    sleep(Duration::from_secs(8)).await;
    for guard in [&_first, &_second, &_last] {
        assert!(!guard.log().contains("stream_late"), "{}", guard.log());
    }
}

/// A guard that judges by the feed at `feed`, which may be 10 s old.
async fn judging(plane: &ControlPlane, feed: &str) -> Guard {
    let tables = issuer_of(plane) + "[[routes]]\npaths = [\"/a\"]\n";
    let settings = "gateway = \"nginx\"\nmax_staleness_seconds = 10";
    let mut guard = Guard::launch(feed, settings, &tables);
    guard.until_ready().await;
    guard
}

async fn following(guard: &Guard) -> String {
    let answer: Value = guard.admin("/readyz").send().await.unwrap().json().await.unwrap();
    answer["feeds"][0]["following"].as_str().unwrap_or_default().to_owned()
}

async fn until_following(guard: &Guard, how: &str) -> Instant {
    let begin = Instant::now();
    while following(guard).await != how {
        assert!(begin.elapsed() < Duration::from_secs(40), "not by {how}: {}", guard.log());
        sleep(Duration::from_millis(50)).await;
    }
    Instant::now()
}

// G07: when the control plane falls silent, one that follows it through two relays notices it as soon as one
// that follows it directly: that its stream says nothing, and that nothing can be decided any more.
#[tokio::test]
async fn silence_is_noticed_behind_relays_as_soon_as_at_the_source() {
    let plane = ControlPlane::start().await;
    let (_first, first) = relay(&feed_of(&plane).await, "stream").await;
    let (_second, second) = relay(&feed_at(&plane, first).await, "stream").await;
    let token = session(&plane, "ann", "read").await.1;
    let near = judging(&plane, &feed_of(&plane).await).await;
    let far = judging(&plane, &feed_at(&plane, second).await).await;
    until_announced(second, 2).await;
    for guard in [&near, &far] {
        until_following(guard, "stream").await;
        guard.until_code("/a", &token, "valid").await;
    }
    let signal = |name: &str| {
        let id = plane.id().to_string();
        assert!(Command::new("kill").args([name, id.as_str()]).status().unwrap().success());
    };
    signal("-STOP");
    let (near_polls, far_polls) =
        tokio::join!(until_following(&near, "poll"), until_following(&far, "poll"));
    let until_stale = async |guard: &Guard| {
        guard.until_code("/a", &token, "stale_snapshot").await;
        Instant::now()
    };
    let (near_stale, far_stale) = tokio::join!(until_stale(&near), until_stale(&far));
    signal("-CONT");
    // Heartbeats of each stream have their own moments. With an announcement of 10 s it would be 12 s later.
    let allowed = Duration::from_secs(6);
    assert!(far_polls.saturating_duration_since(near_polls) < allowed, "by its stream");
    assert!(far_stale.saturating_duration_since(near_stale) < allowed, "by its verdicts");
    for guard in [&near, &far] {
        guard.until_code("/a", &token, "valid").await;
    }
}
