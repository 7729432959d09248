//! Finds the first line of an audit log that is not as it was written.

use std::collections::BTreeMap;

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_snapshot::FeedKey;
use offswitch_snapshot::ed25519::PublicKey;

use super::line::{End, Line, LineHash, MAX_LINE_BYTES, Marked, checkpoint_message};

/// Reads the lines of one or several chains, which may be mixed, and checks each against the one before
/// it in its chain.
#[derive(Debug, Default)]
pub struct Check {
    keys: Vec<(String, PublicKey)>,
    /// Lines that must be there, because they were noted elsewhere.
    wanted: Vec<(u64, LineHash)>,
    chains: BTreeMap<String, ChainReport>,
}

/// What was found of one chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainReport {
    /// The number of its first file that was given: earlier ones may have been removed by their owner.
    pub first_file: u64,
    /// How many lines there are.
    pub lines: u64,
    /// How many of them are changes.
    pub changes: u64,
    /// How many changes have no line, because it could not be written at the time.
    pub lost: u64,
    /// The last line that a checkpoint covers: that a signature was checked for, if keys were given.
    pub signed_up_to: Option<u64>,
    /// The ids of the keys that signed checkpoints.
    pub signed_by: Vec<String>,
    /// When the first and the last line were written, unix milliseconds.
    pub written_ms: (u64, u64),
    /// Where it ends.
    pub end: End,
}

/// Why a line is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The hash does not fit.
    #[error("it was changed: its hash is not that of its content after the line before it")]
    Changed,
    /// It is the first line of a chain or file, and claims to follow another line than it does.
    #[error("it does not follow the end of the file before it")]
    Elsewhere,
    /// The first line of a chain that was given is not the first line of a file.
    #[error("its chain begins in the middle: lines 0 to {before} are missing", before = .found.saturating_sub(1))]
    Headless {
        /// Its seq.
        found: u64,
    },
    /// No line of an audit log.
    #[error("it is not a line of an audit log")]
    Malformed,
    /// Lines before it are not there.
    #[error("line(s) {expected} to {last} of the chain are missing before it", last = .found.saturating_sub(1))]
    Missing {
        /// The seq that comes next.
        expected: u64,
        /// Its seq.
        found: u64,
    },
    /// It was moved or repeated.
    #[error("it is out of place: line {found} of the chain, after line {before}", before = .expected.saturating_sub(1))]
    OutOfPlace {
        /// The seq that comes next.
        expected: u64,
        /// Its seq.
        found: u64,
    },
    /// The file ends within it.
    #[error("the file ends within it")]
    Torn,
    /// Its key is not among those that were given.
    #[error("the checkpoint is signed by the key {0}, which is not among the given ones")]
    UnknownKey(String),
    /// A signature is wrong.
    #[error("the signature of the checkpoint is wrong")]
    WrongSignature,
}

impl Check {
    /// A check with the public keys that may have signed checkpoints; without any, signatures are not
    /// checked. The lines in `wanted`, by seq and hash, must be there.
    pub fn new(keys: &[FeedKey], wanted: Vec<(u64, LineHash)>) -> Self {
        let key = |key: &FeedKey| {
            let id = key.id().0.iter().map(|byte| format!("{byte:02x}")).collect();
            // It was read as a key before.
            Some((id, PublicKey::from_bytes(key.public_key())?))
        };
        Self { keys: keys.iter().filter_map(key).collect(), wanted, chains: BTreeMap::new() }
    }

    /// Takes the next line, without its line feed.
    ///
    /// # Errors
    ///
    /// Why it is not as it was written; then nothing after it can be trusted.
    pub fn line(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        if bytes.len() > MAX_LINE_BYTES {
            return Err(Flaw::Malformed);
        }
        let marked = Marked::parse(bytes).ok_or(Flaw::Malformed)?;
        let line = Line::parse(bytes).ok_or(Flaw::Malformed)?;
        let before = self.before(&line)?;
        if before.next(marked.covered) != marked.hash {
            return Err(Flaw::Changed);
        }
        let signed_by = match line.r#type.as_str() {
            "checkpoint" => Some(self.signer(&line, before)?),
            _ => None,
        };
        self.wanted.retain(|wanted| *wanted != (line.seq, marked.hash));
        let report = self.chains.entry(line.chain.clone()).or_insert_with(|| ChainReport {
            first_file: line.file.unwrap_or(1),
            lines: 0,
            changes: 0,
            lost: 0,
            signed_up_to: None,
            signed_by: vec![],
            written_ms: (line.at_ms, line.at_ms),
            end: End { chain: line.chain.clone(), seq: line.seq, hash: before },
        });
        report.take(&line, marked.hash, signed_by);
        Ok(())
    }

    /// What was found, if every line that had to be there is.
    ///
    /// # Errors
    ///
    /// The seq and hash of a line that is not there: the end was cut off, or these are other files.
    pub fn finish(self) -> Result<Vec<ChainReport>, (u64, LineHash)> {
        match self.wanted.first() {
            Some(missing) => Err(*missing),
            None => Ok(self.chains.into_values().collect()),
        }
    }

    /// The hash of the line that must come before this one.
    fn before(&self, line: &Line) -> Result<LineHash, Flaw> {
        let prev = match (line.r#type.as_str(), &line.prev) {
            ("begin", Some(prev)) => Some(prev.parse().map_err(|_| Flaw::Malformed)?),
            ("begin", None) => return Err(Flaw::Malformed),
            _ => None,
        };
        let found = line.seq;
        let Some(ChainReport { end, .. }) = self.chains.get(&line.chain) else {
            let prev: LineHash = prev.ok_or(Flaw::Headless { found })?;
            let is_first = line.file == Some(1);
            let is_zero = found == 0 && prev == LineHash::default();
            return if is_first == is_zero { Ok(prev) } else { Err(Flaw::Elsewhere) };
        };
        let expected = end.seq;
        match found {
            found if found > expected => Err(Flaw::Missing { expected, found }),
            found if found < expected => Err(Flaw::OutOfPlace { expected, found }),
            _ if prev.is_some_and(|prev| prev != end.hash) => Err(Flaw::Elsewhere),
            _ => Ok(end.hash),
        }
    }

    /// Checks a checkpoint's signature over the line before it; returns the id of the key.
    fn signer(&self, line: &Line, before: LineHash) -> Result<String, Flaw> {
        let (Some(id), Some(signature)) = (&line.key, &line.signature) else {
            return Err(Flaw::Malformed);
        };
        let signature = Base64UrlUnpadded::decode_vec(signature).map_err(|_| Flaw::Malformed)?;
        if self.keys.is_empty() {
            return Ok(id.clone());
        }
        let Some((_, key)) = self.keys.iter().find(|(known, _)| known == id) else {
            return Err(Flaw::UnknownKey(id.clone()));
        };
        match key.accepts(&signature, &checkpoint_message(before)) {
            true => Ok(id.clone()),
            false => Err(Flaw::WrongSignature),
        }
    }
}

impl ChainReport {
    fn take(&mut self, line: &Line, hash: LineHash, signed_by: Option<String>) {
        self.lines += 1;
        self.changes += u64::from(matches!(line.r#type.as_str(), "request" | "command" | "task"));
        self.lost = self.lost.saturating_add(line.lost.unwrap_or(0));
        self.written_ms.1 = line.at_ms;
        self.end.seq = line.seq.saturating_add(1);
        self.end.hash = hash;
        if let Some(key) = signed_by {
            self.signed_up_to = line.seq.checked_sub(1);
            if !self.signed_by.contains(&key) {
                self.signed_by.push(key);
            }
        }
    }
}
