//! Signs snapshots for tests in other languages: one JSON object per line in, one per line out.
//!
//! In: `{feed, seed, era, from, to, issued_at, valid_until, epoch, issuer, tokens, sessions, users:
//! [{sub, minimum_version, not_before}], dead_keys: [{issuer, kid}], extra, history}`, each with a
//! default. `extra` adds that many entries that no token has; `history` names a fork.
//! Out: `{public_key, snapshot}` in base64url.

use std::io::{BufRead, Write};

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::SigningKey;
use offswitch_verifier::snapshot::{
    ChainHash, Content, DeadKey, Fingerprint, Floor, Kind, Position, Salt, SnapshotSigner,
    UserFloor,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Order {
    dead_keys: Vec<DeadKey>,
    epoch: u64,
    era: u64,
    extra: u64,
    feed: String,
    from: u64,
    history: String,
    issued_at: u64,
    issuer: String,
    seed: u8,
    sessions: Vec<String>,
    to: u64,
    tokens: Vec<String>,
    users: Vec<User>,
    valid_until: u64,
}

#[derive(Deserialize)]
struct User {
    sub: String,
    minimum_version: u64,
    not_before: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        let key = SigningKey::from_bytes(&[order.seed; 32]);
        let public = Base64UrlUnpadded::encode_string(key.verifying_key().as_bytes());
        let snapshot = Base64UrlUnpadded::encode_string(&order.sign(key));
        writeln!(out, r#"{{"public_key":"{public}","snapshot":"{snapshot}"}}"#)?;
    }
    Ok(())
}

impl Order {
    fn sign(&self, key: SigningKey) -> Vec<u8> {
        let id = |kind, id: &String| Fingerprint::new(SALT, kind, &self.issuer, id);
        let tokens = self.tokens.iter().map(|jti| id(Kind::Token, jti));
        let sessions = self.sessions.iter().map(|sid| id(Kind::Session, sid));
        let extra = (0..self.extra).map(|index| id(Kind::Token, &format!("extra {index}")));
        let denied = Fingerprint::sorted(tokens.chain(sessions).chain(extra));
        let mut users: Vec<_> = self
            .users
            .iter()
            .map(|user| {
                let floor = UserFloor {
                    minimum_version: user.minimum_version,
                    not_before: user.not_before,
                };
                (id(Kind::User, &user.sub).0, floor)
            })
            .collect();
        users.sort_unstable_by_key(|(user, _)| *user);
        SnapshotSigner::new(&self.feed, vec![key]).sign(&Content {
            from: self.floor(self.from),
            to: self.floor(self.to),
            issued_at: self.issued_at,
            valid_until: self.valid_until,
            salt: SALT,
            epoch: self.epoch,
            dead_keys: self.dead_keys.clone(),
            denied: &denied,
            users: &users,
        })
    }

    /// The position with the chain hash that this order's history has there.
    fn floor(&self, seq: u64) -> Floor {
        let record = |index| format!("{} {} {index}", self.history, self.era);
        let chain = (1..=seq)
            .fold(ChainHash::default(), |chain, index| chain.then(record(index).as_bytes()));
        Floor { position: Position { era: self.era, seq }, chain }
    }
}

impl Default for Order {
    fn default() -> Self {
        Self {
            dead_keys: vec![],
            epoch: 0,
            era: 1,
            extra: 0,
            feed: "feed".to_owned(),
            from: 0,
            history: "main".to_owned(),
            issued_at: 0,
            issuer: "https://issuer.test".to_owned(),
            seed: 7,
            sessions: vec![],
            to: 0,
            tokens: vec![],
            users: vec![],
            valid_until: 0,
        }
    }
}

const SALT: Salt = Salt([5; 16]);
