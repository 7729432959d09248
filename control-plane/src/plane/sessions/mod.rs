//! Sessions: open, refresh, list, end. All rules are in [`offswitch_core::session`]; the store
//! compares and swaps what the rules decide.
//!
//! The log says which sessions have ended. Each change is decided at the log's end and written only
//! if the log still ends there, as one step of the store. So what any process acknowledged before
//! holds, and no logout can slip in between. `endings` carries the log's endings over to the stored
//! sessions.

mod endings;
mod handover;
mod issue;
mod named;
mod opening;
mod refreshing;
mod stored;

use std::sync::Arc;

use offswitch_core::limits::{LONGEST_ACCESS_TOKEN_SECONDS, REQUEST_MEMORY};
use offswitch_core::record::{Record, Revocation};
use offswitch_core::session::{Lifetimes, LostSessions, Session, SessionId, UserSessions};

use super::PlaneError;
use super::folded::Folded;
use super::log::{Log, Revoked};
use super::publish::Publisher;
use super::signing::SigningKeys;
use crate::audit;
use crate::credential::{Credential, CredentialKind};
use crate::master_key::MasterKey;
use crate::sealing::SealedStore;
use crate::store::Request;

pub use issue::{Issued, RESERVED_CLAIMS, TokenPair};
pub use named::{NamedSessions, Reach};
pub use opening::{Opened, SessionRequest};
pub use refreshing::{RefreshRefusal, Refreshed};
pub use stored::StoredSessions;

/// The settings of the sessions.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// The `aud` of the tokens, unless a session sets another.
    pub audience: String,
    /// How long an access token lives.
    pub access_token_seconds: u64,
    /// How long sessions live.
    pub lifetimes: Lifetimes,
    /// How to treat sessions that the store has lost.
    pub lost_sessions: LostSessions,
    /// How many sessions a user may have; the next login ends the one that was idle for longest.
    pub sessions_per_user: usize,
}

/// The stored sessions, and the tokens that are issued for them.
pub struct Sessions {
    settings: SessionSettings,
    issuer: String,
    store: Arc<SealedStore>,
    master: MasterKey,
    folded: Arc<Folded>,
    signing: Arc<SigningKeys>,
    publisher: Arc<Publisher>,
    log: Arc<Log>,
    /// One pass over the ended sessions at a time.
    ending: tokio::sync::Mutex<()>,
}

/// The refresh tokens of one session that are not accepted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// All of them.
    Revoked,
    /// All but the current one.
    Spent,
}

impl Sessions {
    pub(super) fn new(
        settings: SessionSettings,
        issuer: String,
        store: Arc<SealedStore>,
        master: MasterKey,
        folded: Arc<Folded>,
        log: Arc<Log>,
    ) -> Self {
        let publisher = log.publisher();
        Self {
            signing: publisher.signing(),
            publisher,
            settings,
            issuer,
            store,
            master,
            folded,
            log,
            ending: tokio::sync::Mutex::default(),
        }
    }

    /// How long an access token lives.
    pub(super) fn access_token_seconds(&self) -> u64 {
        self.settings.access_token_seconds
    }

    /// The genuine credential in `text`.
    pub fn credential(&self, text: &str, kind: CredentialKind) -> Option<Credential> {
        Credential::parse(text, kind, &self.master)
    }

    /// True if `session` is the id of a session of `sub`, whether or not it exists.
    pub fn is_of(&self, session: SessionId, sub: &str) -> bool {
        session.user() == self.master.user_key(sub)
    }

    /// When a session ends if it is not refreshed, unix seconds.
    pub fn expires_at(&self, session: &Session) -> u64 {
        session.expires_at(&self.settings.lifetimes)
    }

    /// Writes an event of a session to the audit log.
    pub fn audit(&self, event: &'static str, by: &str, session: SessionId) {
        audit::session(event, by, &session, &self.master);
    }

    /// The active sessions of `sub`, newest first.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn of_user(&self, sub: &str, now: u64) -> Result<Vec<Session>, PlaneError> {
        self.log.catch_up().await?;
        let mut sessions = self.user_sessions(self.master.user_key(sub)).await?.sessions;
        sessions.retain(|session| session.sub == sub && self.is_living(session, now));
        sessions.reverse();
        Ok(sessions)
    }

    /// The log entry that ends a session; kept until its last access token has expired.
    pub fn revocation(session: SessionId, now: u64) -> Revocation {
        let exp = now.saturating_add(LONGEST_ACCESS_TOKEN_SECONDS);
        Revocation::Session { issuer: None, sid: session.to_string(), exp }
    }

    /// Why a genuine credential names a session that is not in the store: the session has ended, or
    /// the store has lost it.
    ///
    /// # Errors
    ///
    /// [`PlaneError::SessionLost`] if the caller must answer that the session is unavailable.
    pub(super) fn absent_session(
        &self,
        session: SessionId,
        now: u64,
    ) -> Result<RefreshRefusal, PlaneError> {
        // The user and version are unknown, but the log may say that the session itself was ended.
        let is_over = self.folded.lock().is_session_over(&session.to_string(), "", u64::MAX);
        if is_over || !session.is_lost(self.log.lost_at(), now, &self.settings.lifetimes) {
            return Ok(RefreshRefusal::SessionEnded);
        }
        metrics::counter!("offswitch_lost_sessions_total").increment(1);
        tracing::warn!(%session, "the store has lost the session of a genuine credential");
        match self.settings.lost_sessions {
            LostSessions::Unavailable => Err(PlaneError::SessionLost),
            LostSessions::End => Ok(RefreshRefusal::SessionLost),
        }
    }

    /// Which refresh tokens of a session are not accepted at `now`, and until when one of them
    /// could otherwise be valid (unix seconds); none if that is none of them.
    pub fn denied(&self, session: &Session, now: u64) -> Option<(Denial, u64)> {
        let lifetimes = &self.settings.lifetimes;
        let until = session.absolute_end(lifetimes);
        let is_over = || self.folded.is_over(session);
        match session.ended {
            Some(_) if now < until => Some((Denial::Revoked, until)),
            None if is_over() => Some((Denial::Revoked, until)),
            None if session.is_live(now, lifetimes) && session.spent() > 0 => {
                Some((Denial::Spent, until))
            }
            _ => None,
        }
    }

    /// True while access tokens may be issued for the session.
    pub(super) fn is_living(&self, session: &Session, now: u64) -> bool {
        session.is_live(now, &self.settings.lifetimes) && !self.folded.is_over(session)
    }

    pub(super) fn living<'a>(
        &self,
        sessions: &'a mut UserSessions,
        id: SessionId,
        now: u64,
    ) -> Option<&'a mut Session> {
        sessions.find(id).filter(|session| self.is_living(session, now))
    }

    /// Ends `sessions` on behalf of `by`. Many callers may ask; the log gets one record.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`]; nothing is acknowledged then.
    pub async fn end_once(
        &self,
        sessions: &[SessionId],
        by: &str,
        reason: &str,
        now: u64,
    ) -> Result<Revoked, PlaneError> {
        let revocations = sessions.iter().map(|session| Self::revocation(*session, now)).collect();
        let names: Vec<String> = sessions.iter().map(ToString::to_string).collect();
        let digest = *blake3::hash(names.join(" ").as_bytes()).as_bytes();
        let id = format!("{by}:end:{}", blake3::Hash::from_bytes(digest).to_hex());
        let (by, reason) = (by.to_owned(), Some(reason.to_owned()));
        let record = Record { at: now, by, reason, revocations };
        self.log.revoke(&Request { id, digest, memory: REQUEST_MEMORY }, &record).await
    }
}
