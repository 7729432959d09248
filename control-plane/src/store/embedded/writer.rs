//! The file and the one thread that writes it.

use std::fmt;
use std::fs::TryLockError;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use offswitch_snapshot::Position;
use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};
use tokio::sync::{mpsc, watch};

use super::super::StoreError;
use super::guarded;
use super::tables::{self, failed};
use crate::clock::unix_seconds;
use crate::private_files::close_file;

/// One write. It gets the transaction, or the reason why there is none. It returns its own error,
/// if any, and the reply to its caller, which is sent after the commit.
pub(super) type Job =
    Box<dyn FnOnce(Result<&WriteTransaction, StoreError>) -> (Option<StoreError>, Reply) + Send>;

/// Reports to a caller whether the commit succeeded.
pub(super) type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The database file. A database that had an I/O error refuses everything until it is reopened, so
/// it is closed then and opened again at the next use.
pub(super) struct File {
    path: PathBuf,
    database: RwLock<Option<Database>>,
    /// Why the last write failed, if it did.
    failure: Mutex<Option<StoreError>>,
    /// Dropped after the database.
    lock: Lock,
}

impl File {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = Lock::take(path)?;
        let (database, failure) = (RwLock::new(None), Mutex::default());
        let file = Self { path: path.to_owned(), database, failure, lock };
        file.open_again()?;
        Ok(file)
    }

    /// Runs `work` on a consistent view. This call blocks.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.open_again()?;
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(put_away)?;
        work(&database.begin_read().map_err(failed)?)
    }

    /// Runs `work` and commits, or rolls everything back if it fails. This call blocks.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let written = self.open_again().and_then(|()| self.write_open(work));
        *self.failure() = written.as_ref().err().cloned();
        if let Err(error) = &written {
            if matches!(error, StoreError::Unavailable(_)) {
                self.lock.set_flush_failed(true);
            }
            *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        written
    }

    /// Why the last write failed, if it did.
    pub(super) fn failure(&self) -> MutexGuard<'_, Option<StoreError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_open<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(put_away)?;
        let mut transaction = database.begin_write().map_err(failed)?;
        // Without this flush, a power cut could lose an acknowledged record.
        transaction
            .set_durability(redb::Durability::Immediate)
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let value = work(&transaction)?;
        transaction.commit().map_err(failed)?;
        Ok(value)
    }

    fn open_again(&self) -> Result<(), StoreError> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            if self.lock.flush_failed() {
                write_again(&self.path)?;
                self.lock.set_flush_failed(false);
            }
            *database = Some(open(&self.path)?);
        }
        Ok(())
    }
}

/// Keeps other processes from opening the store while this process runs. The database releases its
/// own lock when it is closed after an error; what another process wrote meanwhile would be
/// overwritten. The lock file is not empty after a failed flush, so that a process that starts
/// later knows of it. This need not survive a crash of the machine: then everything that the system
/// had not written is gone.
struct Lock {
    file: std::fs::File,
    flush_failed: AtomicBool,
}

impl Lock {
    fn take(path: &Path) -> Result<Self, StoreError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let mut options = std::fs::File::options();
        // Any process that may open the file could hold the lock.
        options.create(true).truncate(false).read(true).write(true).mode(0o600);
        let in_words = |error| failed(redb::Error::Io(error));
        for path in [path, Path::new(&name)] {
            close_file(path).map_err(in_words)?;
        }
        let file = options.open(name).map_err(in_words)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(failed(redb::Error::DatabaseAlreadyOpen)),
            Err(TryLockError::Error(error)) => return Err(in_words(error)),
        }
        let flush_failed = file.metadata().map_err(in_words)?.len() > 0;
        Ok(Self { file, flush_failed: AtomicBool::new(flush_failed) })
    }

    fn flush_failed(&self) -> bool {
        self.flush_failed.load(Ordering::Acquire)
    }

    fn set_flush_failed(&self, has_failed: bool) {
        self.flush_failed.store(has_failed, Ordering::Release);
        // A hole takes no space, and there may be none.
        if let Err(error) = self.file.set_len(u64::from(has_failed)) {
            tracing::error!(%error, "the next process may not learn whether a flush has failed");
        }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("File").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The thread and its queue.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread; after every commit it publishes where the log ends.
    pub(super) fn start(
        file: Arc<File>,
        announce: watch::Sender<Position>,
    ) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel(QUEUE_LENGTH);
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(&file, jobs, &announce))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Queues a job; waits if the queue is full.
    pub(super) async fn queue(&self, job: Job) -> Result<(), StoreError> {
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(job).await.map_err(|_| stopped())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was already reported to everyone who waited for it.
            let _ = thread.join();
        }
    }
}

