//! The receivers: events of identity providers become revocations, with the state that operators see.

mod creation;
mod error;
mod polling;
mod secrets;
mod status;
mod streams;
mod transmitter;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use offswitch_client::http::{KeySetAddress, KeySets};
use offswitch_core::issuers::Registration;
use offswitch_core::limits::REQUEST_MEMORY;
use offswitch_core::receivers::{
    Event, EventReceiver, Logout, ReceiverKind, Receivers as Registered, Refusal, Scheme, Sender,
    Signed, Sources, StreamState, UNKNOWN_KEY, authentication, event, global_revocation, logout,
    open, webhook,
};
use offswitch_core::record::Record;
use offswitch_core::revoking::{Named, RefusedKind};

use super::PlaneError;
use super::log::{Log, Revoked};
use crate::audit::AuditLog;
use crate::master_key::{MasterKey, random_id};
use crate::sealing::SealedStore;
use crate::store::{Request, StoreError};
use status::State;
use transmitter::TransmitterClient;

pub use error::ReceiverError;
pub use secrets::ReceiverSecrets;
pub use status::{PollingStatus, ReceiverFailure, ReceiverStatus, SetUp, StreamStatus};

/// The receivers of all registered issuers.
pub struct Receivers {
    /// The id of the feed, by which streams at transmitters are known again.
    feed: String,
    store: Arc<SealedStore>,
    master: MasterKey,
    log: Arc<Log>,
    audit: Arc<AuditLog>,
    secrets: ReceiverSecrets,
    key_sets: KeySets,
    transmitters: TransmitterClient,
    states: Mutex<BTreeMap<(String, ReceiverKind), State>>,
    sources: Mutex<Sources>,
}

/// When a request arrived, unix seconds, and from which address, if that is known.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// When.
    pub now: u64,
    /// The peer of the connection.
    pub source: Option<IpAddr>,
}

/// One request to a receiver.
struct Received<'a> {
    kind: ReceiverKind,
    name: &'a str,
    issuer: &'a Registration,
    now: u64,
    source: Option<IpAddr>,
}

/// Who asks for a global token revocation.
#[derive(Debug, Clone, Copy)]
pub enum Asker<'a> {
    /// A caller whose API key was checked: its id.
    Key(&'a str),
    /// A caller who shows a JWT.
    Token(&'a str),
}

/// How a security event arrived.
#[derive(Debug, Clone, Copy)]
enum Delivery<'a> {
    /// In the answer to a poll, listed under this id (RFC 8936).
    Poll { jti: &'a str },
    /// The transmitter sent it (RFC 8935).
    Push,
}

/// What tells an event from others of its issuer.
struct NewEvent<'a> {
    /// Its own id.
    id: &'a str,
    /// What it says; if absent, what it revokes.
    said: Option<&'a [u8]>,
    /// Who is recorded to have revoked.
    by: String,
}

/// What came of a request.
enum Taken {
    /// Nothing that it says revokes anything.
    Ignored,
    Revoked(Revoked),
}

impl Receivers {
    pub(super) fn new(
        feed: String,
        store: Arc<SealedStore>,
        master: MasterKey,
        log: Arc<Log>,
        audit: Arc<AuditLog>,
        secrets: ReceiverSecrets,
    ) -> Self {
        let (key_sets, transmitters) = (KeySets::new(), TransmitterClient::new());
        Self {
            feed,
            store,
            master,
            log,
            audit,
            secrets,
            key_sets,
            transmitters,
            states: Mutex::default(),
            sources: Mutex::default(),
        }
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
        arrival: Arrival,
    ) -> Result<(), ReceiverError> {
        let now = arrival.now;
        self.take(ReceiverKind::BackchannelLogout, name, arrival, async |received, all| {
            let receiver = all.backchannel_logout.as_ref().ok_or(ReceiverError::Unknown)?;
            let signed = self.open(token, &Sender::of(received.issuer)).await?;
            let asked = logout(&signed, received.issuer, receiver, now)?;
            let Logout { id, named } = asked;
            self.revoke(
                received,
                NewEvent { id: &id, said: None, by: received.kind.actor(name) },
                vec![named],
            )
            .await
        })
        .await
    }

    /// Takes a security event token that was pushed for the issuer of this name, likewise.
    ///
    /// # Errors
    ///
    /// See [`ReceiverError`]; nothing is recorded then.
    pub async fn take_event(
        &self,
        name: &str,
        token: &str,
        arrival: Arrival,
    ) -> Result<(), ReceiverError> {
        self.take_delivered(name, token, Delivery::Push, arrival).await
    }

