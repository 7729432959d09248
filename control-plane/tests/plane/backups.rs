//! R28: backups of both stores, and what happens when one is restored.

use std::path::Path;
use std::process::Output;

use offswitch::master_key::MasterKey;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::follower::Follower;
use crate::support::in_process::MASTER;
use crate::support::oauth::text;
use crate::support::process::{ControlPlane, Launched, run};
use crate::support::redis_server::RedisServer;

/// An installation: a data folder, and where its store is.
struct Place {
    folder: TempDir,
    redis: Option<RedisServer>,
    master: &'static str,
}

impl Place {
    fn embedded() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), redis: None, master: MASTER }
    }

    async fn redis() -> Self {
        Self { redis: Some(RedisServer::start().await), ..Self::embedded() }
    }

    fn store(&self) -> String {
        self.redis.as_ref().map_or_else(|| "embedded".to_owned(), RedisServer::url)
    }

    async fn start(&self) -> ControlPlane {
        let store = self.store();
        ControlPlane::start_in(self.folder.path(), &environment(&store, self.master)).await
    }

    /// Runs a command with this installation's configuration.
    fn run(&self, arguments: &[&str], more: &[(&str, &str)]) -> Output {
        let (store, folder) = (self.store(), self.folder.path().to_str().unwrap());
        let mut all = environment(&store, self.master).to_vec();
        all.push(("OFFSWITCH_DATA_DIR", folder));
        all.extend(more);
        run(arguments, &all)
    }

    fn back_up(&self, to: &Path) -> Output {
        self.run(&["backup", "--to", to.to_str().unwrap()], &[])
    }

    fn restore(&self, from: &Path, more: &[&str]) -> Output {
        self.run(&[&["restore", "--from", from.to_str().unwrap()][..], more].concat(), &[])
    }

    /// Takes the store's content away, and leaves the rest of the data folder.
    async fn empty_the_store(&self) {
        match &self.redis {
            Some(redis) => redis.command::<()>(&["FLUSHALL"]).await,
            None => std::fs::remove_file(self.folder.path().join("offswitch.redb")).unwrap(),
        }
    }
}

fn environment<'a>(store: &'a str, master: &'a str) -> [(&'a str, &'a str); 3] {
    [("OFFSWITCH_STORE", store), ("OFFSWITCH_ISSUER", ISSUER), ("OFFSWITCH_MASTER_KEY", master)]
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat()
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

fn refused(output: &Output, code: i32, text: &str) {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
    assert!(said(output).contains(text), "{text:?} is not in {}", said(output));
}

async fn revoke(plane: &ControlPlane, sub: &str) -> String {
    let revoked = plane.posted("/v1/revocations", &json!({ "sub": sub })).await;
    text(&revoked, "position").to_owned()
}

fn era(position: &str) -> u64 {
    position.split_once('.').unwrap().0.parse().unwrap()
}

/// A control plane with revocations and sessions, and a verifier that knows them.
struct Scene {
    before: Value,
    after: Value,
    refreshed: Value,
    logged_out: Value,
    late: Value,
}

impl Scene {
    /// What is there when the backup is made: `before` is revoked, `refreshed` and `logged_out` are
    /// active sessions.
    async fn begin(plane: &ControlPlane) -> Self {
        let before = plane.login("before").await;
        revoke(plane, "before").await;
        Self {
            before,
            after: plane.login("after").await,
            refreshed: plane.login("refreshed").await,
            logged_out: plane.login("logged-out").await,
            late: Value::Null,
        }
    }

    /// What happens after the backup: two revocations, a login.
    async fn go_on(&mut self, plane: &ControlPlane) {
        revoke(plane, "after").await;
        revoke(plane, "logged-out").await;
        self.late = plane.login("late").await;
    }

    fn assert_revoked(&self, follower: &Follower) {
        for login in [&self.before, &self.after, &self.logged_out] {
            assert_eq!(follower.judge(text(login, "access_token")), "revoked_user");
        }
        assert_eq!(follower.judge(text(&self.refreshed, "access_token")), "valid");
    }
}

