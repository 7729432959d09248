//! Stores without room, and disks that fail: writes are refused with an error, nothing is lost, and
//! service resumes when there is room.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::follower::{Follower, now};
use crate::support::process::ControlPlane;
use crate::support::redis_server::{RedisServer, free_port};
use crate::support::small_disk::SmallDisk;

// R15: the disk under the embedded store is full, and the process's log is on it as well.
#[tokio::test]
async fn an_embedded_store_on_a_full_disk_refuses_until_there_is_room_and_keeps_everything() {
    let Some(disk) = SmallDisk::mount(6 << 20) else { return };
    let mut plane = ControlPlane::start_in(disk.path(), &ENVIRONMENT).await;
    let mut acknowledged = vec![revoked(&plane).await.unwrap()];
    disk.fill();
    let (more, problem) = until_refused(&plane).await;
    acknowledged.extend(more);
    assert_eq!(problem["code"], "store_full");
    // The finding concerns the last write; a database that failed frees some space.
    let begin = Instant::now();
    while !findings(&plane).await.iter().any(|found| found == "store_full") {
        assert!(begin.elapsed() < PATIENCE, "{}", plane.log());
        disk.fill();
        acknowledged.extend(until_refused(&plane).await.0);
        sleep(Duration::from_millis(100)).await;
    }
    // Followers of the feed are served, and logins are refused with an error too.
    assert!(!plane.feed("").await.is_empty());
    let mut login = plane.post("/v1/sessions", &json!({ "sub": "a" })).await.status();
    for _ in 0..200 {
        // Some writes may still fit into pages that the file has.
        if login != StatusCode::CREATED {
            break;
        }
        login = plane.post("/v1/sessions", &json!({ "sub": "a" })).await.status();
    }
    assert_eq!(login, StatusCode::SERVICE_UNAVAILABLE);
    disk.make_room();
    acknowledged.push(until_revoked(&plane).await);
    found(&plane, "store_full", false).await;
    all_are_there(&plane, &acknowledged).await;
    plane.kill();
    drop(plane);
    let plane = ControlPlane::start_in(disk.path(), &ENVIRONMENT).await;
    all_are_there(&plane, &acknowledged).await;
}

// R15: the log's disk is full, and the process still works.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_log_that_cannot_be_written_stops_nothing() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_offswitch"))
        .arg("serve")
        .env("OFFSWITCH_LISTEN", format!("127.0.0.1:{port}"))
        .env("OFFSWITCH_DATA_DIR", folder.path())
        .env("OFFSWITCH_LOG", "trace")
        .stdout(full())
        .stderr(full())
        .spawn()
        .unwrap();
    let (begin, client) = (Instant::now(), reqwest::Client::builder().no_proxy().build().unwrap());
    loop {
        let ready = client.get(format!("http://127.0.0.1:{port}/readyz")).send().await;
        if ready.is_ok_and(|ready| ready.status() == StatusCode::OK) {
            break;
        }
        assert!(process.try_wait().unwrap().is_none(), "it ended");
        assert!(begin.elapsed() < PATIENCE);
        sleep(Duration::from_millis(50)).await;
    }
    process.kill().unwrap();
    process.wait().unwrap();
}

// R15: flushing fails for a while. Everything that was acknowledged before, in between and after is
// there.
#[tokio::test]
async fn a_flush_that_fails_acknowledges_nothing_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut plane = ControlPlane::start_in(folder.path(), &ENVIRONMENT).await;
    let mut acknowledged = vec![revoked(&plane).await.unwrap()];
    for _ in 0..3 {
        let Some(fault) = FailingFlush::begin(plane.id()).await else { return };
        let (more, problem) = until_refused(&plane).await;
        acknowledged.extend(more);
        assert_eq!(problem["code"], "store_unavailable");
        found(&plane, "store_write_error", true).await;
        // The process closes the file until the next write, but other processes still cannot open
        // it.
        let other = Command::new(env!("CARGO_BIN_EXE_offswitch"))
            .args(["store", "create-api-key", "--name", "x", "--scope", "feed:read"])
            .env("OFFSWITCH_DATA_DIR", folder.path())
            .output()
            .unwrap();
        let refusal = String::from_utf8(other.stderr).unwrap();
        assert!(refusal.contains("another process has the file open"), "{refusal}");
        fault.end();
        acknowledged.push(until_revoked(&plane).await);
    }
    found(&plane, "store_write_error", false).await;
    all_are_there(&plane, &acknowledged).await;
    plane.kill();
    drop(plane);
    let plane = ControlPlane::start_in(folder.path(), &ENVIRONMENT).await;
    all_are_there(&plane, &acknowledged).await;
}