    async fn take_delivered(
        &self,
        name: &str,
        token: &str,
        delivery: Delivery<'_>,
        arrival: Arrival,
    ) -> Result<(), ReceiverError> {
        let now = arrival.now;
        self.take(ReceiverKind::Events, name, arrival, async |received, all| {
            let receiver = all.events.as_ref().ok_or(ReceiverError::Unknown)?;
            if receiver.is_polled() != matches!(delivery, Delivery::Poll { .. }) {
                return Err(ReceiverError::Unknown);
            }
            let signed = self.open(token, &receiver.sender(received.issuer)).await?;
            let Event { id, named, stream } = event(&signed, received.issuer, receiver, now)?;
            if matches!(delivery, Delivery::Poll { jti } if jti != id) {
                let detail = "its jti is not the one that it is listed under".to_owned();
                return Err(Refusal { code: "wrong_id", detail }.into());
            }
            if let Some(said) = stream {
                self.hear(name, receiver, &said, now)?;
            }
            let event = NewEvent { id: &id, said: None, by: received.kind.actor(name) };
            self.revoke(received, event, named).await
        })
        .await
    }

    /// Notes what an event says about its stream.
    fn hear(
        &self,
        name: &str,
        receiver: &EventReceiver,
        said: &StreamState,
        now: u64,
    ) -> Result<(), Refusal> {
        if let StreamState::Verified { state: Some(state) } = said
            && receiver.stream.is_some()
            && !self.is_our_state(name, state, now)
        {
            let detail = "the state of the verification event is not one that was asked with";
            return Err(Refusal { code: "invalid_state", detail: detail.to_owned() });
        }
        self.with_state(name, ReceiverKind::Events, |state| state.status.stream.note(now, said));
        Ok(())
    }

    /// Takes a global token revocation for the issuer of this name, likewise.
    ///
    /// # Errors
    ///
    /// See [`ReceiverError`]; nothing is recorded then.
    pub async fn take_global_revocation(
        &self,
        name: &str,
        asker: Asker<'_>,
        body: &[u8],
        arrival: Arrival,
    ) -> Result<(), ReceiverError> {
        let now = arrival.now;
        self.take(ReceiverKind::GlobalRevocation, name, arrival, async |received, all| {
            let receiver = all.global_token_revocation.as_ref().ok_or(ReceiverError::Unknown)?;
            let (by, id, at) = match asker {
                Asker::Key(key) => (key.to_owned(), random_id(), None),
                Asker::Token(token) => {
                    let sender = receiver.sender(received.issuer);
                    let shown = async {
                        let signed = self.open(token, &sender).await?;
                        Ok(authentication(&signed, received.issuer, receiver, now)?)
                    };
                    let shown = shown.await.map_err(ReceiverError::of_credential)?;
                    (received.kind.actor(name), shown.id, Some(shown.at))
                }
            };
            let named = global_revocation(body, at, received.issuer, receiver)?;
            let event = NewEvent { id: &id, said: Some(body), by };
            self.revoke(received, event, vec![named]).await
        })
        .await
    }

