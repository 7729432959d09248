//! The keys that sign the feed: all of them sign every snapshot, until one is dropped.
//!
//! Verifiers pin feed keys in their configuration. So a new key signs together with the old ones as
//! soon as it exists, and an old key is removed only when an operator drops it.

use std::fmt::Write;

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::Signer;
use serde::{Deserialize, Serialize};

use super::token_key::Secret;
use super::{Change, DeadKeys, Keyring, KeyringError, Plain};
use crate::master_key::{MasterKey, random_bytes};
use crate::store::Store;

/// One key that signs the feed.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct FeedSeed {
    secret: Secret,
    created_at: u64,
    /// Identifies the request that asked for it, so that a repetition finds it.
    request: [u8; 16],
}

/// A feed key that does not sign any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DroppedFeedKey {
    id: [u8; 8],
    at: u64,
}

/// A feed key, as shown to an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FeedKeyStatus {
    /// Its id in snapshots, in hexadecimal.
    pub id: String,
    /// The public key that verifiers trust, base64url.
    pub public_key: String,
    /// When it was made, unix seconds.
    pub created_at: u64,
    /// Whether it has a successor.
    pub state: FeedKeyState,
}

/// Both states sign every snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FeedKeyState {
    /// The newest: verifiers should be configured with it.
    Current,
    /// Signs until it is dropped, for verifiers that do not know its successor.
    Overlapping,
}

/// The outcome of rotating the feed key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotatedFeedKey {
    /// The new key.
    pub key: FeedKeyStatus,
    /// True if the same request made it before.
    pub repeated: bool,
}

impl Keyring {
    /// The keys that sign the feed, oldest first.
    pub fn feed_keys(&self) -> Vec<FeedKeyStatus> {
        statuses(&self.feeds)
    }

    /// Signs a message with the newest key: its id, and the signature.
    pub fn sign_with_feed_key(&self, message: &[u8]) -> Option<(String, [u8; 64])> {
        let seed = self.feeds.last()?;
        Some((hex(seed.id()), seed.signing_key().sign(message).to_bytes()))
    }

    /// Signs `claims`, a JSON object, with the newest key: a compact JWS of type `typ` (RFC 7515 section 7.1).
    pub fn sign_jws_with_feed_key(&self, typ: &str, claims: &str) -> Option<String> {
        let seed = self.feeds.last()?;
        let encode = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
        let header = format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"{typ}"}}"#, hex(seed.id()));
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let signature = seed.signing_key().sign(signed.as_bytes()).to_bytes();
        Some(format!("{signed}.{}", encode(&signature)))
    }

    /// True if the same keys sign the feed in both.
    pub fn signs_like(&self, other: &Self) -> bool {
        self.feeds.iter().map(FeedSeed::id).eq(other.feeds.iter().map(FeedSeed::id))
    }

    /// Adds a feed key, which signs together with the others from now on.
    ///
    /// # Errors
    ///
    /// [`KeyringError::TooManyFeedKeys`]; see [`KeyringError`] for the rest.
    pub async fn rotate_feed(
        store: &dyn Store,
        master: &MasterKey,
        request: [u8; 16],
        now: u64,
        dead: &DeadKeys,
    ) -> Result<RotatedFeedKey, KeyringError> {
        let fresh = FeedSeed { request, ..FeedSeed::create(random_bytes(), now) };
        let add = |plain: &mut Plain| {
            let known = plain.feeds.iter().position(|seed| seed.request == request);
            let changed = match known {
                Some(_) => Change::None,
                None if plain.feeds.len() >= MAX_FEED_KEYS => {
                    return Err(KeyringError::TooManyFeedKeys);
                }
                None => Change::Made,
            };
            if changed == Change::Made {
                plain.feeds.push(fresh.clone());
            }
            let place = known.unwrap_or(plain.feeds.len() - 1);
            let key = statuses(&plain.feeds).swap_remove(place);
            let repeated = changed == Change::None && key.id != hex(fresh.id());
            Ok((RotatedFeedKey { key, repeated }, changed))
        };
        Self::update(store, master, now, dead, add).await
    }

    /// Stops signing with the feed key `id`. True if it signed until now.
    ///
    /// # Errors
    ///
    /// [`KeyringError::LastFeedKey`] and [`KeyringError::UnknownFeedKey`]; see [`KeyringError`] for
    /// the rest.
    pub async fn drop_feed(
        store: &dyn Store,
        master: &MasterKey,
        id: &str,
        now: u64,
        dead: &DeadKeys,
    ) -> Result<bool, KeyringError> {
        let remove = |plain: &mut Plain| {
            let Some(place) = plain.feeds.iter().position(|seed| hex(seed.id()) == id) else {
                let was_dropped = plain.dropped.iter().any(|dropped| hex(dropped.id) == id);
                return if was_dropped {
                    Ok((false, Change::None))
                } else {
                    Err(KeyringError::UnknownFeedKey)
                };
            };
            if plain.feeds.len() == 1 {
                return Err(KeyringError::LastFeedKey);
            }
            let dropped = plain.feeds.remove(place);
            plain.note_dropped(&[DroppedFeedKey { id: dropped.id(), at: now }]);
            Ok((true, Change::Made))
        };
        Self::update(store, master, now, dead, remove).await
    }
}

