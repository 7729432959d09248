//! What a feed file holds, as text for people and as JSON for programs.

use std::collections::BTreeSet;
use std::fmt;

use offswitch::clock::utc;
use offswitch_snapshot::{IssuerRules, Position, Snapshot};
use offswitch_verifier::Feed;
use serde::Serialize;

use super::FeedFile;
use crate::command_line::fields;
use crate::snapshot_command::explanation::key_id;

/// What a verifier has after it has read a feed file. The names are stable.
#[derive(Debug, Serialize)]
pub(in crate::snapshot_command) struct Contents {
    pub(in crate::snapshot_command) feed: String,
    /// Everything that was revoked up to there is in it.
    pub(in crate::snapshot_command) position: Position,
    /// When it was signed that this is the newest position, unix seconds.
    pub(in crate::snapshot_command) issued_at: u64,
    issued_at_utc: String,
    age_seconds: u64,
    /// Until when verifiers decide with it, if they allow that age.
    valid_until: u64,
    valid_until_utc: String,
    /// The ids of the keys that are named as signers; at least one of them was given, and is verified.
    signed_by: Vec<String>,
    entries: Entries,
    issuers: Vec<IssuerRules>,
    /// Of the parts.
    size_bytes: usize,
    #[serde(skip)]
    named: BTreeSet<String>,
}

/// How many entries the base and the deltas have. What was revoked again counts again.
#[derive(Debug, Default, Serialize)]
struct Entries {
    /// Tokens and sessions, which cannot be distinguished.
    denied: usize,
    /// Users, and other claims.
    cutoffs: usize,
    dead_keys: usize,
}

impl Contents {
    pub(super) fn new(file: &FeedFile, heartbeat: &Snapshot, now: u64) -> Self {
        let (issued_at, valid_until) = (heartbeat.issued_at(), heartbeat.valid_until());
        Self {
            feed: file.head.feed.clone(),
            position: file.head.position,
            issued_at,
            issued_at_utc: utc(issued_at),
            age_seconds: now.saturating_sub(issued_at),
            valid_until,
            valid_until_utc: utc(valid_until),
            signed_by: Snapshot::claimed_signers(heartbeat.as_bytes()).map(key_id).collect(),
            entries: Entries::default(),
            issuers: vec![],
            size_bytes: file.part_bytes(),
            named: BTreeSet::new(),
        }
    }

    /// Counts what a part adds.
    pub(super) fn add(&mut self, part: &Snapshot) {
        self.entries.denied += part.denied_count();
        self.entries.cutoffs += part.cutoffs_count();
        self.entries.dead_keys += part.dead_keys().count();
        self.named.extend(part.issuers().iter().map(|rules| rules.issuer.clone()));
    }

    /// Takes the rules that are in force at the end.
    pub(super) fn end(&mut self, feed: &Feed) {
        let rules = self.named.iter().filter_map(|issuer| feed.rules_of(issuer));
        self.issuers = rules.cloned().collect();
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entries { denied, cutoffs, dead_keys } = &self.entries;
        let rows = [
            ("feed", self.feed.clone()),
            ("position", self.position.to_string()),
            ("signed", format!("{}, {} s ago", self.issued_at_utc, self.age_seconds)),
            ("valid until", self.valid_until_utc.clone()),
            ("signed by", self.signed_by.join(", ")),
            ("tokens and sessions", denied.to_string()),
            ("users and claims", cutoffs.to_string()),
            ("dead keys", dead_keys.to_string()),
            ("bytes", self.size_bytes.to_string()),
        ];
        let issuers = self.issuers.iter().map(|rules| {
            let epoch = match rules.epoch {
                0 => String::new(),
                epoch => format!(", tokens issued before {} are revoked", utc(epoch)),
            };
            ("issuer", format!("{}{epoch}", rules.issuer))
        });
        let all = rows.into_iter().chain(issuers);
        to.write_str(&fields(all.map(|(name, value)| (name, Some(value)))))
    }
}
