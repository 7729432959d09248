//! The files of one writer: `serve.000001.ndjson`, `serve.000002.ndjson`, … One process at a time writes
//! them: it holds `serve.lock`.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_core::audit::{
    End, Line, LineHash, MAX_LINE_BYTES, Marked, checkpoint_message, write_line,
};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::clock::unix_milliseconds;
use crate::master_key::random_bytes;
use crate::private_files::private_folder;

/// Signs a message with the feed's newest key: the key's id, and the signature.
pub type Signer = Box<dyn Fn(&[u8]) -> Option<(String, [u8; 64])> + Send + Sync>;

/// Who writes: the name of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writers {
    /// The commands that change the store, one after the other.
    Command,
    /// The server.
    Serve,
}

/// The file that is written now.
pub(super) struct ChainFile {
    folder: PathBuf,
    name: String,
    number: u64,
    file: Arc<File>,
    size_bytes: u64,
    /// Up to here the file system has kept room.
    reserved_bytes: u64,
    end: End,
    /// The lines after the last checkpoint.
    unsigned: u64,
    buffer: Vec<u8>,
    _lock: File,
}

/// What was found when the files were opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// They continue, or there were none.
    Good,
    /// The end cannot be continued: a new chain has begun.
    Damaged,
    /// The last line was not complete: it was cut off, and is kept in the line after.
    Torn,
}

impl Writers {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Serve => "serve",
        }
    }
}

