//! A follower made of plain requests.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::process::ControlPlane;

/// A client of the feed, which says what the test wants.
#[derive(Clone)]
pub(crate) struct RawFollower {
    client: Client,
    url: String,
    /// Where its answers go: a load balancer may bring them to another process.
    answers_url: String,
    key: String,
    introduction: String,
}

impl RawFollower {
    /// One with this API key, whose id is this byte again and again.
    pub(crate) fn new(plane: &ControlPlane, key: &str, id: u8, more: &str) -> Self {
        let client = Client::builder().no_proxy().build().unwrap();
        let url = format!("http://127.0.0.1:{}/v1/feed", plane.port());
        let introduction = format!("{}{more}", format!("{id:02x}").repeat(16));
        let answers_url = url.clone();
        Self { client, url, answers_url, key: key.trim().to_owned(), introduction }
    }

    /// The same follower, whose answers come to another process.
    pub(crate) fn answering_at(&self, plane: &ControlPlane) -> Self {
        let answers_url = format!("http://127.0.0.1:{}/v1/feed", plane.port());
        Self { answers_url, ..self.clone() }
    }

    /// The same follower at another process.
    pub(crate) fn at(&self, plane: &ControlPlane) -> Self {
        let url = format!("http://127.0.0.1:{}/v1/feed", plane.port());
        Self { answers_url: url.clone(), url, ..self.clone() }
    }

    /// One with the first API key.
    pub(crate) fn of(plane: &ControlPlane, id: u8, more: &str) -> Self {
        Self::new(plane, &plane.admin_key(), id, more)
    }

    /// A request to the feed.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.introduced(self.client.request(method, format!("{}{path}", self.url)))
    }

    fn introduced(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request.bearer_auth(&self.key).header("offswitch-follower", &self.introduction)
    }

    /// Polls with what it holds; the status.
    pub(crate) async fn poll(&self, since: &str) -> u16 {
        let path = format!("?since={since}");
        self.request(Method::GET, &path).send().await.unwrap().status().as_u16()
    }

    /// Says that it holds `position`, with the token of a question; the code of the refusal, or nothing.
    pub(crate) async fn answer(&self, ask: &str, position: &str) -> String {
        let body = json!({ "ask": ask, "position": position });
        let request = self.client.post(format!("{}/position", self.answers_url));
        let answer = self.introduced(request).json(&body).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Follows the stream. Answers each question with `says`, which gets the position that was sent last.
    pub(crate) fn stream(
        &self,
        says: impl Fn(&str) -> Option<String> + Send + 'static,
    ) -> JoinHandle<()> {
        let raw = self.clone();
        tokio::spawn(async move {
            let answer = raw.request(Method::GET, "/stream").send().await.unwrap();
            assert!(answer.status().is_success());
            let (mut pieces, mut text, mut position) =
                (answer.bytes_stream(), String::new(), String::new());
            while let Some(Ok(piece)) = pieces.next().await {
                text.push_str(std::str::from_utf8(&piece).unwrap());
                while let Some((event, rest)) = text.split_once("\n\n") {
                    let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                    if let Some(id) = line("id: ") {
                        position = id.to_owned();
                    }
                    if line("event: ") == Some("position")
                        && let Some(said) = says(&position)
                    {
                        raw.answer(line("data: ").unwrap(), &said).await;
                    }
                    text = rest.to_owned();
                }
            }
        })
    }
}

/// An honest one.
pub(crate) fn honest(position: &str) -> Option<String> {
    Some(position.to_owned())
}

/// Waits until that many followers are connected.
pub(crate) async fn until_connected(plane: &ControlPlane, count: usize) {
    let begin = Instant::now();
    loop {
        let listed = plane.got("/v1/followers").await;
        let all = listed["followers"].as_array().unwrap();
        if all.iter().filter(|one| one["connected"] == true).count() == count {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{listed}");
        sleep(Duration::from_millis(20)).await;
    }
}
