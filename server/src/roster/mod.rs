//! Which followers there are, and which position each of them holds: for requests that wait until a revocation has
//! reached them.
//!
//! A follower introduces itself with each request ([`Introduction`]). A poll says by its `since` what is held. A
//! stream is asked in the stream, only while a request waits ([`asking`]): the question has a random token and comes
//! after the snapshot that it is about, so that only a reader of that stream can answer it, and only after all that
//! was sent before. A relay answers for those behind it, too ([`Behind`]). What several processes have seen is
//! [joined](join), so that a follower that moves between them counts once.
//!
//! A follower belongs to the API key that introduced it: what another key says about the same id is about another
//! follower. It stays until it has refused to decide without news for a few seconds, because until then it may accept
//! what was revoked. Times and tokens are arguments.

mod answer;
mod asking;
mod introduction;
mod member;
mod seen;
mod tally;
mod waiting;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use offswitch_snapshot::Position;
use tokio::sync::watch;

pub use answer::{Answer, AnswerError, Behind};
pub use asking::{ASK_HEADER, asking};
pub use introduction::{FOLLOWER_HEADER, FollowerId, Introduction};
pub use member::{Member, Present};
pub use seen::{Face, PRINT_BYTES, Print, Report, Seen, join};
pub use tally::{MOST_SHOWN, Shown, Slowest, Tally};
pub use waiting::Waiting;

use member::Entry;

/// The settings of a roster.
#[derive(Clone)]
pub struct RosterSettings {
    /// How many followers one API key may have. Others are counted as unidentified.
    pub most_of_one_key: usize,
    /// For how long a snapshot lets a verifier decide at most, independent of its own staleness.
    pub validity: Duration,
    /// Makes the tokens of questions.
    pub tokens: Arc<dyn Tokens>,
}

/// The tokens of questions: only a reader of the stream in which one is sent knows it.
pub trait Tokens: Send + Sync {
    /// The token of a question to the follower that `key` has introduced, after it was sent what leads to `sent`.
    fn make(&self, key: &str, follower: FollowerId, sent: Position) -> String;

    /// What that follower had been sent before the question, if the token alone proves it.
    fn proven(&self, token: &str, key: &str, follower: FollowerId) -> Option<Position>;
}

/// How far the followers are, as far as is known without asking them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// How many may still decide.
    pub live: usize,
    /// How many of them have not been sent everything.
    pub behind: usize,
    /// The lowest position of them; none if there are none, or one has nothing.
    pub lowest: Option<Position>,
}

/// The followers of this process. A clone is another handle on the same.
#[derive(Clone)]
pub struct Roster(Arc<Shared>);

struct Shared {
    settings: RosterSettings,
    registry: Mutex<Registry>,
    /// How many streams and long polls are open that no known follower has opened.
    strangers: AtomicU64,
    /// The position that is waited for, the highest of all.
    wanted: watch::Sender<Option<Wanted>>,
    waits: Mutex<Waits>,
    waiting: AtomicUsize,
    /// Changes when a count may be another one, while a request waits.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Registry {
    entries: HashMap<Whose, Arc<Entry>>,
    of_keys: HashMap<Arc<str>, usize>,
    swept_at: Option<Instant>,
    /// When a follower without an introduction was served last.
    stranger_at: Option<Instant>,
}

/// The API key, and the id that it introduced.
type Whose = (Arc<str>, FollowerId);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    position: Position,
    began: Instant,
}

#[derive(Default)]
struct Waits {
    next: u64,
    all: BTreeMap<u64, Wanted>,
}

impl Roster {
    /// A roster without followers.
    pub fn new(settings: RosterSettings) -> Self {
        Self(Arc::new(Shared {
            settings,
            registry: Mutex::default(),
            strangers: AtomicU64::new(0),
            wanted: watch::Sender::new(None),
            waits: Mutex::default(),
            waiting: AtomicUsize::new(0),
            changes: watch::Sender::new(0),
        }))
    }

    /// The follower that the API key `key` has introduced; one more if it is new and there is room.
    pub fn meet(&self, key: &str, introduction: Option<Introduction>, now: Instant) -> Member {
        let entry = introduction.and_then(|introduction| self.entry(key, introduction, now));
        if let Some(entry) = &entry {
            entry.lock().contact_at = now;
        }
        Member { roster: self.clone(), entry }
    }

    /// The same, without making a new one: an answer to a question is of a follower that was asked.
    pub fn find(&self, key: &str, introduction: &Introduction) -> Member {
        let whose = (Arc::from(key), introduction.id);
        let entry = self.registry().entries.get(&whose).cloned();
        Member { roster: self.clone(), entry }
    }

