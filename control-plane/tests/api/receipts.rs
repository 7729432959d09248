//! Signed receipts for revocations, and `offswitch receipt verify`. P03.

use std::path::Path;

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_verifier::{
    DpopConfig, FeedConfig, IssuerConfig, KeySet, OnStale, Verifier, VerifierConfig,
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::follower::{Follower, now, peek};
use crate::support::process::{ControlPlane, run};
use crate::support::raw_follower::{RawFollower, honest, until_connected};

/// What the command ended with, and printed.
struct Verified {
    code: Option<i32>,
    report: Value,
}

/// Runs `offswitch receipt verify --json` on this text.
fn verify(folder: &Path, text: &str, more: &[&str]) -> Verified {
    let file = folder.join("receipt");
    std::fs::write(&file, text).unwrap();
    let arguments = [&["receipt", "verify", "--json", file.to_str().unwrap()], more].concat();
    let output = run(&arguments, &[]);
    let printed = [output.stdout, output.stderr].concat();
    let report = serde_json::from_slice(&printed).unwrap_or_else(|_| {
        panic!("{arguments:?}: {}", String::from_utf8_lossy(&printed));
    });
    Verified { code: output.status.code(), report }
}

/// A control plane, a folder with the file `keys` (what `GET /v1/keys` answers), and the path of that.
async fn started() -> (ControlPlane, TempDir, String) {
    let (plane, folder) = (ControlPlane::start().await, tempfile::tempdir().unwrap());
    let keys = folder.path().join("keys");
    std::fs::write(&keys, plane.got("/v1/keys").await.to_string()).unwrap();
    let keys = keys.to_str().unwrap().to_owned();
    (plane, folder, keys)
}

async fn sent(request: RequestBuilder) -> Value {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap()
}

fn receipt(answer: &Value) -> &str {
    answer["receipt"].as_str().unwrap_or_else(|| panic!("a receipt in {answer}"))
}

// P03: what was revoked, by which key, when and where, signed; and only if it was asked for.
#[tokio::test]
async fn a_revocation_is_answered_with_a_receipt_if_one_is_asked_for() {
    let (plane, folder, keys) = started().await;
    let revoke = |query: &str| plane.admin(Method::POST, &format!("/v1/revocations{query}"));
    let body = json!({ "sub": "alice", "reason": "free text" });
    assert!(sent(revoke("").json(&body)).await.get("receipt").is_none());
    assert!(sent(revoke("?receipt=false").json(&body)).await.get("receipt").is_none());
    let preferred = sent(revoke("").header("prefer", "wait=5, receipt").json(&body)).await;
    let answer = sent(revoke("?receipt=true").json(&body)).await;
    let status = plane.got("/v1/status").await;
    for answer in [preferred, answer] {
        let verified = verify(folder.path(), receipt(&answer), &["--keys", &keys]);
        assert_eq!(verified.code, Some(0), "{}", verified.report);
        let claims = &verified.report["claims"];
        assert_eq!(claims["iss"], plane.issuer());
        assert_eq!(claims["position"], answer["position"]);
        assert_eq!(claims["durability"], answer["durability"]);
        assert_eq!(claims["by"], json!({ "id": status["key"]["id"], "name": "admin" }));
        assert_eq!(
            (&claims["entries"], &claims["revoked"][0]["sub"]),
            (&json!(1), &json!("alice"))
        );
        assert_eq!(claims["revoked"][0]["selector"], answer["selector"]);
        assert!(now().abs_diff(claims["at"].as_u64().unwrap()) < 60);
        assert_eq!(claims["chain"].as_str().unwrap().len(), 64);
        assert!(!claims.to_string().contains("free text"), "the reason is not for others");
    }
    let problem = revoke("?receipt=perhaps").json(&body).send().await.unwrap();
    assert_eq!(problem.status(), 400);
}

// P03, P01: a request that waits for the followers gets a receipt with what came of it; any other one has no such claim.
#[tokio::test]
async fn a_receipt_says_how_many_followers_held_it_if_the_request_waited() {
    let (plane, folder, keys) = started().await;
    let revoke = async |query: &str, prefer: &str| {
        let request = plane.admin(Method::POST, &format!("/v1/revocations{query}"));
        sent(request.header("prefer", prefer).json(&json!({ "sub": "alice" }))).await
    };
    let _honest = RawFollower::of(&plane, 1, ";staleness=60").stream(honest);
    until_connected(&plane, 1).await;
    let complete = revoke("?wait=applied&timeout=10", "receipt").await;
    let _sleeper = RawFollower::of(&plane, 2, ";staleness=60").stream(|_| None);
    until_connected(&plane, 2).await;
    let incomplete = revoke("?wait=applied&timeout=1&receipt=true", "").await;
    for (answer, says) in [
        (complete, "complete: 1 of 1 followers of all processes held it"),
        (incomplete, "not complete: 1 of 2 followers of all processes held it"),
    ] {
        let verified = verify(folder.path(), &answer.to_string(), &["--keys", &keys]);
        assert_eq!(verified.code, Some(0), "{}", verified.report);
        let (claim, applied) = (&verified.report["claims"]["applied"], &answer["applied"]);
        for member in ["complete", "followers", "holding", "behind_relays", "unidentified"] {
            assert!(claim[member] == applied[member] && !claim[member].is_null(), "{member}");
        }
        for member in ["counted", "milliseconds", "refuse_within_seconds"] {
            assert!(claim[member] == applied[member] && !claim[member].is_null(), "{member}");
        }
        let file = folder.path().join("receipt");
        let printed = run(&["receipt", "verify", file.to_str().unwrap(), "--keys", &keys], &[]);
        let printed = String::from_utf8(printed.stdout).unwrap();
        assert!(printed.contains(says), "{printed}");
    }
    let plain = verify(folder.path(), receipt(&revoke("", "receipt").await), &["--keys", &keys]);
    assert!(plain.code == Some(0) && plain.report["claims"].get("applied").is_none());
}

// P03: sessions, the red button (which kills each token key), and what a repeated request says.
#[tokio::test]
async fn sessions_and_the_red_button_have_receipts_and_repetitions_say_the_same() {
    let (plane, folder, keys) = started().await;
    let good = |answer: &Value| {
        let verified = verify(folder.path(), &answer.to_string(), &["--keys", &keys]);
        assert_eq!(verified.code, Some(0), "{}", verified.report);
        verified.report["claims"].clone()
    };
    let session = plane.login("alice").await;
    let id = session["session_id"].as_str().unwrap();
    for path in [
        format!("/v1/users/alice/sessions/{id}?receipt=true"),
        format!("/v1/sessions?sub=alice&session_id={id}&receipt=true"),
    ] {
        let claims = good(&sent(plane.admin(Method::DELETE, &path)).await);
        assert_eq!(
            claims["revoked"][0],
            json!({
                "kind": "session", "session_id": id, "selector": ["sid"],
                "until": claims["revoked"][0]["until"],
            })
        );
    }
    for path in ["/v1/users/alice/sessions", "/v1/sessions?sub=alice"] {
        let ended = plane.admin(Method::DELETE, path).header("prefer", "receipt");
        assert_eq!(good(&sent(ended).await)["revoked"][0]["kind"], "user");
    }
    let press = |body: Value| {
        let press = plane.admin(Method::POST, "/v1/red-button?receipt=true").json(&body);
        press.header("idempotency-key", "pressed")
    };
    let dry =
        plane.admin(Method::POST, "/v1/red-button?receipt=true").json(&json!({ "dry_run": true }));
    assert!(sent(dry).await.get("receipt").is_none());
    let pressed = sent(press(json!({}))).await;
    let claims = good(&pressed);
    let kinds: Vec<_> =
        claims["revoked"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["key", "epoch", "sessions"]);
    let again = good(&sent(press(json!({}))).await);
    for name in ["position", "at", "by", "revoked", "entries"] {
        assert_eq!(claims[name], again[name], "{name}");
    }
    // A token names itself by its id; the receipt has no token.
    let token = plane.login("bob").await["access_token"].as_str().unwrap().to_owned();
    let body = json!({ "token": token });
    let answer = sent(plane.admin(Method::POST, "/v1/revocations?receipt=true").json(&body)).await;
    let claims = good(&answer);
    assert_eq!(claims["revoked"][0]["jti"], peek(&token)["jti"]);
    assert!(!receipt(&answer).contains(&token) && !claims.to_string().contains(&token));
}

// P03: what was not recorded has no receipt, and a stream of records has none.
#[tokio::test]
async fn what_is_not_one_record_has_no_receipt() {
    let (plane, _folder, _) = started().await;
    let revoke = || plane.admin(Method::POST, "/v1/revocations?receipt=true");
    for (body, status) in [
        (json!({ "sub": "" }), 400),
        (json!({ "sub": "alice", "issuer": "https://unknown.example" }), 422),
        (json!({ "session_id": "nothing" }), 422),
    ] {
        let answer = revoke().json(&body).send().await.unwrap();
        assert_eq!(answer.status(), status, "{body}");
        assert!(answer.json::<Value>().await.unwrap().get("receipt").is_none());
    }
    let lines = |request: RequestBuilder| {
        request.header("content-type", "application/x-ndjson").body("{\"sub\":\"a\"}\n")
    };
    let answer = lines(revoke()).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    // A preference may be ignored (RFC 7240 section 2).
    let preferred = plane.admin(Method::POST, "/v1/revocations").header("prefer", "receipt");
    assert!(sent(lines(preferred)).await.get("receipt").is_none());
}

// P03: what snapshots and the audit log say about a receipt.
#[tokio::test]
async fn a_receipt_is_compared_with_a_snapshot_and_with_the_audit_log() {
    let (plane, folder, keys) = started().await;
    let before = plane.got("/readyz").await["position"].as_str().unwrap().to_owned();
    let old = folder.path().join("old");
    std::fs::write(&old, plane.feed("").await).unwrap();
    let body = json!({ "revocations": [{ "sub": "alice" }, { "jti": "t" }] });
    let answer = sent(plane.admin(Method::POST, "/v1/revocations?receipt=true").json(&body)).await;
    let delta = folder.path().join("delta");
    std::fs::write(&delta, plane.feed(&format!("?since={before}")).await).unwrap();
    let audit = plane.data_dir().join("audit");
    let [old, delta, audit] = [old, delta, audit].map(|path| path.to_str().unwrap().to_owned());
    let more = |more: &[&str]| {
        verify(folder.path(), receipt(&answer), &[&["--keys", &keys], more].concat())
    };
    let all = more(&["--snapshot", &delta, "--audit", &audit, "--issuer", &plane.issuer()]);
    assert_eq!(all.code, Some(0), "{}", all.report);
    assert!(all.report["snapshot"].as_str().unwrap().starts_with("has 2"), "{}", all.report);
    assert!(
        all.report["audit"].as_str().unwrap().contains("serve.000001.ndjson:"),
        "{}",
        all.report
    );
    let early = more(&["--snapshot", &old]);
    assert_eq!((early.code, &early.report["signature"]), (Some(3), &json!("verified")));
    let other = more(&["--issuer", "https://other.example"]);
    assert_eq!((other.code, &other.report["code"]), (Some(1), &json!("receipt_other_issuer")));
    // Another control plane has neither the keys, nor the entries, nor the request.
    let stranger = ControlPlane::start().await;
    let strange_keys = folder.path().join("strange");
    std::fs::write(&strange_keys, stranger.got("/v1/keys").await.to_string()).unwrap();
    let strange =
        verify(folder.path(), receipt(&answer), &["--keys", strange_keys.to_str().unwrap()]);
    assert_eq!((strange.code, &strange.report["code"]), (Some(1), &json!("receipt_unknown_key")));
    let elsewhere = stranger.data_dir().join("audit").to_str().unwrap().to_owned();
    let absent = more(&["--audit", &elsewhere]);
    // Its checkpoints are signed by a key that is not trusted.
    assert_eq!((absent.code, &absent.report["code"]), (Some(1), &json!("audit_changed")));
    // A line that was changed, and one that is not there.
    let lines = std::fs::read_to_string(format!("{audit}/serve.000001.ndjson")).unwrap();
    let file = folder.path().join("audit.ndjson").to_str().unwrap().to_owned();
    std::fs::write(&file, lines.replace("\"alice\"", "\"mallory\"")).unwrap();
    assert_eq!(more(&["--audit", &file]).report["code"], "audit_changed");
    let cut: Vec<&str> = lines.lines().take_while(|line| !line.contains("\"alice\"")).collect();
    std::fs::write(&file, cut.join("\n") + "\n").unwrap();
    let absent = more(&["--audit", &file]);
    assert_eq!((absent.code, &absent.report["code"]), (Some(1), &json!("receipt_not_in_audit")));
}

// P03: a receipt is no token, also for a verifier that was given the feed's key by mistake; and no token is a receipt.
#[tokio::test]
async fn a_receipt_is_never_taken_for_a_token_nor_a_token_for_a_receipt() {
    let (plane, folder, keys) = started().await;
    let body = json!({ "sub": "alice" });
    let answer = sent(plane.admin(Method::POST, "/v1/revocations?receipt=true").json(&body)).await;
    let receipt = receipt(&answer);
    let follower = Follower::start(&plane, &plane.issuer()).await;
    assert_eq!(follower.judge(receipt), "unknown_key");
    let active = plane.admin(Method::POST, "/oauth/introspect").form(&[("token", receipt)]);
    assert_eq!(sent(active).await, json!({ "active": false }));
    let listed = plane.got("/v1/keys").await;
    let jwks = json!({ "keys": [{
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": listed["feed_keys"][0]["id"],
        "x": listed["feed_public_keys"][0],
    }] });
    let feed = FeedConfig {
        id: plane.issuer(),
        public_keys: vec![listed["feed_public_keys"][0].as_str().unwrap().to_owned()],
        max_staleness_seconds: 60,
        on_stale: OnStale::Deny,
    };
    let issuers = vec![IssuerConfig::offswitch(&plane.issuer(), "api")];
    let config = VerifierConfig { issuers, feed, dpop: DpopConfig::default() };
    let mut verifier = Verifier::new(config).unwrap();
    let mistaken = KeySet::from_jwks(jwks.to_string().as_bytes(), &[]).unwrap();
    assert!(verifier.set_keys(&plane.issuer(), mistaken));
    assert_eq!(verifier.verify(receipt, now()).code(), "wrong_type");
    let session = plane.login("bob").await;
    let token = session["access_token"].as_str().unwrap();
    let taken = verify(folder.path(), token, &["--keys", &keys]);
    assert_eq!((taken.code, &taken.report["code"]), (Some(1), &json!("receipt_wrong_type")));
    // With the header of a receipt it is signed by no feed key.
    let (_, rest) = token.split_once('.').unwrap();
    let (header, _) = receipt.split_once('.').unwrap();
    let mixed = verify(folder.path(), &format!("{header}.{rest}"), &["--keys", &keys]);
    assert_eq!((mixed.code, &mixed.report["code"]), (Some(1), &json!("receipt_bad_signature")));
    let header = Base64UrlUnpadded::decode_vec(header).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header["typ"], "offswitch-receipt+jwt");
}

