//! One opened snapshot: its header, and its two collections read in place.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cutoff_map::{Columns, Cutoff, CutoffMap};
use crate::decode::Reader;
use crate::envelope::{self, FeedKey, OpenError};
use crate::fingerprint::{Fingerprint, Salt};
use crate::issuer_rules::{IssuerRules, MAX_ISSUERS};
use crate::position::{ChainHash, Floor, Position};
use crate::sorted_set::SortedSet;

/// The log folded over the range `(from, to]`, signed by a trusted key and well-formed.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) bytes: Arc<Vec<u8>>,
    header: Header,
    pub(crate) denied: SortedSet,
    pub(crate) cutoffs: CutoffMap,
}

/// A key that must not be trusted any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeadKey {
    /// Whose key it was, the exact `iss`.
    pub issuer: String,
    /// Its name.
    pub kid: String,
}

/// The first part of the body, in postcard; the collections follow it as raw words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Header {
    pub(crate) feed: String,
    pub(crate) era: u64,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) chain_from: ChainHash,
    pub(crate) chain_to: ChainHash,
    pub(crate) issued_at: u64,
    pub(crate) valid_until: u64,
    pub(crate) salt: Salt,
    pub(crate) issuers: Vec<IssuerRules>,
    /// The place of the issuer in `issuers`, and the key id.
    pub(crate) dead_keys: Vec<(u32, String)>,
    pub(crate) denied_count: u64,
    pub(crate) cutoffs_count: u64,
    pub(crate) cutoff_columns: Columns,
}

impl Snapshot {
    /// Opens `bytes` if a `trusted` key signed them; they are kept and read in place.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. Every declared count is held against the bytes that are there before
    /// anything is allocated for it, and no byte may be left over.
    pub fn open(bytes: Vec<u8>, trusted: &[FeedKey]) -> Result<Self, OpenError> {
        let body_at = envelope::open(&bytes, trusted)?;
        Self::read(bytes, body_at)
    }

    /// Reads the body, which begins at `body_at`, without checking its signatures.
    pub(crate) fn read(bytes: Vec<u8>, body_at: usize) -> Result<Self, OpenError> {
        let body = bytes.get(body_at..).unwrap_or_default();
        let mut reader = Reader(body);
        let header = reader.header().ok_or(OpenError::Malformed("the header"))?;
        header.check()?;
        let at = bytes.len().saturating_sub(reader.0.len());
        let count = |count: u64| {
            usize::try_from(count)
                .ok()
                .filter(|count| *count <= MAX_ENTRIES)
                .ok_or(OpenError::Malformed("a count is over the limit"))
        };
        let (denied, at) = SortedSet::read(&bytes, at, count(header.denied_count)?)
            .ok_or(OpenError::Malformed("the denied set"))?;
        let cutoffs = count(header.cutoffs_count)?;
        let (cutoffs, at) = CutoffMap::read(&bytes, at, cutoffs, header.cutoff_columns)
            .ok_or(OpenError::Malformed("the cut-offs"))?;
        if at != bytes.len() {
            return Err(OpenError::Malformed("bytes are left over"));
        }
        if !cutoffs.is_below(&bytes, NUMBER_LIMIT) {
            return Err(TOO_LARGE);
        }
        Ok(Self { bytes: Arc::new(bytes), header, denied, cutoffs })
    }

    /// The bytes that were opened.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same, to be kept without a copy.
    pub fn shared_bytes(&self) -> Arc<Vec<u8>> {
        Arc::clone(&self.bytes)
    }

    /// The id of the feed it belongs to.
    pub fn feed(&self) -> &str {
        &self.header.feed
    }

    /// Where the range begins (exclusive); seq 0 for a base.
    pub fn from(&self) -> Position {
        Position { era: self.header.era, seq: self.header.from }
    }

    /// Where the range ends (inclusive).
    pub fn to(&self) -> Position {
        Position { era: self.header.era, seq: self.header.to }
    }

    /// The chain hash at [`from`](Self::from).
    pub fn chain_from(&self) -> ChainHash {
        self.header.chain_from
    }

    /// The chain hash at [`to`](Self::to).
    pub fn chain_to(&self) -> ChainHash {
        self.header.chain_to
    }

