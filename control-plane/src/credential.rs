//! Refresh tokens, handover codes and handover handles: credentials that name a session.
//!
//! A credential is `prefix` + base64url(session id, number, MAC), 84 characters. The MAC is keyed
//! BLAKE3 with a key that is derived from the master key for this kind only, so nothing of a
//! credential is stored. A dump of the store therefore reveals none. A forged credential is refused
//! without asking the store, and a genuine one that was used can be distinguished from a forged one
//! for as long as its session is known. The refresh token of a generation is always the same text,
//! so that racing requests, lost responses and repeated execution all get the same successor.

use base64ct::{Base64UrlUnpadded, Encoding};
use offswitch_core::session::{SESSION_ID_BYTES, SessionId};
use zeroize::Zeroizing;

use crate::master_key::MasterKey;

/// What a credential is for. A credential of one kind is never valid as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    /// Can be exchanged once, for a handle.
    HandoverCode,
    /// Stays in a cookie; the edge worker exchanges it for access tokens.
    HandoverHandle,
    /// Can be exchanged once, for an access token and the next refresh token.
    RefreshToken,
}

/// A genuine credential: the session that it names, and for a refresh token its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credential {
    /// The session.
    pub session: SessionId,
    /// The generation of a refresh token, else 0.
    pub number: u32,
}

impl Credential {
    /// Its text. Only its holder may see it.
    pub fn text(self, kind: CredentialKind, master: &MasterKey) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        bytes[..SIGNED].copy_from_slice(&self.signed());
        bytes[SIGNED..].copy_from_slice(master.mac(kind.context(), &self.signed()).as_bytes());
        let encoded = Zeroizing::new(Base64UrlUnpadded::encode_string(bytes.as_slice()));
        Zeroizing::new(format!("{}{}", kind.prefix(), encoded.as_str()))
    }

    /// Parses a credential and checks its MAC in constant time. Needs no I/O.
    pub fn parse(text: &str, kind: CredentialKind, master: &MasterKey) -> Option<Self> {
        let encoded = text.strip_prefix(kind.prefix())?;
        let mut bytes = Zeroizing::new([0; BYTES]);
        let length = Base64UrlUnpadded::decode(encoded, bytes.as_mut_slice()).ok()?.len();
        if length != BYTES {
            return None;
        }
        let (signed, mac) = bytes.split_first_chunk::<SIGNED>()?;
        let mac = blake3::Hash::from_bytes(mac.try_into().ok()?);
        if !master.is_mac(kind.context(), signed, mac) {
            return None;
        }
        let (session, number) = signed.split_first_chunk::<SESSION_ID_BYTES>()?;
        let number = u32::from_be_bytes(number.try_into().ok()?);
        Some(Self { session: SessionId::from_bytes(*session), number })
    }

    fn signed(self) -> [u8; SIGNED] {
        let mut signed = [0; SIGNED];
        signed[..SESSION_ID_BYTES].copy_from_slice(&self.session.bytes());
        signed[SESSION_ID_BYTES..].copy_from_slice(&self.number.to_be_bytes());
        signed
    }
}

impl CredentialKind {
    /// The prefix of every credential of this kind. It differs from the beginning of an access
    /// token (`ey`) and lets secret scanners recognise it.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::HandoverCode => "osc_",
            Self::HandoverHandle => "osh_",
            Self::RefreshToken => "osr_",
        }
    }

    fn context(self) -> &'static str {
        match self {
            Self::HandoverCode => "offswitch 2026-11 handover code v1",
            Self::HandoverHandle => "offswitch 2026-11 handover handle v1",
            Self::RefreshToken => "offswitch 2026-11 refresh token v1",
        }
    }
}

const SIGNED: usize = SESSION_ID_BYTES + 4;
const BYTES: usize = SIGNED + 32;

#[cfg(test)]
mod tests {
    use super::{Credential, CredentialKind};
    use crate::master_key::MasterKey;
    use offswitch_core::session::{SessionId, UserKey};

    // F09: 256 bits that cannot be guessed, bound to kind, session and generation.
    #[test]
    fn a_credential_is_good_only_as_what_it_is_and_where_it_was_made() {
        let master = MasterKey::parse(&"A".repeat(43)).unwrap();
        let other = MasterKey::parse(&format!("{}E", "A".repeat(42))).unwrap();
        let kinds = [
            CredentialKind::HandoverCode,
            CredentialKind::HandoverHandle,
            CredentialKind::RefreshToken,
        ];
        let session = SessionId::new(UserKey([1; 8]), [2; 16]);
        let credential = Credential { session, number: 7 };
        for kind in kinds {
            let text = credential.text(kind, &master);
            assert_eq!(text.len(), 84);
            assert_eq!(*text, *credential.text(kind, &master), "the same text each time");
            assert_eq!(Credential::parse(&text, kind, &master), Some(credential));
            assert_eq!(Credential::parse(&text, kind, &other), None);
            for other_kind in kinds.into_iter().filter(|other_kind| *other_kind != kind) {
                assert_eq!(Credential::parse(&text, other_kind, &master), None);
                let renamed = text.replace(kind.prefix(), other_kind.prefix());
                assert_eq!(Credential::parse(&renamed, other_kind, &master), None);
            }
            for at in 4..text.len() {
                for replacement in ['A', '_', '=', ' ', '.'] {
                    let mut changed: Vec<char> = text.chars().collect();
                    if changed[at] == replacement {
                        continue;
                    }
                    changed[at] = replacement;
                    let changed: String = changed.into_iter().collect();
                    assert_eq!(Credential::parse(&changed, kind, &master), None, "{at}");
                }
            }
            for wrong in ["", "osr_", &text[..83], &format!("{}A", *text), &"A".repeat(10_000)] {
                assert_eq!(Credential::parse(wrong, kind, &master), None);
            }
        }
    }
}
