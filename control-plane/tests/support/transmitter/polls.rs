//! The poll endpoint (RFC 8936 section 2).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use super::{Polls, Shared, json_answer};

/// Takes replies, and answers with events once there are some or the time is over.
pub(super) async fn poll(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let request = match shared.object(&headers, &body) {
        Ok(request) => request,
        Err(refused) => return refused.into_response(),
    };
    if !shared.inner.lock().unwrap().streams.contains_key(&id) {
        return StatusCode::NOT_FOUND.into_response();
    }
    if let Err(violation) = shared.take_replies(&id, &request) {
        return shared.violation(&violation).into_response();
    }
    let most = request["maxEvents"].as_u64().map_or(usize::MAX, |most| most as usize);
    let is_immediate = request["returnImmediately"].as_bool().unwrap_or(false);
    let until = Instant::now() + shared.inner.lock().unwrap().hold;
    loop {
        let news = shared.news.notified();
        tokio::pin!(news);
        news.as_mut().enable();
        let Some((polls, sets, has_more)) = shared.give_out(&id, most) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        if polls != Polls::Good {
            return hostile(polls, &sets);
        }
        let is_over = is_immediate || Instant::now() >= until;
        if !sets.is_empty() || is_over {
            let body = json!({ "sets": sets, "moreAvailable": has_more });
            return json_answer(StatusCode::OK, &body);
        }
        let _ = timeout_at(until, news).await;
    }
}

impl Shared {
    fn take_replies(&self, id: &str, request: &Value) -> Result<(), String> {
        let mut inner = self.inner.lock().unwrap();
        inner.bodies.push(request.clone());
        let forgets = inner.polls == Polls::MoreForever;
        let stream = inner.streams.get_mut(id).ok_or("no such stream")?;
        for (name, value) in request.as_object().unwrap() {
            let is_good = match name.as_str() {
                "maxEvents" => value.is_u64(),
                "returnImmediately" => value.is_boolean(),
                "ack" => value.is_array(),
                "setErrs" => value.is_object(),
                _ => false,
            };
            if !is_good {
                return Err(format!("the member {name} is {value}"));
            }
        }
        for jti in request["ack"].as_array().into_iter().flatten() {
            let jti = jti.as_str().ok_or("ack is not of texts")?;
            if !stream.given_out.contains(jti) || stream.refused.contains_key(jti) {
                return Err(format!("{jti} is acknowledged, but was not given out"));
            }
            if !forgets {
                stream.outstanding.remove(jti);
            }
            stream.acknowledged.insert(jti.to_owned());
        }
        for (jti, error) in request["setErrs"].as_object().into_iter().flatten() {
            let code = error["err"].as_str().unwrap_or_default();
            let is_good = CODES.contains(&code) && error["description"].is_string();
            if !is_good || !stream.given_out.contains(jti) || stream.acknowledged.contains(jti) {
                return Err(format!("{jti} is refused with {error}"));
            }
            stream.outstanding.remove(jti);
            stream.refused.insert(jti.clone(), error.clone());
        }
        Ok(())
    }

    /// None if the stream was deleted.
    fn give_out(&self, id: &str, most: usize) -> Option<(Polls, Map<String, Value>, bool)> {
        let mut inner = self.inner.lock().unwrap();
        let (polls, status) = (inner.polls, inner.status);
        let stream = inner.streams.get_mut(id)?;
        if status != "enabled" {
            return Some((polls, Map::new(), false));
        }
        let most = if polls == Polls::MoreForever { usize::MAX } else { most };
        let sets: Map<String, Value> =
            stream.outstanding.iter().take(most).map(|(k, v)| (k.clone(), v.clone())).collect();
        stream.given_out.extend(sets.keys().cloned());
        let has_more = stream.outstanding.len() > sets.len();
        Some((polls, sets, has_more))
    }
}

fn hostile(polls: Polls, sets: &Map<String, Value>) -> Response {
    let good = json!({ "sets": sets }).to_string();
    let typed = |text: String| ([(header::CONTENT_TYPE, "application/json")], text).into_response();
    match polls {
        Polls::Good | Polls::WrongType => good.into_response(),
        Polls::Status(status, seconds) => {
            let status = StatusCode::from_u16(status).unwrap();
            (status, [(header::RETRY_AFTER, seconds.to_string())]).into_response()
        }
        Polls::Huge => typed(format!("{good}{}", " ".repeat(3 << 20))),
        Polls::MoreForever => typed(json!({ "sets": sets, "moreAvailable": true }).to_string()),
        Polls::NotJson => typed("<html>".to_owned()),
        Polls::Redirected => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/poll/1")]).into_response()
        }
        Polls::Slow => {
            let ticks = futures_util::stream::repeat(" ").then(async |one| {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                Ok::<_, std::io::Error>(one)
            });
            let head = [(header::CONTENT_TYPE, "application/json")];
            (head, Body::from_stream(ticks)).into_response()
        }
    }
}

/// RFC 8935 section 2.4, and SSF 1.0 section 8.1.4.1.
const CODES: [&str; 7] = [
    "access_denied",
    "authentication_failed",
    "invalid_audience",
    "invalid_issuer",
    "invalid_key",
    "invalid_request",
    "invalid_state",
];
