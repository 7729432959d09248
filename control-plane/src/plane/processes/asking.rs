//! A request of this process waits: the other processes are asked, and what all have seen is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use offswitch_core::processes::{Kind, Note, Other, ProcessId};
use offswitch_server::roster::{LEAVING_SLACK, Seen, Tally, Waiting, join};
use offswitch_snapshot::Position;
use tokio::time::{sleep, timeout};

use super::statement::Heard;
use super::{Processes, lock};
use crate::store::{Store, StoreError};

/// How many followers of all processes hold a position.
#[derive(Debug, Clone)]
pub struct Count {
    /// The followers of this process, and of those that have answered.
    pub tally: Tally,
    /// How many processes there are whose followers may decide, this one too; none where there is only one by the kind
    /// of the store.
    pub asked: Option<u64>,
    /// Those of them that have not answered.
    pub silent: Vec<SilentProcess>,
}

/// A process that has not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilentProcess {
    /// Its id, or what is known of it.
    pub name: String,
    /// In how many seconds all its followers refuse to decide, if it has no news for them; none if that is not known.
    pub refuses_in_seconds: Option<u64>,
}

/// The requests that wait, and the last question for them.
#[derive(Default)]
pub(super) struct Asking {
    next_wish: AtomicU64,
    wishes: Mutex<BTreeMap<u64, (Position, Instant)>>,
    rounds_begun: AtomicU64,
    /// Held while the store is asked: requests that come meanwhile share the next round.
    last: tokio::sync::Mutex<Option<Arc<Round>>>,
}

/// One look at the list of processes, and one question to them.
struct Round {
    number: u64,
    others: Vec<Other>,
    /// True if a question was left, whose number is that of the round.
    has_asked: bool,
}

/// A request that waits, until this is dropped.
struct Wish<'a> {
    asking: &'a Asking,
    ticket: u64,
}

impl Processes {
    /// How many followers hold `position`, once all of all processes do, or at the end of `time`, or of the process. Without
    /// a time, no follower and no other process is asked.
    pub async fn count(self: &Arc<Self>, position: Position, time: Duration) -> Count {
        let began = Instant::now();
        let end = began + time;
        let roster = self.publisher.roster();
        let mut waiting = if time.is_zero() { None } else { roster.want(position) };
        if !self.are_possible() {
            return self.wait(&mut waiting, None, position, began, end).await;
        }
        let wish = (!time.is_zero()).then(|| self.asking.wish(position, end));
        // Followers of this process are asked meanwhile.
        let round = timeout(time.max(SHORTEST_LOOK), self.ask()).await;
        let round = round.unwrap_or_else(|_| Arc::new(self.unknown_round()));
        let count = self.wait(&mut waiting, Some(&round), position, began, end).await;
        if wish.is_some() && round.has_asked {
            drop(wish);
            tokio::spawn(self.clone().finish());
        }
        count
    }

    async fn wait(
        &self,
        waiting: &mut Option<Waiting>,
        round: Option<&Round>,
        position: Position,
        began: Instant,
        end: Instant,
    ) -> Count {
        let (mut changes, mut positions) = (self.changes.subscribe(), self.folded.positions());
        loop {
            changes.mark_unchanged();
            positions.mark_unchanged();
            let (count, more) = self.evaluate(round, position, began);
            let Some(waiting) = waiting else { return count };
            if count.is_complete() || Instant::now() >= end {
                return count;
            }
            tokio::select! {
                () = waiting.next_change(end, more) => {}
                _ = changes.changed() => sleep(waiting.pause(more)).await,
                _ = positions.changed() => {}
                // Then streams end.
                () = self.publisher.stopping() => return count,
            }
        }
    }

