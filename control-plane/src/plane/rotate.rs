//! Planned rotation of the token-signing key: the new key is published before it signs, the old one
//! verifies until its last token has expired.

use super::{Plane, PlaneError};
use crate::keyring::{Keyring, Rotated};
use crate::telemetry::audit;

impl Plane {
    /// Adds a token key that signs after `key_publish_seconds`; answers with the pending one if
    /// there is one, so that repeating a call is harmless.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn rotate_key(&self, now: u64) -> Result<Rotated, PlaneError> {
        self.catch_up().await?;
        self.reload_keyring().await?;
        self.rotate_after(self.newest_kid(), now).await
    }

    /// Rotates if the schedule asks for it. Every process asks; only the first one that is due adds
    /// a key.
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

    /// The newest key as this process sees it.
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
