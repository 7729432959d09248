//! The content of a snapshot: one structure, shown as text for people and as JSON for programs.

use std::fmt;

use offswitch::clock::utc;
use offswitch_snapshot::{
    Cutoff, FeedKey, FeedKeyId, Fingerprint, IssuerRules, Position, Snapshot,
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
    /// Unix seconds, as is `valid_until`.
    issued_at: u64,
    issued_at_utc: String,
    /// Negative for a snapshot from the future.
    age_seconds: i64,
    valid_until: u64,
    valid_until_utc: String,
    /// Whether it still proves that the feed is fresh.
    fresh: bool,
    salt: String,
    /// What it says about each issuer.
    issuers: Vec<IssuerRules>,
    dead_keys: Vec<DeadKey>,
    /// What is revoked regardless of its age: tokens and sessions, which cannot be distinguished.
    denied: Collection,
    /// What is revoked up to an instant or a version: users, and other claims.
    cutoffs: Collection,
    /// The size of the whole file.
    size_bytes: usize,
    envelope_bytes: usize,
    header_bytes: usize,
    /// The answers to `--jti`, `--session` and `--sub`.
    asked: Vec<Asked>,
}

/// A key that is dead.
#[derive(Debug, Serialize)]
struct DeadKey {
    issuer: String,
    kid: String,
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
    User { id: String, cutoff: Option<Cutoff> },
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
            issuers: snapshot.issuers().to_vec(),
            dead_keys: snapshot
                .dead_keys()
                .map(|(issuer, kid)| DeadKey { issuer: issuer.to_owned(), kid: kid.to_owned() })
                .collect(),
            denied: Collection::new(snapshot.denied_count(), sizes.denied_bytes),
            cutoffs: Collection::new(snapshot.cutoffs_count(), sizes.cutoffs_bytes),
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
            writeln!(to, "names the signing key {others}, not verified")?;
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
        self.issuers.iter().try_for_each(|rules| explain_issuer(rules, to))?;
        for key in &self.dead_keys {
            writeln!(to, "dead key: {:?} of {:?}", key.kid, key.issuer)?;
        }
        writeln!(to, "denied tokens and sessions: {}", self.denied)?;
        writeln!(to, "cut-offs of users and other claims: {}", self.cutoffs)?;
        writeln!(to, "salt of the fingerprints: {}", self.salt)?;
        let Self { size_bytes, envelope_bytes, header_bytes, .. } = self;
        writeln!(to, "{size_bytes} bytes, envelope {envelope_bytes}, header {header_bytes}")?;
        self.asked.iter().try_for_each(|asked| writeln!(to, "{asked}"))
    }
}

fn explain_issuer(rules: &IssuerRules, to: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(to, "issuer {:?}:", rules.issuer)?;
    match rules.epoch {
        0 => writeln!(to, "  epoch: none")?,
        epoch => {
            writeln!(to, "  epoch: tokens issued before {} ({epoch}) are revoked", utc(epoch))?
        }
    }
    for step in rules.horizons.steps() {
        let (from, seconds) = (step.issued_from, step.seconds);
        writeln!(to, "  horizon: tokens issued from {} on live at most {seconds} s", utc(from))?;
    }
    for listed in &rules.selectors {
        writeln!(to, "  selector: {}", listed.selector)?;
    }
    Ok(())
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
        let print = Fingerprint::of_claim(snapshot.salt(), issuer, "jti", id);
        Self::Token { id: id.to_owned(), denied: snapshot.is_denied(print) }
    }

    pub(super) fn session(snapshot: &Snapshot, issuer: &str, id: &str) -> Self {
        let print = Fingerprint::of_claim(snapshot.salt(), issuer, "sid", id);
        Self::Session { id: id.to_owned(), denied: snapshot.is_denied(print) }
    }

    pub(super) fn user(snapshot: &Snapshot, issuer: &str, id: &str) -> Self {
        let print = Fingerprint::of_claim(snapshot.salt(), issuer, "sub", id);
        Self::User { id: id.to_owned(), cutoff: snapshot.cutoff(print) }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let denied = |denied: bool| if denied { "denied" } else { "not denied" };
        match self {
            Self::Session { id, denied: found } => write!(to, "session {id:?}: {}", denied(*found)),
            Self::Token { id, denied: found } => write!(to, "token {id:?}: {}", denied(*found)),
            Self::User { id, cutoff: None } => write!(to, "user {id:?}: not named"),
            Self::User { id, cutoff: Some(Cutoff { minimum_version, not_before }) } => write!(
                to,
                "user {id:?}: revoked below version {minimum_version}, or issued before {}",
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
