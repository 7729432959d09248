//! The state that a verifier builds by following a feed: one base read in place and an overlay of
//! later deltas.

mod freshness;
mod outcome;
mod overlay;
mod trust;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use self::overlay::Overlay;
use crate::snapshot::{
    Arriving, Cutoff, FeedKey, Fingerprint, Floor, IssuerRules, MAX_SELECTORS, Position, Salt,
    Snapshot,
};

pub use self::outcome::{Applied, ApplyError};
pub use self::trust::FeedTrust;

/// A followed feed. Every applied snapshot only adds revocations, and positions only grow.
#[derive(Debug)]
pub struct Feed {
    trust: FeedTrust,
    base: Option<Snapshot>,
    overlay: Overlay,
    /// The newest held position, and its chain hash.
    reached: Floor,
    /// The newest position ever seen, also before a restart.
    floor: Floor,
    /// Positions with a known chain hash, oldest first.
    known: VecDeque<Floor>,
    /// The rules of issuers from base and deltas, ascending by `iss`.
    rules: Vec<IssuerRules>,
    /// Increases when `rules` change.
    rules_generation: u32,
    /// Names the base and the rules that are in force, in this process and never again.
    footing: u64,
    issued_at: u64,
    valid_until: u64,
    /// The verifier's own monotonic time, in seconds: now, and when `issued_at` last grew.
    uptime: AtomicU64,
    heard_at: u64,
    /// When the last snapshot with a valid signature was signed, also if it was refused.
    last_issued_at: u64,
    /// Where that snapshot ends.
    last_end: Position,
    /// The signing time of a refused snapshot from the future: our own clock may be behind.
    witnessed_at: u64,
    forked: bool,
    /// How large the overlay may grow before a base is requested.
    overlay_limit: usize,
}

impl Feed {
    /// A feed without any snapshot.
    pub fn new(id: String, trusted: Vec<FeedKey>) -> Self {
        Self {
            trust: FeedTrust::new(id, trusted),
            base: None,
            overlay: Overlay::default(),
            reached: Floor::default(),
            floor: Floor::default(),
            known: VecDeque::new(),
            rules: vec![],
            rules_generation: 0,
            footing: new_footing(),
            issued_at: 0,
            valid_until: 0,
            uptime: AtomicU64::new(0),
            heard_at: 0,
            last_issued_at: 0,
            last_end: Position::default(),
            witnessed_at: 0,
            forked: false,
            overlay_limit: OVERLAY_LIMIT,
        }
    }

    /// What shows that bytes are a snapshot of this feed.
    pub fn trust(&self) -> &FeedTrust {
        &self.trust
    }

    /// The trusted public keys.
    pub fn trusted(&self) -> &[FeedKey] {
        self.trust.keys()
    }

    /// Resumes at the end of a snapshot that was stored before a restart: nothing older will be
    /// trusted. The rest of the snapshot is not applied. `now` is in unix seconds.
    ///
    /// # Errors
    ///
    /// [`ApplyError::Open`], [`ApplyError::WrongFeed`] and [`ApplyError::Implausible`]: a floor
    /// that no log can reach would block all verdicts for ever.
    pub fn resume(&mut self, snapshot: Vec<u8>, now: u64) -> Result<(), ApplyError> {
        let snapshot = self.trust.open(snapshot)?;
        refuse_implausible(&snapshot, now)?;
        self.raise_floor(snapshot.end());
        Ok(())
    }

