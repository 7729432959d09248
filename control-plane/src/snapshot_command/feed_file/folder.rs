//! A folder that holds a feed for verifiers without a network: a head, and the parts that it names.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use offswitch::shared_files::{make_folder, share};
use offswitch_snapshot::{FeedHead, FeedKey, HEAD_NAME, MAX_HEAD_BYTES, Part, Snapshot, Step};
use rustix::fs::OFlags;

use super::archive::head_in;
use super::{Contents, FeedFile, FeedFileError};
use crate::command_line::{Failure, Kind};

/// A folder, in which no other process puts a file in place meanwhile.
pub(in crate::snapshot_command) struct Folder {
    path: PathBuf,
    /// Held until the end.
    _lock: File,
}

/// What putting a file in place has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::snapshot_command) enum Put {
    /// The folder has held the same.
    Same,
    /// It is in place now.
    Taken,
}

/// The head in place, with its heartbeat.
struct Held {
    head: FeedHead,
    heartbeat: Snapshot,
}

impl Folder {
    /// Makes the folder if it is not there, and locks it.
    pub(in crate::snapshot_command) fn open(path: &Path) -> Result<Self, Failure> {
        let opened = make_folder(path).and_then(|()| open_lock(&path.join(LOCK)));
        let lock = opened.map_err(|error| unwritten(path, &error))?;
        lock.lock().map_err(|error| unwritten(path, &error))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Puts a file in place: parts first, then the head, each complete. Never one that says less than what is there.
    pub(in crate::snapshot_command) fn put(
        &self,
        file: &FeedFile,
        keys: &[FeedKey],
        now: u64,
    ) -> Result<(Contents, Put), Failure> {
        let held = self.held(keys)?;
        let before = held.as_ref().map(|held| &held.heartbeat);
        if let Some(held) = &held {
            refuse_older(file, held, keys)?;
        }
        let contents = file.check(keys, before, now)?;
        if let Some(held) = &held {
            refuse_unreachable(file, held)?;
            let there = (held.head.position, held.heartbeat.issued_at());
            let is_there = |part: Part| match file.parts.get(&part) {
                Some(content) => self.has(part, content),
                None => self.path.join(part.to_string()).exists(),
            };
            if there == (contents.position, contents.issued_at) && held.head.parts().all(is_there) {
                return Ok((contents, Put::Same));
            }
        }
        let written = self.write(file, held.as_ref().map(|held| &held.head));
        written.map_err(|error| unwritten(&self.path, &error))?;
        Ok((contents, Put::Taken))
    }

    /// The head that is there. One that the keys do not prove cannot be compared with.
    fn held(&self, keys: &[FeedKey]) -> Result<Option<Held>, Failure> {
        let mut text = Vec::new();
        match File::open(self.path.join(HEAD_NAME)) {
            Ok(head) => head.take(MAX_HEAD_BYTES as u64 + 1).read_to_end(&mut text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error),
        }
        .map_err(|error| unwritten(&self.path, &error))?;
        let unknown = |problem: String| {
            let folder = self.path.display();
            let advice = "give the key that has signed it too (--key), or choose an empty folder";
            FeedFileError::OtherPlace(format!(
                "the head in {folder} is not proved: {problem}; {advice}"
            ))
        };
        let head = head_in(&text).map_err(|error| unknown(error.to_string()))?;
        let heartbeat = head.open_heartbeat(keys).map_err(|error| unknown(error.to_string()))?;
        Ok(Some(Held { head, heartbeat }))
    }

    fn write(&self, file: &FeedFile, before: Option<&FeedHead>) -> io::Result<()> {
        for (part, content) in file.head.parts().filter_map(|part| file.parts.get_key_value(&part))
        {
            if !self.has(*part, content) {
                self.place(&part.to_string(), content)?;
            }
        }
        self.place(HEAD_NAME, &serde_json::to_vec(&file.head)?)?;
        // Readers may have read the head before a moment ago.
        let used: Vec<Part> =
            file.head.parts().chain(before.iter().flat_map(|head| head.parts())).collect();
        self.remove_others(&used)
    }

    /// True if the part is there with this content: a disk may have damaged it since.
    fn has(&self, part: Part, content: &[u8]) -> bool {
        let path = self.path.join(part.to_string());
        let has_size = fs::metadata(&path).is_ok_and(|found| found.len() == content.len() as u64);
        has_size && fs::read(&path).is_ok_and(|found| found == content)
    }

    /// Writes a file under its name once it is complete and durable.
    fn place(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let path = self.path.join(name);
        let folder = path.parent().unwrap_or(&self.path);
        if folder != self.path {
            refuse_link(folder)?;
        }
        make_folder(folder)?;
        let draft = self.path.join(DRAFT);
        let mut file = create_draft(&draft)?;
        file.write_all(content)?;
        // Other users' verifiers and web servers read it, unless the operator has closed the folder.
        share(&file)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        File::open(folder)?.sync_all()
    }

    /// Removes parts that no reader needs. Other files are left alone.
    fn remove_others(&self, used: &[Part]) -> io::Result<()> {
        for below in ["bases", "deltas"] {
            refuse_link(&self.path.join(below))?;
            let entries = match fs::read_dir(self.path.join(below)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name();
                let part = format!("{below}/{}", name.to_string_lossy()).parse::<Part>();
                if part.is_ok_and(|part| !used.contains(&part)) {
                    fs::remove_file(entry.path())?;
                }
            }
        }
        Ok(())
    }
}

/// Opens the file that is locked. Nothing is written to it, and a link of another user leads to no other file.
fn open_lock(path: &Path) -> io::Result<File> {
    refuse_link(path)?;
    // The link may have been made meanwhile; and a pipe must not hold this up.
    let flags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed();
    let mut options = File::options();
    options.create(true).truncate(false).write(true).custom_flags(flags);
    let lock = options.open(path)?;
    match lock.metadata()?.is_file() {
        true => Ok(lock),
        false => Err(refused(path, "is not a file")),
    }
}

/// Makes the file that is written. One that is there was left by an import that was interrupted, or was put there by
/// another user: its name goes, and what it leads to stays as it is.
fn create_draft(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => File::create_new(path),
    }
}

