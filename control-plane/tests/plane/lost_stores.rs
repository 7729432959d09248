//! Stores that lose acknowledged writes, and processes that still know them, also after a restart.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::follower::{Follower, now};
use crate::support::process::{ControlPlane, Launched, run};
use crate::support::redis_server::{RedisServer, free_port};

async fn start(redis: &RedisServer, data_dir: &Path) -> ControlPlane {
    let url = redis.url();
    let environment = [("OFFSWITCH_STORE", url.as_str()), ("OFFSWITCH_ISSUER", ISSUER)];
    ControlPlane::start_in(data_dir, &environment).await
}

/// Every key of a server, as a backup has it.
type Backup = Vec<(Vec<u8>, Vec<u8>)>;

async fn backup(redis: &RedisServer) -> Backup {
    let mut connection = redis.connection().await;
    let keys: Vec<Vec<u8>> =
        redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    let mut backup = Vec::new();
    for key in keys {
        let content = redis::cmd("DUMP").arg(&key).query_async(&mut connection).await.unwrap();
        backup.push((key, content));
    }
    backup
}

/// Replaces everything on the server in one step.
async fn restore(redis: &RedisServer, backup: &Backup) {
    let mut steps = redis::pipe();
    steps.atomic().cmd("FLUSHALL");
    for (key, content) in backup {
        steps.cmd("RESTORE").arg(key).arg(0).arg(content);
    }
    let () = steps.query_async(&mut redis.connection().await).await.unwrap();
}

async fn revoke(plane: &ControlPlane, sub: &str) -> String {
    let revoked = plane.posted("/v1/revocations", &json!({ "sub": sub })).await;
    revoked["position"].as_str().unwrap().to_owned()
}

async fn log_in(plane: &ControlPlane, sub: &str) -> String {
    let session = plane.posted("/v1/sessions", &json!({ "sub": sub })).await;
    session["access_token"].as_str().unwrap().to_owned()
}

fn era(position: &str) -> u64 {
    position.split_once('.').unwrap().0.parse().unwrap()
}

// D83, R03: the store is restored from a backup while every process restarts, and loses what came
// later. The processes have what they published on their own disks: everything stays revoked, under
// a new era, and no position is used twice.
#[tokio::test]
async fn a_store_that_is_restored_while_all_processes_restart_un_revokes_nothing() {
    let redis = RedisServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut plane = start(&redis, folder.path()).await;
    let mut positions = vec![revoke(&plane, "before").await];
    let mut lost: Vec<String> = vec![];
    for round in 0..3 {
        let older = backup(&redis).await;
        let token = log_in(&plane, &format!("lost-{round}")).await;
        lost.push(token);
        positions.push(revoke(&plane, &format!("lost-{round}")).await);
        plane.kill();
        restore(&redis, &older).await;
        plane = start(&redis, folder.path()).await;
        let follower = Follower::start(&plane, &plane.issuer()).await;
        for token in &lost {
            assert_eq!(follower.judge(token), "revoked_user", "{round}");
        }
        let next = revoke(&plane, "after").await;
        assert!(era(&next) > era(positions.last().unwrap()), "a new era");
        positions.push(next);
    }
    let count = positions.len();
    positions.sort();
    positions.dedup();
    assert_eq!(positions.len(), count, "a position was used twice");
}

// D81: the same, and the published state is lost as well. A session that was opened in the lost
// part has a version from then: a revocation of its user must still affect it.
#[tokio::test]
async fn a_user_whose_session_was_opened_in_the_lost_part_can_be_revoked() {
    let redis = RedisServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut plane = start(&redis, folder.path()).await;
    revoke(&plane, "one").await;
    let older = backup(&redis).await;
    for number in 0..10 {
        revoke(&plane, &format!("lost-{number}")).await;
    }
    let token = log_in(&plane, "alice").await;
    plane.kill();
    restore(&redis, &older).await;
    std::fs::remove_dir_all(folder.path().join("published")).unwrap();
    // A restart takes longer than the one second between seqs.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let plane = start(&redis, folder.path()).await;
    let mut follower = Follower::start(&plane, &plane.issuer()).await;
    assert_eq!(follower.judge(&token), "valid");
    revoke(&plane, "alice").await;
    follower.follow(&plane).await;
    assert_eq!(follower.judge(&token), "revoked_user");
    let asked = plane.admin(Method::POST, "/oauth/introspect").form(&[("token", &token)]);
    let asked: Value = asked.send().await.unwrap().json().await.unwrap();
    assert_eq!(asked["active"], false);
}

// D84: the store comes back empty, several times, while a process runs, and then during its
// restart; by then the process has read its checkpoint.
#[tokio::test]
async fn a_store_that_comes_back_empty_is_refilled_each_time() {
    let redis = RedisServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut plane = start(&redis, folder.path()).await;
    let token = log_in(&plane, "alice").await;
    revoke(&plane, "alice").await;
    for round in 0..4 {
        if round == 3 {
            plane.kill();
        }
        redis.command::<()>(&["FLUSHALL"]).await;
        if round == 3 {
            plane = start(&redis, folder.path()).await;
        }
        // The revocation is the first call that finds the log empty.
        revoke(&plane, &format!("user-{round}")).await;
        let follower = Follower::start(&plane, &plane.issuer()).await;
        assert_eq!(follower.judge(&token), "revoked_user", "{round}");
        assert_eq!(plane.got("/readyz").await["ready"], true, "{round}");
    }
}

