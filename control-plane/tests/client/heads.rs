//! The Rust client follows a head: of a control plane, and of files that a hostile server changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use offswitch_client::{FeedOptions, Verifier};
use offswitch_snapshot::FeedHead;
use serde_json::json;

use crate::support::oauth::text;
use crate::support::process::ControlPlane;
use crate::{check, feed_of, options_for, until};

/// Files by their names, as a server shows them that may lie.
#[derive(Clone, Default)]
struct Files(Arc<Mutex<Shown>>);

#[derive(Default)]
struct Shown {
    files: BTreeMap<String, Bytes>,
    asked: Vec<String>,
    not_modified: usize,
}

impl Files {
    /// Serves them; the address of the head.
    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(serve).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/feed/head")
    }

    fn put(&self, name: &str, bytes: impl Into<Bytes>) {
        self.0.lock().unwrap().files.insert(name.to_owned(), bytes.into());
    }

    fn get(&self, name: &str) -> Bytes {
        self.0.lock().unwrap().files[name].clone()
    }

    fn remove(&self, name: &str) {
        self.0.lock().unwrap().files.remove(name);
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().asked)
    }

    fn not_modified(&self) -> usize {
        self.0.lock().unwrap().not_modified
    }

    fn head(&self) -> FeedHead {
        serde_json::from_slice(&self.get("head")).unwrap()
    }

    /// Copies what the control plane shows now. The delta from each position in `from` is there.
    async fn copy(&self, plane: &ControlPlane, from: &[&FeedHead]) {
        let got = async |name: &str| {
            let request = plane.admin(reqwest::Method::GET, &format!("/v1/feed/{name}"));
            request.send().await.unwrap().bytes().await.unwrap()
        };
        let mut head: FeedHead = serde_json::from_slice(&got("head").await).unwrap();
        head.on_demand = false;
        let base = head.base.part().to_string();
        self.put(&base, got(&base).await);
        let mut starts: Vec<_> = from.iter().map(|head| head.position).collect();
        starts.push(head.base.position);
        starts.sort();
        starts.dedup();
        for start in starts.into_iter().filter(|start| *start < head.position) {
            let name = format!("deltas/{start}_{}", head.position);
            let bytes = got(&name).await;
            head.deltas.push(offswitch_snapshot::HeadDelta {
                from: start,
                to: head.position,
                bytes: bytes.len() as u64,
            });
            self.put(&name, bytes);
        }
        self.put("head", serde_json::to_vec(&head).unwrap());
    }
}

async fn serve(
    axum::extract::State(files): axum::extract::State<Files>,
    request: Request,
) -> Response {
    let name = request.uri().path().trim_start_matches("/feed/").to_owned();
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let mut state = files.0.lock().unwrap();
    state.asked.push(name.clone());
    let Some(bytes) = state.files.get(&name).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tag = format!("\"{:.16}\"", blake3::hash(&bytes).to_hex());
    let headers: HeaderMap = [(header::ETAG, tag.parse().unwrap())].into_iter().collect();
    if known.is_some_and(|known| known == tag) {
        state.not_modified += 1;
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, bytes).into_response()
}

async fn revoke(plane: &ControlPlane, sub: &str) {
    plane.posted("/v1/revocations", &json!({ "sub": sub })).await;
}

/// The feed of a control plane, by the head at this address.
async fn feed_at(plane: &ControlPlane, head: &str) -> FeedOptions {
    let keys = plane.got("/v1/keys").await;
    let public_key = keys["feed_public_keys"][0].as_str().unwrap().to_owned();
    FeedOptions::head(head, &public_key).poll_interval(Duration::from_millis(50))
}

async fn verifier_at(plane: &ControlPlane, head: &str) -> Verifier {
    Verifier::start(options_for(plane, feed_at(plane, head).await)).await.unwrap()
}