    /// As [`FeedTrust::preview`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn preview(&self, head: &[u8]) -> Result<(), ApplyError> {
        self.trust.preview(head)
    }

    /// As [`FeedTrust::begin`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn begin(&self, head: &[u8]) -> Result<Arriving, ApplyError> {
        self.trust.begin(head)
    }

    /// When the last snapshot that [`apply`](Self::apply) got with a valid signature was signed,
    /// unix seconds, whether it was applied or not. It shows how late a stream is.
    pub fn last_issued_at(&self) -> u64 {
        self.last_issued_at
    }

    /// True if that snapshot ends before the held position: the signer has lost records since, or a
    /// cache on the way had an old one.
    pub fn is_last_behind(&self) -> bool {
        self.position().is_some_and(|held| self.last_end < held)
    }

    /// Applies one snapshot, or changes nothing and returns why. `now` is in unix seconds.
    ///
    /// # Errors
    ///
    /// See [`ApplyError`].
    pub fn apply(&mut self, bytes: Vec<u8>, now: u64) -> Result<Applied, ApplyError> {
        let snapshot = self.trust.open(bytes)?;
        self.take(snapshot, now)
    }

    /// As [`apply`](Self::apply), for a snapshot that [`trust`](Self::trust) has opened.
    ///
    /// # Errors
    ///
    /// See [`ApplyError`].
    pub fn take(&mut self, snapshot: Snapshot, now: u64) -> Result<Applied, ApplyError> {
        let issued_at = snapshot.issued_at();
        self.last_issued_at = issued_at;
        self.last_end = snapshot.to();
        if issued_at > now.saturating_add(MAX_SKEW_SECONDS) {
            self.witnessed_at = self.witnessed_at.max(issued_at);
            return Err(ApplyError::FromTheFuture { issued_at, now });
        }
        refuse_implausible(&snapshot, now)?;
        self.refuse_contradiction(&snapshot)?;
        if snapshot.to().era < self.floor.position.era {
            return Ok(Applied::Ignored);
        }
        if snapshot.is_base() { Ok(self.replace(snapshot)) } else { self.extend(&snapshot) }
    }

    /// The held base, as it was signed. Applying it again gives a new verifier its state.
    pub fn base(&self) -> Option<&[u8]> {
        self.base.as_ref().map(Snapshot::as_bytes)
    }

    /// The position up to which revocations are held; `None` before the first base.
    pub fn position(&self) -> Option<Position> {
        self.base.as_ref().map(|_| self.reached.position)
    }

    /// The newest position ever seen, with its chain hash. After a restart [`resume`](Self::resume)
    /// with the snapshot that raised it.
    pub fn floor(&self) -> Floor {
        self.floor
    }

    /// The position from which to request more of the feed; `None` if a base is needed.
    pub fn since(&self) -> Option<Position> {
        let base = self.base.as_ref()?;
        let limit = base.denied_count().max(base.cutoffs_count()).max(self.overlay_limit);
        // Every verdict looks up each selector, and only a base removes one.
        let in_base = |issuer: &str| {
            let found = base.issuers().iter().find(|rules| rules.issuer == issuer);
            found.map_or(0, |rules| rules.selectors.len())
        };
        let has_many = |rules: &IssuerRules| {
            let count = rules.selectors.len();
            count > MAX_SELECTORS && count > in_base(&rules.issuer)
        };
        let full = self.overlay.len() > limit || self.rules.iter().any(has_many);
        (!self.forked && !full).then_some(self.reached.position)
    }

    /// True once the floor is reached.
    pub fn is_ready(&self) -> bool {
        self.base.is_some() && self.reached.position >= self.floor.position
    }

    /// True after two contents were seen for one position, until a newer base resolves it.
    pub fn is_forked(&self) -> bool {
        self.forked
    }

    /// The feed's rules for an issuer, if there are any.
    pub fn rules_of(&self, issuer: &str) -> Option<&IssuerRules> {
        let at = self.rules.binary_search_by(|rules| rules.issuer.as_str().cmp(issuer)).ok()?;
        self.rules.get(at)
    }

    /// Increases when the rules of any issuer change.
    pub(crate) fn rules_generation(&self) -> u32 {
        self.rules_generation
    }

    /// The base and the rules that are in force, as a number that no other base and no other rules
    /// ever have: what the base lacks, it lacks while this number stays the same.
    pub(crate) fn footing(&self) -> u64 {
        self.footing
    }

    /// The key of the fingerprints; `None` before the first base.
    pub fn salt(&self) -> Option<Salt> {
        self.base.as_ref().map(Snapshot::salt)
    }

    /// True if the issuer's key of this name is dead.
    pub fn is_dead(&self, issuer: &str, kid: &str) -> bool {
        let base = self.base.iter().flat_map(Snapshot::dead_keys);
        let overlay = self.overlay.dead_keys.iter();
        let mut all = base.chain(overlay.map(|((issuer, kid), _)| (issuer.as_str(), kid.as_str())));
        all.any(|key| key == (issuer, kid))
    }

    /// True if the issuer's tokens with this text in `claim` are revoked regardless of their age.
    pub fn is_denied(&self, issuer: &str, claim: &str, text: &str) -> bool {
        let id = |salt| Fingerprint::of_claim(salt, issuer, claim, text);
        self.salt().is_some_and(|salt| self.holds(id(salt)))
    }

    /// The minimum for the issuer's tokens with this text in `claim`, if they were ever revoked.
    pub fn cutoff(&self, issuer: &str, claim: &str, text: &str) -> Option<Cutoff> {
        self.cutoff_of(Fingerprint::of_claim(self.salt()?, issuer, claim, text))
    }

    /// True if tokens with this fingerprint are revoked regardless of their age.
    pub fn holds(&self, id: Fingerprint) -> bool {
        self.holds_among(Among::All, id)
    }

    /// The minimum for tokens with this fingerprint, if they were ever revoked.
    pub fn cutoff_of(&self, id: Fingerprint) -> Option<Cutoff> {
        self.cutoff_among(Among::All, id)
    }

    pub(crate) fn holds_among(&self, among: Among, id: Fingerprint) -> bool {
        let in_base = || self.base_among(among).is_some_and(|base| base.is_denied(id));
        self.overlay.denied.contains_key(&id) || in_base()
    }

    pub(crate) fn cutoff_among(&self, among: Among, id: Fingerprint) -> Option<Cutoff> {
        let newer = self.overlay.cutoffs.get(&id).map(|(cutoff, _)| *cutoff);
        match (self.base_among(among).and_then(|base| base.cutoff(id)), newer) {
            (Some(one), Some(other)) => Some(one.join(other)),
            (one, other) => one.or(other),
        }
    }

    fn base_among(&self, among: Among) -> Option<&Snapshot> {
        self.base.as_ref().filter(|_| among == Among::All)
    }

    /// The position at which tokens with this fingerprint were last revoked, or that of the base
    /// with the entry.
    pub(crate) fn revoked_at(&self, id: Fingerprint) -> Option<Position> {
        let Overlay { denied, cutoffs, .. } = &self.overlay;
        let newer = denied.get(&id).or_else(|| cutoffs.get(&id).map(|(_, seen)| seen));
        newer.map(|seen| seen.to).or_else(|| self.base.as_ref().map(|base| base.to()))
    }

    /// A position with a known chain hash must not appear with another one.
    fn refuse_contradiction(&mut self, snapshot: &Snapshot) -> Result<(), ApplyError> {
        let start = Floor { position: snapshot.from(), chain: snapshot.chain_from() };
        let ends = [start, snapshot.end()];
        let held = self.known.iter().chain([&self.floor]);
        for known in held {
            if ends.iter().any(|end| end.position == known.position && end.chain != known.chain) {
                self.forked |= snapshot.is_base();
                return Err(ApplyError::Fork { held: self.reached.position });
            }
        }
        Ok(())
    }

    /// A base replaces the previous one; later deltas stay on top of it.
    fn replace(&mut self, snapshot: Snapshot) -> Applied {
        let end = snapshot.end();
        let held = self.base.as_ref().map(|base| (base.to(), base.salt()));
        match held {
            Some((to, _)) if end.position <= to => {
                self.refresh(&snapshot, end.position);
                // The feed has no newer base yet: its deltas are followed in the meantime.
                self.overlay_limit = self.overlay.len().saturating_mul(2).max(OVERLAY_LIMIT);
                // It proves freshness only if it covers the whole held state.
                return if end.position >= self.reached.position {
                    self.renew(snapshot);
                    Applied::Refreshed
                } else {
                    Applied::Ignored
                };
            }
            // Its fingerprints have another salt: the overlay cannot stay on top of it.
            Some((_, salt)) if salt != snapshot.salt() && end.position < self.reached.position => {
                return Applied::Ignored;
            }
            _ => {}
        }
        self.refresh(&snapshot, end.position);
        match held {
            Some((_, salt)) if salt != snapshot.salt() => self.overlay.begin_again(&snapshot),
            _ => self.overlay.forget_what_is_in(&snapshot),
        }
        self.replace_rules(&snapshot);
        self.reach(end);
        self.forked = false;
        self.overlay_limit = OVERLAY_LIMIT;
        self.hold(snapshot);
        Applied::Replaced
    }

    /// A base that ends where the held one does replaces it if it was signed later.
    fn renew(&mut self, snapshot: Snapshot) {
        let is_later = |base: &Snapshot| {
            base.salt() == snapshot.salt() && base.issued_at() < snapshot.issued_at()
        };
        if self.base.as_ref().is_some_and(is_later) {
            self.replace_rules(&snapshot);
            self.hold(snapshot);
        }
    }

    fn hold(&mut self, base: Snapshot) {
        self.base = Some(base);
        self.footing = new_footing();
    }

    /// A delta is added if it continues exactly the held history.
    fn extend(&mut self, snapshot: &Snapshot) -> Result<Applied, ApplyError> {
        let gap = ApplyError::Gap { from: snapshot.from(), held: self.position() };
        let Some(base) = &self.base else { return Err(gap) };
        if snapshot.from() > self.reached.position || base.salt() != snapshot.salt() {
            return Err(gap);
        }
        if snapshot.from() < self.reached.position {
            // It is unknown whether its end continues our history; its entries are held already, or
            // come with the next delta.
            return Ok(Applied::Ignored);
        }
        if self.reached.chain != snapshot.chain_from() {
            return Err(ApplyError::Fork { held: self.reached.position });
        }
        let to = snapshot.to();
        self.refresh(snapshot, to);
        self.add_rules(snapshot.issuers().iter().cloned());
        if to == self.reached.position {
            return Ok(Applied::Refreshed);
        }
        self.overlay.add(snapshot);
        self.reach(snapshot.end());
        Ok(Applied::Extended)
    }

    /// The rules of a base replace the previous ones, with two exceptions: those that deltas have
    /// added, and epochs and horizons, which no base undoes.
    fn replace_rules(&mut self, base: &Snapshot) {
        let before = std::mem::replace(&mut self.rules, base.issuers().to_vec());
        let lasting =
            before.iter().cloned().map(|rules| IssuerRules { selectors: vec![], ..rules });
        let lasting = lasting.filter(|rules| rules.epoch > 0 || !rules.horizons.is_empty());
        self.add_rules(lasting);
        self.add_rules(
            self.overlay.rules.iter().map(|(rules, _)| rules.clone()).collect::<Vec<_>>(),
        );
        for rules in &mut self.rules {
            rules.horizons.forget_before(base.issued_at().saturating_sub(FORGET_AFTER_SECONDS));
        }
        if before != self.rules {
            self.rules_change();
        }
    }

    fn add_rules(&mut self, added: impl IntoIterator<Item = IssuerRules>) {
        for rules in added {
            let held = self.rules.binary_search_by(|held| held.issuer.cmp(&rules.issuer));
            match held.map(|at| self.rules.get_mut(at)) {
                Ok(Some(held)) => held.join(&rules),
                Ok(None) => {}
                Err(at) => self.rules.insert(at, rules),
            }
            self.rules_change();
        }
    }

    fn rules_change(&mut self) {
        self.rules_generation = self.rules_generation.wrapping_add(1);
        self.footing = new_footing();
    }

    /// Only a statement about the whole held state proves that it is fresh.
    fn refresh(&mut self, snapshot: &Snapshot, to: Position) {
        if to >= self.reached.position {
            // A newer statement within our clock's time: the apparent future was another clock's
            // mistake.
            if snapshot.issued_at() > self.issued_at {
                self.witnessed_at = 0;
                self.heard_at = self.uptime();
            }
            self.issued_at = self.issued_at.max(snapshot.issued_at());
            self.valid_until = self.valid_until.max(snapshot.valid_until());
        }
    }

    fn reach(&mut self, end: Floor) {
        self.known.retain(|known| known.position.era == end.position.era);
        if !self.known.contains(&end) {
            self.known.push_back(end);
        }
        if self.known.len() > MAX_KNOWN {
            self.known.pop_front();
        }
        if end.position > self.reached.position {
            self.reached = end;
        }
        self.raise_floor(end);
    }

    fn raise_floor(&mut self, end: Floor) {
        if end.position > self.floor.position {
            self.floor = end;
        }
    }
}

