//! The signing keys: what the store's keyring contained when this process last read it.
//!
//! A token key is published before it signs, and verifies until its last token has expired. A new
//! feed key signs together with the old ones until those are dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use offswitch_core::receipt::{self, Receipt};
use offswitch_core::revoking::OwnToken;
use offswitch_snapshot::{FeedKey, SnapshotSigner};
use offswitch_verifier::{Jws, VerifyingKey};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use super::PlaneError;
use super::folded::Folded;
use crate::audit;
use crate::keyring::{
    FeedKeyStatus, KeyPolicy, KeyState, Keyring, Rotated, RotatedFeedKey, TokenKey,
};
use crate::master_key::MasterKey;
use crate::store::Store;

/// The settings of the signing keys.
#[derive(Debug, Clone)]
pub struct SigningSettings {
    /// The policy for new token keys.
    pub policy: KeyPolicy,
    /// The age at which a token key is replaced; 0 means only on request.
    pub rotation_seconds: u64,
}

/// The private keys of all processes, and when they sign.
pub struct SigningKeys {
    settings: SigningSettings,
    issuer: String,
    store: Arc<dyn Store>,
    master: MasterKey,
    folded: Arc<Folded>,
    keyring: ArcSwap<Keyring>,
    /// One reader of the keyring at a time, so that an older reading never replaces a newer one;
    /// contains the number of the last reading.
    reloading: Mutex<u64>,
    reloads_begun: AtomicU64,
    signer: ArcSwap<SnapshotSigner>,
}

/// A token key that is not retired, without its private half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenKeyStatus {
    /// Its name.
    pub kid: String,
    /// The JOSE name of its algorithm.
    pub algorithm: &'static str,
    /// When it was made, unix seconds.
    pub created_at: u64,
    /// When it starts to sign, unix seconds.
    pub signs_from: u64,
    /// Its use.
    pub state: KeyState,
    /// When it retires, unix seconds, if that is known.
    pub retires_at: Option<u64>,
}

/// What a reading of the keyring found.
pub(super) enum Reloaded<'a> {
    /// The same feed keys sign as before.
    AsBefore,
    /// Other feed keys sign. What was published is to be signed again before `reading` is dropped:
    /// then waiting callers go on.
    OtherFeedKeys {
        /// When it was read, unix seconds.
        read_at: u64,
        /// Keeps other readings waiting.
        reading: MutexGuard<'a, u64>,
    },
}

impl SigningKeys {
    pub(super) async fn load(
        settings: SigningSettings,
        issuer: String,
        store: Arc<dyn Store>,
        master: MasterKey,
        folded: Arc<Folded>,
        now: u64,
    ) -> Result<Self, PlaneError> {
        let (policy, dead) = (settings.policy, folded.dead_keys());
        let keyring = Keyring::load(store.as_ref(), &master, policy, None, now, &dead).await?;
        Ok(Self {
            signer: ArcSwap::new(keyring.snapshot_signer(&issuer)),
            keyring: ArcSwap::from_pointee(keyring),
            reloading: Mutex::new(0),
            reloads_begun: AtomicU64::new(0),
            settings,
            issuer,
            store,
            master,
            folded,
        })
    }

    /// The private keys.
    pub(super) fn keyring(&self) -> Guard<Arc<Keyring>> {
        self.keyring.load()
    }

    /// Signs a message with the newest feed key: its id, and the signature. What is signed begins with a
    /// context of its own, which no snapshot begins with.
    pub(super) fn sign(&self, message: &[u8]) -> Option<(String, [u8; 64])> {
        self.keyring().sign_with_feed_key(message)
    }

    /// Signs a receipt with the newest feed key. What a JWS signs is base64url, which neither a snapshot's nor
    /// an audit log's message begins with.
    pub(super) fn sign_receipt(&self, receipt: &Receipt) -> Option<String> {
        let claims = serde_json::to_string(receipt).ok()?;
        self.keyring().sign_jws_with_feed_key(receipt::TYPE, &claims)
    }

    /// Signs snapshots.
    pub(super) fn signer(&self) -> Arc<SnapshotSigner> {
        self.signer.load_full()
    }

    /// The public keys that verify the feed.
    pub fn feed_keys(&self) -> Vec<FeedKey> {
        self.signer.load().feed_keys()
    }

    /// The keys that sign the feed, oldest first.
    pub fn feed_key_states(&self) -> Vec<FeedKeyStatus> {
        self.keyring().feed_keys()
    }

    /// The token keys that are not retired, in the order in which they sign.
    pub fn token_keys(&self) -> Vec<TokenKeyStatus> {
        let keyring = self.keyring();
        let states = keyring.states(self.store.now(), &self.folded.dead_keys());
        let status =
            |(key, state, retires_at): (&TokenKey, KeyState, Option<u64>)| TokenKeyStatus {
                kid: key.kid().to_owned(),
                algorithm: key.algorithm(),
                created_at: key.created_at(),
                signs_from: key.signs_from(),
                state,
                retires_at,
            };
        states.into_iter().map(status).collect()
    }

    /// True if this control plane has a token key with this name, in any state.
    pub fn has_token_key(&self, kid: &str) -> bool {
        self.keyring().token_keys().iter().any(|key| key.kid() == kid)
    }