/// The drill of docs/guides/backup.md: the store is lost, and the data folder is not.
async fn drill(place: Place) {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("monday.backup");
    let mut plane = place.start().await;
    let mut scene = Scene::begin(&plane).await;
    plane.kill();
    let taken = succeeded(&place.back_up(&file));
    assert!(taken.contains(ISSUER) && taken.contains("keep the master key"), "{taken}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let bytes = std::fs::read(&file).unwrap();
    let secret = place.master.as_bytes();
    assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    assert!(!bytes.windows(9).any(|window| window == b"refreshed"), "sessions stay sealed");

    let mut plane = place.start().await;
    scene.go_on(&plane).await;
    let last = revoke(&plane, "another").await;
    let mut verifier = Follower::start(&plane, ISSUER).await;
    plane.kill();
    place.empty_the_store().await;
    let restored = succeeded(&place.restore(&file, &[]));
    assert!(restored.contains("a backup cannot know"), "{restored}");

    let plane = place.start().await;
    let mut fresh = Follower::start(&plane, ISSUER).await;
    scene.assert_revoked(&fresh);
    let next = revoke(&plane, "next").await;
    assert!(era(&next) > era(&last), "{next} follows {last}");
    fresh.follow(&plane).await;
    verifier.follow(&plane).await;
    scene.assert_revoked(&verifier);
    let again = plane.refreshed(text(&scene.refreshed, "refresh_token")).await;
    assert_eq!(fresh.judge(text(&again, "access_token")), "valid");
    let ended = plane.refresh(text(&scene.logged_out, "refresh_token")).await;
    assert_eq!(ended.0, 400, "the data folder knows that it ended");
    let lost = plane.refresh(text(&scene.late, "refresh_token")).await;
    assert_eq!(lost.0, 503, "the session is lost, not false: {}", lost.1);
    // The records are there as well, with who and when.
    let listed = plane.got("/v1/revocations").await.to_string();
    assert!(listed.contains("next"), "{listed}");
}

// R28: the embedded store.
#[tokio::test]
async fn a_backup_of_the_embedded_store_brings_everything_back_and_un_revokes_nothing() {
    drill(Place::embedded()).await;
}

// R28: Redis.
#[tokio::test]
async fn a_backup_of_redis_brings_everything_back_and_un_revokes_nothing() {
    drill(Place::redis().await).await;
}

// R28: the data folder is lost, too, so that the control plane knows no more than the backup. A
// verifier does, and keeps it.
#[tokio::test]
async fn a_verifier_keeps_what_a_restored_backup_does_not_know() {
    let (place, files) = (Place::redis().await, tempfile::tempdir().unwrap());
    let file = files.path().join("old.backup");
    let mut plane = place.start().await;
    let mut scene = Scene::begin(&plane).await;
    let mut verifier = Follower::start(&plane, ISSUER).await;
    succeeded(&place.back_up(&file));
    scene.go_on(&plane).await;
    // As a delta, like every verifier that follows.
    verifier.follow(&plane).await;
    let floor = verifier.verifier().feed().since();
    plane.kill();
    let place = Place { folder: tempfile::tempdir().unwrap(), ..place };
    place.empty_the_store().await;
    succeeded(&place.restore(&file, &[]));
    let new = ["store", "create-api-key", "--name", "new", "--scope", "api-keys:write"];
    let created = place.run(&[&new[..], &["--scope", "feed:read"]].concat(), &[]);
    let plane = place.start().await;
    let key = String::from_utf8(created.stdout).unwrap();
    let listing = plane.request(reqwest::Method::GET, "/v1/api-keys").bearer_auth(key.trim());
    let listing = listing.send().await.unwrap().text().await.unwrap();
    assert!(listing.contains("\"admin\""), "the API keys are there: {listing}");
    let since = floor.map(|floor| format!("?since={floor}")).unwrap_or_default();
    let request = plane.request(reqwest::Method::GET, &format!("/v1/feed{since}"));
    let answer = request.bearer_auth(key.trim()).send().await.unwrap();
    assert!(answer.status().is_success());
    verifier.apply(answer.bytes().await.unwrap().to_vec()).unwrap();
    scene.assert_revoked(&verifier);
    assert_ne!(verifier.verifier().feed().since(), floor, "it went on to the new era");
}

// R28: a backup while processes serve, restored into another kind of store.
#[tokio::test]
async fn a_backup_of_a_running_redis_is_consistent_and_moves_to_the_embedded_store() {
    let (place, files) = (Place::redis().await, tempfile::tempdir().unwrap());
    let plane = place.start().await;
    let scene = Scene::begin(&plane).await;
    let file = files.path().join("running.backup");
    let (store, folder, path) = (place.store(), place.folder.path().to_owned(), file.clone());
    let back_up = tokio::task::spawn_blocking(move || {
        let mut all = environment(&store, MASTER).to_vec();
        all.push(("OFFSWITCH_DATA_DIR", folder.to_str().unwrap()));
        run(&["backup", "--to", path.to_str().unwrap()], &all)
    });
    for number in 0..200 {
        revoke(&plane, &format!("under-load-{number}")).await;
    }
    let taken = back_up.await.unwrap();
    succeeded(&taken);
    let other = Place::embedded();
    succeeded(&other.restore(&file, &[]));
    std::fs::copy(place.folder.path().join("admin.key"), other.folder.path().join("admin.key"))
        .unwrap();
    let plane = other.start().await;
    let follower = Follower::start(&plane, ISSUER).await;
    assert_eq!(follower.judge(text(&scene.before, "access_token")), "revoked_user");
    plane.refreshed(text(&scene.refreshed, "refresh_token")).await;
}

// R28: the store was emptied under a running process, which put back what it had published. Only the
// sessions are missing: a merge adds them, and nothing is un-revoked.
#[tokio::test]
async fn a_merge_adds_the_sessions_that_a_healed_store_lacks_and_un_revokes_nothing() {
    let (place, files) = (Place::redis().await, tempfile::tempdir().unwrap());
    let file = files.path().join("merged.backup");
    let plane = place.start().await;
    let mut scene = Scene::begin(&plane).await;
    succeeded(&place.back_up(&file));
    scene.go_on(&plane).await;
    place.empty_the_store().await;
    revoke(&plane, "healed").await;
    refused(&place.restore(&file, &[]), 1, "the store is not empty");
    succeeded(&place.restore(&file, &["--merge"]));
    let follower = Follower::start(&plane, ISSUER).await;
    scene.assert_revoked(&follower);
    plane.refreshed(text(&scene.refreshed, "refresh_token")).await;
    let ended = plane.refresh(text(&scene.logged_out, "refresh_token")).await;
    assert_eq!(ended.0, 400, "the process knows that it ended");
    // Once more changes nothing.
    succeeded(&place.restore(&file, &["--merge"]));
    let follower = Follower::start(&plane, ISSUER).await;
    scene.assert_revoked(&follower);
}

// R28: what cannot be used is refused before anything is written.
#[tokio::test]
async fn a_backup_that_is_damaged_or_of_another_installation_is_refused() {
    let (place, files) = (Place::embedded(), tempfile::tempdir().unwrap());
    let file = files.path().join("good.backup");
    let nothing = place.back_up(&file);
    refused(&nothing, 1, "the store is empty");
    let mut plane = place.start().await;
    Scene::begin(&plane).await;
    refused(&place.back_up(&file), 3, "stop it first");
    assert!(!file.exists());
    plane.kill();
    succeeded(&place.back_up(&file));
    refused(&place.back_up(&file), 1, "never overwritten");

    let other = Place::embedded();
    let good = std::fs::read(&file).unwrap();
    let bad = files.path().join("bad.backup");
    let check = |bytes: &[u8], code, text: &str| {
        std::fs::write(&bad, bytes).unwrap();
        refused(&other.restore(&bad, &[]), code, text);
    };
    check(b"", 1, "not a backup");
    check(b"something else", 1, "not a backup");
    check(&good[..good.len() - 1], 1, "ends too early");
    check(&good[..good.len() / 2], 1, "ends too early");
    check(&[&good[..], b"x"].concat(), 1, "was changed or is damaged");
    let mut later = good.clone();
    later[17] = 3;
    check(&later, 1, "has format 3, expected 1 to 2");
    let mut changed = good.clone();
    changed[good.len() / 2] ^= 1;
    check(&changed, 1, "was changed or is damaged");

    let another_key = Place { master: OTHER_MASTER, ..Place::embedded() };
    refused(&another_key.restore(&file, &[]), 1, "another master key");
    let issuer = [("OFFSWITCH_ISSUER", "https://other.example")];
    let from = ["restore", "--from", file.to_str().unwrap()];
    refused(&other.run(&from, &issuer), 1, "https://other.example");
    refused(&place.restore(&file, &[]), 1, "the store is not empty");
    // After all of that, the store is still empty.
    succeeded(&other.restore(&file, &[]));
}

// R28: a backup of the format before this one, which the last release has made: what is written is the same.
#[tokio::test]
async fn a_backup_of_the_format_before_is_restored_and_no_earlier_or_later_one() {
    let (place, files) = (Place::embedded(), tempfile::tempdir().unwrap());
    let file = files.path().join("now.backup");
    let mut plane = place.start().await;
    let mut scene = Scene::begin(&plane).await;
    scene.go_on(&plane).await;
    plane.kill();
    succeeded(&place.back_up(&file));
    let made = std::fs::read(&file).unwrap();
    assert_eq!(
        made[17], 2,
        "if this is another one, the backups of the last release are of this one"
    );
    let before = files.path().join("before.backup");
    for (format, refusal) in [
        (0, Some("has format 0, expected 1 to 2")),
        (3, Some("has format 3, expected 1 to 2")),
        (1, None),
    ] {
        std::fs::write(&before, of_format(&made, format)).unwrap();
        let other = Place::embedded();
        match refusal {
            Some(text) => refused(&other.restore(&before, &[]), 1, text),
            None => {
                succeeded(&other.restore(&before, &[]));
                let key = other.folder.path().join("admin.key");
                std::fs::copy(place.folder.path().join("admin.key"), key).unwrap();
                let plane = other.start().await;
                scene.assert_revoked(&Follower::start(&plane, ISSUER).await);
            }
        }
    }
    // Without new proofs the number is a byte that was changed.
    let mut changed = made.clone();
    changed[17] = 1;
    std::fs::write(&before, changed).unwrap();
    refused(&Place::embedded().restore(&before, &[]), 1, "was changed or is damaged");
}

/// The same backup with another format in its prelude, and the proofs for that.
fn of_format(made: &[u8], format: u8) -> Vec<u8> {
    const CONTEXT: &str = "offswitch 2026-11 backup v1";
    let master = MasterKey::parse(MASTER).unwrap();
    let mut again = made[..26].to_vec();
    again[17] = format;
    let (mut proof, mut rest) = (*master.mac(CONTEXT, &again).as_bytes(), &made[26..]);
    while let Some((length, _)) = rest.split_first_chunk::<4>() {
        let (entry, after) = rest.split_at(4 + u32::from_le_bytes(*length) as usize);
        proof = *master.mac(CONTEXT, &[&proof[..], entry].concat()).as_bytes();
        again.extend_from_slice(entry);
        again.extend_from_slice(&proof);
        rest = &after[32..];
    }
    again
}

// R28: a restore that was interrupted leaves a store in which revocations may be missing.
#[tokio::test]
async fn a_store_that_was_restored_in_part_is_not_served() {
    let (mut place, files) = (Place::redis().await, tempfile::tempdir().unwrap());
    let file = files.path().join("half.backup");
    let mut plane = place.start().await;
    let scene = Scene::begin(&plane).await;
    plane.kill();
    succeeded(&place.back_up(&file));
    place.empty_the_store().await;
    // Only the backup knows the revocation: there is no published state.
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (place.folder.path().join("admin.key"), folder.path().join("admin.key"));
    std::fs::copy(from, to).unwrap();
    place.folder = folder;
    let redis = place.redis.as_ref().unwrap();
    redis.command::<()>(&["SET", "{offswitch}:doc:restoring", "a restore began"]).await;
    let (store, master) = (place.store(), place.master);
    let launched = Launched::start(place.folder.path(), |command| {
        command.envs(environment(&store, master));
    });
    assert!(launched.until_ended().await.contains("did not finish"));
    refused(&place.run(&["serve", "--check"], &[]), 1, "did not finish");
    refused(&place.restore(&file, &[]), 1, "did not finish");
    succeeded(&place.restore(&file, &["--merge"]));
    let plane = place.start().await;
    let follower = Follower::start(&plane, ISSUER).await;
    assert_eq!(follower.judge(text(&scene.before, "access_token")), "revoked_user");
    plane.refreshed(text(&scene.refreshed, "refresh_token")).await;
}

// R28: the lines of the guide, as an operator copies them.
#[tokio::test]
async fn the_drill_of_the_guide_restores_a_backup_into_a_scratch_store() {
    let (place, files) = (Place::embedded(), tempfile::tempdir().unwrap());
    let mut plane = place.start().await;
    Scene::begin(&plane).await;
    plane.kill();
    succeeded(&place.back_up(&files.path().join("offswitch-monday.backup")));
    std::fs::write(files.path().join("master.key"), place.master).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(files.path().join("master.key"), mode).unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_offswitch"));
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guides/backup.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let drill = guide.split("```sh\nset -eu\n").nth(1).unwrap().split("```").next().unwrap();
    let paths =
        format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = std::process::Command::new("sh");
    shell.args(["-euc", drill]).current_dir(files.path()).env_clear().env("PATH", paths);
    let output = shell.env("OFFSWITCH_LISTEN", "127.0.0.1:0").output().unwrap();
    let said = succeeded(&output);
    assert!(said.contains("it opens the store") && said.contains("serve would start"), "{said}");
    assert!(!files.path().join("drill").exists());
}

const ISSUER: &str = "https://auth.example";
const OTHER_MASTER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh4";
