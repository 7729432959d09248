//! The verifier as a service uses it: an engine that judges, the key sets and the feed that the engine needs, and
//! the state of all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use offswitch_verifier::snapshot::Position;
use offswitch_verifier::{Evidence, Staleness, Step};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use crate::authorize::Judge;
use crate::clock::Clock;
use crate::engine::{Engine, Judged};
use crate::events::{Event, Events};
use crate::feed::{FeedClient, FeedStatus, Following, Intake, Keeper, Question, Shelf, Snapshots};
use crate::http::Client;
use crate::keys::{KeySources, KeysStatus, is_of_unknown_key};
use crate::metrics::{Counters, FeedLabel};
use crate::options::{Follow, InvalidOptions, Options};
use crate::presentation::Presentation;
use crate::verdict::{Decision, Undecided, Verdict};
use crate::watch::Watch;

/// Judges tokens from memory, and keeps keys and revocations up to date in the background.
///
/// A clone is another handle on the same verifier. The work in the background ends with the last handle.
#[derive(Clone)]
pub struct Verifier(Arc<Handle>);

/// Ends the work in the background.
struct Handle {
    inner: Arc<Inner>,
    tasks: JoinSet<()>,
}

pub(crate) struct Inner {
    pub(crate) engine: Arc<Engine>,
    pub(crate) keys: Arc<KeySources>,
    pub(crate) shelf: Arc<Shelf>,
    feed: Arc<FeedClient>,
    following: Arc<Following>,
    follow: Follow,
    keeper: Option<Arc<Keeper>>,
    events: Arc<Events>,
    counters: Counters,
    watched: AtomicI64,
    public_url: Option<String>,
}

/// The state of a verifier: what it has, what it lacks, what went wrong last.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// True once there are keys for every issuer and a base to judge by.
    pub is_ready: bool,
    /// The position up to which revocations are held.
    pub position: Option<Position>,
    /// Seconds since the newest signed statement of the feed.
    pub age_seconds: Option<u64>,
    /// How the feed is followed now: by polls also where a stream is wanted and none gets through in time.
    pub following: Follow,
    /// How it was followed so far.
    pub feed: FeedStatus,
    /// The keys of each issuer, in the order of the options.
    pub keys: Vec<KeysStatus>,
    /// How many tokens are watched.
    pub watched: usize,
    /// How many tokens are remembered whose signature was good.
    pub remembered: usize,
}

impl Verifier {
    /// Makes a verifier: it reads what was kept on disk, asks for keys and base once, and then follows the feed in the
    /// background. Without an answer it starts all the same; until there is one, verdicts are undecided.
    ///
    /// It must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`InvalidOptions`], with all problems.
    pub async fn start(options: Options) -> Result<Self, InvalidOptions> {
        Self::start_within(options, Duration::MAX).await
    }

    /// As [`start`](Self::start), but waits for the first answers for `longest` at most; after that they come in the
    /// background. For programs with several verifiers: a feed that does not answer does not delay the others.
    ///
    /// # Errors
    ///
    /// [`InvalidOptions`], with all problems.
    pub async fn start_within(options: Options, longest: Duration) -> Result<Self, InvalidOptions> {
        let config = options.read()?;
        let verifier = offswitch_verifier::Verifier::new(config).map_err(|problems| {
            let problems = problems.iter().map(ToString::to_string).collect();
            InvalidOptions { problems }
        })?;
        let algorithms: Vec<_> =
            (0..options.issuers.len()).map(|at| verifier.algorithms(at).to_vec()).collect();
        let clock = Clock::new(options.clock.clone());
        let engine = Arc::new(Engine::new(verifier, options.remembered_tokens, clock));
        let label = FeedLabel::new(options.metrics_label);
        let (client, events) = (Arc::new(Client::new()), Arc::new(Events::new(label.clone())));
        let shelf = Arc::new(Shelf::new());
        let intake = Arc::new(Intake::new(engine.clone(), shelf.clone(), events.clone()));
        let keys = KeySources::new(
            &options.issuers,
            engine.clone(),
            client.clone(),
            events.clone(),
            |at| algorithms[at].clone(),
        )?;
        let public_url = options.public_url.map(|url| url.trim_end_matches('/').to_owned());
        let settings = options.feed;
        let (follow, max_bytes) = (settings.follow, settings.max_bytes);
        let keeper = settings
            .store
            .clone()
            .map(|folder| Arc::new(Keeper::new(folder, max_bytes, intake.clone(), events.clone())));
        let feed = Arc::new(FeedClient::new(settings, client, intake, events.clone()));
        let following = Arc::new(Following::new(feed.clone()));
        let inner = Arc::new(Inner {
            engine,
            keys: Arc::new(keys),
            shelf,
            feed,
            following,
            follow,
            keeper,
            events,
            counters: Counters::new(label),
            watched: AtomicI64::new(0),
            public_url,
        });
        inner.begin(longest).await;
        let tasks = inner.tasks();
        Ok(Self(Arc::new(Handle { inner, tasks })))
    }

