//! A JWS in compact serialization (RFC 7515 section 7.1), read as strictly as the RFC allows.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value};

use crate::algorithm::Algorithm;
use crate::json;
use crate::keys::{MAX_KID_BYTES, VerifyingKey};
use crate::verdict::Refusal;

/// A token that was taken apart and whose signature was *not* checked.
#[derive(Debug)]
pub struct Jws<'a> {
    /// The algorithm that the header names.
    pub algorithm: Algorithm,
    /// The key that the header names, at most 256 bytes.
    pub kid: Option<String>,
    /// The media type that the header names (RFC 7515 section 4.1.9).
    pub typ: Option<String>,
    payload: &'a str,
    signature: Vec<u8>,
    signed: &'a str,
}

impl<'a> Jws<'a> {
    /// Takes a token apart; nothing in it is trusted yet.
    ///
    /// # Errors
    ///
    /// [`Refusal::Malformed`] or [`Refusal::UnsupportedAlgorithm`].
    pub fn parse(token: &'a str) -> Result<Self, Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::Malformed("the token is too long"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(NOT_COMPACT)?;
        let (header, payload) = signed.split_once('.').ok_or(NOT_COMPACT)?;
        if payload.contains('.') {
            return Err(NOT_COMPACT);
        }
        if header.len() > MAX_HEADER_BYTES {
            return Err(Refusal::Malformed("the header is too long"));
        }
        let header = json::parse_object(&decode(header)?)
            .ok_or(Refusal::Malformed("the header is not a JSON object"))?;
        if REFUSED_HEADERS.iter().any(|name| header.contains_key(*name)) {
            return Err(Refusal::Malformed("the header has a member that is never accepted"));
        }
        let Some(Value::String(name)) = header.get("alg") else {
            return Err(Refusal::Malformed("the header names no alg"));
        };
        let algorithm = Algorithm::from_name(name).ok_or(Refusal::UnsupportedAlgorithm)?;
        let kid = text(&header, "kid")?;
        if kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID_BYTES) {
            return Err(Refusal::Malformed("the kid is too long"));
        }
        if text(&header, "cty")?.is_some_and(|cty| !cty.eq_ignore_ascii_case("json")) {
            return Err(Refusal::Malformed("the content is not JSON claims"));
        }
        let typ = text(&header, "typ")?;
        Ok(Self { algorithm, kid, typ, payload, signature: decode(signature)?, signed })
    }

    /// Checks the signature with `key` and hands out the payload's bytes: the only way to them.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnsupportedAlgorithm`] where the header names another algorithm than the key's,
    /// [`Refusal::BadSignature`], or [`Refusal::Malformed`] for a payload that is not base64url.
    pub fn verify(&self, key: &VerifyingKey) -> Result<Vec<u8>, Refusal> {
        if self.algorithm != key.algorithm() {
            return Err(Refusal::UnsupportedAlgorithm);
        }
        if !key.accepts(&self.signature, self.signed.as_bytes()) {
            return Err(Refusal::BadSignature);
        }
        decode(self.payload)
    }
}

/// Checks one compact JWS with one key and answers with its payload, whatever that is.
///
/// This is the signature layer alone: no `kid`, no claims, no revocation. Use
/// [`Verifier`](crate::Verifier) for tokens.
///
/// # Errors
///
/// As [`Jws::parse`] and [`Jws::verify`].
pub fn verify_jws(token: &str, key: &VerifyingKey) -> Result<Vec<u8>, Refusal> {
    Jws::parse(token)?.verify(key)
}

/// Decodes base64url without padding; every value has exactly one accepted spelling.
fn decode(segment: &str) -> Result<Vec<u8>, Refusal> {
    Base64UrlUnpadded::decode_vec(segment)
        .map_err(|_| Refusal::Malformed("a segment is not base64url without padding"))
}

fn text(header: &Map<String, Value>, name: &str) -> Result<Option<String>, Refusal> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Refusal::Malformed("a header member has the wrong type")),
    }
}

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// The longest header that is decoded, in base64url characters.
pub const MAX_HEADER_BYTES: usize = 4 * 1024;

const NOT_COMPACT: Refusal = Refusal::Malformed("the token does not have three segments");

/// Members that would let a token bring its own key, change what is signed or demand an extension.
/// No extension is understood, so any `crit` must be refused (RFC 7515 section 4.1.11).
const REFUSED_HEADERS: [&str; 8] = ["b64", "crit", "enc", "jku", "jwk", "x5c", "x5u", "zip"];