impl Plain {
    /// Adds the feed keys that only `known` has and that were not dropped. True if that changed
    /// anything.
    pub(super) fn join_feeds(&mut self, known: &Keyring) -> bool {
        let before = (self.feeds.len(), self.dropped.len());
        self.note_dropped(&known.dropped);
        let is_dropped = |seed: &FeedSeed| self.dropped.iter().any(|one| one.id == seed.id());
        let is_held = |seed: &FeedSeed| self.feeds.iter().any(|held| held.id() == seed.id());
        let missing = known.feeds.iter().filter(|seed| !is_held(seed) && !is_dropped(seed));
        let missing: Vec<_> = missing.cloned().collect();
        self.feeds.extend(missing);
        // Stable: of two keys made in the same second, the one added later stays the newer one.
        self.feeds.sort_by_key(|seed| seed.created_at);
        let gone: Vec<[u8; 8]> = self.dropped.iter().map(|one| one.id).collect();
        self.feeds.retain(|seed| !gone.contains(&seed.id()));
        before != (self.feeds.len(), self.dropped.len())
    }

    /// Remembers dropped keys, the newest [`MAX_DROPPED`].
    fn note_dropped(&mut self, dropped: &[DroppedFeedKey]) {
        for one in dropped {
            if self.dropped.iter().all(|held| held.id != one.id) {
                self.dropped.push(*one);
            }
        }
        self.dropped.sort_by_key(|one| (one.at, one.id));
        let surplus = self.dropped.len().saturating_sub(MAX_DROPPED);
        self.dropped.drain(..surplus);
    }
}

impl FeedSeed {
    pub(super) fn create(secret: [u8; 32], created_at: u64) -> Self {
        Self { secret: Secret(secret), created_at, request: random_bytes() }
    }

    pub(super) fn signing_key(&self) -> ed25519_dalek::SigningKey {
        self.secret.ed25519()
    }

    /// Its id in snapshots.
    fn id(&self) -> [u8; 8] {
        let mut id = [0; 8];
        id.copy_from_slice(&blake3::hash(&self.public_key()).as_bytes()[..8]);
        id
    }

    fn public_key(&self) -> [u8; 32] {
        self.signing_key().verifying_key().to_bytes()
    }
}

fn statuses(feeds: &[FeedSeed]) -> Vec<FeedKeyStatus> {
    let last = feeds.len().saturating_sub(1);
    let status = |(place, seed): (usize, &FeedSeed)| FeedKeyStatus {
        id: hex(seed.id()),
        public_key: Base64UrlUnpadded::encode_string(&seed.public_key()),
        created_at: seed.created_at,
        state: if place == last { FeedKeyState::Current } else { FeedKeyState::Overlapping },
    };
    feeds.iter().enumerate().map(status).collect()
}

fn hex(id: [u8; 8]) -> String {
    id.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Each signature takes 72 bytes of every snapshot, and verifiers read at most eight.
pub const MAX_FEED_KEYS: usize = 4;
/// More than any running process can remember.
const MAX_DROPPED: usize = 64;