/// The error when the writer thread is gone.
pub(super) fn stopped() -> StoreError {
    StoreError::Unavailable("the writer thread has stopped".to_owned())
}

fn put_away() -> StoreError {
    StoreError::Unavailable("the file failed and was not opened again yet".to_owned())
}

fn run(file: &File, mut jobs: mpsc::Receiver<Job>, announce: &watch::Sender<Position>) {
    let mut batch = Vec::new();
    while jobs.blocking_recv_many(&mut batch, QUEUE_LENGTH) > 0 {
        let mut replies = Vec::with_capacity(batch.len());
        let written =
            guarded(|| file.write(|transaction| apply(transaction, &mut batch, &mut replies)));
        if let Ok(newest) = &written {
            announce.send_replace(*newest);
        }
        for reply in replies {
            reply(written.as_ref().map(|_| ()).map_err(Clone::clone));
        }
        // Jobs that could not start, because there was no transaction.
        if let Err(error) = written {
            batch.drain(..).for_each(|job| job(Err(error.clone())).1(Err(error.clone())));
        }
    }
}

fn apply(
    transaction: &WriteTransaction,
    batch: &mut Vec<Job>,
    replies: &mut Vec<Reply>,
) -> Result<Position, StoreError> {
    let mut failure = None;
    for job in batch.drain(..) {
        let (failed, reply) = job(failure.clone().map_or(Ok(transaction), Err));
        replies.push(reply);
        failure = failure.or(failed);
    }
    if let Some(error) = failure {
        return Err(error);
    }
    tables::forget_requests(transaction, unix_seconds())?;
    tables::forget_documents(transaction, unix_seconds())?;
    Ok(tables::end_written(transaction)?.position)
}

fn open(path: &Path) -> Result<Database, StoreError> {
    let mut builder = Database::builder();
    builder.set_check_integrity_on_open(true);
    // Created here, since the database would make it readable for others.
    match std::fs::File::options().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(failed(redb::Error::Io(error)));
        }
        _ => {}
    }
    guarded(|| builder.create(path).map_err(failed))
}

