//! How far into which log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// A position in a log, written `era.seq`; ordered by era, then by seq.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Which log: a store that comes back empty, older or forked starts the next era.
    pub era: u64,
    /// How many records of that log.
    pub seq: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.era, self.seq)
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (era, seq) = text.split_once('.').ok_or(PositionError)?;
        Ok(Self { era: number(era)?, seq: number(seq)? })
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The text is not two decimal numbers joined by a dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a position is written era.seq, two decimal numbers")]
pub struct PositionError;

/// The hash over all records up to a position; equal hashes mean equal histories.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct ChainHash(pub [u8; 32]);

impl ChainHash {
    /// The hash after one more record.
    #[must_use]
    pub fn then(self, record: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CHAIN_CONTEXT);
        hasher.update(&self.0);
        hasher.update(record);
        Self(*hasher.finalize().as_bytes())
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ChainHash({})", blake3::Hash::from(self.0).to_hex())
    }
}

/// A position with the hash of the history that leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Floor {
    /// The position.
    pub position: Position,
    /// The chain hash at it.
    pub chain: ChainHash,
}

/// Only plain digits: `u64::from_str` alone would also read `+1`.
fn number(text: &str) -> Result<u64, PositionError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PositionError);
    }
    text.parse().map_err(|_| PositionError)
}

const CHAIN_CONTEXT: &str = "offswitch 2026-11 log chain v1";
