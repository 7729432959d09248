//! The files of the audit log: after a crash, when someone changed them, and on a full disk.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::audit::audit_command;
use crate::support::process::ControlPlane;
use crate::support::redis_server::RedisServer;
use crate::support::small_disk::SmallDisk;

fn file(folder: &Path) -> PathBuf {
    folder.join("audit/serve.000001.ndjson")
}

async fn feed_key(plane: &ControlPlane) -> String {
    plane.got("/v1/keys").await["feed_public_keys"][0].as_str().unwrap().to_owned()
}

// A08: changed, removed, exchanged, added and cut off, on the files of a real process. The library's tests
// go through every place.
#[tokio::test]
async fn verify_names_the_line_that_was_tampered_with() {
    let folder = tempfile::tempdir().unwrap();
    let mut plane = ControlPlane::start_in(folder.path(), &[]).await;
    for number in 0..10 {
        plane.posted("/v1/revocations", &json!({ "sub": format!("user-{number}") })).await;
    }
    let key = feed_key(&plane).await;
    let noted = plane.got("/v1/status").await["audit"].clone();
    let noted = format!("{}:{}", noted["seq"], noted["hash"].as_str().unwrap());
    plane.ask_to_stop();
    plane.until_stopped().await;
    let path = file(folder.path());
    let verify =
        |arguments: &[&str]| audit_command(folder.path(), &[&["verify"], arguments].concat());
    let (code, said) = verify(&["--key", &key, "--contains", &noted]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("signature checked); after it: 0 line(s)"), "a stop is signed: {said}");
    assert!(verify(&[]).1.contains("not checked"));
    // O07
    let for_program = |arguments: &[&str]| -> (Option<i32>, Value) {
        let (code, said) = verify(&[arguments, &["--json"]].concat());
        (code, serde_json::from_str(&said).unwrap())
    };
    let (code, json) = for_program(&["--key", &key]);
    assert_eq!((code, &json["intact"]), (Some(0), &json!(true)), "{json}");
    assert_eq!(json["chains"][0]["signature_checked"], true, "{json}");

    let good = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let place = lines.iter().position(|line| line.contains("user-4")).unwrap();
    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        change(&mut lines);
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        let (code, said) = verify(&["--key", &key]);
        (code, said.lines().next().unwrap().split(':').nth(1).unwrap().to_owned())
    };
    let bad = |line: usize| (Some(1), line.to_string());
    assert_eq!(
        with(&|lines| lines[place] = lines[place].replace("user-4", "user-5")),
        bad(place + 1)
    );
    assert_eq!(with(&|lines| drop(lines.remove(place))), bad(place + 1));
    assert_eq!(with(&|lines| lines.swap(place, place + 1)), bad(place + 1));
    assert_eq!(with(&|lines| lines.push(lines[place].clone())), bad(lines.len() + 1));
    assert_eq!(with(&|lines| drop(lines.drain(..3))), bad(1));
    // A line that is cut through; and whole lines, which only what was noted elsewhere shows.
    std::fs::write(&path, &good[..good.len() - 30]).unwrap();
    assert_eq!(verify(&[]).0, Some(1));
    let (code, json) = for_program(&[]);
    assert_eq!(
        (code, &json["intact"], &json["line"]),
        (Some(1), &json!(false), &json!(lines.len()))
    );
    std::fs::write(&path, lines[..place].join("\n") + "\n").unwrap();
    assert_eq!(verify(&["--key", &key]).0, Some(0));
    let (code, said) = verify(&["--contains", &noted]);
    assert!(code == Some(1) && said.contains("is in none of the files"), "{said}");
    std::fs::write(&path, &good).unwrap();
    let other = "HCIuPrgjJcLh0NhQz0VrsDKlRnaXcR2ExKrsn-w1Kt0";
    assert!(verify(&["--key", other]).1.contains("is not among the given ones"));
}

// A08: a process that is killed while it writes, and a machine that loses the end of the last line.
#[tokio::test]
async fn the_chain_goes_on_after_a_crash_and_a_torn_line_is_healed_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut plane = ControlPlane::start_in(folder.path(), &[]).await;
    let (request, acknowledged) =
        (plane.admin(Method::POST, "/v1/revocations"), std::sync::atomic::AtomicUsize::new(0));
    let load = async {
        futures_util::future::join_all((0..8).map(|client| {
            let (request, acknowledged) = (request.try_clone().unwrap(), &acknowledged);
            async move {
                for number in 0.. {
                    let body = json!({ "jti": format!("{client}-{number}") });
                    let answer = request.try_clone().unwrap().json(&body).send().await;
                    if !answer.is_ok_and(|answer| answer.status().is_success()) {
                        return;
                    }
                    acknowledged.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                }
            }
        }))
        .await
    };
    let id = plane.id().to_string();
    let killing = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        std::process::Command::new("kill").args(["-9", &id]).status().unwrap();
    };
    tokio::join!(load, killing);
    plane.kill();
    let acknowledged = acknowledged.into_inner();
    let written = plane.audited().iter().filter(|line| line["outcome"] == "accepted").count();
    assert!(written >= acknowledged && acknowledged > 0, "{written} of {acknowledged}");

    let path = file(folder.path());
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(length - 100).unwrap();
    assert_eq!(audit_command(folder.path(), &["verify"]).0, Some(1));
    drop(plane);
    let plane = ControlPlane::start_in(folder.path(), &[]).await;
    let all = plane.audit();
    let healed = all.iter().find(|line| line["type"] == "healed").unwrap();
    assert!(healed["torn"].as_str().unwrap().contains("\"operation\":\"revoke\""), "{healed}");
    assert!(plane.log().contains("the last line of the audit log was torn"));
    plane.posted("/v1/revocations", &json!({ "sub": "after" })).await;
    let (code, said) = audit_command(folder.path(), &["verify", "--key", &feed_key(&plane).await]);
    assert_eq!((code, said.matches("chain ").count()), (Some(0), 1), "{said}");
}

