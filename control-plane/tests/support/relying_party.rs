//! A relying party: an HTTP server that takes what it is sent, and answers as the test says.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How the relying party answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    Accepts,
    /// With 200, and a body that never ends.
    Endless,
    Fails,
    /// With 503 and `Retry-After` of so many seconds.
    Later(u64),
    Redirects,
    Refuses,
    /// Never.
    Silent,
}

/// What the relying party was sent.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) at: Instant,
    pub(crate) headers: HeaderMap,
    pub(crate) token: String,
}

/// A relying party, stopped when it is dropped.
pub(crate) struct RelyingParty {
    port: u16,
    shared: Arc<Mutex<Shared>>,
    task: Option<JoinHandle<()>>,
}

struct Shared {
    answers: Answers,
    received: Vec<Received>,
}

impl RelyingParty {
    pub(crate) async fn start(answers: Answers) -> Self {
        let shared = Arc::new(Mutex::new(Shared { answers, received: vec![] }));
        let mut party = Self { port: 0, shared, task: None };
        party.come_up().await;
        party
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/notices", self.port)
    }

    /// Listens no more.
    pub(crate) async fn go_down(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Listens, at the same address as before.
    pub(crate) async fn come_up(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.port = listener.local_addr().unwrap().port();
        let router = Router::new().fallback(take).with_state(self.shared.clone());
        self.task = Some(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }));
    }

    /// Answers like this from now on.
    pub(crate) fn answer(&self, answers: Answers) {
        self.shared.lock().unwrap().answers = answers;
    }

    /// Everything it was sent.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.lock().unwrap().received.clone()
    }

    /// The same member of every token it was sent.
    pub(crate) fn all(&self, claim: &str) -> Vec<String> {
        let claim = |one: &Received| one.claims()[claim].as_str().unwrap_or_default().to_owned();
        self.received().iter().map(claim).collect()
    }

    /// Waits until it was sent so much.
    pub(crate) async fn until_received(&self, count: usize) -> Vec<Received> {
        let begin = Instant::now();
        loop {
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            assert!(begin.elapsed() < PATIENCE, "{} of {count} arrived", received.len());
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Received {
    /// The claims of the token, whose signature is not checked.
    pub(crate) fn claims(&self) -> Value {
        self.part(1)
    }

    pub(crate) fn header(&self) -> Value {
        self.part(0)
    }

    fn part(&self, place: usize) -> Value {
        let part = self.token.split('.').nth(place).unwrap();
        serde_json::from_slice(&Base64UrlUnpadded::decode_vec(part).unwrap()).unwrap()
    }
}

impl Drop for RelyingParty {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn take(
    State(shared): State<Arc<Mutex<Shared>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let token = text.strip_prefix("logout_token=").unwrap_or(&text).to_owned();
    let answers = {
        let mut shared = shared.lock().unwrap();
        shared.received.push(Received { at: Instant::now(), headers, token });
        shared.answers
    };
    match answers {
        Answers::Accepts => StatusCode::OK.into_response(),
        Answers::Endless => {
            let piece = || async { Some((Ok::<_, Infallible>("x".repeat(1 << 16)), ())) };
            Body::from_stream(futures_util::stream::unfold((), move |()| piece())).into_response()
        }
        Answers::Fails => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Answers::Later(seconds) => {
            let headers = [(header::RETRY_AFTER, seconds.to_string())];
            (StatusCode::SERVICE_UNAVAILABLE, headers).into_response()
        }
        Answers::Redirects => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/elsewhere")]).into_response()
        }
        Answers::Refuses => {
            (StatusCode::BAD_REQUEST, r#"{"error":"invalid_request"}"#).into_response()
        }
        Answers::Silent => std::future::pending().await,
    }
}

/// Longer than a lease and a pause.
const PATIENCE: Duration = Duration::from_secs(60);
