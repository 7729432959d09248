//! The content of the log: one record per accepted request, and the effect of a record on
//! snapshots.

use offswitch_snapshot::{Cutoff, DeadKey, IssuerRules, Salt, Selector};
use serde::{Deserialize, Serialize};

use crate::issuers::{Claims, Entry, Issuers, Registration, Tokens};
use crate::limits::{REQUEST_MEMORY, leaves_at};

/// One accepted request: who revoked what, when and why. Encoded with postcard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it was accepted, unix seconds.
    pub at: u64,
    /// The id of the API key that sent the request.
    pub by: String,
    /// The reason given, if any.
    pub reason: Option<String>,
    /// What was revoked, at least one entry.
    pub revocations: Vec<Revocation>,
}

/// One revocation, or a change of what can be revoked. `issuer` is absent for the control plane's own
/// tokens. Encoded by its position in this list: add new variants at the end.
///
/// `exp` is the latest `exp` of the tokens that the caller knows of, unix seconds, or 0. An entry stays
/// at least until then, and at least as long as the issuer's horizon asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Revocation {
    /// The tokens with these claims that were issued before an instant.
    Claims {
        /// The tokens' issuer.
        issuer: Option<String>,
        /// The claims.
        claims: Claims,
        /// Unix seconds.
        issued_before: u64,
        /// See above.
        exp: u64,
    },
    /// The epoch of a red button: all tokens issued before it are revoked.
    Epoch {
        /// The tokens' issuer.
        issuer: Option<String>,
        /// Unix seconds.
        epoch: u64,
    },
    /// The control plane's own tokens live at most this long from now on.
    Horizon {
        /// Seconds from `iat` to `exp`.
        seconds: u64,
    },
    /// An issuer is registered under a name, or changed.
    Issuer {
        /// The name.
        name: String,
        /// The issuer.
        registration: Box<Registration>,
    },
    /// An issuer is removed; what was revoked of it stays until it has expired.
    IssuerRemoved {
        /// Its name.
        name: String,
    },
    /// A signing key is revoked.
    Key {
        /// The key's issuer.
        issuer: Option<String>,
        /// The key id.
        kid: String,
    },
    /// A session cannot be refreshed any more; its access tokens stay valid until they expire.
    /// Verifiers are not informed, because only a refresh needs this.
    Refresh {
        /// Its id.
        sid: String,
        /// When the stored session is sure to record this itself, unix seconds.
        exp: u64,
    },
    /// A session, with every token that has its id.
    Session {
        /// The session's issuer.
        issuer: Option<String>,
        /// Its id.
        sid: String,
        /// See above.
        exp: u64,
    },
    /// Every session opened so far: a red button that ends all sessions. Verifiers are not
    /// informed, because the epoch already revokes the access tokens.
    Sessions,
    /// One token.
    Token {
        /// The token's issuer.
        issuer: Option<String>,
        /// Its id.
        jti: String,
        /// Its `exp`, unix seconds; 0 if it is not known.
        exp: u64,
    },
    /// The tokens that a user has now.
    User {
        /// The user's issuer.
        issuer: Option<String>,
        /// The user.
        sub: String,
        /// Only those issued before this instant, unix seconds. Without it, those of the control plane
        /// are compared by `ver`.
        issued_before: Option<u64>,
        /// See above.
        exp: u64,
    },
}

/// What a record adds to the revoked state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effects {
    /// Ids that are revoked regardless of the age of the token.
    pub denied: Vec<Denied>,
    /// Cut-offs.
    pub cutoffs: Vec<RevokedUpTo>,
    /// Sessions that cannot be refreshed; snapshots do not contain them.
    pub refresh_denied: Vec<Denied>,
    /// Keys.
    pub dead_keys: Vec<DeadKey>,
    /// The rules of issuers that change with the record.
    pub rules: Vec<IssuerRules>,
    /// Sessions with a lower version have ended, for every user; 0 if the record does not set it.
    pub sessions_floor: u64,
}

/// A denied id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Denied {
    /// Its fingerprint.
    pub id: u64,
    /// When it may be removed from the base, unix seconds.
    pub until: u64,
}

/// Claims of which older tokens are revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedUpTo {
    /// Their fingerprint.
    pub id: u64,
    /// The minimum that newer tokens have.
    pub cutoff: Cutoff,
    /// When the entry may be removed from the base, unix seconds.
    pub until: u64,
}