    /// Where it leads.
    pub fn end(&self) -> Floor {
        Floor { position: self.to(), chain: self.chain_to() }
    }

    /// When it was signed, unix seconds.
    pub fn issued_at(&self) -> u64 {
        self.header.issued_at
    }

    /// Until when it proves the feed fresh, unix seconds.
    pub fn valid_until(&self) -> u64 {
        self.header.valid_until
    }

    /// True for a snapshot that replaces what came before it.
    pub fn is_base(&self) -> bool {
        self.header.from == 0
    }

    /// The key of its fingerprints.
    pub fn salt(&self) -> Salt {
        self.header.salt
    }

    /// The rules of issuers, ascending by `iss`; a delta lists those with a change.
    pub fn issuers(&self) -> &[IssuerRules] {
        &self.header.issuers
    }

    /// The keys it declares dead: the issuer, and the key id.
    pub fn dead_keys(&self) -> impl Iterator<Item = (&str, &str)> {
        self.header.dead_keys.iter().filter_map(|(issuer, kid)| {
            let rules = self.header.issuers.get(usize::try_from(*issuer).ok()?)?;
            Some((rules.issuer.as_str(), kid.as_str()))
        })
    }

    /// How many ids it denies.
    pub fn denied_count(&self) -> usize {
        self.denied.len()
    }

    /// How many cut-offs it has.
    pub fn cutoffs_count(&self) -> usize {
        self.cutoffs.len()
    }

    /// True if tokens with these values are revoked regardless of their age.
    pub fn is_denied(&self, id: Fingerprint) -> bool {
        self.denied.rank(&self.bytes, id.0).is_some()
    }

    /// The minimum for tokens with these values, if they were ever revoked up to a cut-off.
    pub fn cutoff(&self, id: Fingerprint) -> Option<Cutoff> {
        self.cutoffs.find(&self.bytes, id.0)
    }

    /// The denied ids, ascending.
    pub fn denied(&self) -> impl Iterator<Item = Fingerprint> + '_ {
        self.denied.iter(&self.bytes).map(Fingerprint)
    }

    /// The cut-offs, by ascending fingerprint.
    pub fn cutoffs(&self) -> impl Iterator<Item = (Fingerprint, Cutoff)> + '_ {
        self.cutoffs.iter(&self.bytes).map(|(id, cutoff)| (Fingerprint(id), cutoff))
    }

    /// How many bytes it keeps.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl Header {
    fn check(&self) -> Result<(), OpenError> {
        if self.from > self.to || self.era == 0 {
            return Err(OpenError::Malformed("the range"));
        }
        if self.to >= NUMBER_LIMIT {
            return Err(TOO_LARGE);
        }
        if self.valid_until < self.issued_at {
            return Err(OpenError::Malformed("the times"));
        }
        if self.dead_keys.len() > MAX_DEAD_KEYS || self.issuers.len() > MAX_ISSUERS {
            return Err(OpenError::Malformed("a count is over the limit"));
        }
        let is_ascending = |pair: &[IssuerRules]| match pair {
            [one, other] => one.issuer < other.issuer,
            _ => true,
        };
        if !self.issuers.windows(2).all(is_ascending)
            || !self.issuers.iter().all(IssuerRules::is_well_formed)
        {
            return Err(OpenError::Malformed("the rules of issuers"));
        }
        let is_known =
            |issuer: u32| usize::try_from(issuer).is_ok_and(|at| at < self.issuers.len());
        if !self.dead_keys.iter().all(|(issuer, _)| is_known(*issuer)) {
            return Err(OpenError::Malformed("the issuer of a dead key"));
        }
        Ok(())
    }
}

/// Seqs, versions and times stay below what a token's `ver` can be and what JavaScript counts
/// exactly. A minimum version at or above it could never be met by any token again.
const NUMBER_LIMIT: u64 = 1 << 53;
const TOO_LARGE: OpenError = OpenError::Malformed("a number of 2^53 or more");
/// The most entries one collection may hold: 12 million tokens and more fit a 128 MB isolate twice.
pub const MAX_ENTRIES: usize = 1 << 27;
/// The most dead keys one snapshot may name.
pub const MAX_DEAD_KEYS: usize = 1024;
