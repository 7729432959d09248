//! DPoP proofs (RFC 9449): the client that presents a token has the key that it is bound to.

mod memory;
mod url;

use self::url::normal_form;
use crate::json::{Object, Value};
use crate::keys::algorithm::KeyType;
use crate::keys::{VerifyingKey, sha256};
use crate::shown::Shown;
use crate::snapshot::base64url;
use crate::token::claims::{MAX_ID_BYTES, time};
use crate::token::jws::{Header, Jws};
use crate::verify::refusal::{Mismatch, Refusal};
use crate::verify::rules::same_type;

pub(crate) use self::memory::Entry;
pub use self::memory::{MAX_PROOFS, MAX_PROOFS_OF_A_KEY, ProofMemory};

/// A request with a token and its proof.
#[derive(Debug, Clone, Copy)]
pub struct DpopRequest<'a> {
    /// The access token, as it is in the request.
    pub token: &'a str,
    /// The request's only `DPoP` header.
    pub proof: &'a str,
    /// The request's method.
    pub method: &'a str,
    /// The URL that the client has requested; query and fragment do not count.
    pub url: &'a str,
}

impl DpopRequest<'_> {
    /// Checks the proof as RFC 9449 section 4.3 requires. `thumbprint` is that of the key that the
    /// token is bound to; signatures of other keys are not checked.
    pub(crate) fn check(
        &self,
        thumbprint: &[u8; 32],
        max_age_seconds: u64,
        now: u64,
    ) -> Result<Entry, Refusal> {
        let (jws, key) = self.read(thumbprint)?;
        let typ = jws.header().typ();
        if !same_type(Some("dpop+jwt"), typ) {
            return Err(wrong("typ", typ.unwrap_or_default(), "dpop+jwt"));
        }
        let payload = jws.verify(&key).map_err(malformed)?;
        let claims = str::from_utf8(&payload).ok().and_then(Object::parse);
        let claims = claims.ok_or_else(|| wrong("payload", "", "one JSON object"))?;
        let text = |name| claims.get(name).and_then(Value::as_text).unwrap_or_default();
        let jti = text("jti");
        if jti.is_empty() || jti.len() > MAX_ID_BYTES {
            return Err(wrong("jti", jti, "a string of 1 to 256 bytes"));
        }
        if text("htm") != self.method || self.method.is_empty() {
            return Err(wrong("htm", text("htm"), &String::from(Shown::new(self.method))));
        }
        let url = normal_form(self.url);
        if url.is_none() || normal_form(text("htu")) != url {
            let expected = &String::from(Shown::new(without_query(self.url)));
            return Err(wrong("htu", without_query(text("htu")), expected));
        }
        let issued_at = claims.get("iat").and_then(|iat| time("iat", iat).ok());
        let issued_at = issued_at.ok_or_else(|| wrong("iat", "", "a number of seconds"))?;
        let until = issued_at.saturating_add(max_age_seconds);
        if now > until || now.saturating_add(MAX_AHEAD_SECONDS) < issued_at {
            let found = &issued_at.to_string();
            return Err(wrong("iat", found, &["near ", &now.to_string()].concat()));
        }
        if base64url::decode(text("ath")) != Some(sha256(&[self.token.as_bytes()])) {
            let found = if text("ath").is_empty() { "" } else { "another" };
            return Err(wrong("ath", found, "the hash of this access token"));
        }
        let id = sha256(&[jti.as_bytes()]);
        Ok(Entry { key: first_half(thumbprint), id: first_half(&id), until })
    }

    /// Parses the proof, and reads its key if it is the right one.
    fn read(&self, thumbprint: &[u8; 32]) -> Result<(Jws<'_>, VerifyingKey), Refusal> {
        if self.proof.is_empty() || self.proof.len() > MAX_PROOF_BYTES {
            let found = if self.proof.is_empty() { "" } else { "too long" };
            return Err(wrong("header DPoP", found, "one JWT of at most 8192 bytes"));
        }
        let mut key = None;
        let jws = Jws::parse_with(self.proof, &mut |segment| {
            let (header, read) = Header::read_with_key(segment, |algorithm, jwk| {
                if algorithm.is_symmetric() {
                    return Err(wrong("alg", algorithm.name(), "a signature"));
                }
                if PRIVATE_MEMBERS.iter().any(|name| jwk.contains(name)) {
                    return Err(wrong("jwk", "a private key", "a public key"));
                }
                if thumbprint_of(jwk).as_deref() != Some(thumbprint.as_slice()) {
                    return Err(wrong("jwk", "another key", "the key of the token's cnf.jkt"));
                }
                let of_key =
                    |problem: crate::KeyProblem| wrong("jwk", &problem.to_string(), "a key");
                VerifyingKey::read_object(jwk, &[algorithm]).map_err(of_key)
            })?;
            key = Some(read);
            Ok(header.into())
        });
        let jws = jws.map_err(malformed)?;
        let key = key.ok_or_else(|| wrong("jwk", "", "a public key"))?;
        Ok((jws, key))
    }
}

/// The SHA-256 thumbprint of a public key (RFC 7638). The key need not have been checked: a value
/// that is not base64url leads to a thumbprint that no valid key has.
fn thumbprint_of(jwk: &Object<'_>) -> Option<Vec<u8>> {
    let member = |name| jwk.get(name).and_then(Value::as_text);
    let names: &[&str] = match KeyType::of(member("kty")?, member("crv"))? {
        KeyType::Ed25519 => &["crv", "kty", "x"],
        KeyType::P256 | KeyType::P384 | KeyType::P521 => &["crv", "kty", "x", "y"],
        KeyType::Rsa => &["e", "kty", "n"],
        KeyType::Secret => return None,
    };
    let mut text = String::new();
    for name in names {
        text.push_str(if text.is_empty() { "{\"" } else { ",\"" });
        text.push_str(name);
        text.push_str("\":\"");
        text.push_str(member(name)?);
        text.push('"');
    }
    text.push('}');
    Some(sha256(&[text.as_bytes()]))
}

/// Keeps a detail that `wrong` has set.
#[cold]
fn malformed(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::InvalidDpopProof(_) => refusal,
        refusal => wrong("form", &refusal.to_string(), "a signed JWT"),
    }
}

#[cold]
fn wrong(name: &str, found: &str, expected: &str) -> Refusal {
    let found = match found {
        "" => "missing".to_owned(),
        found => Shown::new(found).into(),
    };
    Refusal::InvalidDpopProof(Mismatch::new(["the DPoP proof's ", name].concat(), found, expected))
}

/// A query may contain a secret, which must not be in a message.
#[cold]
fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

fn first_half(hash: &[u8]) -> [u8; 16] {
    hash.first_chunk().copied().unwrap_or_default()
}

/// The longest proof that is parsed.
pub(crate) const MAX_PROOF_BYTES: usize = 8 * 1024;
/// How far a client's clock may be ahead.
const MAX_AHEAD_SECONDS: u64 = 5;
/// RFC 7518 sections 6.2.2, 6.3.2 and 6.4.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