    /// Judges a token now, from memory alone. For a token of an unknown key the issuer's keys are not fetched:
    /// [`verify`](Self::verify) does that.
    pub fn check(
        &self,
        token: &str,
        presentation: Presentation<'_>,
        staleness: Staleness,
    ) -> Verdict {
        let inner = self.inner();
        let judged = inner.judge(token, presentation, staleness);
        let judged = inner.keys.doubted_now(token, judged);
        inner.conclude(judged)
    }

    /// Judges a token now. For an unknown key (a token without `kid` may be of one) the issuer's keys are fetched again
    /// first; all tokens of unknown keys wait for the same fetch. Where nothing can be decided, the feed is asked
    /// once more.
    pub async fn verify(
        &self,
        token: &str,
        presentation: Presentation<'_>,
        staleness: Staleness,
    ) -> Verdict {
        let (inner, arrived) = (self.inner(), Instant::now());
        let judge = || inner.judge(token, presentation, staleness);
        let mut judged = judge();
        if is_of_unknown_key(&judged.verdict.decision, token) {
            judged = inner.keys.search(token, arrived, judge).await;
        } else if inner.may_ask_feed(&judged.verdict.decision) {
            inner.following.catch_up().await;
            judged = judge();
        }
        inner.conclude(judged)
    }

    /// The origin, and the path if there is one, at which clients see the service, as given with the options.
    pub fn public_url(&self) -> Option<&str> {
        self.inner().public_url.as_deref()
    }

    /// Watches a token that was shown when a connection was opened, until it is not good any more.
    ///
    /// ```no_run
    /// # async fn example(verifier: offswitch_client::Verifier, token: &str, mut socket: tokio::net::TcpStream) {
    /// let mut watch = verifier.watch(token);
    /// tokio::select! {
    ///     refusal = watch.refused() => tracing::info!(code = refusal.code(), "closed"),
    ///     // served = serve(&mut socket) => …
    /// #    _ = std::future::pending::<()>() => {}
    /// }
    /// # }
    /// ```
    pub fn watch(&self, token: &str) -> Watch {
        Watch::new(self.clone(), token)
    }

    /// The result of each check of a token separately, in the order in which a verdict makes them: for people.
    pub fn explain(&self, token: &str) -> Vec<Step> {
        self.inner().engine.explain(token)
    }

    /// The position and age of the revocations that a verdict would be based on now.
    pub fn evidence(&self) -> Evidence {
        self.inner().engine.evidence()
    }

    /// True once there are keys for every issuer and a base to judge by.
    pub fn is_ready(&self) -> bool {
        self.inner().is_ready()
    }

    /// Waits until [`is_ready`](Self::is_ready) holds.
    pub async fn ready(&self) {
        let mut changes = self.inner().events.listen();
        while !self.is_ready() {
            if let Err(broadcast::error::RecvError::Closed) = changes.recv().await {
                break;
            }
        }
    }

    /// What it has, what it lacks, what went wrong last.
    pub fn status(&self) -> Status {
        let inner = self.inner();
        let Evidence { position, age_seconds } = inner.engine.evidence();
        let is_held_up = inner.follow == Follow::Stream && !inner.feed.is_streaming();
        Status {
            is_ready: inner.is_ready(),
            position,
            age_seconds,
            following: if is_held_up { Follow::Poll } else { inner.follow },
            feed: inner.feed.status(),
            keys: inner.keys.status(),
            watched: usize::try_from(inner.watched.load(Ordering::Relaxed)).unwrap_or(0),
            remembered: inner.engine.remembered(),
        }
    }

