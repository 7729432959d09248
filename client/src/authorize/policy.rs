//! What a route requires.

use std::fmt;

use offswitch_verifier::Staleness;

use crate::claims::Claims;

/// What a route requires of a request. By default: a token that is valid now, and nothing else.
///
/// ```
/// use offswitch_client::Policy;
///
/// let reports = Policy::new().scope("reports:read").claim("tenant", ["a", "b"]).max_staleness_seconds(5);
/// ```
#[derive(Debug, Clone)]
pub struct Policy {
    pub(super) scopes: Vec<String>,
    claims: Vec<(String, Vec<String>)>,
    pub(crate) staleness: Staleness,
    pub(super) anonymous: Anonymous,
    pub(super) when_undecided: WhenUndecided,
    pub(super) retry_jitter_seconds: u64,
}

/// Whether requests without a token go through. A request with a token that is not valid never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anonymous {
    /// They go through, without claims.
    Allow,
    /// They are refused.
    #[default]
    Deny,
}

/// What happens to a request about which nothing can be decided now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenUndecided {
    /// It is answered 503 with Retry-After.
    #[default]
    Deny,
    /// It goes through without claims, with the reason: for routes that can serve less.
    Pass,
}

impl Policy {
    /// A token that is valid now, and nothing else.
    pub fn new() -> Self {
        Self {
            scopes: vec![],
            claims: vec![],
            staleness: Staleness::Configured,
            anonymous: Anonymous::Deny,
            when_undecided: WhenUndecided::Deny,
            retry_jitter_seconds: RETRY_JITTER_SECONDS,
        }
    }

    /// A scope that the token must have, in `scope` or `scp`; else 403.
    ///
    /// # Panics
    ///
    /// If it is not a scope's name (RFC 6749 section 3.3): a route is made once, with a name of the code.
    #[must_use]
    pub fn scope(mut self, scope: &str) -> Self {
        assert!(is_scope(scope), "{scope:?} is not the name of a scope");
        self.scopes.push(scope.to_owned());
        self
    }

    /// A claim that must be one of these strings, or an array with one of them; else 403. Each call adds one.
    #[must_use]
    pub fn claim(
        mut self,
        name: &str,
        any_of: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.claims.push((name.to_owned(), any_of.into_iter().map(Into::into).collect()));
        self
    }

    /// How old the feed may be, in seconds. If it is older, tokens are undecided, also if the verifier allows more.
    #[must_use]
    pub fn max_staleness_seconds(mut self, seconds: u64) -> Self {
        self.staleness = Staleness::AtMost(seconds);
        self
    }

    /// Accepts what a snapshot of any age does not revoke.
    #[must_use]
    pub fn any_staleness(mut self) -> Self {
        self.staleness = Staleness::Any;
        self
    }

    /// Whether requests without a token go through. Default [`Anonymous::Deny`].
    #[must_use]
    pub fn anonymous(mut self, anonymous: Anonymous) -> Self {
        self.anonymous = anonymous;
        self
    }

    /// What happens when nothing can be decided. Default [`WhenUndecided::Deny`].
    #[must_use]
    pub fn when_undecided(mut self, when: WhenUndecided) -> Self {
        self.when_undecided = when;
        self
    }

    /// Seconds over which `Retry-After` spreads the clients' refreshes after a red button. Default 10.
    #[must_use]
    pub fn retry_jitter_seconds(mut self, seconds: u64) -> Self {
        self.retry_jitter_seconds = seconds;
        self
    }

    /// What of it a valid token lacks.
    pub(super) fn lacking(&self, claims: &Claims) -> Option<Lacking<'_>> {
        if !self.scopes.is_empty() {
            let given: Vec<&str> = claims.scopes().collect();
            let is_missing = |wanted: &&String| !given.contains(&wanted.as_str());
            let missing: Vec<&String> = self.scopes.iter().filter(is_missing).collect();
            if !missing.is_empty() {
                return Some(Lacking::Scopes(missing));
            }
        }
        let is_wrong = |(name, any_of): &&(String, Vec<String>)| match claims.get(name) {
            Some(serde_json::Value::String(one)) => !any_of.contains(one),
            Some(serde_json::Value::Array(many)) => !many
                .iter()
                .filter_map(|one| one.as_str())
                .any(|one| any_of.iter().any(|it| it == one)),
            _ => true,
        };
        self.claims.iter().find(is_wrong).map(|(name, any_of)| Lacking::Claim(name, any_of))
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}

/// What a valid token lacks.
pub(super) enum Lacking<'a> {
    Claim(&'a str, &'a [String]),
    Scopes(Vec<&'a String>),
}

impl fmt::Display for Lacking<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim(name, any_of) => {
                write!(formatter, "expected a token whose {name} is {}", any_of.join(" or "))
            }
            Self::Scopes(missing) => {
                let missing: Vec<&str> = missing.iter().map(|one| one.as_str()).collect();
                write!(formatter, "expected a token with the scope {}", missing.join(" "))
            }
        }
    }
}

/// RFC 6749 section 3.3.
fn is_scope(text: &str) -> bool {
    let is_allowed = |one: u8| matches!(one, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    !text.is_empty() && text.bytes().all(is_allowed)
}

const RETRY_JITTER_SECONDS: u64 = 10;
