//! The content of a snapshot: one structure, shown as text for people and as JSON for programs.

use std::fmt;

use offswitch::clock::utc;
use offswitch_snapshot::{
    DeadKey, FeedKey, FeedKeyId, Fingerprint, Kind, Position, Snapshot, UserFloor,
};
use serde::Serialize;

/// Everything that is known about a snapshot. The names are stable.
#[derive(Debug, Serialize)]
pub(super) struct Explanation {
    /// `verified` or `not_verified`: whether a given key signed it.
    signature: &'static str,
    /// The ids of the given keys that signed it; these signatures were verified.
    verified_by: Vec<String>,
    /// The ids of the keys that are named as signers but were not verified.
    also_signed_by: Vec<String>,
    /// `base`, `delta` or `heartbeat`.
    kind: &'static str,
    feed: String,
    /// Exclusive.
    from: Position,
    /// Inclusive.
    to: Position,
    /// Hexadecimal, as are `chain_to` and `salt`.
    chain_from: String,
    chain_to: String,
    /// Unix seconds, as are `valid_until` and `epoch`.
    issued_at: u64,
    issued_at_utc: String,
    /// Negative for a snapshot from the future.
    age_seconds: i64,
    valid_until: u64,
    valid_until_utc: String,
    /// Whether it still proves that the feed is fresh.
    fresh: bool,
    salt: String,
    /// Tokens issued before it are revoked; null if there is none.
    epoch: Option<u64>,
    epoch_utc: Option<String>,
    dead_keys: Vec<DeadKey>,
    /// Tokens and sessions, which cannot be distinguished.
    denied: Collection,
    users: Collection,
    /// The size of the whole file.
    size_bytes: usize,
    envelope_bytes: usize,
    header_bytes: usize,
    /// The answers to `--jti`, `--session` and `--sub`.
    asked: Vec<Asked>,
}

/// One of the two collections.
#[derive(Debug, Serialize)]
struct Collection {
    count: usize,
    size_bytes: usize,
    /// Null if there are no entries.
    bits_per_entry: Option<f64>,
}

/// What the snapshot contains about one id.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Asked {
    Session { id: String, denied: bool },
    Token { id: String, denied: bool },
    User { id: String, floor: Option<UserFloor> },
}

impl Explanation {
    /// Explains a snapshot by `signers` that was opened with `keys`, or without keys.
    pub(super) fn new(
        snapshot: &Snapshot,
        signers: Vec<FeedKeyId>,
        keys: &[FeedKey],
        asked: Vec<Asked>,
        now: u64,
    ) -> Self {
        let (verified, others): (Vec<_>, Vec<_>) =
            signers.into_iter().partition(|id| keys.iter().any(|key| key.id() == *id));
        let kind = match (snapshot.is_base(), snapshot.from() == snapshot.to()) {
            (true, _) => "base",
            (false, true) => "heartbeat",
            (false, false) => "delta",
        };
        let (issued_at, valid_until) = (snapshot.issued_at(), snapshot.valid_until());
        let epoch = Some(snapshot.epoch()).filter(|epoch| *epoch > 0);
        let sizes = snapshot.part_sizes();
        Self {
            signature: if verified.is_empty() { "not_verified" } else { "verified" },
            verified_by: verified.into_iter().map(key_id).collect(),
            also_signed_by: others.into_iter().map(key_id).collect(),
            kind,
            feed: snapshot.feed().to_owned(),
            from: snapshot.from(),
            to: snapshot.to(),
            chain_from: hex(&snapshot.chain_from().0),
            chain_to: hex(&snapshot.chain_to().0),
            issued_at,
            issued_at_utc: utc(issued_at),
            age_seconds: signed(now).saturating_sub(signed(issued_at)),
            valid_until,
            valid_until_utc: utc(valid_until),
            fresh: now <= valid_until,
            salt: hex(&snapshot.salt().0),
            epoch,
            epoch_utc: epoch.map(utc),
            dead_keys: snapshot.dead_keys().to_vec(),
            denied: Collection::new(snapshot.denied_count(), sizes.denied_bytes),
            users: Collection::new(snapshot.users_count(), sizes.users_bytes),
            size_bytes: snapshot.size_bytes(),
            envelope_bytes: sizes.envelope_bytes,
            header_bytes: sizes.header_bytes,
            asked,
        }
    }

