//! The claims of a token whose signature was checked, each of its one type.

use std::borrow::Cow;

use crate::json::{Object, Value};
use crate::shown::Shown;
use crate::verify::config::{IssuerConfig, UserRule};
use crate::verify::defect::{Defect, Part};
use crate::verify::presentation::Binding;
use crate::verify::refusal::{Mismatch, Refusal};
use crate::verify::selection::{Listed, Selected};

/// The claims of a token that is valid, exactly as they were signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedClaims(String);

impl VerifiedClaims {
    /// The text must have been read by [`Claims::parse`].
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// All claims as JSON text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The same, by value.
    pub fn into_text(self) -> String {
        self.0
    }

    /// All claims as an object.
    pub fn payload(&self) -> serde_json::Map<String, serde_json::Value> {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

/// The content of a payload, as far as this crate knows the claims.
#[derive(Debug, Default)]
pub(crate) struct Claims<'a> {
    pub(crate) audience: Audience<'a>,
    pub(crate) binding: Binding,
    pub(crate) expires_at: Option<u64>,
    pub(crate) issued_at: Option<u64>,
    pub(crate) issuer: Option<Cow<'a, str>>,
    pub(crate) not_before: Option<u64>,
    pub(crate) user_version: Option<u64>,
    /// Which of the claims that may be required are present.
    pub(crate) present: ClaimSet,
    /// The claims with a required value, by their place in the rules.
    pub(crate) values: Vec<(usize, Value<'a>)>,
    /// The claims that the feed revokes by.
    pub(crate) selected: Selected,
}

/// The `aud` claim (RFC 7519 section 4.1.3).
#[derive(Debug, Default)]
pub(crate) enum Audience<'a> {
    #[default]
    Absent,
    Many(Vec<Value<'a>>),
    One(Cow<'a, str>),
}

impl<'a> Claims<'a> {
    /// Reads the payload's text, whose signature the caller has checked; a claim of the wrong type
    /// is a refusal. `listed` are the feed's rules for the issuer.
    pub(crate) fn parse(
        text: &'a str,
        rules: &IssuerConfig,
        listed: &Listed,
    ) -> Result<Self, Refusal> {
        let mut claims = Self::default();
        let object = Object::parse(text).ok_or(NOT_AN_OBJECT)?;
        let selected = listed.select(&object);
        for (name, value) in object.into_members() {
            if let Some(at) = rules.required_values.iter().position(|one| one.claim == *name) {
                claims.values.push((at, value.clone()));
            }
            let claim = match &*name {
                "aud" => {
                    claims.audience = Audience::read(value)?;
                    AUD
                }
                "cnf" => {
                    claims.binding = Binding::read(&value)?;
                    0
                }
                "events" if is_logout(&value) => return Err(logout_token()),
                "exp" => {
                    claims.expires_at = Some(time("exp", &value)?);
                    EXP
                }
                "iat" => {
                    claims.issued_at = Some(time("iat", &value)?);
                    IAT
                }
                "iss" => {
                    claims.issuer = Some(issuer(value)?);
                    ISS
                }
                "jti" if is_id("jti", &value)? => JTI,
                "nbf" => {
                    claims.not_before = Some(time("nbf", &value)?);
                    NBF
                }
                "scope" => scopes("scope", &value)?,
                "scp" => scopes("scp", &value)?,
                "sid" if is_id("sid", &value)? => SID,
                "sub" if is_id("sub", &value)? => SUB,
                "ver" => {
                    if rules.user_rule == UserRule::VersionElseIssuedAt {
                        claims.user_version = Some(version(&value)?);
                    }
                    VER
                }
                _ => 0,
            };
            claims.present.0 |= claim;
        }
        claims.selected = selected?;
        Ok(claims)
    }
}

/// A logout token has the audience and user of an ID token (OpenID Connect Back-Channel Logout 1.0
/// section 2.4).
fn is_logout(events: &Value<'_>) -> bool {
    matches!(events, Value::Object(events) if events.contains(LOGOUT))
}

#[cold]
fn logout_token() -> Refusal {
    Refusal::WrongType(Mismatch::new("events", "a logout", "a token to show"))
}

const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Some of the claims that a configuration may require.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ClaimSet(u16);

impl ClaimSet {
    pub(crate) fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let bit = |name| REQUIRABLE.iter().find(|(known, _)| *known == name).map(|(_, bit)| bit);
        Self(names.into_iter().filter_map(bit).fold(0, |set, bit| set | bit))
    }

    /// The first claim, in their order, that `other` lacks.
    pub(crate) fn first_beyond(self, other: Self) -> Option<&'static str> {
        let lacking = self.0 & !other.0;
        REQUIRABLE.iter().find(|(_, bit)| lacking & bit != 0).map(|(name, _)| *name)
    }
}

impl<'a> Audience<'a> {
    pub(crate) fn contains(&self, name: &str) -> bool {
        match self {
            Self::Absent => false,
            Self::Many(audiences) => audiences.iter().any(|one| one.as_text() == Some(name)),
            Self::One(audience) => audience == name,
        }
    }

