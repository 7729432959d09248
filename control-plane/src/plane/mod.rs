//! One control-plane process: the folded log, the keys, and what it publishes.
//!
//! Every process on a store runs the same tasks; there is no leader. What one appends, all fold.
//!
//! Each part owns its state and its settings, and uses only the parts before it: `Folded` (what
//! was folded), [`SigningKeys`], [`Publisher`], [`Processes`], [`Publication`], [`Log`], [`Sessions`], [`Introspection`], [`Receivers`],
//! [`Outgoing`], and, for itself, [`ApiKeyRing`]. All of them report what they change to the [`AuditLog`]. [`Plane`] puts them together. The order in which their locks are taken is
//! written at `Folded`.

mod api_key_ring;
mod folded;
mod introspection;
mod log;
mod outgoing;
mod processes;
mod publication;
mod publish;
mod receipts;
mod receivers;
mod red_button;
mod sessions;
mod signing;
mod tasks;

use std::sync::Arc;

use offswitch_core::fold::FoldError;
use offswitch_core::issuers::Definition;
use offswitch_core::limits::UNNAMED_REQUEST_MEMORY;
use offswitch_core::record::{OWN_ACT, Record, Revocation};
use offswitch_core::relying_parties::RelyingParty;
use offswitch_core::revoking::Rules;
use offswitch_snapshot::MAX_SELECTORS;

use crate::audit::{AuditLog, AuditSettings, Writers, collect_own};
use crate::keyring::{KeyringError, Rotated};
use crate::master_key::{MasterKey, random_id};
use crate::relying_parties::RelyingPartyError;
use crate::sealing::SealedStore;
use crate::store::{Finding, Request, Store, StoreError};
use folded::Folded;
use processes::ProvenTokens;

pub use api_key_ring::ApiKeyRing;
pub use introspection::Introspection;
pub use log::{
    Backwards, Health, Loading, Log, LogSettings, MOST_ENTRIES, Revoked, join_into,
    published_issuer,
};
pub use outgoing::{Outgoing, RelyingPartySecrets};
pub use processes::{Count, Processes, SilentProcess};
pub use publication::{
    Outcome, Place, PlaceError, PlaceVersion, Publication, PublicationSecrets, PublicationSettings,
    PublishTo,
};
pub use publish::{Following, NamedBase, PublishSettings, Publisher};
pub use receivers::{
    Arrival, Asker, PollingStatus, ReceiverError, ReceiverFailure, ReceiverSecrets, ReceiverStatus,
    Receivers, SetUp, StreamStatus,
};
pub use red_button::{Landing, RedButton};
pub use sessions::{
    Denial, Issued, NamedSessions, Opened, RESERVED_CLAIMS, Reach, RefreshRefusal, Refreshed,
    SessionRequest, SessionSettings, Sessions, StoredSessions, TokenPair,
};
pub use signing::{SigningKeys, SigningSettings, TokenKeyStatus};

/// The state of one process, shared by all requests.
pub struct Plane {
    issuer: String,
    store: Arc<dyn Store>,
    folded: Arc<Folded>,
    /// Who changed what.
    pub audit: Arc<AuditLog>,
    /// The private keys.
    pub signing: Arc<SigningKeys>,
    /// What followers get.
    pub publisher: Arc<Publisher>,
    /// The other processes on the store, and what their followers hold.
    pub processes: Arc<Processes>,
    /// What publishes the feed elsewhere, if it is configured.
    pub publication: Option<Arc<Publication>>,
    /// The log of revocations.
    pub log: Arc<Log>,
    /// The users' sessions.
    pub sessions: Arc<Sessions>,
    /// The judgement of access tokens.
    pub introspection: Introspection,
    /// What takes the events of identity providers.
    pub receivers: Arc<Receivers>,
    /// What notifies relying parties.
    pub outgoing: Arc<Outgoing>,
    /// The keys of the API's callers.
    pub api_keys: ApiKeyRing,
}

/// The settings of a plane.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The `iss` of its tokens, and the id of its feed.
    pub issuer: String,
    /// The settings of the sessions.
    pub sessions: SessionSettings,
    /// The settings of the signing keys.
    pub signing: SigningSettings,
    /// The settings of the feed.
    pub publish: PublishSettings,
    /// Where else it is published.
    pub publication: PublicationSettings,
    /// The settings of the log.
    pub log: LogSettings,
    /// The settings of the audit log.
    pub audit: AuditSettings,
    /// The secrets of webhooks, and the tokens for transmitters of events.
    pub receiver_secrets: ReceiverSecrets,
    /// The credentials for relying parties.
    pub relying_party_secrets: RelyingPartySecrets,
}

