//! What a change was about, as the log of revocations has it: ids and claims, but no token and no secret.

use offswitch_snapshot::ClaimValue;
use serde::Serialize;
use serde_json::{Map, Number, Value};

use crate::issuers::Claims;
use crate::record::Revocation;

/// One thing that a change was about. `issuer` is absent for the control plane's own tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the members are those of the API")]
pub enum Target<'a> {
    ApiKey {
        id: &'a str,
        scopes: &'a str,
    },
    Claims {
        #[serde(skip_serializing_if = "Option::is_none")]
        issuer: Option<&'a str>,
        claims: Map<String, Value>,
    },
    Epoch {
        #[serde(skip_serializing_if = "Option::is_none")]
        issuer: Option<&'a str>,
        epoch: u64,
    },
    FeedKey {
        id: &'a str,
    },
    Horizon {
        seconds: u64,
    },
    Issuer {
        issuer: &'a str,
        name: &'a str,
    },
    IssuerRemoved {
        name: &'a str,
    },
    Key {
        #[serde(skip_serializing_if = "Option::is_none")]
        issuer: Option<&'a str>,
        kid: &'a str,
    },
    MasterKey,
    /// The path of the request, which names what it is about.
    Path {
        path: &'a str,
    },
    Refresh {
        session_id: &'a str,
    },
    RelyingParty {
        name: &'a str,
    },
    Session {
        #[serde(skip_serializing_if = "Option::is_none")]
        issuer: Option<&'a str>,
        session_id: &'a str,
    },
    Sessions,
    Store {
        detail: &'a str,
    },
    Token {
        #[serde(skip_serializing_if = "Option::is_none")]
        issuer: Option<&'a str>,
        jti: &'a str,
    },
    User {
        #[serde(skip_serializing_if = "Option::is_none")]
        issuer: Option<&'a str>,
        sub: &'a str,
    },
}

/// The first targets of a change, as JSON, and how many there are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Targets {
    text: String,
    shown: usize,
    count: u64,
}

impl<'a> From<&'a Revocation> for Target<'a> {
    fn from(revocation: &'a Revocation) -> Self {
        let issuer = revocation.issuer();
        match revocation {
            Revocation::Claims { claims, .. } => {
                Self::Claims { issuer, claims: shown_claims(claims) }
            }
            Revocation::Epoch { epoch, .. } => Self::Epoch { issuer, epoch: *epoch },
            Revocation::Horizon { seconds } => Self::Horizon { seconds: *seconds },
            Revocation::Issuer { name, registration } => {
                Self::Issuer { issuer: &registration.issuer, name }
            }
            Revocation::IssuerRemoved { name } => Self::IssuerRemoved { name },
            Revocation::Key { kid, .. } => Self::Key { issuer, kid },
            Revocation::Refresh { sid, .. } => Self::Refresh { session_id: sid },
            Revocation::Session { sid, .. } => Self::Session { issuer, session_id: sid },
            Revocation::Sessions => Self::Sessions,
            Revocation::Token { jti, .. } => Self::Token { issuer, jti },
            Revocation::User { sub, .. } => Self::User { issuer, sub },
        }
    }
}

impl Targets {
    /// Adds one. It is shown if there is room; it always counts.
    pub fn add(&mut self, target: &Target<'_>) {
        self.count = self.count.saturating_add(1);
        if self.shown >= MOST_SHOWN {
            return;
        }
        let Ok(one) = serde_json::to_string(target) else { return };
        if self.text.len().saturating_add(one.len()) > MOST_SHOWN_BYTES {
            return;
        }
        if self.shown > 0 {
            self.text.push(',');
        }
        self.text.push_str(&one);
        self.shown += 1;
    }

    /// Adds all revocations of a record.
    pub fn add_all(&mut self, revocations: &[Revocation]) {
        let room = MOST_SHOWN.saturating_sub(self.shown).min(revocations.len());
        let (first, rest) = revocations.split_at(room);
        first.iter().for_each(|one| self.add(&one.into()));
        self.count = self.count.saturating_add(u64::try_from(rest.len()).unwrap_or(u64::MAX));
    }

    /// Those that are shown, as the elements of an array.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// Claims as JSON has them.
pub fn shown_claims(claims: &Claims) -> Map<String, Value> {
    let value = |value: &ClaimValue<'_>| match value {
        ClaimValue::Bool(value) => Value::Bool(*value),
        ClaimValue::Integer(value) => Number::from_i128(*value).map_or(Value::Null, Value::Number),
        ClaimValue::Text(text) => Value::String(text.to_string()),
    };
    claims.iter().map(|(path, one)| (path.clone(), value(one))).collect()
}

/// A bulk request has up to 10,000,000; the log of revocations has all of them.
const MOST_SHOWN: usize = 8;
/// Together with everything else, a line stays within its limit.
const MOST_SHOWN_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    // A08: a line is bounded, and what it does not show is counted.
    #[test]
    fn the_first_targets_are_shown_and_all_are_counted() {
        let mut targets = Targets::default();
        let user =
            |sub: String| Revocation::User { issuer: None, sub, issued_before: None, exp: 0 };
        targets.add_all(&(0..1000).map(|one| user(format!("user-{one}"))).collect::<Vec<_>>());
        targets.add_all(&[user("last".to_owned())]);
        assert_eq!(targets.count(), 1001);
        assert!(targets.text().starts_with(r#"{"kind":"user","sub":"user-0"},{"kind":"user""#));
        assert!(targets.text().contains("user-7") && !targets.text().contains("user-8"));
        let mut long = Targets::default();
        long.add_all(&[user("\u{1}".repeat(900)), user("a".to_owned())]);
        assert_eq!((long.text(), long.count()), (r#"{"kind":"user","sub":"a"}"#, 2));
    }
}