// P03: `revoke --receipt` keeps it, and `receipt verify` asks for the keys; a key that was dropped is given by hand.
#[tokio::test]
async fn the_command_line_keeps_receipts_and_checks_them() {
    let (plane, folder, _) = started().await;
    let old = plane.got("/v1/keys").await;
    let (url, key) = (format!("http://127.0.0.1:{}", plane.port()), plane.admin_key());
    let environment = vec![("OFFSWITCH_URL", url), ("OFFSWITCH_API_KEY", key.trim().to_owned())];
    let asked = |arguments: Vec<String>| {
        let environment = environment.clone();
        tokio::task::spawn_blocking(move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let environment: Vec<_> =
                environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
            run(&arguments, &environment)
        })
    };
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let file = folder.path().join("kept").to_str().unwrap().to_owned();
    let revoked = asked(words(&format!("revoke user alice --receipt {file}"))).await.unwrap();
    assert!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
    let verified = asked(words(&format!("receipt verify {file}"))).await.unwrap();
    let text = String::from_utf8(verified.stdout).unwrap();
    assert!(verified.status.success() && text.starts_with("the receipt is good"), "{text}");
    assert!(text.contains("alice") && text.contains("(admin)"), "{text}");
    plane.posted("/v1/feed-keys/rotate", &json!({})).await;
    let id = old["feed_keys"][0]["id"].as_str().unwrap();
    plane.posted(&format!("/v1/feed-keys/{id}/drop"), &json!({})).await;
    let unknown = asked(words(&format!("receipt verify {file}"))).await.unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    let key = old["feed_public_keys"][0].as_str().unwrap();
    let given = asked(words(&format!("receipt verify {file} --key {key}"))).await.unwrap();
    assert!(given.status.success(), "{}", String::from_utf8_lossy(&given.stderr));
    let none = run(&["receipt", "verify", &file], &[]);
    assert_eq!(none.status.code(), Some(2), "neither keys nor an address");
}