// P05: a revocation is refused within the time of a poll by the control plane's own head.
#[tokio::test]
async fn the_head_of_a_control_plane_is_followed() {
    let plane = ControlPlane::start().await;
    let session = plane.login("alice").await;
    let token = text(&session, "access_token").to_owned();
    let head = format!("http://127.0.0.1:{}/v1/feed/head", plane.port());
    let feed = feed_at(&plane, &head).await.api_key(plane.admin_key().trim());
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("kept");
    let verifier = Verifier::start(options_for(&plane, feed.clone().store(&store))).await.unwrap();
    assert!(verifier.is_ready(), "{:?}", verifier.status());
    assert_eq!(check(&verifier, &token).code(), "valid");
    revoke(&plane, "alice").await;
    let took = until("the head", || check(&verifier, &token).code() == "revoked_user").await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(verifier.status().feed.failures, 0, "{:?}", verifier.status());
    verifier.save().await;
    drop(verifier);
    // What was kept is the state after a restart, also without any head.
    let lost = feed_at(&plane, "http://127.0.0.1:9/head").await.store(&store);
    let restarted = Verifier::start(options_for(&plane, lost)).await.unwrap();
    assert_eq!(check(&restarted, &token).code(), "revoked_user");
}

// P05: a head that does not change costs an answer without a body, and one that is there again after an outage of
// the place is followed from where the reader was.
#[tokio::test]
async fn files_are_followed_with_few_requests() {
    let plane = ControlPlane::start().await;
    let token = text(&plane.login("alice").await, "access_token").to_owned();
    revoke(&plane, "someone").await;
    let files = Files::default();
    files.copy(&plane, &[]).await;
    let before = files.head();
    let verifier = verifier_at(&plane, &files.serve().await).await;
    assert!(verifier.is_ready(), "{:?}", verifier.status());
    until("nothing new", || files.not_modified() > 1).await;
    files.asked();
    let head = files.get("head");
    files.remove("head");
    until("a failure", || verifier.status().feed.failures > 0).await;
    assert_eq!(check(&verifier, &token).code(), "valid", "what is held stays in force");
    files.put("head", head);
    revoke(&plane, "alice").await;
    files.copy(&plane, &[&before]).await;
    until("the delta", || check(&verifier, &token).code() == "revoked_user").await;
    let delta = format!("deltas/{}_{}", before.position, files.head().position);
    let parts: Vec<_> = files.asked().into_iter().filter(|name| name != "head").collect();
    assert_eq!(parts, [delta]);
}

// P05, S08, S09: a bad head changes nothing: the last good state stays in force, and the next good head is followed.
#[tokio::test]
async fn hostile_heads_change_nothing_and_a_good_one_is_followed() {
    let plane = ControlPlane::start().await;
    let token = text(&plane.login("alice").await, "access_token").to_owned();
    revoke(&plane, "someone").await;
    let files = Files::default();
    files.copy(&plane, &[]).await;
    let old = files.head();
    let verifier = verifier_at(&plane, &files.serve().await).await;
    assert!(verifier.is_ready(), "{:?}", verifier.status());
    revoke(&plane, "bob").await;
    files.copy(&plane, &[&old]).await;
    let good = files.head();
    let good_text = files.get("head");
    let delta = format!("deltas/{}_{}", old.position, good.position);
    let good_delta = files.get(&delta);
    let held = verifier.evidence().position;

    // Between two cases the head is the one that is held, so that each begins after a success.
    let old_text = serde_json::to_vec(&old).unwrap();
    let failed = async |what: &str, code: &str, head: Bytes| {
        let seen = verifier.status().feed.failures;
        files.put("head", head);
        until(what, || verifier.status().feed.failures > seen).await;
        let failure = verifier.status().feed.last_failure.unwrap();
        assert_eq!(failure.code, code, "{what}: {}", failure.detail);
        assert_eq!(verifier.evidence().position, held, "{what}");
        assert_eq!(check(&verifier, &token).code(), "valid", "{what}");
        let rounds = verifier.status().feed.rounds;
        files.put("head", old_text.clone());
        until("a success", || verifier.status().feed.rounds > rounds).await;
    };
    let changed = |change: &dyn Fn(&mut FeedHead)| {
        let mut head = good.clone();
        change(&mut head);
        Bytes::from(serde_json::to_vec(&head).unwrap())
    };
    let flipped = changed(&|head| {
        let mut bytes = head.heartbeat_bytes().unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        head.heartbeat = FeedHead::heartbeat_text(&bytes);
    });
    let without_way = changed(&|head| {
        head.deltas.clear();
        head.base.position = old.base.position;
    });
    for (what, code, head) in [
        ("a page instead of a head", "head_malformed", Bytes::from("<html>")),
        ("another format", "head_malformed", changed(&|head| head.format = 2)),
        (
            "another feed",
            "wrong_feed",
            changed(&|head| head.feed = "https://other.example".to_owned()),
        ),
        (
            "a head that is too large",
            "feed_unreachable",
            [good_text.clone(), vec![b' '; 70_000].into()].concat().into(),
        ),
        (
            "the heartbeat of another position",
            "head_malformed",
            changed(&|head| head.heartbeat = old.heartbeat.clone()),
        ),
        ("no heartbeat", "head_malformed", changed(&|head| head.heartbeat = "####".to_owned())),
        ("a heartbeat with another bit", "snapshot_bad_signature", flipped),
        (
            "a delta as a heartbeat",
            "head_malformed",
            changed(&|head| head.heartbeat = FeedHead::heartbeat_text(&good_delta)),
        ),
        ("no way", "head_incomplete", without_way),
    ] {
        failed(what, code, head).await;
    }
    files.remove(&delta);
    failed("a missing part", "feed_unreachable", good_text.clone()).await;
    files.put(&delta, good_delta.slice(..good_delta.len() - 1));
    failed("a part that is cut off", "snapshot_bad_signature", good_text.clone()).await;
    files.put(&delta, "<html>");
    failed("a page instead of a part", "snapshot_malformed", good_text.clone()).await;
    files.put(&delta, good_delta.clone());
    files.put("head", good_text.clone());
    until("the good head", || verifier.evidence().position == Some(good.position)).await;
    // An old head is ignored, and reported once.
    files.put("head", serde_json::to_vec(&old).unwrap());
    until("it is noted", || verifier.status().feed.behind_since.is_some()).await;
    assert_eq!(verifier.evidence().position, Some(good.position));
    revoke(&plane, "alice").await;
    files.copy(&plane, &[&good]).await;
    until("the next", || check(&verifier, &token).code() == "revoked_user").await;
}