async fn on_small_disk(redis: &RedisServer, disk: &SmallDisk, failure: &str) -> ControlPlane {
    let url = redis.url();
    let environment = [
        ("OFFSWITCH_STORE", url.as_str()),
        ("OFFSWITCH_AUDIT_FAILURE", failure),
        // Its log is on the same disk.
        ("OFFSWITCH_LOG", "off"),
    ];
    ControlPlane::start_in(disk.path(), &environment).await
}

async fn until_ready(plane: &ControlPlane, ready: bool, finding: bool) {
    let begin = Instant::now();
    loop {
        let body = plane.got("/readyz").await;
        let found = body["findings"].to_string().contains("audit_not_written");
        if (body["ready"] == ready) && found == finding {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{body}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

// A08: nothing is changed that cannot be recorded, and that is known before.
#[tokio::test]
async fn a_full_disk_refuses_changes_before_they_are_made_if_that_is_asked_for() {
    let Some(disk) = SmallDisk::mount(6 << 20) else { return };
    let redis = RedisServer::start().await;
    let plane = on_small_disk(&redis, &disk, "refuse").await;
    plane.posted("/v1/revocations", &json!({ "sub": "before" })).await;
    disk.fill();
    // Room is kept ahead: the last changes that were admitted are recorded.
    let (begin, mut accepted) = (Instant::now(), 1);
    let refused = loop {
        let bulk: Vec<Value> =
            (0..50).map(|n| json!({ "sub": format!("user-{accepted}-{n}") })).collect();
        let answer = plane.post("/v1/revocations", &json!({ "revocations": bulk })).await;
        if !answer.status().is_success() {
            break answer;
        }
        accepted += 1;
        assert!(begin.elapsed() < Duration::from_secs(60));
    };
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], "audit_unavailable");
    until_ready(&plane, false, true).await;
    let listed = plane.got("/v1/revocations?limit=100").await;
    let listed = listed["requests"].as_array().unwrap().len();
    assert_eq!(listed.min(100), accepted.min(100), "the refused change was not made");
    let recorded = plane.audited().iter().filter(|line| line["outcome"] == "accepted").count();
    assert_eq!(recorded, accepted);
    disk.make_room();
    until_ready(&plane, true, false).await;
    plane.posted("/v1/revocations", &json!({ "sub": "after" })).await;
    let (code, said) = audit_command(disk.path(), &["verify"]);
    assert_eq!(code, Some(0), "{said}");
}

// A08: by default a full disk prevents no revocation; the gap is counted, and said in the log itself.
#[tokio::test]
async fn a_full_disk_is_reported_and_the_gap_is_written_afterwards() {
    let Some(disk) = SmallDisk::mount(6 << 20) else { return };
    let redis = RedisServer::start().await;
    let plane = on_small_disk(&redis, &disk, "continue").await;
    disk.fill();
    let (begin, mut number) = (Instant::now(), 0);
    let metrics = async || {
        let answer = plane.admin(Method::GET, "/metrics").send().await.unwrap();
        answer.text().await.unwrap()
    };
    while metrics().await.contains("offswitch_audit_lost_total 0\n") {
        plane.posted("/v1/revocations", &json!({ "sub": format!("user-{number}") })).await;
        number += 1;
        assert!(begin.elapsed() < Duration::from_secs(60));
    }
    until_ready(&plane, true, true).await;
    disk.make_room();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    plane.posted("/v1/revocations", &json!({ "sub": "after" })).await;
    until_ready(&plane, true, false).await;
    let lost: u64 = plane.audit().iter().filter_map(|line| line["lost"].as_u64()).sum();
    let revoked = plane.audited().iter().filter(|line| line["operation"] == "revoke").count();
    assert_eq!(revoked as u64 + lost, number + 1);
    let (code, said) = audit_command(disk.path(), &["verify"]);
    assert!(code == Some(0) && said.contains("have no line"), "{said}");
}
