//! Polls a transmitter for events (RFC 8936). An event that is polled goes the way of one that is pushed,
//! and is acknowledged with the poll after the one that brought it: its revocation is durable then.
//!
//! What was not acknowledged comes again, to this process or to another. So nothing is lost that is not
//! recorded yet, and nothing needs to be remembered here.

use std::time::{Duration, Instant};

use axum::http::Method;
use futures_util::{StreamExt, stream};
use offswitch_core::receivers::{MOST_POLLED_BYTES, Pace, Polled, ReceiverKind, Refusal, Replies};
use tokio::sync::{Notify, watch};

use super::transmitter::{Call, CallFailure};
use super::{Arrival, Delivery, ReceiverError, ReceiverFailure, Receivers};
use crate::audit::collect_own;
use crate::master_key::random_bytes;
use crate::store::Store;
use offswitch_client::http::Limits;

/// One poll.
struct Ask<'a> {
    name: &'a str,
    token: Option<&'a str>,
    address: &'a str,
    most_events: usize,
}

/// What came of one poll.
struct Answered {
    /// What to say about the events with the next poll.
    replies: Replies,
    /// True if the answer had an event that was not replied to before.
    has_news: bool,
    /// Why an event could be neither recorded nor refused.
    undecided: Option<Refusal>,
}

impl Receivers {
    /// Polls for the events of the issuer of this name wherever `endpoint` says, until the task ends.
    /// Reports it if the stream seems to be `lost`.
    pub(super) async fn keep_polling(
        &self,
        name: &str,
        token: Option<&str>,
        mut endpoint: watch::Receiver<Option<String>>,
        lost: &Notify,
    ) {
        let (mut pace, mut replies) = (Pace::default(), Replies::default());
        loop {
            let Ok(address) = endpoint.wait_for(Option::is_some).await.map(|one| one.clone())
            else {
                return;
            };
            let begun = Instant::now();
            let address = address.unwrap_or_default();
            let ask = Ask { name, token, address: &address, most_events: pace.most_events() };
            let polled = self.poll(ask, &replies).await;
            let (outcome, pause, error) = match polled {
                Ok(Answered { replies: next, has_news, undecided }) => {
                    replies = next;
                    match undecided {
                        None => {
                            let outcome = if has_news { "events" } else { "quiet" };
                            (outcome, pace.succeeded(has_news), None)
                        }
                        Some(refusal) => ("undecided", pace.undecided(random()), Some(refusal)),
                    }
                }
                Err(failure) => {
                    // A transmitter that has answered may refuse the replies themselves. What they
                    // were about comes again.
                    if failure.status.is_some() {
                        replies = Replies::default();
                    }
                    if failure.status.is_some_and(|status| status.is_client_error()) {
                        lost.notify_one();
                    }
                    let pause = pace.failed(failure.retry_after, random());
                    ("failed", pause, Some(failure.refusal))
                }
            };
            self.note_poll(name, outcome, error);
            tokio::time::sleep_until((begun + pause).into()).await;
        }
    }

    async fn poll(&self, ask: Ask<'_>, replies: &Replies) -> Result<Answered, CallFailure> {
        let Ask { name, token, address, most_events } = ask;
        let call = Call {
            method: Method::POST,
            address,
            token,
            body: Some(replies.request(most_events)),
            limits: Limits { bytes: MOST_POLLED_BYTES, time: LONGEST_POLL },
        };
        let answer = self.transmitters.json(call).await?;
        let polled = Polled::read(&answer.body)?;
        let has_news = polled.has_news(replies);
        let take = async |(jti, token): (String, Option<String>)| {
            let token = token.unwrap_or_default();
            let delivery = Delivery::Poll { jti: &jti };
            let arrival = Arrival { now: self.store.now(), source: None };
            let token = token.trim_ascii_end();
            let taking = self.take_delivered(name, token, delivery, arrival);
            let taken = collect_own(&self.audit, "takeEvent", taking).await;
            (jti, taken)
        };
        let mut taken = stream::iter(polled.events).map(take).buffer_unordered(TAKEN_TOGETHER);
        let mut answered = Answered { replies: Replies::default(), has_news, undecided: None };
        while let Some((jti, taken)) = taken.next().await {
            match taken {
                Ok(()) => answered.replies.acknowledge(jti),
                Err(ReceiverError::Refused(refusal)) => answered.replies.refuse(jti, &refusal),
                Err(error) => {
                    let (code, detail) = (error.code(), error.detail());
                    answered.undecided = Some(Refusal { code, detail });
                }
            }
        }
        Ok(answered)
    }

    fn note_poll(&self, name: &str, outcome: &'static str, error: Option<Refusal>) {
        metrics::counter!("offswitch_polls_total", "issuer" => name.to_owned(), "outcome" => outcome)
            .increment(1);
        let now = self.store.now();
        self.with_state(name, ReceiverKind::Events, |state| {
            let polling = &mut state.status.polling;
            if outcome != "failed" {
                polling.answered_at = Some(now);
            }
            let is_known = polling.error.as_ref().map(|held| held.code)
                == error.as_ref().map(|refusal| refusal.code);
            if let Some(Refusal { code, detail }) = error.as_ref().filter(|_| !is_known) {
                tracing::warn!(issuer = name, code, detail, "events cannot be polled");
            }
            polling.error = error.map(|refusal| ReceiverFailure::new(now, &refusal));
        });
    }
}

/// For the pauses between attempts: processes that failed together do not try again together.
pub(super) fn random() -> u8 {
    let [random] = random_bytes();
    random
}

/// How long a transmitter may hold a poll. A connection that was lost without a word is noticed then.
const LONGEST_POLL: Duration = Duration::from_secs(60);
/// How many events of an answer are judged at the same time, so that their records go to the store together.
const TAKEN_TOGETHER: usize = 32;
