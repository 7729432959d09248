//! Revoking: one append, then every verifier that follows the feed refuses.

use std::time::Duration;

use offswitch_verifier::snapshot::{MAX_DEAD_KEYS, Position};

use super::{Plane, PlaneError};
use crate::record::{Record, Revocation};
use crate::store::{Appended, Durability, Request};

/// What a revocation reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// A verifier at this position or beyond refuses.
    pub position: Position,
    /// What the record survives.
    pub durability: Durability,
    /// True if the same request had been accepted before.
    pub repeated: bool,
}

/// What the red button does, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedButton {
    /// The keys that die.
    pub dead_kids: Vec<String>,
    /// The new epoch: tokens issued before it are off, unix seconds.
    pub epoch: u64,
}

impl Plane {
    /// Appends `record` and answers once it is durable, and folded here if the store lets it be read.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`]; nothing is acknowledged then.
    pub async fn revoke(&self, request: &Request, record: &Record) -> Result<Revoked, PlaneError> {
        let Appended { position, durability, repeated } =
            self.store.append(request, &record.encode()).await?;
        // Durable already: that this process has folded it is only a courtesy to its feed readers.
        self.wait_folded(position, LONGEST_FOLD).await;
        Ok(Revoked { position, durability, repeated })
    }

    /// What pressing the red button at `now` means: every key that may still sign or verify dies,
    /// and no token issued up to this second stands.
    pub fn red_button(&self, now: u64) -> RedButton {
        let (fold, keyring) = (self.fold(), self.keyring());
        let kids = keyring.token_keys().iter().map(|key| key.kid().to_owned());
        RedButton {
            dead_kids: kids.filter(|kid| !fold.is_dead(kid)).collect(),
            epoch: fold.epoch().max(now.saturating_add(1)),
        }
    }

    /// Presses the red button. The log comes first: from then on the old keys are dead for every
    /// process, and each makes sure by itself that a new one is there before it signs again.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn press_red_button(
        &self,
        request: &Request,
        mut record: Record,
    ) -> Result<(RedButton, Revoked), PlaneError> {
        self.reload_keyring().await?;
        let button = self.red_button(record.at);
        if self.fold().dead_keys().len() + button.dead_kids.len() > MAX_DEAD_KEYS {
            return Err(PlaneError::TooManyDeadKeys);
        }
        let keys = button.dead_kids.iter();
        record.revocations = keys
            .map(|kid| Revocation::Key { issuer: None, kid: kid.clone() })
            .chain([Revocation::Epoch { epoch: button.epoch }])
            .collect();
        let revoked = self.revoke(request, &record).await?;
        self.catch_up().await?;
        self.reload_keyring().await?;
        Ok((button, revoked))
    }
}

const LONGEST_FOLD: Duration = Duration::from_secs(1);
