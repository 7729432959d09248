//! What one process holds of the store: the product's trait over the simulated network.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use offswitch::store::{
    Append, Appended, Batch, Durability, Finding, Older, Onto, Page, Request, Store, StoreError,
    Stretch, Swapped,
};
use offswitch_core::log::{Checkpoint, End};
use offswitch_snapshot::Position;
use tokio::time::sleep;

use super::Server;
use super::network::{Fate, Network, unavailable};
use crate::checks::Checks;
use crate::time::Clock;

/// The connection of one process, in one of its lives.
pub struct Connection {
    network: Arc<Network>,
    checks: Arc<Checks>,
    process: usize,
    /// The process's own clock.
    clock: Arc<Clock>,
    first_era: u64,
    /// By how much the server's clock was ahead of the process's at the last reading.
    server_ahead: AtomicI64,
    is_dead: AtomicBool,
}

impl Connection {
    /// Connects the process, and begins a log unless there is one.
    ///
    /// # Errors
    ///
    /// If the server is not reached.
    pub async fn open(
        network: Arc<Network>,
        checks: Arc<Checks>,
        process: usize,
        clock: Arc<Clock>,
    ) -> Result<Arc<Self>, StoreError> {
        let first_era = clock.now();
        let (server_ahead, is_dead) = (AtomicI64::new(0), AtomicBool::new(false));
        let connection = Self { network, checks, process, clock, first_era, server_ahead, is_dead };
        let begin = move |server: &mut Server, _| {
            server.begin(first_era);
            Ok(())
        };
        connection.call("begin", begin).await?;
        Ok(Arc::new(connection))
    }

    /// The process has ended: no call arrives any more, and none is answered.
    pub fn cut(&self) {
        self.is_dead.store(true, Ordering::Relaxed);
    }

    async fn call<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl Fn(&mut Server, u64) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let (fate, there, back) = self.network.fate();
        sleep(there).await;
        self.need_life()?;
        let execute = |network: &Network| network.execute(self.process, what, &work);
        let answer = match fate {
            Fate::Answered => execute(&self.network),
            Fate::Twice => {
                let first = execute(&self.network);
                sleep(self.network.chance.millis(0..20)).await;
                let again = execute(&self.network);
                if self.network.chance.one_in(2) { first } else { again }
            }
            Fate::Unanswered => {
                let _ = execute(&self.network);
                Err(unavailable("the answer was lost"))
            }
            Fate::Lost => Err(unavailable("the call was lost")),
            Fate::Late => {
                let (network, process) = (self.network.clone(), self.process);
                let late = DEADLINE + network.chance.millis(0..4000);
                tokio::spawn(async move {
                    sleep(late).await;
                    let _ = network.execute(process, what, &work);
                });
                Err(unavailable("the call was late"))
            }
        };
        let is_late = matches!(fate, Fate::Late | Fate::Lost | Fate::Unanswered);
        sleep(if is_late { DEADLINE } else { back }).await;
        self.need_life()?;
        answer
    }

    fn need_life(&self) -> Result<(), StoreError> {
        match self.is_dead.load(Ordering::Relaxed) {
            true => Err(unavailable("the process has ended")),
            false => Ok(()),
        }
    }

    fn nonce(&self) -> u64 {
        self.network.chance.between(1..u64::MAX)
    }
}

#[async_trait]
impl Store for Connection {
    async fn append_all(&self, batch: Vec<Append>, onto: Onto) -> Result<Batch, StoreError> {
        let (nonce, checks) = (self.nonce(), self.checks.clone());
        self.call("append", move |server, now| {
            let done = server.append(&batch, onto, nonce, now)?;
            for (append, answer) in batch.iter().zip(&done.answers) {
                if let Some(Appended { position, repeated: false, .. }) = answer {
                    checks.appended(&append.request.id, *position);
                }
            }
            Ok(done)
        })
        .await
    }

    async fn recall(&self, request: &Request) -> Result<Option<Appended>, StoreError> {
        let request = request.clone();
        self.call("recall", move |server, _| server.recall(&request)).await
    }

    async fn read(&self, after: u64, limit: usize) -> Result<Page, StoreError> {
        let first_era = self.first_era;
        let read = move |server: &mut Server, now| Ok((server.read(after, limit, first_era), now));
        let (page, server_now) = self.call("read", read).await?;
        let ahead = server_now.cast_signed() - self.clock.now().cast_signed();
        self.server_ahead.store(ahead, Ordering::Relaxed);
        Ok(page)
    }

    async fn read_back(&self, before: u64, limit: usize) -> Result<Older, StoreError> {
        let first_era = self.first_era;
        let read = move |server: &mut Server, _| Ok(server.read_back(before, limit, first_era));
        self.call("read back", read).await
    }

    async fn wait(&self, after: u64, timeout: Duration) -> Result<(), StoreError> {
        let mut news = self.network.news.subscribe();
        let begun = *news.borrow_and_update();
        if !self.network.reaches(self.process) {
            sleep(timeout).await;
            return Err(unavailable("it does not answer"));
        }
        let is_news = |end: &Position| end.seq > after || end.era != begun.era;
        if self.network.drops_hints() {
            sleep(timeout).await;
        } else {
            let _ = tokio::time::timeout(timeout, news.wait_for(is_news)).await;
        }
        self.need_life()
    }

    async fn trim(&self, era: u64, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let checkpoint = checkpoint.clone();
        self.call("trim", move |server, _| {
            server.trim(era, &checkpoint);
            Ok(())
        })
        .await
    }

    async fn end(&self) -> Result<End, StoreError> {
        let first_era = self.first_era;
        self.call("end", move |server, _| Ok(server.end(first_era))).await
    }

    async fn start_era(
        &self,
        expected: End,
        era: u64,
        checkpoint: &Checkpoint,
    ) -> Result<bool, StoreError> {
        let (checkpoint, nonce) = (checkpoint.clone(), self.nonce());
        let expected = (expected, self.first_era);
        let start =
            move |server: &mut Server, _| Ok(server.start_era(expected, era, &checkpoint, nonce));
        self.call("start era", start).await
    }

    async fn load(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let name = name.to_owned();
        self.call("load", move |server, _| Ok(server.load(&name))).await
    }

    async fn swap_at(
        &self,
        at: Option<Position>,
        name: &str,
        from: &[u8],
        to: &[u8],
        expires_at: Option<u64>,
    ) -> Result<Swapped, StoreError> {
        let (name, from, to) = (name.to_owned(), from.to_vec(), to.to_vec());
        self.call("swap", move |server, _| Ok(server.swap(at, &name, (&from, &to), expires_at)))
            .await
    }

    async fn scan(&self, prefix: &str, cursor: &str) -> Result<Stretch, StoreError> {
        let (prefix, cursor) = (prefix.to_owned(), cursor.to_owned());
        let scan = move |server: &mut Server, _| {
            Ok(Stretch { documents: server.scan(&prefix, &cursor), next: None })
        };
        self.call("scan", scan).await
    }

    /// The processes do not list themselves: no request waits for followers here, and what they write for that would
    /// change what each seed does.
    fn is_shared(&self) -> bool {
        false
    }

    fn now(&self) -> u64 {
        self.clock.now().saturating_add_signed(self.server_ahead.load(Ordering::Relaxed))
    }

    async fn findings(&self) -> Result<Vec<Finding>, StoreError> {
        self.call("findings", |_, _| Ok(vec![])).await
    }

    fn durability(&self) -> Option<Durability> {
        Some(Durability::Synced)
    }
}

/// When a process gives up a call.
const DEADLINE: Duration = Duration::from_secs(2);
