//! The snapshots that are in force, byte for byte as they were signed: for a relay, and to be kept on disk.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use offswitch_verifier::snapshot::{Position, Snapshot};
use tokio::sync::watch;

/// A signed snapshot, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedSnapshot {
    /// Its bytes.
    pub bytes: Bytes,
    /// Where it begins; seq 0 for a base.
    pub from: Position,
    /// Where it ends.
    pub to: Position,
    /// When it was signed, unix seconds.
    pub issued_at: u64,
    /// Until when it claims to be fresh, unix seconds.
    pub valid_until: u64,
}

/// The snapshots that are in force: a base, the deltas that follow each other, and the newest statement about
/// their end.
#[derive(Debug, Clone, Default)]
pub struct Snapshots {
    /// The base.
    pub base: Option<SignedSnapshot>,
    /// The newest deltas, each beginning where the one before ends. The oldest may begin before the end of the
    /// base, or after it where too many bytes came since.
    pub deltas: VecDeque<SignedSnapshot>,
    /// The newest statement about the end of all that is held: a heartbeat, a delta or a base.
    pub newest: Option<SignedSnapshot>,
    delta_bytes: usize,
}

/// Where they are put, and from where others take them.
pub(crate) struct Shelf {
    held: Mutex<Arc<Snapshots>>,
    changed: watch::Sender<u64>,
}

impl SignedSnapshot {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        Self {
            bytes: Bytes::from_owner(Shared(snapshot.shared_bytes())),
            from: snapshot.from(),
            to: snapshot.to(),
            issued_at: snapshot.issued_at(),
            valid_until: snapshot.valid_until(),
        }
    }

    /// True for one that holds everything from the beginning.
    pub fn is_base(&self) -> bool {
        self.from.seq == 0
    }
}

/// Bytes that are shared with the verifier.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Snapshots {
    /// Where what is held ends.
    pub fn end(&self) -> Option<Position> {
        self.newest.as_ref().map(|newest| newest.to)
    }

    /// What leads on from this position: the delta that begins there, or the newest statement for a follower that
    /// has everything. None if only the base can help.
    pub fn after(&self, position: Position) -> Option<&SignedSnapshot> {
        if self.end() == Some(position) {
            return self.newest.as_ref().filter(|newest| !newest.is_base());
        }
        self.deltas.iter().find(|delta| delta.from == position)
    }

    fn put(&mut self, signed: SignedSnapshot, what: Change) {
        match what {
            Change::Base => {
                self.base = Some(signed.clone());
                if self.end().is_none_or(|end| end <= signed.to) {
                    self.newest = Some(signed);
                }
            }
            Change::Delta => {
                self.delta_bytes += signed.bytes.len();
                self.deltas.push_back(signed.clone());
                while self.delta_bytes > MOST_DELTA_BYTES {
                    let Some(oldest) = self.deltas.pop_front() else { break };
                    self.delta_bytes -= oldest.bytes.len();
                }
                self.newest = Some(signed);
            }
            Change::Statement => self.newest = Some(signed),
        }
    }

    /// True for a statement that says nothing new. An address may repeat one without end.
    fn says(&self, signed: &SignedSnapshot) -> bool {
        let is_same =
            |one: &SignedSnapshot| one.to == signed.to && one.issued_at >= signed.issued_at;
        self.newest.as_ref().is_some_and(is_same)
    }
}

/// What a snapshot is to those that are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It takes the place of the base.
    Base,
    /// It goes on top.
    Delta,
    /// It says that nothing was added.
    Statement,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        Self { held: Mutex::default(), changed: watch::Sender::new(0) }
    }

    pub(crate) fn put(&self, signed: SignedSnapshot, what: Change) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if what == Change::Statement && held.says(&signed) {
            return;
        }
        Arc::make_mut(&mut held).put(signed, what);
        drop(held);
        self.changed.send_modify(|count| *count += 1);
    }

    pub(crate) fn held(&self) -> Arc<Snapshots> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes with each snapshot that is put here.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// Without older ones a follower that is far behind needs the base.
const MOST_DELTA_BYTES: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64) -> Position {
        Position { era: 1, seq }
    }

    fn signed(from: u64, to: u64, issued_at: u64, size: usize) -> SignedSnapshot {
        let bytes = Bytes::from(vec![0; size]);
        SignedSnapshot { bytes, from: at(from), to: at(to), issued_at, valid_until: issued_at + 60 }
    }

    // G08: what leads on from a position is the delta that begins there, the newest statement at the end, and
    // nothing elsewhere.
    #[test]
    fn a_follower_is_led_on_from_each_position_that_a_delta_begins_at() {
        let shelf = Shelf::new();
        shelf.put(signed(0, 5, 10, 9), Change::Base);
        assert_eq!(shelf.held().after(at(5)), None, "the base is all there is");
        shelf.put(signed(5, 7, 11, 9), Change::Delta);
        shelf.put(signed(7, 8, 12, 9), Change::Delta);
        shelf.put(signed(8, 8, 13, 9), Change::Statement);
        let held = shelf.held();
        let found = |seq| held.after(at(seq)).map(|one| (one.from.seq, one.to.seq));
        assert_eq!(
            [found(5), found(6), found(7), found(8)],
            [Some((5, 7)), None, Some((7, 8)), Some((8, 8))]
        );
        assert_eq!((found(9), held.end()), (None, Some(at(8))));
        // A base that ends before what is held does not become the newest statement.
        shelf.put(signed(0, 7, 14, 9), Change::Base);
        assert_eq!(shelf.held().end(), Some(at(8)));
    }

    // S08: an address that repeats a genuine statement wakes no one, and deltas are bounded.
    #[test]
    fn repetitions_change_nothing_and_old_deltas_make_room() {
        let shelf = Shelf::new();
        let mut changes = shelf.changes();
        shelf.put(signed(0, 1, 10, 9), Change::Base);
        shelf.put(signed(1, 1, 11, 9), Change::Statement);
        changes.mark_unchanged();
        shelf.put(signed(1, 1, 11, 9), Change::Statement);
        shelf.put(signed(1, 1, 10, 9), Change::Statement);
        assert!(!changes.has_changed().unwrap());
        for seq in 1..40 {
            shelf.put(signed(seq, seq + 1, 12, MOST_DELTA_BYTES / 8), Change::Delta);
        }
        let held = shelf.held();
        assert_eq!(held.deltas.len(), 8);
        assert_eq!((held.deltas[0].from, held.end()), (at(32), Some(at(40))));
    }
}
