//! Reads the ended sessions out of the log, for all relying parties of this process.

use std::collections::VecDeque;
use std::sync::Arc;

use offswitch_core::fold::FoldError;
use offswitch_core::record::Record;
use offswitch_core::relying_parties::{Ending, Initiator, Place};
use tokio::sync::Mutex;

use crate::plane::PlaneError;
use crate::store::{Page, Store};

/// Reads one stretch of the log at a time: relying parties that are at the same place share it, and the
/// memory for it does not grow with their number.
pub(super) struct Reader {
    store: Arc<dyn Store>,
    recent: Mutex<VecDeque<Arc<Stretch>>>,
}

/// What a stretch of the log ended.
#[derive(Debug)]
pub(super) struct Stretch {
    from: Place,
    /// At most [`MOST_ENDINGS`].
    pub(super) endings: Vec<Ended>,
    /// Where the stretch ends.
    pub(super) reached: Place,
}

/// Something that one revocation ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) ending: Ending,
    /// When, unix seconds.
    pub(super) at: u64,
    pub(super) initiator: Initiator,
    /// The place after the revocation.
    pub(super) after: Place,
}

impl Reader {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, recent: Mutex::default() }
    }

    /// What follows `from`; none if the log has no such place any more: it was trimmed, or is another one.
    pub(super) async fn after(&self, from: Place) -> Result<Option<Arc<Stretch>>, PlaneError> {
        let mut recent = self.recent.lock().await;
        if let Some(known) = recent.iter().find(|one| one.from == from) {
            return Ok(Some(known.clone()));
        }
        let page = self.store.read(from.seq, PAGE_RECORDS).await?;
        let kept = page.checkpoint.seq..=page.head;
        if from.era != page.era || !kept.contains(&from.seq) {
            return Ok(None);
        }
        let stretch = Arc::new(Stretch::read(from, &page)?);
        // At the end of the log more is about to follow at the same place.
        if stretch.reached > from {
            recent.push_back(stretch.clone());
            if recent.len() > MOST_RECENT {
                recent.pop_front();
            }
        }
        Ok(Some(stretch))
    }
}

impl Stretch {
    fn read(from: Place, page: &Page) -> Result<Self, FoldError> {
        let mut stretch = Self { from, endings: vec![], reached: from };
        for (seq, bytes) in &page.records {
            let record = Record::decode(bytes).map_err(|_| FoldError::Damaged { seq: *seq })?;
            let initiator = Initiator::of(&record.by);
            let done = stretch.reached.index;
            for (index, revocation) in record.revocations.iter().enumerate().skip(done) {
                let after = Place { index: index + 1, ..stretch.reached };
                let Some(ending) = Ending::of(revocation, *seq) else { continue };
                stretch.endings.push(Ended { ending, at: record.at, initiator, after });
                if stretch.endings.len() >= MOST_ENDINGS {
                    stretch.reached = after;
                    return Ok(stretch);
                }
            }
            stretch.reached = Place::after(page.era, *seq);
        }
        Ok(stretch)
    }
}

/// How many records are read together.
const PAGE_RECORDS: usize = 256;
/// One record may end 100,000 sessions; this many of them are in memory.
const MOST_ENDINGS: usize = 1024;
/// How many stretches are remembered for other relying parties.
const MOST_RECENT: usize = 4;
