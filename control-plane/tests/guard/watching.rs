//! Connections that stay open: the callback when their token is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;

use crate::support::guard::{Guard, code, issuer_of, revoke, session};
use crate::support::process::ControlPlane;

/// What closes connections: answers 500 at first, to be called again.
pub(crate) async fn callback() -> (String, Receiver<Value>) {
    let (calls, called) = channel(16);
    let is_later = Arc::new(AtomicBool::new(false));
    let handler = move |Json(body): Json<Value>| {
        let (calls, is_later) = (calls.clone(), is_later.clone());
        async move {
            calls.send(body).await.unwrap();
            match is_later.swap(true, Ordering::Relaxed) {
                false => StatusCode::INTERNAL_SERVER_ERROR,
                true => StatusCode::NO_CONTENT,
            }
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/ended", listener.local_addr().unwrap());
    tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/ended", post(handler))).await.unwrap();
    });
    (url, called)
}

const ROUTES: &str = "[[routes]]\npaths = [\"/socket\"]\nwatch_seconds = 60\n\
                      [[routes]]\npaths = [\"/other\"]\n";

#[tokio::test]
async fn the_callback_hears_of_a_token_that_is_revoked_while_its_connection_is_open() {
    let plane = ControlPlane::start().await;
    let (url, mut called) = callback().await;
    let settings = format!("gateway = \"nginx\"\nwatch_callback = \"{url}\"\nmax_watched = 2");
    let guard = Guard::start(&plane, &settings, &(issuer_of(&plane) + ROUTES)).await;
    let (session_id, token) = session(&plane, "ann", "read").await;
    let (_, other) = session(&plane, "bob", "read").await;
    let open = async |token: &str, id: &str| {
        let about = guard.about("GET", "/socket").bearer_auth(token).header("x-request-id", id);
        code(&about.send().await.unwrap())
    };
    assert_eq!(open(&token, "7").await, (200, "valid".to_owned()));
    assert_eq!(open(&other, "8").await, (200, "valid".to_owned()));
    // There is a bound, and without an id nothing could be closed.
    assert_eq!(open(&other, "9").await, (503, "too_many_watched".to_owned()));
    assert_eq!(guard.asked("GET", "/socket", &token).await, (503, "misconfigured".to_owned()));
    assert_eq!(guard.asked("GET", "/other", &token).await, (200, "valid".to_owned()));
    let begin = Instant::now();
    revoke(&plane, &session_id).await;
    for _ in 0..2 {
        // The first call was answered 500.
        let call = timeout(Duration::from_secs(10), called.recv()).await.unwrap().unwrap();
        assert_eq!(call, json!({ "id": "7", "outcome": "refused", "code": "revoked_session" }));
    }
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    // Its place is free again, and the other token is good.
    let begin = Instant::now();
    while open(&other, "9").await.0 != 200 {
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
    assert!(timeout(Duration::from_millis(300), called.recv()).await.is_err());
}
