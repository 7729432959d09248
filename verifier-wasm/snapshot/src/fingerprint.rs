//! What a snapshot has in place of an id.

use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

/// The key of a feed's fingerprints; every snapshot of a feed names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Salt(pub [u8; 16]);

/// What kind of id was hashed, so that a token and a session of the same name differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A session, `sid`.
    Session,
    /// A token, `jti`.
    Token,
    /// A user, `sub`.
    User,
}

/// 64 bits in place of one id of one issuer.
///
/// Two ids share a fingerprint with probability 2^-64: such a collision refuses a good token, it
/// never lets a revoked one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// SipHash-2-4 keyed with `salt` over the kind, the issuer with its length, and the id.
    ///
    /// The issuer is part of it, so that one feed can revoke tokens of several issuers.
    pub fn new(salt: Salt, kind: Kind, issuer: &str, id: &str) -> Self {
        let mut hasher = SipHasher24::new_with_key(&salt.0);
        hasher.write(&[kind.tag()]);
        hasher.write(&u64::try_from(issuer.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.write(issuer.as_bytes());
        hasher.write(id.as_bytes());
        Self(hasher.finish())
    }
}

impl Kind {
    fn tag(self) -> u8 {
        match self {
            Self::Session => b's',
            Self::Token => b't',
            Self::User => b'u',
        }
    }
}
