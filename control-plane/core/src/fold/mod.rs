//! The log folded into memory: pure state from which every snapshot is built.

mod checkpoint;
mod compaction;
mod delta;
mod denied_set;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use offswitch_snapshot::{ChainHash, Cutoff, DeadKey, Floor, Position, Salt};

use crate::issuers::Issuers;
use crate::log::{Checkpoint, End};
use crate::record::{Denied, Effects, Record, RevokedUpTo};
use crate::relying_parties::ends_sessions;
use checkpoint::Kept;
use compaction::forget_issuers;

pub use checkpoint::Trimming;
pub use compaction::{Compaction, Main};
pub use delta::{Delta, Taken, Validity};
use denied_set::DeniedSet;

/// Everything that is revoked up to one position.
///
/// `main` holds everything up to the last compaction, sorted; `fresh_*` what came after it; `steps`
/// the last records one by one, for deltas. The cost of a record does not depend on how much is
/// revoked already.
#[derive(Debug, Clone)]
pub struct Fold {
    salt: Salt,
    issuers: Arc<Issuers>,
    reached: Floor,
    main: Arc<Main>,
    fresh_denied: HashMap<u64, u64>,
    fresh_cutoffs: HashMap<u64, RevokedUpTo>,
    steps: VecDeque<Step>,
    /// The floor before the oldest step.
    steps_begin: Floor,
    step_entries: usize,
    dead_keys: Vec<DeadKey>,
    /// Sessions with a lower version have ended, for every user.
    sessions_floor: u64,
    /// Sessions that cannot be refreshed, and until when this must be remembered here.
    refresh_denied: HashMap<u64, u64>,
    /// The mark of the last record folded, see [`End`].
    mark: u64,
    /// When a loss of records in the store was last found, unix seconds, or 0.
    lost_at: u64,
}

/// The effects of one record, and the floor after it.
#[derive(Debug, Clone)]
struct Step {
    end: Floor,
    effects: Effects,
    /// It ends sessions of this control plane.
    ends_sessions: bool,
}

/// Why the log cannot be folded further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// A record or checkpoint cannot be read.
    #[error("record {seq} of the log is damaged")]
    Damaged {
        /// Its seq.
        seq: u64,
    },
    /// The log does not continue what was folded.
    #[error("record {found} follows {held} in the log")]
    OutOfOrder {
        /// The last seq that was folded.
        held: u64,
        /// The seq that was found.
        found: u64,
    },
}

impl Fold {
    /// Starts the fold of a log that begins with `checkpoint`.
    ///
    /// # Errors
    ///
    /// [`FoldError::Damaged`] if the checkpoint cannot be read.
    pub fn begin(
        salt: Salt,
        issuer: &str,
        era: u64,
        checkpoint: &Checkpoint,
    ) -> Result<Self, FoldError> {
        let kept = Kept::read(issuer, checkpoint)?;
        let position = Position { era, seq: checkpoint.seq };
        let reached = Floor { position, chain: kept.chain };
        let denied = kept.denied.into_iter().collect();
        let main = Main { reached, denied, cutoffs: kept.cutoffs };
        Ok(Self {
            salt,
            issuers: Arc::new(kept.issuers),
            reached,
            main: Arc::new(main),
            fresh_denied: HashMap::new(),
            fresh_cutoffs: HashMap::new(),
            steps: VecDeque::new(),
            steps_begin: reached,
            step_entries: 0,
            dead_keys: kept.dead_keys,
            sessions_floor: kept.sessions_floor,
            refresh_denied: kept.refresh_denied.iter().map(|one| (one.id, one.until)).collect(),
            mark: 0,
            lost_at: kept.lost_at,
        })
    }

    /// Folds the next record of the log. The store guarantees that no record in between is missing.
    ///
    /// # Errors
    ///
    /// See [`FoldError`]; the fold is unchanged then.
    pub fn push(&mut self, seq: u64, record: &[u8]) -> Result<(), FoldError> {
        let held = self.reached.position.seq;
        if seq <= held {
            return Err(FoldError::OutOfOrder { held, found: seq });
        }
        let read = Record::decode(record).map_err(|_| FoldError::Damaged { seq })?;
        let ends_sessions = ends_sessions(&read);
        let effects = read.effects(seq, self.salt, Arc::make_mut(&mut self.issuers));
        let position = Position { era: self.reached.position.era, seq };
        self.reached = Floor { position, chain: self.reached.chain.then(record) };
        self.absorb(&effects);
        self.sessions_floor = self.sessions_floor.max(effects.sessions_floor);
        self.deny_refreshes(effects.refresh_denied.iter().copied());
        self.bury(&effects.dead_keys);
        self.step_entries += effects.len();
        self.steps.push_back(Step { end: self.reached, effects, ends_sessions });
        self.forget_steps();
        Ok(())
    }

