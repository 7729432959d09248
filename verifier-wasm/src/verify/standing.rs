//! The state of a token after its signature and its claims were checked.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::feed::{Among, Feed};
use crate::keys::KeyId;
use crate::snapshot::{Cutoff, Fingerprint, Uses};
use crate::token::claims::Claims;
use crate::verify::config::IssuerConfig;
use crate::verify::presentation::Binding;
use crate::verify::refusal::Refusal;
use crate::verify::selection::{Asked, Listed, Matched, Selected};

/// An admitted token, reduced to what time and the feed decide about.
///
/// It replaces the token while [`Verifier::is_current`](crate::Verifier::is_current) is true, and
/// is small: remembering it makes the next verdict on the same token a few look-ups.
#[derive(Debug, Clone)]
pub struct Standing {
    pub(crate) key: KeyId,
    pub(crate) generation: u32,
    pub(crate) user_version: Option<u64>,
    pub(crate) binding: Binding,
    expires_at: Option<u64>,
    issued_at: Option<u64>,
    leeway_seconds: u64,
    max_lifetime_seconds: u64,
    not_before: Option<u64>,
    selected: Selected,
    absent: Absent,
}

/// The [footing](Feed::footing) of a feed on which its base was found to revoke the token by
/// nothing; 0 for none. The base is not read again until it is replaced; deltas always are.
#[derive(Debug, Default)]
struct Absent(AtomicU64);

impl Clone for Absent {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

impl Standing {
    pub(crate) fn new(
        key: KeyId,
        rules: &IssuerConfig,
        claims: Claims<'_>,
        generation: u32,
    ) -> Self {
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
            binding: claims.binding,
            expires_at: claims.expires_at,
            issued_at: claims.issued_at,
            leeway_seconds: rules.leeway_seconds,
            max_lifetime_seconds: longest,
            not_before: claims.not_before.max(earliest),
            selected: claims.selected,
            absent: Absent::default(),
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
        // The feed has signed its epoch, so it has passed: a red button pressed on a fast clock
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

    /// The issuer's horizon: a token that lives longer could outlive its revocation, and so could a
    /// token without a known lifetime.
    pub(crate) fn check_horizon(&self, listed: &Listed) -> Result<(), Refusal> {
        if listed.horizons.is_empty() {
            return Ok(());
        }
        let issued_at = self.issued_at.ok_or(Refusal::MissingClaim("iat".into()))?;
        let exp = self.expires_at.ok_or(Refusal::MissingClaim("exp".into()))?;
        let seconds = exp.saturating_sub(issued_at);
        match listed.horizons.limit_at(issued_at) {
            Some(limit_seconds) if seconds > limit_seconds => {
                Err(Refusal::LifetimeTooLong { seconds, limit_seconds })
            }
            _ => Ok(()),
        }
    }

    /// Checks the epoch, the token, the session, the user and other claims, in this order.
    pub(crate) fn check_revocations(&self, feed: &Feed, listed: &Listed) -> Result<(), Refusal> {
        self.check_epoch(listed)?;
        let footing = feed.footing();
        let is_absent = self.absent.0.load(Ordering::Relaxed) == footing;
        let among = if is_absent { Among::Deltas } else { Among::All };
        if let Some((.., refusal)) = self.revocations(feed, among, listed).next() {
            return Err(refusal());
        }
        if !is_absent {
            self.absent.0.store(footing, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(crate) fn check_epoch(&self, listed: &Listed) -> Result<(), Refusal> {
        let epoch = listed.epoch;
        if epoch > 0 && self.issued_at.is_none_or(|issued_at| issued_at < epoch) {
            return Err(Refusal::RevokedEpoch { epoch });
        }
        Ok(())
    }

    /// The revocations that match the token, with the matching fingerprints.
    pub(crate) fn revocations<'a>(
        &'a self,
        feed: &'a Feed,
        among: Among,
        listed: &'a Listed,
    ) -> impl Iterator<Item = (Matched, Fingerprint, impl Fn() -> Refusal)> + 'a {
        listed.selectors.iter().enumerate().flat_map(move |(place, asked)| {
            let is_revoked = move |id: &Fingerprint| {
                (asked.uses.has(Uses::EXACT) && feed.holds_among(among, *id))
                    || (asked.uses.has(Uses::CUTOFF)
                        && feed
                            .cutoff_among(among, *id)
                            .is_some_and(|cutoff| self.is_before(cutoff)))
            };
            let found = self.selected.at(place).filter(is_revoked);
            found.map(move |id| (Matched::by(asked.uses), id, move || refusal(asked)))
        })
    }

    /// A token without `ver` counts as the first version, and one without `iat` as the oldest.
    fn is_before(&self, cutoff: Cutoff) -> bool {
        self.user_version.unwrap_or(0) < cutoff.minimum_version
            || self.issued_at.unwrap_or(0) < cutoff.not_before
    }
}

fn refusal(asked: &Asked) -> Refusal {
    match Matched::by(asked.uses) {
        Matched::Claims => Refusal::RevokedClaims { selector: asked.selector.to_string() },
        Matched::Session => Refusal::RevokedSession,
        Matched::Token => Refusal::RevokedToken,
        Matched::User => Refusal::RevokedUser,
    }
}
