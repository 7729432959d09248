//! What a follower keeps on its disk: the floor, the base, and the deltas after it, as the Rust client does.

use std::sync::Arc;

use offswitch_snapshot::Position;
use offswitch_verifier::{Applied, Verifier};

/// In memory, and as it was saved last.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    now: Files,
    saved: Files,
}

#[derive(Debug, Clone, Default)]
struct Files {
    floor: Option<(Position, Arc<Vec<u8>>)>,
    base: Option<Arc<Vec<u8>>>,
    deltas: Vec<(Position, Arc<Vec<u8>>)>,
}

impl Kept {
    /// Keeps a snapshot that was applied, and ends at `to`.
    pub(super) fn put(&mut self, applied: Applied, is_base: bool, to: Position, bytes: Vec<u8>) {
        let (bytes, files) = (Arc::new(bytes), &mut self.now);
        match applied {
            Applied::Ignored => return,
            Applied::Extended => files.deltas.push((to, bytes.clone())),
            Applied::Refreshed | Applied::Replaced if is_base => {
                files.base = Some(bytes.clone());
                files.deltas.retain(|(end, _)| *end > to);
            }
            Applied::Refreshed | Applied::Replaced => {}
        }
        if files.floor.as_ref().is_none_or(|(floor, _)| to >= *floor) {
            files.floor = Some((to, bytes));
        }
    }

    /// Saves what has changed.
    pub(super) fn save(&mut self) {
        self.saved = self.now.clone();
    }

    /// After a crash there is only what was saved.
    pub(super) fn forget_unsaved(&mut self) {
        self.now = self.saved.clone();
    }

    /// Gives a new verifier what is kept; what it refuses is left out.
    pub(super) fn restore(self, verifier: &mut Verifier, now: u64) {
        if let Some((_, floor)) = &self.now.floor {
            let _ = verifier.feed_mut().resume(floor.to_vec(), now);
        }
        let deltas = self.now.deltas.iter().map(|(_, bytes)| bytes);
        for bytes in self.now.base.iter().chain(deltas) {
            let _ = verifier.apply(bytes.to_vec(), now);
        }
    }
}
