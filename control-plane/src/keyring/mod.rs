//! The private keys: those that sign tokens and those that sign the feed. All processes share them
//! through one sealed document in the store.

mod dead_keys;
mod feed_key;
mod lifetime;
mod token_key;

use std::sync::Arc;

use offswitch_snapshot::SnapshotSigner;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::master_key::{KeyId, MasterKey, MasterKeyError, random_bytes};
use crate::store::{Store, StoreError};
use feed_key::{DroppedFeedKey, FeedSeed};
use lifetime::{Lifetimes, order};

pub use dead_keys::DeadKeys;
pub use feed_key::{FeedKeyState, FeedKeyStatus, MAX_FEED_KEYS, RotatedFeedKey};
pub use lifetime::{KeyState, MAX_PUBLISHED_KEYS, RETIRES_AFTER_SECONDS};
pub use token_key::{TokenAlgorithm, TokenKey};

/// Every private key, opened. Immutable: a change makes a new one.
pub struct Keyring {
    sealed: Vec<u8>,
    tokens: Vec<TokenKey>,
    feeds: Vec<FeedSeed>,
    dropped: Vec<DroppedFeedKey>,
    origin: Option<Zeroizing<[u8; 32]>>,
}

/// The policy for new token keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPolicy {
    /// Their algorithm.
    pub algorithm: TokenAlgorithm,
    /// How long each is published before it signs, if another key can sign meanwhile.
    pub publish_seconds: u64,
}

/// The outcome of a rotation: the key that signs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// Its name.
    pub kid: String,
    /// The JOSE name of its algorithm.
    pub algorithm: &'static str,
    /// When it starts to sign, unix seconds.
    pub signs_from: u64,
    /// True if it existed already: pending, or made by a process that was faster.
    pub repeated: bool,
}

/// The document before sealing; it leaves this module only sealed.
#[derive(Default, Serialize, Deserialize)]
struct Plain {
    tokens: Vec<TokenKey>,
    /// In the order they were made.
    feeds: Vec<FeedSeed>,
    /// Prevents a process that remembers a dropped key from restoring it.
    dropped: Vec<DroppedFeedKey>,
    /// The permanent values derived from an earlier master key; absent if that is the present one.
    origin: Option<[u8; 32]>,
}

/// Why there is no keyring, or no new key.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The document does not open.
    #[error(transparent)]
    Sealed(#[from] MasterKeyError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The last feed key cannot be dropped: nothing would sign the feed.
    #[error("it is the only feed key; rotate it first, then drop it")]
    LastFeedKey,
    /// The store holds no keyring.
    #[error("there is no keyring in the store yet: start with the new master key alone")]
    Missing,
    /// The store was started again with other secrets than this process has.
    #[error(
        "the keyring in the store belongs to another beginning of the feed; restart this process"
    )]
    OtherOrigin,
    /// [`MAX_FEED_KEYS`] keys sign already.
    #[error("{MAX_FEED_KEYS} feed keys sign already; drop one that no verifier needs first")]
    TooManyFeedKeys,
    /// There are [`MAX_PUBLISHED_KEYS`] token keys already.
    #[error("there are too many token keys; the oldest must retire first")]
    TooManyKeys,
    /// No feed key has this id.
    #[error("there is no feed key with this id; GET /v1/keys shows them")]
    UnknownFeedKey,
    /// The document was opened, but is not a keyring.
    #[error("the keyring in the store cannot be read")]
    Unreadable,
}

