//! Revoking: one append, after which every verifier that follows the feed refuses.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use offswitch_core::fold::FoldError;
use offswitch_core::limits::{REQUEST_MEMORY, UNNAMED_REQUEST_MEMORY};
use offswitch_core::record::{HOLDER, Record, Revocation};
use offswitch_core::revoking::{OwnToken, place_of_held};
use offswitch_core::session::{Session, SessionId};
use offswitch_snapshot::{MAX_DEAD_KEYS, MAX_ENTRIES, Position};
use offswitch_verifier::{Jws, VerifyingKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::keyring::KeyState;
use crate::plane::{Plane, PlaneError};
use crate::store::{Append, Appended, Durability, Request, StoreError};
use crate::telemetry::audit;

/// The outcome of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// A verifier at this position or a later one refuses.
    pub position: Position,
    /// Which failures the record survives.
    pub durability: Durability,
    /// True if the same request was accepted before.
    pub repeated: bool,
}

/// The sessions of this control plane that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedSessions {
    /// The index of the first revocation whose session does not exist.
    pub unknown: Option<usize>,
    /// How many of them are active, if that was counted.
    pub sessions: Option<u64>,
}

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

/// How many users, sessions and tokens a red button would affect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// Users with an active session.
    pub users: u64,
    /// Active sessions.
    pub sessions: u64,
    /// Sessions whose last access token has not expired.
    pub tokens: u64,
}

impl Plane {
    /// Appends `record` and returns once it is durable, and also folded here if the store allows
    /// reading it.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`]; nothing is acknowledged then.
    pub async fn revoke(&self, request: &Request, record: &Record) -> Result<Revoked, PlaneError> {
        if let Err(refusal) = self.need_room(record, MOST_ENTRIES) {
            return self.recalled(request, refusal).await;
        }
        let began = Instant::now();
        let Appended { position, durability, repeated } = self.append(request, record).await?;
        // It is durable already; waiting until it is folded only helps this process's followers.
        self.wait_folded(position, LONGEST_FOLD).await;
        metrics::histogram!("offswitch_publish_seconds").record(began.elapsed().as_secs_f64());
        if !repeated {
            audit::revoked(record, position);
        }
        Ok(Revoked { position, durability, repeated })
    }

