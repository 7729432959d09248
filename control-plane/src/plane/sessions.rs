//! Sessions: opened, refreshed, handed over, listed. Every rule is in [`crate::session`]; here the
//! store compares and swaps what the rules decide.
//!
//! The log says which sessions are over, and each of these reads it to its end first: what any
//! process acknowledged holds from then on. That the stored sessions follow is `endings`' work.

use offswitch_verifier::snapshot::Position;
use zeroize::Zeroizing;

use super::{Issued, Plane, PlaneError};
use crate::config::LONGEST_ACCESS_TOKEN_SECONDS;
use crate::credential::{Credential, CredentialKind};
use crate::master_key::random_bytes;
use crate::record::{Record, Revocation};
use crate::session::{Device, Grant, Holder, Rotation, Session, SessionId, UserKey, UserSessions};
use crate::store::{Request, StoreError};

/// Who logs in, and what the tokens shall say.
#[derive(Debug, Clone, Default)]
pub struct SessionRequest {
    /// The user.
    pub sub: String,
    /// What the access tokens say; an empty audience is the configured one.
    pub grant: Grant,
    /// The device.
    pub device: Device,
    /// True if the client shall hold no token: the answer is a one-time code for the edge worker.
    pub handover: bool,
    /// The random half of the session's id; a repeated request has the same.
    pub random: [u8; 16],
    /// A digest of what is asked for, to notice `random` used for something else.
    pub digest: [u8; 16],
}

/// A session, just opened.
#[derive(Debug)]
pub enum Opened {
    /// Its one-time code.
    Code {
        /// The session.
        session: SessionId,
        /// The code.
        code: Zeroizing<String>,
        /// When the code is worthless, unix seconds.
        expires_at: u64,
    },
    /// Its first tokens.
    Tokens(Issued),
}

/// Some of the stored sessions.
#[derive(Debug)]
pub struct StoredSessions {
    /// In no particular order; all of a user are together.
    pub sessions: Vec<Session>,
    /// Where the next ones begin; absent after the last.
    pub next: Option<String>,
}

/// The answer to a refresh.
#[derive(Debug)]
pub enum Refreshed {
    /// New tokens.
    Issued(Issued),
    /// None.
    Refused(RefreshRefusal),
}

/// Why a refresh is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshRefusal {
    /// The session is over, expired or unknown.
    SessionEnded,
    /// The token was spent before: the session is revoked now.
    TokenReused,
    /// The session is bound to another client.
    WrongClient,
    /// The scope asked for goes beyond the session's.
    WrongScope,
}

impl RefreshRefusal {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::SessionEnded => "session_ended",
            Self::TokenReused => "refresh_token_reused",
            Self::WrongClient => "wrong_client",
            Self::WrongScope => "wrong_scope",
        }
    }
}

impl Plane {
    /// Opens a session, after ending those that it leaves no room for.
    ///
    /// # Errors
    ///
    /// [`PlaneError::SessionOver`] if it is a repetition and the session has ended since;
    /// [`StoreError::RequestReused`] if it only looks like one; see [`PlaneError`] for the rest.
    pub async fn open_session(
        &self,
        request: SessionRequest,
        now: u64,
    ) -> Result<Opened, PlaneError> {
        let mut fresh = self.new_session(request, now);
        let mut is_stored = false;
        self.catch_up().await?;
        let session = loop {
            // Not below any revocation of the user so far, and below every later one, also after
            // the user left the base.
            let Position { seq, .. } = self.fold().reached().position;
            fresh.version = seq;
            let admit = |held: &mut UserSessions| self.admit(held, &fresh, is_stored, now);
            match self.change(fresh.id.user(), now, admit).await? {
                Admission::Admitted => is_stored = true,
                Admission::Full(surplus) => {
                    self.end_by_itself(&surplus, "the user has too many sessions", now).await?;
                    continue;
                }
                Admission::Known(known) if known.request != fresh.request => {
                    return Err(StoreError::RequestReused.into());
                }
                Admission::Known(known) => break *known,
            }
            // A logout that was appended before the session was stored may have been carried out
            // already. No token of the session was given out yet: the login happens after it.
            self.catch_up().await?;
            if !self.is_over(&fresh) {
                break fresh;
            }
        };
        if !self.is_living(&session, now) {
            return Err(PlaneError::SessionOver);
        }
        let credential = Credential { session: session.id, number: session.spent() };
        if let Holder::Offered { until } = session.holder {
            let code = credential.text(CredentialKind::HandoverCode, &self.master);
            return Ok(Opened::Code { session: session.id, code, expires_at: until });
        }
        let mut issued = self.issue(&session, None, now).await?;
        issued.credential = Some(credential.text(CredentialKind::RefreshToken, &self.master));
        Ok(Opened::Tokens(issued))
    }