impl Keyring {
    /// Loads the keyring and makes sure that it contains a feed key, a token key that is not dead,
    /// and every key that is `known` already and neither retired nor dropped. A store that comes
    /// back empty or older, or whose keyring was altered, gets them back. What is missing is
    /// created once for all processes. From then on `master` uses the key that the keyring is
    /// sealed under.
    ///
    /// A process that starts, for which nothing is `known`, also adds a key if the algorithm of the
    /// newest one is not the one configured for new keys. It does so only at the start: otherwise
    /// processes with different configurations would overrule each other without end.
    ///
    /// # Errors
    ///
    /// See [`KeyringError`].
    pub async fn load(
        store: &dyn Store,
        master: &MasterKey,
        policy: KeyPolicy,
        known: Option<&Self>,
        now: u64,
        dead: &DeadKeys,
    ) -> Result<Self, KeyringError> {
        loop {
            let document = store.load(DOCUMENT).await?;
            let (mut plain, mut is_complete) = Plain::found(&document, master, known)?;
            if let Some(known) = known {
                is_complete &= !plain.join(known, now, dead);
            }
            if plain.feeds.is_empty() {
                plain.feeds.push(FeedSeed::create(random_bytes(), now));
                is_complete = false;
            }
            let newest = plain.lifetimes(now, dead).newest();
            let is_missing =
                newest.is_none_or(|newest| known.is_none() && newest.kind() != policy.algorithm);
            if is_missing {
                let signs_from = plain.lifetimes(now, dead).next_start(policy.publish_seconds);
                plain.tokens.push(TokenKey::create(policy.algorithm, now, signs_from));
                is_complete = false;
            }
            if is_complete {
                let Plain { tokens, feeds, dropped, origin } = plain;
                let origin = origin.map(Zeroizing::new);
                return Ok(Self { sealed: document, tokens, feeds, dropped, origin });
            }
            plain.save(store, master, &document, now, dead).await?;
        }
    }

    /// True if `store` contains a keyring, no matter which master key it is sealed under.
    ///
    /// # Errors
    ///
    /// As the store.
    pub async fn is_in(store: &dyn Store) -> Result<bool, StoreError> {
        Ok(!store.load(DOCUMENT).await?.is_empty())
    }

    /// Makes sure that `master` opens the keyring in `store`, if there is one.
    ///
    /// # Errors
    ///
    /// See [`KeyringError`].
    pub async fn opens(store: &dyn Store, master: &MasterKey) -> Result<(), KeyringError> {
        Plain::open(&store.load(DOCUMENT).await?, master).map(drop)
    }

    /// Adds a token key that signs `policy.publish_seconds` from `now` on.
    ///
    /// Adds none if one is pending, or if the newest key in the store is no longer the one named
    /// `seen`: of the processes that follow one schedule, only one adds a key. Returns the newest
    /// key.
    ///
    /// # Errors
    ///
    /// See [`KeyringError`]; if the store's answer was lost, a key may have been added, and
    /// repeating the call finds it.
    pub async fn rotate(
        store: &dyn Store,
        master: &MasterKey,
        policy: KeyPolicy,
        seen: &str,
        now: u64,
        dead: &DeadKeys,
    ) -> Result<Rotated, KeyringError> {
        let mut fresh = TokenKey::create(policy.algorithm, now, now);
        loop {
            let document = store.load(DOCUMENT).await?;
            let (mut plain, _) = Plain::found(&document, master, None)?;
            let lifetimes = plain.lifetimes(now, dead);
            if let Some(newest) = lifetimes.newest()
                && (newest.kid() != seen || newest.signs_from() > now)
            {
                return Ok(Rotated {
                    kid: newest.kid().to_owned(),
                    algorithm: newest.algorithm(),
                    signs_from: newest.signs_from(),
                    repeated: newest.kid() != fresh.kid(),
                });
            }
            if lifetimes.published().len() >= MAX_PUBLISHED_KEYS {
                return Err(KeyringError::TooManyKeys);
            }
            fresh.signs_from = lifetimes.next_start(policy.publish_seconds);
            plain.tokens.push(fresh.clone());
            plain.save(store, master, &document, now, dead).await?;
        }
    }

    /// Makes `master` use the key that the keyring in `store` is sealed under, before anything else
    /// is opened or hashed with it. Without a keyring this is the configured key.
    ///
    /// # Errors
    ///
    /// See [`KeyringError`].
    pub async fn settle(store: &dyn Store, master: &MasterKey) -> Result<(), KeyringError> {
        Self::settle_document(&store.load(DOCUMENT).await?, master)
    }

    /// [`settle`](Self::settle) with a keyring that is not in a store, as it is sealed.
    ///
    /// # Errors
    ///
    /// See [`KeyringError`].
    pub fn settle_document(document: &[u8], master: &MasterKey) -> Result<(), KeyringError> {
        Plain::found(document, master, None).map(drop)
    }