impl ChainFile {
    /// Opens the last file of the writer, or begins the first one.
    pub(super) fn open(folder: &Path, writers: Writers) -> io::Result<(Self, Found)> {
        private_folder(folder)?;
        let (name, lock) = lock(folder, writers)?;
        let mut numbers = numbers(folder, &name)?;
        let (number, file, tail) = loop {
            let Some(number) = numbers.pop() else {
                let fresh = Self::create(folder, name, 1, new_chain(), lock)?;
                return Ok((fresh, Found::Good));
            };
            let path = path(folder, &name, number);
            let mut file = options().read(true).open(&path)?;
            match tail(&mut file)? {
                Tail::Continues { end, size_bytes, torn } => {
                    break (number, file, (end, size_bytes, torn));
                }
                // It was begun when the disk was full.
                Tail::Empty => fs::remove_file(&path)?,
                // Nothing of it is removed.
                Tail::Damaged => {
                    let fresh = Self::create(folder, name, number + 1, new_chain(), lock)?;
                    return Ok((fresh, Found::Damaged));
                }
            }
        };
        let (end, size_bytes, torn) = tail;
        let mut opened = Self {
            folder: folder.to_owned(),
            name,
            number,
            file: Arc::new(file),
            size_bytes,
            reserved_bytes: size_bytes,
            end,
            // Not known, so a checkpoint is due.
            unsigned: 1,
            buffer: Vec::new(),
            _lock: lock,
        };
        if torn.is_empty() {
            return Ok((opened, Found::Good));
        }
        opened.file.set_len(size_bytes)?;
        let text = String::from_utf8_lossy(&torn);
        let text = serde_json::to_string(&text[..text.floor_char_boundary(MOST_TORN_BYTES)]);
        let members = format!(r#""type":"healed","torn":{}"#, text.unwrap_or_default());
        opened.append(members.as_bytes())?;
        Ok((opened, Found::Torn))
    }

    fn create(folder: &Path, name: String, number: u64, end: End, lock: File) -> io::Result<Self> {
        let path = path(folder, &name, number);
        let file = options().create_new(true).open(&path)?;
        let prev = end.hash;
        let mut created = Self {
            folder: folder.to_owned(),
            name,
            number,
            file: Arc::new(file),
            size_bytes: 0,
            reserved_bytes: 0,
            end,
            unsigned: 0,
            buffer: Vec::new(),
            _lock: lock,
        };
        // The name of a new file must survive a power cut as its content does.
        File::open(folder)?.sync_all()?;
        // A chain that begins again has a file of its own as its first.
        let in_chain = if created.end.seq == 0 { 1 } else { number };
        let version = env!("CARGO_PKG_VERSION");
        let begin =
            format!(r#""type":"begin","version":"{version}","file":{in_chain},"prev":"{prev}""#);
        created.append(begin.as_bytes()).inspect_err(|_| {
            let _ = fs::remove_file(&path);
        })?;
        Ok(created)
    }

    /// Appends a line.
    pub(super) fn append(&mut self, members: &[u8]) -> io::Result<()> {
        let before = self.end.clone();
        self.buffer.clear();
        write_line(&mut self.buffer, &mut self.end, unix_milliseconds(), members);
        let written = (&*self.file).write_all(&self.buffer);
        if written.is_err() {
            // A part of it may be there. What cannot be cut off is healed when the file is opened.
            let _ = self.file.set_len(self.size_bytes);
            self.end = before;
            return written;
        }
        self.size_bytes += self.buffer.len() as u64;
        self.unsigned += 1;
        Ok(())
    }

    /// Appends a checkpoint, if there are lines that the last one does not cover.
    pub(super) fn checkpoint(&mut self, signer: &Signer, reason: &str) -> io::Result<()> {
        if self.unsigned == 0 {
            return Ok(());
        }
        let Some((key, signature)) = signer(&checkpoint_message(self.end.hash)) else {
            return Ok(());
        };
        let signature = Base64UrlUnpadded::encode_string(&signature);
        let members = format!(
            r#""type":"checkpoint","reason":"{reason}","key":"{key}","signature":"{signature}""#
        );
        self.append(members.as_bytes())?;
        self.unsigned = 0;
        Ok(())
    }

    /// Begins the next file, which continues the chain.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        let lock = self._lock.try_clone()?;
        let (number, end) = (self.number + 1, self.end.clone());
        let next = Self::create(&self.folder, self.name.clone(), number, end, lock)?;
        let last = std::mem::replace(self, next);
        last.release();
        // Flushed here, since nothing else knows it any more.
        last.file.sync_data()
    }

    /// Makes sure that `bytes` more can be written, even if something else fills the disk.
    pub(super) fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        let needed = self.size_bytes.saturating_add(bytes);
        if needed <= self.reserved_bytes {
            return Ok(());
        }
        let ahead = needed.saturating_add(RESERVED_AHEAD_BYTES) - self.size_bytes;
        match fallocate(&*self.file, FallocateFlags::KEEP_SIZE, self.size_bytes, ahead) {
            Ok(()) => self.reserved_bytes = self.size_bytes + ahead,
            // Not every file system can: then a full disk is only noticed by the write.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.reserved_bytes = u64::MAX,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Gives back room that was kept.
    pub(super) fn release(&self) {
        if self.reserved_bytes > self.size_bytes {
            let _ = self.file.set_len(self.size_bytes);
        }
    }

    pub(super) fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    pub(super) fn end(&self) -> &End {
        &self.end
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub(super) fn unsigned(&self) -> u64 {
        self.unsigned
    }
}

/// The end of a file.
enum Tail {
    Continues {
        end: End,
        /// Up to the end of the last complete line.
        size_bytes: u64,
        /// What is after it.
        torn: Vec<u8>,
    },
    /// The last complete line does not follow the one before.
    Damaged,
    /// There is no complete line.
    Empty,
}

/// Reads the end of a file.
fn tail(file: &mut File) -> io::Result<Tail> {
    let length = file.metadata()?.len();
    let begin = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
    let torn = bytes.split_off(complete);
    if bytes.is_empty() {
        return Ok(if begin == 0 { Tail::Empty } else { Tail::Damaged });
    }
    let mut lines = bytes.split(|byte| *byte == b'\n').rev().skip(1);
    let (last, before) = (lines.next(), lines.next());
    let is_whole = begin == 0 || before.is_some();
    let read = || {
        let last = last.filter(|_| is_whole)?;
        let (line, marked) = (Line::parse(last)?, Marked::parse(last)?);
        let prev: LineHash = match (before.filter(|one| !one.is_empty()), line.prev) {
            (_, Some(prev)) => prev.parse().ok()?,
            // The first of those that were read may have lost its beginning, but not its hash.
            (Some(before), None) => Marked::parse(before)?.hash,
            (None, None) => return None,
        };
        let end = End { chain: line.chain, seq: line.seq.checked_add(1)?, hash: marked.hash };
        (prev.next(marked.covered) == marked.hash).then_some(end)
    };
    let size_bytes = length - torn.len() as u64;
    let end = read();
    Ok(end.map_or(Tail::Damaged, |end| Tail::Continues { end, size_bytes, torn }))
}

/// Takes the first name that no other process has: two processes may share a folder.
fn lock(folder: &Path, writers: Writers) -> io::Result<(String, File)> {
    for number in 1..=MOST_WRITERS {
        let name = match number {
            1 => writers.name().to_owned(),
            number => format!("{}-{number}", writers.name()),
        };
        let file = options().create(true).open(folder.join(format!("{name}.lock")))?;
        match file.try_lock() {
            Ok(()) => return Ok((name, file)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::other("too many processes write their audit logs to this folder"))
}

/// The numbers of a writer's files, ascending.
pub(super) fn numbers(folder: &Path, name: &str) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file_name = entry?.file_name();
        let number = file_name.to_str().and_then(|text| text.strip_prefix(name)?.strip_prefix('.'));
        let number = number.and_then(|text| text.strip_suffix(".ndjson")?.parse::<u64>().ok());
        found.extend(number);
    }
    found.sort_unstable();
    Ok(found)
}

pub(super) fn path(folder: &Path, name: &str, number: u64) -> PathBuf {
    folder.join(format!("{name}.{number:06}.ndjson"))
}

fn new_chain() -> End {
    let chain = random_bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
    End { chain, seq: 0, hash: LineHash::default() }
}

/// Every write goes to the end, also if this process is wrong about the length.
fn options() -> fs::OpenOptions {
    let mut options = File::options();
    options.append(true).mode(0o600);
    options
}

/// Two lines of the greatest length, and what is torn.
const TAIL_BYTES: u64 = 4 * MAX_LINE_BYTES as u64;
const MOST_TORN_BYTES: usize = 2048;
const MOST_WRITERS: u32 = 16;
const RESERVED_AHEAD_BYTES: u64 = 256 << 10;
