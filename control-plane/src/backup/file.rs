//! The file: a prelude, then frames, each with a proof of the master key.
//!
//! ```text
//! prelude  "offswitch backup\n", the format (one byte), the id of the master key (8 bytes)
//! frame    length of the entry (u32, little-endian), entry (postcard), proof (32 bytes)
//! ```
//!
//! A proof covers the frame and the proof before it, the first one the prelude: no frame can be
//! changed, left out, moved, or taken from another backup. The last entry is [`Entry::End`], so that
//! a file that was cut off is recognised. Nothing of a frame is decoded before its proof was checked.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};

use serde::{Deserialize, Serialize};

use super::{BackupError, FORMAT, OLDEST_FORMAT};
use crate::master_key::MasterKey;

/// What a backup says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// When it was made, by the store's clock, unix seconds.
    pub made_at: u64,
    /// The version of the program that made it.
    pub version: String,
    /// The `iss` of the control plane, and the id of its feed.
    pub issuer: String,
}

/// One part of the content. Encoded by its position in this list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Entry {
    /// The first entry.
    Head(Head),
    /// A document, sealed as in the store.
    Document {
        /// Its name.
        name: String,
        /// Its bytes.
        sealed: Vec<u8>,
    },
    /// The log begins, after all documents.
    Log {
        /// Its era.
        era: u64,
        /// The seq up to which the checkpoint replaces records.
        checkpoint_seq: u64,
    },
    /// The next bytes of the checkpoint.
    Checkpoint(Vec<u8>),
    /// The next records, with their seqs.
    Records(Vec<(u64, Vec<u8>)>),
    /// The last entry, with what the others amount to.
    End {
        /// The number of documents.
        documents: u64,
        /// The number of records.
        records: u64,
        /// The seq of the last record, or of the checkpoint.
        seq: u64,
    },
}

/// Writes a backup.
pub(super) struct Writer<'a> {
    file: io::BufWriter<&'a File>,
    master: &'a MasterKey,
    proof: [u8; PROOF_BYTES],
}

impl<'a> Writer<'a> {
    /// Begins at the beginning of `file`, which is emptied.
    pub(super) fn begin(mut file: &'a File, master: &'a MasterKey) -> Result<Self, BackupError> {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        let prelude = [MAGIC, &[FORMAT], &master.id().bytes()].concat();
        let mut writer = io::BufWriter::new(file);
        writer.write_all(&prelude)?;
        Ok(Self { file: writer, master, proof: *master.mac(CONTEXT, &prelude).as_bytes() })
    }

    pub(super) fn write(&mut self, entry: &Entry) -> Result<(), BackupError> {
        let bytes = postcard::to_allocvec(entry).map_err(io::Error::other)?;
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= MAX_ENTRY_BYTES);
        let length = length.ok_or(BackupError::Malformed("an entry is too large"))?.to_le_bytes();
        self.proof = proof(self.master, &self.proof, &length, &bytes);
        for part in [&length[..], &bytes, &self.proof] {
            self.file.write_all(part)?;
        }
        Ok(())
    }

    /// Writes what is buffered and flushes it to the disk.
    pub(super) fn finish(mut self) -> Result<(), BackupError> {
        self.file.flush()?;
        Ok(self.file.get_ref().sync_all()?)
    }
}

/// A backup to read, as often as necessary.
#[derive(Debug)]
pub struct Backup {
    file: File,
    key: MasterKey,
    head: Head,
}

impl Backup {
    /// Opens a backup and checks its beginning.
    ///
    /// # Errors
    ///
    /// See [`BackupError`].
    pub fn open(file: File, master: &MasterKey) -> Result<Self, BackupError> {
        let head = Head { made_at: 0, version: String::new(), issuer: String::new() };
        let mut backup = Self { file, key: master.clone(), head };
        let Some(Entry::Head(head)) = backup.entries()?.next().transpose()? else {
            return Err(BackupError::Malformed("it does not begin with a head"));
        };
        backup.head = head;
        Ok(backup)
    }

