//! A control plane process: the real plane on its connection to the store, with its own folder and clock.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use offswitch::config::Config;
use offswitch::master_key::MasterKey;
use offswitch::plane::{Loading, Plane, PlaneError, Settings};
use offswitch::store::Store;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::checks::Checks;
use crate::flaw::Flaw;
use crate::store::{Connection, Network};
use crate::time::Clock;
use crate::tokens::ISSUER;

/// One process, in one life after the other.
pub struct Process {
    index: usize,
    network: Arc<Network>,
    checks: Arc<Checks>,
    /// Its clock.
    pub clock: Arc<Clock>,
    folder: Mutex<TempDir>,
    /// True once it has served with the folder that it has.
    has_served: AtomicBool,
    life: Mutex<Life>,
    /// Counts the lives.
    lives: watch::Sender<u64>,
    starts: AtomicU64,
}

#[derive(Default)]
struct Life {
    starting: Option<AbortHandle>,
    connection: Option<Arc<Connection>>,
    plane: Option<Arc<Plane>>,
    tasks: Vec<AbortHandle>,
}

impl Process {
    /// A process that has not been started.
    pub fn new(index: usize, network: Arc<Network>, checks: Arc<Checks>) -> Arc<Self> {
        let clock = Arc::new(Clock::new(network.time));
        let (lives, starts) = (watch::Sender::new(0), AtomicU64::new(0));
        let (folder, life) = (Mutex::new(new_folder()), Mutex::default());
        let has_served = AtomicBool::new(false);
        Arc::new(Self { index, network, checks, clock, folder, has_served, life, lives, starts })
    }

    /// Starts it, and again for as long as the store does not let it start, as a service manager does.
    pub fn start(self: &Arc<Self>) {
        let mut life = self.life();
        if life.starting.is_some() || life.plane.is_some() {
            return;
        }
        let process = self.clone();
        let starting = tokio::spawn(async move {
            loop {
                match process.start_once().await {
                    Ok(()) => return,
                    Err(error) => {
                        let (index, network) = (process.index, &process.network);
                        network
                            .trace
                            .step(format_args!("process: {index} waits: {}", code(&error)));
                        sleep(RESTART_AFTER).await;
                    }
                }
            }
        });
        life.starting = Some(starting.abort_handle());
    }

    /// It ends, also in the middle of a call. What it has on its disk stays.
    pub fn crash(&self) {
        let mut ended = std::mem::take(&mut *self.life());
        if let Some(connection) = ended.connection.take() {
            connection.cut();
        }
        for task in ended.starting.iter().chain(&ended.tasks) {
            task.abort();
        }
        self.lives.send_modify(|life| *life += 1);
    }

    /// Its disk is lost; it must not be running.
    pub fn lose_disk(&self) {
        *self.folder.lock().unwrap_or_else(PoisonError::into_inner) = new_folder();
        self.has_served.store(false, Ordering::Relaxed);
        self.checks.process_forgets(self.index);
    }

    /// The plane, while it serves.
    pub fn plane(&self) -> Option<Arc<Plane>> {
        self.life().plane.clone()
    }

    /// Its place among the processes.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Which life it is in; it changes when the process ends.
    pub fn lives(&self) -> watch::Receiver<u64> {
        self.lives.subscribe()
    }

    async fn start_once(&self) -> Result<(), PlaneError> {
        let (network, checks) = (self.network.clone(), self.checks.clone());
        let connection = Connection::open(network, checks, self.index, self.clock.clone()).await?;
        self.life().connection = Some(connection.clone());
        let store: Arc<dyn Store> = connection;
        if self.network.flaw == Some(Flaw::Forgets) {
            *self.folder.lock().unwrap_or_else(PoisonError::into_inner) = new_folder();
        }
        let master = MasterKey::parse(MASTER).expect("a master key");
        let now = self.clock.now();
        let plane = Plane::start(self.settings(), store, master, now, &Loading::default()).await?;
        plane.settle_issuers(&[], plane.now()).await?;
        let tasks = plane.spawn_tasks();
        self.has_served.store(true, Ordering::Relaxed);
        let starts = self.starts.fetch_add(1, Ordering::Relaxed) + 1;
        let mut life = self.life();
        life.tasks = tasks.to_vec();
        life.plane = Some(plane);
        life.starting = None;
        let index = self.index;
        self.network.trace.step(format_args!("process: {index} serves, start {starts}"));
        Ok(())
    }

    fn settings(&self) -> Settings {
        let environment = [("OFFSWITCH_ISSUER".into(), ISSUER.into())];
        let Ok(config) = Config::load(None, environment) else {
            unreachable!("the configuration is good");
        };
        let mut settings = config.settings;
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        settings.log.memory_folder = Some(folder.path().join("published"));
        settings.log.has_served =
            self.has_served.load(Ordering::Relaxed) && self.network.flaw != Some(Flaw::Forgets);
        settings
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Short and without anything random.
fn code(error: &PlaneError) -> &'static str {
    match error {
        PlaneError::Store(_) => "the store does not answer",
        PlaneError::StoreForgot => "the store is empty",
        PlaneError::Keyring(_) => "the keyring cannot be loaded",
        PlaneError::Memory(_) => "its memory cannot be read",
        _ => "an error",
    }
}

fn new_folder() -> TempDir {
    tempfile::tempdir().expect("a folder for a simulated disk")
}

/// The master key of all processes.
pub const MASTER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const RESTART_AFTER: Duration = Duration::from_millis(500);