    /// The position folded so far, with its chain hash.
    pub fn reached(&self) -> Floor {
        self.reached
    }

    /// The chain hash at the position of a record that was folded lately.
    pub fn chain_at(&self, position: Position) -> Option<ChainHash> {
        self.floor_at(position).map(|floor| floor.chain)
    }

    /// The inputs of fingerprints: the salt, and the issuer of our own tokens.
    pub fn names(&self) -> (Salt, &str) {
        (self.salt, self.issuers.own())
    }

    /// The last record folded, identified as in the log.
    pub fn end(&self) -> End {
        End { position: self.reached.position, mark: self.mark }
    }

    /// Sets the mark that the last record folded has in the log.
    pub fn set_mark(&mut self, mark: u64) {
        self.mark = mark;
    }

    /// When a loss of records in the store was last found, unix seconds, if ever.
    pub fn lost_at(&self) -> Option<u64> {
        (self.lost_at > 0).then_some(self.lost_at)
    }

    /// Remembers that a loss of records in the store was found at `now`.
    pub fn note_loss(&mut self, now: u64) {
        self.lost_at = self.lost_at.max(now);
    }

    /// The number of entries added since the last compaction.
    pub fn fresh_len(&self) -> usize {
        self.fresh_denied.len() + self.fresh_cutoffs.len()
    }

    /// The number of entries; repetitions since the compaction count.
    pub fn entries(&self) -> usize {
        self.main.denied.len() + self.main.cutoffs.len() + self.fresh_len()
    }

    /// The issuers whose tokens can be revoked.
    pub fn issuers(&self) -> &Arc<Issuers> {
        &self.issuers
    }

    /// The epoch of the control plane's own tokens, unix seconds, or 0.
    pub fn epoch(&self) -> u64 {
        self.issuers.epoch_of(self.issuers.own())
    }

    /// The keys declared dead.
    pub fn dead_keys(&self) -> &[DeadKey] {
        &self.dead_keys
    }

    /// True if the control plane's own key `kid` is revoked.
    pub fn is_dead(&self, kid: &str) -> bool {
        self.dead_keys.iter().any(|key| key.issuer == self.issuers.own() && key.kid == kid)
    }

    /// The position reached, if it is known that no record after `since` has ended a session of this control
    /// plane.
    pub fn reached_without_ending(&self, since: Position) -> Option<Position> {
        let mut after = self.steps.iter().rev().take_while(|step| step.end.position > since);
        let is_quiet = self.knows(since) && !after.any(|step| step.ends_sessions);
        is_quiet.then_some(self.reached.position)
    }

    /// True if a delta can begin or end at `position`.
    pub fn knows(&self, position: Position) -> bool {
        self.floor_at(position).is_some()
    }

    /// The sorted entries, so that the caller can drop them elsewhere.
    pub fn held(&self) -> Arc<Main> {
        self.main.clone()
    }

    /// True if one of the control plane's own sessions has ended: revoked individually, with its
    /// user, or with all sessions. `version` is the seq of the log when the session was opened.
    ///
    /// Entries are removed from the fold a day after they came, but not before the stored sessions
    /// record the same: see `Plane::prunable_until`.
    pub fn is_session_over(&self, sid: &str, sub: &str, version: u64) -> bool {
        let sid = self.issuers.print_own_session(self.salt, sid);
        let sub = self.issuers.print_own_user(self.salt, sub);
        version < self.sessions_floor
            || self.refresh_denied.contains_key(&sid)
            || self.denied_until(sid).is_some()
            || self.held_cutoff(sub).is_some_and(|held| version < held.cutoff.minimum_version)
    }

    /// Takes out what a compaction needs.
    pub fn compaction(&self) -> Compaction {
        Compaction {
            salt: self.salt,
            issuers: self.issuers.as_ref().clone(),
            reached: self.reached,
            main: self.main.clone(),
            fresh_denied: entries(&self.fresh_denied).collect(),
            fresh_cutoffs: self.fresh_cutoffs.values().copied().collect(),
            dead_keys: self.dead_keys.clone(),
            sessions_floor: self.sessions_floor,
            refresh_denied: entries(&self.refresh_denied).collect(),
            lost_at: self.lost_at,
        }
    }

