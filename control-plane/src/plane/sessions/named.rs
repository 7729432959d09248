//! The sessions that a revocation names, and how many a red button would reach.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use offswitch_core::limits::REQUEST_MEMORY;
use offswitch_core::record::{HOLDER, Record, Revocation};
use offswitch_core::revoking::{OwnToken, place_of_held};
use offswitch_core::session::{Session, SessionId};

use super::Sessions;
use crate::plane::PlaneError;
use crate::store::{Request, StoreError};

/// The sessions of this control plane that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedSessions {
    /// The index of the first revocation whose session does not exist.
    pub unknown: Option<usize>,
    /// How many of them are active, if that was counted.
    pub sessions: Option<u64>,
}

/// How many users, sessions and tokens a red button would affect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// Users with an active session.
    pub users: u64,
    /// Active sessions.
    pub sessions: u64,
    /// Sessions whose last access token has not expired.
    pub tokens: u64,
}

impl Sessions {
    /// Revokes a token for its holder (RFC 7009). Repeated requests make only one record in the
    /// log, and one session only a few: then the session is ended.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`]; nothing is acknowledged then.
    pub async fn revoke_held(&self, token: OwnToken, now: u64) -> Result<(), PlaneError> {
        let digest = *blake3::hash(token.jti.as_bytes()).as_bytes();
        let (place, sid) = (place_of_held(&digest), token.sid.clone());
        let id = format!("{HOLDER}:revoke:{}:{place}", blake3::hash(sid.as_bytes()).to_hex());
        let Ok(revocation) = token.check(now) else { return Ok(()) };
        let (by, reason) = (HOLDER.to_owned(), Some("RFC 7009".to_owned()));
        let record = Record { at: now, by, reason, revocations: vec![revocation] };
        match self.log.revoke(&Request { id, digest, memory: REQUEST_MEMORY }, &record).await {
            Err(PlaneError::Store(StoreError::RequestReused)) => {
                if let Ok(session) = sid.parse() {
                    self.end_once(&[session], HOLDER, "RFC 7009", now).await?;
                }
                Ok(())
            }
            revoked => revoked.map(drop),
        }
    }

    /// The sessions of this control plane that `revocations` name: the first that does not exist,
    /// and, for a small request, how many active ones it ends.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn named_by(
        &self,
        revocations: &[Revocation],
        now: u64,
    ) -> Result<NamedSessions, PlaneError> {
        let unknown = self.unknown_session(revocations).await?;
        if unknown.is_some() || revocations.len() > FEW_REVOCATIONS {
            return Ok(NamedSessions { unknown, sessions: None });
        }
        let mut active = HashSet::new();
        for revocation in revocations {
            let named = match revocation {
                Revocation::Refresh { sid, .. } | Revocation::Session { issuer: None, sid, .. } => {
                    sid.parse().ok().map(|id: SessionId| (id.user(), Some(id), None))
                }
                Revocation::User { issuer: None, sub, .. } => {
                    Some((self.master.user_key(sub), None, Some(sub)))
                }
                _ => None,
            };
            let Some((user, id, sub)) = named else { continue };
            let held = match self.user_sessions(user).await {
                Err(PlaneError::Store(StoreError::Altered(_) | StoreError::Damaged(_))) => continue,
                held => held?,
            };
            let is_named = |session: &&Session| {
                id.is_none_or(|id| session.id == id)
                    && sub.is_none_or(|sub| session.sub == *sub)
                    && self.is_living(session, now)
            };
            active.extend(held.sessions.iter().filter(is_named).map(|session| session.id));
        }
        let sessions = u64::try_from(active.len()).ok();
        Ok(NamedSessions { unknown, sessions })
    }

    /// The index of the first revocation that names a session which this control plane does not
    /// have and did not have recently.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn unknown_session(
        &self,
        revocations: &[Revocation],
    ) -> Result<Option<usize>, PlaneError> {
        let named = revocations.iter().enumerate().filter_map(|(place, one)| match one {
            Revocation::Session { issuer: None, sid, .. } => {
                Some((place, sid.parse::<SessionId>().ok()))
            }
            _ => None,
        });
        let named: Vec<(usize, Option<SessionId>)> = named.collect();
        let mut looked_up = stream::iter(named)
            .map(|(place, id)| async move {
                match id {
                    Some(id) => (place, self.has_session(id).await),
                    None => (place, Ok(false)),
                }
            })
            .buffered(LOOKED_UP_TOGETHER);
        while let Some((place, is_known)) = looked_up.next().await {
            if !is_known? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    async fn has_session(&self, id: SessionId) -> Result<bool, PlaneError> {
        match self.user_sessions(id.user()).await {
            // A recently revoked session may be forgotten already; revoking it again is harmless.
            Ok(mut held) => Ok(held.find(id).is_some()
                || self.folded.lock().is_session_over(&id.to_string(), "", u64::MAX)),
            // Its access tokens may be in use: a session that cannot be read can still be revoked.
            Err(PlaneError::Store(StoreError::Altered(_) | StoreError::Damaged(_))) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Counts the users with an active session at `now` by reading all sessions.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn reach(&self, now: u64) -> Result<Reach, PlaneError> {
        self.log.catch_up().await?;
        let (mut reach, mut cursor) = (Reach::default(), String::new());
        let (mut users, mut seen) = (HashSet::new(), HashSet::new());
        let access_token_seconds = self.settings.access_token_seconds;
        loop {
            let stored = self.stored(&cursor).await?;
            for session in stored.sessions.iter().filter(|one| self.is_living(one, now)) {
                // A scan may return a session twice.
                if seen.insert(session.id) {
                    reach.sessions += 1;
                    let expires_at = session.used_at.saturating_add(access_token_seconds);
                    reach.tokens += u64::from(expires_at > now);
                    reach.users += u64::from(users.insert(session.id.user()));
                }
            }
            let Some(next) = stored.next else { return Ok(reach) };
            cursor = next;
        }
    }
}

/// Up to this many revocations, the sessions that they end are counted.
const FEW_REVOCATIONS: usize = 100;
const LOOKED_UP_TOGETHER: usize = 32;
