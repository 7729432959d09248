//! `offswitch snapshot`, on made-up snapshots and on real ones.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use offswitch_snapshot::{
    ChainHash, Content, Cutoff, DeadKey, Floor, IssuerRules, Position, Salt, SnapshotSigner,
};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::process::ControlPlane;

fn snapshot(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_offswitch")).arg("snapshot").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A base in `folder`, and the key that signed it.
fn simulated(folder: &Path, tokens: &str, users: &str) -> (String, String) {
    let file = folder.join("base").to_str().unwrap().to_owned();
    let made = snapshot(&["simulate", "--tokens", tokens, "--users", users, "--out", &file]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let output = text(&made.stdout);
    let key = output.lines().find_map(|line| line.strip_prefix("--key ")).unwrap();
    (file, key.to_owned())
}

/// Runs the command for a program: the JSON that it prints, of an error to the standard error, and the
/// exit code.
fn as_json(arguments: &[&str]) -> (Value, Option<i32>) {
    let answer = snapshot(&[&["inspect", "--json"][..], arguments].concat());
    let code = answer.status.code();
    let (printed, other) = match code {
        Some(0 | 3) => (answer.stdout, answer.stderr),
        _ => (answer.stderr, answer.stdout),
    };
    assert!(other.is_empty(), "{}", text(&other));
    (serde_json::from_slice(&printed).unwrap(), code)
}

fn file(folder: &TempDir, name: &str, content: &[u8]) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_simulated_base_is_verified_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let (file, key) = simulated(folder.path(), "5000", "70");
    let arguments = ["--jti", "token-17", "--jti", "token-5000", "--sub", "user-3", "--sub", "x"];
    let output = snapshot(&[&["inspect", &file, "--key", &key][..], &arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let output = text(&output.stdout);
    assert!(output.starts_with("signature: verified, by key "), "{output}");
    for line in [
        "a base of \"https://simulated.invalid\"",
        "positions: after 1.0 up to 1.5070",
        "token \"token-17\": denied",
        "token \"token-5000\": not denied",
        "user \"x\": not named",
    ] {
        assert!(output.lines().any(|found| found == line), "{line} in {output}");
    }
    assert!(output.contains("denied tokens and sessions: 5000 in "), "{output}");
    assert!(output.contains("user \"user-3\": revoked below version 4"), "{output}");
}

// O07
#[test]
fn a_program_learns_in_json_what_was_simulated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("base").to_str().unwrap().to_owned();
    let made = ["simulate", "--json", "--tokens", "10", "--users", "2", "--out", &file];
    let made: Value = serde_json::from_slice(&snapshot(&made).stdout).unwrap();
    assert_eq!((&made["entries"], &made["file"]), (&json!(12), &json!(file)));
    assert_eq!(made["bytes"], std::fs::metadata(&file).unwrap().len());
    let key = made["public_keys"][0].as_str().unwrap();
    assert_eq!(as_json(&[&file, "--key", key]).1, Some(0));
    let nowhere = ["simulate", "--json", "--tokens", "1", "--users", "1", "--out", "/proc/none"];
    let failed = snapshot(&nowhere);
    let said: Value = serde_json::from_slice(&failed.stderr).unwrap();
    assert_eq!((&said["code"], failed.status.code()), (&json!("command_failed"), Some(1)));
}

// A user has only the file: the command explains it, but the first line and the exit code say that
// it is not verified, so that a script without the key does not continue.
#[test]
fn without_a_key_a_snapshot_is_explained_as_not_verified() {
    let folder = tempfile::tempdir().unwrap();
    let (base, key) = simulated(folder.path(), "100", "0");
    let output = snapshot(&["inspect", &base, "--jti", "token-7"]);
    assert_eq!(output.status.code(), Some(3));
    let output = text(&output.stdout);
    assert!(output.starts_with("signature: NOT VERIFIED"), "{output}");
    assert!(output.ends_with("token \"token-7\": denied\n"), "{output}");
    let (output, code) = as_json(&[&base]);
    assert_eq!((&output["signature"], code), (&json!("not_verified"), Some(3)));
    let (verified, _) = as_json(&[&base, "--key", &key]);
    assert_eq!(
        (&output["verified_by"], &output["also_signed_by"]),
        (&json!([]), &verified["verified_by"])
    );
    // Nothing else in the output shows that a snapshot is forged.
    let mut bytes = std::fs::read(&base).unwrap();
    bytes[20] ^= 1;
    let forged = file(&folder, "forged", &bytes);
    assert_eq!(as_json(&[&forged]).1, Some(3));
    let (output, code) = as_json(&[&forged, "--key", &key]);
    assert_eq!((&output["code"], code), (&json!("snapshot_bad_signature"), Some(1)));
}

// The JSON has every field; a signature by a key that was not given is no error.
#[test]
fn every_field_is_in_the_json() {
    let folder = tempfile::tempdir().unwrap();
    let keys = [1, 2].map(|byte| ed25519_dalek::SigningKey::from_bytes(&[byte; 32]));
    let signer = SnapshotSigner::new("https://feed.example", keys.to_vec());
    let at = |seq, byte| Floor { position: Position { era: 5, seq }, chain: ChainHash([byte; 32]) };
    let dead = DeadKey { issuer: "https://idp.example".to_owned(), kid: "k\u{1b}[2J\n".to_owned() };
    let floor = Cutoff { minimum_version: 8, not_before: 1_700_000_000 };
    let delta = signer.sign(&Content {
        from: at(7, 0xaa),
        to: at(9, 0xbb),
        issued_at: 1_764_342_000,
        valid_until: 1_764_342_060,
        salt: Salt([1; 16]),
        issuers: vec![IssuerRules {
            epoch: 951_782_400,
            ..IssuerRules::new("https://idp.example")
        }],
        dead_keys: vec![dead],
        denied: &[3, 4],
        cutoffs: &[(1, floor)],
    });
    let delta = file(&folder, "delta", &delta);
    use base64ct::{Base64UrlUnpadded, Encoding};
    let [first, second] =
        [0, 1].map(|one| Base64UrlUnpadded::encode_string(signer.feed_keys()[one].public_key()));
    let (output, code) = as_json(&[&delta, "--key", &second]);
    assert_eq!(code, Some(0));
    let ids = |output: &Value, name: &str| output[name].as_array().unwrap().len();
    assert_eq!((ids(&output, "verified_by"), ids(&output, "also_signed_by")), (1, 1));
    let (both, _) = as_json(&[&delta, "--key", &first, "--key", &second]);
    assert_eq!((ids(&both, "verified_by"), ids(&both, "also_signed_by")), (2, 0));
    for (name, value) in [
        ("kind", json!("delta")),
        ("feed", json!("https://feed.example")),
        ("from", json!("5.7")),
        ("to", json!("5.9")),
        ("chain_from", json!("aa".repeat(32))),
        ("chain_to", json!("bb".repeat(32))),
        ("issued_at", json!(1_764_342_000)),
        ("issued_at_utc", json!("2025-11-28T15:00:00Z")),
        ("valid_until", json!(1_764_342_060)),
        ("valid_until_utc", json!("2025-11-28T15:01:00Z")),
        ("fresh", json!(false)),
        ("salt", json!("01".repeat(16))),
        (
            "issuers",
            json!([{ "issuer": "https://idp.example", "epoch": 951_782_400, "horizons": [], "selectors": [] }]),
        ),
        ("dead_keys", json!([{ "issuer": "https://idp.example", "kid": "k\u{1b}[2J\n" }])),
        ("denied", json!({ "count": 2, "size_bytes": 24, "bits_per_entry": 96.0 })),
        ("asked", json!([])),
        ("envelope_bytes", json!(150)),
    ] {
        assert_eq!(output[name], value, "{name}");
    }
    assert_eq!(output["cutoffs"]["count"], 1);
    assert!(output["age_seconds"].as_i64().unwrap() > 0);
    let parts = ["envelope_bytes", "header_bytes"].map(|name| output[name].as_u64().unwrap());
    let collections =
        ["denied", "cutoffs"].map(|name| output[name]["size_bytes"].as_u64().unwrap());
    let sum = parts.iter().chain(&collections).sum::<u64>();
    assert_eq!(output["size_bytes"], sum);
    // In the text for people, control characters in an id are escaped.
    let output = text(&snapshot(&["inspect", &delta, "--key", &first]).stdout);
    assert!(output.contains("dead key: \"k\\u{1b}[2J\\n\" of"), "{output}");
    assert!(output.contains("stale: verifiers cannot decide with it"), "{output}");
}

// Files that an operator may pass by mistake: each has its code, and none is a success.
#[test]
fn a_file_that_is_no_snapshot_of_the_feed_is_refused_by_code() {
    let folder = tempfile::tempdir().unwrap();
    let (base, _) = simulated(folder.path(), "100", "0");
    let foreign = std::fs::read(&base).unwrap();
    let (base, key) = simulated(folder.path(), "100", "0");
    let bytes = std::fs::read(&base).unwrap();
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let newer = [b"OFSW\x03", &bytes[5..]].concat();
    for (content, with_key, without_key) in [
        (&b""[..], "snapshot_malformed", Some("snapshot_malformed")),
        (b"<!doctype html><title>502</title>", "snapshot_malformed", Some("snapshot_malformed")),
        (&bytes[..50], "snapshot_malformed", Some("snapshot_malformed")),
        (&bytes[..100], "snapshot_bad_signature", Some("snapshot_malformed")),
        (&bytes[..bytes.len() - 1], "snapshot_bad_signature", Some("snapshot_malformed")),
        (&[&bytes[..], b"\n"].concat(), "snapshot_bad_signature", Some("snapshot_malformed")),
        (&newer, "snapshot_unknown_version", Some("snapshot_unknown_version")),
        (&flipped, "snapshot_bad_signature", Some("snapshot_malformed")),
        (&foreign, "snapshot_unknown_key", None),
    ] {
        let wrong = file(&folder, "wrong", content);
        let (output, code) = as_json(&[&wrong, "--key", &key]);
        assert_eq!((&output["code"], code), (&json!(with_key), Some(1)), "{output}");
        let answer = snapshot(&["inspect", &wrong, "--key", &key]);
        assert_eq!((answer.status.code(), answer.stdout), (Some(1), vec![]));
        assert!(text(&answer.stderr).starts_with(&format!("offswitch: {with_key}: ")));
        let (output, code) = as_json(&[&wrong]);
        let expected = without_key.map_or(Some(3), |_| Some(1));
        assert_eq!((output["code"].as_str(), code), (without_key, expected), "{output}");
    }
    let (output, _) = as_json(&[&file(&folder, "foreign", &foreign), "--key", &key]);
    assert!(output["detail"].as_str().unwrap().contains("it is signed by "), "{output}");
    let place = folder.path().to_str().unwrap();
    for (file, key, code) in [
        ("nowhere", key.as_str(), "file_unreadable"),
        (place, &key, "file_unreadable"),
        (&base, "short", "invalid_key"),
        // A key of small order: it would accept signatures that no key holder made.
        (&base, &"A".repeat(43), "invalid_key"),
    ] {
        let (output, exit) = as_json(&[file, "--key", key]);
        assert_eq!((&output["code"], exit), (&json!(code), Some(2)), "{output}");
    }
    for arguments in
        [&["inspect"][..], &["inspect", &base, "--jsno"], &["simulate", "--tokens", "-1"]]
    {
        assert_eq!(snapshot(arguments).status.code(), Some(2));
    }
}

// A cut or damaged file gets an answer and never a panic (101).
#[test]
fn no_damage_makes_it_panic() {
    let folder = tempfile::tempdir().unwrap();
    let (base, _) = simulated(folder.path(), "3", "2");
    let good = std::fs::read(&base).unwrap();
    for at in (0..good.len()).step_by(5) {
        let cut = file(&folder, "cut", &good[..at]);
        assert_eq!(snapshot(&["inspect", &cut]).status.code(), Some(1), "{at}");
        let mut bytes = good.clone();
        bytes[at] = 0xff;
        let damaged = file(&folder, "damaged", &bytes);
        let code = snapshot(&["inspect", &damaged]).status.code();
        assert!(matches!(code, Some(1 | 3)), "{at}: {code:?}");
    }
}

// `offswitch snapshot inspect - | head -1`, with a reader that has already closed the pipe.
#[test]
fn a_reader_that_closes_early_causes_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let (base, key) = simulated(folder.path(), "3", "2");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_offswitch"));
    command.args(["snapshot", "inspect", "-", "--key", &key]).stdout(writer).stderr(Stdio::piped());
    let answer = command.stdin(std::fs::File::open(base).unwrap()).output().unwrap();
    assert_eq!(answer.status.code(), Some(1), "{}", text(&answer.stderr));
}

#[tokio::test]
async fn what_a_control_plane_publishes_can_be_inspected() {
    let plane = ControlPlane::start().await;
    let get =
        |path: String| plane.request(Method::GET, &path).bearer_auth(plane.admin_key()).send();
    let keys: Value = get("/v1/keys".to_owned()).await.unwrap().json().await.unwrap();
    let key = keys["feed_public_keys"][0].as_str().unwrap();
    let first = plane.posted("/v1/revocations", &json!({ "sub": "alice" })).await;
    let position = first["position"].as_str().unwrap().to_owned();
    let session = plane.posted("/v1/sessions", &json!({ "sub": "bob" })).await;
    let sid = session["session_id"].as_str().unwrap();
    let more = plane.posted("/v1/revocations", &json!({ "session_id": sid })).await;
    let newest = more["position"].as_str().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    for (query, kind) in [
        ("", "base"),
        (&*format!("?since={position}"), "delta"),
        (&*format!("?since={newest}"), "heartbeat"),
    ] {
        let bytes = get(format!("/v1/feed{query}")).await.unwrap().bytes().await.unwrap();
        let (output, code) = as_json(&[&file(&folder, "published", &bytes), "--key", key]);
        assert_eq!((&output["kind"], code), (&json!(kind), Some(0)));
        assert_eq!((&output["feed"], &output["fresh"]), (&json!(plane.issuer()), &json!(true)));
    }
    let delta = get(format!("/v1/feed?since={position}")).await.unwrap().bytes().await.unwrap();
    let delta = file(&folder, "delta", &delta);
    let output = snapshot(&["inspect", &delta, "--key", key, "--session", sid, "--session", "s-2"]);
    let output = text(&output.stdout);
    let expected = format!("session \"{sid}\": denied\nsession \"s-2\": not denied");
    assert!(output.contains(&expected), "{output}");
}
