//! The state of a server, and what each call does to it, as the scripts of the real Redis store do.
//! The real stores' conformance suite runs on it (`tests/store.rs`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use offswitch::store::{
    Append, Appended, Batch, Durability, Older, Onto, PAGE_SIZE_BYTES, Page, Request, StoreError,
    Swapped, marks_after,
};
use offswitch_core::fold::{Fold, FoldError};
use offswitch_core::log::{Checkpoint, End};
use offswitch_snapshot::{Position, Salt};

use crate::flaw::Flaw;

/// Everything that a server holds. A clone is a replica, or a backup.
#[derive(Debug, Clone, Default)]
pub struct Server {
    /// Absent before the first log, and after a wipe.
    log: Option<Log>,
    requests: HashMap<String, (Position, [u8; 32])>,
    expiries: BTreeSet<(u64, String)>,
    /// With when they may be forgotten.
    documents: BTreeMap<String, (Vec<u8>, Option<u64>)>,
    flaw: Option<Flaw>,
}

#[derive(Debug, Clone)]
struct Log {
    end: End,
    checkpoint: Arc<Checkpoint>,
    checkpoint_mark: u64,
    records: BTreeMap<u64, (u64, Arc<[u8]>)>,
    /// Identifies the call that began the era.
    nonce: u64,
}

impl Server {
    /// An empty one.
    pub fn new(flaw: Option<Flaw>) -> Self {
        Self { flaw, ..Self::default() }
    }

    /// Begins a log, unless there is one.
    pub(crate) fn begin(&mut self, first_era: u64) {
        self.log.get_or_insert_with(|| Log::empty(first_era));
    }

    /// Where the log ends; without a log, where one of `first_era` would begin.
    pub(crate) fn end(&self, first_era: u64) -> End {
        let none = End { position: Position { era: first_era, seq: 0 }, mark: 0 };
        self.log.as_ref().map_or(none, |log| log.end)
    }

    pub(crate) fn append(
        &mut self,
        batch: &[Append],
        onto: Onto,
        nonce: u64,
        now: u64,
    ) -> Result<Batch, StoreError> {
        self.forget(now);
        let (log, flaw) = (self.log.as_mut().ok_or(StoreError::Moved)?, self.flaw);
        let is_blind = flaw == Some(Flaw::ReusesPositions);
        if onto.end.is_some_and(|end| !is_blind && !log.contains(end)) {
            return Err(StoreError::Moved);
        }
        let (least_seq, nonce) = if is_blind { (0, 0) } else { (onto.least_seq, nonce) };
        let from = log.end;
        let mut answers = Vec::new();
        for Append { request, record } in batch {
            let known = self.requests.get(&request.id);
            if let Some((position, digest)) = known.filter(|_| flaw != Some(Flaw::AppendsTwice)) {
                let repeated = Appended { repeated: true, ..appended(*position) };
                answers.push((*digest == request.digest).then_some(repeated));
                continue;
            }
            let position = log.push(record, least_seq, nonce);
            self.requests.insert(request.id.clone(), (position, request.digest));
            self.expiries.insert((now + request.memory.as_secs(), request.id.clone()));
            answers.push(Some(appended(position)));
        }
        Ok(Batch { answers, from, to: log.end })
    }

    pub(crate) fn recall(&self, request: &Request) -> Result<Option<Appended>, StoreError> {
        match self.requests.get(&request.id) {
            None => Ok(None),
            Some((_, digest)) if *digest != request.digest => Err(StoreError::RequestReused),
            Some((position, _)) => Ok(Some(Appended { repeated: true, ..appended(*position) })),
        }
    }

    pub(crate) fn read(&self, after: u64, limit: usize, first_era: u64) -> Page {
        let Some(log) = &self.log else {
            return Page { era: first_era, after_mark: Some(0), ..Page::default() };
        };
        let after = after.max(log.checkpoint.seq);
        let after_mark = match after {
            seq if seq == log.checkpoint.seq => Some(log.checkpoint_mark),
            seq => log.records.get(&seq).map(|(mark, _)| *mark),
        };
        let mut page = Page {
            era: log.end.position.era,
            head: log.end.position.seq,
            head_mark: log.end.mark,
            checkpoint: Checkpoint::clone(&log.checkpoint),
            after_mark,
            ..Page::default()
        };
        let mut size_bytes = 0;
        for (seq, (mark, record)) in log.records.range(after.saturating_add(1)..).take(limit) {
            page.records.push((*seq, record.to_vec()));
            page.marks.push(*mark);
            size_bytes += record.len();
            if size_bytes >= PAGE_SIZE_BYTES {
                break;
            }
        }
        page
    }

    pub(crate) fn read_back(&self, before: u64, limit: usize, first_era: u64) -> Older {
        let Some(log) = &self.log else { return Older { era: first_era, ..Older::default() } };
        let (mut records, mut size_bytes) = (Vec::new(), 0);
        for (seq, (_, record)) in log.records.range(..before).rev().take(limit) {
            records.push((*seq, record.to_vec()));
            size_bytes += record.len();
            if size_bytes >= PAGE_SIZE_BYTES {
                break;
            }
        }
        records.reverse();
        let oldest = log.records.keys().next().copied().unwrap_or(0);
        Older { era: log.end.position.era, oldest, records }
    }