/// Why the plane did not do what was requested.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    /// The log cannot be folded.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// The place to publish the feed at cannot be opened.
    #[error("publish_to: {0}")]
    Publication(String),
    /// An issuer of the configuration cannot be registered.
    #[error("issuers: {0}")]
    Issuer(String),
    /// The keys cannot be loaded.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The store has lost the session, and an operator may restore it.
    #[error("the store has lost the session")]
    SessionLost,
    /// The session has ended since it was opened.
    #[error("the session has ended")]
    SessionOver,
    /// What this process published before cannot be read from its disk.
    #[error("what this process published (data_dir/published) cannot be used: {0}")]
    Memory(#[from] std::io::Error),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store is empty although this process has served before.
    #[error(
        "the store is empty, but this process has served before (data_dir has its admin.key), and \
         its published state is lost: restore the store from a backup, or run `offswitch \
         store new-era` to begin with an empty log; revoked tokens that have not expired are \
         then valid again, and verifiers need the new feed key"
    )]
    StoreForgot,
    /// No snapshot has room for one more dead key.
    #[error("too many signing keys are revoked; rotate the keys at their issuer instead")]
    TooManyDeadKeys,
    /// Verifiers look up by no more combinations of claims.
    #[error(
        "at most {MAX_SELECTORS} combinations of claims can be in use for the issuer {issuer}; see GET \
         /v1/issuers"
    )]
    TooManySelectors {
        /// The issuer.
        issuer: String,
    },
    /// There is no room for that many more tokens, sessions and users.
    #[error("{held} tokens, sessions and users are revoked, of at most {most}")]
    TooManyEntries {
        /// How many are revoked already.
        held: usize,
        /// How many may be.
        most: usize,
    },
}

