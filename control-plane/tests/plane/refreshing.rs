//! Many refreshes at the same time, with two processes and a network that loses and repeats
//! messages.

use std::sync::Arc;

use offswitch::credential::CredentialKind;
use offswitch::plane::{Opened, Plane, Refreshed, SessionRequest, Sessions};
use offswitch::store::Request;
use offswitch_core::limits::REQUEST_MEMORY;
use offswitch_core::record::Record;
use offswitch_core::session::Opening;
use reqwest::{Method, StatusCode};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::follower::now;
use crate::support::in_process::{MASTER, plane_at};
use crate::support::oauth::text;
use crate::support::process::ControlPlane;
use crate::support::redis_server::RedisServer;

const ISSUER: &str = "https://auth.example";

/// Processes with one master key, each with its own connection to one Redis.
async fn processes(urls: &[String]) -> (Vec<Arc<ControlPlane>>, Vec<TempDir>) {
    let (mut planes, mut folders) = (Vec::new(), Vec::<TempDir>::new());
    for url in urls {
        let folder = tempfile::tempdir().unwrap();
        if let Some(first) = folders.first() {
            std::fs::copy(first.path().join("admin.key"), folder.path().join("admin.key")).unwrap();
        }
        let environment = [
            ("OFFSWITCH_STORE", url.as_str()),
            ("OFFSWITCH_ISSUER", ISSUER),
            ("OFFSWITCH_MASTER_KEY", MASTER),
            ("OFFSWITCH_LOG", "warn"),
        ];
        planes.push(Arc::new(ControlPlane::start_in(folder.path(), &environment).await));
        folders.push(folder);
    }
    (planes, folders)
}

/// Sends one token `count` times at the same time to all processes; returns the one successor.
async fn storm(planes: &[Arc<ControlPlane>], token: &str, count: usize) -> String {
    let mut requests = JoinSet::new();
    for index in 0..count {
        let (plane, token) = (Arc::clone(&planes[index % planes.len()]), token.to_owned());
        requests.spawn(async move {
            loop {
                let (status, body) = plane.refresh(&token).await;
                match status {
                    StatusCode::OK => return text(&body, "refresh_token").to_owned(),
                    // A client that gets 503 tries once more.
                    StatusCode::SERVICE_UNAVAILABLE => {}
                    _ => panic!("{status} {body}"),
                }
            }
        });
    }
    let mut successors = requests.join_all().await;
    successors.sort_unstable();
    successors.dedup();
    assert_eq!(successors.len(), 1, "one successor");
    successors.remove(0)
}

async fn thefts(plane: &ControlPlane) -> bool {
    let metrics = plane.admin(Method::GET, "/metrics").send().await.unwrap();
    let text = metrics.text().await.unwrap();
    let counted =
        text.lines().find(|line| line.starts_with("offswitch_refresh_tokens_reused_total "));
    !counted.unwrap().ends_with(" 0")
}

// F01: a hundred refreshes of one token at the same time, for a thousand sessions, over two
// processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_parallel_refreshes_of_a_token_have_one_successor() {
    let redis = RedisServer::start().await;
    let (planes, _folders) = processes(&[redis.url(), redis.url()]).await;
    let mut sessions = JoinSet::new();
    for lane in 0..LANES {
        let planes = planes.clone();
        sessions.spawn(async move {
            for number in 0..SESSIONS / LANES {
                let session = planes[0].login(&format!("user-{lane}-{number}")).await;
                let next = storm(&planes, text(&session, "refresh_token"), 100).await;
                assert_ne!(next, text(&session, "refresh_token"));
                let (status, body) = planes[1].refresh(&next).await;
                assert_eq!(status, StatusCode::OK, "{body}");
            }
        });
    }
    sessions.join_all().await;
    for plane in &planes {
        assert!(!thefts(plane).await, "a false theft");
    }
}

