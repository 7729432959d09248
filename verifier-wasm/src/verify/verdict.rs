//! The answer of the verifier.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::snapshot::Position;
use crate::token::claims::VerifiedClaims;
use crate::verify::refusal::{Objection, Refusal, Undecided};

/// The answer to "is this token valid now", with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// The answer itself.
    #[serde(flatten)]
    pub decision: Decision,
    /// The freshness of the revocations behind it.
    pub evidence: Evidence,
}

impl Verdict {
    /// True only for [`Decision::Valid`].
    pub fn is_valid(&self) -> bool {
        matches!(self.decision, Decision::Valid(_))
    }

    /// The stable code string, the same in Rust, JavaScript, HTTP and logs.
    pub fn code(&self) -> &'static str {
        self.decision.code()
    }
}

/// Valid, refused or undecided; undecided is a separate answer (HTTP 503, never 200 or 401).
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// The token must not be accepted (HTTP 401).
    Refused(Refusal),
    /// It cannot be decided now (HTTP 503 with Retry-After).
    Undecided(Undecided),
    /// The token is valid now.
    Valid(Box<VerifiedClaims>),
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

    /// Which of the three answers it is.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Undecided(_) => "undecided",
            Self::Valid(_) => "valid",
        }
    }
}

impl Serialize for Decision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("outcome", self.outcome())?;
        map.serialize_entry("code", self.code())?;
        match self {
            Self::Refused(refusal) => map.serialize_entry("detail", &refusal.to_string())?,
            Self::Undecided(undecided) => map.serialize_entry("detail", &undecided.to_string())?,
            Self::Valid(claims) => match RawValue::from_string(claims.text().to_owned()) {
                // As they were signed: reading and writing them would change large numbers.
                Ok(text) => map.serialize_entry("claims", &text)?,
                Err(_) => map.serialize_entry("claims", &claims.payload())?,
            },
        }
        map.end()
    }
}

impl From<Objection> for Decision {
    fn from(objection: Objection) -> Self {
        match objection {
            Objection::Refused(refusal) => Self::Refused(refusal),
            Objection::Undecided(undecided) => Self::Undecided(undecided),
        }
    }
}

/// Position and age of the revocations behind a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Evidence {
    /// The position reached, if any snapshot was applied.
    pub position: Option<Position>,
    /// Seconds since the newest signed statement of the feed.
    pub age_seconds: Option<u64>,
}
