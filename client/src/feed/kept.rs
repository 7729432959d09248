//! Keeps floor and snapshots in a folder, so that a restart neither trusts anything older nor has to wait for the
//! feed. The floor is kept as the signed snapshot that leads there: what is read back is checked in the same way
//! as what comes from the feed.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use offswitch_verifier::ApplyError;
use offswitch_verifier::snapshot::Position;
use tempfile::Builder;

use super::intake::Intake;
use super::snapshots::Snapshots;
use crate::events::Events;

/// The folder in which floor and snapshots are kept.
pub(crate) struct Keeper {
    folder: PathBuf,
    max_bytes: usize,
    intake: Arc<Intake>,
    events: Arc<Events>,
    kept: Mutex<Kept>,
}

/// What is in the folder.
#[derive(Default)]
struct Kept {
    /// False until the folder was read: it may hold a higher floor.
    is_read: bool,
    floor: Option<Bytes>,
    base: Option<Bytes>,
    /// The newest of the deltas.
    newest: Option<Bytes>,
}

impl Keeper {
    pub(crate) fn new(
        folder: PathBuf,
        max_bytes: usize,
        intake: Arc<Intake>,
        events: Arc<Events>,
    ) -> Self {
        Self { folder, max_bytes, intake, events, kept: Mutex::default() }
    }

