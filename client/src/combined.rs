//! One verifier over several feeds: for deployments with a control plane for each region, product or block of users
//! (cells). Each feed has a [`Verifier`] of its own, which nothing here changes.

use std::sync::Arc;

use offswitch_verifier::{Refusal, Staleness, Step};

use crate::authorize::Judge;
use crate::engine::Judged;
use crate::keys::issuer_of;
use crate::options::InvalidOptions;
use crate::presentation::Presentation;
use crate::verdict::{Decision, Verdict};
use crate::verifier::{Status, Verifier};
use crate::watch::Watch;

/// Judges like one verifier, over the feeds of several.
///
/// The key that fits a token names the issuer, and the issuer has its feed: if a feed is stale, the tokens of its
/// issuers are undecided, and no others. A clone is another handle on the same verifiers.
///
/// ```no_run
/// use offswitch_client::{Combined, Options, Presentation, Staleness, Verifier};
///
/// # async fn example(eu: Options, us: Options, token: &str) -> Result<(), offswitch_client::InvalidOptions> {
/// let (eu, us) = tokio::join!(Verifier::start(eu), Verifier::start(us));
/// let verifier = Combined::new([eu?, us?])?;
/// let verdict = verifier.verify(token, Presentation::Bearer, Staleness::Configured).await;
/// # drop(verdict);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Combined(Arc<[Member]>);

#[derive(Debug)]
struct Member {
    verifier: Verifier,
    /// No other member has one of them.
    issuers: Vec<String>,
}

impl Combined {
    /// Makes one verifier of several, each with its own feed, issuers and options.
    ///
    /// # Errors
    ///
    /// [`InvalidOptions`], if there is none, or if two of them have the same issuer.
    pub fn new(verifiers: impl IntoIterator<Item = Verifier>) -> Result<Self, InvalidOptions> {
        let member = |verifier: Verifier| {
            let keys = verifier.inner().keys.status();
            Member { verifier, issuers: keys.into_iter().map(|one| one.issuer).collect() }
        };
        let members: Arc<[Member]> = verifiers.into_iter().map(member).collect();
        let mut problems = vec![];
        if members.is_empty() {
            problems.push("verifiers must be at least one".to_owned());
        }
        for (at, one) in members.iter().enumerate() {
            for issuer in &one.issuers {
                let mut others = members.iter().take(at);
                if let Some(first) = others.position(|other| other.issuers.contains(issuer)) {
                    let text = format!("has the issuer {issuer:?}, as verifiers[{first}] has");
                    problems.push(format!("verifiers[{at}]: {text}"));
                }
            }
        }
        match problems.is_empty() {
            true => Ok(Self(members)),
            false => Err(InvalidOptions { problems }),
        }
    }

    /// The verifiers, in the order in which they were given.
    pub fn verifiers(&self) -> impl Iterator<Item = &Verifier> {
        self.0.iter().map(|member| &member.verifier)
    }

    /// As [`Verifier::check`].
    pub fn check(
        &self,
        token: &str,
        presentation: Presentation<'_>,
        staleness: Staleness,
    ) -> Verdict {
        let (verifier, judged) = self.judge(token, presentation, staleness);
        let inner = verifier.inner();
        inner.conclude(inner.keys.doubted_now(token, judged))
    }

    /// As [`Verifier::verify`]. Only the verifier whose verdict would be reported waits for keys or for its feed: one
    /// that is away does not delay the tokens of the others.
    pub async fn verify(
        &self,
        token: &str,
        presentation: Presentation<'_>,
        staleness: Staleness,
    ) -> Verdict {
        if let [only] = &*self.0 {
            return only.verifier.verify(token, presentation, staleness).await;
        }
        let (verifier, judged) = self.judge(token, presentation, staleness);
        // A proof is good once: what was valid is not judged again.
        match &judged.verdict.decision {
            Decision::Valid(_) => verifier.inner().conclude(judged),
            Decision::Refused(_) | Decision::Undecided(_) => {
                verifier.verify(token, presentation, staleness).await
            }
        }
    }