impl Record {
    /// Encodes the record for the log.
    pub fn encode(&self) -> Vec<u8> {
        // An empty record instead would stop every process that reads the log.
        postcard::to_allocvec(self).expect("plain data is always encoded")
    }

    /// The revocations, encoded: without actor, time and reason.
    pub fn revocations_encoded(&self) -> Vec<u8> {
        postcard::to_allocvec(&self.revocations).expect("plain data is always encoded")
    }

    /// Decodes a record of the log; bytes left over are an error.
    ///
    /// # Errors
    ///
    /// If the bytes are not a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        match postcard::take_from_bytes(bytes)? {
            (record, []) => Ok(record),
            _ => Err(postcard::Error::DeserializeBadEncoding),
        }
    }

    /// Takes the record at `seq` into `issuers`, and returns what it adds to the revoked state.
    ///
    /// A user's minimum version *is* the seq of the user's last revocation: it only grows, it needs
    /// no counter of its own, and two processes can never assign the same one.
    pub fn effects(&self, seq: u64, salt: Salt, issuers: &mut Issuers) -> Effects {
        let own = issuers.own().to_owned();
        let mut effects = Effects::default();
        let mut changed: Vec<&str> = Vec::new();
        for revocation in &self.revocations {
            let issuer = revocation.issuer().unwrap_or(&own);
            let mut into = Into { at: self.at, seq, salt, issuers, effects: &mut effects };
            if into.take(revocation, issuer) {
                changed.push(issuer);
            }
        }
        changed.sort_unstable();
        changed.dedup();
        let rules = changed.iter().filter_map(|issuer| issuers.rules_of(issuer));
        effects.rules = rules.cloned().collect();
        effects
    }
}

/// Where the effects of one record go.
struct Into<'a> {
    at: u64,
    seq: u64,
    salt: Salt,
    issuers: &'a mut Issuers,
    effects: &'a mut Effects,
}

impl Into<'_> {
    /// Takes in one revocation of `issuer`; true if that changes the feed's rules for the issuer.
    fn take(&mut self, revocation: &Revocation, issuer: &str) -> bool {
        match revocation {
            Revocation::Claims { claims, issued_before, exp, .. } => {
                let cutoff = Cutoff { minimum_version: 0, not_before: *issued_before };
                self.cut(issuer, &Tokens::Claims(claims), cutoff, *exp)
            }
            Revocation::Epoch { epoch, .. } => self.issuers.raise_epoch(issuer, *epoch),
            Revocation::Horizon { seconds } => {
                self.issuers.limit_own(self.at, *seconds);
                true
            }
            Revocation::Issuer { name, registration } => {
                self.issuers.register(name, registration, self.at, self.seq);
                true
            }
            // Its revocations stay, so the feed's rules do not change.
            Revocation::IssuerRemoved { name } => {
                self.issuers.remove(name, self.seq);
                false
            }
            Revocation::Key { kid, .. } => {
                // A removed issuer is not forgotten while tokens of the dead key may be alive.
                self.issuers.need_key(issuer, self.at);
                let key = DeadKey { issuer: issuer.to_owned(), kid: kid.clone() };
                self.effects.dead_keys.push(key);
                false
            }
            Revocation::Refresh { sid, exp } => {
                let id = self.issuers.print_own_session(self.salt, sid);
                self.effects.refresh_denied.push(Denied { id, until: leaves_at(*exp) });
                false
            }
            Revocation::Sessions => {
                self.effects.sessions_floor = self.seq;
                false
            }
            Revocation::Session { sid, exp, .. } => self.deny(issuer, &Tokens::Session(sid), *exp),
            Revocation::Token { jti, exp, .. } => self.deny(issuer, &Tokens::Token(jti), *exp),
            Revocation::User { issuer: foreign, sub, issued_before, exp } => {
                let cutoff = match (foreign, issued_before) {
                    (_, Some(not_before)) => Cutoff { minimum_version: 0, not_before: *not_before },
                    (None, None) => Cutoff { minimum_version: self.seq, not_before: 0 },
                    // A token of the same second may be older than the revocation: refuse it too.
                    (Some(_), None) => Cutoff { minimum_version: 0, not_before: self.at + 1 },
                };
                self.cut(issuer, &Tokens::User(sub), cutoff, *exp)
            }
        }
    }

    fn deny(&mut self, issuer: &str, named: &Tokens<'_>, exp: u64) -> bool {
        let latest = self.at.saturating_add(self.issuers.clock_skew_of(issuer));
        let Some(Entry { id, until, is_listed }) = self.enter(issuer, named, latest, exp) else {
            return false;
        };
        self.effects.denied.push(Denied { id, until });
        !is_listed
    }

    fn cut(&mut self, issuer: &str, named: &Tokens<'_>, cutoff: Cutoff, exp: u64) -> bool {
        // Tokens of a version are issued until the log has it.
        let latest = if cutoff.minimum_version > 0 { self.at } else { cutoff.not_before };
        let Some(Entry { id, until, is_listed }) = self.enter(issuer, named, latest, exp) else {
            return false;
        };
        self.effects.cutoffs.push(RevokedUpTo { id, cutoff, until });
        !is_listed
    }

    fn enter(&mut self, issuer: &str, named: &Tokens<'_>, latest: u64, exp: u64) -> Option<Entry> {
        self.issuers.enter(self.salt, issuer, named, latest, exp)
    }
}

