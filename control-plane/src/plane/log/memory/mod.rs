//! What this process has published, kept on its local disk in addition to the store.
//!
//! A store may lose what it acknowledged: a power cut, a failover to a replica that lags, an older
//! backup. A running process still knows the lost records and restores them
//! (`plane/log/continuity.rs`). This module gives a process the same knowledge when it starts: a state,
//! which is a checkpoint of everything folded, and a journal of the records after it. A record is
//! in the journal before any follower can see it. No request ever reads from here.
//!
//! Writes go to the operating system and are not flushed one by one: a crash of the process loses
//! nothing. A crash of the machine may lose the last seconds, as a store with `appendfsync
//! everysec` does, so keep the two on different machines.

mod files;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use offswitch_core::fold::{Compaction, Fold};
use offswitch_core::log::{Checkpoint, End};
use offswitch_snapshot::Salt;
use serde::{Deserialize, Serialize};

use self::files::Files;
use crate::blocking;
use crate::store::{Finding, Store, StoreError};

/// The files of one process, and the documents to write to them.
pub(super) struct Memory {
    files: Mutex<Files>,
    documents: Mutex<Documents>,
    failure: Mutex<Option<String>>,
    /// The generation of the last state written; one is written at a time.
    written: Mutex<u64>,
}

/// What an earlier run of this process left behind.
pub(super) struct Remembered {
    state: State,
    journal: Vec<files::Entry>,
}

/// A state that is still to be written to the disk.
pub(super) struct Unwritten {
    compaction: Compaction,
    end: End,
    generation: u64,
}

#[derive(Default)]
struct Documents {
    held: BTreeMap<String, Vec<u8>>,
    changed: bool,
}

/// The state's bytes, in postcard.
#[derive(Serialize, Deserialize)]
struct State {
    issuer: String,
    salt: Salt,
    era: u64,
    mark: u64,
    seq: u64,
    checkpoint: Vec<u8>,
    documents: BTreeMap<String, Vec<u8>>,
}

