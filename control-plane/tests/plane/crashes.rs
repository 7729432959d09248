//! Kill -9 between any two steps of a logout: afterwards the logout has happened as a whole or not
//! at all, and one that has happened is completed.

use std::time::{Duration, Instant};

use offswitch::credential::CredentialKind;
use offswitch::plane::{Plane, Refreshed};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::follower::{Follower, now};
use crate::support::in_process::{MASTER, plane_at};
use crate::support::oauth::text;
use crate::support::process::ControlPlane;
use crate::support::redis_server::RedisServer;

const ISSUER: &str = "https://auth.example";
const LATER: u64 = 3 * 86_400;

/// The interrupted work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    LogoutEverywhere,
    LogoutOne,
    RedButton,
    Theft,
}

impl Work {
    /// Requests it, with the same idempotency key each time.
    async fn ask(self, plane: &ControlPlane, phone: &Value) -> reqwest::Result<reqwest::Response> {
        let request = match self {
            Self::LogoutEverywhere => plane.admin(Method::DELETE, "/v1/users/alice/sessions"),
            Self::LogoutOne => {
                let path = format!("/v1/users/alice/sessions/{}", text(phone, "session_id"));
                plane.admin(Method::DELETE, &path)
            }
            Self::RedButton => plane.admin(Method::POST, "/v1/red-button").json(&json!({})),
            Self::Theft => {
                let stolen = text(phone, "refresh_token");
                let form = [("grant_type", "refresh_token"), ("refresh_token", stolen)];
                plane.request(Method::POST, "/oauth/token").form(&form)
            }
        };
        request.header("idempotency-key", "the work").send().await
    }

    /// True if it ends the laptop's session as well as the phone's.
    fn reaches_laptop(self) -> bool {
        matches!(self, Self::LogoutEverywhere | Self::RedButton)
    }
}

// R13, R01, A09: a crash at every step, before and after the store has executed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_leaves_no_half_logout() {
    for work in [Work::LogoutOne, Work::LogoutEverywhere, Work::Theft, Work::RedButton] {
        let mut interrupted = 0;
        for after in 0.. {
            let before = crash(work, after, false).await;
            let behind = crash(work, after, true).await;
            interrupted += u32::from(before) + u32::from(behind);
            if !before && !behind {
                break;
            }
            assert!(after < 40, "{work:?} never completes");
        }
        assert!(interrupted >= 2, "{work:?} was interrupted {interrupted} times");
    }
}

/// Kills the process at its `after`th script; true if the work was not answered before.
async fn crash(work: Work, after: u64, executed: bool) -> bool {
    let redis = RedisServer::start().await;
    let proxy = FaultProxy::start(redis.port()).await;
    let folder = tempfile::tempdir().unwrap();
    let (url, direct) = (proxy.url(), redis.url());
    let environment = |url: &'static str| {
        [
            ("OFFSWITCH_STORE", url),
            ("OFFSWITCH_ISSUER", ISSUER),
            ("OFFSWITCH_MASTER_KEY", MASTER),
            ("OFFSWITCH_REFRESH_GRACE_SECONDS", "0"),
        ]
    };
    let mut plane = ControlPlane::start_in(folder.path(), &environment(url.leak())).await;
    let (phone, laptop) = (plane.login("alice").await, plane.login("alice").await);
    let bystander = plane.login("bob").await;
    // The phone's first token is spent, and so is its parent's grace.
    let next = plane.refreshed(text(&phone, "refresh_token")).await;
    let next = plane.refreshed(text(&next, "refresh_token")).await;

    let position = plane.got("/readyz").await["position"].as_str().unwrap().to_owned();
    proxy.set(Fault::Die { after, executed });
    let begin = Instant::now();
    let is_interrupted = {
        let asked = work.ask(&plane, &phone);
        tokio::pin!(asked);
        loop {
            tokio::select! {
                _ = &mut asked => break false,
                () = tokio::time::sleep(Duration::from_millis(5)) => {
                    if proxy.is_dead() {
                        break true;
                    }
                    assert!(begin.elapsed() < Duration::from_secs(20));
                }
            }
        }
    };
    plane.kill();
    drop(plane);

    // Days later, when the log's own entries have left the base: an ended session stays ended.
    let later = plane_at(&direct, ISSUER, MASTER, now() + LATER).await;
    let has_happened = later.log.position().to_string() != position;
    assert!(is_interrupted || has_happened, "{work:?} was answered, and is not in the log");
    let is_over = [
        !refreshes(&later, &next).await,
        !refreshes(&later, &laptop).await,
        !refreshes(&later, &bystander).await,
    ];
    let expected = [
        has_happened,
        has_happened && work.reaches_laptop(),
        has_happened && work == Work::RedButton,
    ];
    assert_eq!(is_over, expected, "{work:?} killed after {after}, executed: {executed}");
    drop(later);

    // A client that repeats the request gets it done, once.
    let plane = ControlPlane::start_in(folder.path(), &environment(direct.leak())).await;
    work.ask(&plane, &phone).await.unwrap();
    let follower = Follower::start(&plane, ISSUER).await;
    assert_ne!(follower.judge(text(&next, "access_token")), "valid");
    let laptop_is_valid = follower.judge(text(&laptop, "access_token")) == "valid";
    assert_eq!(laptop_is_valid, !work.reaches_laptop());
    let log = plane.got("/v1/revocations").await;
    assert_eq!(log["requests"].as_array().unwrap().len(), 1, "{log}");
    let login = plane.login("alice").await;
    plane.refreshed(text(&login, "refresh_token")).await;
    is_interrupted
}

async fn refreshes(plane: &Plane, tokens: &Value) -> bool {
    let token = text(tokens, "refresh_token");
    let token = plane.sessions.credential(token, CredentialKind::RefreshToken).unwrap();
    let refreshed = plane.sessions.refresh(token, None, None, now() + LATER).await.unwrap();
    matches!(refreshed, Refreshed::Issued(_))
}