    fn entry(&self, key: &str, introduction: Introduction, now: Instant) -> Option<Arc<Entry>> {
        let mut registry = self.registry();
        let whose = (Arc::from(key), introduction.id);
        if let Some(known) = registry.entries.get(&whose) {
            return Some(known.clone());
        }
        let is_due = |at: Instant| now.saturating_duration_since(at) >= SWEEP_EVERY;
        if registry.swept_at.is_none_or(is_due) {
            registry.sweep(now, self.0.settings.validity);
        }
        let most = self.0.settings.most_of_one_key;
        let of_key = registry.of_keys.get(key).copied().unwrap_or(0);
        if of_key >= most || registry.entries.len() >= most.saturating_mul(MOST_KEYS) {
            return None;
        }
        let entry = Arc::new(Entry::new(whose.0.clone(), introduction, now));
        *registry.of_keys.entry(whose.0.clone()).or_default() += 1;
        registry.entries.insert(whose, entry.clone());
        Some(entry)
    }

    /// The followers that are there now, those that hold least first; at most `most`.
    pub fn list(&self, most: usize, now: Instant) -> Vec<Shown> {
        let mut all: Vec<Shown> =
            self.live(now).iter().map(|entry| Shown::of(entry, self.validity(), now)).collect();
        all.sort_by(|one, other| (one.position, &one.name).cmp(&(other.position, &other.name)));
        all.truncate(most);
        all
    }

    /// How many are there now, how many of them were neither sent nor hold `head`, and the lowest position of them.
    pub fn levels(&self, head: Position, now: Instant) -> Levels {
        let live = self.live(now);
        let reached = live.iter().map(|entry| {
            let state = entry.lock();
            state.held.max(state.sent)
        });
        let behind = reached.clone().filter(|reached| *reached < Some(head)).count();
        let lowest = reached.min().flatten();
        Levels { live: live.len(), behind, lowest }
    }

    /// How many of them hold `position`. What is measured from `began` on is how long they took.
    pub fn tally(&self, position: Position, began: Instant, now: Instant) -> Tally {
        Tally::of(&self.seen(now), self.unidentified(now), position, began)
    }

    /// What this process has seen of its followers.
    pub fn seen(&self, now: Instant) -> Vec<Seen> {
        let validity = self.validity();
        self.live(now).iter().map(|entry| Seen::of(entry, validity, now)).collect()
    }

    /// Within what time every follower of this process refuses to decide, if none gets any news from now on; none if
    /// one of them never does.
    pub fn refuse_within(&self, now: Instant) -> Option<Duration> {
        let strangers = if self.unidentified(now) > 0 { self.validity() } else { Duration::ZERO };
        let seen = self.seen(now).into_iter();
        let mut times = seen.map(|seen| Some(seen.refuses_within?.max(seen.theirs()?)));
        times.try_fold(strangers, |longest, time| Some(longest.max(time?)))
    }

    /// The followers that may still decide.
    fn live(&self, now: Instant) -> Vec<Arc<Entry>> {
        let validity = self.validity();
        let registry = self.registry();
        registry.entries.values().filter(|entry| entry.is_live(validity, now)).cloned().collect()
    }

    /// How many followers are served at least that are not known: they say nothing, or there are too many.
    pub fn unidentified(&self, now: Instant) -> u64 {
        let open = self.0.strangers.load(Ordering::Relaxed);
        let is_recent =
            |at: Instant| now.saturating_duration_since(at) < self.validity() + LEAVING_SLACK;
        open.max(u64::from(self.registry().stranger_at.is_some_and(is_recent)))
    }

    /// For how long a snapshot lets a verifier decide at most.
    pub fn validity(&self) -> Duration {
        self.0.settings.validity
    }

    /// True while a request waits.
    fn is_waited_for(&self) -> bool {
        self.0.waiting.load(Ordering::Relaxed) > 0
    }

    fn note_change(&self) {
        if self.is_waited_for() {
            self.0.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// Forgets the followers that have left.
    fn sweep(&mut self, now: Instant, validity: Duration) {
        self.entries.retain(|_, entry| entry.is_live(validity, now));
        self.of_keys.clear();
        for (key, _) in self.entries.keys() {
            *self.of_keys.entry(key.clone()).or_default() += 1;
        }
        self.swept_at = Some(now);
    }
}

/// How long after a follower had to refuse it is forgotten: what was sent to it may have arrived late.
pub const LEAVING_SLACK: Duration = Duration::from_secs(5);
/// For how long a follower is counted that never refuses, after it was heard of last.
pub const LONGEST_STAY: Duration = Duration::from_secs(86_400);
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// In all there may be as many followers as this many API keys may have.
const MOST_KEYS: usize = 4;

#[cfg(test)]
mod tests;
