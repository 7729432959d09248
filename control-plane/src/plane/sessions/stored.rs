//! The stored sessions: one document per user, which is read, changed and swapped.

use offswitch_core::session::{Session, USER_DOCUMENTS, UserKey, UserSessions};
use offswitch_snapshot::Position;

use super::Sessions;
use crate::master_key::random_bytes;
use crate::plane::PlaneError;
use crate::store::{Store, StoreError, Swapped};

/// Some of the stored sessions.
#[derive(Debug)]
pub struct StoredSessions {
    /// Unordered, but all sessions of a user are together.
    pub sessions: Vec<Session>,
    /// The cursor of the next sessions; absent after the last.
    pub next: Option<String>,
}

/// What must still hold when a decision about sessions is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Basis {
    /// The log ends at the same place: it has ended none of the sessions since.
    LogEnd,
    /// Nothing: the decision only ends sessions, so it cannot become wrong.
    Nothing,
}

impl Sessions {
    /// Some of the stored sessions, including ended ones, starting at `cursor` (empty at first).
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn stored(&self, cursor: &str) -> Result<StoredSessions, PlaneError> {
        let stretch = self.store.scan(USER_DOCUMENTS, cursor).await?;
        let mut sessions = Vec::new();
        for (name, bytes) in &stretch.documents {
            match decode(bytes) {
                Ok(found) => sessions.extend(found.sessions),
                Err(error) => tracing::error!(name, %error, "a document is passed over"),
            }
        }
        Ok(StoredSessions { sessions, next: stretch.next })
    }

    /// A user's sessions as they are stored.
    pub(super) async fn user_sessions(&self, user: UserKey) -> Result<UserSessions, PlaneError> {
        Ok(decode(&self.store.load(&document(user)).await?)?)
    }

    /// Reads a user's sessions, lets `decide` change them at the log's end, which it gets as an
    /// argument, and stores the outcome. Starts over if another process was faster, or if the log
    /// has grown and the decision depends on it.
    pub(super) async fn change<T>(
        &self,
        user: UserKey,
        basis: Basis,
        now: u64,
        decide: impl Fn(&mut UserSessions, Position) -> T,
    ) -> Result<T, PlaneError> {
        let rests_on_log = basis == Basis::LogEnd;
        let name = document(user);
        for _ in 0..ATTEMPTS {
            let end = self.folded.position();
            let held = self.store.load(&name).await?;
            let mut sessions = decode(&held)?;
            sessions.tidy(now, &self.settings.lifetimes);
            let outcome = decide(&mut sessions, end);
            if sessions.encode() == held {
                if rests_on_log {
                    self.log.catch_up().await?;
                }
                if !rests_on_log || self.folded.position() == end {
                    return Ok(outcome);
                }
                continue;
            }
            sessions.stamp = u64::from_le_bytes(random_bytes());
            let forget_at = sessions.forget_at(&self.settings.lifetimes);
            let wanted = sessions.encode();
            let at = rests_on_log.then_some(end);
            match self.store.swap_at(at, &name, &held, &wanted, forget_at).await? {
                Swapped::Written => return Ok(outcome),
                Swapped::Changed => {}
                Swapped::Moved => self.log.catch_up().await?,
            }
        }
        Err(busy())
    }
}

/// The error if other processes change the same sessions, or the log grows, too fast to decide.
pub(super) fn busy() -> PlaneError {
    StoreError::Unavailable("a user's sessions change too often".to_owned()).into()
}

/// The name of the document with a user's sessions.
fn document(user: UserKey) -> String {
    format!("{USER_DOCUMENTS}{user}")
}

/// Decodes a document with sessions.
fn decode(bytes: &[u8]) -> Result<UserSessions, StoreError> {
    let damaged = |_| StoreError::Damaged("a user's sessions cannot be read".to_owned());
    UserSessions::decode(bytes).map_err(damaged)
}

/// Whenever an attempt fails, another process's attempt has succeeded.
const ATTEMPTS: usize = 1000;
