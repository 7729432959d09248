//! A JWS in compact serialization (RFC 7515 section 7.1), read as strictly as the RFC allows.

use std::borrow::Cow;
use std::rc::Rc;

use crate::json::{Object, Value};
use crate::keys::algorithm::{Algorithm, SUPPORTED};
use crate::keys::{MAX_KID_BYTES, VerifyingKey};
use crate::shown::Shown;
use crate::snapshot::base64url;
use crate::verify::defect::{Defect, Part};
use crate::verify::refusal::Refusal;

/// A parsed token whose signature was *not* checked.
#[derive(Debug)]
pub struct Jws<'a> {
    header: Rc<Header>,
    payload: &'a str,
    signature: Vec<u8>,
    signed: &'a str,
}

impl<'a> Jws<'a> {
    /// Parses a token; nothing in it is trusted yet.
    ///
    /// # Errors
    ///
    /// [`Refusal::Malformed`] or [`Refusal::UnsupportedAlgorithm`].
    pub fn parse(token: &'a str) -> Result<Self, Refusal> {
        Self::parse_with(token, &mut |header| Header::read(header).map(Rc::new))
    }

    /// Like [`parse`](Self::parse), with a function that reads the header and may remember it. Not
    /// generic: a copy for each caller would be a hundredth of the wasm file.
    pub(crate) fn parse_with(
        token: &'a str,
        read_header: &mut dyn FnMut(&str) -> Result<Rc<Header>, Refusal>,
    ) -> Result<Self, Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TOKEN_TOO_LONG);
        }
        let not_compact = || Defect::NotCompact { segments: token.split('.').count() };
        let (signed, signature) = token.rsplit_once('.').ok_or_else(not_compact)?;
        let (header, payload) = signed.split_once('.').ok_or_else(not_compact)?;
        if payload.contains('.') {
            return Err(not_compact().into());
        }
        if header.len() > MAX_HEADER_BYTES {
            return Err(too_long(Part::Header, MAX_HEADER_BYTES));
        }
        let header = read_header(header)?;
        Ok(Self { header, payload, signature: decode(Part::Signature, signature)?, signed })
    }

    /// The algorithm that the header names.
    pub fn algorithm(&self) -> Algorithm {
        self.header.algorithm
    }

    /// The key that the header names, at most 256 bytes.
    pub fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The media type that the header names (RFC 7515 section 4.1.9), which is not verified.
    pub fn typ(&self) -> Option<&str> {
        self.header.typ.as_deref()
    }

    /// The header, which is not verified.
    pub(crate) fn header(&self) -> &Rc<Header> {
        &self.header
    }

    /// Checks the signature with `key` and returns the payload's bytes.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnsupportedAlgorithm`] if the header names another algorithm than the key's,
    /// [`Refusal::BadSignature`], or [`Refusal::Malformed`] for a payload that is not base64url.
    pub fn verify(&self, key: &VerifyingKey) -> Result<Vec<u8>, Refusal> {
        if self.header.algorithm != key.algorithm() {
            let expected = format!("{}, the algorithm of that key", key.algorithm().name());
            return Err(Refusal::unsupported_algorithm(self.header.algorithm.name(), expected));
        }
        if !key.accepts(&self.signature, self.signed.as_bytes()) {
            return Err(Refusal::BadSignature);
        }
        decode(Part::Payload, self.payload)
    }

    /// The signed bytes: header and payload as they were sent.
    pub fn signed(&self) -> &'a str {
        self.signed
    }

    /// The signature's bytes.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The payload as it was sent, which is not verified.
    pub fn unverified_payload(&self) -> &'a str {
        self.payload
    }
}

/// The content of a header, as far as anything here depends on it.
#[derive(Debug)]
pub(crate) struct Header {
    algorithm: Algorithm,
    kid: Option<String>,
    typ: Option<String>,
}

