//! Two versions of offswitch on one store: the older refuses what it does not understand, and says so.

use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase, TableDefinition};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::oauth::text;
use crate::support::process::{ControlPlane, Launched, run};
use crate::support::redis_server::RedisServer;

/// What a process says about itself, once it is (not) ready.
async fn until_ready(plane: &ControlPlane, ready: bool) -> Value {
    let begin = Instant::now();
    loop {
        let readiness = plane.got("/readyz").await;
        let has_finding = !readiness["findings"].as_array().unwrap().is_empty();
        // A finding follows within some seconds.
        if readiness["ready"] == ready && has_finding != ready {
            return readiness;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "{readiness}");
        sleep(Duration::from_millis(50)).await;
    }
}

// O09: from the moment on at which a newer version marks the store, and in the same step as each write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_process_refuses_a_store_that_a_newer_one_has_marked() {
    let redis = RedisServer::start().await;
    let (folder, url) = (tempfile::tempdir().unwrap(), redis.url());
    let environment = [("OFFSWITCH_STORE", url.as_str())];
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    let mark = async |format: &str| {
        redis.command::<()>(&["HSET", "{offswitch}:meta", "format", format]).await;
    };
    let format: String = redis.command(&["HGET", "{offswitch}:meta", "format"]).await;
    assert_eq!(format, "2");
    let session = plane.posted("/v1/sessions", &json!({ "sub": "alice" })).await;
    let sessions = async || {
        let mut documents: Vec<String> = redis.command(&["KEYS", "{offswitch}:doc:*"]).await;
        documents.sort_unstable();
        let mut dumps = Vec::new();
        for key in &documents {
            dumps.push(redis.command::<Vec<u8>>(&["GET", key]).await);
        }
        let log: u64 = redis.command(&["XLEN", "{offswitch}:log"]).await;
        (dumps, log)
    };

    mark("3").await;
    let before = sessions().await;
    for (path, body) in
        [("/v1/revocations", json!({ "sub": "bob" })), ("/v1/sessions", json!({ "sub": "eve" }))]
    {
        let refused = plane.post(path, &body).await;
        assert_eq!(refused.status(), 503, "{path}");
        assert_eq!(refused.headers()["retry-after"], "60");
        assert_eq!(refused.json::<Value>().await.unwrap()["code"], "store_newer", "{path}");
    }
    let form =
        [("grant_type", "refresh_token"), ("refresh_token", text(&session, "refresh_token"))];
    let refused = plane.request(Method::POST, "/oauth/token").form(&form).send().await.unwrap();
    let refused = (refused.status().as_u16(), refused.json::<Value>().await.unwrap());
    assert_eq!(
        refused,
        (503, json!({ "error": "temporarily_unavailable", "error_description": "store_newer" }))
    );
    let readiness = until_ready(&plane, false).await;
    let finding = &readiness["findings"][0];
    assert_eq!((&finding["code"], &finding["fatal"]), (&json!("store_newer"), &json!(true)));
    let detail = finding["detail"].as_str().unwrap();
    assert!(detail.contains("format 3") && detail.contains("up to 2"), "{detail}");
    assert_eq!(sessions().await, before, "nothing was written");
    let metrics = plane.admin(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("offswitch_store_finding{code=\"store_newer\"} 1"), "{metrics}");
    let address = format!("http://127.0.0.1:{}", plane.port());
    let key = plane.admin_key();
    let asked = [("OFFSWITCH_API_KEY", key.as_str())];
    let doctor = run(&["doctor", "--url", &address], &asked);
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert_eq!(doctor.status.code(), Some(1));
    assert!(said.contains("upgrade this process") && said.contains("store_newer"), "{said}");

    // Neither does one start, nor is there a backup of what is not understood.
    let started = Launched::start(folder.path(), |command| {
        command.env("OFFSWITCH_STORE", &url);
    });
    assert!(started.until_ended().await.contains("the store has format 3"));
    let place = [environment[0], ("OFFSWITCH_DATA_DIR", folder.path().to_str().unwrap())];
    let file = folder.path().join("file");
    for arguments in [&["serve", "--check"][..], &["backup", "--to", file.to_str().unwrap()]] {
        let refused = run(arguments, &place);
        let said =
            [&refused.stdout, &refused.stderr].map(|text| String::from_utf8_lossy(text)).concat();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("the store has format 3"), "{said}");
    }
    assert!(!file.exists());

    // A command that only looks raises nothing, so that the processes of an older version go on until one serves.
    mark("1").await;
    let checked = run(&["serve", "--check"], &place);
    assert!(String::from_utf8_lossy(&checked.stdout).contains("it opens the store"));
    assert_eq!(run(&["backup", "--to", file.to_str().unwrap()], &place).status.code(), Some(0));
    let format: String = redis.command(&["HGET", "{offswitch}:meta", "format"]).await;
    assert_eq!(format, "1");

    // The newer version was taken back, and had written nothing.
    mark("2").await;
    until_ready(&plane, true).await;
    plane.posted("/v1/revocations", &json!({ "sub": "bob" })).await;
    plane.refreshed(text(&session, "refresh_token")).await;
    // A store from before there were formats is one of the first.
    redis.command::<()>(&["HDEL", "{offswitch}:meta", "format"]).await;
    plane.posted("/v1/revocations", &json!({ "sub": "carol" })).await;
}

// O09: only one process has the file open, so it is asked when it starts.
#[tokio::test]
async fn an_older_version_refuses_a_file_of_a_newer_one_and_leaves_it_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut plane = ControlPlane::start_in(folder.path(), &[]).await;
    plane.posted("/v1/revocations", &json!({ "sub": "bob" })).await;
    plane.kill();
    let path = folder.path().join("offswitch.redb");
    assert_eq!(format_in(&path), 2);
    mark(&path, 3);
    let refused = Launched::start(folder.path(), |_| ()).until_ended().await;
    assert!(refused.contains("the store has format 3"), "{refused}");
    assert_eq!(format_in(&path), 3);
    mark(&path, 1);
    let plane = ControlPlane::start_in(folder.path(), &[]).await;
    let listed = plane.got("/v1/revocations").await;
    assert_eq!(listed["requests"][0]["revocations"][0]["sub"], "bob");
}

fn format_in(path: &std::path::Path) -> u64 {
    let database = Database::open(path).unwrap();
    let meta = database.begin_read().unwrap().open_table(META).unwrap();
    meta.get("format").unwrap().unwrap().value()
}

fn mark(path: &std::path::Path, format: u64) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", format).unwrap();
    transaction.commit().unwrap();
}

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
