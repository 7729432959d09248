//! The handover: the edge worker has a session's refresh credential, the browser has a cookie.

use offswitch_core::session::{Holder, Session, UserSessions};

use super::stored::Basis;
use super::{Issued, Sessions, TokenPair};
use crate::credential::{Credential, CredentialKind};
use crate::plane::PlaneError;

impl Sessions {
    /// Exchanges a one-time code for a handle and an access token; none if the code was used or has
    /// expired.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn redeem_code(
        &self,
        code: Credential,
        now: u64,
    ) -> Result<Option<TokenPair>, PlaneError> {
        let redeem = |sessions: &mut UserSessions, _| {
            let session = self.living(sessions, code.session, now)?;
            match session.holder {
                Holder::Offered { until } if now < until => session.holder = Holder::Edge,
                _ => return None,
            }
            Some(session.clone())
        };
        let Some(session) = self.change(code.session.user(), Basis::LogEnd, now, redeem).await?
        else {
            return Ok(None);
        };
        let handle = Credential { session: session.id, number: 0 };
        let handle = || handle.text(CredentialKind::HandoverHandle, &self.master);
        Ok(self.issue_living(&session, now).await?.map(|issued| issued.with(handle())))
    }

    /// A new access token for the edge worker that has `handle`; none if the session has ended.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn handover_token(
        &self,
        handle: Credential,
        now: u64,
    ) -> Result<Option<Issued>, PlaneError> {
        let touch = |sessions: &mut UserSessions, _| {
            let is_known = sessions.find(handle.session).is_some();
            let living = self.living(sessions, handle.session, now);
            let Some(session) = living else { return (is_known, None) };
            match session.holder {
                Holder::Client { .. } => return (is_known, None),
                // The handle is genuine: the store has lost that its code was redeemed.
                Holder::Edge | Holder::Offered { .. } => session.holder = Holder::Edge,
            }
            session.used_at = session.used_at.max(now);
            (is_known, Some(session.clone()))
        };
        match self.change(handle.session.user(), Basis::LogEnd, now, touch).await? {
            (_, Some(session)) => self.issue_living(&session, now).await,
            (true, None) => Ok(None),
            (false, None) => self.absent_session(handle.session, now).map(|_| None),
        }
    }

    /// An access token, or none if the session has ended meanwhile.
    async fn issue_living(
        &self,
        session: &Session,
        now: u64,
    ) -> Result<Option<Issued>, PlaneError> {
        match self.issue(session, None, now).await {
            Err(PlaneError::SessionOver) => Ok(None),
            issued => issued.map(Some),
        }
    }
}