impl Memory {
    /// Opens the files in `folder`, which is created if it does not exist, and returns their
    /// content.
    ///
    /// # Errors
    ///
    /// If the folder cannot be used, or its state cannot be read.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Option<Remembered>)> {
        let (files, state, journal) = Files::open(folder)?;
        let state: Option<State> =
            state.map(|bytes| postcard::from_bytes(&bytes).map_err(damaged)).transpose()?;
        let held = state.as_ref().map(|state| state.documents.clone()).unwrap_or_default();
        let memory = Self {
            files: Mutex::new(files),
            documents: Mutex::new(Documents { held, changed: false }),
            failure: Mutex::default(),
            written: Mutex::default(),
        };
        Ok((memory, state.map(|state| Remembered { state, journal })))
    }

    /// Writes records into the journal; called before they are published.
    pub(super) fn append<'a>(&self, records: impl Iterator<Item = (u64, u64, &'a [u8])>) {
        let written = self.files().append(records);
        self.note("the journal", written);
    }

    /// Keeps the content of one of the store's documents, to restore it if the store loses it.
    pub(super) fn keep_document(&self, name: &str, bytes: Vec<u8>) {
        let mut documents = self.documents();
        if !bytes.is_empty() && documents.held.get(name) != Some(&bytes) {
            documents.held.insert(name.to_owned(), bytes);
            documents.changed = true;
        }
    }

    /// True once it is worth writing a new state.
    pub(super) fn is_due(&self) -> bool {
        self.documents().changed || self.files().is_due()
    }

    /// Begins a new state of everything in `fold`. No record may be folded while this runs; later
    /// records go into a new journal.
    pub(super) fn begin_state(&self, fold: &Fold) -> Option<Unwritten> {
        let generation = self.files().begin_generation();
        let generation = self.note("the next journal", generation)?;
        Some(Unwritten { compaction: fold.compaction(), end: fold.end(), generation })
    }

    /// Writes what was begun, without entries that were past at `now`, off the request path.
    pub(super) async fn write(self: Arc<Self>, unwritten: Option<Unwritten>, now: u64) {
        let Some(unwritten) = unwritten else { return };
        if blocking::run(move || self.write_state(unwritten, now)).await.is_err() {
            tracing::error!("writing the state to data_dir panicked");
        }
    }

    fn write_state(&self, unwritten: Unwritten, now: u64) {
        let Unwritten { compaction, end, generation } = unwritten;
        let mut last_written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if generation < *last_written {
            return; // A later state is in its place already.
        }
        let (salt, issuer) = compaction.names();
        let issuer = issuer.to_owned();
        let Checkpoint { seq, bytes: checkpoint } = compaction.checkpoint(now);
        let documents = {
            let mut documents = self.documents();
            documents.changed = false;
            documents.held.clone()
        };
        let (era, mark) = (end.position.era, end.mark);
        let state = State { issuer, salt, era, mark, seq, checkpoint, documents };
        let bytes = postcard::to_allocvec(&state).map_err(io::Error::other);
        let written = bytes.and_then(|bytes| Files::write_state(&self.place(), generation, &bytes));
        if let Some(size_bytes) = self.note("the state", written) {
            *last_written = generation;
            self.files().note_state(generation, size_bytes);
        }
    }

    /// What an operator must know if the memory could not be written.
    pub(super) fn finding(&self) -> Option<Finding> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failure.map(|detail| Finding { code: "memory_not_written", detail, fatal: false })
    }

    fn place(&self) -> std::path::PathBuf {
        self.files().folder().to_owned()
    }

    fn note<T>(&self, what: &str, outcome: io::Result<T>) -> Option<T> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(value) => {
                *failure = None;
                Some(value)
            }
            Err(error) => {
                let detail = format!(
                    "{what} in data_dir cannot be written ({error}): after a restart this \
                     process could not heal a store that lost records; check its disk"
                );
                if failure.replace(detail).is_none() {
                    tracing::error!(%error, what, "the memory in data_dir is not written");
                }
                None
            }
        }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn documents(&self) -> MutexGuard<'_, Documents> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The issuer of what was published from `folder`, if anything was.
///
/// # Errors
///
/// If its state is damaged.
pub fn published_issuer(folder: &Path) -> io::Result<Option<String>> {
    let state = match files::read_state(folder) {
        Err(error) if is_read_only(&error) => return Ok(None),
        state => state?,
    };
    let state = state.map(|(_, bytes)| postcard::from_bytes::<State>(&bytes).map_err(damaged));
    Ok(state.transpose()?.map(|state| state.issuer))
}

impl Remembered {
    /// Everything that was folded. The state of another issuer or another master key is refused.
    ///
    /// # Errors
    ///
    /// Also if it cannot be read.
    pub(super) fn fold(self, salt: Salt, issuer: &str) -> io::Result<Fold> {
        let Self { state, journal } = self;
        if state.issuer != issuer || state.salt != salt {
            let text = format!(
                "it is of another issuer ({}) or of another master key; give this process the \
                 previous issuer and master key, or another data_dir",
                state.issuer
            );
            return Err(io::Error::other(text));
        }
        let checkpoint = Checkpoint { seq: state.seq, bytes: state.checkpoint };
        let mut fold = Fold::begin(salt, issuer, state.era, &checkpoint).map_err(damaged)?;
        fold.set_mark(state.mark);
        for (seq, mark, record) in &journal {
            if *seq > fold.reached().position.seq {
                fold.push(*seq, record).map_err(damaged)?;
                fold.set_mark(*mark);
            }
        }
        Ok(fold)
    }

    /// Restores the documents that the store does not have.
    pub(super) async fn restore_documents(&self, store: &dyn Store) -> Result<(), StoreError> {
        for (name, bytes) in &self.state.documents {
            if store.load(name).await?.is_empty() && store.swap(name, b"", bytes, None).await? {
                tracing::warn!(name, "restored a document that the store had lost");
            }
        }
        Ok(())
    }
}

/// True if the folder's file system or owner does not allow files here.
pub(super) fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn damaged(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