    /// What is known now, and how many followers other processes have listed.
    fn evaluate(
        &self,
        round: Option<&Round>,
        position: Position,
        began: Instant,
    ) -> (Count, usize) {
        let (roster, now) = (self.publisher.roster(), Instant::now());
        let reached = self.folded.position();
        // One that comes now gets a base without the revocation.
        let late = (reached < position)
            .then(|| SilentProcess { name: self.own_id(), refuses_in_seconds: None });
        let Some(round) = round else {
            let tally = roster.tally(position, began, now);
            return (Count { tally, asked: None, silent: late.into_iter().collect() }, 0);
        };
        let heard: Vec<(ProcessId, Arc<Heard>)> = lock(&self.heard)
            .iter()
            .filter(|(_, heard)| round.has_asked && heard.answers(self.id, round.number))
            .map(|(id, heard)| (*id, heard.clone()))
            .collect();
        let unix_now = self.store.now();
        let others = heard.iter().map(|(id, heard)| (*id, heard.as_ref()));
        let own = (roster.seen(now), roster.unidentified(now));
        let more = heard.iter().map(|(_, heard)| heard.followers.len()).sum();
        let mut count = merge(own, others, &round.others, (position, reached.era), began, unix_now);
        count.silent.extend(late);
        (count, more)
    }

    /// Looks which processes there are, and asks them, for all requests that wait now.
    async fn ask(&self) -> Arc<Round> {
        let asking = &self.asking;
        let asked_at = asking.rounds_begun.load(Ordering::SeqCst);
        let mut last = asking.last.lock().await;
        if let Some(round) = last.as_ref().filter(|round| round.number > asked_at) {
            // That round began after this request had come.
            return round.clone();
        }
        let number = asking.rounds_begun.fetch_add(1, Ordering::SeqCst) + 1;
        let others = match self.others().await {
            Ok(others) => others,
            Err(error) => {
                tracing::warn!(%error, "it is not known which other processes there are");
                return Arc::new(self.unknown_round());
            }
        };
        let can_answer = others.iter().any(|other| other.kind == Kind::Listed);
        let has_asked = can_answer && self.leave_question(number).await;
        let round = Arc::new(Round { number, others, has_asked });
        *last = Some(round.clone());
        round
    }

    async fn leave_question(&self, number: u64) -> bool {
        let Some((position, end)) = self.asking.widest() else { return false };
        let left = end.saturating_duration_since(Instant::now()).as_secs() + 1;
        let question = Note::Question {
            by: self.id,
            number,
            position: (position.era, position.seq),
            seconds: u32::try_from(left).unwrap_or(u32::MAX),
        };
        let asked = self.store.leave_note(&question.encode()).await;
        if let Err(error) = &asked {
            tracing::warn!(%error, "the other processes cannot be asked what their followers hold");
        }
        asked.is_ok()
    }

    /// The other processes whose followers may decide.
    async fn others(&self) -> Result<Vec<Other>, StoreError> {
        let (since, listing) = tokio::join!(self.store.format_since(), self.read());
        let (since, _) = (since?, listing?);
        // What an older process has published is dated before that.
        let stay = self.publisher.roster().validity() + LEAVING_SLACK;
        let older_until = if since == 0 { 0 } else { since.saturating_add(stay.as_secs()) };
        lock(&self.known).expect_older(older_until, self.time());
        Ok(self.known_others())
    }

    fn known_others(&self) -> Vec<Other> {
        let watch = lock(&self.watch);
        lock(&self.known).others(self.id, &watch, self.time())
    }

    /// What is known if the store does not answer: nothing may be complete.
    fn unknown_round(&self) -> Round {
        let mut others = self.known_others();
        others.push(Other { id: None, kind: Kind::Unlisted, refuse_at: None });
        Round { number: 0, others, has_asked: false }
    }

    /// Says that no request waits any more, unless one does.
    async fn finish(self: Arc<Self>) {
        let mut last = self.asking.last.lock().await;
        if self.asking.widest().is_some() || last.as_ref().is_none_or(|round| !round.has_asked) {
            return;
        }
        let number = last.take().map_or(0, |round| round.number);
        lock(&self.heard).clear();
        // If it does not arrive: they also know for how long it waits at most.
        let _ = self.store.leave_note(&Note::Over { by: self.id, number }.encode()).await;
    }
}