    /// Takes a webhook that was sent for the issuer of this name, likewise. `header` has the value of a
    /// header that was sent once.
    ///
    /// # Errors
    ///
    /// See [`ReceiverError`]; nothing is recorded then.
    pub async fn take_webhook<'a>(
        &self,
        name: &str,
        header: impl Fn(&str) -> Option<&'a str>,
        body: &[u8],
        arrival: Arrival,
    ) -> Result<(), ReceiverError> {
        let now = arrival.now;
        self.take(ReceiverKind::Webhook, name, arrival, async |received, all| {
            let receiver = all.webhook.as_ref().ok_or(ReceiverError::Unknown)?;
            let scheme = receiver.signature.as_ref().unwrap_or(&Scheme::Standard);
            let secrets = self.secrets.of(name);
            if !secrets.iter().any(|secret| scheme.key(secret).is_some()) {
                return Err(ReceiverError::NoSecret);
            }
            let genuine = scheme.verify(header, body, &secrets, now)?;
            let named = webhook(&genuine, body, received.issuer, receiver, now)?;
            let id = genuine.event_id(body);
            // Each attempt to deliver an event with an id has a time of its own: the first one counts.
            let event = NewEvent { id: &id, said: Some(body), by: received.kind.actor(name) };
            self.revoke(received, event, named).await
        })
        .await
    }

    /// What is answered to a provider that asks whether its webhooks are expected for the issuer of this
    /// name; none if the receiver expects no such question.
    pub fn challenge<'a>(
        &self,
        name: &str,
        header: impl Fn(&str) -> Option<&'a str>,
    ) -> Option<String> {
        let issuers = self.log.issuers();
        let receiver = issuers.named(name)?.receivers.webhook.as_ref()?;
        receiver.challenge(header).map(str::to_owned)
    }

    /// What this process has seen of a receiver since it started.
    pub fn status(&self, name: &str, kind: ReceiverKind) -> ReceiverStatus {
        let states = self.states();
        states.get(&(name.to_owned(), kind)).map(|one| one.status.clone()).unwrap_or_default()
    }

    async fn take(
        &self,
        kind: ReceiverKind,
        name: &str,
        Arrival { now, source }: Arrival,
        carry_out: impl AsyncFnOnce(&Received<'_>, &Registered) -> Result<Taken, ReceiverError>,
    ) -> Result<(), ReceiverError> {
        let issuers = self.log.issuers();
        let issuer = issuers.named(name).ok_or(ReceiverError::Unknown)?;
        // What is not registered leaves no trace: anyone can make up names.
        if !issuer.receivers.kinds().any(|one| one == kind) {
            return Err(ReceiverError::Unknown);
        }
        let received = Received { kind, name, issuer, now, source };
        let is_allowed = source.is_none_or(|source| self.sources().allows(source, now))
            && self.with_state(name, kind, |state| state.budget.allows(now));
        let taken = match is_allowed {
            true => carry_out(&received, &issuer.receivers).await,
            false => Err(ReceiverError::Limited),
        };
        self.note(&received, &taken);
        taken.map(drop)
    }

    /// Checks the signature. If the key is unknown, the key set is fetched again: a key is called
    /// unknown only by a set that was fetched after the token arrived.
    async fn open(&self, token: &str, sender: &Sender) -> Result<Signed, ReceiverError> {
        let arrived = Instant::now();
        let address = KeySetAddress {
            issuer: sender.keys_of.clone(),
            source: sender.keys.clone(),
            algorithms: sender.algorithms.clone(),
        };
        let mut held = self.key_sets.of(&address).await?;
        loop {
            match open(token, &held.keys, sender) {
                Err(refusal) if refusal.code == UNKNOWN_KEY && held.begun < arrived => {
                    held = self.key_sets.after(&address, held).await?;
                }
                opened => {
                    let signed = opened?;
                    let kid = signed.kid.as_deref();
                    // What a stolen key signs is not the issuer's word, also while the key set still has it.
                    if kid.is_some_and(|kid| self.log.is_dead(&sender.keys_of, kid)) {
                        let detail = "the key that signed it was revoked".to_owned();
                        return Err(Refusal { code: "revoked_key", detail }.into());
                    }
                    return Ok(signed);
                }
            }
        }
    }

    /// Records what an event names.
    async fn revoke(
        &self,
        received: &Received<'_>,
        event: NewEvent<'_>,
        named: Vec<Named>,
    ) -> Result<Taken, ReceiverError> {
        let Received { kind, issuer, now, .. } = *received;
        let rules = self.log.rules();
        let mut revocations = Vec::new();
        for one in named {
            match one.check(&rules, now) {
                Ok(revocation) => revocations.push(revocation),
                // It came late: no verifier accepts any of the tokens.
                Err(refused) if refused.kind == RefusedKind::AlreadyExpired => {}
                Err(refused) => return Err(Refusal::from(refused).into()),
            }
        }
        if revocations.is_empty() {
            return Ok(Taken::Ignored);
        }
        let reason = Some(kind.name().to_owned());
        let record = Record { at: now, by: event.by, reason, revocations };
        let revoked = record.revocations_encoded();
        let said = event.said.unwrap_or(&revoked);
        // The length comes first, so that no other pair gives the same text.
        let id = format!("{}:{}:{}", issuer.issuer.len(), issuer.issuer, event.id);
        let request = Request {
            id: format!("{}:{}", kind.name(), blake3::hash(id.as_bytes()).to_hex()),
            digest: *blake3::hash(said).as_bytes(),
            memory: REQUEST_MEMORY,
        };
        match self.log.revoke_allowed(&request, &record).await {
            Err(PlaneError::Store(StoreError::RequestReused)) => {
                let detail = "its id was used before, for something else".to_owned();
                Err(Refusal { code: "jti_reused", detail }.into())
            }
            revoked => Ok(Taken::Revoked(revoked?)),
        }
    }

    fn note(&self, received: &Received<'_>, taken: &Result<Taken, ReceiverError>) {
        let outcome = match taken {
            Ok(Taken::Ignored) => "ignored",
            Ok(Taken::Revoked(Revoked { repeated: false, .. })) => "accepted",
            Ok(Taken::Revoked(_)) => "repeated",
            Err(ReceiverError::Limited) => "limited",
            Err(
                ReceiverError::Forbidden(_) | ReceiverError::Refused(_) | ReceiverError::Unknown,
            ) => "refused",
            Err(
                ReceiverError::KeysUnavailable(_) | ReceiverError::Log(_) | ReceiverError::NoSecret,
            ) => "unavailable",
        };
        metrics::counter!(
            "offswitch_receiver_requests_total",
            "issuer" => received.name.to_owned(), "receiver" => received.kind.name(), "outcome" => outcome
        )
        .increment(1);
        let Received { kind, name, now, .. } = *received;
        self.with_state(name, kind, |state| state.note(now, taken));
        let Some(source) = received.source else { return };
        match taken {
            Ok(_) => self.sources().note_accepted(source, received.now),
            Err(ReceiverError::Forbidden(_) | ReceiverError::Refused(_)) => {
                self.sources().note_refused(source, received.now);
            }
            Err(_) => {}
        }
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_state<T>(
        &self,
        name: &str,
        kind: ReceiverKind,
        change: impl FnOnce(&mut State) -> T,
    ) -> T {
        let mut states = self.states();
        change(states.entry((name.to_owned(), kind)).or_default())
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<(String, ReceiverKind), State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