    /// Trades a refresh token for an access token and its successor.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`]; whether the token is spent then may be unknown, and showing it again is
    /// the right thing to do.
    pub async fn refresh(
        &self,
        token: Credential,
        client_id: Option<&str>,
        scope: Option<&str>,
        now: u64,
    ) -> Result<Refreshed, PlaneError> {
        self.catch_up().await?;
        let rotate = |sessions: &mut UserSessions| {
            let session = sessions.find(token.session).filter(|one| !self.is_over(one));
            let session = session.ok_or(RefreshRefusal::SessionEnded)?;
            let Grant { client_id: owner, client_bound, scope: granted, .. } = &session.grant;
            if !client_id.map_or(!client_bound, |client| client == owner) {
                return Err(RefreshRefusal::WrongClient);
            }
            if scope.is_some_and(|scope| !is_within(scope, granted.as_deref())) {
                return Err(RefreshRefusal::WrongScope);
            }
            match session.rotate(token.number, now, &self.settings.lifetimes) {
                Rotation::Over => Err(RefreshRefusal::SessionEnded),
                Rotation::Reused => Err(RefreshRefusal::TokenReused),
                Rotation::Repeated { generation } | Rotation::Rotated { generation } => {
                    Ok((session.clone(), generation))
                }
            }
        };
        let (session, number) = match self.change(token.session.user(), now, rotate).await? {
            Ok(rotated) => rotated,
            Err(refusal) => {
                if refusal == RefreshRefusal::TokenReused {
                    self.stop_thief(token.session, now).await?;
                }
                return Ok(Refreshed::Refused(refusal));
            }
        };
        let mut issued = self.issue(&session, scope, now).await?;
        let successor = Credential { session: session.id, number };
        issued.credential = Some(successor.text(CredentialKind::RefreshToken, &self.master));
        Ok(Refreshed::Issued(issued))
    }

