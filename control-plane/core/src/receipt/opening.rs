//! Whether a text is a receipt of this feed.

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_snapshot::FeedKey;
use offswitch_verifier::{Jws, Refusal, Shown, VerifyingKey};
use serde_json::{Value, json};

use super::{Receipt, TYPE};

/// A receipt whose signature is good.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// What it says.
    pub receipt: Receipt,
    /// All of its claims, also those that are not known here.
    pub claims: Value,
    /// The id of the key that signed it.
    pub key: String,
}

/// Why a text is not a receipt of the feed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The signature is wrong.
    #[error("the signature is wrong: it was changed, or made by another key")]
    BadSignature,
    /// It is no JWS, or does not say what a receipt says.
    #[error("it is not a receipt: {0}")]
    Malformed(String),
    /// It is of another control plane.
    #[error("it is of {found}, expected {expected}")]
    OtherIssuer {
        /// Its issuer.
        found: Shown,
        /// The one that was expected.
        expected: Shown,
    },
    /// Its key is not among the given ones.
    #[error(
        "it is signed by the key {0}, which is not among the given ones; GET /v1/keys has them"
    )]
    UnknownKey(Shown),
    /// It is a token, or something else that was signed.
    #[error("typ is {0}, expected \"{TYPE}\"")]
    WrongType(Shown),
}

impl Flaw {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadSignature => "receipt_bad_signature",
            Self::Malformed(_) => "receipt_malformed",
            Self::OtherIssuer { .. } => "receipt_other_issuer",
            Self::UnknownKey(_) => "receipt_unknown_key",
            Self::WrongType(_) => "receipt_wrong_type",
        }
    }
}

/// Opens a receipt that one of `keys` signed, of the control plane `issuer` if that is given.
///
/// # Errors
///
/// Why it is not such a receipt.
pub fn open(text: &str, keys: &[FeedKey], issuer: Option<&str>) -> Result<Opened, Flaw> {
    let jws = Jws::parse(text).map_err(|refusal| Flaw::Malformed(refusal.to_string()))?;
    let typ = jws.typ().unwrap_or_default();
    if typ != TYPE {
        return Err(Flaw::WrongType(Shown::new(typ)));
    }
    let kid = jws.kid().unwrap_or_default();
    let key = keys.iter().find(|key| key_name(key) == kid).and_then(verifying_key);
    let key = key.ok_or_else(|| Flaw::UnknownKey(Shown::new(kid)))?;
    let payload = jws.verify(&key).map_err(|refusal| match refusal {
        Refusal::BadSignature => Flaw::BadSignature,
        refusal => Flaw::Malformed(refusal.to_string()),
    })?;
    let unreadable = |error: serde_json::Error| Flaw::Malformed(error.to_string());
    let receipt: Receipt = serde_json::from_slice(&payload).map_err(unreadable)?;
    let claims: Value = serde_json::from_slice(&payload).map_err(unreadable)?;
    match issuer.filter(|issuer| *issuer != receipt.iss) {
        Some(expected) => Err(Flaw::OtherIssuer {
            found: Shown::new(&receipt.iss),
            expected: Shown::new(expected),
        }),
        None => Ok(Opened { key: kid.to_owned(), receipt, claims }),
    }
}

fn verifying_key(key: &FeedKey) -> Option<VerifyingKey> {
    let x = Base64UrlUnpadded::encode_string(key.public_key());
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": x });
    VerifyingKey::from_jwk(jwk.to_string().as_bytes()).ok()
}

/// The name of a feed key, as `GET /v1/keys` shows it.
fn key_name(key: &FeedKey) -> String {
    key.id().0.iter().map(|byte| format!("{byte:02x}")).collect()
}
