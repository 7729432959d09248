//! Builds and signs snapshots: the control plane's side of the format.

use ed25519_dalek::{Signer, SigningKey};

use crate::cutoff_map::{self, Cutoff};
use crate::envelope::{FeedKey, MAGIC, MAX_SIGNATURES, VERSION, message};
use crate::fingerprint::{Fingerprint, Salt};
use crate::issuer_rules::{IssuerRules, MAX_ISSUERS};
use crate::position::{Floor, Position};
use crate::snapshot::{DeadKey, Header, MAX_DEAD_KEYS, MAX_ENTRIES};
use crate::sorted_set;

/// The content of one snapshot.
#[derive(Debug, Clone, Default)]
pub struct Content<'a> {
    /// Where the range begins (exclusive), with its chain hash; seq 0 for a base.
    pub from: Floor,
    /// Where the range ends (inclusive), with its chain hash.
    pub to: Floor,
    /// When it is signed, unix seconds.
    pub issued_at: u64,
    /// Until when it proves the feed fresh, unix seconds.
    pub valid_until: u64,
    /// The key of the fingerprints.
    pub salt: Salt,
    /// The rules of issuers, each issuer at most once and in any order.
    pub issuers: Vec<IssuerRules>,
    /// Keys that must not be trusted any more, at most [`MAX_DEAD_KEYS`](crate::MAX_DEAD_KEYS).
    pub dead_keys: Vec<DeadKey>,
    /// What is revoked regardless of its age, strictly ascending fingerprints.
    pub denied: &'a [u64],
    /// Cut-offs, by strictly ascending fingerprint.
    pub cutoffs: &'a [(u64, Cutoff)],
}

impl Content<'_> {
    /// True if a reader accepts a snapshot with this many entries, keys, issuers, selectors and
    /// steps.
    pub fn is_within_limits(&self) -> bool {
        self.denied.len().max(self.cutoffs.len()) <= MAX_ENTRIES
            && self.dead_keys.len() <= MAX_DEAD_KEYS
            && self.issuers.len() <= MAX_ISSUERS
            && self.issuers.iter().all(IssuerRules::is_well_formed)
    }
}

/// Signs the snapshots of one feed with one key, or with several while the key changes.
pub struct SnapshotSigner {
    feed: String,
    keys: Vec<(SigningKey, FeedKey)>,
}

impl SnapshotSigner {
    /// A signer for the feed `feed`; only the first eight keys sign.
    pub fn new(feed: &str, keys: Vec<SigningKey>) -> Self {
        let keys = keys.into_iter().take(MAX_SIGNATURES);
        // A key that signs has a public half of prime order, which is never refused.
        let with_public = |key: SigningKey| {
            FeedKey::from_bytes(key.verifying_key().as_bytes()).ok().map(|public| (key, public))
        };
        Self { feed: feed.to_owned(), keys: keys.filter_map(with_public).collect() }
    }

    /// The feed's id.
    pub fn feed(&self) -> &str {
        &self.feed
    }

    /// The public halves, which verifiers must trust.
    pub fn feed_keys(&self) -> Vec<FeedKey> {
        self.keys.iter().map(|(_, public)| public.clone()).collect()
    }

    /// Encodes and signs `content`.
    pub fn sign(&self, content: &Content<'_>) -> Vec<u8> {
        let body = self.body(content);
        let message = message(&blake3::hash(&body));
        let mut bytes = Vec::with_capacity(body.len().saturating_add(1024));
        bytes.extend_from_slice(MAGIC);
        bytes.push(VERSION);
        bytes.push(u8::try_from(self.keys.len()).unwrap_or(0));
        for (key, public) in &self.keys {
            bytes.extend_from_slice(&public.id().0);
            bytes.extend_from_slice(&key.sign(&message).to_bytes());
        }
        bytes.extend_from_slice(&body);
        bytes
    }

    fn body(&self, content: &Content<'_>) -> Vec<u8> {
        let mut collections = Vec::new();
        sorted_set::write(content.denied, &mut collections);
        let cutoff_columns = cutoff_map::write(content.cutoffs, &mut collections);
        let (issuers, dead_keys) = named(content);
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let Position { era, seq: to } = content.to.position;
        let header = Header {
            feed: self.feed.clone(),
            era,
            from: content.from.position.seq,
            to,
            chain_from: content.from.chain,
            chain_to: content.to.chain,
            issued_at: content.issued_at,
            valid_until: content.valid_until,
            salt: content.salt,
            issuers,
            dead_keys,
            denied_count: count(content.denied.len()),
            cutoffs_count: count(content.cutoffs.len()),
            cutoff_columns,
        };
        let mut body = postcard::to_allocvec(&header).unwrap_or_default();
        body.append(&mut collections);
        body
    }
}

