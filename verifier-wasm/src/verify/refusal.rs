//! Why a token is not valid, and the only place that defines the code strings.

use std::borrow::Cow;
use std::fmt;

use crate::verify::defect::Defect;

/// Why a token must not be accepted. Contains evidence, never the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The signature does not match the key.
    BadSignature,
    /// `exp` plus leeway has passed.
    Expired {
        /// The token's `exp`, unix seconds.
        exp: u64,
        /// When it was judged, unix seconds.
        now: u64,
    },
    /// The DPoP proof fails a check of RFC 9449 section 4.3.
    InvalidDpopProof(Box<Mismatch>),
    /// It lives longer than its revocation would be kept.
    LifetimeTooLong {
        /// From `iat`, or from now without it, to `exp`.
        seconds: u64,
        /// The limit of the issuer's rules.
        limit_seconds: u64,
    },
    /// Not a well-formed signed token.
    Malformed(Defect),
    /// A claim that the issuer's configuration requires is absent.
    MissingClaim(Cow<'static, str>),
    /// `nbf` or `iat` minus leeway is still to come.
    NotYetValid {
        /// The later of `nbf` and `iat`, unix seconds.
        from: u64,
        /// When it was judged, unix seconds.
        now: u64,
    },
    /// Claims of the token other than those of the token, its session or user were revoked.
    RevokedClaims {
        /// The claims, by their paths.
        selector: String,
    },
    /// Issued before the epoch of the issuer's last red button.
    RevokedEpoch {
        /// The epoch, unix seconds.
        epoch: u64,
    },
    /// Signed with a dead key.
    RevokedKey,
    /// The token's session was revoked.
    RevokedSession,
    /// The token itself was revoked.
    RevokedToken,
    /// The user was logged out everywhere after this token was issued.
    RevokedUser,
    /// It is bound to a key (`cnf`) and was presented as a bearer token.
    SenderConstrained,
    /// It was presented with a DPoP proof, and is not bound to a key.
    UnboundToken,
    /// No trusted key has this name.
    UnknownKey(Box<Mismatch>),
    /// The algorithm is not supported, not allowed here, or not the key's.
    UnsupportedAlgorithm(Box<Mismatch>),
    /// `aud` names none of the expected audiences.
    WrongAudience(Box<Mismatch>),
    /// A claim does not have a value that the issuer's configuration requires.
    WrongClaim(Box<Mismatch>),
    /// `iss` is not the issuer that the key belongs to.
    WrongIssuer(Box<Mismatch>),
    /// `typ` is not one of the expected types.
    WrongType(Box<Mismatch>),
}

impl From<Defect> for Refusal {
    fn from(defect: Defect) -> Self {
        Self::Malformed(defect)
    }
}

/// What was found and what was expected instead, for people; of the token only the one claim or
/// header member in question, bounded and escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The name of the claim or header member.
    pub name: Cow<'static, str>,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

impl Mismatch {
    #[cold]
    pub(crate) fn new(
        name: impl Into<Cow<'static, str>>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Box<Self> {
        Box::new(Self { name: name.into(), found: found.into(), expected: expected.into() })
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} is {}, expected {}", self.name, self.found, self.expected)
    }
}

