//! Tokens whose holders are still connected.

use std::sync::Arc;
use std::time::Duration;

use offswitch_verifier::{Refusal, Staleness};
use tokio::sync::watch;

use crate::presentation::Presentation;
use crate::verdict::{Decision, Undecided};
use crate::verifier::{Inner, Verifier};

/// Watches a token that was shown when a connection was opened: [`Verifier::watch`] makes it.
///
/// It is judged again with each snapshot, and each second or more: a token ends, and a feed that is cut off goes
/// stale, without any news.
pub struct Watch {
    verifier: Verifier,
    token: Box<str>,
    changes: watch::Receiver<u64>,
    is_undecided: bool,
}

/// What has become of a watched token.
#[derive(Debug, Clone, PartialEq)]
pub enum Watched {
    /// It must not be honoured any more: close what it has opened.
    Refused(Refusal),
    /// The feed has become too old to decide: the token may have been revoked meanwhile.
    Undecided(Undecided),
}

impl Watch {
    pub(crate) fn new(verifier: Verifier, token: &str) -> Self {
        let changes = verifier.inner().shelf.changes();
        verifier.inner().watched(1);
        Self { verifier, token: token.into(), changes, is_undecided: false }
    }

    /// Waits until the token is refused, or has become undecidable. After a refusal it answers with the refusal
    /// immediately.
    ///
    /// It may be dropped at any point, as in `tokio::select!`, and called again.
    pub async fn changed(&mut self) -> Watched {
        loop {
            self.changes.mark_unchanged();
            let was_undecided = self.is_undecided;
            self.is_undecided = false;
            match self.look() {
                Decision::Refused(refusal) => return Watched::Refused(refusal),
                Decision::Undecided(undecided) => {
                    self.is_undecided = true;
                    if !was_undecided {
                        return Watched::Undecided(undecided);
                    }
                }
                Decision::Valid(_) => {}
            }
            // Its end and the age of the feed need no news.
            drop(tokio::time::timeout(LOOK_EVERY, self.changes.changed()).await);
        }
    }

    /// Waits until the token is refused.
    pub async fn refused(&mut self) -> Refusal {
        loop {
            if let Watched::Refused(refusal) = self.changed().await {
                return refusal;
            }
        }
    }

    fn look(&self) -> Decision {
        let inner: &Arc<Inner> = self.verifier.inner();
        let judged = inner.engine.judge(&self.token, Presentation::NotShown, Staleness::Configured);
        inner.keys.doubted_now(&self.token, judged).verdict.decision
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.verifier.inner().watched(-1);
    }
}

/// Within the leeway a token that has ended is still good.
const LOOK_EVERY: Duration = Duration::from_secs(1);
