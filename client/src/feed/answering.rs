//! Says which position is held, when the server asks: there a request waits until a revocation is applied.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use offswitch_verifier::snapshot::Position;
use rustls::crypto::ring;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use super::FeedClient;
use super::source::Source;
use crate::http::{Answer, Limits};
use crate::options::FeedOptions;

/// A question of a server for the position that is held. A relay answers it for its followers, too.
#[derive(Clone)]
pub struct Question {
    ask: String,
    source: Arc<Source>,
}

/// How questions are answered.
pub(super) struct Answering {
    /// What the follower says about itself with each request.
    introduction: Option<HeaderValue>,
    /// The last question to a relay.
    questions: watch::Sender<Option<Question>>,
    /// A server that asks without end gets no more answers at the same time.
    places: Arc<Semaphore>,
}

impl Answering {
    pub(super) fn new(settings: &FeedOptions) -> Self {
        let mut id = [0; 16];
        // The id is a secret of follower and server: the server counts what its holder says.
        let is_random = ring::default_provider().secure_random.fill(&mut id).is_ok();
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let introduction = is_random.then(|| settings.introduction(&id));
        let introduction = introduction.and_then(|text| HeaderValue::try_from(text).ok());
        let introduction = introduction.map(|mut value| {
            value.set_sensitive(true);
            value
        });
        let (questions, places) =
            (watch::Sender::new(None), Arc::new(Semaphore::new(MOST_ANSWERS)));
        Self { introduction, questions, places }
    }

    /// The header with which the follower introduces itself.
    pub(super) fn introduction(&self) -> Option<(HeaderName, HeaderValue)> {
        self.introduction.clone().map(|value| (FOLLOWER_HEADER, value))
    }
}

impl FeedClient {
    /// Answers a question, without delaying what the stream brings next. A relay answers later, for its followers too.
    pub(super) fn take_question(&self, source: &Arc<Source>, ask: String) {
        let question = Question { ask, source: Arc::clone(source) };
        if self.settings.is_relay {
            self.answering.questions.send_replace(Some(question));
            return;
        }
        let place = self.answering.places.clone().try_acquire_owned();
        let (Ok(place), Some(position)) = (place, self.intake.engine.since()) else { return };
        let Some(request) = self.answer_to(&question, position, None) else { return };
        let client = Arc::clone(&self.client);
        tokio::spawn(async move {
            // An answer that is lost is asked for again.
            let _ = client.answer(request.map(Into::into), ANSWER).await;
            drop(place);
        });
    }

    /// The questions to a relay.
    pub(crate) fn questions(&self) -> watch::Receiver<Option<Question>> {
        self.answering.questions.subscribe()
    }

    /// Answers a question as a relay, with what it reports about its followers. False if the answer does not count.
    pub(crate) async fn answer(
        &self,
        question: &Question,
        position: Position,
        behind: Value,
    ) -> bool {
        let Some(request) = self.answer_to(question, position, Some(behind)) else { return false };
        let answered = self.client.answer(request.map(Into::into), ANSWER).await;
        answered.is_ok_and(|Answer { status, .. }| status == StatusCode::OK)
    }

    fn answer_to(
        &self,
        Question { ask, source }: &Question,
        position: Position,
        behind: Option<Value>,
    ) -> Option<Request<String>> {
        let mut body = json!({ "ask": ask, "position": position.to_string() });
        if let Some(behind) = behind {
            body["behind"] = behind;
        }
        let mut request = Request::new(body.to_string());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = source.address("/position", None, 0.0).parse().ok()?;
        let headers = request.headers_mut();
        headers.extend(source.headers());
        headers.extend(self.answering.introduction());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Some(request)
    }
}

/// The header with which a follower introduces itself.
const FOLLOWER_HEADER: HeaderName = HeaderName::from_static("offswitch-follower");
/// The next question may come before the answer to the one before was read.
const MOST_ANSWERS: usize = 2;
const ANSWER: Limits = Limits { bytes: 4096, time: Duration::from_secs(5) };
