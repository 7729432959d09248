//! The feed client: asks for what came after the position held, at one of several addresses, and puts it into
//! force. No answer of an address takes the last good state out of force.
//!
//! The rules are those of the npm package (`verifier-wasm/js/feed`); `docs/decisions/feed-client.md` has the
//! reasons.

mod answering;
mod folder;
mod follow;
mod head;
mod intake;
mod kept;
mod pulse;
mod snapshots;
mod source;
mod status;
mod stream;
mod stream_follower;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, StatusCode};
use offswitch_verifier::Applied;
use offswitch_verifier::snapshot::{HEAD_BYTES, Position};

use crate::engine::Taken;
use crate::events::Events;
use crate::http::{Ask, Brought, Client, FetchError, MOST_HEARTBEAT_SECONDS};
use crate::options::{FeedOptions, Follow};
use answering::Answering;
use pulse::Pulse;
use source::{Source, Way};

pub use answering::Question;
pub(crate) use folder::path_of;
pub(crate) use follow::Following;
pub(crate) use intake::Intake;
pub(crate) use kept::Keeper;
pub(crate) use snapshots::Shelf;
pub use snapshots::{SignedSnapshot, Snapshots};
pub use status::{FeedFailure, FeedStatus};

/// Asks the addresses of one feed.
pub(crate) struct FeedClient {
    settings: FeedOptions,
    client: Arc<Client>,
    intake: Arc<Intake>,
    events: Arc<Events>,
    answering: Answering,
    state: Mutex<State>,
    pulse: Mutex<Pulse>,
}

struct State {
    /// The one that is asked first was good last.
    sources: Vec<Arc<Source>>,
    /// Since when an address answers with less than is held, unix seconds.
    behind_since: Option<u64>,
    failures: u64,
    rounds: u64,
    last_failure: Option<FeedFailure>,
    /// When the last round succeeded: by the monotonic clock, and in unix seconds.
    last_round: Option<(Instant, u64)>,
    /// By how much our clock seems to be ahead of what a poll has brought, seconds.
    poll_delay: f64,
}

/// What came of asking.
#[derive(Debug)]
pub(crate) enum Round {
    Applied(Applied),
    Failed,
    /// All addresses are being spared.
    Skipped,
}

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: &'static str,
    pub(crate) detail: String,
    needs_base: bool,
    retry_after: Duration,
}

impl FeedClient {
    pub(crate) fn new(
        settings: FeedOptions,
        client: Arc<Client>,
        intake: Arc<Intake>,
        events: Arc<Events>,
    ) -> Self {
        let sources = settings.addresses().iter().filter_map(Source::new).map(Arc::new).collect();
        let state = State {
            sources,
            behind_since: None,
            failures: 0,
            rounds: 0,
            last_failure: None,
            last_round: None,
            poll_delay: 0.0,
        };
        let (state, pulse) = (Mutex::new(state), Mutex::new(Pulse::new()));
        let answering = Answering::new(&settings);
        Self { settings, client, intake, events, answering, state, pulse }
    }

    /// One round: one snapshot, or two where a delta does not fit and the base is needed. Each address is tried
    /// once, the one that was good last before the others.
    pub(crate) async fn round(&self, wait_seconds: f64, timeout: Duration) -> Round {
        let mut result = Round::Skipped;
        let count = self.state().sources.len();
        for _ in 0..count {
            let source = self.first();
            let now = Instant::now();
            if !source.state().polls.is_waiting(now) {
                source.state().polls.begin(now, timeout);
                let asked = self.ask(&source, wait_seconds, timeout).await;
                result = self.settle(&source, Way::Polls, asked);
                if matches!(result, Round::Applied(_)) {
                    break;
                }
            }
            self.next(&source);
        }
        result
    }

    /// Fetches a base at the address that is asked first, also if one is held.
    pub(crate) async fn renew_base(&self) -> Round {
        let (source, timeout) = (self.first(), self.settings.timeout);
        let now = Instant::now();
        if source.state().polls.is_waiting(now) {
            return Round::Skipped;
        }
        source.state().polls.begin(now, timeout);
        let asked = match source.is_head {
            true => self.read_head(&source, timeout, true).await,
            false => self.fetch(&source, None, 0.0, timeout).await,
        };
        self.settle(&source, Way::Polls, asked)
    }

