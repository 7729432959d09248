//! The answer to "is this token good now".

use std::fmt;

use offswitch_verifier::{Evidence, Objection, Refusal};

use crate::claims::Claims;

/// The answer, with what it was based on.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The answer itself.
    pub decision: Decision,
    /// How fresh the revocations were that it was based on.
    pub evidence: Evidence,
}

/// Valid, refused or undecided; undecided is neither of the others (HTTP 503, never 200 or 401).
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// The token must not be honoured (HTTP 401).
    Refused(Refusal),
    /// It cannot be decided now (HTTP 503 with Retry-After).
    Undecided(Undecided),
    /// The token is good now.
    Valid(Claims),
}

/// Why nothing can be decided now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undecided {
    /// Because of what the feed says, or does not say any more.
    Feed {
        /// What it is.
        why: offswitch_verifier::Undecided,
        /// What went wrong last when the feed was asked, if that explains it.
        last_failure: Option<String>,
    },
    /// It is not known whether the issuer has published the token's key.
    KeysUnavailable(String),
    /// The keys of the token's issuer were never fetched.
    NoKeys(String),
}

impl Verdict {
    /// True only for [`Decision::Valid`].
    pub fn is_valid(&self) -> bool {
        matches!(self.decision, Decision::Valid(_))
    }

    /// The claims of a valid token.
    pub fn claims(&self) -> Option<&Claims> {
        match &self.decision {
            Decision::Valid(claims) => Some(claims),
            Decision::Refused(_) | Decision::Undecided(_) => None,
        }
    }

    /// The stable code string, the same in Rust, JavaScript, HTTP and logs.
    pub fn code(&self) -> &'static str {
        self.decision.code()
    }
}

impl Decision {
    /// The stable code string.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Undecided(undecided) => undecided.code(),
            Self::Valid(_) => "valid",
        }
    }

    /// Which of the three answers it is: `refused`, `undecided` or `valid`.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Undecided(_) => "undecided",
            Self::Valid(_) => "valid",
        }
    }

    /// Why it is not valid, for people; empty for a valid token.
    pub fn detail(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.to_string(),
            Self::Undecided(undecided) => undecided.to_string(),
            Self::Valid(_) => String::new(),
        }
    }
}

impl From<Objection> for Decision {
    fn from(objection: Objection) -> Self {
        match objection {
            Objection::Refused(refusal) => Self::Refused(refusal),
            Objection::Undecided(why) => {
                Self::Undecided(Undecided::Feed { why, last_failure: None })
            }
        }
    }
}

impl Undecided {
    /// The stable code string.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Feed { why, .. } => why.code(),
            Self::KeysUnavailable(_) => "keys_unavailable",
            Self::NoKeys(_) => "no_keys",
        }
    }
}

impl fmt::Display for Undecided {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Feed { why, last_failure: None } => why.fmt(formatter),
            Self::Feed { why, last_failure: Some(failure) } => {
                write!(formatter, "{why}; the last failure: {failure}")
            }
            Self::KeysUnavailable(why) | Self::NoKeys(why) => {
                write!(formatter, "the issuer's keys are not known: {why}; try again later")
            }
        }
    }
}