    /// Seals the keyring under the master key `to`, which `master` must accept. Every process that
    /// accepts both keys uses `to` from its next reading on. The permanent values that were derived
    /// from the present key stay. False if this was done before.
    ///
    /// # Errors
    ///
    /// See [`KeyringError`].
    pub async fn replace_master_key(
        store: &dyn Store,
        master: &MasterKey,
        to: KeyId,
    ) -> Result<bool, KeyringError> {
        loop {
            let document = store.load(DOCUMENT).await?;
            let (mut plain, _) = Plain::found(&document, master, None)?;
            match MasterKey::sealed_under(&document) {
                None => return Err(KeyringError::Missing),
                Some(id) if id == to => return Ok(false),
                Some(_) => {}
            }
            plain.origin = Some(*master.origin());
            master.use_key(to, plain.origin.as_ref());
            if store.swap(DOCUMENT, &document, &plain.seal(master)?, None).await? {
                return Ok(true);
            }
        }
    }

    /// True if both were read from the same document.
    pub fn is_same(&self, other: &Self) -> bool {
        self.sealed == other.sealed
    }

    /// The key that signs new tokens at `now`.
    pub fn active(&self, now: u64, dead: &DeadKeys) -> Option<&TokenKey> {
        Lifetimes::new(&self.tokens, now, dead).active()
    }

    /// The newest token key that is not dead, pending or not.
    pub fn newest(&self, dead: &DeadKeys) -> Option<&TokenKey> {
        Lifetimes::new(&self.tokens, 0, dead).newest()
    }

    /// True if the newest token key is `rotation_seconds` old at `now`; never if that is 0.
    pub fn is_rotation_due(&self, rotation_seconds: u64, now: u64, dead: &DeadKeys) -> bool {
        Lifetimes::new(&self.tokens, now, dead).is_due(rotation_seconds)
    }

    /// The keys that sign, signed or will sign tokens, in the order in which they sign. Includes
    /// retired ones until the keyring is written again.
    pub fn token_keys(&self) -> &[TokenKey] {
        &self.tokens
    }

    /// The use of each token key that is not retired at `now`, and when it retires (unix seconds),
    /// if that is known.
    pub fn states(&self, now: u64, dead: &DeadKeys) -> Vec<(&TokenKey, KeyState, Option<u64>)> {
        let lifetimes = Lifetimes::new(&self.tokens, now, dead);
        let state = |key| Some((key, lifetimes.state(key)?, lifetimes.retires_at(key)));
        self.tokens.iter().filter_map(state).collect()
    }

    /// The public halves of the token keys that are neither dead nor retired at `now`, as a JWK set
    /// (RFC 7517).
    pub fn jwks(&self, now: u64, dead: &DeadKeys) -> Value {
        let published = Lifetimes::new(&self.tokens, now, dead).published();
        json!({ "keys": published.into_iter().map(TokenKey::jwk).collect::<Vec<_>>() })
    }

    /// Signs the snapshots of `feed` with every feed key.
    pub fn snapshot_signer(&self, feed: &str) -> Arc<SnapshotSigner> {
        let keys = self.feeds.iter().map(FeedSeed::signing_key).collect();
        Arc::new(SnapshotSigner::new(feed, keys))
    }

    /// Changes the unsealed keyring with `change`, again until the store accepts the result;
    /// nothing is written if `change` returns [`Change::None`].
    async fn update<T>(
        store: &dyn Store,
        master: &MasterKey,
        now: u64,
        dead: &DeadKeys,
        mut change: impl FnMut(&mut Plain) -> Result<(T, Change), KeyringError>,
    ) -> Result<T, KeyringError> {
        loop {
            let document = store.load(DOCUMENT).await?;
            let (mut plain, _) = Plain::found(&document, master, None)?;
            let (outcome, changed) = change(&mut plain)?;
            if changed == Change::None || plain.save(store, master, &document, now, dead).await? {
                return Ok(outcome);
            }
        }
    }
}