    /// How long a long poll may be held back now, seconds; less than one for a plain poll. What is held must not
    /// get too old while it waits. After a failure a plain poll shows soonest whether the feed is back.
    fn wait_seconds(&self) -> f64 {
        let source = self.first();
        let state = source.state();
        let is_polled = self.settings.follow != Follow::LongPoll || source.is_head;
        if is_polled || state.polls.is_failing() {
            return 0.0;
        }
        let longest = self.settings.long_poll.as_secs_f64();
        longest.min(state.hold_seconds).min(self.seconds_left() / 3.0)
    }

    /// How long to wait after a failure at most: what is held must not get too old meanwhile.
    fn retry_within(&self) -> Duration {
        if !self.is_old() {
            return Duration::MAX;
        }
        let now = Instant::now();
        let state = self.state();
        let left = state.sources.iter().map(|source| source.state().polls.left(now));
        left.min().unwrap_or_default()
    }

    /// The address to follow a stream of, or none while all are to be spared.
    fn free_for_stream(&self) -> Option<Arc<Source>> {
        let now = Instant::now();
        let state = self.state();
        let is_free =
            |source: &&Arc<Source>| !source.is_head && !source.state().streams.is_waiting(now);
        state.sources.iter().find(is_free).cloned()
    }

    /// How long ago the feed was last followed successfully.
    pub(crate) fn since_round(&self) -> Option<Duration> {
        self.state().last_round.map(|(at, _)| at.elapsed())
    }

    /// The longest time from one statement of the feed to the next, as it is followed now, in whole seconds: what a
    /// stream's server says; or the time from poll to poll, and how old a statement may be that a poll brings.
    pub(crate) fn heartbeat(&self) -> Duration {
        let mut pulse = self.pulse();
        let streamed = pulse.is_timely().then(|| pulse.heartbeat_seconds());
        drop(pulse);
        let seconds = streamed.unwrap_or_else(|| {
            let FeedOptions { follow, long_poll, max_staleness_seconds, poll, .. } = &self.settings;
            let every = match follow {
                Follow::LongPoll => {
                    (*long_poll).min(Duration::from_secs(max_staleness_seconds / 3))
                }
                Follow::Poll | Follow::Stream => poll.mul_f64(MOST_JITTER),
            };
            every.as_secs_f64() + f64::from(self.first().state().heartbeat_seconds)
        });
        Duration::from_secs_f64(seconds.ceil().clamp(1.0, f64::from(MOST_HEARTBEAT_SECONDS)))
    }

    /// What went wrong since the last success.
    pub(crate) fn present_failure(&self) -> Option<String> {
        let state = self.state();
        let failure = state.last_failure.as_ref()?;
        let is_news = state.last_round.is_none_or(|(_, at)| failure.at >= at);
        is_news.then(|| format!("{}: {}", failure.code, failure.detail))
    }

    fn first(&self) -> Arc<Source> {
        // The options have at least one.
        Arc::clone(&self.state().sources[0])
    }

    /// Until what is held is too old to decide by, seconds; 0 where nothing is held.
    fn seconds_left(&self) -> f64 {
        let longest = self.settings.max_staleness_seconds;
        let age = self.intake.engine.evidence().age_seconds;
        let left = age.map_or(0, |age| longest.saturating_sub(age));
        u32::try_from(left).map_or(f64::MAX, f64::from)
    }

    /// True once what is held is half as old as it may be, or where nothing is held.
    fn is_old(&self) -> bool {
        let longest =
            u32::try_from(self.settings.max_staleness_seconds).map_or(f64::MAX, f64::from);
        self.seconds_left() < longest / 2.0
    }

    /// Asks the other addresses before this one.
    fn next(&self, source: &Arc<Source>) {
        let mut state = self.state();
        state.sources.retain(|one| !Arc::ptr_eq(one, source));
        state.sources.push(Arc::clone(source));
    }