    /// Whether a given key signed it.
    pub(super) fn is_verified(&self) -> bool {
        !self.verified_by.is_empty()
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = self.also_signed_by.join(", ");
        if self.is_verified() {
            writeln!(to, "signature: verified, by key {}", self.verified_by.join(", "))?;
            if !others.is_empty() {
                writeln!(to, "not verified: the signature by key {others}, which was not given")?;
            }
        } else {
            writeln!(
                to,
                "signature: NOT VERIFIED, anyone may have made this; give the feed's --key"
            )?;
            writeln!(to, "said to be signed by key {others}")?;
        }
        writeln!(to, "a {} of {:?}", self.kind, self.feed)?;
        writeln!(to, "positions: after {} up to {}", self.from, self.to)?;
        writeln!(to, "chain hash at {}: {}", self.from, self.chain_from)?;
        writeln!(to, "chain hash at {}: {}", self.to, self.chain_to)?;
        write!(to, "issued at {} ({}), ", self.issued_at_utc, self.issued_at)?;
        match self.age_seconds {
            age @ 0.. => writeln!(to, "{age} s ago")?,
            age => writeln!(to, "{} s in the future", age.unsigned_abs())?,
        }
        let fresh = if self.fresh { "fresh" } else { "stale: verifiers cannot decide with it" };
        writeln!(to, "valid until {} ({}): {fresh}", self.valid_until_utc, self.valid_until)?;
        match (self.epoch, &self.epoch_utc) {
            (Some(epoch), Some(utc)) => {
                writeln!(to, "epoch: tokens issued before {utc} ({epoch}) are off")?;
            }
            _ => writeln!(to, "epoch: none")?,
        }
        for key in &self.dead_keys {
            writeln!(to, "dead key: {:?} of {:?}", key.kid, key.issuer)?;
        }
        writeln!(to, "denied tokens and sessions: {}", self.denied)?;
        writeln!(to, "users: {}", self.users)?;
        writeln!(to, "salt of the fingerprints: {}", self.salt)?;
        let Self { size_bytes, envelope_bytes, header_bytes, .. } = self;
        writeln!(to, "{size_bytes} bytes, envelope {envelope_bytes}, header {header_bytes}")?;
        self.asked.iter().try_for_each(|asked| writeln!(to, "{asked}"))
    }
}

impl Collection {
    fn new(count: usize, size_bytes: usize) -> Self {
        let bits_per_entry = (count > 0).then(|| size_bytes as f64 * 8.0 / count as f64);
        Self { count, size_bytes, bits_per_entry }
    }
}

impl fmt::Display for Collection {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bits_per_entry {
            None => write!(to, "none"),
            Some(bits) => {
                write!(to, "{} in {} bytes, {bits:.1} bits each", self.count, self.size_bytes)
            }
        }
    }
}

impl Asked {
    pub(super) fn token(snapshot: &Snapshot, issuer: &str, id: &str) -> Self {
        let print = Fingerprint::new(snapshot.salt(), Kind::Token, issuer, id);
        Self::Token { id: id.to_owned(), denied: snapshot.is_denied(print) }
    }

    pub(super) fn session(snapshot: &Snapshot, issuer: &str, id: &str) -> Self {
        let print = Fingerprint::new(snapshot.salt(), Kind::Session, issuer, id);
        Self::Session { id: id.to_owned(), denied: snapshot.is_denied(print) }
    }

    pub(super) fn user(snapshot: &Snapshot, issuer: &str, id: &str) -> Self {
        let print = Fingerprint::new(snapshot.salt(), Kind::User, issuer, id);
        Self::User { id: id.to_owned(), floor: snapshot.user_floor(print) }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let denied = |denied: bool| if denied { "denied" } else { "not denied" };
        match self {
            Self::Session { id, denied: found } => write!(to, "session {id:?}: {}", denied(*found)),
            Self::Token { id, denied: found } => write!(to, "token {id:?}: {}", denied(*found)),
            Self::User { id, floor: None } => write!(to, "user {id:?}: not named"),
            Self::User { id, floor: Some(UserFloor { minimum_version, not_before }) } => write!(
                to,
                "user {id:?}: off below version {minimum_version}, or issued before {}",
                utc(*not_before)
            ),
        }
    }
}

/// A key's id in the form in which people compare it.
pub(super) fn key_id(id: FeedKeyId) -> String {
    hex(&id.0)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn signed(unix_seconds: u64) -> i64 {
    i64::try_from(unix_seconds).unwrap_or(i64::MAX)
}
