//! The parameters of a preset. They become parts of addresses, so each has a narrow form.
//! `js/presets/preset.js` has the same rules.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a caller gives for a preset, by the names of its parameters.
pub type Parameters = BTreeMap<String, Value>;

/// One text or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// One.
    One(String),
    /// Several, where the parameter is of [`Kind::Text`].
    Many(Vec<String>),
}

/// The parameters of a preset.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// What it may be.
    pub kind: Kind,
    /// Its meaning, for people.
    pub about: String,
    /// What it is if it is not given; may name parameters before it.
    pub default: Option<String>,
    /// True if nothing takes its place.
    #[serde(default)]
    pub optional: bool,
}

/// What a parameter may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A GUID in lower case.
    Guid,
    /// A host name with a dot, in lower case.
    Host,
    /// As [`Url`](Self::Url), taken as it is.
    Issuer,
    /// One segment of a path.
    Segment,
    /// One text or several, of which no address is made.
    Text,
    /// An https URL, or http on this machine; a slash at its end is dropped.
    Url,
}

impl Kind {
    /// What it may be, for people.
    pub fn expected(self) -> &'static str {
        match self {
            Self::Guid => "a GUID in lower case",
            Self::Host => "a host name in lower case, without scheme, port and path",
            Self::Issuer | Self::Url => {
                "an https URL (http on this machine) without user, query, fragment, escapes and dot segments"
            }
            Self::Segment => "one segment of a path: letters, digits and - . _ ~, no dot first",
            Self::Text => {
                "a string or an array of up to 16 strings, none of them empty or with control characters"
            }
        }
    }

    pub(crate) fn accepts(self, value: &Value) -> bool {
        let text = match (self, value) {
            (Self::Text, Value::Many(texts)) => {
                return (1..=MAX_TEXTS).contains(&texts.len())
                    && texts.iter().all(|text| is_plain(text));
            }
            (_, Value::Many(_)) => return false,
            (_, Value::One(text)) => text,
        };
        is_plain(text)
            && match self {
                Self::Guid => is_guid(text),
                Self::Host => text.contains('.') && is_host(text),
                Self::Issuer | Self::Url => is_url(text),
                Self::Segment => is_segment(text) && !text.starts_with('.'),
                Self::Text => true,
            }
    }
}

/// JavaScript counts UTF-16 units.
fn is_plain(text: &str) -> bool {
    let length = text.encode_utf16().count();
    (1..=MAX_CHARACTERS).contains(&length) && !text.contains(char::is_control)
}

fn is_guid(text: &str) -> bool {
    let is_hex = |part: &str| part.bytes().all(|one| matches!(one, b'0'..=b'9' | b'a'..=b'f'));
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [8, 4, 4, 4, 12] && parts.into_iter().all(is_hex)
}

fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_known = |one: u8| matches!(one, b'a'..=b'z' | b'0'..=b'9' | b'-');
        !label.is_empty()
            && label.bytes().all(is_known)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.split('.').all(is_label)
}

fn is_segment(text: &str) -> bool {
    let is_known = |one: u8| one.is_ascii_alphanumeric() || b"-._~".contains(&one);
    !text.is_empty() && text.bytes().all(is_known)
}

fn is_url(text: &str) -> bool {
    let (is_local, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return false,
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_port =
        |port: &str| (1..=5).contains(&port.len()) && port.bytes().all(|one| one.is_ascii_digit());
    let is_known = match is_local {
        true => ["localhost", "127.0.0.1", "[::1]"].contains(&host),
        false => is_host(host),
    };
    let is_plain = |segment: &str| is_segment(segment) && segment != "." && segment != "..";
    let mut segments = path.strip_suffix('/').unwrap_or(path).split('/');
    is_known && port.is_none_or(is_port) && (path.is_empty() || segments.all(is_plain))
}

const MAX_TEXTS: usize = 16;
const MAX_CHARACTERS: usize = 256;
