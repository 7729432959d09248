//! Why a token is valid or not: the result of every check, for people to read.
//!
//! The checks are those of [`Verifier::verify`], in its order, which stops at the first that fails;
//! here every check runs that can still run.

use crate::feed::Among;
use crate::keys::KeyId;
use crate::snapshot::Position;
use crate::token::claims::{Claims, NOT_AN_OBJECT};
use crate::token::jws::{Header, Jws};
use crate::verify::check::Check;
use crate::verify::presentation::Presentation;
use crate::verify::refusal::{Objection, Refusal, Undecided};
use crate::verify::selection::Matched;
use crate::verify::standing::Standing;
use crate::verify::{Staleness, Verifier, rules};

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The check.
    pub check: Check,
    /// Its result; `None` if an earlier check failed so that this one could not run.
    pub finding: Option<Result<(), Objection>>,
    /// The position at which the token was revoked at the latest.
    pub position: Option<Position>,
}

impl Verifier {
    /// The result of each check of a token, as parsed by [`Jws::parse`], at `now` (unix seconds).
    pub fn explain(
        &self,
        token: Result<Jws<'_>, Refusal>,
        presentation: Presentation<'_>,
        now: u64,
    ) -> Vec<Step> {
        let mut steps = Steps(vec![]);
        match token.and_then(|jws| Ok((jws.header().clone(), self.authenticate(&jws)?))) {
            Err(refusal) => steps.fail(before_claims(&refusal), refusal),
            Ok((header, (key, payload))) => {
                match self.explain_claims(&mut steps, &header, key, payload, now) {
                    Err(refusal) => steps.fail(Check::Claims, refusal),
                    Ok(standing) => self.explain_standing(&mut steps, &standing, presentation, now),
                }
            }
        }
        steps.complete()
    }

    /// Fails if the claims cannot be read.
    fn explain_claims(
        &self,
        steps: &mut Steps,
        header: &Header,
        key: KeyId,
        payload: Vec<u8>,
        now: u64,
    ) -> Result<Standing, Refusal> {
        let rules = self.rules(key, header)?;
        let text = String::from_utf8(payload).map_err(|_| NOT_AN_OBJECT)?;
        let claims = Claims::parse(&text, rules, self.listed_of(key))?;
        steps.reach(Check::Type);
        steps.add(Check::Type, rules::check_type(rules, header.typ()));
        steps.add(Check::Issuer, self.check_issuer(rules, header, &claims));
        steps.add(Check::Audience, rules::check_audience(rules, &claims));
        steps.add(Check::RequiredClaims, self.check_required(key, &claims));
        let lifetime = rules::check_lifetime(rules, &claims).map_err(Objection::from);
        let standing = Standing::new(key, rules, claims, self.generation());
        let lifetime = lifetime.and_then(|()| Ok(standing.check_horizon(self.listed_of(key))?));
        steps.add(Check::Expiry, lifetime.and_then(|()| self.check_end(&standing, now)));
        Ok(standing)
    }

    fn explain_standing(
        &self,
        steps: &mut Steps,
        standing: &Standing,
        mut presentation: Presentation<'_>,
        now: u64,
    ) {
        let feed = self.feed();
        steps.add(Check::Start, self.check_start(standing, now));
        // Without a snapshot it is unknown whether the token is revoked.
        let known = || feed.position().map(drop).ok_or(Objection::from(Undecided::NoSnapshot));
        let listed = self.listed(standing);
        let rules = [
            (Check::RevokedKey, self.check_key(standing)),
            (Check::Epoch, standing.check_epoch(listed)),
        ];
        for (check, found) in rules {
            steps.add(check, known().and_then(|()| found.map_err(Objection::from)));
        }
        let selections = [
            (Check::Token, Matched::Token),
            (Check::Session, Matched::Session),
            (Check::User, Matched::User),
            (Check::Selectors, Matched::Claims),
        ];
        for (check, kind) in selections {
            let found = standing
                .revocations(feed, Among::All, listed)
                .find(|(matched, ..)| *matched == kind);
            let refusal = found.as_ref().map_or(Ok(()), |(.., refusal)| Err(refusal()));
            steps.add(check, known().and_then(|()| refusal.map_err(Objection::from)));
            if let (Some(step), Some((_, id, _))) = (steps.0.last_mut(), found) {
                step.position = feed.revoked_at(id);
            }
        }
        let shown = presentation.check(standing, self.dpop.max_age_seconds, now);
        steps.add(Check::Binding, shown.map(drop));
        let hesitation = self.hesitate(now, Staleness::Configured);
        steps.add(Check::Freshness, hesitation.map_or(Ok(()), Err));
    }
}

/// The results so far.
struct Steps(Vec<Step>);

impl Steps {
    fn add<E: Into<Objection>>(&mut self, check: Check, finding: Result<(), E>) {
        let finding = Some(finding.map_err(Into::into));
        self.0.push(Step { check, finding, position: None });
    }

    /// All checks before this one have passed.
    fn reach(&mut self, next: Check) {
        self.fill(Some(&Ok(())), |check| check < next);
    }

    fn fail(&mut self, check: Check, refusal: Refusal) {
        self.reach(check);
        self.add(check, Err::<(), _>(refusal));
    }

    /// The results, including the checks that could not run.
    fn complete(mut self) -> Vec<Step> {
        self.fill(None, |_| true);
        self.0
    }

    fn fill(&mut self, finding: Option<&Result<(), Objection>>, belongs: impl Fn(Check) -> bool) {
        let left = Check::ALL.into_iter().skip(self.0.len()).filter(|check| belongs(*check));
        let step = |check| Step { check, finding: finding.cloned(), position: None };
        self.0.extend(left.map(step));
    }
}

/// Which check refuses a token whose claims could not be read.
fn before_claims(refusal: &Refusal) -> Check {
    match refusal {
        Refusal::BadSignature => Check::Signature,
        Refusal::UnknownKey(_) => Check::Key,
        Refusal::UnsupportedAlgorithm(_) => Check::Algorithm,
        _ => Check::Format,
    }
}