// F01, F02, R05: for both processes, replies of Redis are lost and commands are repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_replies_and_repeated_commands_log_no_user_out() {
    let redis = RedisServer::start().await;
    let proxies = [FaultProxy::start(redis.port()).await, FaultProxy::start(redis.port()).await];
    let urls = [proxies[0].url(), proxies[1].url()];
    let (planes, _folders) = processes(&urls).await;
    let mut tokens = Vec::new();
    for number in 0..10 {
        let session = planes[0].login(&format!("user-{number}")).await;
        tokens.push(text(&session, "refresh_token").to_owned());
    }
    for round in 0..6 {
        for (index, proxy) in proxies.iter().enumerate() {
            let fault = match (round + index) % 3 {
                0 => Fault::Duplicate,
                1 => Fault::LoseReply(5),
                _ => Fault::None,
            };
            proxy.set(fault);
        }
        let storms = tokens.iter().map(|token| storm(&planes, token, 10));
        tokens = futures_util::future::join_all(storms).await;
    }
    for plane in &planes {
        assert!(!thefts(plane).await, "a false theft");
    }
}

// F05, F12: a logout races a refresh ten thousand times, at two processes: whichever wins, nothing
// of the session is alive afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_refresh_survives_a_logout_that_races_it() {
    let redis = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "no"]).await;
    let one = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    let other = plane_at(&redis.url(), ISSUER, MASTER, now()).await;
    other.spawn_tasks();
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let (one, other) = (Arc::clone(&one), Arc::clone(&other));
        lanes.spawn(async move {
            let mut refreshed = 0;
            for number in 0..RACES / LANES {
                refreshed += usize::from(race(&one, &other, &format!("{lane}-{number}")).await);
            }
            refreshed
        });
    }
    let refreshed: usize = lanes.join_all().await.into_iter().sum();
    assert!(refreshed > RACES / 100 && refreshed < RACES, "both sides win: {refreshed}");
}

/// Races a refresh at `one` with a logout at `other`; true if the refresh was answered.
async fn race(one: &Plane, other: &Plane, name: &str) -> bool {
    let request = SessionRequest {
        sub: format!("user-{name}"),
        opening: Opening { name: offswitch::master_key::random_bytes(), ..Opening::default() },
        ..SessionRequest::default()
    };
    let Opened::Tokens(session) = one.sessions.open(request, now()).await.unwrap() else {
        panic!("expected tokens");
    };
    let parse = |token: &str| one.sessions.credential(token, CredentialKind::RefreshToken).unwrap();
    let token = parse(&session.credential);
    let by_session = name.len().is_multiple_of(2);
    let revocation = if by_session {
        Sessions::revocation(session.session, now())
    } else {
        let (sub, exp) = (format!("user-{name}"), now() + 86_400);
        offswitch_core::record::Revocation::User { issuer: None, sub, issued_before: None, exp }
    };
    let record =
        Record { at: now(), by: "test".to_owned(), reason: None, revocations: vec![revocation] };
    let logout = Request { id: name.to_owned(), digest: [0; 32], memory: REQUEST_MEMORY };
    let (refreshed, revoked) = tokio::join!(
        one.sessions.refresh(token, None, None, now()),
        other.log.revoke(&logout, &record)
    );
    revoked.unwrap();
    let answered = match refreshed.unwrap() {
        Refreshed::Issued(issued) => Some(issued),
        Refreshed::Refused(_) => None,
    };
    let mut tokens = vec![token];
    if let Some(issued) = &answered {
        tokens.push(parse(&issued.credential));
        let verdict = one.introspection.judge(&issued.access_token, now()).await.unwrap();
        assert!(verdict.code().starts_with("revoked_"), "{}", verdict.code());
    }
    for (plane, token) in tokens.into_iter().flat_map(|token| [(one, token), (other, token)]) {
        let again = plane.sessions.refresh(token, None, None, now()).await.unwrap();
        assert!(matches!(again, Refreshed::Refused(_)), "a session came back");
    }
    answered.is_some()
}

const LANES: usize = 4;
const SESSIONS: usize = 1000;
const RACES: usize = 10_000;