    /// Takes over a compaction that was finished for `now`. False if the log has changed its era
    /// meanwhile, or if this compaction is older than the present one.
    pub fn compacted_to(&mut self, main: Arc<Main>, now: u64) -> bool {
        let (era, held) = (self.reached.position.era, self.main.reached.position);
        if main.reached.position.era != era || main.reached.position < held {
            return false;
        }
        let since = main.reached.position;
        self.main = main;
        // Not cleared: the map would keep the capacity of a burst.
        self.fresh_denied = HashMap::new();
        self.fresh_cutoffs = HashMap::new();
        forget_issuers(Arc::make_mut(&mut self.issuers), &mut self.dead_keys, now);
        self.refresh_denied.retain(|_, until| *until >= now);
        let newer: Vec<Effects> = self
            .steps
            .iter()
            .filter(|step| step.end.position > since)
            .map(|step| step.effects.clone())
            .collect();
        newer.iter().for_each(|effects| self.absorb(effects));
        self.forget_steps();
        true
    }

    /// True if `other` contains a revocation that is still needed at `now` and missing here.
    pub fn lacks(&self, other: &Self, now: u64) -> bool {
        let denied = other.main.denied.iter().chain(entries(&other.fresh_denied));
        let mut refresh_denied = entries(&other.refresh_denied).filter(|one| one.until >= now);
        let cutoffs = other.main.cutoffs.iter().chain(other.fresh_cutoffs.values());
        self.issuers.lacks(&other.issuers, now)
            || self.sessions_floor < other.sessions_floor
            || refresh_denied.any(|one| !self.refresh_denied.contains_key(&one.id))
            || other.dead_keys.iter().any(|key| !self.dead_keys.contains(key))
            || denied.filter(|entry| entry.until >= now).any(|entry| !self.denies(entry))
            || cutoffs.filter(|one| one.until >= now).any(|one| !self.stops(one))
    }

    /// Adds what `record`, which the log has lost, revokes. `seq` is where it was accepted.
    ///
    /// # Errors
    ///
    /// [`FoldError::Damaged`] if it cannot be read; nothing is changed then.
    pub fn join_record(&mut self, seq: u64, record: &[u8]) -> Result<(), FoldError> {
        let record = Record::decode(record).map_err(|_| FoldError::Damaged { seq })?;
        let effects = record.effects(seq, self.salt, Arc::make_mut(&mut self.issuers));
        self.absorb(&effects);
        self.sessions_floor = self.sessions_floor.max(effects.sessions_floor);
        self.deny_refreshes(effects.refresh_denied.iter().copied());
        self.bury(&effects.dead_keys);
        self.begin_steps(seq);
        Ok(())
    }

    /// Adds everything that `other` revokes, and moves to the later of the two seqs.
    pub fn join(&mut self, other: &Self) {
        let effects = Effects {
            denied: other.main.denied.iter().chain(entries(&other.fresh_denied)).collect(),
            cutoffs: other
                .main
                .cutoffs
                .iter()
                .chain(other.fresh_cutoffs.values())
                .copied()
                .collect(),
            ..Effects::default()
        };
        self.absorb(&effects);
        Arc::make_mut(&mut self.issuers).join(&other.issuers);
        self.sessions_floor = self.sessions_floor.max(other.sessions_floor);
        self.deny_refreshes(entries(&other.refresh_denied));
        self.bury(&other.dead_keys);
        self.lost_at = self.lost_at.max(other.lost_at);
        self.begin_steps(other.reached.position.seq);
    }

    /// As [`join`](Self::join), where the log that is folded here lacks records that `other` has: it
    /// forked from what `other` was read from. Entries that were past at `now` do not count.
    ///
    /// The processes that read the other log opened sessions with versions up to its end. A user who was
    /// revoked here meanwhile has a smaller minimum, if the store's clock does not go on in the same way
    /// as before. So such a minimum is raised to the seq that follows, which is greater than every
    /// version that was given out; the sessions floor likewise.
    pub fn join_fork(&mut self, other: &Self, now: u64) {
        let later = self.reached.position.seq.max(other.reached.position.seq);
        let seq = later.saturating_add(UNKNOWN_VERSIONS);
        let is_unknown = |one: &&RevokedUpTo| {
            one.cutoff.minimum_version > 0 && one.until >= now && !other.stops(one)
        };
        let cutoffs = self.main.cutoffs.iter().chain(self.fresh_cutoffs.values());
        let raised = cutoffs.filter(is_unknown).map(|one| {
            let cutoff = Cutoff { minimum_version: seq, ..one.cutoff };
            RevokedUpTo { cutoff, ..*one }
        });
        let raised = Effects { cutoffs: raised.collect(), ..Effects::default() };
        if self.sessions_floor > other.sessions_floor {
            self.sessions_floor = seq;
        }
        self.join(other);
        self.absorb(&raised);
        self.begin_steps(seq);
    }