fn refuse_link(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        true => Err(refused(path, "is a symbolic link, and may lead anywhere: remove it")),
        false => Ok(()),
    }
}

fn refused(path: &Path, problem: &str) -> io::Error {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    io::Error::new(io::ErrorKind::InvalidInput, format!("{name} {problem}"))
}

/// What is in place was signed by the same feed, and not later.
fn refuse_older(file: &FeedFile, held: &Held, keys: &[FeedKey]) -> Result<(), FeedFileError> {
    let head = &file.head;
    if head.feed != held.head.feed {
        let (found, expected) = (&head.feed, &held.head.feed);
        let problem = format!("the file is of the feed {found:?}, the folder has {expected:?}");
        return Err(FeedFileError::OtherPlace(problem));
    }
    if head.position < held.head.position {
        let (found, there) = (head.position, held.head.position);
        let problem = format!("it is at {found}, the folder is at {there} already: it stays there");
        return Err(FeedFileError::Older(problem));
    }
    let issued_at = head.open_heartbeat(keys).map_or(0, |heartbeat| heartbeat.issued_at());
    if head.position == held.head.position && issued_at < held.heartbeat.issued_at() {
        let problem = "what the folder has was signed later for the same position: it stays there";
        return Err(FeedFileError::Older(problem.to_owned()));
    }
    Ok(())
}

/// A verifier that has read what is in place must be able to go on from there.
fn refuse_unreachable(file: &FeedFile, held: &Held) -> Result<(), FeedFileError> {
    match file.head.next_step(Some(held.head.position), true, false) {
        Step::Fetch(_) | Step::Heartbeat => Ok(()),
        Step::Ask(_) | Step::Behind | Step::NoWay => {
            Err(file.unreachable(Some(held.head.position)))
        }
    }
}

fn unwritten(folder: &Path, error: &io::Error) -> Failure {
    Failure::new(Kind::FileUnreadable, format!("{}: {error}", folder.display()))
}

const LOCK: &str = ".import-lock";
const DRAFT: &str = ".import-draft";