    /// The names of the token keys that are not dead.
    pub(super) fn living_kids(&self) -> Vec<String> {
        let (keyring, dead) = (self.keyring(), self.folded.dead_keys());
        let living = keyring.token_keys().iter().filter(|key| !dead.contains(key.kid()));
        living.map(|key| key.kid().to_owned()).collect()
    }

    /// The public keys that verify tokens, as a JWK set (RFC 7517).
    pub fn jwks(&self) -> Value {
        self.keyring().jwks(self.store.now(), &self.folded.dead_keys())
    }

    /// The id of the key that signs new tokens, if it is not dead.
    pub fn active_kid(&self) -> Option<String> {
        let keyring = self.keyring();
        let active = keyring.active(self.store.now(), &self.folded.dead_keys());
        active.map(|key| key.kid().to_owned())
    }

    /// The claims of a token that this control plane can have signed. It may have expired. A token
    /// of a dead or retired key is refused: a thief of the key could fill the log with forged ones.
    pub fn own_token(&self, token: &str, now: u64) -> Option<OwnToken> {
        let jws = Jws::parse(token).ok()?;
        let keyring = self.keyring();
        let states = keyring.states(now, &self.folded.dead_keys());
        let (key, ..) = states
            .into_iter()
            .find(|(key, state, _)| *state != KeyState::Dead && Some(key.kid()) == jws.kid())?;
        let key = VerifyingKey::from_jwk(key.jwk().to_string().as_bytes()).ok()?;
        let own: OwnToken = serde_json::from_slice(jws.verify(&key).ok()?.as_ref()).ok()?;
        own.is_possible(&self.issuer, now).then_some(own)
    }

    /// Reads the private keys again, and makes a new token key if the last one is dead.
    pub(super) async fn reload(&self) -> Result<Reloaded<'_>, PlaneError> {
        let asked_at = self.reloads_begun.load(Ordering::Acquire);
        let mut last = self.reloading.lock().await;
        if *last > asked_at {
            // That reading began after this call: waiting callers share it.
            return Ok(Reloaded::AsBefore);
        }
        let number = self.reloads_begun.fetch_add(1, Ordering::AcqRel) + 1;
        let (policy, known, now) =
            (self.settings.policy, self.keyring.load_full(), self.store.now());
        let (store, dead) = (self.store.as_ref(), self.folded.dead_keys());
        let keyring = Keyring::load(store, &self.master, policy, Some(&known), now, &dead).await?;
        *last = number;
        if keyring.is_same(&known) {
            return Ok(Reloaded::AsBefore);
        }
        let signs_otherwise = !keyring.signs_like(&known);
        self.signer.store(keyring.snapshot_signer(&self.issuer));
        self.keyring.store(Arc::new(keyring));
        if signs_otherwise {
            Ok(Reloaded::OtherFeedKeys { read_at: now, reading: last })
        } else {
            Ok(Reloaded::AsBefore)
        }
    }

    /// True if the schedule requires a new token key.
    pub(super) fn is_rotation_due(&self, now: u64) -> bool {
        let (seconds, dead) = (self.settings.rotation_seconds, self.folded.dead_keys());
        self.keyring().is_rotation_due(seconds, now, &dead)
    }

    /// Adds a token key, unless another process did so since this one read the keyring, or a key is
    /// pending.
    pub(super) async fn rotate(&self, by: &str, now: u64) -> Result<Rotated, PlaneError> {
        let dead = self.folded.dead_keys();
        let (store, policy) = (self.store.as_ref(), self.settings.policy);
        let seen = self.newest_kid();
        let rotated = Keyring::rotate(store, &self.master, policy, &seen, now, &dead).await?;
        if !rotated.repeated {
            metrics::counter!("offswitch_key_rotations_total").increment(1);
            tracing::info!(kid = rotated.kid, "a new token key is published");
            audit::signing_key("token_key_added", by, &rotated.kid);
        }
        Ok(rotated)
    }

    /// Adds a feed key. `request` identifies the request: a repetition returns the same key.
    pub(super) async fn rotate_feed(
        &self,
        request: &str,
        now: u64,
    ) -> Result<RotatedFeedKey, PlaneError> {
        let dead = self.folded.dead_keys();
        let (store, master) = (self.store.as_ref(), &self.master);
        let request = master.request_name(&format!("feed key {request}"));
        let rotated = Keyring::rotate_feed(store, master, request, now, &dead).await?;
        if !rotated.repeated {
            tracing::warn!(id = rotated.key.id, "a new feed key signs in addition to the others");
            audit::feed_key("feed_key_added", &rotated.key.id);
        }
        Ok(rotated)
    }

    /// Drops the feed key `id`. True if it signed until now.
    pub(super) async fn drop_feed(&self, id: &str, now: u64) -> Result<bool, PlaneError> {
        let dead = self.folded.dead_keys();
        let store = self.store.as_ref();
        let dropped = Keyring::drop_feed(store, &self.master, id, now, &dead).await?;
        if dropped {
            tracing::warn!(id, "a feed key is dropped: verifiers that trust only it are cut off");
            audit::feed_key("feed_key_dropped", id);
        }
        Ok(dropped)
    }

    /// The newest key that this process knows.
    fn newest_kid(&self) -> String {
        let keyring = self.keyring();
        let newest = keyring.newest(&self.folded.dead_keys());
        newest.map(|key| key.kid().to_owned()).unwrap_or_default()
    }
}
