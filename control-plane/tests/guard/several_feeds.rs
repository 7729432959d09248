//! One guard that follows the feeds of two control planes, each with its own log.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::support::guard::{Guard, checked, code, feed_at, feed_of, issuer_of, revoke, session};
use crate::support::process::ControlPlane;
use crate::support::redis_server::free_port;
use crate::watching::callback;

const GATEWAY: &str = "gateway = \"nginx\"";
const ROUTES: &str = "[[routes]]\npaths = [\"/a\"]\n";

/// The table of a further feed: that of this control plane, with its issuer.
async fn further(plane: &ControlPlane, settings: &str) -> String {
    let members = feed_of(plane).await.replace("feed_", "");
    let issuer = issuer_of(plane).replace("[[issuers]]", "[[feeds.issuers]]");
    format!("[[feeds]]\n{members}{settings}\n{issuer}")
}

async fn token_of(plane: &ControlPlane, user: &str) -> String {
    session(plane, user, "read").await.1
}

async fn metrics(guard: &Guard) -> String {
    guard.admin("/metrics").send().await.unwrap().text().await.unwrap()
}

/// The state of each feed, once the answer has this status.
async fn readiness(guard: &Guard, expected: u16) -> Vec<Value> {
    let begin = Instant::now();
    loop {
        let answer = guard.admin("/readyz").send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap();
        if status == expected {
            return body["feeds"].as_array().unwrap().clone();
        }
        assert!(begin.elapsed() < Duration::from_secs(40), "{status}: {body}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the log says something that often.
async fn until_logged(guard: &Guard, text: &str, times: usize) {
    let begin = Instant::now();
    while guard.log().matches(text).count() < times {
        assert!(begin.elapsed() < Duration::from_secs(50), "{text}: {}", guard.log());
        sleep(Duration::from_millis(20)).await;
    }
}

// P07, G03: what happens in one feed is seen by the tokens of its issuers, and by no others.
#[tokio::test]
async fn one_feed_that_is_away_makes_only_the_tokens_of_its_issuers_undecided() {
    let (mut eu, mut us) = (ControlPlane::start().await, ControlPlane::start().await);
    let tables = issuer_of(&eu) + &further(&us, "max_staleness_seconds = 8").await + ROUTES;
    let settings = format!("{GATEWAY}\nmax_staleness_seconds = 3");
    let guard = Guard::start(&eu, &settings, &tables).await;
    let ((revoked, of_eu), of_us) = (session(&eu, "ann", "read").await, token_of(&us, "ann").await);
    let (held, (other, other_token)) =
        (token_of(&eu, "bob").await, session(&us, "bob", "read").await);
    for token in [&of_eu, &of_us, &held, &other_token] {
        assert_eq!(guard.asked("GET", "/a", token).await, (200, "valid".to_owned()));
    }
    revoke(&eu, &revoked).await;
    guard.until_code("/a", &of_eu, "revoked_session").await;
    eu.posted("/v1/revocations", &json!({ "sub": "ann" })).await;
    assert_eq!(guard.asked("GET", "/a", &of_us).await.1, "valid", "the same name elsewhere");

    eu.kill();
    guard.until_code("/a", &held, "stale_snapshot").await;
    let answer = guard.about("GET", "/a").bearer_auth(&held).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    // The other feed knows nothing of this token, and that makes it no better.
    assert_eq!(guard.asked("GET", "/a", &of_eu).await, (401, "revoked_session".to_owned()));
    assert_eq!(guard.asked("GET", "/a", &of_us).await, (200, "valid".to_owned()));
    revoke(&us, &other).await;
    guard.until_code("/a", &other_token, "revoked_session").await;
    assert_eq!(guard.asked("GET", "/a", "x.y.z").await.0, 401);
    // It goes on for the others, and says which feed is away.
    let feeds = readiness(&guard, 200).await;
    let found: Vec<_> = feeds.iter().map(|feed| (&feed["id"], &feed["is_fresh"])).collect();
    let expected = [(&json!(eu.issuer()), &json!(false)), (&json!(us.issuer()), &json!(true))];
    assert_eq!(found, expected);
    let (shown, feed) = (metrics(&guard).await, us.issuer());
    for series in [
        "offswitch_ready 1".to_owned(),
        "offswitch_client_feed_age_seconds ".to_owned(),
        format!("offswitch_client_feed_age_seconds{{feed=\"{feed}\"}} "),
        format!("offswitch_client_base_bytes{{feed=\"{feed}\"}} "),
        "offswitch_client_verdicts_total{outcome=\"undecided\",code=\"stale_snapshot\"} "
            .to_owned(),
        format!(
            "offswitch_client_verdicts_total{{outcome=\"valid\",code=\"valid\",feed=\"{feed}\"}} "
        ),
    ] {
        assert!(shown.lines().any(|line| line.starts_with(&series)), "{series} in {shown}");
    }
    // Each feed has its own bound, and without any that is fresh the process is not ready.
    us.kill();
    guard.until_code("/a", &of_us, "stale_snapshot").await;
    readiness(&guard, 503).await;
}

// P07, V01: each issuer has the keys of the other, so that signatures fit, and the issuers do not.
#[tokio::test]
async fn no_key_of_one_feed_is_good_for_the_issuers_of_another() {
    let (eu, us) = (ControlPlane::start().await, ControlPlane::start().await);
    let keys_of = |plane: &ControlPlane| format!(":{}/.well-known/jwks.json", plane.port());
    let first = issuer_of(&eu).replace(&keys_of(&eu), &keys_of(&us));
    let second = further(&us, "").await.replace(&keys_of(&us), &keys_of(&eu));
    let guard = Guard::start(&eu, GATEWAY, &(first + &second + ROUTES)).await;
    for plane in [&eu, &us] {
        let token = token_of(plane, "ann").await;
        assert_eq!(guard.asked("GET", "/a", &token).await.0, 401);
    }
}

// P07, G04: one feed accepts connections and never answers. Tokens of the other are judged, those of its own issuers are
// undecided, and the process is not ready before it has had something of each.
#[tokio::test]
async fn a_guard_starts_to_judge_while_one_feed_does_not_answer() {
    let (eu, us) = (ControlPlane::start().await, ControlPlane::start().await);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let away = further(&us, "").await.replace(&format!(":{}/", us.port()), &format!(":{port}/"));
    let tables = issuer_of(&eu) + &away + ROUTES;
    let guard = Guard::launch(&feed_of(&eu).await, GATEWAY, &tables);
    let (of_eu, of_us) = (token_of(&eu, "ann").await, token_of(&us, "ann").await);
    let took = guard.until_code("/a", &of_eu, "valid").await;
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!(guard.asked("GET", "/a", &of_us).await, (503, "no_keys".to_owned()));
    let feeds = readiness(&guard, 503).await;
    assert_eq!((&feeds[0]["is_fresh"], &feeds[1]["is_fresh"]), (&json!(true), &json!(false)));
    assert_eq!(guard.asked("GET", "/a", &of_eu).await, (200, "valid".to_owned()));
}

// P07: a feed is added while another is away, changed to an address where nothing is, and removed.
#[tokio::test]
async fn a_reload_adds_changes_and_removes_a_feed() {
    let (mut eu, us) = (ControlPlane::start().await, ControlPlane::start().await);
    let alone = issuer_of(&eu) + ROUTES;
    let both = issuer_of(&eu) + &further(&us, "").await + ROUTES;
    let settings = format!("{GATEWAY}\nmax_staleness_seconds = 20");
    let guard = Guard::start(&eu, &settings, &alone).await;
    let (of_eu, of_us) = (token_of(&eu, "ann").await, token_of(&us, "ann").await);
    guard.until_code("/a", &of_eu, "valid").await;
    assert_eq!(guard.asked("GET", "/a", &of_us).await.0, 401);
    // What has not changed keeps its verifier: it need not be reached.
    eu.kill();
    guard.reload(&settings, &both);
    guard.until_code("/a", &of_us, "valid").await;
    assert_eq!(guard.asked("GET", "/a", &of_eu).await, (200, "valid".to_owned()));
    assert_eq!(readiness(&guard, 200).await.len(), 2);

    let twice = both.replace(&us.issuer(), &eu.issuer());
    guard.reload(&settings, &twice);
    until_logged(&guard, "feeds: 0: issuers: ", 1).await;
    assert_eq!(guard.asked("GET", "/a", &of_us).await, (200, "valid".to_owned()));
    guard.reload(&settings, &both.replace("urls = \"", "max_staleness_seconds = 9\nurls = \""));
    until_logged(&guard, "is in force", 2).await;
    assert_eq!(guard.asked("GET", "/a", &of_us).await, (200, "valid".to_owned()));

    guard.reload(&settings, &alone);
    until_logged(&guard, "is in force", 3).await;
    assert_eq!(guard.asked("GET", "/a", &of_us).await.0, 401);
    assert_eq!(readiness(&guard, 503).await.len(), 1, "the one that is left is away");
    // What was followed last must not look like the age of a feed.
    let age = format!("offswitch_client_feed_age_seconds{{feed=\"{}\"}} NaN", us.issuer());
    let shown = metrics(&guard).await;
    assert!(shown.contains(&age), "{shown}");
}

// P07: a configuration with a feed that is not reached changes nothing.
#[tokio::test]
async fn a_reload_with_a_feed_that_is_not_reached_changes_nothing() {
    let (eu, us) = (ControlPlane::start().await, ControlPlane::start().await);
    let guard = Guard::start(&eu, GATEWAY, &(issuer_of(&eu) + ROUTES)).await;
    let nowhere = further(&us, "").await.replace("/v1/feed\"", "/v1/none\"");
    guard.reload(GATEWAY, &(issuer_of(&eu) + &nowhere + ROUTES));
    until_logged(&guard, "the configuration stays as it is: ", 1).await;
    assert!(
        guard.log().contains(&format!("no feed {} or no keys", us.issuer())),
        "{}",
        guard.log()
    );
    assert_eq!(readiness(&guard, 200).await.len(), 1);
    let token = token_of(&eu, "ann").await;
    assert_eq!(guard.asked("GET", "/a", &token).await, (200, "valid".to_owned()));
}

// P07: the watch of an open connection is that of the feed whose issuer the token has.
#[tokio::test]
async fn an_open_connection_is_watched_by_the_feed_of_its_token() {
    let (eu, us) = (ControlPlane::start().await, ControlPlane::start().await);
    let (url, mut called) = callback().await;
    let settings = format!("{GATEWAY}\nwatch_callback = \"{url}\"");
    let routes = "[[routes]]\npaths = [\"/socket\"]\nwatch_seconds = 60\n";
    let tables = issuer_of(&eu) + &further(&us, "").await + routes;
    let guard = Guard::start(&eu, &settings, &tables).await;
    let ((_, of_eu), (ended, of_us)) =
        (session(&eu, "ann", "read").await, session(&us, "ann", "read").await);
    for (token, id) in [(&of_eu, "7"), (&of_us, "8")] {
        let about = guard.about("GET", "/socket").bearer_auth(token).header("x-request-id", id);
        assert_eq!(code(&about.send().await.unwrap()), (200, "valid".to_owned()));
    }
    let watched =
        |feeds: &[Value]| feeds.iter().map(|feed| feed["watched"].clone()).collect::<Vec<_>>();
    assert_eq!(watched(&readiness(&guard, 200).await), [1, 1]);
    revoke(&us, &ended).await;
    let call = timeout(Duration::from_secs(10), called.recv()).await.unwrap().unwrap();
    assert_eq!(call, json!({ "id": "8", "outcome": "refused", "code": "revoked_session" }));
}

// G07: a relay serves the feed of the top level, and no other.
#[tokio::test]
async fn a_guard_of_several_feeds_relays_the_first() {
    let (eu, us) = (ControlPlane::start().await, ControlPlane::start().await);
    let port = free_port();
    let settings = format!("{GATEWAY}\nrelay_listen = \"127.0.0.1:{port}\"");
    let tables = issuer_of(&eu) + &further(&us, "").await + ROUTES;
    let guard = Guard::start(&eu, &settings, &tables).await;
    assert!(guard.log().contains("the relay serves this feed"), "{}", guard.log());
    let behind = feed_at(&eu, port).await;
    let mut behind = Guard::launch(&behind, GATEWAY, &(issuer_of(&eu) + ROUTES));
    behind.until_ready().await;
    let (ended, token) = session(&eu, "ann", "read").await;
    assert_eq!(behind.asked("GET", "/a", &token).await, (200, "valid".to_owned()));
    revoke(&eu, &ended).await;
    behind.until_code("/a", &token, "revoked_session").await;
    let other = feed_at(&us, port).await;
    let other = Guard::launch(&other, GATEWAY, &(issuer_of(&us) + ROUTES));
    let token = token_of(&us, "ann").await;
    other.until_code("/a", &token, "no_snapshot").await;
}

// P07: each feed and each key set is named.
#[tokio::test]
async fn a_check_shows_each_feed() {
    let (eu, us) = (ControlPlane::start().await, ControlPlane::start().await);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("guard.toml");
    let (listen, admin) = (free_port(), free_port());
    let good = format!(
        "{GATEWAY}\nlisten = \"127.0.0.1:{listen}\"\nadmin_listen = \"127.0.0.1:{admin}\"\n{}{}{}{ROUTES}",
        feed_of(&eu).await,
        issuer_of(&eu),
        further(&us, "").await,
    );
    let ok = |plane: &ControlPlane| {
        let issuer = plane.issuer();
        [format!("feed: ok: that of {issuer} is at "), format!("keys: ok: those of {issuer} are")]
    };
    let address = format!(":{}/v1/feed", us.port());
    let away = format!("feed: PROBLEM: http://127.0.0.1:{}/v1/none: ", us.port());
    for (text, code, parts) in [
        (good.clone(), 0, [ok(&eu), ok(&us)].concat()),
        (
            good.replace(&address, &address.replace("feed", "none")),
            1,
            [ok(&eu).to_vec(), vec![away]].concat(),
        ),
        (
            good.replace("[[feeds]]", "[[feeds]]\ncolour = 1"),
            2,
            vec!["feeds: 0: colour: unknown".to_owned()],
        ),
    ] {
        let said = checked(&config, &text, code);
        for part in parts {
            assert!(said.contains(&part), "{part} in {said}");
        }
        assert!(!said.contains(&us.admin_key()), "{said}");
    }
}
