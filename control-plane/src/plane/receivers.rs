//! The receivers: events of identity providers become revocations, with the state that operators see.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use offswitch_core::issuers::Registration;
use offswitch_core::receivers::{
    Budget, Logout, MAX_AGE_SECONDS, ReceiverKind, Refusal, Signed, UNKNOWN_KEY, logout, open,
};
use offswitch_core::record::Record;
use offswitch_core::revoking::Named;

use super::PlaneError;
use super::log::{Log, Revoked};
use crate::key_sets::{KeySets, KeysUnavailable};
use crate::store::{Request, StoreError};

/// The receivers of all registered issuers.
pub struct Receivers {
    log: Arc<Log>,
    key_sets: KeySets,
    states: Mutex<BTreeMap<(String, ReceiverKind), State>>,
}

/// What this process has seen of one receiver since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiverStatus {
    /// How many events were accepted.
    pub accepted: u64,
    /// How many requests were refused, or could not be carried out.
    pub failed: u64,
    /// When the last event was accepted, unix seconds.
    pub accepted_at: Option<u64>,
    /// Why the last request failed that did.
    pub last_error: Option<ReceiverFailure>,
}

/// Why a request to a receiver failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverFailure {
    /// When, unix seconds.
    pub at: u64,
    /// The stable code.
    pub code: &'static str,
    /// What was found and what was expected, in words.
    pub detail: String,
}

#[derive(Default)]
struct State {
    budget: Budget,
    status: ReceiverStatus,
}