    pub(crate) fn trim(&mut self, era: u64, checkpoint: &Checkpoint) {
        let Some(log) = &mut self.log else { return };
        let is_newer = checkpoint.seq > log.checkpoint.seq;
        let mark = log.records.get(&checkpoint.seq).map(|(mark, _)| *mark);
        if let Some(mark) = mark.filter(|_| is_newer && era == log.end.position.era) {
            log.records = log.records.split_off(&(checkpoint.seq + 1));
            log.checkpoint = Arc::new(checkpoint.clone());
            log.checkpoint_mark = mark;
        }
    }

    /// True if it is done, also if an earlier execution of the same call did it. `nonce` identifies the call.
    pub(crate) fn start_era(
        &mut self,
        (expected, first_era): (End, u64),
        era: u64,
        checkpoint: &Checkpoint,
        nonce: u64,
    ) -> bool {
        if self.log.as_ref().is_some_and(|log| log.nonce == nonce) {
            return true;
        }
        if self.end(first_era) != expected || era <= expected.position.era {
            return false;
        }
        let checkpoint = match self.flaw {
            Some(Flaw::EmptyEra) => Checkpoint { seq: checkpoint.seq, bytes: vec![] },
            _ => checkpoint.clone(),
        };
        let end = End { position: Position { era, seq: checkpoint.seq }, mark: marked(0, nonce) };
        self.log = Some(Log {
            end,
            checkpoint: Arc::new(checkpoint),
            checkpoint_mark: end.mark,
            records: BTreeMap::new(),
            nonce,
        });
        true
    }

    pub(crate) fn load(&self, name: &str) -> Vec<u8> {
        self.documents.get(name).map(|(bytes, _)| bytes.clone()).unwrap_or_default()
    }

    pub(crate) fn swap(
        &mut self,
        at: Option<Position>,
        name: &str,
        (from, to): (&[u8], &[u8]),
        expires_at: Option<u64>,
    ) -> Swapped {
        let held = self.documents.get(name).map_or(&[][..], |(bytes, _)| bytes.as_slice());
        if held == to {
            return Swapped::Written;
        }
        if held != from {
            return Swapped::Changed;
        }
        if at.is_some() && at != self.log.as_ref().map(|log| log.end.position) {
            return Swapped::Moved;
        }
        if to.is_empty() {
            self.documents.remove(name);
        } else {
            self.documents.insert(name.to_owned(), (to.to_vec(), expires_at));
        }
        Swapped::Written
    }

    /// Documents from `cursor` on whose names begin with `prefix`.
    pub(crate) fn scan(&self, prefix: &str, cursor: &str) -> Vec<(String, Vec<u8>)> {
        let begin = if cursor.is_empty() { prefix } else { cursor };
        let all = self.documents.range(begin.to_owned()..);
        let named = all.take_while(|(name, _)| name.starts_with(prefix));
        let after = named.filter(|(name, _)| cursor.is_empty() || name.as_str() != cursor);
        after.map(|(name, (bytes, _))| (name.clone(), bytes.clone())).collect()
    }

    /// What its log says.
    pub fn fold(&self, salt: Salt, issuer: &str) -> Result<Fold, FoldError> {
        let Some(log) = &self.log else {
            return Fold::begin(salt, issuer, 1, &Checkpoint::default());
        };
        let mut fold = Fold::begin(salt, issuer, log.end.position.era, &log.checkpoint)?;
        for (seq, (_, record)) in &log.records {
            fold.push(*seq, record)?;
        }
        Ok(fold)
    }

    fn forget(&mut self, now: u64) {
        self.documents.retain(|_, (_, until)| until.is_none_or(|until| until >= now));
        while self.expiries.first().is_some_and(|(at, _)| *at < now) {
            let first = self.expiries.pop_first();
            first.map(|(_, id)| self.requests.remove(&id));
        }
    }
}

impl Log {
    fn empty(era: u64) -> Self {
        let end = End { position: Position { era, seq: 0 }, mark: 0 };
        Self {
            end,
            checkpoint: Arc::default(),
            checkpoint_mark: 0,
            records: BTreeMap::new(),
            nonce: 0,
        }
    }

    fn contains(&self, end: End) -> bool {
        let mark = match end.position.seq {
            seq if seq == self.end.position.seq => Some(self.end.mark),
            seq if seq == self.checkpoint.seq => Some(self.checkpoint_mark),
            seq => self.records.get(&seq).map(|(mark, _)| *mark),
        };
        self.end.position.era == end.position.era && mark == Some(end.mark)
    }

    fn push(&mut self, record: &[u8], least_seq: u64, nonce: u64) -> Position {
        let seq = (self.end.position.seq + 1).max(least_seq);
        let mark = marked(self.end.mark, nonce);
        self.records.insert(seq, (mark, record.into()));
        self.end = End { position: Position { seq, ..self.end.position }, mark };
        self.end.position
    }
}

fn marked(before: u64, nonce: u64) -> u64 {
    marks_after(before, nonce & MAX_NONCE, 1).next().unwrap_or_default()
}

fn appended(position: Position) -> Appended {
    Appended { position, durability: Durability::Synced, repeated: false }
}

/// The random part of a mark has 40 bits.
const MAX_NONCE: u64 = (1 << 40) - 1;
