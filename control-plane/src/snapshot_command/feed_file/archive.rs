//! The bytes of a feed file: a tar archive with the names that the files have at any place.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use axum::body::Bytes;
use offswitch_snapshot::{FeedHead, HEAD_NAME, MAX_HEAD_BYTES};
use tar::{Archive, Builder, Header};

use super::{FeedFile, FeedFileError};

impl FeedFile {
    /// Reads a file. Nothing is checked but its form.
    pub(in crate::snapshot_command) fn read(bytes: &Bytes) -> Result<Self, FeedFileError> {
        let malformed = |problem: &str| FeedFileError::Malformed(problem.to_owned());
        if bytes.starts_with(SNAPSHOT_MAGIC) {
            let problem = "it is a single snapshot, expected what `snapshot export` writes; see `snapshot inspect`";
            return Err(malformed(problem));
        }
        let (mut head, mut parts) = (None, BTreeMap::new());
        let mut archive = Archive::new(bytes.as_ref());
        let broken = |error| broken(bytes, &error);
        let entries = archive.entries().map_err(broken)?;
        for (count, entry) in entries.enumerate() {
            let entry = entry.map_err(broken)?;
            if count >= MOST_FILES {
                return Err(malformed("it has more files than a feed has"));
            }
            // What else is in it is for others, such as folders.
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let Ok(name) = String::from_utf8(entry.path_bytes().into_owned()) else { continue };
            let name = name.strip_prefix("./").unwrap_or(&name);
            let content = content(bytes, entry.raw_file_position(), entry.size());
            let content = content.ok_or_else(|| malformed(CUT_OFF))?;
            if name == HEAD_NAME {
                head = Some(content);
            } else if let Ok(part) = name.parse() {
                parts.insert(part, content);
            }
        }
        let head = head.ok_or_else(|| malformed("it is no feed file: it has no head"))?;
        Ok(Self { head: head_in(&head)?, parts })
    }

    /// The bytes of the file. The head comes first.
    pub(in crate::snapshot_command) fn write(&self, modified_at: u64) -> io::Result<Vec<u8>> {
        let mut archive = Builder::new(Vec::new());
        let mut add = |name: &str, content: &[u8]| {
            let mut header = Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(modified_at);
            archive.append_data(&mut header, name, content)
        };
        add(HEAD_NAME, &serde_json::to_vec(&self.head)?)?;
        for (part, content) in &self.parts {
            add(&part.to_string(), content)?;
        }
        archive.into_inner()
    }
}

/// The head that these bytes are. Nothing is known of what it names.
pub(in crate::snapshot_command) fn head_in(text: &[u8]) -> Result<FeedHead, FeedFileError> {
    let found = (text.len() <= MAX_HEAD_BYTES).then(|| serde_json::from_slice(text).ok());
    let no_head = || FeedFileError::Malformed("its head is not one of a feed".to_owned());
    found.flatten().ok_or_else(no_head)
}

/// The bytes of one file, which are not copied.
fn content(bytes: &Bytes, from: u64, size: u64) -> Option<Bytes> {
    let from = usize::try_from(from).ok()?;
    let end = from.checked_add(usize::try_from(size).ok()?)?;
    (end <= bytes.len()).then(|| bytes.slice(from..end))
}

/// Why it cannot be read further: what begins as an archive was not copied to its end.
fn broken(bytes: &[u8], error: &io::Error) -> FeedFileError {
    let problem = match bytes.get(MAGIC) {
        Some(b"ustar") => CUT_OFF.to_owned(),
        _ => format!("it is no feed file: {error}"),
    };
    FeedFileError::Malformed(problem)
}

/// Where a tar archive says what it is.
const MAGIC: Range<usize> = 257..262;
/// How each snapshot begins.
const SNAPSHOT_MAGIC: &[u8] = b"OFSW";
const CUT_OFF: &str = "it is cut off: copy it again";
/// More than any head names, with the folders.
const MOST_FILES: usize = 1_000;
