//! The files: `state`, and a `journal-<generation>` for each state that was begun.
//!
//! A new state begins with a new journal, so that records can be written while the state is being
//! written. The earlier journals are removed only after the new state has replaced the old one. A
//! crash in between leaves the old state with both journals, which have the same content.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A record of a journal: seq, mark, bytes.
pub(super) type Entry = (u64, u64, Vec<u8>);

/// The open journal, and the sizes that decide when the next state is due.
pub(super) struct Files {
    folder: PathBuf,
    generation: u64,
    journal: File,
    journal_bytes: u64,
    /// True after a record was not written completely: what follows it cannot be read.
    is_torn: bool,
    /// The size of the last state, if there is one.
    state_bytes: Option<u64>,
}

impl Files {
    /// Opens the folder; returns the state, if there is one, and the journals' records.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Option<Vec<u8>>, Vec<Entry>)> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let state = read_state(folder)?;
        let (first, state) = state.map_or((0, None), |(first, state)| (first, Some(state)));
        let mut generations = generations(folder)?;
        generations.retain(|generation| *generation >= first);
        let mut entries = Vec::new();
        for generation in &generations {
            entries.extend(read_journal(&folder.join(name(*generation)))?);
        }
        let generation = generations.last().map_or(first, |last| last + 1);
        let journal = new_file(&folder.join(name(generation)))?;
        let state_bytes = None;
        let folder = folder.to_owned();
        let (journal_bytes, is_torn) = (0, false);
        let files = Self { folder, generation, journal, journal_bytes, is_torn, state_bytes };
        Ok((files, state, entries))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// True if this process has not written a state yet, or the journal outgrew it.
    pub(super) fn is_due(&self) -> bool {
        let outgrown = |state: u64| self.journal_bytes > state.max(SMALL_JOURNAL_BYTES);
        self.is_torn || self.state_bytes.is_none_or(outgrown)
    }

    /// Appends records to the journal with one system call.
    pub(super) fn append<'a>(
        &mut self,
        records: impl Iterator<Item = (u64, u64, &'a [u8])>,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (seq, mark, record) in records {
            let begin = bytes.len();
            let length = u32::try_from(record.len()).map_err(io::Error::other)?;
            bytes.extend(length.to_le_bytes());
            bytes.extend(seq.to_le_bytes());
            bytes.extend(mark.to_le_bytes());
            bytes.extend(record);
            let sum = checksum(&bytes[begin..]);
            bytes.extend(sum);
        }
        self.journal_bytes += bytes.len() as u64;
        let written = self.journal.write_all(&bytes);
        self.is_torn |= written.is_err();
        written
    }

    /// Opens the next journal; records folded from now on are written to it.
    pub(super) fn begin_generation(&mut self) -> io::Result<u64> {
        let generation = self.generation + 1;
        self.journal = new_file(&self.folder.join(name(generation)))?;
        (self.generation, self.journal_bytes, self.is_torn) = (generation, 0, false);
        Ok(generation)
    }

    /// Puts the state of `generation` in place; returns its size.
    pub(super) fn write_state(folder: &Path, generation: u64, state: &[u8]) -> io::Result<u64> {
        let temporary = folder.join(NEXT_STATE);
        let mut file = new_file(&temporary)?;
        let generation_bytes = generation.to_le_bytes();
        file.write_all(MAGIC)?;
        file.write_all(&generation_bytes)?;
        file.write_all(state_sum(&generation_bytes, state).as_bytes())?;
        file.write_all(state)?;
        file.sync_all()?;
        fs::rename(&temporary, folder.join(STATE))?;
        File::open(folder)?.sync_all()?;
        for earlier in generations(folder)?.into_iter().filter(|one| *one < generation) {
            fs::remove_file(folder.join(name(earlier)))?;
        }
        Ok(state.len() as u64)
    }

    /// Notes that the state of `generation` is in place.
    pub(super) fn note_state(&mut self, generation: u64, size_bytes: u64) {
        if generation == self.generation {
            self.state_bytes = Some(size_bytes);
        }
    }
}

