//! Publication at real places: a folder, with processes that are killed, and the API of Workers KV.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, Request};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use offswitch_snapshot::Part;
use serde_json::json;

use crate::several_processes::ISSUER;
use crate::support::follower::Follower;
use crate::support::head_reader::{Files, Read, head_of, read};
use crate::support::oauth::text;
use crate::support::process::ControlPlane;

/// Files of a folder.
struct Folder(PathBuf);

impl Files for Folder {
    async fn file(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.0.join(name)).ok()
    }
}

/// Reads until it is at the end of the log. No part is ever missing.
async fn until_current(follower: &mut Follower, issuer: &str, files: &impl Files, has: &str) {
    loop {
        match read(follower, issuer, files).await {
            Read::Current(_) | Read::Behind | Read::NoHead => {}
            other => panic!("{other:?}"),
        }
        if follower.verifier().feed().cutoff(issuer, "sub", has).is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

// P05: a process that publishes into a folder is killed at any moment, again and again: a reader never finds a head
// whose parts are missing or half written, and the next process carries on.
#[tokio::test]
async fn a_kill_at_any_moment_leaves_a_folder_that_can_be_read() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let published = folders[1].path().join("feed");
    let url = format!("file://{}", published.display());
    let environment = [("OFFSWITCH_PUBLISH_TO", url.as_str()), ("OFFSWITCH_ISSUER", ISSUER)];
    let mut plane = ControlPlane::start_in(folders[0].path(), &environment).await;
    let mut follower = Follower::start(&plane, ISSUER).await;
    let files = Folder(published.clone());
    for round in 0..6_u64 {
        for number in 0..4 {
            let sub = format!("user {round}.{number}");
            plane.posted("/v1/revocations", &json!({ "sub": sub })).await;
        }
        if round % 2 == 0 {
            until_current(&mut follower, ISSUER, &files, &format!("user {round}.3")).await;
        }
        // At another moment of its work each time.
        tokio::time::sleep(Duration::from_millis(37 * round)).await;
        plane.kill();
        check_all(&published).await;
        plane = ControlPlane::start_in(folders[0].path(), &environment).await;
    }
    until_current(&mut follower, ISSUER, &files, "user 5.3").await;
    let metrics = plane.admin(Method::GET, "/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("offswitch_publications_total{outcome=\"published\"}"), "{metrics}");
    // A web server of another user serves them, although everything else that the process writes is private.
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&published), mode(&published.join("bases"))), (0o755, 0o755));
    plane.kill();
    for part in head_of(&files).await.unwrap().parts() {
        assert_eq!(mode(&published.join(part.to_string())), 0o644, "{part}");
    }
}

/// All parts of the head that is there are there too, and complete.
async fn check_all(folder: &Path) {
    let files = Folder(folder.to_owned());
    let Some(head) = head_of(&files).await else { return };
    for part in head.parts() {
        let bytes = files.file(&part.to_string()).await;
        let bytes = bytes.unwrap_or_else(|| panic!("{part} is missing"));
        offswitch_snapshot::Snapshot::peek_unverified(bytes).unwrap();
    }
}

/// The part of the API of Workers KV that is used, as its documentation describes it.
#[derive(Clone, Default)]
struct Kv(Arc<Mutex<Values>>);

#[derive(Default)]
struct Values {
    values: BTreeMap<String, Bytes>,
    wrong: Vec<String>,
    is_down: bool,
}

impl Kv {
    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let kv = self.clone();
        let router = Router::new().fallback(async move |request: Request| kv.answer(request).await);
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/client/v4")
    }

    async fn answer(&self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let mut state = self.0.lock().unwrap();
        if state.is_down {
            return StatusCode::BAD_GATEWAY.into_response();
        }
        let key = head.headers.get(header::AUTHORIZATION);
        if key.is_none_or(|key| key != "Bearer secret-token") {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        let path = head.uri.path().to_owned();
        let Some(rest) = path.strip_prefix(NAMESPACE) else {
            state.wrong.push(path);
            return StatusCode::NOT_FOUND.into_response();
        };
        if rest == "/keys" {
            return Self::page(&state, &head.uri);
        }
        let name = rest.strip_prefix("/values/").unwrap().to_owned();
        // A slash of the name is escaped, otherwise it would be one of the path.
        if name.contains('/') {
            state.wrong.push(path);
        }
        let name = name.replace("%2F", "/");
        match head.method {
            Method::PUT => drop(state.values.insert(name, body)),
            Method::DELETE => drop(state.values.remove(&name)),
            _ => {
                let found = state.values.get(&name).cloned();
                return found.map_or(StatusCode::NOT_FOUND.into_response(), Bytes::into_response);
            }
        }
        json!({ "success": true, "errors": [], "messages": [], "result": null })
            .to_string()
            .into_response()
    }

    /// Three names a page.
    fn page(state: &Values, uri: &axum::http::Uri) -> Response {
        let Query(asked) = Query::<BTreeMap<String, String>>::try_from_uri(uri).unwrap();
        let after = asked.get("cursor").cloned().unwrap_or_default();
        let names: Vec<_> = state
            .values
            .keys()
            .filter(|name| name.starts_with(&asked["prefix"]) && **name > after)
            .take(3)
            .collect();
        let cursor = if names.len() < 3 { "" } else { names[2].as_str() };
        let result: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
        let info = json!({ "count": names.len(), "cursor": cursor });
        json!({ "success": true, "result": result, "result_info": info })
            .to_string()
            .into_response()
    }

    fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().values.keys().cloned().collect()
    }
}

