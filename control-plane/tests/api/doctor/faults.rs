//! Faults that operators meet, each planted for real: `offswitch doctor` finds it by the name of its check, and ends
//! with a code that is not 0. O06.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Instant;

use offswitch::server::tls::Tls;

use super::*;
use crate::support::certificates::Authority;
use crate::support::process::Launched;
use crate::support::sentinels::{SERVICE, Sentinel};
use crate::support::small_disk::SmallDisk;

/// What the doctor must find.
#[derive(Debug, PartialEq, Eq)]
struct Expected {
    check: &'static str,
    subject: &'static str,
    result: &'static str,
    /// What its detail contains.
    part: &'static str,
    /// The exit code; warnings fail, since the command is called with `--strict`.
    code: i32,
}

/// A table of faults: for each a test that plants it, with a function of the same name.
macro_rules! faults {
    ($($fault:ident: $check:literal $subject:literal $result:literal $part:literal, $code:literal;)*) => {
        $(
            // O06
            #[tokio::test]
            async fn $fault() {
                let [check, subject, result, part] = [$check, $subject, $result, $part];
                planted::$fault(&Expected { check, subject, result, part, code: $code }).await;
            }
        )*
        const FAULTS: &[(&str, &str, &str)] = &[$(($check, $result, $part),)*];
    };
}

faults! {
    // Reaching it.
    nothing_listens: "control_plane" "" "failed" "correct --url", 3;
    another_server_answers: "control_plane" "" "failed" "is not a control plane", 3;
    an_expired_certificate: "control_plane" "" "failed" "xpired", 3;
    a_certificate_of_an_unknown_authority: "control_plane" "" "failed" "UnknownIssuer", 3;
    a_certificate_for_another_name: "control_plane" "" "failed" "not valid for name", 3;
    a_clock_that_is_behind: "clock" "" "failed" "behind the clock of this machine", 1;
    a_certificate_that_expires_soon: "store" "" "warning" "certificate_expires", 1;
    // The API key.
    an_unknown_api_key: "api_key" "" "failed" "unknown_api_key", 1;
    an_expired_api_key: "api_key" "" "failed" "expired_api_key", 1;
    an_api_key_that_expires_soon: "api_key" "" "warning" "expires in", 1;
    an_api_key_without_a_scope: "api_key" "" "failed" "lacks feed:read", 1;
    // The store.
    a_store_that_is_down: "control_plane" "" "failed" "its store does not answer", 1;
    a_store_that_evicts: "store" "" "failed" "store_evicts", 1;
    a_store_without_a_file: "store" "" "failed" "store_keeps_no_file", 1;
    a_store_that_skips_flushes: "store" "" "warning" "store_skips_flushes", 1;
    a_store_that_is_full: "store" "" "warning" "store_full", 1;
    a_store_that_was_restarted: "store" "" "warning" "store_restarted", 1;
    replicas_that_protect_nothing: "store" "" "warning" "store_may_lose_writes", 1;
    replicas_that_are_missing: "store" "" "warning" "store_lacks_replicas", 1;
    a_user_that_may_leave_no_notes: "store" "" "warning" "store_forbids_notes", 1;
    a_single_sentinel: "store" "" "warning" "store_few_sentinels", 1;
    a_document_that_was_changed: "store" "" "warning" "document_altered", 1;
    // The machine of the control plane.
    a_master_key_that_others_can_read: "store" "" "warning" "secret_exposed", 1;
    a_data_folder_without_room: "store" "" "warning" "memory_not_written", 1;
    an_audit_log_that_cannot_be_written: "store" "" "warning" "audit_not_written", 1;
    an_audit_log_that_was_changed: "store" "" "warning" "audit_damaged", 1;
    // The feed.
    a_follower_that_is_ahead_of_the_log: "store" "" "warning" "follower_ahead", 1;
    a_feed_key_that_was_dropped: "feed" "" "failed" "snapshot_unknown_key", 1;
    a_publisher_that_is_cut_off: "feed" "" "failed" "not valid any more", 1;
    // Issuers, receivers and relying parties.
    a_key_set_that_is_not_served: "key_set" "idp" "failed" "500", 1;
    a_discovery_document_of_another_issuer: "discovery" "idp" "failed" "https://other.example", 1;
    an_issuer_that_is_down: "discovery" "idp" "failed" "refused", 1;
    a_receiver_that_is_not_reached: "receiver_address" "idp/backchannel-logout" "failed" "the provider must reach it", 1;
    a_receiver_that_refuses_what_it_gets: "receiver_events" "idp/backchannel-logout" "warning" "malformed", 1;
    a_relying_party_that_is_down: "relying_party" "shop" "failed" "no_answer", 1;
    // A token, and the edge.
    a_token_that_has_expired: "token" "" "failed" "expired", 1;
    a_token_that_outlives_its_revocation: "token_horizon" "" "failed" "horizon_seconds", 1;
    an_edge_that_refuses_every_token: "edge_before" "" "failed" "it refuses the token already", 1;
}