    /// Moves to `seq` if that is later. No delta can lead across this move.
    fn begin_steps(&mut self, seq: u64) {
        self.reached.position.seq = self.reached.position.seq.max(seq);
        self.steps.clear();
        self.step_entries = 0;
        self.steps_begin = self.reached;
    }

    fn denies(&self, entry: Denied) -> bool {
        self.denied_until(entry.id).is_some_and(|until| until >= entry.until)
    }

    fn denied_until(&self, id: u64) -> Option<u64> {
        self.fresh_denied.get(&id).copied().max(self.main.denied.until(id))
    }

    fn stops(&self, one: &RevokedUpTo) -> bool {
        self.held_cutoff(one.id).is_some_and(|held| held.join(one) == held)
    }

    fn held_cutoff(&self, id: u64) -> Option<RevokedUpTo> {
        let main = &self.main.cutoffs;
        let compacted = main.binary_search_by_key(&id, |held| held.id);
        let held = [compacted.ok().map(|rank| main[rank]), self.fresh_cutoffs.get(&id).copied()];
        held.into_iter().flatten().reduce(|one, other| one.join(&other))
    }

    fn bury(&mut self, keys: &[DeadKey]) {
        for key in keys {
            if !self.dead_keys.contains(key) {
                self.dead_keys.push(key.clone());
            }
        }
    }

    fn deny_refreshes(&mut self, denied: impl Iterator<Item = Denied>) {
        for entry in denied {
            let until = self.refresh_denied.entry(entry.id).or_default();
            *until = (*until).max(entry.until);
        }
    }

    fn absorb(&mut self, effects: &Effects) {
        for entry in &effects.denied {
            let until = self.fresh_denied.entry(entry.id).or_default();
            *until = (*until).max(entry.until);
        }
        for one in &effects.cutoffs {
            let held = self.fresh_cutoffs.entry(one.id).or_insert(*one);
            *held = held.join(one);
        }
    }

    /// Keeps the steps that no compaction contains yet, and of the rest as many as
    /// [`MAX_STEP_ENTRIES`] allows.
    fn forget_steps(&mut self) {
        while self.step_entries > MAX_STEP_ENTRIES || self.steps.len() > MAX_STEPS {
            match self.steps.front() {
                Some(step) if step.end.position <= self.main.reached.position => {
                    self.step_entries -= step.effects.len();
                    self.steps_begin = step.end;
                    self.steps.pop_front();
                }
                _ => return,
            }
        }
    }

    /// The chain hash at a position where a step begins or ends.
    fn floor_at(&self, position: Position) -> Option<Floor> {
        let begin = self.steps_begin;
        if position == begin.position {
            return Some(begin);
        }
        self.step_at(position).map(|step| step.end)
    }

    /// The step that ends at `position`.
    fn step_at(&self, position: Position) -> Option<&Step> {
        let found = self.steps.binary_search_by_key(&position, |step| step.end.position);
        self.steps.get(found.ok()?)
    }
}

/// The entries of a map from fingerprint to the time when it may be removed.
fn entries(map: &HashMap<u64, u64>) -> impl Iterator<Item = Denied> {
    map.iter().map(|(id, until)| Denied { id: *id, until: *until })
}

impl Effects {
    fn len(&self) -> usize {
        self.denied.len() + self.cutoffs.len() + self.dead_keys.len() + self.rules.len() + 1
    }
}

impl RevokedUpTo {
    fn join(&self, other: &Self) -> Self {
        Self {
            id: self.id,
            cutoff: self.cutoff.join(other.cutoff),
            until: self.until.max(other.until),
        }
    }
}

/// Deltas reach back at most this many entries; a follower that is further behind gets a base.
const MAX_STEP_ENTRIES: usize = 200_000;
const MAX_STEPS: usize = 100_000;
/// How many records of another log may be unknown where a fork is joined: as many as a second has seqs.
const UNKNOWN_VERSIONS: u64 = 1 << 20;