    /// Appends to the log that this process has folded. If the store continues a different log,
    /// that is repaired first.
    async fn append(&self, request: &Request, record: &Record) -> Result<Appended, PlaneError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let append = Append { request: request.clone(), record: record.encode() };
            match self.appender.append(append).await {
                Err(StoreError::Moved) if tries < MOST_TRIES => self.catch_up().await?,
                appended => return Ok(appended?),
            }
        }
    }

    /// [`revoke`](Self::revoke), limited by [`need_allowed`](Self::need_allowed).
    ///
    /// # Errors
    ///
    /// See [`PlaneError`]; nothing is acknowledged then.
    pub async fn revoke_allowed(
        &self,
        request: &Request,
        record: &Record,
    ) -> Result<Revoked, PlaneError> {
        match self.need_allowed(record) {
            Ok(()) => self.revoke(request, record).await,
            Err(refusal) => self.recalled(request, refusal).await,
        }
    }

    /// The claims of a token that this control plane can have signed. It may have expired. A token
    /// of a dead or retired key is refused: a thief of the key could fill the log with forged ones.
    pub fn own_token(&self, token: &str, now: u64) -> Option<OwnToken> {
        let jws = Jws::parse(token).ok()?;
        let keyring = self.keyring();
        let states = {
            let fold = self.fold();
            keyring.states(now, |kid| fold.is_dead(kid))
        };
        let (key, ..) = states
            .into_iter()
            .find(|(key, state, _)| *state != KeyState::Dead && Some(key.kid()) == jws.kid())?;
        let key = VerifyingKey::from_jwk(key.jwk().to_string().as_bytes()).ok()?;
        let own: OwnToken = serde_json::from_slice(jws.verify(&key).ok()?.as_ref()).ok()?;
        own.is_possible(&self.settings.issuer, now).then_some(own)
    }

    /// Revokes a token for its holder (RFC 7009). Repeated requests make only one record in the
    /// log, and one session only a few: then the session is ended.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`]; nothing is acknowledged then.
    pub async fn revoke_held(&self, token: OwnToken, now: u64) -> Result<(), PlaneError> {
        let digest = *blake3::hash(token.jti.as_bytes()).as_bytes();
        let (place, sid) = (place_of_held(&digest), token.sid.clone());
        let id = format!("{HOLDER}:revoke:{}:{place}", blake3::hash(sid.as_bytes()).to_hex());
        let Ok(revocation) = token.check(now) else { return Ok(()) };
        let (by, reason) = (HOLDER.to_owned(), Some("RFC 7009".to_owned()));
        let record = Record { at: now, by, reason, revocations: vec![revocation] };
        match self.revoke(&Request { id, digest, memory: REQUEST_MEMORY }, &record).await {
            Err(PlaneError::Store(StoreError::RequestReused)) => {
                if let Ok(session) = sid.parse() {
                    self.end_once(&[session], HOLDER, "RFC 7009", now).await?;
                }
                Ok(())
            }
            revoked => revoked.map(drop),
        }
    }

    /// The outcome of an earlier execution of `request`, if it had an idempotency key and was
    /// accepted.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn recall(&self, request: &Request) -> Result<Option<Revoked>, PlaneError> {
        if request.memory <= UNNAMED_REQUEST_MEMORY {
            return Ok(None);
        }
        let known = self.store.recall(request).await?;
        let revoked = |Appended { position, durability, repeated }| Revoked {
            position,
            durability,
            repeated,
        };
        Ok(known.map(revoked))
    }

    /// The outcome of an earlier execution of `request`. It is refused only if there was none: a
    /// caller that lost the response must not take an accepted revocation for a refused one.
    async fn recalled(
        &self,
        request: &Request,
        refusal: PlaneError,
    ) -> Result<Revoked, PlaneError> {
        self.recall(request).await?.ok_or(refusal)
    }

    /// The sessions of this control plane that `revocations` name: the first that does not exist,
    /// and, for a small request, how many active ones it ends.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn sessions_of(
        &self,
        revocations: &[Revocation],
        now: u64,
    ) -> Result<NamedSessions, PlaneError> {
        let unknown = self.unknown_session(revocations).await?;
        if unknown.is_some() || revocations.len() > FEW_REVOCATIONS {
            return Ok(NamedSessions { unknown, sessions: None });
        }
        let mut active = HashSet::new();
        for revocation in revocations {
            let named = match revocation {
                Revocation::Refresh { sid, .. } | Revocation::Session { issuer: None, sid, .. } => {
                    sid.parse().ok().map(|id: SessionId| (id.user(), Some(id), None))
                }
                Revocation::User { issuer: None, sub, .. } => {
                    Some((self.master.user_key(sub), None, Some(sub)))
                }
                _ => None,
            };
            let Some((user, id, sub)) = named else { continue };
            let held = match self.user_sessions(user).await {
                Err(PlaneError::Store(StoreError::Altered(_) | StoreError::Damaged(_))) => continue,
                held => held?,
            };
            let is_named = |session: &&Session| {
                id.is_none_or(|id| session.id == id)
                    && sub.is_none_or(|sub| session.sub == *sub)
                    && self.is_living(session, now)
            };
            active.extend(held.sessions.iter().filter(is_named).map(|session| session.id));
        }
        let sessions = u64::try_from(active.len()).ok();
        Ok(NamedSessions { unknown, sessions })
    }

    /// The index of the first revocation that names a session which this control plane does not
    /// have and did not have recently.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn unknown_session(
        &self,
        revocations: &[Revocation],
    ) -> Result<Option<usize>, PlaneError> {
        let named = revocations.iter().enumerate().filter_map(|(place, one)| match one {
            Revocation::Session { issuer: None, sid, .. } => {
                Some((place, sid.parse::<SessionId>().ok()))
            }
            _ => None,
        });
        let named: Vec<(usize, Option<SessionId>)> = named.collect();
        let mut looked_up = stream::iter(named)
            .map(|(place, id)| async move {
                match id {
                    Some(id) => (place, self.has_session(id).await),
                    None => (place, Ok(false)),
                }
            })
            .buffered(LOOKED_UP_TOGETHER);
        while let Some((place, is_known)) = looked_up.next().await {
            if !is_known? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    async fn has_session(&self, id: SessionId) -> Result<bool, PlaneError> {
        match self.user_sessions(id.user()).await {
            // A recently revoked session may be forgotten already; revoking it again is harmless.
            Ok(mut held) => Ok(held.find(id).is_some()
                || self.fold().is_session_over(&id.to_string(), "", u64::MAX)),
            // Its access tokens may be in use: a session that cannot be read can still be revoked.
            Err(PlaneError::Store(StoreError::Altered(_) | StoreError::Damaged(_))) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Refuses `record` if it exceeds the number of revocations that the operator allows, or the
    /// number of keys that may be revoked by name: the remaining room is reserved for red buttons,
    /// which must never find it full. Ending sessions (a logout, a theft) is not subject to this:
    /// it may use the room up to [`MOST_ENTRIES`].
    ///
    /// # Errors
    ///
    /// [`PlaneError::TooManyEntries`], [`PlaneError::TooManyDeadKeys`].
    pub fn need_allowed(&self, record: &Record) -> Result<(), PlaneError> {
        self.need_key_room(record)?;
        self.need_room(record, self.settings.max_entries)
    }

    /// Refuses to revoke so many keys by name that red buttons have no room. Keys of other issuers
    /// have lower limits, because any caller who may revoke can invent their names: each issuer is
    /// limited to what its key set can hold, and all of them so that there is always room for the
    /// control plane's own keys.
    fn need_key_room(&self, record: &Record) -> Result<(), PlaneError> {
        let named: HashSet<(Option<&str>, &str)> = record
            .revocations
            .iter()
            .filter_map(|one| match one {
                Revocation::Key { issuer, kid } => Some((issuer.as_deref(), kid.as_str())),
                _ => None,
            })
            .collect();
        if named.is_empty() {
            return Ok(());
        }
        let own = self.settings.issuer.as_str();
        let fold = self.fold();
        let dead = fold.dead_keys().iter().map(|key| (key.issuer.as_str(), key.kid.as_str()));
        let fresh = named.into_iter().map(|(issuer, kid)| (issuer.unwrap_or(own), kid));
        let all: HashSet<(&str, &str)> = dead.chain(fresh).collect();
        if all.len() == fold.dead_keys().len() {
            return Ok(());
        }
        let mut by_issuer: HashMap<&str, usize> = HashMap::new();
        for (issuer, _) in &all {
            *by_issuer.entry(issuer).or_default() += 1;
        }
        let own_keys = by_issuer.remove(own).unwrap_or_default();
        let foreign: usize = by_issuer.values().sum();
        let is_full = own_keys + foreign > MAX_DEAD_KEYS / 2
            || foreign > MAX_FOREIGN_DEAD_KEYS
            || by_issuer.values().any(|keys| *keys > MAX_DEAD_KEYS_OF_ISSUER);
        if is_full { Err(PlaneError::TooManyDeadKeys) } else { Ok(()) }
    }

    fn need_room(&self, record: &Record, most: usize) -> Result<(), PlaneError> {
        let entries = record.revocations.iter().filter(|one| one.is_entry()).count();
        let held = self.fold().entries();
        if entries > 0 && held.saturating_add(entries) > most {
            return Err(PlaneError::TooManyEntries { held, most });
        }
        Ok(())
    }

    /// The effect of pressing the red button at `now`: every key that may still sign or verify is
    /// revoked, and so is every token issued up to this second.
    pub fn red_button(&self, sessions: Landing, now: u64) -> RedButton {
        let (fold, keyring) = (self.fold(), self.keyring());
        let kids = keyring.token_keys().iter().map(|key| key.kid().to_owned());
        RedButton {
            dead_kids: kids.filter(|kid| !fold.is_dead(kid)).collect(),
            epoch: fold.epoch().max(now.saturating_add(1)),
            sessions,
        }
    }

    /// Counts the users with an active session at `now` by reading all sessions.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn reach(&self, now: u64) -> Result<Reach, PlaneError> {
        self.catch_up().await?;
        let (mut reach, mut cursor) = (Reach::default(), String::new());
        let (mut users, mut seen) = (HashSet::new(), HashSet::new());
        let access_token_seconds = self.settings.access_token_seconds;
        loop {
            let stored = self.stored_sessions(&cursor).await?;
            for session in stored.sessions.iter().filter(|one| self.is_living(one, now)) {
                // A scan may return a session twice.
                if seen.insert(session.id) {
                    reach.sessions += 1;
                    let expires_at = session.used_at.saturating_add(access_token_seconds);
                    reach.tokens += u64::from(expires_at > now);
                    reach.users += u64::from(users.insert(session.id.user()));
                }
            }
            let Some(next) = stored.next else { return Ok(reach) };
            cursor = next;
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
        if let Err(error) = self.reload_keyring().await {
            tracing::warn!(%error, "the red button switches off the keys that are known");
        }
        let button = self.red_button(sessions, record.at);
        let has_room = self.fold().dead_keys().len() + button.dead_kids.len() <= MAX_DEAD_KEYS;
        record.revocations = button.revocations();
        let revoked = if has_room {
            self.revoke(request, &record).await?
        } else {
            self.recalled(request, PlaneError::TooManyDeadKeys).await?
        };
        self.catch_up().await?;
        self.reload_keyring().await?;
        let done = if revoked.repeated { self.pressed(revoked.position).await? } else { button };
        Ok((done, revoked))
    }

    /// What the record at `position` did.
    async fn pressed(&self, position: Position) -> Result<RedButton, PlaneError> {
        let seq = position.seq;
        let page = self.store.read(seq.saturating_sub(1), 1).await?;
        let record = page.records.first().filter(|(found, _)| *found == seq);
        let Some((_, bytes)) = record.filter(|_| page.era == position.era) else {
            let gone = "the record of the repeated request is not there any more";
            return Err(StoreError::Damaged(gone.to_owned()).into());
        };
        let record = Record::decode(bytes).map_err(|_| FoldError::Damaged { seq })?;
        let mut done = RedButton { dead_kids: vec![], epoch: 0, sessions: Landing::Keep };
        for revocation in record.revocations {
            match revocation {
                Revocation::Epoch { epoch } => done.epoch = epoch,
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
        let epoch = Revocation::Epoch { epoch: self.epoch };
        self.dead_kids.iter().map(key).chain([epoch]).chain(sessions).collect()
    }
}

/// The maximum number of revoked tokens, sessions and users at any time: verifiers refuse a
/// snapshot beyond their own bound, and would be stuck with the previous one. The difference allows
/// for processes that revoke concurrently, each before it has seen the others' records of up to
/// 100,000 entries.
pub const MOST_ENTRIES: usize = MAX_ENTRIES - (1 << 22);
/// How many keys of other issuers may be dead: half of those that may be revoked by name.
const MAX_FOREIGN_DEAD_KEYS: usize = MAX_DEAD_KEYS / 4;
/// How many keys of one other issuer may be dead.
const MAX_DEAD_KEYS_OF_ISSUER: usize = 64;
/// Up to this many revocations, the sessions that they end are counted.
const FEW_REVOCATIONS: usize = 100;
const LOOKED_UP_TOGETHER: usize = 32;
const LONGEST_FOLD: Duration = Duration::from_secs(1);
/// The first try, and a few more for a store that fails over more than once.
const MOST_TRIES: u32 = 4;
