//! Everything of a run: the store, the processes, the followers, and who knows what.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch::master_key::MasterKey;
use offswitch::plane::Plane;
use offswitch_core::fold::Fold;
use offswitch_snapshot::Salt;
use tokio::time::sleep;

use crate::chance::Chance;
use crate::checks::{Checks, Revocation};
use crate::flaw::Flaw;
use crate::follower::{Follower, ResponseCache};
use crate::process::{MASTER, Process};
use crate::store::{Network, Server};
use crate::time::WorldTime;
use crate::tokens::{Claims, ISSUER, Minter};
use crate::trace::Trace;

/// A run's world.
pub struct World {
    pub(crate) time: WorldTime,
    pub(crate) chance: Chance,
    pub(crate) trace: Arc<Trace>,
    pub(crate) flaw: Option<Flaw>,
    pub(crate) network: Arc<Network>,
    pub(crate) checks: Arc<Checks>,
    pub(crate) processes: Vec<Arc<Process>>,
    pub(crate) minter: Minter,
    pub(crate) cache: ResponseCache,
    salt: Salt,
    /// What a log without any revocation says.
    beginning: OnceLock<Fold>,
    /// The feed keys that followers are configured with.
    feed_keys: OnceLock<Vec<String>>,
    /// A token that is never revoked.
    good_token: Mutex<(u64, String)>,
    /// Until when the store may lack what was acknowledged.
    loses_until: Mutex<Duration>,
}

impl World {
    /// A world in which nothing runs yet.
    pub fn new(chance: Chance, trace: Arc<Trace>, time: WorldTime, flaw: Option<Flaw>) -> Self {
        let network = Network::new(time, chance.clone(), trace.clone(), flaw, PROCESSES);
        let checks = Checks::new(time);
        let process = |index| Process::new(index, network.clone(), checks.clone());
        Self {
            processes: (0..PROCESSES).map(process).collect(),
            salt: MasterKey::parse(MASTER).expect("a master key").salt(),
            minter: Minter::new(),
            cache: ResponseCache::default(),
            beginning: OnceLock::new(),
            feed_keys: OnceLock::new(),
            good_token: Mutex::default(),
            loses_until: Mutex::default(),
            time,
            chance,
            trace,
            flaw,
            network,
            checks,
        }
    }

    /// Starts the processes, one after the other, and returns the followers, which do not run yet.
    pub async fn begin(self: &Arc<Self>) -> Vec<Arc<Follower>> {
        for process in &self.processes {
            process.start();
            while process.plane().is_none() {
                sleep(Duration::from_millis(100)).await;
            }
        }
        if let Some(plane) = self.plane(0) {
            let _ = self.beginning.set(plane.log.folded());
            let keys = plane.signing.feed_keys();
            let text = |key: &offswitch_snapshot::FeedKey| {
                Base64UrlUnpadded::encode_string(key.public_key())
            };
            let _ = self.feed_keys.set(keys.iter().map(text).collect());
        }
        (0..FOLLOWERS).map(|index| Follower::new(index, self.clone())).collect()
    }

    /// The store and the network to it.
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// The last steps.
    pub fn steps(&self) -> Vec<String> {
        self.trace.recent()
    }

    /// One of the processes, of which there are [`PROCESSES`].
    pub fn process(&self, index: usize) -> Arc<Process> {
        self.processes[index].clone()
    }

    /// The plane of a process, while it serves.
    pub fn plane(&self, process: usize) -> Option<Arc<Plane>> {
        self.processes.get(process)?.plane()
    }

    /// A process that serves its feed.
    pub fn any_process(&self) -> Option<Arc<Process>> {
        self.any_of(&self.processes)
    }

    /// A process that callers ask. The last one is only followed: nothing reminds it of the log but the store.
    pub fn any_asked(&self) -> Option<Arc<Process>> {
        self.any_of(self.processes.split_last()?.1)
    }

    fn any_of(&self, processes: &[Arc<Process>]) -> Option<Arc<Process>> {
        let serving: Vec<_> = processes.iter().filter(|one| one.plane().is_some()).collect();
        self.chance.pick(&serving).map(|process| (*process).clone())
    }

    /// The feed keys that followers are configured with.
    pub fn feed_keys(&self) -> Vec<String> {
        self.feed_keys.get().cloned().unwrap_or_default()
    }

    /// A token that is never revoked, and has not expired.
    pub fn good_token(&self) -> String {
        let now = self.time.unix();
        let mut held = self.good_token.lock().unwrap_or_else(PoisonError::into_inner);
        if held.1.is_empty() || held.0 + GOOD_SECONDS < now {
            let [jti, sid, sub] = ["token", "session", "user"].map(|of| format!("good-{of}-{now}"));
            let claims = Claims { jti, sid, sub, ver: 0, iat: now };
            *held = (now, self.minter.token(&claims));
        }
        held.1.clone()
    }