/// Why a receiver did not accept a request.
#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    /// The issuer's key set cannot be fetched, so nothing is known about the signature.
    #[error(transparent)]
    KeysUnavailable(#[from] KeysUnavailable),
    /// Too many requests of this second were refused.
    #[error("too many requests were refused")]
    Limited,
    /// The log did not take it.
    #[error(transparent)]
    Log(#[from] PlaneError),
    /// What was sent is wrong.
    #[error("{}: {}", .0.code, .0.detail)]
    Refused(Refusal),
    /// No issuer of this name is registered with this receiver.
    #[error("there is no such receiver")]
    Unknown,
}

impl Receivers {
    pub(super) fn new(log: Arc<Log>) -> Self {
        Self { log, key_sets: KeySets::new(), states: Mutex::default() }
    }

    /// Takes a logout token that was sent for the issuer of this name. Once this returns, the
    /// revocation is durable; the same token again has no second effect.
    ///
    /// # Errors
    ///
    /// See [`ReceiverError`]; nothing is recorded then.
    pub async fn take_logout(
        &self,
        name: &str,
        token: &str,
        now: u64,
    ) -> Result<(), ReceiverError> {
        let issuers = self.log.issuers();
        let issuer = issuers.named(name).ok_or(ReceiverError::Unknown)?;
        let receiver = issuer.receivers.backchannel_logout.as_ref();
        let receiver = receiver.ok_or(ReceiverError::Unknown)?;
        let kind = ReceiverKind::BackchannelLogout;
        let taken = async {
            self.need_budget(name, kind, now)?;
            let signed = self.open(token, issuer).await?;
            let asked = logout(&signed, issuer, receiver, now).map_err(ReceiverError::Refused)?;
            let Logout { id, named } = asked;
            self.revoke(kind, name, issuer, &id, named, now).await
        };
        let taken = taken.await;
        self.note(name, kind, &taken, now);
        taken.map(drop)
    }

    /// What this process has seen of a receiver since it started.
    pub fn status(&self, name: &str, kind: ReceiverKind) -> ReceiverStatus {
        let states = self.states();
        states.get(&(name.to_owned(), kind)).map(|one| one.status.clone()).unwrap_or_default()
    }

    fn need_budget(&self, name: &str, kind: ReceiverKind, now: u64) -> Result<(), ReceiverError> {
        let mut states = self.states();
        let state = states.entry((name.to_owned(), kind)).or_default();
        if state.budget.allows(now) { Ok(()) } else { Err(ReceiverError::Limited) }
    }

    /// Checks the signature. If the key is unknown, the key set is fetched again: a key is called
    /// unknown only by a set that was fetched after the token arrived.
    async fn open(&self, token: &str, issuer: &Registration) -> Result<Signed, ReceiverError> {
        let arrived = Instant::now();
        let mut held = self.key_sets.of(issuer).await?;
        loop {
            match open(token, &held.keys, issuer) {
                Err(refusal) if refusal.code == UNKNOWN_KEY && held.begun < arrived => {
                    held = self.key_sets.after(issuer, held).await?;
                }
                opened => return opened.map_err(ReceiverError::Refused),
            }
        }
    }

    /// Records what an event names. `id` is the event's own, unique for its issuer.
    async fn revoke(
        &self,
        kind: ReceiverKind,
        name: &str,
        issuer: &Registration,
        id: &str,
        named: Named,
        now: u64,
    ) -> Result<Revoked, ReceiverError> {
        let rules = self.log.rules();
        let revocation = named.check(&rules, now);
        let revocation = revocation.map_err(|refused| ReceiverError::Refused(refused.into()))?;
        let (by, reason) = (kind.actor(name), Some(kind.name().to_owned()));
        let record = Record { at: now, by, reason, revocations: vec![revocation] };
        // The length stands between the two, so that no other pair gives the same text.
        let event = format!("{}:{}:{id}", issuer.issuer.len(), issuer.issuer);
        let request = Request {
            id: format!("receiver:{}", blake3::hash(event.as_bytes()).to_hex()),
            digest: *blake3::hash(&record.revocations_encoded()).as_bytes(),
            memory: REPLAY_MEMORY,
        };
        match self.log.revoke_allowed(&request, &record).await {
            Err(PlaneError::Store(StoreError::RequestReused)) => {
                let detail = "the jti was used before, for something else".to_owned();
                Err(ReceiverError::Refused(Refusal { code: "jti_reused", detail }))
            }
            revoked => Ok(revoked?),
        }
    }

    fn note(
        &self,
        name: &str,
        kind: ReceiverKind,
        taken: &Result<Revoked, ReceiverError>,
        now: u64,
    ) {
        let outcome = match taken {
            Ok(Revoked { repeated: false, .. }) => "accepted",
            Ok(_) => "repeated",
            Err(ReceiverError::Limited) => "limited",
            Err(ReceiverError::Refused(_) | ReceiverError::Unknown) => "refused",
            Err(ReceiverError::KeysUnavailable(_) | ReceiverError::Log(_)) => "unavailable",
        };
        metrics::counter!(
            "offswitch_receiver_requests_total",
            "issuer" => name.to_owned(), "receiver" => kind.name(), "outcome" => outcome
        )
        .increment(1);
        let mut states = self.states();
        let State { budget, status } = states.entry((name.to_owned(), kind)).or_default();
        let Err(error) = taken else {
            status.accepted += 1;
            status.accepted_at = Some(now);
            return;
        };
        if matches!(error, ReceiverError::Refused(_)) {
            budget.note_refused(now);
        }
        status.failed += 1;
        let detail = error.detail();
        status.last_error = Some(ReceiverFailure { at: now, code: error.code(), detail });
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<(String, ReceiverKind), State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReceiverError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::KeysUnavailable(_) => "keys_unavailable",
            Self::Limited => "too_many_refused",
            Self::Log(_) => "store_unavailable",
            Self::Refused(refusal) => refusal.code,
            Self::Unknown => "unknown_receiver",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.detail.clone(),
            other => other.to_string(),
        }
    }
}

/// Longer than any token is accepted, with clocks that differ.
const REPLAY_MEMORY: Duration = Duration::from_secs(2 * MAX_AGE_SECONDS + 600);