// R15: a Redis that flushes each write ends when its disk is full; it starts again when there is
// room, also with half a record at the end of its file.
#[tokio::test]
async fn a_redis_on_a_full_disk_refuses_until_there_is_room_and_keeps_everything() {
    let Some(disk) = SmallDisk::mount(2 << 20) else { return };
    let directory = disk.path().to_str().unwrap();
    let durable = ["--appendonly", "yes", "--appendfsync", "always", "--dir", directory];
    let mut redis = RedisServer::start_with(&durable).await;
    let (folder, plane) = on_redis(&redis).await;
    let mut acknowledged = vec![revoked(&plane).await.unwrap()];
    disk.fill();
    let (more, problem) = until_refused(&plane).await;
    acknowledged.extend(more);
    assert_eq!(problem["code"], "store_unavailable");
    unready(&plane).await;
    disk.make_room();
    redis.kill();
    tear_last_record(disk.path());
    redis.start_again().await;
    acknowledged.push(until_revoked(&plane).await);
    all_are_there(&plane, &acknowledged).await;
    drop(plane);
    let plane = start_on(&redis, folder.path()).await;
    all_are_there(&plane, &acknowledged).await;
}

// R15: a Redis that flushes every second continues without writing, and reports that.
#[tokio::test]
async fn a_redis_that_cannot_write_its_file_is_reported_and_used_again() {
    let Some(disk) = SmallDisk::mount(2 << 20) else { return };
    let directory = disk.path().to_str().unwrap();
    let durable = ["--appendonly", "yes", "--appendfsync", "everysec", "--dir", directory];
    let redis = RedisServer::start_with(&durable).await;
    let (_folder, plane) = on_redis(&redis).await;
    let mut acknowledged = vec![revoked(&plane).await.unwrap()];
    disk.fill();
    let (more, problem) = until_refused(&plane).await;
    acknowledged.extend(more);
    assert_eq!(problem["code"], "store_full");
    found(&plane, "store_write_error", true).await;
    disk.make_room();
    acknowledged.push(until_revoked(&plane).await);
    found(&plane, "store_write_error", false).await;
    all_are_there(&plane, &acknowledged).await;
}

// R16: sessions take all the memory that Redis may have: revocations are refused with an error, and
// work again once there is more memory.
#[tokio::test]
async fn a_redis_whose_memory_is_full_of_sessions_refuses_and_loses_nothing() {
    let redis = RedisServer::start().await;
    let (_folder, plane) = on_redis(&redis).await;
    let session = plane.posted("/v1/sessions", &json!({ "sub": "first" })).await;
    let mut acknowledged = vec![revoked(&plane).await.unwrap()];
    let used = redis.command::<String>(&["INFO", "memory"]).await;
    let used = used.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    let most = used.trim().parse::<u64>().unwrap() + (1 << 20);
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", &most.to_string()]).await;
    let claims = json!({ "filler": "x".repeat(3000) });
    let mut number = 0;
    let problem: Value = loop {
        let login = json!({ "sub": format!("user-{number}"), "claims": claims });
        let answer = plane.post("/v1/sessions", &login).await;
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            break answer.json().await.unwrap();
        }
        assert!(answer.status().is_success() && number < 2000, "{number}: {}", answer.status());
        number += 1;
    };
    assert_eq!(problem["code"], "store_full");
    let (more, problem) = until_refused(&plane).await;
    acknowledged.extend(more);
    assert_eq!(problem["code"], "store_full");
    assert!(plane.log().contains("the store is full"));
    let begin = Instant::now();
    while !findings(&plane)
        .await
        .iter()
        .any(|code| code.starts_with("store_") && code.ends_with("full"))
    {
        assert!(begin.elapsed() < PATIENCE, "no finding");
        sleep(Duration::from_millis(100)).await;
    }
    // No user is logged out because of it: a refresh gets an error that says to retry.
    let (status, _) = plane.refresh(session["refresh_token"].as_str().unwrap()).await;
    assert!(status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::OK, "{status}");
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    acknowledged.push(until_revoked(&plane).await);
    found(&plane, "store_full", false).await;
    all_are_there(&plane, &acknowledged).await;
}

async fn on_redis(redis: &RedisServer) -> (tempfile::TempDir, ControlPlane) {
    let folder = tempfile::tempdir().unwrap();
    let plane = start_on(redis, folder.path()).await;
    (folder, plane)
}

