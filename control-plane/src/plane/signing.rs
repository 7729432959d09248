//! Planned rotation of the keys. A token key is published before it signs, and verifies until its
//! last token has expired. A new feed key signs together with the old ones until those are dropped.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Plane, PlaneError};
use crate::keyring::{Keyring, Rotated, RotatedFeedKey};
use crate::telemetry::audit;

impl Plane {
    /// Adds a token key that signs after `key_publish_seconds`. Returns the pending key if there is
    /// one, so that repeating the call is harmless.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn rotate_key(&self, now: u64) -> Result<Rotated, PlaneError> {
        self.catch_up().await?;
        self.reload_keyring().await?;
        self.rotate_after(self.newest_kid(), now).await
    }

    /// Rotates if the schedule requires it. Every process calls this; only the first one adds a
    /// key.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn rotate_key_if_due(&self, now: u64) -> Result<Option<Rotated>, PlaneError> {
        let is_due = {
            let (fold, seconds) = (self.fold(), self.settings.key_rotation_seconds);
            self.keyring().is_rotation_due(seconds, now, |kid| fold.is_dead(kid))
        };
        if !is_due {
            return Ok(None);
        }
        self.rotate_after(self.newest_kid(), now).await.map(Some)
    }

    /// Adds a feed key, which signs together with the others from now on. `request` identifies the
    /// request: a repetition returns the same key.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn rotate_feed_key(
        &self,
        request: [u8; 16],
        now: u64,
    ) -> Result<RotatedFeedKey, PlaneError> {
        let is_dead = |kid: &str| self.fold().is_dead(kid);
        let store = self.store.as_ref();
        let rotated = Keyring::rotate_feed(store, &self.master, request, now, is_dead).await?;
        if !rotated.repeated {
            tracing::warn!(id = rotated.key.id, "a new feed key signs beside the others");
        }
        self.reload_keyring().await?;
        Ok(rotated)
    }

    /// Stops signing with the feed key `id`, here immediately and in every other process within
    /// five seconds. True if it signed until now.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn drop_feed_key(&self, id: &str, now: u64) -> Result<bool, PlaneError> {
        let is_dead = |kid: &str| self.fold().is_dead(kid);
        let dropped =
            Keyring::drop_feed(self.store.as_ref(), &self.master, id, now, is_dead).await?;
        if dropped {
            tracing::warn!(id, "a feed key is dropped: verifiers that trust only it are cut off");
        }
        self.reload_keyring().await?;
        Ok(dropped)
    }

    /// Reads the private keys again, and makes a new signing key if the last one is dead. If the
    /// feed keys changed, the base is signed with the new ones from then on.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn reload_keyring(&self) -> Result<(), PlaneError> {
        let policy = self.settings.key_policy();
        let is_dead = |kid: &str| self.fold().is_dead(kid);
        let asked_at = self.reloads_begun.load(Ordering::Acquire);
        let mut last = self.reloading.lock().await;
        if *last > asked_at {
            // That reading began after this call: waiting callers share it.
            return Ok(());
        }
        let number = self.reloads_begun.fetch_add(1, Ordering::AcqRel) + 1;
        let (store, known, now) = (self.store.as_ref(), self.keyring.load_full(), self.now());
        let keyring =
            Keyring::load(store, &self.master, policy, Some(&known), now, is_dead).await?;
        *last = number;
        if keyring.is_same(&known) {
            return Ok(());
        }
        let signs_otherwise = !keyring.signs_like(&known);
        self.signer.store(keyring.snapshot_signer(&self.settings.issuer));
        self.keyring.store(Arc::new(keyring));
        if signs_otherwise {
            self.rebuild_base(now).await;
        }
        Ok(())
    }

    /// Reads the private keys again before the public ones are served: the answer then includes
    /// every key that any process signed with before the request. If the store does not answer
    /// soon, the known keys are served.
    pub async fn refresh_keyring(&self) {
        match tokio::time::timeout(KEYS_WAIT, self.reload_keyring()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the keys are published as they were"),
            Err(_) => tracing::warn!("the keys are published as they were: the store is slow"),
        }
    }

    /// The newest key that this process knows.
    fn newest_kid(&self) -> String {
        let (fold, keyring) = (self.fold(), self.keyring());
        let newest = keyring.newest(|kid| fold.is_dead(kid));
        newest.map(|key| key.kid().to_owned()).unwrap_or_default()
    }

    async fn rotate_after(&self, seen: String, now: u64) -> Result<Rotated, PlaneError> {
        let is_dead = |kid: &str| self.fold().is_dead(kid);
        let (store, policy) = (self.store.as_ref(), self.settings.key_policy());
        let rotated = Keyring::rotate(store, &self.master, policy, &seen, now, is_dead).await?;
        if !rotated.repeated {
            metrics::counter!("offswitch_key_rotations_total").increment(1);
            tracing::info!(kid = rotated.kid, "a new token key is published");
            audit::signing_key("token_key_added", &rotated.kid);
        }
        self.reload_keyring().await?;
        Ok(rotated)
    }
}

/// How long a request for the public keys waits for the store.
const KEYS_WAIT: Duration = Duration::from_millis(500);
