//! What is left of a token once its signature and its claims were checked.

use std::borrow::Cow;

use crate::feed::Feed;
use crate::keys::KeyId;
use crate::snapshot::{Fingerprint, Kind, Salt};
use crate::token::claims::Claims;
use crate::verify::check::Check;
use crate::verify::config::IssuerConfig;
use crate::verify::refusal::Refusal;

/// An admitted token, reduced to what time and the feed decide about.
///
/// It is as good as the token as long as [`Verifier::is_current`](crate::Verifier::is_current) says
/// so, and small: remembering it makes the next verdict about the same token a few look-ups.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    pub(crate) key: KeyId,
    pub(crate) generation: u32,
    pub(crate) user_version: Option<u64>,
    expires_at: Option<u64>,
    issued_at: Option<u64>,
    leeway_seconds: u64,
    max_lifetime_seconds: u64,
    not_before: Option<u64>,
    session: Option<Fingerprint>,
    token: Option<Fingerprint>,
    user: Option<Fingerprint>,
}

impl Standing {
    pub(crate) fn new(
        key: KeyId,
        rules: &IssuerConfig,
        claims: &Claims<'_>,
        salt: Salt,
        generation: u32,
    ) -> Self {
        let fingerprint = |kind, id: &Option<Cow<'_, str>>| {
            id.as_deref().map(|id| Fingerprint::new(salt, kind, &rules.issuer, id))
        };
        // Without `iat` a token may be as old as its rules allow: it is good for that long before its
        // end, and for no longer.
        let longest = rules.max_lifetime_seconds;
        let earliest = match claims.issued_at {
            Some(_) => None,
            None => claims.expires_at.map(|exp| exp.saturating_sub(longest)),
        };
        Self {
            key,
            generation,
            user_version: claims.user_version,
            expires_at: claims.expires_at,
            issued_at: claims.issued_at,
            leeway_seconds: rules.leeway_seconds,
            max_lifetime_seconds: longest,
            not_before: claims.not_before.max(earliest),
            session: fingerprint(Kind::Session, &claims.session_id),
            token: fingerprint(Kind::Token, &claims.token_id),
            user: fingerprint(Kind::User, &claims.subject),
        }
    }

    pub(crate) fn check_end(&self, now: u64) -> Result<(), Refusal> {
        match self.expires_at {
            Some(exp) if now >= exp.saturating_add(self.leeway_seconds) => {
                Err(Refusal::Expired { exp, now })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn check_start(&self, epoch: u64, now: u64) -> Result<(), Refusal> {
        // The feed has signed that its epoch has come: a red button pressed on a clock that is fast
        // must not make every new login wait for ours.
        let issued_at = self.issued_at.filter(|issued_at| *issued_at > epoch);
        let from = self.not_before.max(issued_at).unwrap_or(0);
        if now.saturating_add(self.leeway_seconds) < from {
            return Err(self.too_early(from, now));
        }
        Ok(())
    }

    fn too_early(&self, from: u64, now: u64) -> Refusal {
        let seconds = self.expires_at.unwrap_or(0).saturating_sub(now);
        let limit_seconds = self.max_lifetime_seconds;
        let longest = limit_seconds.saturating_add(self.leeway_seconds);
        if self.issued_at.is_none() && seconds > longest {
            return Refusal::LifetimeTooLong { seconds, limit_seconds };
        }
        Refusal::NotYetValid { from, now }
    }

    /// Asks for the epoch, the token, the session and the user, in this order.
    pub(crate) fn check_revocations(&self, feed: &Feed) -> Result<(), Refusal> {
        self.check_epoch(feed)?;
        self.check_token(feed)?;
        self.check_session(feed)?;
        self.check_user(feed)
    }

    pub(crate) fn check_epoch(&self, feed: &Feed) -> Result<(), Refusal> {
        let epoch = feed.epoch();
        if epoch > 0 && self.issued_at.is_none_or(|issued_at| issued_at < epoch) {
            return Err(Refusal::RevokedEpoch { epoch });
        }
        Ok(())
    }

    pub(crate) fn check_token(&self, feed: &Feed) -> Result<(), Refusal> {
        let is_revoked = self.token.is_some_and(|token| feed.holds(token));
        if is_revoked { Err(Refusal::RevokedToken) } else { Ok(()) }
    }

    pub(crate) fn check_session(&self, feed: &Feed) -> Result<(), Refusal> {
        let is_revoked = self.session.is_some_and(|session| feed.holds(session));
        if is_revoked { Err(Refusal::RevokedSession) } else { Ok(()) }
    }

    pub(crate) fn check_user(&self, feed: &Feed) -> Result<(), Refusal> {
        let Some(floor) = self.user.and_then(|user| feed.floor_of(user)) else { return Ok(()) };
        let stands = match self.user_version {
            Some(version) => version >= floor.minimum_version,
            None => self.issued_at.is_some_and(|issued_at| issued_at >= floor.not_before),
        };
        if stands { Ok(()) } else { Err(Refusal::RevokedUser) }
    }

    /// Under which fingerprint the feed is asked in a check.
    pub(crate) fn id_of(&self, check: Check) -> Option<Fingerprint> {
        match check {
            Check::Session => self.session,
            Check::Token => self.token,
            Check::User => self.user,
            _ => None,
        }
    }
}
