//! Revoking: one append, after which every verifier that follows the feed refuses.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use offswitch_core::fold::FoldError;
use offswitch_core::limits::UNNAMED_REQUEST_MEMORY;
use offswitch_core::record::{Record, Revocation};
use offswitch_snapshot::{MAX_DEAD_KEYS, MAX_ENTRIES, MAX_SELECTORS, Position, Selector};

use super::{Log, PlaneError};
use crate::audit;
use crate::store::{Append, Appended, Durability, Request, StoreError};

/// The outcome of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// A verifier at this position or a later one refuses.
    pub position: Position,
    /// Which failures the record survives.
    pub durability: Durability,
    /// True if the same request was accepted before.
    pub repeated: bool,
}

impl Log {
    /// Appends `record` and returns once it is durable, and also folded here if the store allows
    /// reading it.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`]; nothing is acknowledged then.
    pub async fn revoke(&self, request: &Request, record: &Record) -> Result<Revoked, PlaneError> {
        if let Err(refusal) = self.need_room(record, MOST_ENTRIES) {
            return self.recalled(request, refusal).await;
        }
        let began = Instant::now();
        let Appended { position, durability, repeated } = self.append(request, record).await?;
        // It is durable already; waiting until it is folded only helps this process's followers.
        self.wait_folded(position, LONGEST_FOLD).await;
        metrics::histogram!("offswitch_publish_seconds").record(began.elapsed().as_secs_f64());
        audit::revoked(record, position, repeated);
        Ok(Revoked { position, durability, repeated })
    }

    /// Appends `record` while no task follows the log yet, and folds it.
    pub(in crate::plane) async fn revoke_at_start(
        &self,
        request: &Request,
        record: &Record,
    ) -> Result<(), PlaneError> {
        self.need_room(record, MOST_ENTRIES)?;
        let Appended { position, .. } = self.append(request, record).await?;
        audit::revoked(record, position, false);
        self.catch_up().await
    }

