//! Refreshes: a refresh token is good once, and a used one that comes back ends its session.

use offswitch_core::record::OWN_ACT;
use offswitch_core::session::{Grant, Rotation, Session, SessionId, UserSessions};

use super::stored::Basis;
use super::{Sessions, TokenPair};
use crate::credential::{Credential, CredentialKind};
use crate::plane::PlaneError;

/// The outcome of a refresh.
#[derive(Debug)]
pub enum Refreshed {
    /// New tokens.
    Issued(TokenPair),
    /// No tokens.
    Refused(RefreshRefusal),
}

/// Why a refresh is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshRefusal {
    /// The session has ended, has expired or is unknown.
    SessionEnded,
    /// The store has lost the session.
    SessionLost,
    /// The token was used before: the session is revoked now.
    TokenReused,
    /// The session is bound to another client.
    WrongClient,
    /// The scope asked for goes beyond the session's.
    WrongScope,
}

impl RefreshRefusal {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::SessionEnded => "session_ended",
            Self::SessionLost => "session_lost",
            Self::TokenReused => "refresh_token_reused",
            Self::WrongClient => "wrong_client",
            Self::WrongScope => "wrong_scope",
        }
    }
}

impl Sessions {
    /// Exchanges a refresh token for an access token and the next refresh token.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`]. It may then be unknown whether the token was used; presenting it again
    /// is the right reaction.
    pub async fn refresh(
        &self,
        token: Credential,
        client_id: Option<&str>,
        scope: Option<&str>,
        now: u64,
    ) -> Result<Refreshed, PlaneError> {
        let outage = self.log.outage();
        let rotate = |sessions: &mut UserSessions, _| {
            let session = sessions.find(token.session).ok_or(RefreshRefusal::SessionLost)?;
            if self.folded.is_over(session) {
                return Err(RefreshRefusal::SessionEnded);
            }
            let Grant { client_id: owner, client_bound, scope: granted, .. } = &session.grant;
            if !client_id.map_or(!client_bound, |client| client == owner) {
                return Err(RefreshRefusal::WrongClient);
            }
            if scope.is_some_and(|scope| !is_within(scope, granted.as_deref())) {
                return Err(RefreshRefusal::WrongScope);
            }
            let before = session.repeats;
            match session.rotate(token.number, now, &self.settings.lifetimes, outage) {
                Rotation::Over => Err(RefreshRefusal::SessionEnded),
                Rotation::Reused => Err(RefreshRefusal::TokenReused),
                Rotation::Repeated { generation } => {
                    let is_new = session.repeats != before;
                    Ok((session.clone(), generation, Some(is_new)))
                }
                Rotation::Rotated { generation } => Ok((session.clone(), generation, None)),
            }
        };
        let (session, number, repeated) =
            match self.change(token.session.user(), Basis::LogEnd, now, rotate).await? {
                Ok(rotated) => rotated,
                Err(RefreshRefusal::SessionLost) => {
                    let refusal = self.absent_session(token.session, now)?;
                    return Ok(Refreshed::Refused(refusal));
                }
                Err(refusal) => {
                    if refusal == RefreshRefusal::TokenReused {
                        self.stop_thief(token.session, now).await?;
                    }
                    return Ok(Refreshed::Refused(refusal));
                }
            };
        if let Some(is_newly_late) = repeated {
            note_repetition(&session, is_newly_late);
        }
        let issued = match self.issue(&session, scope, now).await {
            Err(PlaneError::SessionOver) => {
                return Ok(Refreshed::Refused(RefreshRefusal::SessionEnded));
            }
            issued => issued?,
        };
        let successor = Credential { session: session.id, number };
        let token = successor.text(CredentialKind::RefreshToken, &self.master);
        Ok(Refreshed::Issued(issued.with(token)))
    }

    /// The session of a genuine refresh token, if a refresh with the token would succeed now.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn peek_refresh(
        &self,
        token: Credential,
        now: u64,
    ) -> Result<Option<Session>, PlaneError> {
        self.log.catch_up().await?;
        let mut sessions = self.user_sessions(token.session.user()).await?;
        if sessions.find(token.session).is_none() {
            self.absent_session(token.session, now)?;
        }
        let Some(session) = self.living(&mut sessions, token.session, now) else {
            return Ok(None);
        };
        let before = session.clone();
        let lifetimes = &self.settings.lifetimes;
        let rotation = session.rotate(token.number, now, lifetimes, self.log.outage());
        let is_good = matches!(rotation, Rotation::Rotated { .. } | Rotation::Repeated { .. });
        Ok(is_good.then_some(before))
    }

    /// Handles a used refresh token that was presented again. The log comes first: once the record
    /// is durable, the session has ended everywhere, including its access tokens. The client gets
    /// no response before.
    async fn stop_thief(&self, session: SessionId, now: u64) -> Result<(), PlaneError> {
        self.end_once(&[session], OWN_ACT, "a spent refresh token came back", now).await?;
        metrics::counter!("offswitch_refresh_tokens_reused_total").increment(1);
        tracing::warn!(%session, "a spent refresh token came back: the session is revoked");
        Ok(())
    }
}

/// Counts a used token that was presented again, and logs it if it came late.
fn note_repetition(session: &Session, is_newly_late: bool) {
    let timing = if is_newly_late { "late" } else { "race" };
    metrics::counter!("offswitch_refresh_repetitions_total", "timing" => timing).increment(1);
    if is_newly_late {
        let (session, in_a_row) = (session.id, session.repeats.in_a_row);
        tracing::info!(%session, in_a_row, "a spent refresh token came back late");
    }
}

/// RFC 6749 section 6: a refresh may request less than was granted, never more.
fn is_within(scope: &str, granted: Option<&str>) -> bool {
    let granted: Vec<&str> = granted.unwrap_or_default().split(' ').collect();
    scope.split(' ').all(|name| granted.contains(&name))
}
