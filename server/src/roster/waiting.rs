//! Waiting until all followers hold a position.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use offswitch_snapshot::Position;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout_at};

use super::{Roster, Tally, Wanted};

/// A request that waits. As long as this is not dropped, streams are asked.
pub struct Waiting {
    roster: Roster,
    ticket: u64,
    wanted: Wanted,
    changes: watch::Receiver<u64>,
}

impl Roster {
    /// Has followers asked whether they hold `position`. None if too many wait already.
    pub fn want(&self, position: Position) -> Option<Waiting> {
        let changes = self.0.changes.subscribe();
        let wanted = Wanted { position, began: Instant::now() };
        let mut waits = self.0.waits.lock().unwrap_or_else(PoisonError::into_inner);
        if waits.all.len() >= MOST_WAITS {
            return None;
        }
        waits.next += 1;
        let ticket = waits.next;
        waits.all.insert(ticket, wanted);
        self.announce(&waits.all);
        Some(Waiting { roster: self.clone(), ticket, wanted, changes })
    }

    /// How many followers of this process hold `position`, once all do, or at the end of `time`. Without a time, none is
    /// asked.
    pub async fn until_held(&self, position: Position, time: Duration) -> Tally {
        let began = Instant::now();
        let waiting = if time.is_zero() { None } else { self.want(position) };
        match waiting {
            Some(mut waiting) => waiting.until_complete(began + time).await,
            None => self.tally(position, began, began),
        }
    }

    /// How many are known, also those that have left a moment ago.
    pub(super) fn followers(&self) -> u32 {
        u32::try_from(self.registry().entries.len()).unwrap_or(u32::MAX)
    }

    /// Streams ask for the highest position that a request waits for: a follower that holds it holds the others.
    fn announce(&self, all: &std::collections::BTreeMap<u64, Wanted>) {
        self.0.waiting.store(all.len(), Ordering::Relaxed);
        let highest = all.values().max_by_key(|wanted| wanted.position).copied();
        self.0.wanted.send_if_modified(|wanted| std::mem::replace(wanted, highest) != highest);
    }
}

impl Waiting {
    /// The tally, once every follower holds the position, or at `end`.
    pub async fn until_complete(&mut self, end: Instant) -> Tally {
        loop {
            let tally = self.tally();
            let now = Instant::now();
            if tally.is_complete() || now >= end {
                return tally;
            }
            self.next_change(end, 0).await;
        }
    }

    /// The tally now.
    pub fn tally(&self) -> Tally {
        let Wanted { position, began } = self.wanted;
        self.roster.tally(position, began, Instant::now())
    }

    /// Returns when the tally may be another one, but not before it has paid for the last one, which had that many
    /// `more` followers, and at `end`.
    pub async fn next_change(&mut self, end: Instant, more: usize) {
        let now = Instant::now();
        sleep_until((now + self.pause(more)).min(end).into()).await;
        // Followers also leave, without an event.
        let _ = timeout_at((now + LONGEST_PAUSE).min(end).into(), self.changes.changed()).await;
    }

    /// What a tally of the followers of this process and of that many `more` costs.
    pub fn pause(&self, more: usize) -> Duration {
        let waiting = u32::try_from(self.roster.0.waiting.load(Ordering::Relaxed)).unwrap_or(1);
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let followers = self.roster.followers().saturating_add(more);
        let cost = EACH_FOLLOWER.saturating_mul(followers).saturating_mul(waiting);
        cost.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waits = self.roster.0.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.all.remove(&self.ticket);
        self.roster.announce(&waits.all);
    }
}

/// How many may wait at the same time.
const MOST_WAITS: usize = 1000;
/// The CPU time for counting one follower, with room for everything else.
const EACH_FOLLOWER: Duration = Duration::from_nanos(400);
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