async fn start_on(redis: &RedisServer, folder: &Path) -> ControlPlane {
    let url = redis.url();
    ControlPlane::start_in(folder, &[("OFFSWITCH_STORE", &url), ENVIRONMENT[0]]).await
}

/// Revokes a token of its own; returns the token's name if that was acknowledged.
async fn revoked(plane: &ControlPlane) -> Result<String, Value> {
    let jti = format!("token-{:?}", Instant::now());
    let reason = "x".repeat(400);
    let body = json!({ "jti": jti, "exp": now() + 3600, "reason": reason });
    let answer = plane.post("/v1/revocations", &body).await;
    if answer.status().is_success() {
        return Ok(jti);
    }
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    Err(answer.json().await.unwrap())
}

/// Revokes until a revocation is refused: the acknowledged ones, and the problem.
async fn until_refused(plane: &ControlPlane) -> (Vec<String>, Value) {
    let mut acknowledged = Vec::new();
    loop {
        match revoked(plane).await {
            Ok(jti) => acknowledged.push(jti),
            Err(problem) => return (acknowledged, problem),
        }
        assert!(acknowledged.len() < 20_000, "the store is never full");
    }
}

async fn until_revoked(plane: &ControlPlane) -> String {
    let begin = Instant::now();
    loop {
        match revoked(plane).await {
            Ok(jti) => return jti,
            Err(problem) => assert!(begin.elapsed() < PATIENCE, "{problem}: {}", plane.log()),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn all_are_there(plane: &ControlPlane, acknowledged: &[String]) {
    let follower = Follower::start(plane, ISSUER).await;
    let feed = follower.verifier().feed();
    for jti in acknowledged {
        assert!(feed.is_denied(ISSUER, "jti", jti), "{jti} of {} was lost", acknowledged.len());
    }
}

/// The store's findings, as readiness reports them.
async fn findings(plane: &ControlPlane) -> Vec<String> {
    let ready: Value =
        plane.request(Method::GET, "/readyz").send().await.unwrap().json().await.unwrap();
    let findings = ready["findings"].as_array().unwrap().iter();
    findings.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

/// Waits until readiness and the metric report `code`, or no longer report it.
async fn found(plane: &ControlPlane, code: &str, there: bool) {
    let begin = Instant::now();
    while findings(plane).await.iter().any(|found| found == code) != there {
        assert!(begin.elapsed() < PATIENCE, "{code} should be {there}: {}", plane.log());
        sleep(Duration::from_millis(100)).await;
    }
    let metrics = plane.admin(Method::GET, "/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let line = format!("offswitch_store_finding{{code=\"{code}\"}} 1");
    assert_eq!(metrics.contains(&line), there, "{line}");
}

async fn unready(plane: &ControlPlane) {
    let begin = Instant::now();
    while plane.request(Method::GET, "/readyz").send().await.unwrap().status().is_success() {
        assert!(begin.elapsed() < PATIENCE, "the process is ready");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Leaves half a command, like a write that the full disk cut short.
fn tear_last_record(directory: &Path) {
    let folder = directory.join("appendonlydir");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let newest = files.filter(|path| path.to_str().unwrap().ends_with(".incr.aof")).max().unwrap();
    let mut file = std::fs::File::options().append(true).open(newest).unwrap();
    std::io::Write::write_all(&mut file, b"*3\r\n$3\r\nSET\r\n$100\r\nhalf").unwrap();
}

/// Makes every flush of a process fail while it lives.
struct FailingFlush(Child);

impl FailingFlush {
    /// Needs strace and the right to trace; without them it prints that and returns `None`.
    async fn begin(process: u32) -> Option<Self> {
        let calls = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"];
        let mut strace = Command::new("strace");
        strace.args(["-f", "-q", "-o", "/dev/null", "-p", &process.to_string()]).args(calls);
        let begun = strace.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(mut tracer) = begun else {
            println!("SKIPPED: this test needs strace");
            return None;
        };
        let begin = Instant::now();
        loop {
            let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
            if status.lines().any(|line| line == format!("TracerPid:\t{}", tracer.id())) {
                return Some(Self(tracer));
            }
            if tracer.try_wait().unwrap().is_some() {
                println!("SKIPPED: strace may not trace here");
                return None;
            }
            assert!(begin.elapsed() < PATIENCE);
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the tracing; the process continues.
    fn end(mut self) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.0.wait().unwrap();
    }
}

const ISSUER: &str = "https://auth.example";
const ENVIRONMENT: [(&str, &str); 1] = [("OFFSWITCH_ISSUER", ISSUER)];
const PATIENCE: Duration = Duration::from_secs(30);
