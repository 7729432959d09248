//! A transmitter of the Shared Signals Framework 1.0 over real HTTP: discovery, streams, status, subjects,
//! verification, push (RFC 8935) and poll (RFC 8936). It is strict: a request that the specifications do
//! not allow is answered with 400 and noted. It keeps each event until it is acknowledged or refused.

mod polls;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::follower::now;
use super::provider::Provider;

/// How polls are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polls {
    /// As the specification says.
    Good,
    /// With the status, and with a `Retry-After` of that many seconds.
    Status(u16, u64),
    /// With a body that is larger than any answer.
    Huge,
    /// With the same events again and again, and the word that there are more.
    MoreForever,
    NotJson,
    /// To another address, which would be a good one.
    Redirected,
    /// Byte by byte, and never to the end.
    Slow,
    WrongType,
}

/// The transmitter, stopped when it is dropped.
pub(crate) struct Transmitter {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    url: String,
    signer: Provider,
    inner: Mutex<Inner>,
    news: Notify,
    client: reqwest::Client,
}

/// What it is, and what it has seen.
struct Inner {
    polls: Polls,
    /// How long a poll is held.
    hold: Duration,
    allows_many_streams: bool,
    begins_without_subjects: bool,
    audience: String,
    /// What it sends back in place of the state that it was given.
    state: Option<String>,
    status: &'static str,
    streams: BTreeMap<String, Stream>,
    created: usize,
    updated: usize,
    violations: Vec<String>,
    bodies: Vec<Value>,
    /// How many lists of streams were asked for, and until how many they are held.
    lists: (usize, usize),
}

#[derive(Default)]
struct Stream {
    method: String,
    push_to: Option<String>,
    requested: Value,
    description: Value,
    subjects: Vec<Value>,
    outstanding: BTreeMap<String, Value>,
    given_out: BTreeSet<String>,
    acknowledged: BTreeSet<String>,
    refused: BTreeMap<String, Value>,
}

impl Transmitter {
    /// One whose events are for `https://rp.example`.
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Inner {
            polls: Polls::Good,
            hold: Duration::from_secs(20),
            allows_many_streams: true,
            begins_without_subjects: false,
            audience: "https://rp.example".to_owned(),
            state: None,
            status: "enabled",
            streams: BTreeMap::new(),
            created: 0,
            updated: 0,
            violations: vec![],
            bodies: vec![],
            lists: (0, 0),
        };
        let shared = Arc::new(Shared {
            url,
            signer: Provider::start().await,
            inner: Mutex::new(inner),
            news: Notify::new(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        });
        let router = Router::new()
            .route("/.well-known/ssf-configuration", get(configuration))
            .route("/streams", get(streams::read).post(streams::create).patch(streams::update))
            .route("/status", get(streams::status))
            .route("/subjects", post(streams::add_subject))
            .route("/verify", post(streams::verify))
            .route("/poll/{id}", post(polls::poll))
            .with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { shared, task }
    }

    /// Its `iss`, and its address.
    pub(crate) fn issuer(&self) -> &str {
        &self.shared.url
    }

    /// Its key set.
    pub(crate) fn jwks_uri(&self) -> String {
        format!("{}/jwks", self.shared.signer.issuer())
    }

    /// What signs its events.
    pub(crate) fn signer(&self) -> &Provider {
        &self.shared.signer
    }

    /// Makes a stream by hand, as an operator would; returns where it is polled.
    pub(crate) fn make_stream(&self, id: &str, description: Option<&str>) -> String {
        let stream = Stream {
            method: POLL.to_owned(),
            requested: json!(["a:b"]),
            description: json!(description),
            ..Stream::default()
        };
        self.inner().streams.insert(id.to_owned(), stream);
        format!("{}/poll/{id}", self.shared.url)
    }

    /// Forgets all streams.
    pub(crate) fn delete_streams(&self) {
        self.inner().streams.clear();
    }

    /// Answers polls that are held.
    pub(crate) fn wake(&self) {
        self.shared.news.notify_waiters();
    }

    /// Sends an event over every stream.
    pub(crate) fn emit(&self, jti: &str, claims: &Value) {
        let token = self.sign(claims);
        self.emit_text(jti, &json!(token));
    }

    /// Sends anything in place of an event.
    pub(crate) fn emit_text(&self, jti: &str, text: &Value) {
        for stream in self.inner().streams.values_mut() {
            stream.outstanding.insert(jti.to_owned(), text.clone());
        }
        self.shared.news.notify_waiters();
    }