    /// What it says about itself.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The entries from the beginning; ends after [`Entry::End`] or with an error.
    pub(super) fn entries(&self) -> Result<Entries<'_>, BackupError> {
        (&self.file).seek(SeekFrom::Start(0))?;
        let mut reader = BufReader::new(&self.file);
        let mut prelude = [0; PRELUDE_BYTES];
        let length = read_up_to(&mut reader, &mut prelude)?;
        let Some(rest) = prelude[..length].strip_prefix(MAGIC) else {
            return Err(BackupError::NotABackup);
        };
        let (format, id) = rest.split_first().ok_or(BackupError::Truncated { at: 0 })?;
        if !(OLDEST_FORMAT..=FORMAT).contains(format) {
            return Err(BackupError::OtherVersion { found: *format });
        }
        if length < PRELUDE_BYTES {
            return Err(BackupError::Truncated { at: 0 });
        }
        let id = MasterKey::sealed_under(id).ok_or(BackupError::Truncated { at: 0 })?;
        let proof = self.key.mac_of(id, CONTEXT, &prelude).ok_or(BackupError::OtherMasterKey)?;
        let (at, is_over) = (PRELUDE_BYTES as u64, false);
        Ok(Entries { reader, key: &self.key, id, proof: *proof.as_bytes(), at, is_over })
    }
}

/// Reads entry after entry.
pub(super) struct Entries<'a> {
    reader: BufReader<&'a File>,
    key: &'a MasterKey,
    id: crate::master_key::KeyId,
    proof: [u8; PROOF_BYTES],
    at: u64,
    is_over: bool,
}

impl Entries<'_> {
    fn read(&mut self) -> Result<Entry, BackupError> {
        let (at, mut length) = (self.at, [0; 4]);
        self.fill(&mut length)?;
        let size = u32::from_le_bytes(length);
        if size > MAX_ENTRY_BYTES {
            return Err(BackupError::Altered { at });
        }
        // Grows with what is there: a length alone allocates nothing.
        let mut bytes = Vec::new();
        (&mut self.reader).take(size.into()).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != u64::from(size) {
            return Err(BackupError::Truncated { at });
        }
        let mut found = [0; PROOF_BYTES];
        self.fill(&mut found)?;
        let message = [&self.proof[..], &length, &bytes].concat();
        let expected = self.key.mac_of(self.id, CONTEXT, &message);
        // The comparison takes constant time.
        if expected != Some(blake3::Hash::from(found)) {
            return Err(BackupError::Altered { at });
        }
        (self.proof, self.at) = (found, at + bytes.len() as u64 + (4 + PROOF_BYTES) as u64);
        match postcard::take_from_bytes(&bytes) {
            Ok((entry, [])) => Ok(entry),
            _ => Err(BackupError::Malformed("an entry cannot be decoded")),
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), BackupError> {
        self.reader.read_exact(buffer).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => BackupError::Truncated { at: self.at },
            _ => error.into(),
        })
    }

    fn check_end(&mut self) -> Result<(), BackupError> {
        match self.reader.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(BackupError::Altered { at: self.at }),
        }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, BackupError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let mut entry = self.read();
        if matches!(entry, Ok(Entry::End { .. })) {
            self.is_over = true;
            if let Err(error) = self.check_end() {
                entry = Err(error);
            }
        }
        self.is_over |= entry.is_err();
        Some(entry)
    }
}

fn proof(
    master: &MasterKey,
    before: &[u8; PROOF_BYTES],
    length: &[u8],
    bytes: &[u8],
) -> [u8; PROOF_BYTES] {
    *master.mac(CONTEXT, &[&before[..], length, bytes].concat()).as_bytes()
}

fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match reader.read(&mut buffer[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

const MAGIC: &[u8] = b"offswitch backup\n";
const PRELUDE_BYTES: usize = MAGIC.len() + 1 + 8;
const PROOF_BYTES: usize = 32;
/// The largest document or record, with room: a store's record may have 12 MB.
const MAX_ENTRY_BYTES: u32 = 64 << 20;
const CONTEXT: &str = "offswitch 2026-11 backup v1";
