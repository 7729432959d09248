//! Puts a backup back, into an empty store or in addition to what a store has.

use std::sync::Arc;

use offswitch_core::fold::{Fold, FoldError, Validity};
use offswitch_core::limits::UNNAMED_REQUEST_MEMORY;
use offswitch_core::log::{Checkpoint, End};
use offswitch_core::session::Lifetimes;
use offswitch_snapshot::Position;

use super::file::{Backup, Entry};
use super::{BackupError, UNFINISHED};
use crate::keyring::{self, Keyring};
use crate::master_key::MasterKey;
use crate::plane::join_into;
use crate::sealing::forget_at;
use crate::store::{self, Append, Request, Store};

/// Which store a backup is restored into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Onto {
    /// One without content, which gets the log record by record.
    #[default]
    Empty,
    /// One with content: what the store lacks is added, what it has stays. Nothing is un-revoked.
    Content,
}

/// What was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// How many documents were written.
    pub documents: u64,
    /// How many documents the store had already, which stay as they are.
    pub kept: u64,
    /// How many records the backup has.
    pub records: u64,
    /// Where the log ends now.
    pub end: Position,
}

/// Restores `backup` into `store`, the one without sealing. The whole backup is checked before
/// anything is written.
///
/// # Errors
///
/// See [`BackupError`]. After [`BackupError::is_of_the_file`] and [`BackupError::NotEmpty`] the store
/// is as it was.
pub async fn restore(
    store: &Arc<dyn Store>,
    master: &MasterKey,
    backup: &Backup,
    onto: Onto,
    lifetimes: &Lifetimes,
) -> Result<Restored, BackupError> {
    let store = store.as_ref();
    if onto == Onto::Empty {
        refuse_unfinished(store).await?;
    }
    if onto == Onto::Empty && !is_empty(store).await? {
        return Err(BackupError::NotEmpty);
    }
    Keyring::settle(store, master).await?;
    let checked = check(backup, master)?;
    // By the store's clock, which is known after a reading.
    store.read(0, 1).await?;
    let now = store.now();
    let restored = match onto {
        Onto::Empty => {
            store.swap(UNFINISHED, &[], MARKER, None).await?;
            write_log(store, backup, &checked, now).await?;
            let (documents, kept) = write_documents(store, master, backup, lifetimes).await?;
            let end = store.end().await?.position;
            Restored { documents, kept, records: checked.records, end }
        }
        Onto::Content => {
            // Once before the documents, so that no session is active whose end the backup knows;
            // once after them, since a new era makes processes compare all stored sessions.
            join_into(store, &checked.fold).await?;
            let (documents, kept) = write_documents(store, master, backup, lifetimes).await?;
            let end = join_into(store, &checked.fold).await?;
            Restored { documents, kept, records: checked.records, end }
        }
    };
    store.swap(UNFINISHED, MARKER, &[], None).await?;
    Ok(restored)
}

/// Refuses a store into which a backup was restored only in part.
///
/// # Errors
///
/// [`BackupError::Unfinished`]; as the store.
pub async fn refuse_unfinished(store: &dyn Store) -> Result<(), BackupError> {
    match store.load(UNFINISHED).await?.is_empty() {
        true => Ok(()),
        false => Err(BackupError::Unfinished),
    }
}

async fn is_empty(store: &dyn Store) -> Result<bool, BackupError> {
    let page = store.read(0, 1).await?;
    if page.head > 0 || !page.checkpoint.bytes.is_empty() {
        return Ok(false);
    }
    let mut cursor = String::new();
    loop {
        let stretch = store.scan("", &cursor).await?;
        if !stretch.documents.is_empty() {
            return Ok(false);
        }
        match stretch.next {
            Some(next) => cursor = next,
            None => return Ok(true),
        }
    }
}

/// A backup that was read to its end.
struct Checked {
    era: u64,
    checkpoint: Checkpoint,
    fold: Fold,
    records: u64,
}