impl Refusal {
    /// The stable code string.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadSignature => "bad_signature",
            Self::Expired { .. } => "expired",
            Self::InvalidDpopProof(_) => "invalid_dpop_proof",
            Self::LifetimeTooLong { .. } => "lifetime_too_long",
            Self::Malformed(_) => "malformed",
            Self::MissingClaim(_) => "missing_claim",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::RevokedClaims { .. } => "revoked_claims",
            Self::RevokedEpoch { .. } => "revoked_epoch",
            Self::RevokedKey => "revoked_key",
            Self::RevokedSession => "revoked_session",
            Self::RevokedToken => "revoked_token",
            Self::RevokedUser => "revoked_user",
            Self::SenderConstrained => "sender_constrained",
            Self::UnboundToken => "unbound_token",
            Self::UnknownKey(_) => "unknown_key",
            Self::UnsupportedAlgorithm(_) => "unsupported_algorithm",
            Self::WrongAudience(_) => "wrong_audience",
            Self::WrongClaim(_) => "wrong_claim",
            Self::WrongIssuer(_) => "wrong_issuer",
            Self::WrongType(_) => "wrong_type",
        }
    }

    /// The wrong claim, if there is one.
    pub fn claim(&self) -> Option<&str> {
        match self {
            Self::Expired { .. } => Some("exp"),
            Self::Malformed(Defect::Claim { name, .. }) => Some(name),
            Self::MissingClaim(name) => Some(name),
            Self::SenderConstrained | Self::UnboundToken => Some("cnf"),
            Self::WrongAudience(mismatch)
            | Self::WrongClaim(mismatch)
            | Self::WrongIssuer(mismatch) => Some(&mismatch.name),
            _ => None,
        }
    }

    #[cold]
    pub(crate) fn unsupported_algorithm(
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::UnsupportedAlgorithm(Mismatch::new("alg", found, expected))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadSignature => formatter.write_str("the signature does not match the key"),
            Self::Expired { exp, now } => write!(formatter, "exp is {exp}, the time is {now}"),
            Self::LifetimeTooLong { seconds, limit_seconds } => write!(
                formatter,
                "the token lives for {seconds} s, accepted are at most {limit_seconds} s (option \
                 maxLifetime or the issuer's horizon)"
            ),
            Self::Malformed(defect) => defect.fmt(formatter),
            Self::MissingClaim(claim) => write!(formatter, "the claim {claim} is missing"),
            Self::NotYetValid { from, now } => {
                write!(formatter, "the later of nbf and iat is {from}, the time is {now}")
            }
            Self::RevokedClaims { selector } => {
                write!(formatter, "tokens with its value of {selector} were revoked")
            }
            Self::RevokedEpoch { epoch } => {
                write!(formatter, "all tokens issued before {epoch} were revoked")
            }
            Self::RevokedKey => formatter.write_str("the key that signed the token was revoked"),
            Self::RevokedSession => formatter.write_str("the session was revoked"),
            Self::RevokedToken => formatter.write_str("the token was revoked"),
            Self::RevokedUser => {
                formatter.write_str("all tokens of the user issued until then were revoked")
            }
            Self::SenderConstrained => formatter.write_str(
                "the token is bound by its cnf, expected a DPoP proof of its key (cnf.jkt)",
            ),
            Self::UnboundToken => formatter.write_str(
                "the token is not bound to a key (cnf.jkt), expected it as a bearer token",
            ),
            Self::InvalidDpopProof(mismatch)
            | Self::UnknownKey(mismatch)
            | Self::UnsupportedAlgorithm(mismatch)
            | Self::WrongAudience(mismatch)
            | Self::WrongClaim(mismatch)
            | Self::WrongIssuer(mismatch)
            | Self::WrongType(mismatch) => mismatch.fmt(formatter),
        }
    }
}

/// Why nothing can be decided now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecided {
    /// The token is valid by one clock and not by the other: the verifier's is behind the feed's.
    ClockSkew {
        /// How far the feed's newest signed time is ahead, in seconds.
        behind_seconds: u64,
        /// The verifier's time, unix seconds.
        now: u64,
    },
    /// The feed showed two contents for one position.
    FeedFork,
    /// No snapshot was applied yet, or none that reaches the floor.
    NoSnapshot,
    /// There is no room to remember another DPoP proof.
    ReplayMemoryFull,
    /// The newest statement of the feed is too old.
    StaleSnapshot {
        /// Its age in seconds.
        age_seconds: u64,
        /// The largest allowed age, in seconds.
        limit_seconds: u64,
    },
}

impl Undecided {
    /// The stable code string.
    pub fn code(self) -> &'static str {
        match self {
            Self::ClockSkew { .. } => "clock_skew",
            Self::FeedFork => "feed_fork",
            Self::NoSnapshot => "no_snapshot",
            Self::ReplayMemoryFull => "replay_memory_full",
            Self::StaleSnapshot { .. } => "stale_snapshot",
        }
    }
}

impl fmt::Display for Undecided {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClockSkew { behind_seconds, now } => write!(
                formatter,
                "this verifier's clock ({now}) is {behind_seconds} s behind the control plane's, and \
                 the token is valid by only one of the two: check both clocks"
            ),
            Self::FeedFork => formatter.write_str(
                "the feed published two contents for one position; waiting for a newer base",
            ),
            Self::NoSnapshot => formatter.write_str(
                "no snapshot of the feed was applied yet, or none that reaches the newest position \
                 seen before",
            ),
            Self::ReplayMemoryFull => formatter.write_str(
                "as many DPoP proofs as can be remembered were accepted and may still be replayed",
            ),
            Self::StaleSnapshot { age_seconds, limit_seconds } => write!(
                formatter,
                "the newest snapshot is {age_seconds} s old, allowed are {limit_seconds} s"
            ),
        }
    }
}

/// Why a token with a valid signature and valid claims is not valid now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// It must not be accepted.
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
