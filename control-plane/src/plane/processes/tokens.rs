//! The tokens of questions: every process can see for which follower one was made, and after which snapshot.

use offswitch_server::roster::{FollowerId, Print, Tokens};
use offswitch_snapshot::Position;

use crate::master_key::{MasterKey, random_bytes};

/// Tokens with a proof by the master key, which all processes have.
///
/// A token is `nonce-era.seq-proof`, nonce and proof in hexadecimal. It is sent in the stream of the follower after the
/// snapshot that leads to `era.seq`, so that one who knows it has got all of that.
pub(in crate::plane) struct ProvenTokens(MasterKey);

impl ProvenTokens {
    pub(in crate::plane) fn new(master: MasterKey) -> Self {
        Self(master)
    }
}

impl Tokens for ProvenTokens {
    fn make(&self, key: &str, follower: FollowerId, sent: Position) -> String {
        let text = format!("{:016x}-{sent}", u64::from_be_bytes(random_bytes()));
        let proof = self.0.mac(CONTEXT, &proven(&text, key, follower));
        format!("{text}-{}", &proof.to_hex()[..2 * PROOF_BYTES])
    }

    fn proven(&self, token: &str, key: &str, follower: FollowerId) -> Option<Position> {
        if token.len() > MOST_BYTES {
            return None;
        }
        let (text, proof) = token.rsplit_once('-')?;
        let message = proven(text, key, follower);
        let is_proof = |id| {
            let expected = self.0.mac_of(id, CONTEXT, &message);
            expected.is_some_and(|expected| is_beginning(proof, &expected))
        };
        let (_, sent) = text.split_once('-')?;
        self.0.accepted().into_iter().any(is_proof).then(|| sent.parse().ok())?
    }
}

/// What the proof is of.
fn proven(text: &str, key: &str, follower: FollowerId) -> Vec<u8> {
    [&Print::of(key, follower).0[..], text.as_bytes()].concat()
}

/// Compares in constant time.
fn is_beginning(proof: &str, expected: &blake3::Hash) -> bool {
    let expected = expected.to_hex();
    let expected = &expected.as_bytes()[..2 * PROOF_BYTES];
    let differences = proof.bytes().zip(expected).fold(0, |all, (one, other)| all | (one ^ other));
    proof.len() == expected.len() && differences == 0
}

const CONTEXT: &str = "offswitch 2026 question to a follower";
const PROOF_BYTES: usize = 16;
/// A relay that polls takes no longer question.
const MOST_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};
    use offswitch_server::roster::{FOLLOWER_HEADER, Introduction};

    use super::*;

    fn follower(digit: &str) -> FollowerId {
        let mut headers = HeaderMap::new();
        headers.insert(FOLLOWER_HEADER, HeaderValue::try_from(digit.repeat(32)).unwrap());
        Introduction::read(&headers).unwrap().unwrap().id
    }

    fn master(byte: u8) -> MasterKey {
        use base64ct::{Base64UrlUnpadded, Encoding};
        MasterKey::parse(&Base64UrlUnpadded::encode_string(&[byte; 32])).unwrap()
    }

    // P10: a token proves to every process what one follower was sent, and nothing about another one.
    #[test]
    fn a_token_proves_what_its_follower_was_sent_and_nothing_else() {
        let (one, other) = (ProvenTokens::new(master(1)), ProvenTokens::new(master(1)));
        let sent = Position { era: 1_795_489_144, seq: u64::MAX };
        let token = one.make("key", follower("a"), sent);
        assert!(token.len() <= MOST_BYTES);
        assert_eq!(other.proven(&token, "key", follower("a")), Some(sent));
        assert_eq!(other.proven(&token, "key", follower("b")), None);
        assert_eq!(other.proven(&token, "other", follower("a")), None);
        assert_eq!(ProvenTokens::new(master(2)).proven(&token, "key", follower("a")), None);
        let replaced = ProvenTokens::new(master(2).accepting(&master(1)));
        assert_eq!(replaced.proven(&token, "key", follower("a")), Some(sent));
        assert_ne!(one.make("key", follower("a"), sent), token);
        let (text, proof) = token.rsplit_once('-').unwrap();
        for wrong in [
            String::new(),
            "-".repeat(3),
            text.to_owned(),
            format!("{text}-"),
            format!("{text}-{}", &proof[1..]),
            format!("{text}-{proof}0"),
            token.replace("1795489144", "1795489145"),
            format!("0{token}"),
            "a".repeat(200),
        ] {
            assert_eq!(other.proven(&wrong, "key", follower("a")), None, "{wrong}");
        }
    }
}