    /// What a server's log says.
    pub fn fold_of(&self, server: &Server) -> Option<Fold> {
        server.fold(self.salt, ISSUER).ok()
    }

    /// What these revocations come to.
    pub fn fold_with<'a>(&self, all: impl Iterator<Item = &'a Arc<Revocation>>) -> Fold {
        let mut fold = self.beginning.get().expect("the world has begun").clone();
        for revocation in all {
            let joined = fold.join_record(revocation.position.seq, &revocation.record);
            joined.expect("a record that was acknowledged");
        }
        fold
    }

    /// True if every acknowledged revocation is in `server` or known to a process that runs, other than
    /// `without`. What no running process and no store knows is lost for good: no rule promises otherwise.
    pub fn is_known(&self, server: &Server, without: Option<usize>) -> bool {
        let Some(mut known) = self.fold_of(server) else { return false };
        for process in self.processes.iter().filter(|one| Some(one.index()) != without) {
            if let Some(plane) = process.plane() {
                known.join(&plane.log.folded());
            }
        }
        !known.lacks(&self.fold_with(self.checks.revocations().iter()), self.network.clock.now())
    }

    /// True if every running process has folded every acknowledged revocation, so that its disk has it too,
    /// and all processes run.
    pub fn is_on_every_disk(&self) -> bool {
        let all = self.fold_with(self.checks.revocations().iter());
        let now = self.network.clock.now();
        self.processes.iter().all(|process| {
            process.plane().is_some_and(|plane| !plane.log.folded().lacks(&all, now))
        })
    }

    /// True if every process runs and has read the log that is in the store now, as far as it goes. Until then
    /// a record may have been appended to a log that not all of them know: an older content of the store that is
    /// continued in the same second gives positions that a process has read with other records.
    pub fn is_settled(&self) -> bool {
        !self.has_lost_lately()
            || self.fold_of(&self.network.copy()).is_some_and(|held| self.all_have_read(&held))
    }

    fn all_have_read(&self, held: &Fold) -> bool {
        let mut planes = self.processes.iter().map(|process| process.plane());
        planes.all(|plane| plane.is_some_and(|one| one.log.folded().reached() == held.reached()))
    }

    fn has_lost_lately(&self) -> bool {
        self.time.elapsed() < *self.loses_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store has lost something now.
    pub fn note_loss(&self) {
        self.watch_until(self.time.elapsed() + LOSES_FOR);
        self.look_for_lost();
    }

    fn watch_until(&self, time: Duration) {
        *self.loses_until.lock().unwrap_or_else(PoisonError::into_inner) = time;
    }

    /// As [`look_for_lost`](Self::look_for_lost), if the store has lost something lately.
    pub fn look_if_lost(&self) {
        if self.has_lost_lately() {
            self.look_for_lost();
        }
    }

    /// Notes which acknowledged revocations the store lacks now, and which of the lost ones it has again.
    /// Returns how many it lacks.
    pub fn look_for_lost(&self) -> usize {
        let Some(held) = self.fold_of(&self.network.copy()) else { return 0 };
        let (now, all) = (self.network.clock.now(), self.checks.revocations());
        let begun = self.network.take_begun();
        let is_any_lost = all.iter().any(|one| one.is_lost());
        if !is_any_lost
            && begun.is_empty()
            && !self.has_lost_lately()
            && !held.lacks(&self.fold_with(all.iter()), now)
        {
            return 0;
        }
        let lacks = |held: &Fold, one: &Arc<Revocation>| {
            held.lacks(&self.fold_with([one].into_iter()), now)
        };
        // A follower may get what an era began with, however soon another process adds what it lacks.
        for begun in begun.iter().filter_map(|begun| self.fold_of(begun)) {
            all.iter().filter(|one| lacks(&begun, one)).for_each(|one| one.note_lost());
        }
        let is_settled = !self.has_lost_lately() || self.all_have_read(&held);
        let mut count = 0;
        for revocation in all {
            match (revocation.is_lost(), lacks(&held, &revocation)) {
                (false, true) => {
                    revocation.note_lost();
                    self.watch_until(self.time.elapsed() + LOSES_FOR);
                }
                (true, false) if is_settled || !revocation.is_by_version => {
                    let end = held.reached().position;
                    revocation.note_found(end, self.time.elapsed());
                }
                _ => {}
            }
            count += usize::from(revocation.is_lost());
        }
        if count == 0 && is_settled {
            self.watch_until(Duration::ZERO);
        }
        count
    }
}

/// How many processes there are.
pub const PROCESSES: usize = 3;
/// How many followers there are.
pub const FOLLOWERS: usize = 4;
/// How long a good token is used: it must not expire before a follower with a wrong clock judges it.
const GOOD_SECONDS: u64 = 60;
/// How long after a loss the store is watched: the processes heal it as soon as they reach it.
const LOSES_FOR: Duration = Duration::from_secs(150);
