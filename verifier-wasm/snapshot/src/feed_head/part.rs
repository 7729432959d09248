//! The names of parts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::position::Position;

/// A part of a feed, by its name below the folder of the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// `bases/<position>-<digest>`
    Base {
        /// Where the base ends.
        position: Position,
        /// What its bytes hash to.
        digest: BaseDigest,
    },
    /// `deltas/<from>_<to>`
    Delta {
        /// Where the delta begins.
        from: Position,
        /// Where it ends.
        to: Position,
    },
}

/// The first eight bytes of the BLAKE3 hash of a base: 16 small hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseDigest(u64);

/// The text is not the name of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a part is named bases/<position>-<digest> or deltas/<from>_<to>")]
pub struct PartNameError;

impl Part {
    /// Where it ends.
    pub fn end(&self) -> Position {
        match self {
            Self::Base { position, .. } => *position,
            Self::Delta { to, .. } => *to,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base { position, digest } => write!(formatter, "bases/{position}-{digest}"),
            Self::Delta { from, to } => write!(formatter, "deltas/{from}_{to}"),
        }
    }
}

impl FromStr for Part {
    type Err = PartNameError;

    fn from_str(name: &str) -> Result<Self, PartNameError> {
        let part = if let Some(rest) = name.strip_prefix("bases/") {
            let (position, digest) = rest.split_once('-').ok_or(PartNameError)?;
            Self::Base { position: read(position)?, digest: digest.parse()? }
        } else {
            let rest = name.strip_prefix("deltas/").ok_or(PartNameError)?;
            let (from, to) = rest.split_once('_').ok_or(PartNameError)?;
            Self::Delta { from: read(from)?, to: read(to)? }
        };
        // One name for each part: a position can be written with zeros in front.
        if part.to_string() == name { Ok(part) } else { Err(PartNameError) }
    }
}

impl BaseDigest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let hash = blake3::hash(bytes);
        let first = hash.as_bytes().first_chunk::<8>().copied().unwrap_or_default();
        Self(u64::from_be_bytes(first))
    }
}

impl fmt::Display for BaseDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl FromStr for BaseDigest {
    type Err = PartNameError;

    fn from_str(text: &str) -> Result<Self, PartNameError> {
        let is_digit = |one: u8| matches!(one, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 16 || !text.bytes().all(is_digit) {
            return Err(PartNameError);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| PartNameError)
    }
}

impl Serialize for BaseDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BaseDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn read(position: &str) -> Result<Position, PartNameError> {
    position.parse().map_err(|_| PartNameError)
}