    /// Trades a one-time code for a handle and an access token; none if the code is spent or too old.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn redeem_code(
        &self,
        code: Credential,
        now: u64,
    ) -> Result<Option<Issued>, PlaneError> {
        self.catch_up().await?;
        let redeem = |sessions: &mut UserSessions| {
            let session = self.living(sessions, code.session, now)?;
            match session.holder {
                Holder::Offered { until } if now < until => session.holder = Holder::Edge,
                _ => return None,
            }
            Some(session.clone())
        };
        let Some(session) = self.change(code.session.user(), now, redeem).await? else {
            return Ok(None);
        };
        let mut issued = self.issue(&session, None, now).await?;
        let handle = Credential { session: session.id, number: 0 };
        issued.credential = Some(handle.text(CredentialKind::HandoverHandle, &self.master));
        Ok(Some(issued))
    }

    /// A new access token for the edge worker that holds `handle`; none if the session is over.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn handover_token(
        &self,
        handle: Credential,
        now: u64,
    ) -> Result<Option<Issued>, PlaneError> {
        self.catch_up().await?;
        let touch = |sessions: &mut UserSessions| {
            let session = self.living(sessions, handle.session, now)?;
            if session.holder != Holder::Edge {
                return None;
            }
            session.used_at = session.used_at.max(now);
            Some(session.clone())
        };
        match self.change(handle.session.user(), now, touch).await? {
            Some(session) => Ok(Some(self.issue(&session, None, now).await?)),
            None => Ok(None),
        }
    }

    /// The living sessions of `sub`, newest first.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn sessions(&self, sub: &str, now: u64) -> Result<Vec<Session>, PlaneError> {
        self.catch_up().await?;
        let bytes = self.store.load(&document(self.master.user_key(sub))).await?;
        let mut sessions = decode(&bytes)?.sessions;
        sessions.retain(|session| session.sub == sub && self.is_living(session, now));
        sessions.reverse();
        Ok(sessions)
    }

    /// Some of the stored sessions, ended ones too, beginning at `cursor` (empty at first).
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn stored_sessions(&self, cursor: &str) -> Result<StoredSessions, PlaneError> {
        let stretch = self.store.scan(USER_DOCUMENTS, cursor).await?;
        let mut sessions = Vec::new();
        for (_, bytes) in &stretch.documents {
            sessions.extend(decode(bytes)?.sessions);
        }
        Ok(StoredSessions { sessions, next: stretch.next })
    }

    /// The session that a genuine refresh token names, if the token would be good for a refresh now.
    ///
    /// # Errors
    ///
    /// See [`PlaneError`].
    pub async fn peek_refresh(
        &self,
        token: Credential,
        now: u64,
    ) -> Result<Option<Session>, PlaneError> {
        self.catch_up().await?;
        let bytes = self.store.load(&document(token.session.user())).await?;
        let mut sessions = decode(&bytes)?;
        let Some(session) = self.living(&mut sessions, token.session, now) else {
            return Ok(None);
        };
        let before = session.clone();
        let rotation = session.rotate(token.number, now, &self.settings.lifetimes);
        let is_good = matches!(rotation, Rotation::Rotated { .. } | Rotation::Repeated { .. });
        Ok(is_good.then_some(before))
    }

    /// What stands in the log for the end of a session, until its last access token has expired.
    pub fn session_revocation(session: SessionId, now: u64) -> Revocation {
        let exp = now.saturating_add(LONGEST_ACCESS_TOKEN_SECONDS);
        Revocation::Session { issuer: None, sid: session.to_string(), exp }
    }

    /// Reads a user's sessions, lets `decide` change them and stores the outcome: again from the
    /// beginning where another process was faster.
    pub(super) async fn change<T>(
        &self,
        user: UserKey,
        now: u64,
        decide: impl Fn(&mut UserSessions) -> T,
    ) -> Result<T, PlaneError> {
        let name = document(user);
        for _ in 0..ATTEMPTS {
            let held = self.store.load(&name).await?;
            let mut sessions = decode(&held)?;
            sessions.tidy(now, &self.settings.lifetimes);
            let outcome = decide(&mut sessions);
            if sessions.encode() == held {
                return Ok(outcome);
            }
            sessions.stamp = u64::from_le_bytes(random_bytes());
            let end = sessions.forgettable_at(&self.settings.lifetimes);
            let forget_at = end.map(|end| end.saturating_add(CLOCK_MARGIN_SECONDS));
            if self.store.swap(&name, &held, &sessions.encode(), forget_at).await? {
                return Ok(outcome);
            }
        }
        Err(StoreError::Unavailable("a user's sessions change too often".to_owned()).into())
    }

    /// True if the log has ended the session.
    pub(super) fn is_over(&self, session: &Session) -> bool {
        let Session { id, sub, version, .. } = session;
        self.fold().is_session_over(&id.to_string(), sub, *version)
    }

    /// True while the session may give out access tokens.
    pub(super) fn is_living(&self, session: &Session, now: u64) -> bool {
        session.is_live(now, &self.settings.lifetimes) && !self.is_over(session)
    }

    fn living<'a>(
        &self,
        sessions: &'a mut UserSessions,
        id: SessionId,
        now: u64,
    ) -> Option<&'a mut Session> {
        sessions.find(id).filter(|session| self.is_living(session, now))
    }

    fn new_session(&self, request: SessionRequest, now: u64) -> Session {
        let mut grant = request.grant;
        if grant.audience.is_empty() {
            grant.audience.clone_from(&self.settings.audience);
        }
        Session {
            id: SessionId::new(self.master.user_key(&request.sub), request.random),
            sub: request.sub,
            grant,
            device: request.device,
            version: 0,
            opened_at: now,
            used_at: now,
            holder: if request.handover {
                Holder::Offered { until: now.saturating_add(CODE_SECONDS) }
            } else {
                Holder::Client { generation: 0, since: now }
            },
            ended: None,
            request: request.digest,
        }
    }

    /// Adds `fresh`, in the place of what this call has stored before if `is_stored`.
    fn admit(
        &self,
        held: &mut UserSessions,
        fresh: &Session,
        is_stored: bool,
        now: u64,
    ) -> Admission {
        if is_stored {
            held.sessions.retain(|one| one.id != fresh.id);
        } else if let Some(known) = held.find(fresh.id) {
            return Admission::Known(Box::new(known.clone()));
        }
        let living = |one: &&Session| one.sub == fresh.sub && self.is_living(one, now);
        let living = held.sessions.iter().filter(living);
        let surplus = UserSessions::surplus(living, self.settings.sessions_per_user);
        if !surplus.is_empty() {
            return Admission::Full(surplus);
        }
        held.sessions.push(fresh.clone());
        Admission::Admitted
    }

    /// A spent refresh token came back. The log comes first: once that is durable the session is
    /// over everywhere, access tokens included; nothing is answered before.
    async fn stop_thief(&self, session: SessionId, now: u64) -> Result<(), PlaneError> {
        self.end_by_itself(&[session], "a spent refresh token came back", now).await?;
        metrics::counter!("offswitch_refresh_tokens_reused_total").increment(1);
        tracing::warn!(%session, "a spent refresh token came back: the session is revoked");
        Ok(())
    }

    async fn end_by_itself(
        &self,
        sessions: &[SessionId],
        reason: &str,
        now: u64,
    ) -> Result<(), PlaneError> {
        let revocations =
            sessions.iter().map(|session| Self::session_revocation(*session, now)).collect();
        let (by, reason) = (ITSELF.to_owned(), Some(reason.to_owned()));
        let record = Record { at: now, by, reason, revocations };
        // Many may notice at once: the log needs one record of it.
        let names: Vec<String> = sessions.iter().map(ToString::to_string).collect();
        let digest = *blake3::hash(names.join(" ").as_bytes()).as_bytes();
        let id = format!("{ITSELF}:end:{}", blake3::Hash::from_bytes(digest).to_hex());
        self.revoke(&Request { id, digest }, &record).await?;
        self.catch_up().await
    }
}

