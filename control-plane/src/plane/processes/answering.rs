//! A request at another process waits: this one says what it has seen of its followers, until that is over.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use offswitch_core::processes::{MOST_PROCESSES, Note, ProcessId, Statement};
use offswitch_snapshot::Position;
use tokio::sync::watch;
use tokio::time::sleep;

use super::statement::{Heard, statement_of};
use super::{Processes, lock};
use crate::store::{NOTES_LAST, NotePlace, Store};

/// The questions of other processes that are open.
#[derive(Default)]
pub(super) struct Questions {
    open: Mutex<BTreeMap<ProcessId, Open>>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    number: u64,
    position: Position,
    until: Instant,
}

/// What the open questions come to.
struct Asked {
    /// The highest position.
    position: Position,
    /// Who asks, and the number of the question.
    by: Vec<(ProcessId, u64)>,
}

impl Processes {
    /// Reads what other processes leave.
    pub(in crate::plane) async fn keep_hearing(self: Arc<Self>) {
        let (mut after, mut heard_at) = (NotePlace::default(), Instant::now());
        while self.are_possible() {
            if heard_at.elapsed() > 2 * NOTES_LAST {
                // All of them are gone. After a failover the places may begin again, before this one.
                (after, heard_at) = (NotePlace::default(), Instant::now());
            }
            match self.store.notes(after, READ_FOR).await {
                Ok(notes) => {
                    for (place, note) in notes {
                        (after, heard_at) = (place, Instant::now());
                        self.hear(&note);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "the notes of other processes cannot be read");
                    sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// Takes note of what another process has left. What cannot be read is left out: it counts as not answered.
    fn hear(&self, note: &[u8]) {
        let note = match Note::decode(note) {
            Ok(note) if note.by() != self.id => note,
            Ok(_) => return,
            Err(error) => {
                tracing::debug!(%error, "a note of another process is not understood");
                return;
            }
        };
        match note {
            Note::Question { by, number, position: (era, seq), seconds } => {
                let position = Position { era, seq };
                let seconds = Duration::from_secs(seconds.into()).min(LONGEST_QUESTION);
                let until = Instant::now() + seconds;
                self.questions.add(by, Open { number, position, until });
            }
            Note::Over { by, number } => self.questions.remove(by, number),
            Note::Statement { by, number, statement } => {
                if self.asking.is_waiting() {
                    self.take(by, number, statement);
                }
            }
        }
    }

    fn take(&self, by: ProcessId, number: u64, statement: Statement) {
        let mut heard = lock(&self.heard);
        let has_room = heard.len() < 2 * MOST_PROCESSES || heard.contains_key(&by);
        let is_newer = heard.get(&by).is_none_or(|known| known.number < number);
        if has_room && is_newer {
            heard.insert(by, Arc::new(Heard::new(statement, number, Instant::now())));
            drop(heard);
            self.note_change();
        }
    }

    /// Answers the questions of other processes, again each time that something has changed, until they are over.
    pub(in crate::plane) async fn keep_answering(self: Arc<Self>) {
        let mut changes = self.questions.changes.subscribe();
        while self.are_possible() {
            changes.mark_unchanged();
            if self.questions.asked().is_some() {
                self.answer(&mut changes).await;
            } else if changes.changed().await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, changes: &mut watch::Receiver<u64>) {
        let roster = self.publisher.roster();
        let mut waiting: Option<(Position, _)> = None;
        let mut last: Option<(Statement, Instant)> = None;
        let mut positions = self.folded.positions();
        while let Some(Asked { position, by }) = self.questions.asked() {
            if waiting.as_ref().is_none_or(|(wanted, _)| *wanted != position) {
                // The next is there before this one is dropped: no follower is asked in vain.
                waiting = roster.want(position).map(|next| (position, next));
            }
            if self.folded.position() < position {
                // One that comes now gets a base without the revocation, so that nothing can be said yet.
                tokio::select! {
                    _ = positions.changed() => {}
                    _ = changes.changed() => {}
                    () = sleep(RETRY_AFTER) => {}
                }
                continue;
            }
            let (now, seen) = (Instant::now(), roster.seen(Instant::now()));
            let cost = EACH_FOLLOWER * u32::try_from(seen.len()).unwrap_or(u32::MAX);
            let statement = statement_of(seen, roster.unidentified(now), by, position, now);
            let is_old_news = last.as_ref().is_some_and(|(before, at)| {
                statement.is_old_news(before) && at.elapsed() < SAY_AGAIN_AFTER
            });
            if !is_old_news {
                let number = self.notes.fetch_add(1, Ordering::Relaxed) + 1;
                let note = Note::Statement { by: self.id, number, statement: statement.clone() };
                match self.store.leave_note(&note.encode()).await {
                    Ok(()) => last = Some((statement, now)),
                    Err(error) => {
                        tracing::debug!(%error, "another process gets no answer");
                        sleep(RETRY_AFTER).await;
                    }
                }
                // Pays for it, and lets more change before the next one.
                sleep(cost.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await;
            }
            let end = Instant::now() + LONGEST_PAUSE;
            let followers = async {
                match &mut waiting {
                    Some((_, waiting)) => waiting.next_change(end, 0).await,
                    None => sleep(LONGEST_PAUSE).await,
                }
            };
            tokio::select! {
                () = followers => {}
                _ = changes.changed() => {}
            }
        }
    }
}

impl Questions {
    fn add(&self, by: ProcessId, question: Open) {
        let mut open = lock(&self.open);
        if open.len() >= 2 * MOST_PROCESSES && !open.contains_key(&by) {
            return;
        }
        open.insert(by, question);
        drop(open);
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn remove(&self, by: ProcessId, number: u64) {
        lock(&self.open).retain(|asker, open| *asker != by || open.number > number);
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// What is asked now; none if nothing is.
    fn asked(&self) -> Option<Asked> {
        let (mut open, now) = (lock(&self.open), Instant::now());
        open.retain(|_, open| open.until > now);
        let position = open.values().map(|open| open.position).max()?;
        Some(Asked { position, by: open.iter().map(|(by, open)| (*by, open.number)).collect() })
    }
}

const READ_FOR: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// No request waits for longer.
const LONGEST_QUESTION: Duration = Duration::from_secs(35);
/// The CPU time and the traffic for one follower in a note.
const EACH_FOLLOWER: Duration = Duration::from_micros(10);
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// What changes by time alone is said again, such as when followers refuse.
const SAY_AGAIN_AFTER: Duration = Duration::from_secs(1);
