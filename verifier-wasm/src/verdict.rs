//! What the verifier answers, and the one place that makes the code strings.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::claims::VerifiedClaims;
use crate::snapshot::Position;

/// The answer to "is this token good now", with what it was based on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// The answer itself.
    #[serde(flatten)]
    pub decision: Decision,
    /// How fresh the revocations were that it was based on.
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

/// Valid, refused or undecided; undecided is neither of the others (HTTP 503, never 200 or 401).
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// The token must not be honoured (HTTP 401).
    Refused(Refusal),
    /// It cannot be decided now (HTTP 503 with Retry-After).
    Undecided(Undecided),
    /// The token is good now.
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
            Self::Valid(claims) => map.serialize_entry("claims", &claims.payload())?,
        }
        map.end()
    }
}

/// Why a token whose signature and claims hold is not valid now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// It must not be honoured.
    Refused(Refusal),
    /// It cannot be decided.
    Undecided(Undecided),
}

impl From<Refusal> for Objection {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Undecided> for Objection {
    fn from(undecided: Undecided) -> Self {
        Self::Undecided(undecided)
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

/// Position and age of the revocations that were consulted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Evidence {
    /// The position reached, if any snapshot was applied.
    pub position: Option<Position>,
    /// Seconds since the newest signed statement of the feed.
    pub age_seconds: Option<u64>,
}

/// Why a token must not be honoured. Carries evidence, never the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The signature does not fit the key.
    BadSignature,
    /// `exp` plus leeway has passed.
    Expired {
        /// The token's `exp`, unix seconds.
        exp: u64,
        /// When it was judged, unix seconds.
        now: u64,
    },
    /// Not a well-formed signed token, or a claim has the wrong type.
    Malformed(&'static str),
    /// A claim that the issuer's configuration requires is absent.
    MissingClaim(&'static str),
    /// `nbf` or `iat` minus leeway is still to come.
    NotYetValid {
        /// The later of `nbf` and `iat`, unix seconds.
        from: u64,
        /// When it was judged, unix seconds.
        now: u64,
    },
    /// Issued before the epoch of the last red button.
    RevokedEpoch {
        /// The epoch, unix seconds.
        epoch: u64,
    },
    /// Signed with a key that was declared dead.
    RevokedKey,
    /// The token's session was revoked.
    RevokedSession,
    /// The token itself was revoked.
    RevokedToken,
    /// The user was logged out everywhere after this token was issued.
    RevokedUser,
    /// No key of that name is trusted.
    UnknownKey,
    /// The algorithm is not supported, not allowed here, or not the key's.
    UnsupportedAlgorithm,
    /// `aud` names none of the expected audiences.
    WrongAudience,
    /// `iss` is not the issuer that the key belongs to.
    WrongIssuer,
    /// `typ` is none of the expected types.
    WrongType,
}

impl Refusal {
    /// The stable code string.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadSignature => "bad_signature",
            Self::Expired { .. } => "expired",
            Self::Malformed(_) => "malformed",
            Self::MissingClaim(_) => "missing_claim",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::RevokedEpoch { .. } => "revoked_epoch",
            Self::RevokedKey => "revoked_key",
            Self::RevokedSession => "revoked_session",
            Self::RevokedToken => "revoked_token",
            Self::RevokedUser => "revoked_user",
            Self::UnknownKey => "unknown_key",
            Self::UnsupportedAlgorithm => "unsupported_algorithm",
            Self::WrongAudience => "wrong_audience",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongType => "wrong_type",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadSignature => formatter.write_str("the signature does not fit the key"),
            Self::Expired { exp, now } => write!(formatter, "expired at {exp}, judged at {now}"),
            Self::Malformed(what) => formatter.write_str(what),
            Self::MissingClaim(claim) => write!(formatter, "the claim {claim} is missing"),
            Self::NotYetValid { from, now } => {
                write!(formatter, "valid from {from}, judged at {now}")
            }
            Self::RevokedEpoch { epoch } => write!(formatter, "issued before epoch {epoch}"),
            Self::RevokedKey => formatter.write_str("the signing key is dead"),
            Self::RevokedSession => formatter.write_str("the session was revoked"),
            Self::RevokedToken => formatter.write_str("the token was revoked"),
            Self::RevokedUser => formatter.write_str("the user was logged out everywhere"),
            Self::UnknownKey => formatter.write_str("no such key is trusted"),
            Self::UnsupportedAlgorithm => formatter.write_str("the algorithm is not accepted here"),
            Self::WrongAudience => formatter.write_str("the token is for another audience"),
            Self::WrongIssuer => formatter.write_str("the token is of another issuer"),
            Self::WrongType => formatter.write_str("the token is of another type"),
        }
    }
}

/// Why nothing can be decided now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecided {
    /// The feed showed two contents for one position.
    FeedFork,
    /// No snapshot was applied yet, or none that reaches the floor.
    NoSnapshot,
    /// The newest statement of the feed is too old.
    StaleSnapshot {
        /// Its age in seconds.
        age_seconds: u64,
    },
}

impl Undecided {
    /// The stable code string.
    pub fn code(self) -> &'static str {
        match self {
            Self::FeedFork => "feed_fork",
            Self::NoSnapshot => "no_snapshot",
            Self::StaleSnapshot { .. } => "stale_snapshot",
        }
    }
}

impl fmt::Display for Undecided {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FeedFork => formatter.write_str("the feed contradicts itself"),
            Self::NoSnapshot => formatter.write_str("no snapshot of the feed was applied yet"),
            Self::StaleSnapshot { age_seconds } => {
                write!(formatter, "the feed was last heard of {age_seconds} s ago")
            }
        }
    }
}