/// Which of the held entries a look-up reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Among {
    /// All.
    All,
    /// Those that deltas have added to the base.
    Deltas,
}

/// Counts in the whole process, so that no two feeds have the same number. It is never 0.
fn new_footing() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
}

/// An era is the unix time at which a log began, or one more than the previous era, and an epoch is
/// the moment of a red button. Neither can be far ahead of the clock, even if it is signed.
fn refuse_implausible(snapshot: &Snapshot, now: u64) -> Result<(), ApplyError> {
    let limit = now.saturating_add(MAX_LEAD_SECONDS);
    let epoch = snapshot.issuers().iter().map(|rules| rules.epoch).max().unwrap_or(0);
    let claims = [("era", snapshot.to().era), ("epoch", epoch)];
    match claims.into_iter().find(|(_, found)| *found > limit) {
        Some((field, found)) => Err(ApplyError::Implausible { field, found, limit }),
        None => Ok(()),
    }
}

/// How far ahead of the clock an era or an epoch may be. Without this bound one snapshot of era
/// 2^64 - 1, signed with a stolen feed key, would raise the floor of every verifier above
/// everything that the feed can ever publish. A day is more than the error of any clock in use.
const MAX_LEAD_SECONDS: u64 = 86_400;
/// How far in the future a snapshot's `issued_at` may be.
const MAX_SKEW_SECONDS: u64 = 300;
/// How long a step of a horizon is kept after its last token has expired: longer than any leeway.
const FORGET_AFTER_SECONDS: u64 = 600;
/// A new base is requested once deltas have added this many entries, or as many as the base has.
const OVERLAY_LIMIT: usize = 65_536;
/// How many positions' chain hashes are remembered.
const MAX_KNOWN: usize = 64;
