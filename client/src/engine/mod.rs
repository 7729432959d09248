//! What judges: the verifier, the tokens seen before, and the proofs that were shown. It does no I/O.
//!
//! Verdicts are given on any thread and do not wait for each other. They wait for one thing: a snapshot that is
//! put into force, which is checked before that.

mod proofs;
mod seen;

use std::sync::{Arc, PoisonError};

use crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard, ShardedLockWriteGuard};
use offswitch_verifier::snapshot::{Position, Snapshot};
use offswitch_verifier::{
    Applied, ApplyError, Evidence, FeedTrust, Jws, KeySet, Objection, Refusal, Staleness, Standing,
    Step, VerifiedClaims, Verifier,
};

use crate::claims::Claims;
use crate::clock::{Clock, Moment};
use crate::presentation::Presentation;
use crate::verdict::{Decision, Verdict};
use proofs::Proofs;
use seen::{Seen, SeenTokens};

/// Judges tokens.
pub(crate) struct Engine {
    clock: Clock,
    verifier: ShardedLock<Verifier>,
    trust: FeedTrust,
    seen: SeenTokens,
    proofs: Proofs,
}

/// A verdict, and what else the token has shown.
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    /// True if the feed has gone on beyond what is held: the token belongs to a session that was opened later.
    pub(crate) is_behind: bool,
}

/// What came of a snapshot.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) applied: Applied,
    /// True if it ends before what is held.
    pub(crate) is_behind: bool,
    /// The position from which to ask for more; none where a base is wanted.
    pub(crate) since: Option<Position>,
}

impl Engine {
    pub(crate) fn new(verifier: Verifier, remembered_tokens: usize, clock: Clock) -> Self {
        let trust = verifier.feed().trust().clone();
        let (seen, proofs) = (SeenTokens::new(remembered_tokens), Proofs::default());
        Self { clock, verifier: ShardedLock::new(verifier), trust, seen, proofs }
    }

    /// Judges a token now. The verdict itself is never remembered.
    pub(crate) fn judge(
        &self,
        token: &str,
        presentation: Presentation<'_>,
        staleness: Staleness,
    ) -> Judged {
        let now = self.clock.now();
        let verifier = self.read(now);
        let known = self.seen.find(token).filter(|seen| verifier.is_current(&seen.standing));
        let (seen, is_new) = match known {
            Some(seen) => (seen, false),
            None => match admit(&verifier, token) {
                Ok((standing, claims)) => {
                    (Arc::new(Seen { standing, claims: Claims::new(claims) }), true)
                }
                Err(refusal) => return judged(&verifier, Decision::Refused(refusal), now, false),
            },
        };
        let is_behind = verifier.is_behind(&seen.standing);
        let found = self.conclude(&verifier, token, &seen.standing, presentation, staleness, now);
        let decision = match found {
            Ok(()) => Decision::Valid(seen.claims.clone()),
            Err(objection) => objection.into(),
        };
        let judged = judged(&verifier, decision, now, is_behind);
        drop(verifier);
        if is_new && judged.verdict.is_valid() {
            self.seen.remember(token, seen);
        }
        judged
    }

    fn conclude(
        &self,
        verifier: &Verifier,
        token: &str,
        standing: &Standing,
        presentation: Presentation<'_>,
        staleness: Staleness,
        now: Moment,
    ) -> Result<(), Objection> {
        let judge = |shown: offswitch_verifier::Presentation<'_>| {
            verifier.judge(standing, shown, now.unix, staleness)
        };
        match presentation {
            Presentation::Bearer => judge(offswitch_verifier::Presentation::Bearer),
            Presentation::NotShown => judge(offswitch_verifier::Presentation::NotShown),
            Presentation::Dpop { proof, method, url } => {
                let request = offswitch_verifier::DpopRequest { token, proof, method, url };
                let mut memory = self.proofs.of(token);
                judge(offswitch_verifier::Presentation::Dpop(request, &mut memory))
            }
        }
    }

    /// The result of every check, in the order in which a verdict makes them: for people. The token is taken as
    /// a bearer token.
    pub(crate) fn explain(&self, token: &str) -> Vec<Step> {
        let now = self.clock.now();
        let shown = offswitch_verifier::Presentation::Bearer;
        self.read(now).explain(Jws::parse(token), shown, now.unix)
    }

    /// What shows that bytes are a snapshot of the feed.
    pub(crate) fn trust(&self) -> &FeedTrust {
        &self.trust
    }

    /// Puts a snapshot into force; on an error the last good state stays.
    pub(crate) fn take(&self, snapshot: Snapshot) -> Result<Taken, ApplyError> {
        let now = self.clock.now();
        let mut verifier = self.write();
        verifier.feed().tick(now.uptime);
        let applied = verifier.take(snapshot, now.unix)?;
        let feed = verifier.feed();
        Ok(Taken { applied, is_behind: feed.is_last_behind(), since: feed.since() })
    }

    /// Trusts nothing older than the end of this snapshot any more.
    pub(crate) fn resume(&self, snapshot: Vec<u8>) -> Result<(), ApplyError> {
        let now = self.clock.now();
        self.write().feed_mut().resume(snapshot, now.unix)
    }

    /// Takes over the keys of the `issuer`-th issuer.
    pub(crate) fn set_keys(&self, issuer: usize, keys: KeySet) {
        self.write().set_keys_of(issuer, keys);
    }

    /// The position from which to ask the feed for more; none where a base is wanted.
    pub(crate) fn since(&self) -> Option<Position> {
        self.read(self.clock.now()).feed().since()
    }

    /// What a verdict would be based on now.
    pub(crate) fn evidence(&self) -> Evidence {
        let now = self.clock.now();
        self.read(now).evidence(now.unix)
    }

    /// Seconds from when the last snapshot was signed that was taken until now; negative where our clock is behind.
    pub(crate) fn seconds_since_issued(&self) -> f64 {
        let now = self.clock.now();
        let issued_at = self.read(now).feed().last_issued_at();
        signed_difference(now.unix, issued_at)
    }

    /// The newest position ever seen.
    pub(crate) fn floor(&self) -> Position {
        self.read(self.clock.now()).feed().floor().position
    }

    pub(crate) fn remembered(&self) -> usize {
        self.seen.len()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    fn read(&self, now: Moment) -> ShardedLockReadGuard<'_, Verifier> {
        let verifier = self.verifier.read().unwrap_or_else(PoisonError::into_inner);
        verifier.feed().tick(now.uptime);
        verifier
    }

    fn write(&self) -> ShardedLockWriteGuard<'_, Verifier> {
        self.verifier.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn admit(verifier: &Verifier, token: &str) -> Result<(Standing, VerifiedClaims), Refusal> {
    Jws::parse(token).and_then(|jws| verifier.admit(&jws))
}

fn judged(verifier: &Verifier, decision: Decision, now: Moment, is_behind: bool) -> Judged {
    let verdict = Verdict { decision, evidence: verifier.evidence(now.unix) };
    Judged { verdict, is_behind }
}

/// Whole seconds, which a float holds exactly.
fn signed_difference(now: u64, then: u64) -> f64 {
    let small = |seconds: u64| u32::try_from(seconds).map_or(f64::INFINITY, f64::from);
    if now >= then { small(now - then) } else { -small(then - now) }
}
