//! Which claim of a valid token: routes and upstream headers name claims by a path.

use std::collections::HashMap;
use std::str::FromStr;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Which claim: the name of a top-level claim, or a JSON Pointer (RFC 6901) if it begins with `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimPath {
    /// `*`: all claims.
    All,
    /// The names that lead to it, from the top.
    Names(Vec<String>),
}

/// A path that is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the name of a claim, or a JSON Pointer such as /act/sub")]
pub struct WrongClaimPath;

impl ClaimPath {
    /// The value of the claim, if the token has it.
    pub(crate) fn value<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let Self::Names(names) = self else { return None };
        let (first, rest) = names.split_first()?;
        rest.iter().try_fold(claims.get(first)?, |at, name| at.as_object()?.get(name))
    }

    /// The JSON text of the claim as it was signed: numbers that no type here has stay as they are.
    pub(crate) fn signed_text<'a>(&self, claims: &'a str) -> Option<&'a str> {
        let Self::Names(names) = self else { return Some(claims) };
        names.iter().try_fold(claims, |at, name| {
            let members: HashMap<String, &'a RawValue> = serde_json::from_str(at).ok()?;
            Some(members.get(name)?.get())
        })
    }

    /// The path as it is configured.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::All => "*".to_owned(),
            Self::Names(names) if names.len() == 1 => names.concat(),
            Self::Names(names) => {
                let escaped = names.iter().map(|name| name.replace('~', "~0").replace('/', "~1"));
                escaped.map(|name| format!("/{name}")).collect()
            }
        }
    }
}

impl FromStr for ClaimPath {
    type Err = WrongClaimPath;

    fn from_str(text: &str) -> Result<Self, WrongClaimPath> {
        if text == "*" {
            return Ok(Self::All);
        }
        let names: Vec<String> = match text.strip_prefix('/') {
            None => vec![text.to_owned()],
            Some(pointer) => {
                let unescape = |name: &str| name.replace("~1", "/").replace("~0", "~");
                pointer.split('/').map(unescape).collect()
            }
        };
        let is_sound = names.len() <= MAX_NAMES
            && text.len() <= MAX_BYTES
            && names.iter().all(|name| !name.is_empty() && !name.contains(char::is_control));
        if is_sound { Ok(Self::Names(names)) } else { Err(WrongClaimPath) }
    }
}

const MAX_NAMES: usize = 8;
const MAX_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_found_by_name_or_pointer_with_the_text_that_was_signed() {
        let text = r#"{"sub":"a","big":12345678901234567890123,"act":{"sub":"b","a/b":[1, 2]},"n\u0041":1}"#;
        let claims: Map<String, Value> = serde_json::from_str(text).unwrap();
        for (path, signed) in [
            ("sub", Some(r#""a""#)),
            ("big", Some("12345678901234567890123")),
            ("/act/sub", Some(r#""b""#)),
            ("/act/a~1b", Some("[1, 2]")),
            ("nA", Some("1")),
            ("act/sub", None),
            ("/act/none", None),
            ("/sub/x", None),
        ] {
            let path: ClaimPath = path.parse().unwrap();
            assert_eq!(path.signed_text(text), signed, "{path:?}");
            let value = signed.map(|signed| serde_json::from_str(signed).unwrap());
            assert_eq!(path.value(&claims).cloned(), value, "{path:?}");
        }
        assert_eq!(ClaimPath::All.signed_text(text), Some(text));
    }

    #[test]
    fn paths_that_lead_nowhere_are_refused() {
        for text in ["", "/", "/a//b", "a\n", &"/a".repeat(9), &"a".repeat(257)] {
            assert!(text.parse::<ClaimPath>().is_err(), "{text}");
        }
        for text in ["sub", "/act/sub", "https://claims.example/x", "/a~1b/c"] {
            assert_eq!(text.parse::<ClaimPath>().unwrap().shown(), text);
        }
    }
}