    /// Notes what came of asking an address.
    fn settle(&self, source: &Arc<Source>, way: Way, asked: Result<Applied, Failure>) -> Round {
        match asked {
            Ok(applied) => {
                self.succeeded(source, way);
                // An address that keeps showing what is old already is not followed for ever.
                if self.is_old() || self.state().behind_since.is_some() {
                    self.next(source);
                }
                Round::Applied(applied)
            }
            Err(failure) => {
                let unix = self.intake.engine.clock().now().unix;
                self.note(source, unix, failure.code, &failure.detail, true);
                // What is held must not get too old while a control plane is spared that is back already. One that
                // answers with nonsense is not asked more often for that.
                let longest = match failure.code == UNREACHABLE && way == Way::Polls {
                    true => Duration::from_secs_f64((self.seconds_left() / 3.0).clamp(1.0, 60.0)),
                    false => Duration::MAX,
                };
                let (now, chance) = (Instant::now(), fastrand::f64());
                let mut state = source.state();
                state.backoff(way).failed(now, failure.retry_after, longest, chance);
                drop(state);
                Round::Failed
            }
        }
    }

    fn succeeded(&self, source: &Source, way: Way) {
        source.state().backoff(way).succeeded();
        let unix = self.intake.engine.clock().now().unix;
        let mut state = self.state();
        state.rounds += 1;
        state.last_round = Some((Instant::now(), unix));
    }

    fn note(&self, source: &Source, at: u64, code: &'static str, detail: &str, is_failure: bool) {
        let mut state = self.state();
        state.failures += u64::from(is_failure);
        let (url, detail) = (source.url.clone(), detail.to_owned());
        state.last_failure = Some(FeedFailure { at, url, code, detail: detail.clone() });
        drop(state);
        self.events.failed(code, &detail, Some(&source.url));
    }

    async fn ask(
        &self,
        source: &Arc<Source>,
        wait_seconds: f64,
        timeout: Duration,
    ) -> Result<Applied, Failure> {
        if source.is_head {
            return self.read_head(source, timeout, false).await;
        }
        let since = self.intake.engine.since();
        let result = match since {
            Some(since) if wait_seconds >= 1.0 => {
                self.long_poll(source, since, wait_seconds, timeout).await
            }
            _ => self.fetch(source, since, 0.0, timeout).await,
        };
        match result {
            Err(failure) if failure.needs_base && since.is_some() => {
                self.fetch(source, None, 0.0, timeout).await
            }
            result => result,
        }
    }

    /// What holds a long poll back and then cuts it off may be a proxy on the way: a plain poll follows within a
    /// second, and the next long poll is shorter.
    async fn long_poll(
        &self,
        source: &Arc<Source>,
        since: Position,
        wait_seconds: f64,
        timeout: Duration,
    ) -> Result<Applied, Failure> {
        let began = Instant::now();
        let patience = timeout.as_secs_f64().min((self.seconds_left() / 3.0).max(5.0));
        let bound = Duration::from_secs_f64(wait_seconds + patience);
        let result = self.fetch(source, Some(since), wait_seconds, bound).await;
        let held = began.elapsed().as_secs_f64();
        match result {
            Err(failure) if failure.is_cut() && held >= 1.0 => {
                source.state().learn(held, true);
                // A server that went down has cut off all clients in the same moment.
                let most = self.settings.poll.as_secs_f64().min(1.0);
                tokio::time::sleep(Duration::from_secs_f64(most * fastrand::f64())).await;
                self.fetch(source, Some(since), 0.0, timeout).await
            }
            result => {
                source.state().learn(held, false);
                result
            }
        }
    }