/// What became of a session that was to be stored.
enum Admission {
    Admitted,
    /// These must go first.
    Full(Vec<SessionId>),
    /// It is there already.
    Known(Box<Session>),
}

/// The document with a user's sessions.
fn document(user: UserKey) -> String {
    format!("{USER_DOCUMENTS}{user}")
}

/// Reads a document with sessions.
fn decode(bytes: &[u8]) -> Result<UserSessions, StoreError> {
    let damaged = |_| StoreError::Damaged("a user's sessions cannot be read".to_owned());
    UserSessions::decode(bytes).map_err(damaged)
}

/// RFC 6749 section 6: a refresh may ask for less than was granted, never for more.
fn is_within(scope: &str, granted: Option<&str>) -> bool {
    let granted: Vec<&str> = granted.unwrap_or_default().split(' ').collect();
    scope.split(' ').all(|name| granted.contains(&name))
}

/// Stands in the log for what the control plane does by itself.
pub(super) const ITSELF: &str = "offswitch";
/// Begins the names of all documents with sessions.
const USER_DOCUMENTS: &str = "user:";
/// How long a one-time code is good.
const CODE_SECONDS: u64 = 60;
/// Each attempt that fails lets another one succeed.
const ATTEMPTS: usize = 1000;
/// The store's clock may be ahead of ours by a day.
const CLOCK_MARGIN_SECONDS: u64 = 86_400;
