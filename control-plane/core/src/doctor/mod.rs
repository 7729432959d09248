//! What `offswitch doctor` concludes from what it has seen. No I/O here: answers, keys and times are
//! arguments.

mod relying_party;
mod sacrifice;
mod stream;
mod system;
mod token;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use relying_party::{SeenRelyingParty, relying_party};
pub use sacrifice::{edge_accepts, edge_refuses, revocation};
pub use stream::{SeenPolling, SeenStream, receiver_stream};
pub use system::{
    FeedSeen, Probe, api_key, clock, discovery, feed, issuer_named, key_set, public_address,
    readiness, receiver_events,
};
pub use token::{OwnRules, explained, horizon, id_claims, issuer_of_token, unverified_claims};

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The stable name of the check.
    pub check: &'static str,
    /// What was checked: the name of an issuer, or of a receiver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What came of it.
    pub result: Outcome,
    /// One sentence: what was found, and what to do.
    pub detail: String,
    /// The checks of the verifier, in its order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Explained>,
    /// How long it took, where that is what was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<u64>,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing could be checked.
    Skipped,
    /// As it should be.
    Ok,
    /// It works, but something will not, or not always.
    Warning,
    /// It does not work.
    Failed,
}

/// One check of the verifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// Its name.
    pub check: &'static str,
    /// Whether the token passed; absent where an earlier check left nothing to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed: Option<bool>,
    /// Why it did not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A registered issuer, as `GET /v1/issuers` describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RegisteredIssuer {
    /// Its name.
    pub name: String,
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// Where its discovery document is.
    pub discovery_uri: Option<String>,
    /// Where its key set is, if there is no discovery document.
    pub jwks_uri: Option<String>,
    /// The algorithms of its tokens.
    pub algorithms: Vec<String>,
    /// The claim that is the id of a token; empty if there is none.
    pub token_id_claim: String,
    /// The claim that is the id of a session; empty if there is none.
    pub session_id_claim: String,
    /// The claim that is the id of a user; empty if there is none.
    pub user_id_claim: String,
    /// What the answering process has seen of its receivers.
    #[serde(default)]
    pub receiver_status: Vec<SeenReceiver>,
}

/// A receiver, as `GET /v1/issuers` describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SeenReceiver {
    /// Its kind, which is the end of its path.
    pub receiver: String,
    /// How many requests were accepted that revoke something.
    pub accepted: u64,
    /// When the last one was accepted or acknowledged, unix seconds.
    pub accepted_at: Option<u64>,
    /// Why the last request failed that did.
    pub last_error: Option<SeenError>,
    /// What is known about its stream of events.
    pub stream: Option<SeenStream>,
    /// How polling goes, if its events are polled.
    pub polling: Option<SeenPolling>,
}

/// Why a request to a receiver failed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SeenError {
    /// When, unix seconds.
    pub at: u64,
    /// The stable code.
    pub code: String,
    /// In words.
    pub detail: String,
}

impl Finding {
    fn new(check: &'static str, result: Outcome, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { check, subject: None, result, detail, steps: vec![], milliseconds: None }
    }

    /// As it should be.
    pub fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self::new(check, Outcome::Ok, detail)
    }

    /// It works, but something will not, or not always.
    pub fn warning(check: &'static str, detail: impl Into<String>) -> Self {
        Self::new(check, Outcome::Warning, detail)
    }

    /// It does not work.
    pub fn failed(check: &'static str, detail: impl Into<String>) -> Self {
        Self::new(check, Outcome::Failed, detail)
    }

    /// It could not be checked.
    pub fn skipped(check: &'static str, detail: impl Into<String>) -> Self {
        Self::new(check, Outcome::Skipped, detail)
    }

    /// The same about `subject`.
    #[must_use]
    pub fn about(mut self, subject: &str) -> Self {
        self.subject = Some(subject.to_owned());
        self
    }
}

impl Outcome {
    /// What all findings together say; [`Outcome::Skipped`] if nothing but failures was found, since
    /// then nothing could be checked.
    pub fn of_all(findings: &[Finding]) -> Self {
        let worst = findings.iter().map(|one| one.result).max().unwrap_or(Self::Skipped);
        let is_seen = |one: &Finding| matches!(one.result, Self::Ok | Self::Warning);
        if findings.iter().any(is_seen) { worst } else { Self::Skipped }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Skipped => "skipped",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_counts_and_failures_alone_mean_that_nothing_could_be_checked() {
        let ok = Finding::ok("a", "");
        let (warning, failed) = (Finding::warning("b", ""), Finding::failed("c", ""));
        let skipped = Finding::skipped("d", "");
        for (findings, expected) in [
            (vec![], Outcome::Skipped),
            (vec![skipped.clone(), failed.clone()], Outcome::Skipped),
            (vec![ok.clone(), skipped.clone()], Outcome::Ok),
            (vec![warning.clone(), ok.clone()], Outcome::Warning),
            (vec![failed, warning, ok, skipped], Outcome::Failed),
        ] {
            assert_eq!(Outcome::of_all(&findings), expected, "{findings:?}");
        }
    }
}
