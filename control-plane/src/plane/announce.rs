//! Announcements: what the followers of the stream are told, made once for all of them.
//!
//! A follower that has taken the last announcement is handed the next one as it is: no look-up, no
//! signature, no encoding of its own. Who missed some gets one delta over all it missed, so a slow
//! follower costs no memory and holds up nobody.

use std::sync::Arc;
use std::time::Duration;

use offswitch_snapshot::Position;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use super::Plane;
use super::publish::Published;
use crate::master_key::random_bytes;

/// One step of the feed that everybody takes.
#[derive(Debug, Clone, Default)]
pub(super) struct Announcement {
    from: Position,
    to: Position,
    /// Leads from the one to the other; none at the very beginning.
    snapshot: Option<Arc<Published>>,
}

/// One follower of the stream.
pub struct Following {
    plane: Arc<Plane>,
    news: watch::Receiver<Announcement>,
    stopping: watch::Receiver<bool>,
    beats: tokio::time::Interval,
    beat: Duration,
    told_at: Instant,
    /// Where the follower is; none before its first base.
    since: Option<Position>,
    is_new: bool,
}

impl Announcement {
    /// Nobody is told anything yet.
    pub(super) fn at(position: Position) -> Self {
        Self { from: position, to: position, snapshot: None }
    }
}

impl Plane {
    /// Announces whatever is folded: at once where nothing was announced just before, otherwise
    /// once the followers had time to take the last one. What comes meanwhile goes together.
    pub(super) async fn keep_announced(self: Arc<Self>) {
        let mut head = self.head.subscribe();
        // What was folded before this task began is news, too.
        head.mark_changed();
        while head.changed().await.is_ok() {
            let to = *head.borrow_and_update();
            let from = self.announced.borrow().to;
            let snapshot = self.snapshot_between(Some(from), to);
            self.announced.send_replace(Announcement { from, to, snapshot });
            let followers = self.announced.receiver_count();
            let pause = EACH_FOLLOWER.saturating_mul(u32::try_from(followers).unwrap_or(u32::MAX));
            if pause >= SHORTEST_PAUSE {
                sleep(pause.min(LONGEST_PAUSE)).await;
            }
        }
    }

    /// Ends every stream and every long poll, now and from now on: the process is asked to stop, and
    /// its followers find the feed elsewhere, or here again in a moment.
    pub fn stop_following(&self) {
        self.stopping.send_replace(true);
    }

    /// True once the process is asked to stop.
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Ends when the process is asked to stop.
    pub async fn stopping(&self) {
        // The sender lives as long as `self`.
        let _ = self.stopping.subscribe().wait_for(|is_stopping| *is_stopping).await;
    }

    /// Follows the feed from `since` on, or from a base.
    pub fn following(self: &Arc<Self>, since: Option<Position>) -> Following {
        let beat = Duration::from_secs(self.settings.heartbeat_seconds);
        // Each at its own moment, so that the heartbeats of many are spread evenly.
        let phase = beat.mul_f64(f64::from(u16::from_le_bytes(random_bytes())) / 65_536.0);
        let now = Instant::now();
        let mut beats = interval_at(now + phase, beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (news, stopping) = (self.announced.subscribe(), self.stopping.subscribe());
        Following {
            plane: self.clone(),
            news,
            stopping,
            beats,
            beat,
            told_at: now,
            since,
            is_new: true,
        }
    }
}

impl Following {
    /// From one heartbeat to the next where there is no news.
    pub fn heartbeat(&self) -> Duration {
        self.beat
    }

    /// The next snapshot for this follower: news as soon as they are announced, or a heartbeat.
    /// None where the process has nothing to hand out, or is asked to stop.
    pub async fn next(&mut self) -> Option<Arc<Published>> {
        if std::mem::take(&mut self.is_new) {
            return self.tell(self.plane.snapshot(self.since)?);
        }
        loop {
            if let Some(snapshot) = self.news() {
                return self.tell(snapshot);
            }
            tokio::select! {
                changed = self.news.changed() => changed.ok()?,
                () = stopped(&mut self.stopping) => return None,
                _ = self.beats.tick() => {
                    // Who was told something a moment ago needs no heartbeat.
                    if self.told_at.elapsed() >= self.beat / 2 {
                        return self.tell(self.plane.snapshot(self.since)?);
                    }
                }
            }
        }
    }

    /// What leads to the last announcement, if that is beyond the follower.
    fn news(&mut self) -> Option<Arc<Published>> {
        // A copy: what is made below must not hold up who announces.
        let last = self.news.borrow_and_update().clone();
        if self.since.is_some_and(|since| last.to <= since) {
            return None;
        }
        let is_next = self.since == Some(last.from);
        let prepared = last.snapshot.as_ref().filter(|_| is_next).cloned();
        let snapshot = prepared.or_else(|| self.plane.snapshot_between(self.since, last.to))?;
        // A base that is older than what was sent: the newer one is being built.
        (self.since.is_none_or(|since| snapshot.position > since)).then_some(snapshot)
    }

    fn tell(&mut self, snapshot: Arc<Published>) -> Option<Arc<Published>> {
        self.since = Some(snapshot.position);
        self.told_at = Instant::now();
        Some(snapshot)
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
}

/// What handing an announcement to one follower takes of a core, with room for everything else.
const EACH_FOLLOWER: Duration = Duration::from_micros(20);
/// No follower of a well-sized process waits longer because there are others.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// Below that the timer's own step is longer.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