    /// Some of its names, for messages.
    #[cold]
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Absent => "missing".to_owned(),
            Self::Many(audiences) => {
                let first = audiences.iter().filter_map(Value::as_text).take(MAX_SHOWN);
                let shown: Vec<String> = first.map(|one| Shown::new(one).into()).collect();
                let more = if audiences.len() > MAX_SHOWN { ", ..." } else { "" };
                format!("[{}{more}]", shown.join(", "))
            }
            Self::One(audience) => Shown::new(audience).to_string(),
        }
    }

    fn read(value: Value<'a>) -> Result<Self, Refusal> {
        match value {
            Value::Text(one) => Ok(Self::One(one)),
            Value::Array(many) if many.iter().all(|one| one.as_text().is_some()) => {
                Ok(Self::Many(many))
            }
            value => Err(wrong("aud", &value, "a string or an array of strings")),
        }
    }
}

/// A claim that identifies a token, a session or a user. An empty one identifies nothing, so it
/// counts as absent.
fn is_id(name: &'static str, value: &Value<'_>) -> Result<bool, Refusal> {
    match value {
        Value::Text(text) if text.len() <= MAX_ID_BYTES => Ok(!text.is_empty()),
        Value::Text(_) => {
            let found = "a string of more than 256 bytes";
            Err(Defect::Claim { name: name.into(), found, expected: "1 to 256 bytes" }.into())
        }
        value => Err(wrong(name, value, "a string")),
    }
}

fn issuer(value: Value<'_>) -> Result<Cow<'_, str>, Refusal> {
    match value {
        Value::Text(text) if !text.is_empty() => Ok(text),
        value => Err(wrong("iss", &value, "a string that is not empty")),
    }
}

/// Routes check scopes; here they must only have a form that every reader reads in the same way.
fn scopes(name: &'static str, value: &Value<'_>) -> Result<u16, Refusal> {
    match value {
        Value::Text(_) => Ok(0),
        Value::Array(many) if many.iter().all(|one| one.as_text().is_some()) => Ok(0),
        value => Err(wrong(name, value, "a string or an array of strings")),
    }
}

fn version(value: &Value<'_>) -> Result<u64, Refusal> {
    match value {
        Value::Integer(version) if *version < NUMBER_LIMIT => Ok(*version),
        value => Err(wrong("ver", value, "a whole number in [0, 2^53)")),
    }
}

/// Reads a NumericDate (RFC 7519 section 2): a number in `[0, 2^53)`, a fraction is cut off.
pub(crate) fn time(name: &'static str, value: &Value<'_>) -> Result<u64, Refusal> {
    let date = match value {
        Value::Integer(whole) => Some(*whole).filter(|whole| *whole < NUMBER_LIMIT),
        Value::Float(number) => whole_seconds(*number),
        _ => None,
    };
    date.ok_or_else(|| wrong(name, value, "a number of seconds in [0, 2^53)"))
}

#[cold]
fn wrong(name: &'static str, value: &Value<'_>, expected: &'static str) -> Refusal {
    Defect::Claim { name: name.into(), found: value.kind(), expected }.into()
}

/// `value` without its fraction, if it is in `[0, 2^53)`.
pub(crate) fn whole_seconds(value: f64) -> Option<u64> {
    if !(0.0..9_007_199_254_740_992.0).contains(&value) {
        return None;
    }
    #[expect(clippy::as_conversions, reason = "the range was checked, nothing can be lost")]
    Some(value.trunc() as u64)
}

const AUD: u16 = 1;
const EXP: u16 = 1 << 1;
const IAT: u16 = 1 << 2;
const ISS: u16 = 1 << 3;
const JTI: u16 = 1 << 4;
const NBF: u16 = 1 << 5;
const SID: u16 = 1 << 6;
const SUB: u16 = 1 << 7;
const VER: u16 = 1 << 8;
/// The claims that a configuration may require, in the order in which they are checked.
const REQUIRABLE: [(&str, u16); 9] = [
    ("iss", ISS),
    ("aud", AUD),
    ("exp", EXP),
    ("iat", IAT),
    ("nbf", NBF),
    ("sub", SUB),
    ("jti", JTI),
    ("sid", SID),
    ("ver", VER),
];
pub(crate) const NOT_AN_OBJECT: Refusal = Refusal::Malformed(Defect::NotObject(Part::Payload));
/// How many of several names a message shows.
const MAX_SHOWN: usize = 3;
/// The longest `sub`, `jti` or `sid`, in bytes. A control plane accepts ids up to this length in
/// revocations: a token with a longer one could not be revoked, so it is refused.
pub const MAX_ID_BYTES: usize = 256;
/// Above this a JavaScript number no longer holds every whole number.
const NUMBER_LIMIT: u64 = 1 << 53;