impl Plane {
    /// Loads the keys and the whole log, reporting the progress to `loading`, and publishes the
    /// first base.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn start(
        settings: Settings,
        store: Arc<dyn Store>,
        master: MasterKey,
        now: u64,
        loading: &Loading,
    ) -> Result<Arc<Self>, PlaneError> {
        let Settings {
            issuer,
            sessions,
            signing,
            publish,
            publication,
            log,
            audit,
            receiver_secrets,
            relying_party_secrets,
        } = settings;
        let audit = AuditLog::open(audit, Writers::Serve);
        let sealed = Arc::new(SealedStore::new(store, master.clone()));
        let store: Arc<dyn Store> = sealed.clone();
        let (fold, opened) =
            Log::open(log, issuer.clone(), store.clone(), master.clone(), loading).await?;
        // The log was just read, so the store's clock is known; this process's may be fast.
        let folded = Arc::new(Folded::new(fold, now.min(store.now())));
        let signing = SigningKeys::load(
            signing,
            issuer.clone(),
            store.clone(),
            master.clone(),
            folded.clone(),
            now,
        );
        let signing = Arc::new(signing.await?);
        let signer = signing.clone();
        audit.sign_with(Box::new(move |message| signer.sign(message)));
        let api_keys = ApiKeyRing::load(store.clone(), master.clone()).await?;
        let (validity, audience) = (publish.snapshot_validity_seconds, sessions.audience.clone());
        let tokens = Arc::new(ProvenTokens::new(master.clone()));
        let publisher = Publisher::new(publish, folded.clone(), signing.clone(), tokens);
        let publisher = Arc::new(publisher);
        let processes = Processes::enter(sealed.clone(), folded.clone(), publisher.clone()).await?;
        let place = publication.to.as_ref().map(|to| to.open(&publication.secrets)).transpose();
        let place = place.map_err(PlaneError::Publication)?;
        let publication =
            place.map(|place| Publication::new(&publication, place, publisher.clone()));
        let log = opened.follow(folded.clone(), publisher.clone(), audit.clone(), now);
        let log = Arc::new(log);
        let introspection =
            Introspection::new(issuer.clone(), audience, validity, folded.clone(), log.clone());
        let sessions = Sessions::new(
            sessions,
            issuer.clone(),
            sealed.clone(),
            master.clone(),
            folded.clone(),
            log.clone(),
        );
        let sessions = Arc::new(sessions);
        let receivers = Receivers::new(
            issuer.clone(),
            sealed.clone(),
            master,
            log.clone(),
            audit.clone(),
            receiver_secrets,
        );
        let receivers = Arc::new(receivers);
        let outgoing = Outgoing::load(
            issuer.clone(),
            sealed,
            folded.clone(),
            publisher.clone(),
            sessions.clone(),
            relying_party_secrets,
        );
        let outgoing = Arc::new(outgoing.await?);
        // A request that looked at the list of processes before this one was in it does not ask it: what that request
        // waits for was recorded before, and is read here.
        log.catch_up().await?;
        folded.note_position(folded.position());
        log.remember(now).await;
        // A logout that a crash interrupted must be complete before any client can refresh.
        sessions.carry_out_endings().await?;
        folded.note_carried_out(now);
        publisher.rebuild_base(now).await;
        Ok(Arc::new(Self {
            issuer,
            store,
            folded,
            audit,
            signing,
            publisher,
            processes,
            publication: publication.map(Arc::new),
            log,
            sessions,
            introspection,
            receivers,
            outgoing,
            api_keys,
        }))
    }

    /// The `iss` of its tokens, and the id of its feed.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The time, unix seconds; the same for all processes on a store.
    pub fn now(&self) -> u64 {
        self.store.now()
    }

    /// The rules for what a revocation may name.
    pub fn revocation_rules(&self) -> Rules {
        self.log.rules()
    }

    /// Registers the issuers of the configuration, and limits the life of new access tokens to the
    /// configured one, if the log does not say so already.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn settle_issuers(
        &self,
        configured: &[(String, Definition)],
        now: u64,
    ) -> Result<(), PlaneError> {
        let issuers = self.log.issuers();
        let mut revocations = Vec::new();
        let seconds = self.sessions.access_token_seconds();
        if !issuers.is_own_limited_to(seconds) {
            revocations.push(Revocation::Horizon { seconds });
        }
        for (name, definition) in configured {
            match definition.clone().check(name, &issuers) {
                Ok(registration) if issuers.named(name) == Some(&registration) => {}
                Ok(registration) => {
                    let (name, registration) = (name.clone(), Box::new(registration));
                    revocations.push(Revocation::Issuer { name, registration });
                }
                Err(refused) => {
                    let (field, detail) = (refused.field, refused.detail);
                    return Err(PlaneError::Issuer(format!("{name}.{field}: {detail}")));
                }
            }
        }
        if revocations.is_empty() {
            return Ok(());
        }
        let id = format!("{OWN_ACT}:issuers:{}", random_id());
        let request = Request { id, digest: [0; 32], memory: UNNAMED_REQUEST_MEMORY };
        let record = Record { at: now, by: OWN_ACT.to_owned(), reason: None, revocations };
        let revoking = self.log.revoke_at_start(&request, &record);
        collect_own(&self.audit, "configure", revoking).await?;
        self.publisher.rebuild_base(now).await;
        Ok(())
    }

    /// Registers the relying parties of the configuration, if the store does not have them already.
    ///
    /// # Errors
    ///
    /// See [`RelyingPartyError`].
    pub async fn settle_relying_parties(
        &self,
        configured: &[(String, RelyingParty)],
        now: u64,
    ) -> Result<(), RelyingPartyError> {
        for (name, party) in configured {
            let registering = self.outgoing.register(name, party, OWN_ACT, now);
            collect_own(&self.audit, "configure", registering).await?;
        }
        Ok(())
    }

    /// True while no reason is known why this process cannot serve: the store answers, has room,
    /// and has no fatal finding, and changes can be recorded if they must be.
    pub fn is_ready(&self) -> bool {
        let health = self.log.health();
        let stops = |finding: &Finding| finding.fatal || finding.code == "store_full";
        health.store_error.is_none()
            && !self.audit.refuses()
            && self.publisher.has_base()
            && !health.findings.iter().any(stops)
    }

    /// Adds a token key that signs after `key_publish_seconds`, on behalf of `by`. Returns the pending
    /// key if there is one, so that repeating the call is harmless.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn rotate_key(&self, by: &str, now: u64) -> Result<Rotated, PlaneError> {
        self.log.catch_up().await?;
        self.publisher.reload_keys().await?;
        let rotated = self.signing.rotate(by, now).await?;
        self.publisher.reload_keys().await?;
        Ok(rotated)
    }

    /// Rotates if the schedule requires it. Every process calls this; only the first one adds a
    /// key.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn rotate_key_if_due(&self, now: u64) -> Result<Option<Rotated>, PlaneError> {
        if !self.signing.is_rotation_due(now) {
            return Ok(None);
        }
        let rotating = self.signing.rotate(OWN_ACT, now);
        let rotated = collect_own(&self.audit, "rotateKey", rotating).await?;
        self.publisher.reload_keys().await?;
        Ok(Some(rotated))
    }
}
