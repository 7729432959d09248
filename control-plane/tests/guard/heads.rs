//! The guard follows the head of a feed: at a control plane, of files that a server has, and in a folder.

use std::path::PathBuf;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tempfile::TempDir;

use crate::support::guard::{Guard, feed_of, issuer_of, revoke, session};
use crate::support::process::ControlPlane;

const ROUTES: &str = "[[routes]]\npaths = [\"/a\"]\n";

/// A control plane whose feed is stale soon, and which publishes it in a folder.
async fn publishing() -> (ControlPlane, TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("place");
    let to = format!("file://{}", place.display());
    let settings = [
        ("OFFSWITCH_PUBLISH_TO", to.as_str()),
        ("OFFSWITCH_PUBLISH_HEARTBEAT_SECONDS", "1"),
        ("OFFSWITCH_HEARTBEAT_SECONDS", "1"),
        ("OFFSWITCH_SNAPSHOT_VALIDITY_SECONDS", "5"),
    ];
    let plane = ControlPlane::start_in(folder.path(), &settings).await;
    (plane, folder, place)
}

/// Serves the files of a folder, as any web server does.
async fn serve(folder: PathBuf) -> String {
    async fn file(State(folder): State<PathBuf>, uri: Uri) -> Response {
        let read = tokio::fs::read(folder.join(uri.path().trim_start_matches('/'))).await;
        read.map_or_else(|_| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response)
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(file).with_state(folder);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/head")
}

/// A guard that follows this head refuses after a revocation, and goes on without the control plane until what it holds is
/// too old.
async fn follows(mut plane: ControlPlane, head: &str) {
    let feed = feed_of(&plane).await;
    let url = format!("http://127.0.0.1:{}/v1/feed", plane.port());
    let feed = feed.replace(&format!("\"{url}\""), &format!("\"{head}\""));
    let tables = issuer_of(&plane) + ROUTES;
    let guard = Guard::launch(&feed, "gateway = \"nginx\"", &tables);
    let (ann, bob) = (session(&plane, "ann", "read").await, session(&plane, "bob", "read").await);
    guard.until_code("/a", &ann.1, "valid").await;
    revoke(&plane, &ann.0).await;
    guard.until_code("/a", &ann.1, "revoked_session").await;
    assert_eq!(guard.asked("GET", "/a", &bob.1).await, (200, "valid".to_owned()));
    plane.kill();
    assert_eq!(guard.asked("GET", "/a", &bob.1).await, (200, "valid".to_owned()), "{head}");
    guard.until_code("/a", &bob.1, "stale_snapshot").await;
    let answer = guard.about("GET", "/a").bearer_auth(&bob.1).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    // It only subtracts: what was revoked stays so.
    assert_eq!(guard.asked("GET", "/a", &ann.1).await, (401, "revoked_session".to_owned()));
}

// P05, G03.
#[tokio::test]
async fn a_guard_follows_the_head_of_a_control_plane() {
    let (plane, _folder, _) = publishing().await;
    let head = format!("http://127.0.0.1:{}/v1/feed/head", plane.port());
    follows(plane, &head).await;
}

// P05, G03.
#[tokio::test]
async fn a_guard_follows_files_that_a_server_has() {
    let (plane, _folder, place) = publishing().await;
    let head = serve(place).await;
    follows(plane, &head).await;
}

// P09, G03.
#[tokio::test]
async fn a_guard_follows_files_in_a_folder() {
    let (plane, _folder, place) = publishing().await;
    follows(plane, &format!("file://{}/head", place.display())).await;
}
