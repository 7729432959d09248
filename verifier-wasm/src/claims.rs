//! The claims of a token whose signature was checked, each of its one type.

use serde::Serialize;
use serde_json::{Map, Number, Value};

use crate::config::UserRule;
use crate::json;
use crate::verdict::Refusal;

/// The claims of a token that passed every check, typed where this crate knows the type.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedClaims {
    pub(crate) audience: Audience,
    pub(crate) expires_at: Option<u64>,
    pub(crate) issued_at: Option<u64>,
    pub(crate) issuer: Option<String>,
    pub(crate) not_before: Option<u64>,
    pub(crate) payload: Map<String, Value>,
    pub(crate) session_id: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) text: String,
    pub(crate) token_id: Option<String>,
    pub(crate) user_version: Option<u64>,
}

/// The `aud` claim (RFC 7519 section 4.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Audience(Vec<String>);

impl VerifiedClaims {
    /// Reads `payload`, which the caller has verified; a claim of the wrong type is a refusal.
    pub(crate) fn parse(payload: Vec<u8>, user_rule: UserRule) -> Result<Self, Refusal> {
        const NOT_AN_OBJECT: Refusal = Refusal::Malformed("the payload is not a JSON object");
        let text = String::from_utf8(payload).map_err(|_| NOT_AN_OBJECT)?;
        let payload = json::parse_object(text.as_bytes()).ok_or(NOT_AN_OBJECT)?;
        Ok(Self {
            audience: Audience::parse(payload.get("aud"))?,
            expires_at: time(&payload, "exp")?,
            issued_at: time(&payload, "iat")?,
            issuer: string(&payload, "iss")?,
            not_before: time(&payload, "nbf")?,
            session_id: string(&payload, "sid")?,
            subject: string(&payload, "sub")?,
            token_id: string(&payload, "jti")?,
            user_version: match user_rule {
                UserRule::IssuedAt => None,
                UserRule::VersionElseIssuedAt => version(&payload)?,
            },
            payload,
            text,
        })
    }

    /// `aud`.
    pub fn audience(&self) -> &Audience {
        &self.audience
    }

    /// `exp`, unix seconds, fractions cut off.
    pub fn expires_at(&self) -> Option<u64> {
        self.expires_at
    }

    /// `iat`, unix seconds, fractions cut off.
    pub fn issued_at(&self) -> Option<u64> {
        self.issued_at
    }

    /// `iss`.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// `sid`, the session (one login on one device).
    pub fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// `sub`, the user.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// `jti`, the token's own id.
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }

    /// `ver`, the user version; absent under [`UserRule::IssuedAt`].
    pub fn user_version(&self) -> Option<u64> {
        self.user_version
    }

    /// Every claim, as the issuer signed it.
    pub fn payload(&self) -> &Map<String, Value> {
        &self.payload
    }

    /// The same as JSON text, exactly as it was signed.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.payload.contains_key(name)
    }
}

impl Audience {
    /// True if `name` is one of the audiences.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|audience| audience == name)
    }

    fn parse(value: Option<&Value>) -> Result<Self, Refusal> {
        let wrong = Refusal::Malformed("aud is neither a string nor an array of strings");
        match value {
            None => Ok(Self::default()),
            Some(Value::String(one)) => Ok(Self(vec![one.clone()])),
            Some(Value::Array(many)) => many
                .iter()
                .map(|one| one.as_str().map(str::to_owned).ok_or(wrong.clone()))
                .collect::<Result<_, _>>()
                .map(Self),
            Some(_) => Err(wrong),
        }
    }
}

fn string(payload: &Map<String, Value>, name: &'static str) -> Result<Option<String>, Refusal> {
    match payload.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(_) => Err(Refusal::Malformed("iss, sub, jti or sid is not a string with content")),
    }
}

fn version(payload: &Map<String, Value>) -> Result<Option<u64>, Refusal> {
    let wrong = Refusal::Malformed("ver is not a whole number in [0, 2^53)");
    match payload.get("ver") {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(version) if version < NUMBER_LIMIT => Ok(Some(version)),
            _ => Err(wrong),
        },
    }
}

/// Reads a NumericDate (RFC 7519 section 2): a number in `[0, 2^53)`, a fraction is cut off.
fn time(payload: &Map<String, Value>, name: &'static str) -> Result<Option<u64>, Refusal> {
    let wrong = Refusal::Malformed("exp, nbf or iat is not a number in [0, 2^53)");
    match payload.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => numeric_date(number).map(Some).ok_or(wrong),
        Some(_) => Err(wrong),
    }
}

fn numeric_date(number: &Number) -> Option<u64> {
    match number.as_u64() {
        Some(whole) => (whole < NUMBER_LIMIT).then_some(whole),
        None => whole_seconds(number.as_f64()?),
    }
}

/// `value` without its fraction, if it lies in `[0, 2^53)`.
pub(crate) fn whole_seconds(value: f64) -> Option<u64> {
    if !(0.0..9_007_199_254_740_992.0).contains(&value) {
        return None;
    }
    #[expect(clippy::as_conversions, reason = "the range was checked, nothing can be lost")]
    Some(value.trunc() as u64)
}

/// Above this a JavaScript number no longer holds every whole number.
const NUMBER_LIMIT: u64 = 1 << 53;
