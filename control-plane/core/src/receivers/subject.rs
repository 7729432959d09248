//! Whom a security event is about: subject identifiers (RFC 9493), simple or complex (SSF 1.0 section 3).

use std::collections::BTreeMap;

use offswitch_snapshot::ClaimValue;
use offswitch_verifier::Shown;
use serde_json::{Map, Value};

use super::Refusal;
use crate::revoking::{Target, is_id};

/// What a subject names of the issuer's tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) session: Option<Target>,
    pub(super) token: Option<Target>,
    pub(super) user: Option<Target>,
}

/// What is known about the subjects of one issuer.
pub(super) struct SubjectRules<'a> {
    /// The `iss` of its tokens.
    pub(super) issuer: &'a str,
    /// The name of who reports them, if it has another one.
    pub(super) transmitter: Option<&'a str>,
    /// The claim of its tokens that has what a subject is named by, for each format.
    pub(super) claims: &'a BTreeMap<String, String>,
}

/// Reads the value of a subject member.
///
/// An opaque id says nothing about what it is the id of: what an event is about decides, so it is handed
/// out as both. A complex subject is narrowed by members that tokens do not show (a device, a tenant):
/// they are left out, so that more is revoked rather than less.
pub(super) fn read(subject: &Value, rules: &SubjectRules<'_>) -> Result<Subject, Refusal> {
    let members = subject.as_object().ok_or_else(|| wrong("sub_id must be an object"))?;
    let is_complex = match format(members) {
        Ok(format) => format == "complex",
        // Complex subjects had no format before SSF 1.0.
        Err(_) if ["user", "session"].iter().any(|name| members.contains_key(*name)) => true,
        Err(refusal) => return Err(refusal),
    };
    if !is_complex {
        return rules.simple(members, 0);
    }
    let member = |name: &str| match members.get(name) {
        None => Ok(Subject::default()),
        Some(Value::Object(members)) => rules.simple(members, 0),
        Some(_) => Err(wrong("a member of the complex subject is not an object")),
    };
    let (session, user) = (member("session")?, member("user")?);
    // The id of a session may come as the `sub` of one.
    let session = session.session.or(session.user.and_then(as_session));
    if session.is_none() && user.user.is_none() {
        let detail = "the complex subject has neither a user nor a session";
        return Err(Refusal::new("unsupported_subject", detail));
    }
    Ok(Subject { session, token: None, user: user.user })
}

impl SubjectRules<'_> {
    fn simple(&self, members: &Map<String, Value>, depth: u8) -> Result<Subject, Refusal> {
        let format = format(members)?;
        match format.as_str() {
            "iss_sub" => {
                self.need_issuer(id(members, "iss")?)?;
                let user = Some(claim("sub", id(members, "sub")?));
                Ok(Subject { user, ..Subject::default() })
            }
            "opaque" => {
                let id = id(members, "id")?;
                let session = Some(Target::Session(id.to_owned()));
                Ok(Subject { session, user: Some(Target::User(id.to_owned())), token: None })
            }
            "jwt_id" => {
                self.need_issuer(id(members, "iss")?)?;
                let token = Some(Target::Token(id(members, "jti")?.to_owned()));
                Ok(Subject { token, ..Subject::default() })
            }
            // Several names of one subject: the first that tokens show.
            "aliases" if depth == 0 => {
                let all = members.get("identifiers").and_then(Value::as_array);
                let all = all.ok_or_else(|| wrong("identifiers must be an array"))?;
                let read = |one: &Value| self.simple(one.as_object()?, 1).ok();
                let first = all.iter().take(MAX_ALIASES).find_map(read);
                first.ok_or_else(|| unsupported("aliases"))
            }
            other => {
                let path = self.claims.get(other);
                let member = NAMED_BY.iter().find(|(name, _)| *name == other);
                let (Some(path), Some((_, member))) = (path, member) else {
                    return Err(unsupported(other));
                };
                let user = Some(claim(path, id(members, member)?));
                Ok(Subject { user, ..Subject::default() })
            }
        }
    }

    /// A subject of another issuer is not ours, also if our issuer reports it.
    fn need_issuer(&self, iss: &str) -> Result<(), Refusal> {
        if iss == self.issuer || Some(iss) == self.transmitter {
            return Ok(());
        }
        let (found, expected) = (Shown::new(iss), Shown::new(self.issuer));
        let detail = format!("the subject's iss is {found}, expected {expected}");
        Err(Refusal::new("foreign_subject", detail))
    }
}

/// The format of a subject identifier; Google's are named `subject_type`, with hyphens.
fn format(members: &Map<String, Value>) -> Result<String, Refusal> {
    let named = members.get("format").or_else(|| members.get("subject_type"));
    let format = named.and_then(Value::as_str).ok_or_else(|| wrong("the subject has no format"))?;
    Ok(format.replace('-', "_"))
}

fn id<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a str, Refusal> {
    let text = members.get(name).and_then(Value::as_str).filter(|text| {
        // An issuer may be longer than an id.
        is_id(text) || (name == "iss" && (1..=MAX_ISSUER_BYTES).contains(&text.len()))
    });
    text.ok_or_else(|| wrong(&format!("{name} of the subject must have 1 to 256 bytes")))
}

fn claim(path: &str, id: &str) -> Target {
    let value = ClaimValue::Text(id.to_owned().into());
    Target::Claims(BTreeMap::from([(path.to_owned(), value)]))
}

fn as_session(target: Target) -> Option<Target> {
    let Target::Claims(claims) = target else { return None };
    match claims.get("sub") {
        Some(ClaimValue::Text(id)) => Some(Target::Session(id.to_string())),
        _ => None,
    }
}

fn unsupported(format: &str) -> Refusal {
    let detail = format!("no tokens are known by a subject of the format {}", Shown::new(format));
    Refusal::new("unsupported_subject", detail)
}

fn wrong(detail: &str) -> Refusal {
    Refusal::new("malformed", detail)
}

/// The formats of RFC 9493 that a registration may map to a claim, and the member with the value.
pub(super) const NAMED_BY: [(&str, &str); 5] = [
    ("account", "uri"),
    ("did", "url"),
    ("email", "email"),
    ("phone_number", "phone_number"),
    ("uri", "uri"),
];
const MAX_ALIASES: usize = 16;
const MAX_ISSUER_BYTES: usize = 512;
