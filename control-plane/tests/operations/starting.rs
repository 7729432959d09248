//! Starting: what is refused, what the process waits for, and `--check`.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::process::{ControlPlane, Launched, run};
use crate::support::redis_server::{RedisServer, free_port};

fn said(output: &std::process::Output) -> String {
    let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    texts.concat()
}

fn serve(
    data_dir: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> std::process::Output {
    let listen = format!("127.0.0.1:{}", free_port());
    let data_dir = data_dir.to_str().unwrap();
    let flags = ["serve", "--listen", &listen, "--data-dir", data_dir];
    run(&[&flags, arguments].concat(), environment)
}

// D20: a silently created key would lock out every user for good once something is sealed under it.
#[tokio::test]
async fn a_missing_master_key_for_a_sealed_store_is_refused_and_none_is_created() {
    let folder = tempfile::tempdir().unwrap();
    let mut plane = ControlPlane::start_in(folder.path(), &[]).await;
    plane.kill();
    let key = folder.path().join("master.key");
    let text = std::fs::read_to_string(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    for arguments in [&[][..], &["--check"]] {
        let refused = serve(folder.path(), arguments, &[]);
        assert!(!refused.status.success());
        let said = said(&refused);
        assert!(said.contains("put the master key of this store there"), "{said}");
        assert!(!key.exists(), "a new one was created");
    }
    std::fs::write(&key, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8").unwrap();
    let refused = serve(folder.path(), &[], &[]);
    assert!(said(&refused).contains("does not open the store"), "{}", said(&refused));
    std::fs::write(&key, text).unwrap();
    ControlPlane::start_in(folder.path(), &[]).await;
}

// I13: a process without its configured secrets would refuse every webhook; no secret is printed.
#[tokio::test]
async fn a_file_of_secrets_that_cannot_be_used_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.toml");
    let with = [("OFFSWITCH_RECEIVER_SECRETS_FILE", path.to_str().unwrap())];
    let mode = |mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&path, permissions).unwrap();
    };
    let checked = || said(&serve(folder.path(), &["--check"], &with));
    assert!(checked().contains("secrets of receivers: PROBLEM"), "{}", checked());
    std::fs::write(&path, "idp = \"whsec_bmV3IHNlY3JldCBvZiAyNCBieXRlcyEh\"").unwrap();
    mode(0o600);
    assert!(checked().contains("secrets of receivers: ok"), "{}", checked());
    mode(0o602);
    assert!(checked().contains("can be written to by other users"), "{}", checked());
    mode(0o600);
    std::fs::write(&path, "idp = \"too short\"").unwrap();
    for arguments in [&[][..], &["--check"]] {
        let refused = serve(folder.path(), arguments, &with);
        assert!(!refused.status.success());
        let said = said(&refused);
        assert!(
            said.contains("idp: must be 1 to 4 texts") && !said.contains("too short"),
            "{said}"
        );
    }
}

// D42: under another issuer, no verifier would accept the tokens that exist.
#[tokio::test]
async fn a_changed_issuer_is_refused_and_an_unset_one_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let first = [("OFFSWITCH_ISSUER", "https://one.example")];
    let mut plane = ControlPlane::start_in(folder.path(), &first).await;
    plane.kill();
    for arguments in [&[][..], &["--check"]] {
        let refused =
            serve(folder.path(), arguments, &[("OFFSWITCH_ISSUER", "https://two.example")]);
        assert!(!refused.status.success());
        assert!(said(&refused).contains("set issuer to https://one.example"), "{}", said(&refused));
    }
    let plane = ControlPlane::start_in(folder.path(), &[]).await;
    assert_eq!(plane.got("/v1/status").await["issuer"], "https://one.example");
}

// D42: the check examines everything, serves nothing, and its exit code is the result.
#[tokio::test]
async fn a_check_ends_with_whether_serve_would_start() {
    let folder = tempfile::tempdir().unwrap();
    let good = serve(folder.path(), &["--check"], &[]);
    assert!(good.status.success(), "{}", said(&good));
    assert!(!folder.path().join("master.key").exists(), "a check creates no key");
    let mut plane = ControlPlane::start_in(folder.path(), &[]).await;
    let taken = serve(folder.path(), &["--check"], &[]);
    assert!(!taken.status.success(), "the file is in use");
    plane.kill();
    let good = serve(folder.path(), &["--check"], &[]);
    assert!(said(&good).contains("it opens the store"), "{}", said(&good));
    assert!(good.status.success());

    let redis = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]).await;
    let url = redis.url();
    let bad = serve(folder.path(), &["--check", "--store", &url], &[]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(said(&bad).contains("eviction"), "{}", said(&bad));
    let unknown = serve(folder.path(), &["--check", "--store", "redis://host?tls=true"], &[]);
    assert_eq!(unknown.status.code(), Some(2), "{}", said(&unknown));
}