// P05, S07: parts in each other's place are refused, or are what they are: no order of them makes a verifier
// believe more than was signed; and a head whose heartbeat is not renewed leaves verdicts undecided in time.
#[tokio::test]
async fn swapped_parts_and_a_frozen_head_end_undecided() {
    let plane = ControlPlane::start().await;
    let token = text(&plane.login("alice").await, "access_token").to_owned();
    revoke(&plane, "one").await;
    let files = Files::default();
    files.copy(&plane, &[]).await;
    let first = files.head();
    revoke(&plane, "two").await;
    files.copy(&plane, &[&first]).await;
    let second = files.head();
    revoke(&plane, "alice").await;
    files.copy(&plane, &[&first, &second]).await;
    let third = files.head();
    let [long, short] =
        [&first, &second].map(|from| format!("deltas/{}_{}", from.position, third.position));
    let [a, b] = [files.get(&long), files.get(&short)];
    files.put(&long, b);
    files.put(&short, a);
    files.put("head", serde_json::to_vec(&first).unwrap());
    let address = files.serve().await;
    let feed = feed_at(&plane, &address).await.max_staleness_seconds(4);
    let verifier = Verifier::start(options_for(&plane, feed)).await.unwrap();
    assert_eq!(check(&verifier, &token).code(), "valid");
    files.put("head", serde_json::to_vec(&third).unwrap());
    until("it ends", || check(&verifier, &token).code() != "valid").await;
    let code = check(&verifier, &token).code();
    assert!(["stale_snapshot", "revoked_user"].contains(&code), "{code}");
}

// P05: one address is a stream and the next one a head: the head brings what a control plane that is gone does not.
#[tokio::test]
async fn a_head_stands_in_for_a_control_plane_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut plane = ControlPlane::start_in(folder.path(), &[]).await;
    let token = text(&plane.login("alice").await, "access_token").to_owned();
    revoke(&plane, "one").await;
    let files = Files::default();
    let address = files.serve().await;
    let feed = feed_of(&plane).await.address(offswitch_client::FeedAddress::head(&address));
    let verifier = Verifier::start(options_for(&plane, feed)).await.unwrap();
    assert_eq!(check(&verifier, &token).code(), "valid");
    files.copy(&plane, &[]).await;
    let before = files.head();
    revoke(&plane, "two").await;
    files.copy(&plane, &[&before]).await;
    plane.kill();
    let end = files.head().position;
    let failures = verifier.status().feed.failures;
    until("the head is asked", || files.asked().iter().any(|name| name == "head")).await;
    until("it has all", || verifier.evidence().position == Some(end)).await;
    assert!(verifier.status().feed.failures > failures, "the control plane is gone");
}
