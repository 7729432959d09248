//! The claims of a valid token, shared by all verdicts about it.

use std::sync::{Arc, OnceLock};

use offswitch_verifier::VerifiedClaims;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The claims of a valid token. A clone costs nothing: all verdicts on one token share them.
#[derive(Clone)]
pub struct Claims(Arc<Shared>);

struct Shared {
    text: String,
    /// Read when they are asked for.
    payload: OnceLock<Map<String, Value>>,
}

impl Claims {
    pub(crate) fn new(claims: VerifiedClaims) -> Self {
        Self(Arc::new(Shared { text: claims.into_text(), payload: OnceLock::new() }))
    }

    /// All of them as JSON text, as they were signed.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// All of them as an object.
    pub fn payload(&self) -> &Map<String, Value> {
        let read = || serde_json::from_str(&self.0.text).unwrap_or_default();
        self.0.payload.get_or_init(read)
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.payload().get(name)
    }

    /// One of them, if it is a string.
    pub fn string(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// The user: `sub`.
    pub fn subject(&self) -> Option<&str> {
        self.string("sub")
    }

    /// The scopes, as issuers write them: `scope` (RFC 8693 section 4.2), or `scp` as Okta and Entra ID do; one
    /// string with spaces between them, or an array.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let said = ["scope", "scp"].into_iter().filter_map(|name| self.get(name));
        said.flat_map(|value| match value {
            Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
            Value::String(one) => one.split(' ').collect::<Vec<_>>(),
            _ => vec![],
        })
    }

    /// All of them as a type of your own.
    ///
    /// # Errors
    ///
    /// As serde's: a claim that is missing or of another type.
    pub fn read<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(&self.0.text)
    }
}

/// Without their content, which belongs in no log.
impl std::fmt::Debug for Claims {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Claims")
    }
}

impl PartialEq for Claims {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}