    /// Appends to the log that this process has folded. If the store continues a different log,
    /// that is repaired first.
    async fn append(&self, request: &Request, record: &Record) -> Result<Appended, PlaneError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let append = Append { request: request.clone(), record: record.encode() };
            match self.appender.append(append).await {
                Err(StoreError::Moved) if tries < MOST_TRIES => self.catch_up().await?,
                appended => return Ok(appended?),
            }
        }
    }

    /// [`revoke`](Self::revoke), limited by [`need_allowed`](Self::need_allowed).
    ///
    /// # Errors
    ///
    /// See [`PlaneError`]; nothing is acknowledged then.
    pub async fn revoke_allowed(
        &self,
        request: &Request,
        record: &Record,
    ) -> Result<Revoked, PlaneError> {
        // Selectors are few: requests that need new ones take turns, each with the one before folded.
        let _turn = match self.adds_selectors(record) {
            true => Some(self.change_issuers().await),
            false => None,
        };
        match self.need_allowed(record) {
            Ok(()) => self.revoke(request, record).await,
            Err(refusal) => self.recalled(request, refusal).await,
        }
    }

    /// The outcome of an earlier execution of `request`, if it had an idempotency key and was
    /// accepted.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn recall(&self, request: &Request) -> Result<Option<Revoked>, PlaneError> {
        if request.memory <= UNNAMED_REQUEST_MEMORY {
            return Ok(None);
        }
        let known = self.store.recall(request).await?;
        let revoked = |Appended { position, durability, repeated }| Revoked {
            position,
            durability,
            repeated,
        };
        Ok(known.map(revoked))
    }

    /// The outcome of an earlier execution of `request`. It is refused only if there was none: a
    /// caller that lost the response must not take an accepted revocation for a refused one.
    pub(in crate::plane) async fn recalled(
        &self,
        request: &Request,
        refusal: PlaneError,
    ) -> Result<Revoked, PlaneError> {
        self.recall(request).await?.ok_or(refusal)
    }

    /// Refuses `record` if it exceeds the number of revocations that the operator allows, or the
    /// number of keys that may be revoked by name: the remaining room is reserved for red buttons,
    /// which must never find it full. Ending sessions (a logout, a theft) is not subject to this:
    /// it may use the room up to [`MOST_ENTRIES`].
    ///
    /// # Errors
    ///
    /// [`PlaneError::TooManyEntries`], [`PlaneError::TooManyDeadKeys`].
    pub fn need_allowed(&self, record: &Record) -> Result<(), PlaneError> {
        self.need_key_room(record)?;
        self.need_selector_room(record)?;
        self.need_room(record, self.settings.max_entries)
    }

    fn adds_selectors(&self, record: &Record) -> bool {
        let issuers = self.issuers();
        let is_new = |one: &Revocation| {
            let rules = issuers.rules_of(one.issuer().unwrap_or(issuers.own()));
            let selector = one.selector(&issuers);
            selector.is_some_and(|one| rules.is_none_or(|rules| rules.uses_of(&one).is_none()))
        };
        let is_claims = |one: &&Revocation| matches!(one, Revocation::Claims { .. });
        record.revocations.iter().filter(is_claims).any(is_new)
    }

    /// Refuses to revoke by more combinations of claims than verifiers look up.
    fn need_selector_room(&self, record: &Record) -> Result<(), PlaneError> {
        let issuers = self.issuers();
        let mut added: HashMap<&str, Vec<Selector>> = HashMap::new();
        for one in &record.revocations {
            if let Revocation::Claims { .. } = one {
                let issuer = one.issuer().unwrap_or(issuers.own());
                added.entry(issuer).or_default().extend(one.selector(&issuers));
            }
        }
        for (issuer, selectors) in added {
            if issuers.selectors_with(issuer, &selectors) > MAX_SELECTORS {
                return Err(PlaneError::TooManySelectors { issuer: issuer.to_owned() });
            }
        }
        Ok(())
    }

    /// Refuses to revoke so many keys by name that red buttons have no room. Keys of other issuers
    /// have lower limits, because any caller who may revoke can invent their names: each issuer is
    /// limited to what its key set can hold, and all of them so that there is always room for the
    /// control plane's own keys.
    fn need_key_room(&self, record: &Record) -> Result<(), PlaneError> {
        let named: HashSet<(Option<&str>, &str)> = record
            .revocations
            .iter()
            .filter_map(|one| match one {
                Revocation::Key { issuer, kid } => Some((issuer.as_deref(), kid.as_str())),
                _ => None,
            })
            .collect();
        if named.is_empty() {
            return Ok(());
        }
        let own = self.issuer.as_str();
        let fold = self.folded.lock();
        let dead = fold.dead_keys().iter().map(|key| (key.issuer.as_str(), key.kid.as_str()));
        let fresh = named.into_iter().map(|(issuer, kid)| (issuer.unwrap_or(own), kid));
        let all: HashSet<(&str, &str)> = dead.chain(fresh).collect();
        if all.len() == fold.dead_keys().len() {
            return Ok(());
        }
        let mut by_issuer: HashMap<&str, usize> = HashMap::new();
        for (issuer, _) in &all {
            *by_issuer.entry(issuer).or_default() += 1;
        }
        let own_keys = by_issuer.remove(own).unwrap_or_default();
        let foreign: usize = by_issuer.values().sum();
        let is_full = own_keys + foreign > MAX_DEAD_KEYS / 2
            || foreign > MAX_FOREIGN_DEAD_KEYS
            || by_issuer.values().any(|keys| *keys > MAX_DEAD_KEYS_OF_ISSUER);
        if is_full { Err(PlaneError::TooManyDeadKeys) } else { Ok(()) }
    }

    fn need_room(&self, record: &Record, most: usize) -> Result<(), PlaneError> {
        let entries = record.revocations.iter().filter(|one| one.is_entry()).count();
        let held = self.folded.lock().entries();
        if entries > 0 && held.saturating_add(entries) > most {
            return Err(PlaneError::TooManyEntries { held, most });
        }
        Ok(())
    }

    /// The record at `position`.
    pub(in crate::plane) async fn record_at(
        &self,
        position: Position,
    ) -> Result<Record, PlaneError> {
        let seq = position.seq;
        let page = self.store.read(seq.saturating_sub(1), 1).await?;
        let record = page.records.first().filter(|(found, _)| *found == seq);
        let Some((_, bytes)) = record.filter(|_| page.era == position.era) else {
            let gone = "the record of the repeated request does not exist any more";
            return Err(StoreError::Damaged(gone.to_owned()).into());
        };
        Ok(Record::decode(bytes).map_err(|_| FoldError::Damaged { seq })?)
    }

    /// How many more tokens, sessions and users may be revoked.
    pub fn room(&self) -> usize {
        self.settings.max_entries.saturating_sub(self.folded.lock().entries())
    }
}

/// The maximum number of revoked tokens, sessions and users at any time: verifiers refuse a
/// snapshot beyond their own bound, and would be stuck with the previous one. The difference allows
/// for processes that revoke concurrently, each before it has seen the others' records of up to
/// 100,000 entries.
pub const MOST_ENTRIES: usize = MAX_ENTRIES - (1 << 22);
/// How many keys of other issuers may be dead: half of those that may be revoked by name.
const MAX_FOREIGN_DEAD_KEYS: usize = MAX_DEAD_KEYS / 4;
/// How many keys of one other issuer may be dead.
const MAX_DEAD_KEYS_OF_ISSUER: usize = 64;
const LONGEST_FOLD: Duration = Duration::from_secs(1);
/// The first try, and a few more for a store that fails over more than once.
const MOST_TRIES: u32 = 4;
