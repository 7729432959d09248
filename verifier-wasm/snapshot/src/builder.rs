//! Builds and signs snapshots: the control plane's side of the format.

use ed25519_dalek::{Signer, SigningKey};

use crate::envelope::{FeedKey, MAGIC, MAX_SIGNATURES, VERSION, message};
use crate::fingerprint::{Fingerprint, Salt};
use crate::position::{Floor, Position};
use crate::snapshot::{DeadKey, Header};
use crate::sorted_set;
use crate::user_map::{self, UserFloor};

/// What one snapshot says.
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
    /// Tokens issued before this instant (unix seconds) are off; 0 for none.
    pub epoch: u64,
    /// Keys that must not be trusted any more, at most [`MAX_DEAD_KEYS`](crate::MAX_DEAD_KEYS).
    pub dead_keys: Vec<DeadKey>,
    /// Tokens and sessions, strictly ascending.
    pub denied: &'a [u64],
    /// Users, by strictly ascending fingerprint.
    pub users: &'a [(u64, UserFloor)],
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
        let user_columns = user_map::write(content.users, &mut collections);
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
            epoch: content.epoch,
            dead_keys: content.dead_keys.clone(),
            denied_count: count(content.denied.len()),
            users_count: count(content.users.len()),
            user_columns,
        };
        let mut body = postcard::to_allocvec(&header).unwrap_or_default();
        body.append(&mut collections);
        body
    }
}

impl Fingerprint {
    /// Sorts and removes repetitions, as [`Content`] wants its numbers.
    pub fn sorted(ids: impl IntoIterator<Item = Self>) -> Vec<u64> {
        let mut numbers: Vec<u64> = ids.into_iter().map(|id| id.0).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}
