//! Follows the feed without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offswitch_verifier::Applied;
use tokio::sync::Notify;

use super::{FeedClient, MOST_JITTER, Round};
use crate::options::Follow;

/// What asks the feed, and when.
pub(crate) struct Following {
    feed: Arc<FeedClient>,
    /// Rounds of the loop, which may be long polls.
    rounds: OneAtATime,
    /// Plain polls for those who cannot wait for the loop.
    catching_up: OneAtATime,
    /// A token has shown that there is news.
    news: Notify,
}

/// A caller that comes while it is under way waits for that.
#[derive(Default)]
struct OneAtATime {
    turn: tokio::sync::Mutex<()>,
    done: AtomicU64,
}

impl Following {
    pub(crate) fn new(feed: Arc<FeedClient>) -> Self {
        let (rounds, catching_up) = (OneAtATime::default(), OneAtATime::default());
        Self { feed, rounds, catching_up, news: Notify::new() }
    }

    /// The first rounds, before the feed is followed. The base may be older than the newest revocations, and
    /// without what comes after it, a token that this process refused before it was restarted would be good again.
    pub(crate) async fn begin(&self) {
        if let Some(Round::Applied(Applied::Replaced)) = self.refresh(0.0).await {
            self.refresh(0.0).await;
        }
    }

    /// Polls once, or waits for the poll that is under way.
    pub(crate) async fn catch_up(&self) {
        let timeout = self.feed.settings.timeout.min(CATCH_UP);
        self.catching_up.run(async || self.feed.round(0.0, timeout).await).await;
    }

    /// Has the feed polled soon: a token has shown that it has gone on beyond what is held.
    pub(crate) fn note_news(&self) {
        self.news.notify_one();
    }

    /// Polls when a token has shown that there is news, at most once in the time of two polls.
    pub(crate) async fn follow_news(&self) {
        loop {
            self.news.notified().await;
            self.catch_up().await;
            tokio::time::sleep(self.feed.settings.poll * 2).await;
        }
    }

    /// Polls without end, unless a stream brings everything in time. What fails is tried again, with the
    /// backoff of each address.
    pub(crate) async fn poll(&self) {
        let (mode, poll) = (self.feed.settings.follow, self.feed.settings.poll);
        if mode == Follow::Stream {
            // The stream may bring everything from the beginning.
            tokio::time::sleep(poll.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        }
        loop {
            let quiet = match mode {
                Follow::Stream => self.feed.quiet(),
                Follow::LongPoll | Follow::Poll => Duration::ZERO,
            };
            self.feed.notice_lateness();
            let began = Instant::now();
            let round = match quiet.is_zero() {
                true => self.refresh(self.feed.wait_seconds()).await,
                false => None,
            };
            let is_applied = matches!(round, Some(Round::Applied(_)));
            let is_news =
                matches!(round, Some(Round::Applied(Applied::Extended | Applied::Replaced)));
            // A long poll that had to wait, or has brought something, is followed by the next one.
            let is_served = mode == Follow::LongPoll
                && is_applied
                && (is_news || began.elapsed() >= Duration::from_secs(1));
            let chance = fastrand::f64();
            let jittered =
                poll.mul_f64(if is_applied { MOST_JITTER - chance / 5.0 } else { 0.5 + chance });
            let next = if !quiet.is_zero() {
                // The end of a stream is noticed within the time of a poll.
                quiet.min(jittered)
            } else if is_served {
                MIN_ROUND
            } else if is_applied {
                jittered
            } else {
                // The end of the backoff must not be missed by much where a verdict depends on it.
                jittered.min(self.feed.retry_within().max(MIN_ROUND))
            };
            tokio::time::sleep(next.saturating_sub(began.elapsed())).await;
        }
    }

    /// One stream after the other, without end. What a stream could not bring (a gap, a base, a snapshot that is
    /// too large for it) is polled for before the next one.
    pub(crate) async fn follow_streams(&self) {
        let poll = self.feed.settings.poll;
        loop {
            let began = Instant::now();
            let end = self.feed.follow_stream().await;
            // A server that goes down leaves all clients in the same moment; they come back one by one.
            let was_served = matches!(end.round, Round::Applied(_)) || began.elapsed() > MIN_ROUND;
            let chance = fastrand::f64();
            let pause = poll.mul_f64(if was_served { chance } else { 0.5 + chance });
            tokio::time::sleep(pause).await;
            if end.wants_poll {
                self.refresh(0.0).await;
            }
        }
    }

    async fn refresh(&self, wait_seconds: f64) -> Option<Round> {
        let timeout = self.feed.settings.timeout;
        self.rounds.run(async || self.feed.round(wait_seconds, timeout).await).await
    }
}

impl OneAtATime {
    /// None where another caller has done it meanwhile.
    async fn run(&self, work: impl AsyncFnOnce() -> Round) -> Option<Round> {
        let before = self.done.load(Ordering::Acquire);
        let _turn = self.turn.lock().await;
        if self.done.load(Ordering::Acquire) != before {
            return None;
        }
        let round = work().await;
        self.done.fetch_add(1, Ordering::Release);
        Some(round)
    }
}

/// No feed is asked more often than this, however soon it answers.
const MIN_ROUND: Duration = Duration::from_millis(200);
/// How long a request that cannot be decided waits for the control plane.
const CATCH_UP: Duration = Duration::from_secs(5);