// O07: for a program, one JSON object on the standard output, and nothing else.
#[tokio::test]
async fn a_check_answers_a_program_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let asked = |more: &[&str]| {
        let output = serve(folder.path(), &[&["--check", "--json"], more].concat(), &[]);
        let (answer, other) = match output.status.code() {
            Some(2) => (output.stderr, output.stdout),
            _ => (output.stdout, output.stderr),
        };
        assert!(other.is_empty(), "{}", String::from_utf8_lossy(&other));
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        (answer, output.status.code())
    };
    let (good, code) = asked(&[]);
    assert_eq!((&good["would_start"], code), (&true.into(), Some(0)), "{good}");
    let nowhere = format!("redis://127.0.0.1:{}", free_port());
    let (bad, code) = asked(&["--store", &nowhere]);
    assert_eq!((&bad["would_start"], code), (&false.into(), Some(1)), "{bad}");
    let is_bad = |one: &Value| one["ok"] == false && one["check"] == "store";
    assert!(bad["checks"].as_array().unwrap().iter().any(is_bad), "{bad}");
    let (wrong, code) = asked(&["--store", "redis://host?tls=true"]);
    assert_eq!((&wrong["code"], code), (&"wrong_usage".into(), Some(2)), "{wrong}");
    // Without --check nothing would be printed in JSON.
    assert_eq!(serve(folder.path(), &["--json"], &[]).status.code(), Some(2));
}

// D106, O05: variables that a Kubernetes Service sets, and values that are not UTF-8, do not
// prevent a start.
#[tokio::test]
async fn unknown_variables_are_reported_by_name_and_never_with_their_value() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let not_utf8 = std::ffi::OsStr::from_bytes(b"secret-\xff");
    let launched = Launched::start(folder.path(), |command| {
        command
            .env("OFFSWITCH_PORT", "tcp://secret-1:8400")
            .env("OFFSWITCH_SERVICE_HOST", "secret-2")
            .env("OFFSWITCH_WORKER", not_utf8)
            .env(not_utf8, "secret-3");
    });
    launched.until_ready().await;
    let log = launched.log();
    assert!(log.contains("OFFSWITCH_SERVICE_HOST") && log.contains("OFFSWITCH_WORKER"), "{log}");
    assert!(!log.contains("secret-"), "{log}");
}

// D91: the store may start later than the process, which logs what it waits for.
#[tokio::test]
async fn a_start_waits_for_the_store_and_says_so() {
    let mut redis = RedisServer::start().await;
    redis.kill();
    let (folder, url) = (tempfile::tempdir().unwrap(), redis.url());
    let launched = Launched::start(folder.path(), |command| {
        command.env("OFFSWITCH_STORE", &url);
    });
    let client = Client::builder().no_proxy().build().unwrap();
    let begin = Instant::now();
    loop {
        let answer = client.get(launched.url("/readyz")).send().await;
        if let Ok(answer) = answer {
            assert_eq!(answer.status(), 503);
            let body: Value = answer.json().await.unwrap();
            if body["waits_for_store"] == true {
                assert_eq!((&body["ready"], &body["code"]), (&json!(false), &json!("starting")));
                break;
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{}", launched.log());
        sleep(Duration::from_millis(50)).await;
    }
    assert!(launched.log().contains("waiting for the store"), "{}", launched.log());
    redis.start_again().await;
    launched.until_ready().await;
}

#[tokio::test]
async fn a_start_fails_when_the_store_does_not_come_in_the_configured_time() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("redis://127.0.0.1:{}", free_port());
    let environment =
        [("OFFSWITCH_STORE", url.as_str()), ("OFFSWITCH_STORE_START_TIMEOUT_SECONDS", "1")];
    let refused = serve(folder.path(), &[], &environment);
    assert!(!refused.status.success());
    assert!(said(&refused).contains("store_start_timeout_seconds"), "{}", said(&refused));
}
