//! The replacements of claim values in a snapshot.

use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

use crate::selector::{ClaimValue, Selector};

/// The key of a feed's fingerprints; every snapshot of a feed names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Salt(pub [u8; 16]);

/// 64 bits that replace the values of one revocation.
///
/// Two of them are the same with probability 2^-64: such a collision refuses a good token, it never
/// lets a revoked one pass.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Fingerprint(pub u64);

/// Makes the fingerprints of one selector of one issuer: SipHash-2-4, keyed with the salt, which
/// has already hashed the issuer and the paths.
#[derive(Debug, Clone)]
pub struct Fingerprinter(SipHasher24);

impl Fingerprinter {
    /// For the claims that `selector` names in tokens of `issuer`.
    ///
    /// The issuer is part of a fingerprint, so that one feed can revoke tokens of several issuers.
    pub fn new(salt: Salt, issuer: &str, selector: &Selector) -> Self {
        Self::over(salt, issuer, selector.paths().iter().map(String::as_str))
    }

    fn over<'p>(salt: Salt, issuer: &str, paths: impl Iterator<Item = &'p str>) -> Self {
        let mut hasher = SipHasher24::new_with_key(&salt.0);
        write(&mut hasher, issuer);
        for path in paths {
            hasher.write(b"p");
            write(&mut hasher, path);
        }
        Self(hasher)
    }

    /// The fingerprint of `values`, one for each path in the order of [`Selector::paths`].
    pub fn of<'v>(&self, values: impl IntoIterator<Item = &'v ClaimValue<'v>>) -> Fingerprint {
        let mut hasher = self.0;
        for value in values {
            match value {
                ClaimValue::Bool(value) => hasher.write(if *value { b"b\x01" } else { b"b\x00" }),
                ClaimValue::Integer(value) => {
                    hasher.write(b"i");
                    hasher.write(&value.to_le_bytes());
                }
                ClaimValue::Text(text) => {
                    hasher.write(b"s");
                    write(&mut hasher, text);
                }
            }
        }
        Fingerprint(hasher.finish())
    }
}

impl Fingerprint {
    /// The fingerprint of one text in tokens of `issuer`, for the selector that names only `claim`.
    pub fn of_claim(salt: Salt, issuer: &str, claim: &str, text: &str) -> Self {
        Fingerprinter::over(salt, issuer, std::iter::once(claim)).of(&[text.into()])
    }
}

fn write(hasher: &mut SipHasher24, text: &str) {
    hasher.write(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
    hasher.write(text.as_bytes());
}