    /// The verifier that has the token's issuer: the one that finds the token valid, otherwise the one whose verdict
    /// is reported.
    pub fn verifier_of(&self, token: &str) -> &Verifier {
        self.judge(token, Presentation::NotShown, Staleness::Configured).0
    }

    /// As [`Verifier::watch`], by the verifier that has the token's issuer.
    pub fn watch(&self, token: &str) -> Watch {
        self.verifier_of(token).watch(token)
    }

    /// As [`Verifier::explain`], by the verifier that has the token's issuer.
    pub fn explain(&self, token: &str) -> Vec<Step> {
        self.verifier_of(token).explain(token)
    }

    /// As [`Verifier::public_url`], of the first one that has it.
    pub fn public_url(&self) -> Option<&str> {
        self.verifiers().find_map(Verifier::public_url)
    }

    /// True once all of them are ready.
    pub fn is_ready(&self) -> bool {
        self.verifiers().all(Verifier::is_ready)
    }

    /// The status of each, in the order in which they were given.
    pub fn status(&self) -> Vec<Status> {
        self.verifiers().map(Verifier::status).collect()
    }

    /// Asks each with the keys that it has: the verifier that finds the token valid, or the one whose verdict is
    /// reported.
    fn judge(
        &self,
        token: &str,
        presentation: Presentation<'_>,
        staleness: Staleness,
    ) -> (&Verifier, Judged) {
        let mut all = vec![];
        for verifier in self.verifiers() {
            let judged = verifier.inner().judge(token, presentation, staleness);
            if judged.verdict.is_valid() {
                return (verifier, judged);
            }
            all.push((verifier, judged));
        }
        let at = self.reported(token, &all);
        all.swap_remove(at)
    }

    /// Which verdict is reported on a token that no verifier finds valid: that of the one with the issuer that the
    /// token names, otherwise that of one whose key fits. Nothing has signed that name. It chooses what is reported,
    /// and nothing else.
    fn reported(&self, token: &str, all: &[(&Verifier, Judged)]) -> usize {
        let name = issuer_of(token);
        let named = name.and_then(|name| self.0.iter().position(|one| one.issuers.contains(&name)));
        let has_key = |(_, judged): &(&Verifier, Judged)| !is_keyless(&judged.verdict.decision);
        named.or_else(|| all.iter().position(has_key)).unwrap_or(0)
    }
}

impl Judge for Combined {
    fn check(&self, token: &str, presentation: Presentation<'_>, staleness: Staleness) -> Verdict {
        self.check(token, presentation, staleness)
    }

    async fn verify(
        &self,
        token: &str,
        presentation: Presentation<'_>,
        staleness: Staleness,
    ) -> Verdict {
        self.verify(token, presentation, staleness).await
    }

    fn verify_now(
        &self,
        token: &str,
        presentation: Presentation<'_>,
        staleness: Staleness,
    ) -> Option<Verdict> {
        if let [only] = &*self.0 {
            return only.verifier.verify_now(token, presentation, staleness);
        }
        let (verifier, judged) = self.judge(token, presentation, staleness);
        match &judged.verdict.decision {
            Decision::Valid(_) => Some(verifier.inner().conclude(judged)),
            Decision::Refused(_) | Decision::Undecided(_) => {
                verifier.verify_now(token, presentation, staleness)
            }
        }
    }

    fn public_url(&self) -> Option<&str> {
        self.public_url()
    }
}

/// The refusals of a verifier whose keys do not fit.
fn is_keyless(decision: &Decision) -> bool {
    match decision {
        Decision::Refused(refusal) => matches!(
            refusal,
            Refusal::BadSignature | Refusal::UnknownKey(_) | Refusal::UnsupportedAlgorithm(_)
        ),
        Decision::Undecided(_) | Decision::Valid(_) => false,
    }
}