impl Files for Kv {
    async fn file(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.0.lock().unwrap();
        state.values.get(&format!("feed/{name}")).map(|bytes| bytes.to_vec())
    }
}

// P05, A07: the feed is published through the API of Workers KV; while that fails, revocations go on and the failure
// is a finding; what is old is removed there, other keys are not; and the token is in no log.
#[tokio::test]
async fn workers_kv_is_written_through_its_api() {
    let folder = tempfile::tempdir().unwrap();
    let kv = Kv::default();
    let api = kv.serve().await;
    let secrets = folder.path().join("secrets.toml");
    let content =
        format!("cloudflare_api_token = \"secret-token\"\ncloudflare_base_url = \"{api}\"");
    std::fs::write(&secrets, content).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&secrets, std::fs::Permissions::from_mode(0o600)).unwrap();
    kv.0.lock().unwrap().values.insert("feed/other".to_owned(), Bytes::from_static(b"x"));
    let environment = [
        ("OFFSWITCH_PUBLISH_TO", "workers-kv://0123/4567/feed"),
        ("OFFSWITCH_PUBLISH_SECRETS_FILE", secrets.to_str().unwrap()),
    ];
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    let issuer = plane.issuer();
    let mut follower = Follower::start(&plane, &issuer).await;
    let token = plane.login("alice").await;
    plane.posted("/v1/revocations", &json!({ "sub": "alice" })).await;
    until_current(&mut follower, &issuer, &kv, "alice").await;
    assert_eq!(follower.judge(text(&token, "access_token")), "revoked_user");
    kv.0.lock().unwrap().is_down = true;
    plane.posted("/v1/revocations", &json!({ "sub": "bob" })).await;
    while !plane.got("/v1/status").await.to_string().is_empty() {
        let ready = plane.request(Method::GET, "/readyz").send().await.unwrap();
        assert_eq!(ready.status(), 200, "a place that fails makes no process unready");
        if ready.text().await.unwrap().contains("publication_failed") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    kv.0.lock().unwrap().is_down = false;
    until_current(&mut follower, &issuer, &kv, "bob").await;
    let wrong = kv.0.lock().unwrap().wrong.clone();
    assert_eq!(wrong, [""; 0]);
    assert!(kv.names().contains(&"feed/other".to_owned()));
    assert!(kv.names().iter().any(|name| name.starts_with("feed/bases/")));
    assert!(!plane.log().contains("secret-token"));
}

// P05: all parts of a listing that has several pages are found.
#[tokio::test]
async fn every_page_of_a_listing_is_read_and_parts_are_removed() {
    use offswitch::plane::{PublicationSecrets, PublishTo};
    let kv = Kv::default();
    let api = kv.serve().await;
    let text = format!("cloudflare_api_token = \"secret-token\"\ncloudflare_base_url = \"{api}\"");
    let secrets = PublicationSecrets::parse(&text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let addresses =
        ["workers-kv://0123/4567/feed".to_owned(), format!("file://{}", folder.path().display())];
    for address in addresses {
        let place = address.parse::<PublishTo>().unwrap().open(&secrets).unwrap();
        assert_eq!((place.head().await.unwrap(), place.parts().await.unwrap()), (None, vec![]));
        let mut parts: Vec<Part> =
            (1..9).map(|one| format!("deltas/7.{one}_7.9").parse().unwrap()).collect();
        parts.push("bases/7.1-0011223344556677".parse().unwrap());
        for part in &parts {
            place.write_part(*part, Bytes::from_static(b"part")).await.unwrap();
        }
        assert!(place.write_head(Bytes::from_static(b"{}"), None).await.unwrap());
        let (text, version) = place.head().await.unwrap().unwrap();
        assert_eq!(&text[..], b"{}");
        // Something larger than a head may be is not one, and is written over.
        let large = Bytes::from(vec![b' '; 70_000]);
        assert!(place.write_head(large, Some(&version)).await.unwrap());
        let (text, version) = place.head().await.unwrap().unwrap();
        assert!(text.is_empty());
        assert!(place.write_head(Bytes::from_static(b"[]"), Some(&version)).await.unwrap());
        let mut listed = place.parts().await.unwrap();
        listed.sort();
        parts.sort();
        assert_eq!(listed, parts, "{address}");
        place.remove(parts[0]).await.unwrap();
        place.remove(parts[0]).await.unwrap();
        assert_eq!(place.parts().await.unwrap().len(), parts.len() - 1);
    }
}

const NAMESPACE: &str = "/client/v4/accounts/0123/storage/kv/namespaces/4567";
