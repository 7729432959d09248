//! The checks that a verifier makes, by name.

/// The checks of a verifier, in this order.
#[expect(missing_docs, reason = "the names are the names of the checks")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    Format,
    Algorithm,
    Key,
    Signature,
    Claims,
    Type,
    Issuer,
    Audience,
    RequiredClaims,
    Expiry,
    Start,
    RevokedKey,
    Epoch,
    Token,
    Session,
    User,
    Selectors,
    Binding,
    Freshness,
}

impl Check {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 19] = [
        Self::Format,
        Self::Algorithm,
        Self::Key,
        Self::Signature,
        Self::Claims,
        Self::Type,
        Self::Issuer,
        Self::Audience,
        Self::RequiredClaims,
        Self::Expiry,
        Self::Start,
        Self::RevokedKey,
        Self::Epoch,
        Self::Token,
        Self::Session,
        Self::User,
        Self::Selectors,
        Self::Binding,
        Self::Freshness,
    ];

    /// Its name, the same everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Algorithm => "algorithm",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::Type => "type",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::RequiredClaims => "required_claims",
            Self::Expiry => "expiry",
            Self::Start => "start",
            Self::RevokedKey => "revoked_key",
            Self::Epoch => "epoch",
            Self::Token => "token",
            Self::Session => "session",
            Self::User => "user",
            Self::Selectors => "selectors",
            Self::Binding => "binding",
            Self::Freshness => "freshness",
        }
    }
}