// D85: a failover loses the last records, and the next revocation comes before anything was read.
// It does not reuse a seq of the lost records, and they are restored.
#[tokio::test]
async fn a_revocation_right_after_a_lossy_failover_loses_nothing() {
    let redis = RedisServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let plane = start(&redis, folder.path()).await;
    let mut contents = HashMap::new();
    for round in 0..5 {
        let older = backup(&redis).await;
        for number in 0..4 {
            let sub = format!("{round}-{number}");
            contents.insert(revoke(&plane, &sub).await, sub);
        }
        restore(&redis, &older).await;
        let sub = format!("{round}-after");
        contents.insert(revoke(&plane, &sub).await, sub);
    }
    assert_eq!(contents.len(), 25, "each has a position of its own");
    let follower = Follower::start(&plane, &plane.issuer()).await;
    let (feed, issuer) = (follower.verifier().feed(), plane.issuer());
    for sub in contents.values() {
        assert!(feed.cutoff(&issuer, "sub", sub).is_some(), "{sub} is revoked");
    }
}

// D80, R21: a primary is demoted under a process that only reads; its new primary cannot be
// reached. The process signs nothing more as fresh, and readiness says why.
#[tokio::test]
async fn a_primary_that_is_demoted_makes_snapshots_stale_and_readiness_red() {
    let redis = RedisServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let plane = start(&redis, folder.path()).await;
    let issued_at = async || {
        let mut follower = Follower::start(&plane, &plane.issuer()).await;
        follower.follow(&plane).await;
        let now = now();
        now - follower.verifier().feed().age_seconds(now).unwrap()
    };
    let out_of_reach = free_port().to_string();
    redis.command::<()>(&["REPLICAOF", "127.0.0.1", &out_of_reach]).await;
    let demoted_at = now();
    let begin = Instant::now();
    loop {
        let ready = plane.request(Method::GET, "/readyz").send().await.unwrap();
        if ready.status() == StatusCode::SERVICE_UNAVAILABLE {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "{}", plane.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(issued_at().await <= demoted_at + 1, "a snapshot was signed as fresher than that");
    let answer = plane.post("/v1/revocations", &json!({ "sub": "late" })).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    redis.command::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    let begin = Instant::now();
    while issued_at().await <= demoted_at + 3 {
        assert!(begin.elapsed() < Duration::from_secs(10), "{}", plane.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

// D83: a follower has read more than the log of this process contains: that is reported.
#[tokio::test]
async fn a_follower_ahead_of_the_log_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start_in(folder.path(), &[]).await;
    let position = revoke(&plane, "alice").await;
    let ahead = format!("{}.1", era(&position) + 1);
    plane.feed(&format!("?since={ahead}")).await;
    let begin = Instant::now();
    loop {
        let findings = plane.got("/readyz").await["findings"].to_string();
        if findings.contains("follower_ahead") && findings.contains(&ahead) {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "{findings}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

// D90: a process that has served before, and has lost its own state, finds an empty store: it does
// not start a new log, and says what to do. One command allows it.
#[tokio::test]
async fn an_empty_store_gets_a_new_log_only_on_command() {
    let redis = RedisServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut plane = start(&redis, folder.path()).await;
    let key = plane.admin_key();
    plane.kill();
    redis.command::<()>(&["FLUSHALL"]).await;
    let published = folder.path().join("published");
    let kept = folder.path().join("kept");
    std::fs::rename(&published, &kept).unwrap();
    let url = redis.url();
    let refused = Launched::start(folder.path(), |command| {
        command.env("OFFSWITCH_STORE", &url).env("OFFSWITCH_ISSUER", ISSUER);
    });
    let log = refused.until_ended().await;
    assert!(log.contains("offswitch store new-era"), "{log}");
    assert!(!log.contains(key.trim()));
    // With its published state it starts a new era with that state and the same keys.
    std::fs::remove_dir_all(&published).unwrap();
    std::fs::rename(&kept, &published).unwrap();
    let mut plane = start(&redis, folder.path()).await;
    assert_eq!(plane.admin_key(), key);
    assert!(plane.got("/v1/status").await["version"].is_string());
    plane.kill();
    redis.command::<()>(&["FLUSHALL"]).await;
    let data_dir = folder.path().to_str().unwrap();
    let done = run(&["store", "new-era"], &[("OFFSWITCH_DATA_DIR", data_dir)]);
    assert!(done.status.success(), "{done:?}");
    let plane = start(&redis, folder.path()).await;
    assert_ne!(plane.admin_key(), key);
}

// D90: the issuer is the default, the listen address, which changes while the store is emptied: the
// process keeps its previous issuer.
#[tokio::test]
async fn an_emptied_store_keeps_its_previous_issuer() {
    let redis = RedisServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let url = redis.url();
    let environment = [("OFFSWITCH_STORE", url.as_str())];
    let mut plane = ControlPlane::start_in(folder.path(), &environment).await;
    let (issuer, port) = (plane.issuer(), plane.port());
    revoke(&plane, "alice").await;
    plane.kill();
    redis.command::<()>(&["FLUSHALL"]).await;
    let data_dir = folder.path().to_str().unwrap();
    let checked = [
        environment[0],
        ("OFFSWITCH_DATA_DIR", data_dir),
        ("OFFSWITCH_ISSUER", "https://another.example"),
    ];
    let checked = run(&["serve", "--check"], &checked);
    assert!(!checked.status.success(), "the check reports what a start would: {checked:?}");
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    assert_ne!(plane.port(), port, "its default issuer would be another one");
    assert_eq!(plane.got("/.well-known/oauth-authorization-server").await["issuer"], issuer);
}

const ISSUER: &str = "https://auth.example";
