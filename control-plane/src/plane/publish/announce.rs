//! Announcements: what the followers of the stream are sent, made once for all of them.
//!
//! A follower that has taken the last announcement gets the next one as it is: without a look-up, a
//! signature or an encoding of its own. A follower that missed announcements gets one delta that
//! covers them all, so a slow follower costs no memory and delays no other.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use offswitch_server::trace::{Origin, Span};
use offswitch_snapshot::Position;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use super::{Published, Publisher};
use crate::master_key::random_bytes;

/// One step of the feed, the same for all followers.
#[derive(Debug, Clone, Default)]
pub(super) struct Announcement {
    from: Position,
    to: Position,
    /// Leads from the old position to the new one; none at the very beginning.
    snapshot: Option<Arc<Published>>,
}

/// One follower of the stream.
pub struct Following {
    publisher: Arc<Publisher>,
    news: watch::Receiver<Announcement>,
    stopping: watch::Receiver<bool>,
    beats: tokio::time::Interval,
    beat: Duration,
    told_at: Instant,
    /// The follower's position; none before its first base.
    since: Option<Position>,
    is_new: bool,
}

impl Announcement {
    /// Nothing is announced yet.
    pub(super) fn at(position: Position) -> Self {
        Self { from: position, to: position, snapshot: None }
    }
}

impl Publisher {
    /// Announces what is folded: immediately if nothing was announced just before, otherwise once
    /// the followers had time to take the last announcement. Records that come meanwhile are
    /// announced together.
    pub(in crate::plane) async fn keep_announced(self: Arc<Self>) {
        let mut head = self.folded.positions();
        // What was folded before this task started must be announced, too.
        head.mark_changed();
        while head.changed().await.is_ok() {
            let to = *head.borrow_and_update();
            let from = self.announced.borrow().to;
            let span = Span::caused_by("publish", &self.take_origins());
            let snapshot = self.snapshot_between(Some(from), to);
            let bytes = snapshot.as_ref().map_or(0, |one| one.bytes.len());
            self.announced.send_replace(Announcement { from, to, snapshot });
            let followers = self.announced.receiver_count();
            span.set("offswitch.bytes", bytes as i64);
            span.set("offswitch.followers", followers as i64);
            drop(span);
            let pause = EACH_FOLLOWER.saturating_mul(u32::try_from(followers).unwrap_or(u32::MAX));
            if pause >= SHORTEST_PAUSE {
                sleep(pause.min(LONGEST_PAUSE)).await;
            }
        }
    }

    /// Notes what caused the next news.
    pub(in crate::plane) fn note_origin(&self, origin: Option<Origin>) {
        let Some(origin) = origin else { return };
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        if origins.len() < MOST_ORIGINS {
            origins.push(origin);
        }
    }

    fn take_origins(&self) -> Vec<Origin> {
        std::mem::take(&mut *self.origins.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends every stream and every long poll, now and from now on, because the process was asked to
    /// stop. Its followers find the feed at another process, or here again after a restart.
    pub fn stop_following(&self) {
        self.stopping.send_replace(true);
    }

    /// True once the process has been asked to stop.
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Returns when the process is asked to stop.
    pub async fn stopping(&self) {
        // The sender lives as long as `self`.
        let _ = self.stopping.subscribe().wait_for(|is_stopping| *is_stopping).await;
    }

    /// Follows the feed from `since` on, or starts with a base.
    pub fn following(self: &Arc<Self>, since: Option<Position>) -> Following {
        let beat = Duration::from_secs(self.settings.heartbeat_seconds);
        // Random, so that the heartbeats of many followers are spread evenly.
        let phase = beat.mul_f64(f64::from(u16::from_le_bytes(random_bytes())) / 65_536.0);
        let now = Instant::now();
        let mut beats = interval_at(now + phase, beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (news, stopping) = (self.announced.subscribe(), self.stopping.subscribe());
        Following {
            publisher: self.clone(),
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
    /// The time between two heartbeats when there is no news.
    pub fn heartbeat(&self) -> Duration {
        self.beat
    }

    /// The next snapshot for this follower: news as soon as it is announced, or a heartbeat.
    /// None if the process has nothing to send, or has been asked to stop.
    pub async fn next(&mut self) -> Option<Arc<Published>> {
        if std::mem::take(&mut self.is_new) {
            return self.tell(self.publisher.snapshot(self.since)?);
        }
        loop {
            if let Some(snapshot) = self.news() {
                return self.tell(snapshot);
            }
            tokio::select! {
                changed = self.news.changed() => changed.ok()?,
                () = stopped(&mut self.stopping) => return None,
                _ = self.beats.tick() => {
                    // A follower that got something a moment ago needs no heartbeat.
                    if self.told_at.elapsed() >= self.beat / 2 {
                        return self.tell(self.publisher.snapshot(self.since)?);
                    }
                }
            }
        }
    }

    /// What leads to the last announcement, if that is beyond the follower's position.
    fn news(&mut self) -> Option<Arc<Published>> {
        // A copy: the work below must not block the announcing task.
        let last = self.news.borrow_and_update().clone();
        if self.since.is_some_and(|since| last.to <= since) {
            return None;
        }
        let is_next = self.since == Some(last.from);
        let prepared = last.snapshot.as_ref().filter(|_| is_next).cloned();
        let snapshot = prepared.or_else(|| self.publisher.snapshot_between(self.since, last.to))?;
        // The base may be older than what was sent: the newer one is still being built.
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

/// More are not linked to one span.
const MOST_ORIGINS: usize = 128;
/// The CPU time for handing an announcement to one follower, with room for everything else.
const EACH_FOLLOWER: Duration = Duration::from_micros(20);
/// In a process of the right size, other followers delay a follower by no more than this.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// Below this the timer's own resolution is coarser.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
