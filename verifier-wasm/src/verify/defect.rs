//! Why a token is malformed.

use std::borrow::Cow;
use std::fmt;

/// Why a token is malformed. It names the one wrong claim, header member or part, and shows nothing
/// of its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Defect {
    /// A claim has the wrong type, or is out of its range.
    Claim {
        /// The claim's name, or its path.
        name: Cow<'static, str>,
        /// What was found.
        found: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// The header has a member that is never accepted.
    ForbiddenHeader(&'static str),
    /// A member of the header is missing, has the wrong type or is out of its range.
    Header {
        /// The member's name.
        name: &'static str,
        /// What was found; a text is bounded and escaped.
        found: Cow<'static, str>,
        /// What was expected.
        expected: &'static str,
    },
    /// A part is not base64url without padding.
    NotBase64Url(Part),
    /// The token does not have the three segments of the compact form.
    NotCompact {
        /// How many it has.
        segments: usize,
    },
    /// A part is not one JSON object, with every member name once.
    NotObject(Part),
    /// The token or a part of it is too long.
    TooLong {
        /// Which part.
        part: Part,
        /// The size limit in bytes.
        limit_bytes: usize,
    },
}

/// A part of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The first segment.
    Header,
    /// The second segment.
    Payload,
    /// The third segment.
    Signature,
    /// The whole token.
    Token,
}

impl fmt::Display for Defect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim { name, found, expected } => {
                write!(formatter, "{name} is {found}, expected {expected}")
            }
            Self::ForbiddenHeader(name) => {
                write!(formatter, "the header has {name}, which is never accepted")
            }
            Self::Header { name, found, expected } => {
                write!(formatter, "the header's {name} is {found}, expected {expected}")
            }
            Self::NotBase64Url(part) => {
                write!(formatter, "the {part} is not base64url without padding")
            }
            Self::NotCompact { segments } => {
                write!(
                    formatter,
                    "the token has {segments} segments, expected three with dots between"
                )
            }
            Self::NotObject(part) => write!(formatter, "the {part} is not a JSON object"),
            Self::TooLong { part, limit_bytes } => {
                write!(formatter, "the {part} has more than {limit_bytes} bytes")
            }
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Header => "header",
            Self::Payload => "payload",
            Self::Signature => "signature",
            Self::Token => "token",
        })
    }
}