    /// Signs an event.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.shared.sign(claims)
    }

    /// The claims of an event of one kind about a user of `issuer`.
    pub(crate) fn claims(&self, jti: &str, event: &str, issuer: &str, sub: &str) -> Value {
        json!({
            "iss": self.issuer(), "aud": self.inner().audience, "iat": now(), "jti": jti,
            "sub_id": { "format": "iss_sub", "iss": issuer, "sub": sub }, "events": { event: {} },
        })
    }

    /// How polls are answered from now on. Those that are held are answered like that, too.
    pub(crate) fn answer(&self, polls: Polls) {
        self.inner().polls = polls;
        self.shared.news.notify_waiters();
    }

    /// Changes what it is.
    pub(crate) fn set(&self, hold: Duration, state: Option<&str>, status: &'static str) {
        let mut inner = self.inner();
        (inner.hold, inner.state, inner.status) = (hold, state.map(str::to_owned), status);
    }

    /// Holds lists of streams until that many are asked for, or a few seconds have passed.
    pub(crate) fn gather_lists(&self, count: usize) {
        self.inner().lists = (0, count);
    }

    /// Allows one stream for each receiver, and sends events only of subjects that are added.
    pub(crate) fn be_narrow(&self) {
        let mut inner = self.inner();
        (inner.allows_many_streams, inner.begins_without_subjects) = (false, true);
    }

    /// Sends events for another audience.
    pub(crate) fn address_to(&self, audience: &str) {
        self.inner().audience = audience.to_owned();
    }

    /// The `jti` of all events that were acknowledged, over any stream.
    pub(crate) fn acknowledged(&self) -> BTreeSet<String> {
        let inner = self.inner();
        inner.streams.values().flat_map(|one| one.acknowledged.clone()).collect()
    }

    /// The `jti` of all events that are neither acknowledged nor refused.
    pub(crate) fn outstanding(&self) -> BTreeSet<String> {
        let inner = self.inner();
        inner.streams.values().flat_map(|one| one.outstanding.keys().cloned()).collect()
    }

    /// How many events were given out at least once.
    pub(crate) fn given_out(&self) -> usize {
        self.inner().streams.values().map(|one| one.given_out.len()).sum()
    }

    /// What was refused, with the error.
    pub(crate) fn refused(&self) -> BTreeMap<String, Value> {
        self.inner().streams.values().flat_map(|one| one.refused.clone()).collect()
    }

    /// The bodies of the polls.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.inner().bodies.clone()
    }

    /// The streams: id, method, where it pushes to, requested events and subjects.
    pub(crate) fn streams(&self) -> Vec<Value> {
        let describe = |(id, one): (&String, &Stream)| {
            json!({ "id": id, "method": one.method, "push_to": one.push_to,
                    "requested": one.requested, "subjects": one.subjects })
        };
        self.inner().streams.iter().map(describe).collect()
    }

    /// How many streams were created and updated by request.
    pub(crate) fn changes(&self) -> (usize, usize) {
        let inner = self.inner();
        (inner.created, inner.updated)
    }

    /// What the specifications do not allow.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.inner().violations.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap()
    }
}

impl Drop for Transmitter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The answer to a request that the transmitter refuses.
type Refused = (StatusCode, String);

impl Shared {
    fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": "EdDSA", "kid": "k1", "typ": "secevent+jwt" });
        self.signer.sign_text(&header, &claims.to_string())
    }

    /// 401 unless the request has the token.
    fn authorize(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let found = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        match found {
            Some(found) if found == format!("Bearer {TOKEN}") => Ok(()),
            _ => Err((StatusCode::UNAUTHORIZED, String::new())),
        }
    }

    /// The object in the body of a request with the token. 400, and a note, if it is not that.
    fn object(&self, headers: &HeaderMap, body: &str) -> Result<Value, Refused> {
        self.authorize(headers)?;
        let is_json =
            headers.get(header::CONTENT_TYPE).is_some_and(|value| value == "application/json");
        let object = serde_json::from_str::<Value>(body).ok().filter(Value::is_object);
        object.filter(|_| is_json).ok_or_else(|| self.violation("not a JSON object"))
    }

    fn violation(&self, text: &str) -> Refused {
        self.inner.lock().unwrap().violations.push(text.to_owned());
        (StatusCode::BAD_REQUEST, text.to_owned())
    }
}

async fn configuration(State(shared): State<Arc<Shared>>) -> Response {
    let Shared { url, signer, .. } = &*shared;
    let begins_without = shared.inner.lock().unwrap().begins_without_subjects;
    json_answer(
        StatusCode::OK,
        &json!({
            "spec_version": "1_0", "issuer": url, "jwks_uri": format!("{}/jwks", signer.issuer()),
            "configuration_endpoint": format!("{url}/streams?v=1"),
            "status_endpoint": format!("{url}/status"),
            "add_subject_endpoint": format!("{url}/subjects"),
            "verification_endpoint": format!("{url}/verify"),
            "delivery_methods_supported": [PUSH, POLL],
            "default_subjects": if begins_without { "NONE" } else { "ALL" },
        }),
    )
}

fn json_answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// The bearer token that it knows its receiver by.
pub(crate) const TOKEN: &str = "receiver-token.0123";
const PUSH: &str = "urn:ietf:rfc:8935";
const POLL: &str = "urn:ietf:rfc:8936";
