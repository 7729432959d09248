//! Questions in a stream, while a request waits.

use std::time::{Duration, Instant};

use axum::http::HeaderName;
use futures_util::StreamExt as _;
use futures_util::stream::{self, Stream};
use offswitch_snapshot::Position;
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::member::Asked;
use super::{Member, Present, Wanted};
use crate::feed::FeedEvent;

/// Whether a follower is to be asked.
enum Due {
    /// Now, with this token.
    Now(String),
    /// At that time, if it has not answered until then.
    At(Instant),
    /// Not before something changes.
    No,
}

/// The events of a stream to one follower, with questions for its position while a request waits. A question comes
/// after the snapshot that it is about.
pub fn asking(
    events: impl Stream<Item = FeedEvent> + Send + 'static,
    present: Present,
    since: Option<Position>,
) -> impl Stream<Item = FeedEvent> + Send + 'static {
    let wanted = present.member().roster.0.wanted.subscribe();
    let asking = Asking { events: Box::pin(events), wanted, present, sent: since };
    stream::unfold(asking, async |mut asking| {
        let event = asking.next().await?;
        Some((event, asking))
    })
}

struct Asking<E> {
    events: std::pin::Pin<Box<E>>,
    wanted: watch::Receiver<Option<Wanted>>,
    present: Present,
    /// What the follower has after what was sent.
    sent: Option<Position>,
}

impl<E: Stream<Item = FeedEvent>> Asking<E> {
    async fn next(&mut self) -> Option<FeedEvent> {
        loop {
            let wanted = *self.wanted.borrow_and_update();
            let due = self.present.member().due(wanted, self.sent, Instant::now());
            let again_at = match due {
                Due::Now(token) => return Some(FeedEvent::Ask(token)),
                Due::At(at) => Some(at),
                Due::No => None,
            };
            let again = async {
                match again_at {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let answered = async {
                match &self.present.member().entry {
                    Some(entry) => entry.answered.notified().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = self.events.next() => {
                    if let Some(FeedEvent::Snapshot(snapshot)) = &event {
                        self.sent = self.sent.max(Some(snapshot.position));
                        self.present.member().sent(snapshot.position, Instant::now());
                    }
                    return event;
                }
                // The sender lives as long as the roster, which this stream holds.
                _ = self.wanted.changed() => {}
                () = again => {}
                () = answered => {}
            }
        }
    }
}

impl Member {
    /// The token of a question for a relay that polls; none where no request waits, or where the relay has answered.
    pub fn ask_relay(&self, since: Position, now: Instant) -> Option<String> {
        let is_relay = self.entry.as_ref().is_some_and(|entry| entry.introduction.is_relay);
        let wanted = *self.roster.0.wanted.borrow();
        match self.due(wanted.filter(|_| is_relay), Some(since), now) {
            Due::Now(token) => Some(token),
            Due::At(_) | Due::No => None,
        }
    }

    /// Whether the follower, which was `sent` that much, is to be asked for what is `wanted`.
    fn due(&self, wanted: Option<Wanted>, sent: Option<Position>, now: Instant) -> Due {
        let (Some(entry), Some(wanted)) = (&self.entry, wanted) else { return Due::No };
        let Some(sent) = sent.filter(|sent| *sent >= wanted.position) else { return Due::No };
        let for_all = EACH_FOLLOWER.saturating_mul(self.roster.followers());
        let mut state = entry.lock();
        let has_reported = !entry.introduction.is_relay
            || state.report.as_ref().is_some_and(|report| report.about >= wanted.position);
        if state.held.is_some_and(|held| held >= wanted.position) && has_reported {
            return Due::No;
        }
        let pause = match &state.asked {
            None => Duration::ZERO,
            // What was answered was about an earlier position.
            Some(asked) if asked.is_answered && asked.position < wanted.position => for_all,
            // Its answer may have come to another process.
            Some(asked) if asked.sent < wanted.position => for_all.max(NEXT_AFTER),
            Some(_) => AGAIN_AFTER,
        };
        let not_before = state.asked.as_ref().map(|asked| asked.at + pause);
        if let Some(at) = not_before.filter(|at| *at > now) {
            return Due::At(at);
        }
        let before = state.asked.take().filter(|asked| !asked.is_answered);
        // The same question again, where that is enough: its answer may be on its way.
        let (again, before) = match before {
            Some(asked) if asked.sent >= wanted.position => (Some(asked), None),
            before => (None, before),
        };
        let is_again = again.is_some();
        let asked = again.map(|asked| Asked { at: now, ..asked }).unwrap_or_else(|| Asked {
            token: self.roster.0.settings.tokens.make(&entry.key, entry.introduction.id, sent),
            position: wanted.position,
            sent,
            at: now,
            is_answered: false,
        });
        if !is_again {
            state.asked_before = before;
        }
        let token = asked.token.clone();
        state.asked = Some(asked);
        Due::Now(token)
    }
}

/// The header in which a relay that polls is asked.
pub const ASK_HEADER: HeaderName = HeaderName::from_static("offswitch-ask");
/// When a follower is asked again that has not answered, or holds less than it was sent.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// When a follower is asked something later that has not answered here.
const NEXT_AFTER: Duration = Duration::from_millis(100);
/// The CPU time for the answer of one follower: many who wait at the same time do not take all of it.
const EACH_FOLLOWER: Duration = Duration::from_micros(25);
