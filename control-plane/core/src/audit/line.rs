//! One line: how it is written, chained and read.
//!
//! `{"seq":7,"at_ms":1795489144123,"chain":"…",…,"hash":"…"}`. The hash is the SHA-256 of the hash of the
//! line before it, as 64 hexadecimal characters, followed by this line up to `,"hash":`. So that anyone
//! can check it with the tools of any system, it is over text and made by a common algorithm.

use std::fmt;
use std::io::Write;
use std::str::FromStr;

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The hash of a line, and with it of all lines before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LineHash(pub [u8; 32]);

/// Where a chain ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The chain.
    pub chain: String,
    /// The number of the next line.
    pub seq: u64,
    /// The hash of the last line.
    pub hash: LineHash,
}

/// What every line has, and what the lines have that are not about a change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Line {
    /// Counts the lines of the chain, from 0.
    pub seq: u64,
    /// When it was written, unix milliseconds.
    pub at_ms: u64,
    /// The chain that it belongs to.
    pub chain: String,
    /// `begin`, `checkpoint`, `healed`, `lost`, `request`, `command` or `task`.
    pub r#type: String,
    /// Of the first line of a file: the number of the file in its chain, from 1.
    pub file: Option<u64>,
    /// Of the first line of a file: the hash of the line before it.
    pub prev: Option<String>,
    /// Of a checkpoint: the id of the feed key that signed it.
    pub key: Option<String>,
    /// Of a checkpoint: the signature, in base64url.
    pub signature: Option<String>,
    /// Of a line `lost`: how many changes have no line.
    pub lost: Option<u64>,
}

/// A line of which the hash is not checked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marked<'a> {
    /// What the hash covers.
    pub covered: &'a [u8],
    /// The hash that it names.
    pub hash: LineHash,
}

/// The text is not 64 hexadecimal characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash has 64 hexadecimal characters")]
pub struct UnknownHash;

/// Writes the line after `end` with these members, which are JSON without the braces, and moves `end` to
/// it.
pub fn write_line(buffer: &mut Vec<u8>, end: &mut End, at_ms: u64, members: &[u8]) {
    let begin = buffer.len();
    let (seq, chain) = (end.seq, &end.chain);
    // Writing to a vector cannot fail.
    let _ = write!(buffer, r#"{{"seq":{seq},"at_ms":{at_ms},"chain":"{chain}","#);
    buffer.extend_from_slice(members);
    end.hash = end.hash.next(buffer.get(begin..).unwrap_or_default());
    end.seq = seq.saturating_add(1);
    buffer.extend_from_slice(HASH);
    buffer.extend_from_slice(&end.hash.hex());
    buffer.extend_from_slice(b"\"}\n");
}

/// What a checkpoint after the line with this hash signs. The prefix keeps it apart from everything else
/// that the key signs.
pub fn checkpoint_message(hash: LineHash) -> Vec<u8> {
    [CHECKPOINT, &hash.0].concat()
}

impl LineHash {
    /// The hash of the line with this text that follows.
    pub fn next(self, covered: &[u8]) -> Self {
        Self(Sha256::new().chain_update(self.hex()).chain_update(covered).finalize().into())
    }

    fn hex(self) -> [u8; 64] {
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        text
    }
}

fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

impl fmt::Display for LineHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(str::from_utf8(&self.hex()).unwrap_or_default())
    }
}

impl FromStr for LineHash {
    type Err = UnknownHash;

    fn from_str(text: &str) -> Result<Self, UnknownHash> {
        let mut hash = Self::default();
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(UnknownHash) };
        if pairs.len() != hash.0.len() {
            return Err(UnknownHash);
        }
        for (byte, pair) in hash.0.iter_mut().zip(pairs) {
            let [high, low] = pair.map(value);
            *byte = high.ok_or(UnknownHash)? << 4 | low.ok_or(UnknownHash)?;
        }
        Ok(hash)
    }
}

/// Of a lower-case digit: a hash has one spelling.
fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl<'a> Marked<'a> {
    /// Finds the hash of a line, which is given without its line feed.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let (covered, end) = line.split_at_checked(line.len().checked_sub(HASH.len() + 64 + 2)?)?;
        let hash = end.strip_prefix(HASH)?.strip_suffix(b"\"}")?;
        let hash = str::from_utf8(hash).ok()?.parse().ok()?;
        Some(Self { covered, hash })
    }
}

impl Line {
    /// Reads a line, with or without its hash. A member that occurs twice is refused.
    pub fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

const HASH: &[u8] = b",\"hash\":\"";
/// Begins with a zero byte, like what a snapshot's signature covers, and unlike any JWS.
const CHECKPOINT: &[u8] = b"\0offswitch audit checkpoint v1\0";
/// No line is longer. What a caller can choose in a record is bounded far below this.
pub const MAX_LINE_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    // A08: made with `printf '%s' "$prev$line" | sha256sum`.
    #[test]
    fn a_line_is_chained_by_the_hash_that_common_tools_compute() {
        let mut end = End { chain: "c".to_owned(), seq: 0, hash: LineHash::default() };
        let mut buffer = Vec::new();
        write_line(&mut buffer, &mut end, 5, br#""type":"begin""#);
        let line = r#"{"seq":0,"at_ms":5,"chain":"c","type":"begin""#;
        let hash = EXPECTED;
        assert_eq!(
            String::from_utf8(buffer.clone()).unwrap(),
            format!("{line},\"hash\":\"{hash}\"}}\n")
        );
        assert_eq!((end.seq, end.hash.to_string()), (1, hash.to_owned()));
        let marked = Marked::parse(buffer.trim_ascii_end()).unwrap();
        assert_eq!(marked, Marked { covered: line.as_bytes(), hash: end.hash });
        assert_eq!(Line::parse(&buffer).unwrap().r#type, "begin");
    }

    #[test]
    fn a_hash_has_one_spelling() {
        assert!("AB".repeat(32).parse::<LineHash>().is_err());
        assert!("a".repeat(63).parse::<LineHash>().is_err());
        assert!("é".repeat(32).parse::<LineHash>().is_err());
        assert_eq!("ab".repeat(32).parse::<LineHash>().unwrap().to_string(), "ab".repeat(32));
    }

    const EXPECTED: &str = "322f59855bbef90f3f074cff80e6725e22f8334641b9b7a514b801589f96b840";
}