/// Whether a keyring was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Made,
    None,
}

impl Plain {
    fn open(document: &[u8], master: &MasterKey) -> Result<Self, KeyringError> {
        if document.is_empty() {
            return Ok(Self::default());
        }
        let bytes = master.open(DOCUMENT, document)?;
        match postcard::take_from_bytes(&bytes) {
            Ok((plain, [])) => Ok(plain),
            _ => Err(KeyringError::Unreadable),
        }
    }

    /// What the store contains, and whether it may stay. A keyring that was altered counts as lost
    /// if this process knows one. From then on `master` uses the key that it is sealed under.
    fn found(
        document: &[u8],
        master: &MasterKey,
        known: Option<&Keyring>,
    ) -> Result<(Self, bool), KeyringError> {
        let mut plain = match Self::open(document, master) {
            Err(KeyringError::Sealed(MasterKeyError::Unsealing)) if known.is_some() => {
                metrics::counter!("offswitch_documents_altered_total").increment(1);
                tracing::error!("the keyring in the store was altered; writing it again");
                return Ok((Self::lost(known), false));
            }
            opened => opened?,
        };
        let Some(id) = MasterKey::sealed_under(document) else {
            return Ok((Self::lost(known), true));
        };
        if master.use_key(id, plain.origin.as_ref()) {
            return Ok((plain, true));
        }
        // The secrets differ from those this process hashes with: it would find nothing it stored.
        match known.and_then(|known| known.origin.as_deref()) {
            Some(origin) if plain.origin.is_none() => {
                plain.origin = Some(*origin);
                Ok((plain, false))
            }
            _ => Err(KeyringError::OtherOrigin),
        }
    }

    /// An empty keyring that replaces the one that was `known`.
    fn lost(known: Option<&Keyring>) -> Self {
        let origin = known.and_then(|known| known.origin.as_deref().copied());
        Self { origin, ..Self::default() }
    }

    /// Writes the keyring without its retired keys; false if another process was faster.
    async fn save(
        mut self,
        store: &dyn Store,
        master: &MasterKey,
        held: &[u8],
        now: u64,
        dead: &DeadKeys,
    ) -> Result<bool, KeyringError> {
        let stays = |key: &TokenKey| !self.lifetimes(now, dead).is_retired(key);
        let stay: Vec<bool> = self.tokens.iter().map(stays).collect();
        let mut stay = stay.into_iter();
        self.tokens.retain(|_| stay.next().unwrap_or(true));
        self.tokens.sort_by(|one, other| order(one).cmp(&order(other)));
        let bytes = self.seal(master)?;
        Ok(store.swap(DOCUMENT, held, &bytes, None).await?)
    }

    fn seal(&self, master: &MasterKey) -> Result<Vec<u8>, KeyringError> {
        let plain = postcard::to_allocvec(self).map(Zeroizing::new);
        Ok(master.seal(DOCUMENT, &plain.map_err(|_| KeyringError::Unreadable)?)?)
    }

    /// Adds the keys that only `known` has, except those that are retired or dropped: another
    /// process has removed them. True if there were any.
    fn join(&mut self, known: &Keyring, now: u64, dead: &DeadKeys) -> bool {
        let is_held = |key: &TokenKey| self.tokens.iter().any(|held| held.kid() == key.kid());
        let missing: Vec<_> = known.tokens.iter().filter(|key| !is_held(key)).cloned().collect();
        // Whether a key is retired is judged with the keys of both.
        let all = [self.tokens.as_slice(), &missing].concat();
        let lifetimes = Lifetimes::new(&all, now, dead);
        let before = self.tokens.len();
        self.tokens.extend(missing.into_iter().filter(|key| !lifetimes.is_retired(key)));
        let has_feeds = self.join_feeds(known);
        self.tokens.len() > before || has_feeds
    }

    fn lifetimes<'d>(&self, now: u64, dead: &'d DeadKeys) -> Lifetimes<'_, 'd> {
        Lifetimes::new(&self.tokens, now, dead)
    }
}

/// The name of the keyring's document.
pub(crate) const DOCUMENT: &str = "keyring";