impl Header {
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The media type (RFC 7515 section 4.1.9).
    pub(crate) fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }

    /// Reads a token's first segment.
    pub(crate) fn read(segment: &str) -> Result<Self, Refusal> {
        Self::of(object(&decode(Part::Header, segment)?)?)
    }

    /// Reads the first segment of a proof, whose header contains a key. `read_key` gets the key and
    /// the algorithm that the header names.
    pub(crate) fn read_with_key<K>(
        segment: &str,
        read_key: impl FnOnce(Algorithm, &Object<'_>) -> Result<K, Refusal>,
    ) -> Result<(Self, K), Refusal> {
        let bytes = decode(Part::Header, segment)?;
        let mut object = object(&bytes)?;
        let jwk = object.remove("jwk");
        let header = Self::of(object)?;
        let Some(Value::Object(jwk)) = jwk else {
            return Err(wrong("jwk", "missing, or no object", "a public key"));
        };
        let key = read_key(header.algorithm, &jwk)?;
        Ok((header, key))
    }

    #[inline(never)]
    fn of(object: Object<'_>) -> Result<Self, Refusal> {
        let (mut alg, mut kid, mut typ, mut cty) = (None, None, None, None);
        for (name, value) in object.into_members() {
            let (place, name) = match &*name {
                "alg" => (&mut alg, "alg"),
                "cty" => (&mut cty, "cty"),
                "kid" => (&mut kid, "kid"),
                "typ" => (&mut typ, "typ"),
                other => match FORBIDDEN_HEADERS.into_iter().find(|name| *name == other) {
                    Some(name) => return Err(Defect::ForbiddenHeader(name).into()),
                    None => continue,
                },
            };
            let Value::Text(text) = value else {
                return Err(wrong(name, value.kind(), "a string"));
            };
            *place = Some(text);
        }
        let alg = alg.ok_or_else(|| wrong("alg", "missing", "the name of an algorithm"))?;
        let unsupported = || Refusal::unsupported_algorithm(Shown::new(&alg), SUPPORTED);
        let algorithm = Algorithm::from_name(&alg).ok_or_else(unsupported)?;
        if kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID_BYTES) {
            return Err(wrong("kid", "a string of more than 256 bytes", "at most 256 bytes"));
        }
        if let Some(cty) = cty.filter(|cty| !cty.eq_ignore_ascii_case("json")) {
            return Err(wrong("cty", Shown::new(&cty).to_string(), "\"json\" or none"));
        }
        Ok(Self { algorithm, kid: kid.map(Cow::into_owned), typ: typ.map(Cow::into_owned) })
    }
}

/// Checks one compact JWS with one key and returns its payload, of any content.
///
/// This is only the signature layer: no `kid`, no claims, no revocation. Use
/// [`Verifier`](crate::Verifier) for tokens.
///
/// # Errors
///
/// Like [`Jws::parse`] and [`Jws::verify`].
pub fn verify_jws(token: &str, key: &VerifyingKey) -> Result<Vec<u8>, Refusal> {
    Jws::parse(token)?.verify(key)
}

fn object(header: &[u8]) -> Result<Object<'_>, Refusal> {
    let object = str::from_utf8(header).ok().and_then(Object::parse);
    object.ok_or(Defect::NotObject(Part::Header).into())
}

pub(crate) fn decode(part: Part, segment: &str) -> Result<Vec<u8>, Refusal> {
    base64url::decode(segment).ok_or(Refusal::Malformed(Defect::NotBase64Url(part)))
}

#[cold]
fn wrong(
    name: &'static str,
    found: impl Into<Cow<'static, str>>,
    expected: &'static str,
) -> Refusal {
    Defect::Header { name, found: found.into(), expected }.into()
}

const fn too_long(part: Part, limit_bytes: usize) -> Refusal {
    Refusal::Malformed(Defect::TooLong { part, limit_bytes })
}

/// The longest token that is parsed, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// The longest header that is decoded, in base64url characters.
pub const MAX_HEADER_BYTES: usize = 4 * 1024;

pub(crate) const TOKEN_TOO_LONG: Refusal = too_long(Part::Token, MAX_TOKEN_BYTES);

/// Members that would let a token bring its own key, change the signed bytes or require an
/// extension. No extension is supported, so any `crit` must be refused (RFC 7515 section 4.1.11).
const FORBIDDEN_HEADERS: [&str; 8] = ["b64", "crit", "enc", "jku", "jwk", "x5c", "x5u", "zip"];
