//! The memory that both sides share, and the numbers that calls return. The other side is
//! `js/engine/layout.js`, with the same names; a test compares them.

use crate::keys::MAX_KEYS;
use crate::token::jws::MAX_TOKEN_BYTES;

/// The data that both sides read and write, at an address that never changes.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Buffer {
    /// Where the answer is, and how long it is.
    pub(super) answer: [u32; 2],
    /// Of the last candidate: the key's number, the lengths of the signature and of what it signs.
    pub(super) candidate: [u32; 3],
    pub(super) signature: [u8; MAX_SIGNATURE_BYTES],
    /// One byte longer than a token may be, so that a longer one is recognized.
    token: [u8; MAX_TOKEN_BYTES + 1],
}

impl Buffer {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self {
            answer: [0; 2],
            candidate: [0; 3],
            signature: [0; MAX_SIGNATURE_BYTES],
            token: [0; MAX_TOKEN_BYTES + 1],
        })
    }

    /// The token that JavaScript has written; the whole buffer, which no token may fill, if it was
    /// too long to be written.
    pub(super) fn token(&self, length: usize) -> &[u8] {
        self.token.get(..length).unwrap_or(&self.token)
    }
}

/// The results of the calls that judge, apply and resume.
pub(super) mod codes {
    /// The token is valid now.
    pub(crate) const VALID: u32 = 0;
    /// It is valid, and it shows that the feed is behind.
    pub(crate) const VALID_BUT_BEHIND: u32 = 1;
    /// The answer is the verdict; or the snapshot does not belong to the feed.
    pub(crate) const NOT_VALID: u32 = 2;
    /// The slot is empty, or its content is outdated.
    pub(crate) const FORGOTTEN: u32 = 3;
    /// The time is not a finite number of seconds.
    pub(crate) const WRONG_CLOCK: u32 = 4;
    /// The floor is higher than before.
    pub(crate) const RAISED: u32 = 5;
    /// The floor is as before, and a fresh statement ends there.
    pub(crate) const AT_FLOOR: u32 = 6;
    /// The snapshot has a time that only a clock far ahead could have signed.
    pub(crate) const IMPLAUSIBLE: u32 = 7;
}

/// Instead of a ticket.
pub(super) const NO_TICKET: u32 = 0;
/// Instead of the allowed age of the feed, in seconds: any age.
pub(super) const ANY_AGE: u32 = u32::MAX;
/// Instead of the presentation, which is otherwise as a bearer token: no client presents it now.
pub(super) const NOT_SHOWN: u32 = 1;
/// Instead of the presentation: with the last passed proof.
pub(super) const SHOWN_WITH_PROOF: u32 = 2;
/// The signature of the longest RSA key that loads.
const MAX_SIGNATURE_BYTES: usize = 1024;

/// A key's number is the place of its issuer and, in this many low bits, its own.
const KEY_BITS: u32 = 8;
const _: () = assert!(MAX_KEYS == 1 << KEY_BITS);

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::{ANY_AGE, Buffer, KEY_BITS, NO_TICKET, NOT_SHOWN, SHOWN_WITH_PROOF, codes};
    use crate::token::jws::MAX_TOKEN_BYTES;

    // Both sides change together: wasm has no other way to notice that they differ.
    #[test]
    fn the_javascript_side_has_the_same_numbers() {
        let text = javascript();
        let facts = offset_of!(Buffer, signature) / 4;
        let signature_bytes =
            offset_of!(Buffer, token).saturating_sub(offset_of!(Buffer, signature));
        assert_eq!(offset_of!(Buffer, answer), 0);
        assert_eq!(offset_of!(Buffer, candidate), 8);
        for (name, value) in [
            ("VALID", codes::VALID.to_string()),
            ("VALID_BUT_BEHIND", codes::VALID_BUT_BEHIND.to_string()),
            ("NOT_VALID", codes::NOT_VALID.to_string()),
            ("FORGOTTEN", codes::FORGOTTEN.to_string()),
            ("WRONG_CLOCK", codes::WRONG_CLOCK.to_string()),
            ("RAISED", codes::RAISED.to_string()),
            ("AT_FLOOR", codes::AT_FLOOR.to_string()),
            ("IMPLAUSIBLE", codes::IMPLAUSIBLE.to_string()),
            ("NO_TICKET", NO_TICKET.to_string()),
            ("ANY_AGE", format!("{ANY_AGE:#x}")),
            ("NOT_SHOWN", NOT_SHOWN.to_string()),
            ("SHOWN_WITH_PROOF", SHOWN_WITH_PROOF.to_string()),
            ("FACTS", facts.to_string()),
            ("SIGNATURE_AT", "FACTS * 4".to_owned()),
            ("TOKEN_AT", format!("SIGNATURE_AT + {signature_bytes}")),
            ("MAX_TOKEN_BYTES", format!("{} * 1024", MAX_TOKEN_BYTES / 1024)),
            ("KEY_BITS", KEY_BITS.to_string()),
        ] {
            assert!(text.contains(&format!("const {name} = {value};")), "{name} = {value}");
        }
    }

    fn javascript() -> String {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/js/engine/layout.js");
        std::fs::read_to_string(file).unwrap_or_default()
    }
}
