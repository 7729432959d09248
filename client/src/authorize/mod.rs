//! Whether a request may go through, the same for every framework: a bearer token or one with a DPoP proof, its
//! verdict, and what the route requires.

mod policy;
mod problem;

use std::future::Future;

use http::{HeaderMap, HeaderName, header};
use offswitch_verifier::Staleness;

use crate::presentation::Presentation;
use crate::verdict::{Decision, Verdict};
use problem::Scheme;

pub use policy::{Anonymous, Policy, WhenUndecided};
pub use problem::Problem;

/// What a request says.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its headers, of which `Authorization` and `DPoP` are read.
    pub headers: &'a HeaderMap,
    /// Its method.
    pub method: &'a str,
    /// The URL that the client has asked for, for DPoP proofs; empty where that is not known.
    pub url: &'a str,
}

/// Whether a request may go through.
#[derive(Debug, Clone, PartialEq)]
pub enum Authorization {
    /// It is not allowed without a token, and the answer is ready; or its token is not valid, or does not go far enough.
    Denied {
        /// The answer.
        problem: Problem,
        /// The verdict on its token, if it had one.
        verdict: Option<Box<Verdict>>,
    },
    /// It may go through.
    Pass(Passed),
}

/// On what grounds a request goes through.
#[derive(Debug, Clone, PartialEq)]
pub enum Passed {
    /// It has no token, and needs none.
    Anonymous,
    /// Nothing could be decided about its token, and the route serves such requests.
    Undecided(Box<Verdict>),
    /// Its token is valid and has what the route requires.
    Verified(Box<Verdict>),
}

/// What judges tokens and requests: a [`Verifier`](crate::Verifier), or several that are [`Combined`](crate::Combined).
pub trait Judge: Clone + Send + Sync + 'static {
    /// As [`Verifier::check`](crate::Verifier::check).
    fn check(&self, token: &str, presentation: Presentation<'_>, staleness: Staleness) -> Verdict;

    /// As [`Verifier::verify`](crate::Verifier::verify).
    fn verify(
        &self,
        token: &str,
        presentation: Presentation<'_>,
        staleness: Staleness,
    ) -> impl Future<Output = Verdict> + Send;

    /// As [`verify`](Self::verify), where that has nothing to wait for.
    fn verify_now(
        &self,
        token: &str,
        presentation: Presentation<'_>,
        staleness: Staleness,
    ) -> Option<Verdict>;

    /// As [`Verifier::public_url`](crate::Verifier::public_url).
    fn public_url(&self) -> Option<&str>;

    /// Judges a request by its `Authorization` header (RFC 6750 section 2.1, RFC 9449 section 7.1).
    fn authorize(
        &self,
        asked: Asked<'_>,
        policy: &Policy,
    ) -> impl Future<Output = Authorization> + Send {
        async move {
            match Shown::of(asked.headers) {
                None => without_token(policy),
                Some(Err(problem)) => denied(problem, None),
                Some(Ok(shown)) => {
                    let presentation = shown.presentation(asked);
                    let verdict = self.verify(shown.token, presentation, policy.staleness).await;
                    concluded(verdict, shown.scheme, policy)
                }
            }
        }
    }

    /// As [`authorize`](Self::authorize), from memory alone: neither a key set nor the feed is asked.
    fn authorize_from_memory(&self, asked: Asked<'_>, policy: &Policy) -> Authorization {
        match Shown::of(asked.headers) {
            None => without_token(policy),
            Some(Err(problem)) => denied(problem, None),
            Some(Ok(shown)) => {
                let verdict = self.check(shown.token, shown.presentation(asked), policy.staleness);
                concluded(verdict, shown.scheme, policy)
            }
        }
    }

    /// As [`authorize`](Self::authorize), from memory alone. None where a key set or the feed should be asked
    /// first.
    fn authorize_now(&self, asked: Asked<'_>, policy: &Policy) -> Option<Authorization> {
        match Shown::of(asked.headers) {
            None => Some(without_token(policy)),
            Some(Err(problem)) => Some(denied(problem, None)),
            Some(Ok(shown)) => {
                let presentation = shown.presentation(asked);
                let verdict = self.verify_now(shown.token, presentation, policy.staleness)?;
                Some(concluded(verdict, shown.scheme, policy))
            }
        }
    }
}

/// A token as a request shows it.
struct Shown<'a> {
    scheme: Scheme,
    token: &'a str,
}

impl<'a> Shown<'a> {
    /// What follows the scheme and exactly one space, as it is: blanks of any other kind are part of what the
    /// verifier then finds malformed. None for any other scheme, or without a token.
    fn of(headers: &'a HeaderMap) -> Option<Result<Self, Problem>> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = values.next()?;
        if values.next().is_some() {
            return Some(Err(malformed("expected one header Authorization, found several")));
        }
        let Ok(text) = value.to_str() else {
            return Some(Err(malformed("the header Authorization is not visible ASCII")));
        };
        let (scheme, token) = text.split_once(' ')?;
        let scheme = match scheme {
            _ if scheme.eq_ignore_ascii_case("bearer") => Scheme::Bearer,
            _ if scheme.eq_ignore_ascii_case("dpop") => Scheme::Dpop,
            _ => return None,
        };
        Some(Ok(Self { scheme, token }))
    }

    fn presentation(&self, asked: Asked<'a>) -> Presentation<'a> {
        match self.scheme {
            Scheme::Bearer => Presentation::Bearer,
            Scheme::Dpop => {
                let (proof, url) = (proof_in(asked.headers), asked.url);
                Presentation::Dpop { proof, method: asked.method, url }
            }
        }
    }
}

/// The only `DPoP` header; several are as good as none (RFC 9449 section 4.3).
fn proof_in(headers: &HeaderMap) -> &str {
    let mut proofs = headers.get_all(DPOP).iter();
    match (proofs.next(), proofs.next()) {
        (Some(proof), None) => proof.to_str().unwrap_or_default(),
        _ => "",
    }
}

fn without_token(policy: &Policy) -> Authorization {
    match policy.anonymous {
        Anonymous::Allow => Authorization::Pass(Passed::Anonymous),
        Anonymous::Deny => denied(Problem::missing_token(), None),
    }
}

fn malformed(detail: &str) -> Problem {
    Problem::refusal("malformed", detail.to_owned(), Scheme::Bearer)
}

fn concluded(verdict: Verdict, scheme: Scheme, policy: &Policy) -> Authorization {
    match &verdict.decision {
        Decision::Valid(claims) => match policy.lacking(claims) {
            None => Authorization::Pass(Passed::Verified(verdict.into())),
            Some(lacking) => {
                let problem = Problem::insufficient(&policy.scopes, &lacking, scheme);
                denied(problem, Some(verdict))
            }
        },
        Decision::Undecided(_) if policy.when_undecided == WhenUndecided::Pass => {
            Authorization::Pass(Passed::Undecided(verdict.into()))
        }
        Decision::Refused(_) | Decision::Undecided(_) => {
            let problem = Problem::denial(&verdict, policy.retry_jitter_seconds, scheme);
            denied(problem, Some(verdict))
        }
    }
}

fn denied(problem: Problem, verdict: Option<Verdict>) -> Authorization {
    Authorization::Denied { problem, verdict: verdict.map(Into::into) }
}

const DPOP: HeaderName = HeaderName::from_static("dpop");