/// The issuers in their order, with those of dead keys, and the dead keys by their places.
fn named(content: &Content<'_>) -> (Vec<IssuerRules>, Vec<(u32, String)>) {
    let mut issuers = content.issuers.clone();
    let of_keys = content.dead_keys.iter().map(|key| IssuerRules::new(&key.issuer));
    issuers.extend(of_keys);
    // Stable: rules with content come before the bare name of a dead key's issuer.
    issuers.sort_by(|one, other| one.issuer.cmp(&other.issuer));
    issuers.dedup_by(|later, first| later.issuer == first.issuer);
    let place = |issuer: &str| issuers.iter().position(|rules| rules.issuer == issuer);
    let dead_keys = content.dead_keys.iter().filter_map(|DeadKey { issuer, kid }| {
        Some((u32::try_from(place(issuer)?).ok()?, kid.clone()))
    });
    let dead_keys = dead_keys.collect();
    (issuers, dead_keys)
}

impl Fingerprint {
    /// Sorts and removes repetitions, as [`Content`] requires.
    pub fn sorted(ids: impl IntoIterator<Item = Self>) -> Vec<u64> {
        let mut numbers: Vec<u64> = ids.into_iter().map(|id| id.0).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Content, DeadKey, Horizon, IssuerRules, MAX_DEAD_KEYS, MAX_ENTRIES, MAX_HORIZONS,
        MAX_ISSUERS, Selector, Snapshot, SnapshotSigner, Uses,
    };

    // The reader accepts what the builder calls readable, at each limit, and refuses the rest.
    #[test]
    fn the_limits_of_the_builder_are_those_of_the_reader() {
        let signer =
            SnapshotSigner::new("f", vec![ed25519_dalek::SigningKey::from_bytes(&[1; 32])]);
        let key = |number: usize| DeadKey { issuer: "i".to_owned(), kid: number.to_string() };
        let keys = |count: usize| Content {
            dead_keys: (0..count).map(key).collect(),
            ..Content::default()
        };
        let issuer = |number: usize| IssuerRules::new(&format!("{number:04}"));
        let issuers = |count: usize| Content {
            issuers: (0..count).map(issuer).collect(),
            ..Content::default()
        };
        let steps = |count: usize| {
            let mut rules = IssuerRules::new("i");
            for issued_from in 0..u64::try_from(count).unwrap_or(0) {
                rules.horizons.add(Horizon { issued_from, seconds: 60 });
            }
            Content { issuers: vec![rules], ..Content::default() }
        };
        let selectors = |count: usize| {
            let mut rules = IssuerRules::new("i");
            for number in 0..count {
                if let Ok(selector) = Selector::new([number.to_string()]) {
                    rules.list(&selector, Uses::CUTOFF);
                }
            }
            Content { issuers: vec![rules], ..Content::default() }
        };
        for (content, is_good) in [
            (keys(MAX_DEAD_KEYS), true),
            (keys(MAX_DEAD_KEYS + 1), false),
            (issuers(MAX_ISSUERS), true),
            (issuers(MAX_ISSUERS + 1), false),
            (steps(MAX_HORIZONS), true),
            (steps(MAX_HORIZONS + 1), false),
            (selectors(16), true),
            (selectors(17), false),
        ] {
            assert_eq!(content.is_within_limits(), is_good);
            let mut content = content;
            content.from.position.era = 1;
            content.to.position.era = 1;
            let read = Snapshot::open(signer.sign(&content), &signer.feed_keys());
            assert_eq!(read.is_ok(), is_good, "{:?}", read.err());
        }
        // The zeros are never touched, so they take no memory.
        let zeros = vec![0; MAX_ENTRIES + 1];
        for (count, is_good) in [(MAX_ENTRIES, true), (MAX_ENTRIES + 1, false)] {
            let denied = zeros.get(..count).unwrap_or_default();
            assert_eq!(Content { denied, ..Content::default() }.is_within_limits(), is_good);
        }
    }
}
