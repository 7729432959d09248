//! Ends in the store the sessions that the log has ended.
//!
//! The log is the one atomic step of a logout: from then on every process refuses. But its entries
//! are removed after a day, and a refresh token may live for months. So every record that ends
//! sessions is also applied to the stored sessions, in order and at least once. A cursor in the
//! store shows how far this has come, no matter which process did it, and the log is never trimmed
//! beyond it. A crash between the two steps leaves the cursor where it was.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use offswitch_core::fold::FoldError;
use offswitch_core::record::{OWN_ACT, Record};
use offswitch_core::relying_parties::Ending;
use offswitch_core::session::{Ended, Session, UserKey, UserSessions};
use offswitch_snapshot::Position;

use super::Sessions;
use super::stored::Basis;
use crate::plane::PlaneError;
use crate::plane::log::PAGE_RECORDS;
use crate::store::{Store, StoreError};

impl Sessions {
    /// Applies everything in the log that was not applied yet. What this process has folded lately is not read
    /// again if it ends no session.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`]; the next call continues from there.
    pub async fn carry_out_endings(&self) -> Result<(), PlaneError> {
        let _one_at_a_time = self.ending.lock().await;
        let began_at = self.store.now();
        self.log.catch_up().await?;
        let wanted = self.folded.position();
        let mut held = self.cursor().await?;
        loop {
            let cursor = position(&held);
            let quiet = self.folded.lock().reached_without_ending(cursor);
            let reached = match quiet {
                Some(reached) => reached,
                None => self.carry_out_after(cursor).await?,
            };
            let document = reached.to_string().into_bytes();
            let is_ours =
                document == held || self.store.swap(CURSOR, &held, &document, None).await?;
            // More may have been appended meanwhile, without end.
            if is_ours && (reached == cursor || reached >= wanted) {
                self.folded.note_carried_out(began_at);
                return Ok(());
            }
            held = if is_ours { document } else { self.cursor().await? };
        }
    }

    /// Applies a page of the log after `cursor`; returns where it ends.
    async fn carry_out_after(&self, cursor: Position) -> Result<Position, PlaneError> {
        let page = self.store.read(cursor.seq, PAGE_RECORDS).await?;
        let stretch = page.checkpoint.seq..=page.head;
        if cursor.era != page.era || !stretch.contains(&cursor.seq) {
            // A new era: the earlier log is only in the fold, without its records.
            let reached = self.folded.lock().reached().position;
            self.sweep().await?;
            return Ok(reached);
        }
        for (seq, bytes) in &page.records {
            let record = Record::decode(bytes).map_err(|_| FoldError::Damaged { seq: *seq })?;
            self.carry_out(*seq, &record).await?;
        }
        let seq = page.records.last().map_or(cursor.seq, |(seq, _)| *seq);
        Ok(Position { era: page.era, seq })
    }

    /// The cursor's document. If it was altered, it is deleted: without it everything in the log is
    /// applied again, which does not change what was done before.
    async fn cursor(&self) -> Result<Vec<u8>, StoreError> {
        match self.store.load(CURSOR).await {
            Err(StoreError::Altered(_)) => {
                self.store.discard_altered(CURSOR).await?;
                self.store.load(CURSOR).await
            }
            loaded => loaded,
        }
    }

    /// How far the log has been applied.
    pub(in crate::plane) async fn ended_up_to(&self) -> Result<Position, PlaneError> {
        Ok(position(&self.store.load(CURSOR).await?))
    }

    /// Keeps applying the log to the stored sessions. The pause lets one process do it for all.
    pub(in crate::plane) async fn keep_ended(self: Arc<Self>) {
        let mut head = self.folded.positions();
        loop {
            // It otherwise ends only when the channel is closed or the time is over: look now.
            let _ = tokio::time::timeout(LOOK_EVERY, head.changed()).await;
            tokio::time::sleep(PAUSE).await;
            if let Err(error) = self.carry_out_endings().await {
                tracing::warn!(%error, "ended sessions are not carried out yet");
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }

    /// The stored sessions that `ending` ends, with those that have ended before. None of a red button:
    /// that ends every stored session.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub(in crate::plane) async fn named_in(
        &self,
        ending: &Ending,
    ) -> Result<Vec<Session>, PlaneError> {
        let user = match ending {
            Ending::All => return Ok(vec![]),
            Ending::Session(id) => id.user(),
            Ending::User { sub, .. } => self.master.user_key(sub),
        };
        match self.user_sessions(user).await {
            Err(PlaneError::Store(StoreError::Altered(_) | StoreError::Damaged(_))) => Ok(vec![]),
            held => {
                let mut sessions = held?.sessions;
                sessions.retain(|session| ending.names(session));
                Ok(sessions)
            }
        }
    }

    async fn carry_out(&self, seq: u64, record: &Record) -> Result<(), PlaneError> {
        let mut by_user: BTreeMap<UserKey, Vec<Ending>> = BTreeMap::new();
        for ending in record.revocations.iter().filter_map(|one| Ending::of(one, seq)) {
            let user = match &ending {
                // The fold knows their version for ever.
                Ending::All => continue,
                Ending::Session(id) => id.user(),
                Ending::User { sub, .. } => self.master.user_key(sub),
            };
            by_user.entry(user).or_default().push(ending);
        }
        let now = self.store.now();
        let Record { at, by, reason, .. } = record;
        let ended = Ended { at: *at, by: by.clone(), reason: reason.clone() };
        let ended = &ended;
        stream::iter(by_user)
            .map(|(user, endings)| async move {
                let end = |sessions: &mut UserSessions, _| {
                    for session in &mut sessions.sessions {
                        if endings.iter().any(|ending| ending.names(session)) {
                            session.end(ended.clone());
                        }
                    }
                };
                match self.change(user, Basis::Nothing, now, end).await {
                    // Sessions that cannot be read get no tokens, and must not block the others.
                    Err(PlaneError::Store(
                        StoreError::Altered(error) | StoreError::Damaged(error),
                    )) => {
                        tracing::error!(%user, error, "a user's sessions are damaged");
                        Ok(())
                    }
                    changed => changed,
                }
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Ends every stored session that the fold knows to have ended.
    async fn sweep(&self) -> Result<(), PlaneError> {
        let now = self.store.now();
        let ended = Ended { at: now, by: OWN_ACT.to_owned(), reason: None };
        let mut cursor = String::new();
        loop {
            let stored = self.stored(&cursor).await?;
            for over in stored.sessions.iter().filter(|one| one.ended.is_none()) {
                if self.folded.is_over(over) {
                    let end = |sessions: &mut UserSessions, _| {
                        if let Some(session) = sessions.find(over.id) {
                            session.end(ended.clone());
                        }
                    };
                    match self.change(over.id.user(), Basis::Nothing, now, end).await {
                        Err(PlaneError::Store(StoreError::Altered(_) | StoreError::Damaged(_))) => {
                        }
                        changed => changed?,
                    }
                }
            }
            let Some(next) = stored.next else { return Ok(()) };
            cursor = next;
        }
    }
}

/// The position in a cursor's document; if that has none, 0.0, which belongs to no era.
fn position(document: &[u8]) -> Position {
    let text = std::str::from_utf8(document).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

const CURSOR: &str = "sessions-ended";
const AT_ONCE: usize = 32;
const LOOK_EVERY: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);