/// Reads everything once: each proof, the order of the entries, and that the log can be folded.
fn check(backup: &Backup, master: &MasterKey) -> Result<Checked, BackupError> {
    let mut entries = backup.entries()?.skip(1);
    let (mut documents, mut has_keyring) = (0, false);
    let (era, seq) = loop {
        match entries.next().transpose()? {
            Some(Entry::Document { name, sealed }) => {
                documents += 1;
                master.open(&name, &sealed).map_err(|_| BackupError::OtherMasterKey)?;
                if name == keyring::DOCUMENT {
                    // From here on the master key hashes as it did when the backup was made.
                    Keyring::settle_document(&sealed, master)?;
                    has_keyring = true;
                }
            }
            Some(Entry::Log { era, checkpoint_seq }) => break (era, checkpoint_seq),
            _ => return Err(BackupError::Malformed("documents must be followed by the log")),
        }
    };
    if !has_keyring {
        return Err(BackupError::Malformed("it has no keyring"));
    }
    let mut checkpoint = Checkpoint { seq, bytes: vec![] };
    let (mut fold, mut records) = (None, 0);
    let begin = |checkpoint: &Checkpoint| -> Result<Fold, FoldError> {
        Fold::begin(master.salt(), &backup.head().issuer, era, checkpoint)
    };
    loop {
        match entries.next().transpose()? {
            Some(Entry::Checkpoint(part)) if fold.is_none() => {
                if checkpoint.bytes.len() + part.len() > MAX_CHECKPOINT_BYTES {
                    return Err(BackupError::Malformed("the checkpoint is too large"));
                }
                checkpoint.bytes.extend_from_slice(&part);
            }
            Some(Entry::Records(batch)) => {
                let fold = match &mut fold {
                    Some(fold) => fold,
                    none => none.insert(begin(&checkpoint)?),
                };
                for (seq, record) in &batch {
                    fold.push(*seq, record)?;
                }
                records += batch.len() as u64;
                if fold.fresh_len() > COMPACTED_AT {
                    let (main, ()) = fold.compaction().run(0, Validity::default(), |_| ());
                    fold.compacted_to(main, 0);
                }
            }
            Some(Entry::End { documents: named, records: counted, seq }) => {
                let fold = fold.map_or_else(|| begin(&checkpoint), Ok)?;
                if (named, counted, seq) != (documents, records, fold.end().position.seq) {
                    return Err(BackupError::Malformed("it does not have what its end says"));
                }
                return Ok(Checked { era, checkpoint, fold, records });
            }
            _ => return Err(BackupError::Malformed("an entry is out of place")),
        }
    }
}

/// Writes the log under a new era, each record with its seq: versions of sessions refer to it.
async fn write_log(
    store: &dyn Store,
    backup: &Backup,
    checked: &Checked,
    now: u64,
) -> Result<(), BackupError> {
    let expected = store.end().await?;
    let era = (expected.position.era.max(checked.era) + 1).max(now);
    let (salt, issuer) = checked.fold.names();
    let mut begin = Fold::begin(salt, issuer, checked.era, &checked.checkpoint)?;
    // Sessions that were opened after the backup are lost, not false.
    begin.note_loss(now);
    let checkpoint = begin.compaction().checkpoint(0);
    if !store.start_era(expected, era, &checkpoint).await? {
        return Err(BackupError::Used(store.end().await?.position));
    }
    let mut end = store.end().await?;
    for entry in backup.entries()? {
        let Entry::Records(records) = entry? else { continue };
        for run in records.chunk_by(|(one, _), (next, _)| one.checked_add(1) == Some(*next)) {
            end = append(store, end, run).await?;
        }
    }
    Ok(())
}

/// Appends records whose seqs follow each other.
async fn append(store: &dyn Store, end: End, run: &[(u64, Vec<u8>)]) -> Result<End, BackupError> {
    let era = end.position.era;
    let request = |seq: &u64| Request {
        id: format!("restore-{era}-{seq}"),
        digest: [0; 32],
        memory: UNNAMED_REQUEST_MEMORY,
    };
    let batch = run
        .iter()
        .map(|(seq, record)| Append { request: request(seq), record: record.clone() })
        .collect();
    let least_seq = run.first().map_or(0, |(seq, _)| *seq);
    let written = store.append_all(batch, store::Onto { end: Some(end), least_seq }).await?;
    let found = written.answers.iter().map(|one| one.as_ref().map(|one| one.position.seq));
    if !found.eq(run.iter().map(|(seq, _)| Some(*seq))) {
        return Err(BackupError::Used(written.to.position));
    }
    Ok(written.to)
}

/// Writes the documents that the store does not have; returns how many, and how many it had.
async fn write_documents(
    store: &dyn Store,
    master: &MasterKey,
    backup: &Backup,
    lifetimes: &Lifetimes,
) -> Result<(u64, u64), BackupError> {
    let (mut written, mut kept) = (0, 0);
    for entry in backup.entries()? {
        let Entry::Document { name, sealed } = entry? else { continue };
        let content = master.open(&name, &sealed).map_err(|_| BackupError::OtherMasterKey)?;
        let forget_at = forget_at(&name, &content, lifetimes, store.now());
        if store.load(&name).await?.is_empty() && store.swap(&name, &[], &sealed, forget_at).await?
        {
            written += 1;
        } else {
            kept += 1;
        }
    }
    Ok((written, kept))
}

const MARKER: &[u8] = b"a restore began";
/// As much as a value in Redis can hold.
const MAX_CHECKPOINT_BYTES: usize = 512 << 20;
const COMPACTED_AT: usize = 200_000;