// O06: twenty at least, and no two are the same.
#[test]
fn each_planted_fault_is_another_one() {
    let distinct: std::collections::BTreeSet<_> = FAULTS.iter().collect();
    assert!(distinct.len() == FAULTS.len() && FAULTS.len() >= 20, "{}", FAULTS.len());
}

impl Expected {
    fn is_in(&self, report: &Report) -> bool {
        report.checks.iter().any(|one| {
            one["check"] == self.check
                && one["subject"].as_str().unwrap_or_default() == self.subject
                && one["result"] == self.result
                && one["detail"].as_str().unwrap().contains(self.part)
        })
    }

    fn must_be_in(&self, report: &Report) {
        assert!(self.is_in(report), "{self:?}: {}", report.text);
        assert_eq!(report.code, Some(self.code), "{}", report.text);
    }

    /// Asks until the control plane has noticed, which may take one of its rounds.
    async fn must_be_noticed(&self, plane: &ControlPlane) {
        self.must_be_reported(async || examined(plane, &["--strict"]).await).await;
    }

    async fn must_be_reported(&self, examine: impl AsyncFn() -> Report) {
        let begin = Instant::now();
        loop {
            let report = examine().await;
            if self.is_in(&report) {
                return self.must_be_in(&report);
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "{self:?}: {}", report.text);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// A control plane on a Redis server, with these further variables.
async fn on_redis(more: &[(&str, &str)]) -> (ControlPlane, RedisServer, tempfile::TempDir) {
    let redis = RedisServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let store = redis.url();
    let environment = [&[("OFFSWITCH_STORE", store.as_str())], more].concat();
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    (plane, redis, folder)
}

async fn configured(redis: &RedisServer, name: &str, value: &str) {
    redis.command::<()>(&["CONFIG", "SET", name, value]).await;
}

/// A server with a certificate, and an authority that the doctor's machine trusts: its address, and the variables.
async fn https(
    folder: &std::path::Path,
    certificate: impl FnOnce(&Authority<'_>) -> crate::support::certificates::Files,
) -> (LocalServer, String, String) {
    let authority = Authority::new(folder, "the authority");
    let files = certificate(&authority);
    let tls = Tls::read(&files.certificate, &files.key).unwrap();
    let server = LocalServer::serve_https(Limits::default(), Router::new(), tls).await;
    let (_, port) =
        server.url("").rsplit_once(':').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let roots = authority.file("roots.pem").to_str().unwrap().to_owned();
    (server, format!("https://localhost:{port}"), roots)
}

/// The environment of a process whose clock is wrong. Its timers run as always.
fn wrong_clock(offset: &str) -> Vec<(String, String)> {
    let printed = Command::new("faketime").args(["-f", "+0d", "env"]).output();
    let printed = printed.expect("this test needs faketime: apt-get install faketime");
    let printed = String::from_utf8(printed.stdout).unwrap();
    let library = printed.lines().find_map(|line| line.strip_prefix("LD_PRELOAD=")).unwrap();
    let pairs = [
        ("LD_PRELOAD", library),
        ("FAKETIME", offset),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

async fn made_key(plane: &ControlPlane, expires_at: u64, scopes: &[&str]) -> String {
    let body = json!({ "name": "doctor", "scopes": scopes, "expires_at": expires_at });
    plane.posted("/v1/api-keys", &body).await["key"].as_str().unwrap().to_owned()
}

/// How each fault is planted.
mod planted {
    use super::*;

    pub(super) async fn nothing_listens(expected: &Expected) {
        let url = format!("http://127.0.0.1:{}", free_port());
        expected.must_be_in(&doctor(&url, "osk_x", &["--strict"]).await);
    }

    pub(super) async fn another_server_answers(expected: &Expected) {
        let provider = Provider::start().await;
        expected.must_be_in(&doctor(provider.issuer(), "osk_x", &["--strict"]).await);
    }

    pub(super) async fn an_expired_certificate(expected: &Expected) {
        let folder = tempfile::tempdir().unwrap();
        let (_server, url, roots) =
            https(folder.path(), |authority| authority.expired_certificate("localhost")).await;
        expected.must_be_in(&doctor_on(&url, "osk_x", &[], &[("SSL_CERT_FILE", &roots)]).await);
    }

    pub(super) async fn a_certificate_of_an_unknown_authority(expected: &Expected) {
        let folder = tempfile::tempdir().unwrap();
        let (_server, url, _) =
            https(folder.path(), |authority| authority.certificate("localhost")).await;
        let other = tempfile::tempdir().unwrap();
        let other = Authority::new(other.path(), "another").file("roots.pem").display().to_string();
        expected.must_be_in(&doctor_on(&url, "osk_x", &[], &[("SSL_CERT_FILE", &other)]).await);
    }

    pub(super) async fn a_certificate_for_another_name(expected: &Expected) {
        let folder = tempfile::tempdir().unwrap();
        let (_server, url, roots) =
            https(folder.path(), |authority| authority.certificate("other.example")).await;
        expected.must_be_in(&doctor_on(&url, "osk_x", &[], &[("SSL_CERT_FILE", &roots)]).await);
    }

    pub(super) async fn a_certificate_that_expires_soon(expected: &Expected) {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "the authority");
        let files = authority.certificate_until("localhost", now() + 2 * 86_400);
        let roots = authority.file("roots.pem").display().to_string();
        let plane = Launched::start(folder.path(), |command| {
            command
                .env("OFFSWITCH_TLS_CERTIFICATE_FILE", &files.certificate)
                .env("OFFSWITCH_TLS_KEY_FILE", &files.key);
        });
        let url = plane.url("").replace("http://127.0.0.1", "https://localhost");
        let key = folder.path().join("admin.key");
        let begin = Instant::now();
        while !key.exists() {
            assert!(begin.elapsed() < Duration::from_secs(30), "{}", plane.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let key = std::fs::read_to_string(key).unwrap();
        let machine = [("SSL_CERT_FILE", roots.as_str())];
        expected
            .must_be_reported(async || doctor_on(&url, &key, &["--strict"], &machine).await)
            .await;
    }

    pub(super) async fn a_clock_that_is_behind(expected: &Expected) {
        let folder = tempfile::tempdir().unwrap();
        let clock = wrong_clock("-300s");
        let clock: Vec<_> =
            clock.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let plane = ControlPlane::start_in(folder.path(), &clock).await;
        expected.must_be_in(&examined(&plane, &["--strict"]).await);
    }

    pub(super) async fn an_unknown_api_key(expected: &Expected) {
        let plane = ControlPlane::start().await;
        expected.must_be_in(&doctor(&url(&plane), "osk_wrong", &["--strict"]).await);
    }

    pub(super) async fn an_expired_api_key(expected: &Expected) {
        let plane = ControlPlane::start().await;
        let key = made_key(&plane, now() + 3, &["feed:read", "keys:read"]).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        expected.must_be_in(&doctor(&url(&plane), &key, &["--strict"]).await);
    }

    pub(super) async fn an_api_key_that_expires_soon(expected: &Expected) {
        let plane = ControlPlane::start().await;
        let key = made_key(&plane, now() + 3600, &["feed:read", "keys:read"]).await;
        expected.must_be_in(&doctor(&url(&plane), &key, &["--strict"]).await);
        // A warning is no failure otherwise.
        assert_eq!(doctor(&url(&plane), &key, &[]).await.code, Some(0));
    }

    pub(super) async fn an_api_key_without_a_scope(expected: &Expected) {
        let plane = ControlPlane::start().await;
        let key = made_key(&plane, now() + 90 * 86_400, &["keys:read"]).await;
        expected.must_be_in(&doctor(&url(&plane), &key, &["--strict"]).await);
    }

    pub(super) async fn a_store_that_is_down(expected: &Expected) {
        let (plane, mut redis, _folder) = on_redis(&[]).await;
        redis.kill();
        expected.must_be_noticed(&plane).await;
    }

    pub(super) async fn a_store_that_evicts(expected: &Expected) {
        let (plane, redis, _folder) = on_redis(&[]).await;
        configured(&redis, "maxmemory-policy", "allkeys-lru").await;
        expected.must_be_noticed(&plane).await;
    }

    pub(super) async fn a_store_without_a_file(expected: &Expected) {
        let (plane, redis, _folder) = on_redis(&[]).await;
        configured(&redis, "appendonly", "no").await;
        expected.must_be_noticed(&plane).await;
    }

    pub(super) async fn a_store_that_skips_flushes(expected: &Expected) {
        let (plane, redis, _folder) = on_redis(&[]).await;
        configured(&redis, "no-appendfsync-on-rewrite", "yes").await;
        expected.must_be_noticed(&plane).await;
    }

    pub(super) async fn a_store_that_is_full(expected: &Expected) {
        let (plane, redis, _folder) = on_redis(&[]).await;
        configured(&redis, "maxmemory", "1mb").await;
        expected.must_be_noticed(&plane).await;
    }

    pub(super) async fn a_store_that_was_restarted(expected: &Expected) {
        let (plane, mut redis, _folder) = on_redis(&[]).await;
        redis.kill();
        redis.start_again().await;
        expected.must_be_noticed(&plane).await;
    }

    pub(super) async fn replicas_that_protect_nothing(expected: &Expected) {
        let (plane, redis, _folder) = on_redis(&[]).await;
        let replica = RedisServer::start().await;
        replica.replicate(redis.port()).await;
        expected.must_be_noticed(&plane).await;
    }

    pub(super) async fn replicas_that_are_missing(expected: &Expected) {
        let (redis, mut replica) = (RedisServer::start().await, RedisServer::start().await);
        replica.replicate(redis.port()).await;
        let (folder, store) = (tempfile::tempdir().unwrap(), redis.url());
        let environment =
            [("OFFSWITCH_STORE", store.as_str()), ("OFFSWITCH_REDIS_WAIT_REPLICAS", "1")];
        let plane = ControlPlane::start_in(folder.path(), &environment).await;
        replica.kill();
        expected.must_be_noticed(&plane).await;
    }

    pub(super) async fn a_user_that_may_leave_no_notes(expected: &Expected) {
        let (plane, redis, _folder) = on_redis(&[]).await;
        redis.command::<()>(&["ACL", "SETUSER", "default", "-expire"]).await;
        expected.must_be_noticed(&plane).await;
        let ready = plane.got("/readyz").await;
        assert!(ready.to_string().contains("may not call EXPIRE on {offswitch}:notes"), "{ready}");
    }

    pub(super) async fn a_single_sentinel(expected: &Expected) {
        let redis = RedisServer::start().await;
        let sentinel = Sentinel::start(redis.port(), 1, "").await;
        let store = format!("redis+sentinel://127.0.0.1:{}/{SERVICE}", sentinel.port());
        let folder = tempfile::tempdir().unwrap();
        let plane = ControlPlane::start_in(folder.path(), &[("OFFSWITCH_STORE", &store)]).await;
        expected.must_be_noticed(&plane).await;
    }

    pub(super) async fn a_document_that_was_changed(expected: &Expected) {
        let (plane, redis, _folder) = on_redis(&[]).await;
        redis.command::<()>(&["SET", "{offswitch}:doc:api-keys", "junk"]).await;
        expected.must_be_noticed(&plane).await;
    }

    pub(super) async fn a_master_key_that_others_can_read(expected: &Expected) {
        let plane = ControlPlane::start().await;
        let key = plane.data_dir().join("master.key");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        expected.must_be_noticed(&plane).await;
    }

    pub(super) async fn a_data_folder_without_room(expected: &Expected) {
        without_room(expected).await;
    }

    pub(super) async fn an_audit_log_that_cannot_be_written(expected: &Expected) {
        without_room(expected).await;
    }

    pub(super) async fn an_audit_log_that_was_changed(expected: &Expected) {
        let folder = tempfile::tempdir().unwrap();
        let mut plane = ControlPlane::start_in(folder.path(), &[]).await;
        plane.posted("/v1/revocations", &json!({ "sub": "alice" })).await;
        plane.ask_to_stop();
        plane.until_stopped().await;
        let file = folder.path().join("audit/serve.000001.ndjson");
        let text = std::fs::read_to_string(&file).unwrap();
        let (before, last) = text.trim_end().rsplit_once('\n').unwrap();
        let last = last.replacen("\"at_ms\":1", "\"at_ms\":2", 1);
        std::fs::write(&file, format!("{before}\n{last}\n")).unwrap();
        let plane = ControlPlane::start_in(folder.path(), &[]).await;
        expected.must_be_noticed(&plane).await;
    }

    pub(super) async fn a_follower_that_is_ahead_of_the_log(expected: &Expected) {
        let plane = ControlPlane::start().await;
        let position = plane.got("/readyz").await["position"].as_str().unwrap().to_owned();
        let (era, seq) = position.split_once('.').unwrap();
        let ahead = seq.parse::<u64>().unwrap() + 1_000;
        plane.admin(Method::GET, &format!("/v1/feed?since={era}.{ahead}")).send().await.unwrap();
        expected.must_be_noticed(&plane).await;
    }

    pub(super) async fn a_feed_key_that_was_dropped(expected: &Expected) {
        let plane = ControlPlane::start().await;
        let keys = plane.got("/v1/keys").await;
        let (id, key) =
            (&keys["feed_keys"][0]["id"], keys["feed_public_keys"][0].as_str().unwrap());
        plane.posted("/v1/feed-keys/rotate", &json!({})).await;
        plane.posted(&format!("/v1/feed-keys/{}/drop", id.as_str().unwrap()), &json!({})).await;
        expected.must_be_in(&examined(&plane, &["--strict", "--feed-key", key]).await);
    }

    pub(super) async fn a_publisher_that_is_cut_off(expected: &Expected) {
        let (plane, redis, _folder) =
            on_redis(&[("OFFSWITCH_SNAPSHOT_VALIDITY_SECONDS", "5")]).await;
        redis.pause();
        expected.must_be_noticed(&plane).await;
    }

    pub(super) async fn a_key_set_that_is_not_served(expected: &Expected) {
        let (plane, provider) = started().await;
        provider.answer(Keys::Broken);
        expected.must_be_in(&examined(&plane, &["--strict"]).await);
    }

    pub(super) async fn a_discovery_document_of_another_issuer(expected: &Expected) {
        let (plane, provider) = started().await;
        provider.call_itself("https://other.example");
        expected.must_be_in(&examined(&plane, &["--strict"]).await);
    }

    pub(super) async fn an_issuer_that_is_down(expected: &Expected) {
        let (plane, provider) = started().await;
        drop(provider);
        expected.must_be_noticed(&plane).await;
    }

    pub(super) async fn a_receiver_that_is_not_reached(expected: &Expected) {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = format!("http://127.0.0.1:{}", free_port());
        let plane = ControlPlane::start_in(folder.path(), &[("OFFSWITCH_ISSUER", &nowhere)]).await;
        let provider = Provider::start().await;
        let receivers = json!({ "receivers": { "backchannel_logout": { "client_ids": ["app"] } } });
        register(&plane, &provider, &receivers).await;
        expected.must_be_in(&examined(&plane, &["--strict"]).await);
    }

    pub(super) async fn a_receiver_that_refuses_what_it_gets(expected: &Expected) {
        let (plane, _provider) = started().await;
        let path = "/v1/receivers/idp/backchannel-logout";
        plane.form(path, &[("logout_token", "junk")]).await;
        expected.must_be_in(&examined(&plane, &["--strict"]).await);
    }

    pub(super) async fn a_relying_party_that_is_down(expected: &Expected) {
        let plane = ControlPlane::start().await;
        let nowhere = format!("http://127.0.0.1:{}/logout", free_port());
        let body = json!({ "audience": "shop", "backchannel_logout_uri": nowhere });
        let put = plane.admin(Method::PUT, "/v1/relying-parties/shop").json(&body).send().await;
        assert!(put.unwrap().status().is_success());
        let session = plane.posted("/v1/sessions", &json!({ "sub": "alice" })).await;
        let body = json!({ "session_id": session["session_id"] });
        plane.posted("/v1/revocations", &body).await;
        expected.must_be_noticed(&plane).await;
    }

    pub(super) async fn a_token_that_has_expired(expected: &Expected) {
        let (plane, provider) = started().await;
        let mut all = claims(&provider);
        (all["iat"], all["exp"]) = (json!(now() - 900), json!(now() - 600));
        let (_kept, token) = file(&signed(&provider, &all));
        expected.must_be_in(&examined(&plane, &["--strict", "--token-file", &token]).await);
    }

    pub(super) async fn a_token_that_outlives_its_revocation(expected: &Expected) {
        let (plane, provider) = started().await;
        let mut all = claims(&provider);
        all["exp"] = json!(now() + 3700);
        let (_kept, token) = file(&signed(&provider, &all));
        expected.must_be_in(&examined(&plane, &["--strict", "--token-file", &token]).await);
    }

    pub(super) async fn an_edge_that_refuses_every_token(expected: &Expected) {
        let (plane, provider) = started().await;
        let (_kept, token) = file(&signed(&provider, &claims(&provider)));
        let edge = edge(0).await;
        let more = ["--strict", "--token-file", &token, "--sacrifice", "--edge", &edge];
        expected.must_be_in(&examined(&plane, &more).await);
    }

    /// The disk of the data folder is full. Only root can mount one that is small.
    async fn without_room(expected: &Expected) {
        let Some(disk) = SmallDisk::mount(2 << 20) else { return };
        let redis = RedisServer::start().await;
        let store = redis.url();
        let plane = ControlPlane::start_in(disk.path(), &[("OFFSWITCH_STORE", &store)]).await;
        disk.fill();
        // More than what is left in the last pages of the files.
        for number in 0..8 {
            let entry = |one| json!({ "sub": format!("user-{number}-{one}") });
            let entries: Vec<Value> = (0..500).map(entry).collect();
            plane.post("/v1/revocations", &json!({ "revocations": entries })).await;
        }
        expected.must_be_noticed(&plane).await;
    }
}
