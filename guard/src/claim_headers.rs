//! The headers with verified claims that an upstream gets. What a client sends under such a name
//! never reaches the upstream.

use std::fmt::Write;

use axum::http::{HeaderName, HeaderValue};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use offswitch_client::Claims;
use serde_json::Value;

use crate::claims::ClaimPath;

/// One header with a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimHeader {
    /// The header's name: letters, digits and hyphens.
    pub name: HeaderName,
    /// The claim.
    pub claim: ClaimPath,
    /// How its value is written.
    pub encoding: Encoding,
}

/// How a claim becomes the value of a header. A header has only visible ASCII characters and spaces
/// that every server reads in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// The claim's JSON text as it was signed, in base64url without padding.
    Base64url,
    /// As [`Self::Plain`], with every character but letters, digits and `-._~` percent-encoded.
    Percent,
    /// A string, a whole number or a boolean as it is; the strings of an array with commas between
    /// them. Anything else, and any other character, is refused.
    #[default]
    Plain,
}

/// What the upstream gets of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Forwarded<'a> {
    /// The headers that are set.
    pub(crate) set: Vec<(&'a HeaderName, HeaderValue)>,
    /// The headers that the token has no claim for: they must not reach the upstream.
    pub(crate) absent: Vec<&'a HeaderName>,
}

/// A claim that has no such form as a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotForwardable {
    /// The claim.
    pub(crate) claim: String,
}

impl<'a> Forwarded<'a> {
    /// What the upstream gets of `claims`, or of a request without a token.
    ///
    /// # Errors
    ///
    /// If a claim cannot be written as it is configured: an upstream that misses a claim, or reads
    /// another one, would decide by it.
    pub(crate) fn of(
        headers: &'a [ClaimHeader],
        claims: Option<&Claims>,
    ) -> Result<Self, NotForwardable> {
        let mut forwarded = Self::default();
        for ClaimHeader { name, claim, encoding } in headers {
            let Some(written) = claims.and_then(|claims| encoding.write(claim, claims)) else {
                forwarded.absent.push(name);
                continue;
            };
            let value = written.filter(|value| value.len() <= MAX_VALUE_BYTES);
            match value.and_then(|value| HeaderValue::try_from(value).ok()) {
                Some(value) => forwarded.set.push((name, value)),
                None => return Err(NotForwardable { claim: claim.shown() }),
            }
        }
        Ok(forwarded)
    }
}

impl Encoding {
    /// The value of the header; none if the token lacks the claim, `Some(None)` if the claim has no
    /// such form.
    fn write(self, claim: &ClaimPath, claims: &Claims) -> Option<Option<String>> {
        if self == Self::Base64url {
            let text = claim.signed_text(claims.text())?;
            return Some(Some(Base64UrlUnpadded::encode_string(text.as_bytes())));
        }
        Some(self.write_value(claim.value(claims.payload())?))
    }

    fn write_value(self, value: &Value) -> Option<String> {
        let encode = |text: String| match self {
            Self::Percent => Some(percent_encoded(&text)),
            _ => is_plain(&text).then_some(text),
        };
        let Value::Array(all) = value else { return encode(text_of(value)?) };
        let parts = all.iter().map(text_of).collect::<Option<Vec<_>>>()?;
        // An element with a comma would read as two, an empty one like an empty array.
        if parts.iter().any(|part| part.is_empty() || part.contains(',')) {
            return None;
        }
        Some(parts.into_iter().map(encode).collect::<Option<Vec<_>>>()?.join(","))
    }
}

/// A value that has a single form as text.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Bool(is_so) => Some(is_so.to_string()),
        Value::Number(number) if number.is_u64() || number.is_i64() => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn is_plain(text: &str) -> bool {
    let has_edges = text.starts_with(' ') || text.ends_with(' ');
    !has_edges && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// True if a server could take the header `sent` of a client for `configured`, although it has
/// another name: CGI and WSGI read `-`, `_` and `.` alike.
pub(crate) fn could_be_taken_for(sent: &str, configured: &HeaderName) -> bool {
    let configured = configured.as_str();
    sent.len() == configured.len()
        && sent != configured
        && sent.bytes().zip(configured.bytes()).all(|(sent, known)| {
            sent.to_ascii_lowercase() == known || (known == b'-' && matches!(sent, b'_' | b'.'))
        })
}

/// Several of them still fit into the head of a request.
const MAX_VALUE_BYTES: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(encoding: Encoding, json: &str) -> Option<String> {
        let value = serde_json::from_str(json).unwrap();
        encoding.write_value(&value)
    }

    #[test]
    fn a_claim_is_written_so_that_every_server_reads_the_same() {
        for (text, plain, percent) in [
            (r#""ann""#, Some("ann"), Some("ann")),
            (r#""a b""#, Some("a b"), Some("a%20b")),
            (r#""50%""#, Some("50%"), Some("50%25")),
            (r#""\u00e9""#, None, Some("%C3%A9")),
            (r#""a\r\nX-Admin: 1""#, None, Some("a%0D%0AX-Admin%3A%201")),
            (r#"" a""#, None, Some("%20a")),
            (r#""a\u0000""#, None, Some("a%00")),
            (r#""a\tb""#, None, Some("a%09b")),
            ("7", Some("7"), Some("7")),
            ("-7", Some("-7"), Some("-7")),
            ("1.5", None, None),
            ("12345678901234567890123", None, None),
            ("true", Some("true"), Some("true")),
            ("null", None, None),
            ("{}", None, None),
            (r#"["a","b"]"#, Some("a,b"), Some("a,b")),
            (r#"["a,b"]"#, None, None),
            (r#"["a",""]"#, None, None),
            (r#"["a",[]]"#, None, None),
            (r#""a,b""#, Some("a,b"), Some("a%2Cb")),
            ("[]", Some(""), Some("")),
        ] {
            assert_eq!(written(Encoding::Plain, text).as_deref(), plain, "{text}");
            assert_eq!(written(Encoding::Percent, text).as_deref(), percent, "{text}");
        }
    }

    // G02
    #[test]
    fn a_header_that_a_server_could_read_as_a_configured_one_is_recognised() {
        let name = HeaderName::from_static("x-user-id");
        for sent in ["x_user_id", "x-user_id", "X.User-ID", "x.user.id"] {
            assert!(could_be_taken_for(sent, &name), "{sent}");
        }
        for sent in ["x-user-id", "x-user-ide", "xuserid", "x-user+id", "y_user_id"] {
            assert!(!could_be_taken_for(sent, &name), "{sent}");
        }
    }

    #[test]
    fn what_the_token_does_not_say_is_absent() {
        let name = HeaderName::from_static("x-claim");
        let claim = "sub".parse().unwrap();
        let headers = [ClaimHeader { name, claim, encoding: Encoding::Plain }];
        let forwarded = Forwarded::of(&headers, None).unwrap();
        assert_eq!((forwarded.set.len(), forwarded.absent.len()), (0, 1));
    }
}
