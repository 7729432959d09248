//! The management of streams (SSF 1.0 section 8.1), and delivery by push.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::super::follower::now;
use super::{POLL, PUSH, Refused, Shared, Stream, json_answer};

type Asked = Query<BTreeMap<String, String>>;

/// One stream, or all.
pub(super) async fn read(
    State(shared): State<Arc<Shared>>,
    Query(query): Asked,
    headers: HeaderMap,
) -> Response {
    if let Err(refused) = shared.authorize(&headers) {
        return refused.into_response();
    }
    if !query.contains_key("stream_id") {
        shared.gather().await;
    }
    let inner = shared.inner.lock().unwrap();
    let describe = |(id, one): (&String, &Stream)| shared.describe(&inner.audience, id, one);
    match query.get("stream_id") {
        Some(id) => match inner.streams.get_key_value(id) {
            Some(found) => json_answer(StatusCode::OK, &describe(found)),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        None => {
            let all: Vec<Value> = inner.streams.iter().map(describe).collect();
            json_answer(StatusCode::OK, &json!(all))
        }
    }
}

/// A new stream. It takes a while, in which another may be created.
pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let asked = match shared.object(&headers, &body).and_then(|asked| shared.check(asked)) {
        Ok(asked) => asked,
        Err(refused) => return refused.into_response(),
    };
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let mut inner = shared.inner.lock().unwrap();
    if !inner.allows_many_streams && !inner.streams.is_empty() {
        return StatusCode::CONFLICT.into_response();
    }
    inner.created += 1;
    let id = format!("stream {}", inner.created);
    let mut stream = Stream::default();
    stream.adopt(&asked);
    let described = shared.describe(&inner.audience, &id, &stream);
    inner.streams.insert(id, stream);
    json_answer(StatusCode::CREATED, &described)
}

/// Changes a stream.
pub(super) async fn update(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let asked = match shared.object(&headers, &body).and_then(|asked| shared.check(asked)) {
        Ok(asked) => asked,
        Err(refused) => return refused.into_response(),
    };
    let mut inner = shared.inner.lock().unwrap();
    let audience = inner.audience.clone();
    inner.updated += 1;
    let id = asked["stream_id"].as_str().unwrap_or_default().to_owned();
    let Some(stream) = inner.streams.get_mut(&id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    stream.adopt(&asked);
    json_answer(StatusCode::OK, &shared.describe(&audience, &id, stream))
}

pub(super) async fn status(
    State(shared): State<Arc<Shared>>,
    Query(query): Asked,
    headers: HeaderMap,
) -> Response {
    if let Err(refused) = shared.authorize(&headers) {
        return refused.into_response();
    }
    let inner = shared.inner.lock().unwrap();
    match query.get("stream_id").filter(|id| inner.streams.contains_key(*id)) {
        Some(id) => {
            json_answer(StatusCode::OK, &json!({ "stream_id": id, "status": inner.status }))
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

pub(super) async fn add_subject(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let asked = match shared.object(&headers, &body) {
        Ok(asked) => asked,
        Err(refused) => return refused.into_response(),
    };
    if !asked["subject"]["format"].is_string() {
        return shared.violation("a subject has no format").into_response();
    }
    let mut inner = shared.inner.lock().unwrap();
    let stream = inner.streams.get_mut(asked["stream_id"].as_str().unwrap_or_default());
    let Some(stream) = stream else { return StatusCode::NOT_FOUND.into_response() };
    stream.subjects.push(asked["subject"].clone());
    StatusCode::OK.into_response()
}

/// Sends a verification event with the state.
pub(super) async fn verify(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let asked = match shared.object(&headers, &body) {
        Ok(asked) => asked,
        Err(refused) => return refused.into_response(),
    };
    let id = asked["stream_id"].as_str().unwrap_or_default().to_owned();
    let mut inner = shared.inner.lock().unwrap();
    let state = inner.state.clone().map_or_else(|| asked["state"].clone(), Value::from);
    let audience = inner.audience.clone();
    let Some(stream) = inner.streams.get_mut(&id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let jti = format!("verification {} {}", stream.given_out.len(), stream.acknowledged.len());
    let event = "https://schemas.openid.net/secevent/ssf/event-type/verification";
    let token = shared.sign(&json!({
        "iss": shared.url, "aud": audience, "iat": now(), "jti": jti,
        "sub_id": { "format": "opaque", "id": id }, "events": { event: { "state": state } },
    }));
    match stream.push_to.clone() {
        Some(address) => drop(tokio::spawn(push(shared.clone(), id, address, jti, token))),
        None => drop(stream.outstanding.insert(jti, token.into())),
    }
    shared.news.notify_waiters();
    StatusCode::NO_CONTENT.into_response()
}

/// Pushes one event (RFC 8935).
async fn push(shared: Arc<Shared>, id: String, address: String, jti: String, token: String) {
    let request = shared.client.post(address).header("content-type", "application/secevent+jwt");
    let answer = request.body(token).send().await.unwrap();
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    let mut inner = shared.inner.lock().unwrap();
    let stream = inner.streams.get_mut(&id).unwrap();
    if status == 202 {
        stream.acknowledged.insert(jti);
    } else {
        let error = serde_json::from_str(&text).unwrap_or_else(|_| json!(status));
        stream.refused.insert(jti, error);
    }
}

impl Shared {
    /// Waits until as many lists are asked for as are held together.
    async fn gather(&self) {
        self.inner.lock().unwrap().lists.0 += 1;
        for _ in 0..300 {
            let (asked, count) = self.inner.lock().unwrap().lists;
            if asked >= count {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// The members of a request that a receiver supplies.
    fn check(&self, asked: Value) -> Result<Value, Refused> {
        let known = ["delivery", "events_requested", "description", "stream_id"];
        let other = asked.as_object().unwrap().keys().find(|name| !known.contains(&name.as_str()));
        let requested = asked["events_requested"].as_array();
        let delivery = &asked["delivery"];
        let address = delivery.get("endpoint_url").and_then(Value::as_str);
        let is_good = match delivery["method"].as_str() {
            Some(PUSH) => address.is_some() && delivery.get("authorization_header").is_none(),
            Some(POLL) => address.is_none(),
            _ => false,
        };
        let has_events =
            requested.is_some_and(|all| !all.is_empty() && all.iter().all(Value::is_string));
        if other.is_none() && is_good && has_events {
            return Ok(asked);
        }
        Err(self.violation(&format!("a stream is asked for with {asked}")))
    }

    fn describe(&self, audience: &str, id: &str, stream: &Stream) -> Value {
        let endpoint = match &stream.push_to {
            Some(address) => address.clone(),
            None => format!("{}/poll/{}", self.url, id.replace(' ', "%20")),
        };
        let delivered: Vec<&Value> = stream.requested.as_array().unwrap().iter().take(3).collect();
        json!({
            "stream_id": id, "iss": self.url, "aud": [audience],
            "delivery": { "method": stream.method, "endpoint_url": endpoint },
            "events_requested": stream.requested, "events_delivered": delivered,
            "description": stream.description, "min_verification_interval": 0,
        })
    }
}

impl Stream {
    fn adopt(&mut self, asked: &Value) {
        let delivery = &asked["delivery"];
        self.method = delivery["method"].as_str().unwrap().to_owned();
        self.push_to = delivery["endpoint_url"].as_str().map(str::to_owned);
        self.requested = asked["events_requested"].clone();
        self.description = asked["description"].clone();
    }
}
