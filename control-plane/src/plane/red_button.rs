//! The red button: every token is revoked, with all keys that signed it.

use offswitch_core::record::{Record, Revocation};
use offswitch_snapshot::{MAX_DEAD_KEYS, Position};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::log::Revoked;
use super::{Plane, PlaneError};
use crate::store::Request;

/// What the red button does, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedButton {
    /// The keys that are revoked.
    pub dead_kids: Vec<String>,
    /// The new epoch: tokens issued before it are revoked, unix seconds.
    pub epoch: u64,
    /// What happens to the sessions.
    pub sessions: Landing,
}

/// What a red button does to the sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Landing {
    /// Every session ends: all users log in again.
    #[default]
    End,
    /// Refresh tokens stay valid: clients refresh, and no user has to log in again.
    Keep,
}

impl Plane {
    /// The effect of pressing the red button at `now`: every key that may still sign or verify is
    /// revoked, and so is every token issued up to this second.
    pub fn red_button(&self, sessions: Landing, now: u64) -> RedButton {
        let dead_kids = self.signing.living_kids();
        RedButton {
            dead_kids,
            epoch: self.folded.lock().epoch().max(now.saturating_add(1)),
            sessions,
        }
    }

    /// Presses the red button. One record is the whole effect: from then on the old keys are dead
    /// and the sessions have ended in every process, and each process makes sure that a new key
    /// exists before it signs again. A repeated request returns the outcome of the first one.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn press_red_button(
        &self,
        request: &Request,
        mut record: Record,
        sessions: Landing,
    ) -> Result<(RedButton, Revoked), PlaneError> {
        // Failing to read the keys again must not prevent switching off the known ones.
        if let Err(error) = self.publisher.reload_keys().await {
            tracing::warn!(%error, "the red button switches off the keys that are known");
        }
        let button = self.red_button(sessions, record.at);
        let has_room =
            self.folded.lock().dead_keys().len() + button.dead_kids.len() <= MAX_DEAD_KEYS;
        record.revocations = button.revocations();
        let revoked = if has_room {
            self.log.revoke(request, &record).await?
        } else {
            self.log.recalled(request, PlaneError::TooManyDeadKeys).await?
        };
        self.log.catch_up().await?;
        self.publisher.reload_keys().await?;
        let done = if revoked.repeated { self.pressed(revoked.position).await? } else { button };
        Ok((done, revoked))
    }

    /// The effect of pressing the red button of a registered issuer at `now`: every token that it has
    /// issued up to now is revoked, by its clock. Its keys and sessions are its own.
    pub fn red_button_of(&self, issuer: &str, now: u64) -> RedButton {
        let issuers = self.log.issuers();
        let now = now.saturating_add(1).saturating_add(issuers.clock_skew_of(issuer));
        let epoch = issuers.epoch_of(issuer).max(now);
        RedButton { dead_kids: vec![], epoch, sessions: Landing::Keep }
    }

    /// Presses the red button of a registered issuer.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn press_red_button_of(
        &self,
        issuer: &str,
        request: &Request,
        mut record: Record,
    ) -> Result<(RedButton, Revoked), PlaneError> {
        let button = self.red_button_of(issuer, record.at);
        let issuer = Some(issuer.to_owned());
        record.revocations = vec![Revocation::Epoch { issuer, epoch: button.epoch }];
        let revoked = self.log.revoke(request, &record).await?;
        let done = if revoked.repeated { self.pressed(revoked.position).await? } else { button };
        Ok((done, revoked))
    }

    /// What the record at `position` did.
    async fn pressed(&self, position: Position) -> Result<RedButton, PlaneError> {
        let mut done = RedButton { dead_kids: vec![], epoch: 0, sessions: Landing::Keep };
        for revocation in self.log.record_at(position).await?.revocations {
            match revocation {
                Revocation::Epoch { epoch, .. } => done.epoch = epoch,
                Revocation::Key { kid, .. } => done.dead_kids.push(kid),
                Revocation::Sessions => done.sessions = Landing::End,
                _ => {}
            }
        }
        Ok(done)
    }
}

impl RedButton {
    fn revocations(&self) -> Vec<Revocation> {
        let key = |kid: &String| Revocation::Key { issuer: None, kid: kid.clone() };
        let sessions = match self.sessions {
            Landing::End => Some(Revocation::Sessions),
            Landing::Keep => None,
        };
        let epoch = Revocation::Epoch { issuer: None, epoch: self.epoch };
        self.dead_kids.iter().map(key).chain([epoch]).chain(sessions).collect()
    }
}