impl Asking {
    fn wish(&self, position: Position, end: Instant) -> Wish<'_> {
        let ticket = self.next_wish.fetch_add(1, Ordering::Relaxed);
        lock(&self.wishes).insert(ticket, (position, end));
        Wish { asking: self, ticket }
    }

    /// The highest position that is waited for, and the latest end.
    fn widest(&self) -> Option<(Position, Instant)> {
        let wishes = lock(&self.wishes);
        let position = wishes.values().map(|(position, _)| *position).max()?;
        Some((position, wishes.values().map(|(_, end)| *end).max()?))
    }

    /// True while a request waits.
    pub(super) fn is_waiting(&self) -> bool {
        !lock(&self.wishes).is_empty()
    }
}

impl Drop for Wish<'_> {
    fn drop(&mut self) {
        lock(&self.asking.wishes).remove(&self.ticket);
    }
}

impl Count {
    /// True if every process has answered, and all their followers hold the position.
    pub fn is_complete(&self) -> bool {
        self.silent.is_empty() && self.tally.is_complete()
    }

    /// Within how many seconds all that do not hold it refuse to decide; none if that is not known.
    pub fn refuse_within_seconds(&self) -> Option<u64> {
        let followers = self.tally.refuse_within.map(|time| time.as_secs());
        let processes = self.silent.iter().map(|one| one.refuses_in_seconds);
        processes.fold(followers, |one, other| one.zip(other).map(|(one, other)| one.max(other)))
    }
}

/// Counts what this process has seen, with the statements of others. Those of `others` without one are silent, and
/// what their followers hold is not known. Positions of eras later than `own_era` count as none: another process may
/// have begun one without a record of this process, which begins a later one with it.
fn merge<'a>(
    (mut seen, mut unidentified): (Vec<Seen>, u64),
    statements: impl Iterator<Item = (ProcessId, &'a Heard)>,
    others: &[Other],
    (position, own_era): (Position, u64),
    began: Instant,
    unix_now: u64,
) -> Count {
    let mut answered = BTreeSet::new();
    for (id, heard) in statements {
        answered.insert(id);
        unidentified = unidentified.saturating_add(heard.unidentified());
        seen.extend(heard.followers.iter().cloned());
    }
    let mut seen = if answered.is_empty() { seen } else { join(seen) };
    for one in &mut seen {
        one.held = one.held.filter(|held| held.era <= own_era);
        one.report = one.report.take().filter(|report| report.about.era <= own_era);
    }
    let has_answered = |other: &Other| other.id.is_some_and(|id| answered.contains(&id));
    let silent: Vec<SilentProcess> = others
        .iter()
        .filter(|other| !has_answered(other))
        .map(|other| SilentProcess {
            name: other.name(),
            // What is over is not known to be over: it may only have been unable to say so.
            refuses_in_seconds: other.refuse_at.and_then(|at| at.checked_sub(unix_now)),
        })
        .collect();
    let asked = u64::try_from(1 + answered.len() + silent.len()).unwrap_or(u64::MAX);
    Count { tally: Tally::of(&seen, unidentified, position, began), asked: Some(asked), silent }
}

