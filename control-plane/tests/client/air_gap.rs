//! The Rust client without a network: it follows a folder that feed files are put into.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use offswitch_client::{FeedOptions, Issuer, Keys, Options, Verifier};
use serde_json::json;

use crate::support::oauth::text;
use crate::support::process::{ControlPlane, command};
use crate::{check, until};

/// Runs a `snapshot` command, which must succeed.
async fn run(plane: &ControlPlane, arguments: &[&str]) {
    let url = format!("http://127.0.0.1:{}", plane.port());
    let mut command = command();
    command.arg("snapshot").args(arguments);
    command.env("OFFSWITCH_URL", url).env("OFFSWITCH_API_KEY", plane.admin_key().trim());
    let ended: Output =
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// Carries the feed as it is now into a folder.
async fn carry(plane: &ControlPlane, key: &str, folder: &Path) {
    let file = folder.with_extension("tar");
    let (file, folder) = (file.to_str().unwrap(), folder.to_str().unwrap());
    run(plane, &["export", "--key", key, "--to", file]).await;
    run(plane, &["import", file, "--into", folder, "--key", key]).await;
}

// P09: a verifier without a network judges by the newest file, and is undecided once that is too old.
#[tokio::test]
async fn a_folder_is_followed_without_a_network_until_it_is_too_old() {
    let data = tempfile::tempdir().unwrap();
    let settings = [
        ("OFFSWITCH_BASE_INTERVAL_SECONDS", "1"),
        ("OFFSWITCH_SNAPSHOT_VALIDITY_SECONDS", "5"),
        ("OFFSWITCH_HEARTBEAT_SECONDS", "1"),
    ];
    let mut plane = ControlPlane::start_in(data.path(), &settings).await;
    let keys = plane.got("/v1/keys").await;
    let key = keys["feed_public_keys"][0].as_str().unwrap().to_owned();
    let token = text(&plane.login("alice").await, "access_token").to_owned();
    plane.posted("/v1/revocations", &json!({ "sub": "someone" })).await;
    let folder = data.path().join("place");
    carry(&plane, &key, &folder).await;
    let jwks = plane.got("/.well-known/jwks.json").await;
    let head = format!("file://{}/head", folder.display());
    let feed = FeedOptions::head(&head, &key).poll_interval(Duration::from_millis(50));
    let issuer = Issuer::new(&plane.issuer(), "api").keys(Keys::jwks(&jwks.to_string()));
    let verifier = Verifier::start(Options::new(feed).issuer(issuer)).await.unwrap();
    assert_eq!(check(&verifier, &token).code(), "valid", "{:?}", verifier.status());
    plane.posted("/v1/revocations", &json!({ "sub": "alice" })).await;
    assert_eq!(check(&verifier, &token).code(), "valid", "nothing reaches it without a file");
    carry(&plane, &key, &folder).await;
    until("the next file", || check(&verifier, &token).code() == "revoked_user").await;
    assert_eq!(verifier.status().feed.failures, 0, "{:?}", verifier.status());
    // No further file comes: 5 s of validity, and 10 s for clocks that differ.
    let other = text(&plane.login("bob").await, "access_token").to_owned();
    assert_eq!(check(&verifier, &other).code(), "valid");
    plane.kill();
    until("staleness", || check(&verifier, &other).code() == "stale_snapshot").await;
}

// P09: only a head may be a file, and a folder that is not there is a failure like any other.
#[tokio::test]
async fn a_folder_that_is_not_there_leaves_verdicts_undecided() {
    let folder = tempfile::tempdir().unwrap();
    let public_key = "3b2gE-WyMxRvpZ2c0hC1UoMGzNQhtbYkLqwP1ZjOEGw";
    let options = |feed: FeedOptions| {
        let keys = Keys::jwks(
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
        );
        Options::new(feed).issuer(Issuer::new("https://auth.example", "api").keys(keys))
    };
    let head = format!("file://{}/place/head", folder.path().display());
    let verifier = Verifier::start(options(FeedOptions::head(&head, public_key))).await.unwrap();
    let failure = verifier.status().feed.last_failure.unwrap();
    assert_eq!(failure.code, "feed_unreachable", "{failure:?}");
    assert!(!verifier.is_ready());
    for feed in [
        FeedOptions::new(&format!("file://{}/feed", folder.path().display()), public_key),
        FeedOptions::head("file://other.host/head", public_key),
    ] {
        let refused = Verifier::start(options(feed)).await.unwrap_err();
        assert!(refused.to_string().contains("feed.url must be"), "{refused}");
    }
}