    /// What happens from now on. A listener that is slower than what happens misses the oldest.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.inner().events.listen()
    }

    /// The snapshots that are in force, byte for byte as they were signed. A relay serves them.
    pub fn snapshots(&self) -> Arc<Snapshots> {
        self.inner().shelf.held()
    }

    /// Changes each time that [`snapshots`](Self::snapshots) do.
    pub fn snapshot_changes(&self) -> watch::Receiver<u64> {
        self.inner().shelf.changes()
    }

    /// The longest time from one statement of the feed to the next, as it is followed now, in whole seconds of at most
    /// 60. A relay announces it to its followers.
    pub fn heartbeat(&self) -> Duration {
        self.inner().feed.heartbeat()
    }

    /// The questions for the position that is held, as a relay gets them ([`FeedOptions::relay`](crate::FeedOptions::relay)):
    /// the last one.
    pub fn questions(&self) -> watch::Receiver<Option<Question>> {
        self.inner().feed.questions()
    }

    /// Answers a question as a relay: with the position that is held, and what it reports about its followers. False if
    /// the answer does not count: another question came since, or the server was not reached.
    pub async fn answer(&self, question: &Question, position: Position, behind: Value) -> bool {
        self.inner().feed.answer(question, position, behind).await
    }

    /// Asks the feed once now, or waits for the request that is under way.
    pub async fn refresh(&self) {
        self.inner().following.catch_up().await;
    }

    /// Fetches the newest base once, although what is held goes on beyond it: for a relay with a follower at a
    /// position from which no delta that is held leads on.
    pub async fn renew_base(&self) {
        self.inner().feed.renew_base().await;
    }

    /// Keeps the newest state on disk, where a store was given. It is kept every two seconds otherwise.
    pub async fn save(&self) {
        if let Some(keeper) = &self.inner().keeper {
            keeper.save().await;
        }
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0.inner
    }
}

impl Judge for Verifier {
    fn check(&self, token: &str, presentation: Presentation<'_>, staleness: Staleness) -> Verdict {
        self.check(token, presentation, staleness)
    }

    async fn verify(
        &self,
        token: &str,
        presentation: Presentation<'_>,
        staleness: Staleness,
    ) -> Verdict {
        self.verify(token, presentation, staleness).await
    }

    fn verify_now(
        &self,
        token: &str,
        presentation: Presentation<'_>,
        staleness: Staleness,
    ) -> Option<Verdict> {
        let inner = self.inner();
        let judged = inner.judge(token, presentation, staleness);
        let decision = &judged.verdict.decision;
        let has_to_wait = is_of_unknown_key(decision, token) || inner.may_ask_feed(decision);
        (!has_to_wait).then(|| inner.conclude(judged))
    }

    fn public_url(&self) -> Option<&str> {
        self.public_url()
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Verifier").field("status", &self.status()).finish()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.tasks.abort_all();
        self.inner.counters.end();
    }
}

impl Inner {
    async fn begin(self: &Arc<Self>, longest: Duration) {
        if let Some(keeper) = &self.keeper {
            keeper.restore().await;
        }
        let first = async { tokio::join!(self.keys.refresh(), self.following.begin()) };
        // What is cut off is asked for again in the background.
        drop(tokio::time::timeout(longest, first).await);
    }

    fn tasks(self: &Arc<Self>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.keys.clone().keep_young());
        let following = self.following.clone();
        tasks.spawn(async move { following.poll().await });
        let following = self.following.clone();
        tasks.spawn(async move { following.follow_news().await });
        if self.follow == Follow::Stream {
            let following = self.following.clone();
            tasks.spawn(async move { following.follow_streams().await });
        }
        if let Some(keeper) = &self.keeper {
            tasks.spawn(keeper.clone().keep());
        }
        let (counters, engine, shelf) =
            (self.counters.clone(), self.engine.clone(), self.shelf.clone());
        tasks.spawn(async move { counters.follow(&engine, &shelf).await });
        tasks
    }

    fn is_ready(&self) -> bool {
        self.keys.are_there() && self.engine.evidence().position.is_some()
    }

    pub(crate) fn judge(
        &self,
        token: &str,
        presentation: Presentation<'_>,
        staleness: Staleness,
    ) -> Judged {
        let judged = self.engine.judge(token, presentation, staleness);
        if judged.is_behind {
            self.following.note_news();
        }
        judged
    }

    /// True where the feed may have what a verdict lacks, and has not answered just now.
    fn may_ask_feed(&self, decision: &Decision) -> bool {
        let is_of_feed = matches!(decision, Decision::Undecided(Undecided::Feed { .. }));
        is_of_feed && self.feed.since_round().is_none_or(|since| since >= PAUSE)
    }

    /// Counts a verdict, and adds why the feed leaves it undecided, so that a wrong key or address is found soon.
    pub(crate) fn conclude(&self, judged: Judged) -> Verdict {
        let mut verdict = judged.verdict;
        if let Decision::Undecided(Undecided::Feed { why, last_failure }) = &mut verdict.decision
            && ["no_snapshot", "stale_snapshot"].contains(&why.code())
        {
            *last_failure = self.feed.present_failure();
        }
        self.counters.count(&verdict.decision);
        verdict
    }

    pub(crate) fn watched(&self, more: i64) {
        self.watched.fetch_add(more, Ordering::Relaxed);
    }
}

/// The shortest time between two requests that ask a feed which answers, but with snapshots that are too old.
const PAUSE: Duration = Duration::from_millis(500);
