//! Finds a stream at its transmitter, or creates it: once, also if several processes look for it.
//!
//! The process that finds none claims the creation in the store first. The store remembers the id, so that
//! the stream is known again.

use axum::http::{Method, StatusCode};
use offswitch_core::receivers::{EventStream, Refusal, StreamConfiguration, Transmitter};
use serde::{Deserialize, Serialize};

use super::Receivers;
use super::streams::{Keeping, of_stream};
use super::transmitter::CallFailure;
use crate::master_key::random_id;
use crate::store::{Store, StoreError};

/// What the store remembers of a stream: the document `stream:{name of the issuer}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    transmitter: String,
    /// The transmitter's id of the stream, once it is known.
    stream_id: Option<String>,
    /// Until when a process may be creating it, unix seconds.
    claimed_until: u64,
    /// A random text, so that two claims of the same second are not the same claim to the store.
    claimed_by: String,
}

impl Receivers {
    /// None while another process is creating it.
    pub(super) async fn found_or_created(
        &self,
        keeping: &Keeping<'_>,
        transmitter: &Transmitter,
    ) -> Result<Option<StreamConfiguration>, CallFailure> {
        let Keeping { name, wanted, .. } = keeping;
        let endpoint = &transmitter.configuration_endpoint;
        let held = self.remembered(name).await?;
        let known = Remembered::read(&held, wanted.stream);
        if let Some(id) = &known.stream_id {
            let read = self.at(keeping, Method::GET, &of_stream(endpoint, id)?, None).await;
            match read {
                Ok(document) => return Ok(Some(wanted.read(&document)?)),
                // It was deleted.
                Err(failure) if failure.status == Some(StatusCode::NOT_FOUND) => {}
                Err(failure) => return Err(failure),
            }
        }
        let list = self.at(keeping, Method::GET, endpoint, None).await;
        let found = match list {
            Ok(list) => wanted.find(&list)?,
            Err(failure) if failure.status == Some(StatusCode::NOT_FOUND) => None,
            Err(failure) => return Err(failure),
        };
        if let Some(found) = found {
            self.remember(name, &held, &known.with_id(&found.id)).await?;
            return Ok(Some(found));
        }
        let now = self.store.now();
        let claim = known.claimed(now + CLAIM_SECONDS);
        // A claim that ends later than any that is made now is from before the clock was set back.
        let is_claimed = (now + 1..=now + FAILED_CLAIM_SECONDS).contains(&known.claimed_until);
        if is_claimed || !self.remember(name, &held, &claim).await? {
            return Ok(None);
        }
        let created = self.at(keeping, Method::POST, endpoint, Some(wanted.creation())).await;
        let (created, next) = match created {
            Err(failure) => {
                // Without an answer there may be one, and it may take a while until it is listed.
                let claimed_until = if failure.status.is_some() { 0 } else { claim.claimed_until };
                (Err(in_words(failure)), Remembered { claimed_until, ..claim.clone() })
            }
            Ok(text) => match wanted.read(&text) {
                Ok(created) => {
                    let next = claim.with_id(&created.id);
                    (Ok(Some(created)), next)
                }
                // There is a stream now that we do not understand. The next attempt makes another one.
                Err(refusal) => {
                    let claimed_until = now + FAILED_CLAIM_SECONDS;
                    (Err(refusal.into()), Remembered { claimed_until, ..claim.clone() })
                }
            },
        };
        // If this fails, the stream is found in the list, and the claim expires.
        self.remember(name, &claim.bytes(), &next).await?;
        created
    }

    async fn remembered(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let name = document(name);
        match self.store.load(&name).await {
            // It is found in the list again.
            Err(StoreError::Altered(_)) => {
                self.store.discard_altered(&name).await?;
                self.store.load(&name).await
            }
            loaded => loaded,
        }
    }

    /// False if another process was faster.
    async fn remember(
        &self,
        name: &str,
        held: &[u8],
        next: &Remembered,
    ) -> Result<bool, StoreError> {
        self.store.swap(&document(name), held, &next.bytes(), None).await
    }
}

impl Remembered {
    /// What the document says; nothing of another transmitter.
    fn read(document: &[u8], stream: &EventStream) -> Self {
        let read: Option<Self> = serde_json::from_slice(document).ok();
        let fresh = Self { transmitter: stream.transmitter.clone(), ..Self::default() };
        read.filter(|read| read.transmitter == stream.transmitter).unwrap_or(fresh)
    }

    /// Nothing of a stream, which a process may be creating until then.
    fn claimed(&self, claimed_until: u64) -> Self {
        let transmitter = self.transmitter.clone();
        Self { transmitter, stream_id: None, claimed_until, claimed_by: random_id() }
    }

    fn with_id(&self, id: &str) -> Self {
        Self { stream_id: Some(id.to_owned()), claimed_until: 0, ..self.clone() }
    }

    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn document(name: &str) -> String {
    format!("stream:{name}")
}

impl From<StoreError> for CallFailure {
    fn from(error: StoreError) -> Self {
        Refusal { code: "store_unavailable", detail: error.to_string() }.into()
    }
}

fn in_words(failure: CallFailure) -> CallFailure {
    if failure.status != Some(StatusCode::CONFLICT) {
        return failure;
    }
    let detail = "the transmitter allows one stream, and has another one for this credential: delete \
                  it there, or give it the delivery that is registered here";
    let refusal = Refusal { code: "stream_conflict", detail: detail.to_owned() };
    CallFailure { refusal, ..failure }
}

/// Longer than the creation of a stream can take.
const CLAIM_SECONDS: u64 = 30;
/// How long no process tries again after a creation whose answer is not understood.
const FAILED_CLAIM_SECONDS: u64 = 3600;