/// A state's generation and content.
fn checked(bytes: &[u8]) -> io::Result<(u64, Vec<u8>)> {
    let read = || {
        let (generation, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
        let (sum, state) = rest.split_first_chunk::<32>()?;
        (state_sum(generation, state).as_bytes() == sum)
            .then(|| (u64::from_le_bytes(*generation), state.to_vec()))
    };
    read().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the state is damaged"))
}

fn state_sum(generation: &[u8], state: &[u8]) -> blake3::Hash {
    blake3::Hasher::new().update(generation).update(state).finalize()
}

/// The records before the first incomplete one: a crash may have cut it off.
fn read_journal(path: &Path) -> io::Result<Vec<Entry>> {
    let bytes = fs::read(path)?;
    let (mut entries, mut rest) = (Vec::new(), bytes.as_slice());
    while let Some((entry, after)) = read_entry(rest) {
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}

fn read_entry(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    let (mark, rest) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (record, rest) = rest.split_at_checked(length)?;
    let (sum, rest) = rest.split_first_chunk::<CHECKSUM_BYTES>()?;
    let covered = bytes.get(..4 + 8 + 8 + length)?;
    (checksum(covered) == *sum)
        .then(|| ((u64::from_le_bytes(*seq), u64::from_le_bytes(*mark), record.to_vec()), rest))
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = blake3::hash(bytes);
    *hash.as_bytes().first_chunk().unwrap_or(&[0; CHECKSUM_BYTES])
}

/// The generations of the existing journals, ascending.
fn generations(folder: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file_name = entry?.file_name();
        let generation = file_name.to_str().and_then(|name| name.strip_prefix(JOURNAL));
        found.extend(generation.and_then(|text| text.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

fn name(generation: u64) -> String {
    format!("{JOURNAL}{generation}")
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)
}

/// The last state in `folder`, with its generation, if there is one.
pub(super) fn read_state(folder: &Path) -> io::Result<Option<(u64, Vec<u8>)>> {
    read_if_there(&folder.join(STATE))?.map(|bytes| checked(&bytes)).transpose()
}

fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_end(&mut bytes).map(|_| Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

const STATE: &str = "state";
const NEXT_STATE: &str = "state.next";
const JOURNAL: &str = "journal-";
const MAGIC: &[u8] = b"offswitch memory 1\n";
const CHECKSUM_BYTES: usize = 8;
/// A smaller journal is read quickly, so that it is not worth writing a new state.
const SMALL_JOURNAL_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64) -> Entry {
        (seq, seq * 7, vec![1; usize::try_from(seq).unwrap() * 3])
    }

    fn append(files: &mut Files, seqs: std::ops::Range<u64>) {
        let entries: Vec<_> = seqs.map(entry).collect();
        files.append(entries.iter().map(|(seq, mark, bytes)| (*seq, *mark, &bytes[..]))).unwrap();
    }

    // D83: the process may end at any moment, before the state is in place and after; the next one
    // reads every record that was published.
    #[test]
    fn a_state_takes_the_place_of_the_journals_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("memory");
        let (mut files, state, entries) = Files::open(&folder).unwrap();
        assert!(state.is_none() && entries.is_empty() && files.is_due());
        append(&mut files, 1..4);
        let generation = files.begin_generation().unwrap();
        append(&mut files, 4..6);
        let (_, state, entries) = Files::open(&folder).unwrap();
        assert!(state.is_none());
        assert_eq!(entries, (1..6).map(entry).collect::<Vec<_>>());
        Files::write_state(&folder, generation, b"all up to 3").unwrap();
        let (files, state, entries) = Files::open(&folder).unwrap();
        assert_eq!(state.as_deref(), Some(&b"all up to 3"[..]));
        assert_eq!(entries, (4..6).map(entry).collect::<Vec<_>>());
        assert!(files.is_due(), "each life writes its own state");
    }

    // A crash cuts the last record off; those before it can be read.
    #[test]
    fn a_journal_ends_where_it_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let (mut files, ..) = Files::open(folder.path()).unwrap();
        append(&mut files, 1..4);
        let path = folder.path().join(name(files.generation));
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let read = read_journal(&path).unwrap();
            let expected: Vec<_> = (1..4).map(entry).take(read.len()).collect();
            assert!(read.len() < 3 && read == expected);
        }
        let mut altered = whole.clone();
        *altered.last_mut().unwrap() ^= 1;
        fs::write(&path, altered).unwrap();
        assert_eq!(read_journal(&path).unwrap().len(), 2);
    }

    // A state that was altered is an error; it is not treated as missing.
    #[test]
    fn a_damaged_state_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        Files::write_state(folder.path(), 1, b"everything").unwrap();
        let path = folder.path().join(STATE);
        let whole = fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut altered = whole.clone();
            altered[place] ^= 1;
            fs::write(&path, altered).unwrap();
            assert!(Files::open(folder.path()).is_err(), "{place}");
        }
    }

    #[test]
    fn other_users_cannot_read_the_files() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("memory");
        let (files, ..) = Files::open(&folder).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join(name(files.generation))), 0o600);
    }
}
