//! Makes a backup, also while control planes use the store.
//!
//! First the documents, then the log: everything that a document refers to is then in the log. The
//! documents of users are read after all others, so that the cursor which says how far the ended
//! sessions were marked is never ahead of them.

use std::collections::HashSet;
use std::fs::File;

use offswitch_core::log::End;
use offswitch_core::session::USER_DOCUMENTS;

use super::file::{Backup, Entry, Head, Writer};
use super::{BackupError, UNFINISHED};
use crate::keyring::{self, Keyring};
use crate::master_key::MasterKey;
use crate::store::{Page, Store, StoreError};

/// What a backup contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What it says about itself.
    pub head: Head,
    /// How many documents.
    pub documents: u64,
    /// How many records, after the checkpoint.
    pub records: u64,
    /// Where the log ends.
    pub end: End,
    /// The documents that were left out, since they do not open under the master key.
    pub left_out: Vec<String>,
}

/// Writes everything in `store` to `file` and reads it again. `store` is the one without sealing, and
/// `issuer` the one that it remembers.
///
/// # Errors
///
/// See [`BackupError`].
pub async fn take(
    store: &dyn Store,
    master: &MasterKey,
    issuer: &str,
    file: File,
) -> Result<Taken, BackupError> {
    if !Keyring::is_in(store).await? {
        return Err(BackupError::NothingThere);
    }
    if !store.load(UNFINISHED).await?.is_empty() {
        return Err(BackupError::Unfinished);
    }
    let mut attempts = 1;
    let taken = loop {
        match take_once(store, master, issuer, &file).await {
            Err(BackupError::Era) if attempts < ATTEMPTS => attempts += 1,
            taken => break taken?,
        }
    };
    // What cannot be read back is no backup.
    for entry in Backup::open(file, master)?.entries()? {
        entry?;
    }
    Ok(taken)
}

async fn take_once(
    store: &dyn Store,
    master: &MasterKey,
    issuer: &str,
    file: &File,
) -> Result<Taken, BackupError> {
    let mut writer = Writer::begin(file, master)?;
    // Before the time is asked for, which is that of the last reading.
    store.read(0, 1).await?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let head = Head { made_at: store.now(), version, issuer: issuer.to_owned() };
    writer.write(&Entry::Head(head.clone()))?;
    let mut documents = Documents { writer, master, seen: HashSet::new(), left_out: vec![] };
    documents.copy(store, "", |name| !name.starts_with(USER_DOCUMENTS)).await?;
    documents.copy(store, USER_DOCUMENTS, |_| true).await?;
    let Documents { mut writer, seen, left_out, .. } = documents;
    let (end, records) = copy_log(store, &mut writer).await?;
    let documents = (seen.len() - left_out.len()) as u64;
    writer.write(&Entry::End { documents, records, seq: end.position.seq })?;
    writer.finish()?;
    Ok(Taken { head, documents, records, end, left_out })
}

struct Documents<'a> {
    writer: Writer<'a>,
    master: &'a MasterKey,
    /// A store may return a document more than once.
    seen: HashSet<String>,
    left_out: Vec<String>,
}

impl Documents<'_> {
    async fn copy(
        &mut self,
        store: &dyn Store,
        prefix: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(), BackupError> {
        let mut cursor = String::new();
        loop {
            let stretch = store.scan(prefix, &cursor).await?;
            for (name, sealed) in stretch.documents {
                if !wanted(&name) || !self.seen.insert(name.clone()) {
                    continue;
                }
                if self.master.open(&name, &sealed).is_err() {
                    // Without the keyring, nothing else could be used.
                    if name == keyring::DOCUMENT {
                        return Err(StoreError::Altered(name).into());
                    }
                    self.left_out.push(name);
                    continue;
                }
                self.writer.write(&Entry::Document { name, sealed })?;
            }
            match stretch.next {
                Some(next) => cursor = next,
                None => return Ok(()),
            }
        }
    }
}

/// Writes the checkpoint and the records; returns where the log ends, and their number.
async fn copy_log(store: &dyn Store, writer: &mut Writer<'_>) -> Result<(End, u64), BackupError> {
    let mut page = store.read(0, PAGE_RECORDS).await?;
    let (era, checkpoint) = (page.era, &page.checkpoint);
    writer.write(&Entry::Log { era, checkpoint_seq: checkpoint.seq })?;
    for part in checkpoint.bytes.chunks(PART_BYTES) {
        writer.write(&Entry::Checkpoint(part.to_vec()))?;
    }
    let (mut reached, mut mark) = (checkpoint.seq, page.after_mark);
    let mut records = 0;
    loop {
        records += page.records.len() as u64;
        reached = page.records.last().map_or(reached, |(seq, _)| *seq);
        mark = page.marks.last().copied().or(mark);
        let head = page.head;
        write_records(writer, page)?;
        if reached >= head {
            break;
        }
        page = store.read(reached, PAGE_RECORDS).await?;
        let is_same = page.era == era && page.checkpoint.seq <= reached && page.after_mark == mark;
        if !is_same {
            return Err(BackupError::Era);
        }
    }
    let position = offswitch_snapshot::Position { era, seq: reached };
    Ok((End { position, mark: mark.unwrap_or_default() }, records))
}

fn write_records(writer: &mut Writer<'_>, page: Page) -> Result<(), BackupError> {
    let (mut batch, mut size) = (Vec::new(), 0);
    for (seq, record) in page.records {
        size += record.len();
        batch.push((seq, record));
        if size >= PART_BYTES || batch.len() >= BATCH_RECORDS {
            writer.write(&Entry::Records(std::mem::take(&mut batch)))?;
            size = 0;
        }
    }
    if batch.is_empty() { Ok(()) } else { writer.write(&Entry::Records(batch)) }
}

const ATTEMPTS: u32 = 3;
const PAGE_RECORDS: usize = 2048;
/// A frame ends once it has this many records, or this many bytes.
const BATCH_RECORDS: usize = 512;
const PART_BYTES: usize = 1 << 20;