    async fn fetch(
        &self,
        source: &Arc<Source>,
        since: Option<Position>,
        wait_seconds: f64,
        timeout: Duration,
    ) -> Result<Applied, Failure> {
        let url = source.address("", since, wait_seconds);
        let etag =
            source.state().seen.as_ref().filter(|(of, _)| *of == url).map(|(_, tag)| tag.clone());
        let ask = self.asking(source, &url, SNAPSHOT_TYPE, etag, timeout);
        let brought = self.client.fetch(ask, HEAD_BYTES, |head| self.preview(head)).await;
        let Brought::Body { bytes, etag, heartbeat_seconds, question } =
            brought.map_err(Failure::from)?
        else {
            // No signature covers this answer, so it proves no freshness.
            return Ok(Applied::Ignored);
        };
        source.state().heartbeat_seconds = heartbeat_seconds;
        let taken = self.take(bytes, source, since).await;
        source.state().seen = taken.is_ok().then_some(etag).flatten().map(|etag| (url, etag));
        let taken = taken?;
        self.state().poll_delay = self.intake.engine.seconds_since_issued();
        if let Some(ask) = question {
            self.take_question(source, ask);
        }
        Ok(taken.applied)
    }

    /// Applies a snapshot that was asked for with `since`. One that does not reach that far shows a server whose
    /// log has lost records, or a cache that is behind: what is held stays, and this is reported.
    async fn take(
        &self,
        bytes: Vec<u8>,
        source: &Source,
        since: Option<Position>,
    ) -> Result<Taken, Failure> {
        let taken = self.intake.apply(bytes).await.map_err(|error| Failure {
            code: error.code(),
            detail: error.to_string(),
            needs_base: error.needs_base(),
            retry_after: Duration::ZERO,
        })?;
        let is_behind = taken.applied == Applied::Ignored
            && since.is_some()
            && since == taken.since
            && taken.is_behind;
        self.note_behind(source, since, is_behind);
        Ok(taken)
    }

    /// Reports once that an address shows less than is held.
    fn note_behind(&self, source: &Source, since: Option<Position>, is_behind: bool) {
        let now = self.intake.engine.clock().now().unix;
        let before = self.state().behind_since;
        if let (true, None, Some(since)) = (is_behind, before, since) {
            let detail = format!(
                "asked for what comes after {since}, the feed answered with less: its log may have lost records"
            );
            self.note(source, now, "feed_behind", &detail, false);
        }
        self.state().behind_since = is_behind.then(|| before.unwrap_or(now));
    }

    fn asking<'a>(
        &self,
        source: &Source,
        url: &'a str,
        accept: &'static str,
        etag: Option<HeaderValue>,
        timeout: Duration,
    ) -> Ask<'a> {
        let (mut headers, max_bytes): (HeaderMap, _) = (source.headers(), self.settings.max_bytes);
        headers.extend(self.answering.introduction());
        Ask { url, headers, accept, etag, max_bytes, timeout }
    }

    fn preview(&self, head: &[u8]) -> Result<(), FetchError> {
        let looked = self.intake.engine.trust().preview(head);
        looked.map_err(|error| {
            let code = Some(error.code());
            FetchError { code, ..FetchError::new(error.to_string()) }
        })
    }

    fn pulse(&self) -> MutexGuard<'_, Pulse> {
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failure {
    /// True for an exchange that was cut off, by a server that asked for no pause.
    fn is_cut(&self) -> bool {
        self.code == UNREACHABLE && self.retry_after.is_zero()
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        let hint = match error.status {
            Some(StatusCode::UNAUTHORIZED) => {
                ": the feed expects an API key with the scope feed:read (option feed.apiKey)"
            }
            Some(StatusCode::FORBIDDEN) => {
                ": the API key of the feed needs the scope feed:read (option feed.apiKey)"
            }
            Some(StatusCode::NOT_FOUND) => {
                ": there is no feed at this address (option feed.url, usually ending in /v1/feed, or feed.head)"
            }
            _ => "",
        };
        Self {
            code: error.code.unwrap_or(UNREACHABLE),
            detail: error.detail + hint,
            needs_base: false,
            retry_after: error.retry_after,
        }
    }
}

/// By how much later than after the time of a poll the next one may begin.
const MOST_JITTER: f64 = 1.1;
const SNAPSHOT_TYPE: &str = "application/octet-stream";
const UNREACHABLE: &str = "feed_unreachable";