/// A look at the list of processes may take that long, also for a request that waits less.
const SHORTEST_LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use offswitch_server::roster::{Face, Print};

    use super::super::statement::statement_of;
    use super::*;

    const HERE: ProcessId = ProcessId([1; 8]);
    const THERE: ProcessId = ProcessId([2; 8]);
    const NOW: u64 = 1000;

    fn at(seq: u64) -> Position {
        Position { era: 1, seq }
    }

    fn seen(id: u8, seq: u64, said_at: Instant) -> Seen {
        Seen {
            print: Print([id; 12]),
            is_relay: false,
            held: Some(at(seq)),
            said_at,
            grew_at: said_at,
            refuses_within: Some(Duration::from_secs(60)),
            report: None,
            face: Face::Unnamed,
        }
    }

    fn heard(all: Vec<Seen>, unidentified: u64, now: Instant) -> Heard {
        Heard::new(statement_of(all, unidentified, vec![(HERE, 1)], at(7), now), 1, now)
    }

    fn listed(refuse_at: Option<u64>) -> Other {
        Other { id: Some(THERE), kind: Kind::Listed, refuse_at }
    }

    fn count(own: Vec<Seen>, statement: Option<&Heard>, others: &[Other], now: Instant) -> Count {
        let statements = statement.into_iter().map(|heard| (THERE, heard));
        merge((own, 0), statements, others, (at(7), 1), now, NOW)
    }

    // P10: complete only if every process has answered, and every follower holds it.
    #[test]
    fn a_count_is_complete_only_if_every_process_has_answered() {
        let now = Instant::now();
        let own = || vec![seen(1, 7, now)];
        let alone = count(own(), None, &[], now);
        assert_eq!((alone.is_complete(), alone.asked), (true, Some(1)));
        let silent = count(own(), None, &[listed(Some(NOW + 41))], now);
        assert!(!silent.is_complete() && silent.tally.is_complete());
        assert_eq!((silent.asked, silent.refuse_within_seconds()), (Some(2), Some(41)));
        assert_eq!(silent.silent[0].name, THERE.to_string());
        for unknown in [None, Some(NOW - 1)] {
            let count = count(own(), None, &[listed(unknown)], now);
            assert_eq!((count.is_complete(), count.refuse_within_seconds()), (false, None));
        }
        let answered = heard(vec![seen(2, 7, now)], 0, now);
        let both = count(own(), Some(&answered), &[listed(Some(NOW))], now);
        assert!(both.is_complete() && both.tally.holding == 2);
        assert_eq!((both.asked, both.refuse_within_seconds()), (Some(2), Some(0)));
        let behind = heard(vec![seen(2, 6, now)], 0, now);
        let behind = count(own(), Some(&behind), &[listed(Some(NOW))], now);
        assert!(!behind.is_complete() && behind.silent.is_empty());
        assert_eq!((behind.tally.holding, behind.refuse_within_seconds()), (1, Some(60)));
        let unidentified = heard(vec![], 1, now);
        assert!(!count(own(), Some(&unidentified), &[listed(Some(NOW))], now).is_complete());
        // One that was not listed has answered: it counts, too.
        let surprising = count(own(), Some(&answered), &[], now);
        assert_eq!((surprising.asked, surprising.tally.followers), (Some(2), 2));
        let third = Other { id: None, kind: Kind::Older, refuse_at: Some(NOW + 3) };
        let third = count(own(), Some(&answered), &[listed(Some(NOW)), third], now);
        assert_eq!((third.is_complete(), third.silent.len(), third.asked), (false, 1, Some(3)));
        assert_eq!(third.silent[0].name, "older_version");
    }

    // P10: another process may have begun an era without the record that is waited for.
    #[test]
    fn a_position_of_an_era_that_this_process_does_not_know_counts_as_none() {
        let now = Instant::now();
        let later = Seen { held: Some(Position { era: 2, seq: 9 }), ..seen(2, 7, now) };
        let healed = heard(vec![later], 0, now);
        let of_era = |own_era| {
            let statements = [(THERE, &healed)].into_iter();
            merge((vec![], 0), statements, &[listed(None)], (at(7), own_era), now, NOW)
        };
        assert_eq!((of_era(1).is_complete(), of_era(1).tally.holding), (false, 0));
        assert!(of_era(2).is_complete());
    }

    // P10: a follower that moves is silent nowhere, and counts once.
    #[test]
    fn a_follower_that_moved_counts_once_and_by_what_it_said_last() {
        let now = Instant::now();
        let earlier = now.checked_sub(Duration::from_secs(3)).unwrap();
        let others = [listed(Some(NOW))];
        let moved = heard(vec![seen(1, 7, now)], 0, now);
        let count_of = |own, statement| count(own, Some(statement), &others, now);
        let count = count_of(vec![seen(1, 6, earlier)], &moved);
        assert_eq!((count.is_complete(), count.tally.followers, count.tally.holding), (true, 1, 1));
        let back = heard(vec![seen(1, 6, earlier)], 0, now);
        let count = count_of(vec![seen(1, 7, now)], &back);
        assert_eq!((count.is_complete(), count.tally.followers, count.tally.holding), (true, 1, 1));
        // Another follower's word does not count for it.
        let another = heard(vec![seen(2, 7, now)], 0, now);
        let count = count_of(vec![seen(1, 6, earlier)], &another);
        assert_eq!(
            (count.is_complete(), count.tally.followers, count.tally.holding),
            (false, 2, 1)
        );
    }
}