/// Writes the whole file again. After a failed flush, systems treat pages as written that are
/// not, and report this only once: the next flush would succeed without writing those pages.
fn write_again(path: &Path) -> Result<(), StoreError> {
    let rewrite = || {
        let file = match std::fs::File::options().read(true).write(true).open(path) {
            // The file was removed, and the pages that were not flushed with it.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let (mut buffer, mut at) = (vec![0; 1 << 20], 0);
        loop {
            let length = file.read_at(&mut buffer, at)?;
            if length == 0 {
                return file.sync_all();
            }
            file.write_all_at(&buffer[..length], at)?;
            at += length as u64;
        }
    };
    rewrite().map_err(|error: std::io::Error| failed(redb::Error::Io(error)))
}

/// The maximum number of queued writes, and of writes in one commit.
const QUEUE_LENGTH: usize = 256;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::Request;
    use super::*;
    use offswitch_core::limits::REQUEST_MEMORY;

    fn new_file() -> (tempfile::TempDir, File) {
        let directory = tempfile::tempdir().unwrap();
        let file = File::open(&directory.path().join("log.redb")).unwrap();
        file.write(|transaction| tables::begin(transaction, 1)).unwrap();
        (directory, file)
    }

    // A disk that failed for a moment: nothing of the write is stored, and the next write works.
    #[test]
    fn a_file_that_failed_is_opened_again() {
        let (_directory, file) = new_file();
        let request = Request { id: "a".to_owned(), digest: [0; 32], memory: REQUEST_MEMORY };
        let failed = file.write(|transaction| {
            tables::append(transaction, (&request, b"record"), (0, 0), 0)?;
            Err::<(), _>(StoreError::Unavailable("no space left".to_owned()))
        });
        assert_eq!(failed, Err(StoreError::Unavailable("no space left".to_owned())));
        assert_eq!(file.read(tables::end).map(|end| end.position), Ok(Position { era: 1, seq: 0 }));
        let appended =
            file.write(|transaction| tables::append(transaction, (&request, b""), (0, 0), 0));
        assert!(matches!(appended, Ok(tables::Outcome::Appended(Position { seq: 1, .. }))));
    }

    // Between a failed write and the next one the file is closed, but still locked.
    #[test]
    fn a_file_that_failed_stays_this_process_s() {
        let (directory, file) = new_file();
        let path = directory.path().join("log.redb");
        let error = StoreError::Unavailable("an I/O error".to_owned());
        assert_eq!(file.write(|_| Err::<(), _>(error.clone())), Err(error));
        let other = File::open(&path).unwrap_err();
        assert_eq!(other, failed(redb::Error::DatabaseAlreadyOpen));
        drop(file);
        File::open(&path).unwrap();
    }

    // The process ends before it could write the file again: only the next process does it.
    #[test]
    fn a_flush_that_failed_is_known_to_the_next_process() {
        let (directory, file) = new_file();
        let path = directory.path().join("log.redb");
        let error = StoreError::Unavailable("an I/O error".to_owned());
        assert_eq!(file.write(|_| Err::<(), _>(error.clone())), Err(error));
        drop(file);
        assert!(Lock::take(&path).unwrap().flush_failed());
        drop(File::open(&path).unwrap());
        assert!(!Lock::take(&path).unwrap().flush_failed());
        let full = StoreError::Full("no space left".to_owned());
        let file = File::open(&path).unwrap();
        assert_eq!(file.write(|_| Err::<(), _>(full.clone())), Err(full));
        assert!(!file.lock.flush_failed());
    }

    // A file of the first version: its requests are remembered for the rest of their day.
    #[test]
    fn requests_of_the_first_version_are_remembered_for_a_day() {
        let (_directory, file) = new_file();
        let request = Request { id: "a".to_owned(), digest: [0; 32], memory: REQUEST_MEMORY };
        let append = |now| {
            file.write(|transaction| {
                tables::forget_requests(transaction, now)?;
                tables::append(transaction, (&request, b""), (0, 0), now)
            })
        };
        append(5).unwrap();
        file.write(tables::as_the_first_version_had_it).unwrap();
        file.write(|transaction| tables::begin(transaction, 1)).unwrap();
        let memory = REQUEST_MEMORY.as_secs();
        assert!(matches!(append(5 + memory), Ok(tables::Outcome::Repeated(_))));
        assert!(matches!(append(6 + memory), Ok(tables::Outcome::Appended(_))));
    }

    // One write of a batch fails: the others fail too, because nothing is committed.
    #[test]
    fn a_failed_write_fails_the_batch_it_is_in() {
        let (_directory, file) = new_file();
        let outcomes = Arc::new(Mutex::new(Vec::new()));
        let job = |failure: Option<StoreError>| -> Job {
            let outcomes = Arc::clone(&outcomes);
            let reply: Reply = Box::new(move |committed| outcomes.lock().unwrap().push(committed));
            Box::new(move |_| (failure, reply))
        };
        let failure = StoreError::Unavailable("no space left".to_owned());
        let (queue, jobs) = mpsc::channel(3);
        for failure in [None, Some(failure.clone()), None] {
            queue.try_send(job(failure)).unwrap();
        }
        drop(queue);
        run(&file, jobs, &watch::channel(Position::default()).0);
        assert_eq!(
            *outcomes.lock().unwrap(),
            [Err(failure.clone()), Err(failure.clone()), Err(failure)]
        );
    }

    // An id that the control plane made up takes its place for two minutes, not for a day.
    #[test]
    fn each_request_is_remembered_for_its_own_time() {
        let (_directory, file) = new_file();
        let append = |id: &str, memory: Duration, now| {
            let request = Request { id: id.to_owned(), digest: [0; 32], memory };
            let append = |transaction: &WriteTransaction| {
                tables::forget_requests(transaction, now)?;
                tables::append(transaction, (&request, b""), (0, 0), now)
            };
            matches!(file.write(append).unwrap(), tables::Outcome::Repeated(_))
        };
        assert!(!append("named", REQUEST_MEMORY, 5) && !append("unnamed", UNNAMED, 5));
        assert!(append("unnamed", UNNAMED, 5 + UNNAMED.as_secs()));
        assert!(!append("unnamed", UNNAMED, 6 + UNNAMED.as_secs()));
        assert!(append("named", REQUEST_MEMORY, 6 + UNNAMED.as_secs()));
    }

    const UNNAMED: Duration = offswitch_core::limits::UNNAMED_REQUEST_MEMORY;

    // Requests are forgotten after some time, so that the file does not grow for ever.
    #[test]
    fn requests_are_forgotten_after_their_time() {
        let (_directory, file) = new_file();
        let request = Request { id: "a".to_owned(), digest: [0; 32], memory: REQUEST_MEMORY };
        let append = |now| {
            let append = |transaction: &WriteTransaction| {
                tables::forget_requests(transaction, now)?;
                tables::append(transaction, (&request, b""), (0, 0), now)
            };
            file.write(append).unwrap()
        };
        let memory = REQUEST_MEMORY.as_secs();
        assert!(matches!(append(5), tables::Outcome::Appended(_)));
        assert!(matches!(append(5 + memory), tables::Outcome::Repeated(_)));
        assert!(matches!(append(6 + memory), tables::Outcome::Appended(_)));
    }
}