impl Revocation {
    /// The `iss` of the tokens; none for those of the control plane.
    pub fn issuer(&self) -> Option<&str> {
        match self {
            Self::Claims { issuer, .. }
            | Self::Epoch { issuer, .. }
            | Self::Key { issuer, .. }
            | Self::Session { issuer, .. }
            | Self::Token { issuer, .. }
            | Self::User { issuer, .. } => issuer.as_deref(),
            Self::Issuer { registration, .. } => Some(&registration.issuer),
            Self::Horizon { .. }
            | Self::IssuerRemoved { .. }
            | Self::Refresh { .. }
            | Self::Sessions => None,
        }
    }

    /// The claims by which verifiers look it up, if it is an entry.
    pub fn selector(&self, issuers: &Issuers) -> Option<Selector> {
        let roles = issuers.roles_of(self.issuer().unwrap_or(issuers.own()));
        match self {
            Self::Claims { claims, .. } => Selector::new(claims.keys()).ok(),
            Self::Session { .. } => roles.session,
            Self::Token { .. } => roles.token,
            Self::User { .. } => roles.user,
            _ => None,
        }
    }

    /// True if it takes up an entry in every snapshot for as long as it is needed.
    pub fn is_entry(&self) -> bool {
        match self {
            Self::Claims { .. } | Self::Session { .. } | Self::Token { .. } | Self::User { .. } => {
                true
            }
            Self::Epoch { .. }
            | Self::Horizon { .. }
            | Self::Issuer { .. }
            | Self::IssuerRemoved { .. }
            | Self::Key { .. }
            | Self::Refresh { .. }
            | Self::Sessions => false,
        }
    }

    /// Until when the record must stay in the log for the sake of this, unix seconds. `at` is when it
    /// was accepted. Keys, issuers, epochs and the sessions' floor are kept in the checkpoint, a denied
    /// refresh in its session.
    pub fn needed_until(&self, at: u64, issuers: &Issuers) -> u64 {
        let stay = |issuer: &Option<String>, cutoff: u64, exp: u64| {
            issuers.until(issuer.as_deref().unwrap_or(issuers.own()), cutoff, exp)
        };
        match self {
            // Kept for as long as the request that brought them may be repeated.
            Self::Epoch { .. }
            | Self::Horizon { .. }
            | Self::Issuer { .. }
            | Self::IssuerRemoved { .. }
            | Self::Key { .. }
            | Self::Sessions => leaves_at(at.saturating_add(REQUEST_MEMORY.as_secs())),
            Self::Claims { issuer, issued_before, exp, .. } => stay(issuer, *issued_before, *exp),
            Self::Refresh { exp, .. } => leaves_at(*exp),
            Self::Session { issuer, exp, .. } | Self::Token { issuer, exp, .. } => {
                let skew = issuers.clock_skew_of(issuer.as_deref().unwrap_or(issuers.own()));
                stay(issuer, at.saturating_add(skew), *exp)
            }
            Self::User { issuer, issued_before, exp, .. } => {
                let cutoff = match issued_before {
                    Some(issued_before) => *issued_before,
                    None if issuer.is_none() => at,
                    None => at.saturating_add(1),
                };
                stay(issuer, cutoff, *exp)
            }
        }
    }
}

/// The `by` of a revocation that the holder of a token or handle requested.
pub const HOLDER: &str = "holder";

/// The `by` of a revocation that the control plane made on its own.
pub const OWN_ACT: &str = "offswitch";