    /// Brings back what was kept. A folder that lies costs only what it held.
    pub(crate) async fn restore(self: &Arc<Self>) {
        let keeper = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || keeper.read_floor()).await;
        match read {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return,
            Ok(Err(error)) => return self.failed("reading", &error),
            Err(error) => return self.failed("reading", &io::Error::other(error)),
        }
        let keeper = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || keeper.read_snapshots()).await;
        match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Err(error) => self.failed("reading", &error),
            // It ends at the first part that is not a snapshot: otherwise someone who can write to the folder
            // could make the verifier spend any amount of time.
            Ok(parts) => {
                for bytes in parts {
                    let applied = self.intake.apply(bytes).await;
                    if let Err(error) =
                        applied.as_ref().err().filter(|one| !is_lesson(one)).map_or(Ok(()), Err)
                    {
                        let detail =
                            format!("the rest of the stored snapshots is ignored: {error}");
                        return self.events.failed("store_failed", &detail, None);
                    }
                }
            }
        }
    }

    /// False where nothing may be written over what is there.
    fn read_floor(&self) -> io::Result<bool> {
        self.sweep()?;
        if let Some(floor) = self.read("floor")? {
            match self.intake.engine.resume(floor) {
                Ok(()) => {}
                // A clock that is days off: what is kept may be right.
                Err(error @ ApplyError::Implausible { .. }) => {
                    let detail = format!(
                        "the stored floor is not used, nor replaced: {error}: check the clock"
                    );
                    self.events.failed("store_failed", &detail, None);
                    return Ok(false);
                }
                Err(error) => {
                    let detail = format!("the stored floor is ignored: {error}");
                    self.events.failed("store_failed", &detail, None);
                }
            }
        }
        self.kept().is_read = true;
        Ok(true)
    }

    fn read_snapshots(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut parts: Vec<Vec<u8>> = self.read("base")?.into_iter().collect();
        parts.extend(unpack(&self.read("deltas")?.unwrap_or_default()));
        Ok(parts)
    }

    /// Keeps what has changed, without end: a crash costs at most the last two seconds.
    pub(crate) async fn keep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(SAVE_EVERY).await;
            self.save().await;
        }
    }

    /// Keeps what has changed.
    pub(crate) async fn save(self: &Arc<Self>) {
        let keeper = Arc::clone(self);
        let saved = tokio::task::spawn_blocking(move || keeper.write_what_changed()).await;
        if let Err(error) = saved.unwrap_or_else(|error| Err(io::Error::other(error))) {
            self.failed("writing to", &error);
        }
    }

    fn write_what_changed(&self) -> io::Result<()> {
        let held = self.intake.shelf.held();
        let mut kept = self.kept();
        let (Some(newest), true) = (&held.newest, kept.is_read) else { return Ok(()) };
        if !is_same(&kept.floor, &newest.bytes) && newest.to >= self.intake.engine.floor() {
            // Verifiers may share a folder. What one of them has kept beyond this stays, and so do the snapshots
            // that lead there.
            if self.end_of_kept_floor()? > Some(newest.to) {
                return Ok(());
            }
            self.write("floor", &newest.bytes)?;
            kept.floor = Some(newest.bytes.clone());
        }
        if let Some(base) = held.base.as_ref().filter(|base| !is_same(&kept.base, &base.bytes)) {
            self.write("base", &base.bytes)?;
            kept.base = Some(base.bytes.clone());
        }
        if !is_same(&kept.newest, &newest.bytes) {
            self.write("deltas", &pack(&held))?;
            kept.newest = Some(newest.bytes.clone());
        }
        Ok(())
    }

    /// Where the floor ends that is in the folder now, if it is one of this feed.
    fn end_of_kept_floor(&self) -> io::Result<Option<Position>> {
        let opened = self.read("floor")?.map(|bytes| self.intake.engine.trust().open(bytes));
        Ok(opened.and_then(Result::ok).map(|floor| floor.to()))
    }

    /// A file, if it is there and not too large.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.folder.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let most = u64::try_from(self.max_bytes).unwrap_or(u64::MAX);
        let mut bytes = vec![];
        file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() > self.max_bytes {
            return Err(io::Error::other(format!("{name} is larger than feed.maxBytes")));
        }
        Ok(Some(bytes))
    }

    /// Replaces a file as a whole: a crash, also of the machine, leaves the one before.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        private_folder(&self.folder)?;
        let mut next = Builder::new().prefix(NEXT).tempfile_in(&self.folder)?;
        next.write_all(bytes)?;
        next.as_file().sync_all()?;
        next.persist(self.folder.join(name))?;
        File::open(&self.folder)?.sync_all()
    }

    /// Removes what writes have left that were cut off.
    fn sweep(&self) -> io::Result<()> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
            if entry.file_name().to_string_lossy().starts_with(NEXT) && age > LONGEST_WRITE {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn failed(&self, doing: &str, error: &io::Error) {
        let detail = format!("{doing} the store failed: {error}");
        self.events.failed("store_failed", &detail, None);
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A snapshot may be refused for these and is one all the same.
fn is_lesson(error: &ApplyError) -> bool {
    matches!(
        error,
        ApplyError::Fork { .. } | ApplyError::Gap { .. } | ApplyError::FromTheFuture { .. }
    )
}

/// True for the same bytes at the same place: comparing a whole base would take too long.
fn is_same(one: &Option<Bytes>, other: &Bytes) -> bool {
    one.as_ref().is_some_and(|one| one.as_ptr() == other.as_ptr() && one.len() == other.len())
}

/// What came after the base, each with its length before it.
fn pack(held: &Snapshots) -> Vec<u8> {
    let base_end = held.base.as_ref().map(|base| base.to);
    let deltas = held.deltas.iter().filter(|delta| Some(delta.to) > base_end);
    let newest = held.newest.iter().filter(|newest| !newest.is_base());
    let mut bytes = vec![];
    for one in deltas.chain(newest) {
        let length = u32::try_from(one.bytes.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&one.bytes);
    }
    bytes
}

/// The counterpart of [`pack`]; stops at the first thing that does not fit.
fn unpack(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = vec![];
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((part, rest)) = rest.split_at_checked(length) else { break };
        parts.push(part.to_vec());
        bytes = rest;
    }
    parts
}

/// The folder belongs to this user alone.
fn private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

const SAVE_EVERY: Duration = Duration::from_secs(2);
/// A file that is written for longer than this was given up.
const LONGEST_WRITE: Duration = Duration::from_secs(3600);
/// How the names of files begin that are not complete.
const NEXT: &str = "next-";
