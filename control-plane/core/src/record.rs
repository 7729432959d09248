//! The content of the log: one record per accepted request, and the effect of a record on
//! snapshots.

use offswitch_snapshot::{DeadKey, Fingerprint, Kind, Salt, UserFloor};
use serde::{Deserialize, Serialize};

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

/// One revocation. `issuer` is absent for the control plane's own tokens. Encoded by its position
/// in this list: add new variants at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Revocation {
    /// The epoch of a red button: tokens of all users issued before it are revoked.
    Epoch {
        /// Unix seconds.
        epoch: u64,
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
    /// A session, with every token that has its `sid`.
    Session {
        /// The session's issuer.
        issuer: Option<String>,
        /// Its id.
        sid: String,
        /// The latest `exp` of its tokens, unix seconds.
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
        /// Its `exp`, unix seconds.
        exp: u64,
    },
    /// Every token that a user has now.
    User {
        /// The user's issuer.
        issuer: Option<String>,
        /// The user.
        sub: String,
        /// The latest `exp` of the user's tokens, unix seconds.
        exp: u64,
    },
}

/// What a record adds to the revoked state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effects {
    /// Tokens and sessions.
    pub denied: Vec<Denied>,
    /// Users.
    pub users: Vec<RevokedUser>,
    /// Sessions that cannot be refreshed; snapshots do not contain them.
    pub refresh_denied: Vec<Denied>,
    /// Keys.
    pub dead_keys: Vec<DeadKey>,
    /// The epoch, or 0.
    pub epoch: u64,
    /// Sessions with a lower version have ended, for every user; 0 if the record does not set it.
    pub sessions_floor: u64,
}

/// A denied token or session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Denied {
    /// Its fingerprint.
    pub id: u64,
    /// When it may be removed from the base, unix seconds.
    pub until: u64,
}

/// A user whose older tokens are revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedUser {
    /// The user's fingerprint.
    pub id: u64,
    /// The minimum that newer tokens reach.
    pub floor: UserFloor,
    /// When the user may be removed from the base, unix seconds.
    pub until: u64,
}

impl Record {
    /// Encodes the record for the log.
    pub fn encode(&self) -> Vec<u8> {
        // An empty record in its place would stop every process that reads the log.
        postcard::to_allocvec(self).expect("plain data is always encoded")
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

    /// Returns what the record at `seq` adds to the revoked state.
    ///
    /// A user's minimum version *is* the seq of the user's last revocation: it only grows, it needs
    /// no counter of its own, and two processes can never assign the same one.
    pub fn effects(&self, seq: u64, salt: Salt, own_issuer: &str) -> Effects {
        let mut effects = Effects::default();
        let name = |issuer: &Option<String>| issuer.clone().unwrap_or_else(|| own_issuer.into());
        for revocation in &self.revocations {
            match revocation {
                Revocation::Epoch { epoch } => effects.epoch = effects.epoch.max(*epoch),
                Revocation::Key { issuer, kid } => {
                    effects.dead_keys.push(DeadKey { issuer: name(issuer), kid: kid.clone() });
                }
                Revocation::Refresh { sid, exp } => {
                    let id = Fingerprint::new(salt, Kind::Session, own_issuer, sid).0;
                    effects.refresh_denied.push(Denied { id, until: leaves_at(*exp) });
                }
                Revocation::Sessions => effects.sessions_floor = seq,
                Revocation::Session { issuer, sid, exp } => {
                    let id = Fingerprint::new(salt, Kind::Session, &name(issuer), sid).0;
                    effects.denied.push(Denied { id, until: leaves_at(*exp) });
                }
                Revocation::Token { issuer, jti, exp } => {
                    let id = Fingerprint::new(salt, Kind::Token, &name(issuer), jti).0;
                    effects.denied.push(Denied { id, until: leaves_at(*exp) });
                }
                Revocation::User { issuer, sub, exp } => {
                    let id = Fingerprint::new(salt, Kind::User, &name(issuer), sub).0;
                    // A token of the same second may be older than the revocation: refuse it too.
                    let floor = UserFloor { minimum_version: seq, not_before: self.at + 1 };
                    effects.users.push(RevokedUser { id, floor, until: leaves_at(*exp) });
                }
            }
        }
        effects
    }
}

impl Revocation {
    /// True if it takes up an entry in every snapshot for as long as it is needed.
    pub fn is_entry(&self) -> bool {
        match self {
            Self::Session { .. } | Self::Token { .. } | Self::User { .. } => true,
            Self::Epoch { .. } | Self::Key { .. } | Self::Refresh { .. } | Self::Sessions => false,
        }
    }

    /// True once no verifier can accept anything that it names, so that its record, accepted at
    /// second `at`, may be trimmed. Keys, the epoch and the sessions' floor are kept in the
    /// checkpoint, a denied refresh in its session.
    pub fn is_past(&self, at: u64, now: u64) -> bool {
        match self {
            // Kept for as long as the request that brought them may be repeated.
            Self::Epoch { .. } | Self::Key { .. } | Self::Sessions => {
                leaves_at(at.saturating_add(REQUEST_MEMORY.as_secs())) < now
            }
            Self::Refresh { exp, .. }
            | Self::Session { exp, .. }
            | Self::Token { exp, .. }
            | Self::User { exp, .. } => leaves_at(*exp) < now,
        }
    }
}

/// The `by` of a revocation that the holder of a token or handle requested.
pub const HOLDER: &str = "holder";

/// The `by` of a revocation that the control plane made on its own.
pub const OWN_ACT: &str = "offswitch";
