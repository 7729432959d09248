//! `offswitch snapshot simulate`: a base of any size, with made-up entries.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use base64ct::{Base64UrlUnpadded, Encoding};
use clap::{Args, value_parser};
use ed25519_dalek::SigningKey;
use offswitch::clock::unix_seconds;
use offswitch::master_key::random_bytes;
use offswitch_snapshot::{
    ChainHash, Content, Cutoff, Fingerprint, Floor, MAX_ENTRIES, Position, Salt, Snapshot,
    SnapshotSigner,
};
use serde_json::json;

use crate::command_line::Answer;

/// Writes a base with made-up tokens (`token-0`, …) and users (`user-0`, …), signed by a new key,
/// and reports its size and the time it takes.
#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// The number of denied tokens.
    #[arg(long, value_parser = value_parser!(u64).range(0..=MAX_ENTRIES as u64))]
    tokens: u64,
    /// The number of users with a minimum version.
    #[arg(long, value_parser = value_parser!(u64).range(0..=MAX_ENTRIES as u64))]
    users: u64,
    /// Where to write it.
    #[arg(long)]
    out: PathBuf,
    /// Prints JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl Simulate {
    pub(super) fn run(self) -> anyhow::Result<Answer> {
        let Self { tokens, users, out, .. } = self;
        let (salt, now) = (Salt::default(), unix_seconds());
        let signer = SnapshotSigner::new(FEED, vec![SigningKey::from_bytes(&random_bytes())]);
        let print = |claim, name: &str, number| {
            Fingerprint::of_claim(salt, FEED, claim, &format!("{name}-{number}"))
        };
        let denied = Fingerprint::sorted((0..tokens).map(|one| print("jti", "token", one)));
        let floor = |number| Cutoff { minimum_version: number + 1, not_before: now };
        let mut named: Vec<(u64, Cutoff)> =
            (0..users).map(|one| (print("sub", "user", one).0, floor(one))).collect();
        named.sort_unstable_by_key(|(id, _)| *id);
        named.dedup_by_key(|(id, _)| *id);
        let at = |seq| Floor { position: Position { era: 1, seq }, chain: ChainHash::default() };
        let begin = Instant::now();
        let bytes = signer.sign(&Content {
            from: at(0),
            to: at(tokens.saturating_add(users).max(1)),
            issued_at: now,
            valid_until: now + 3600,
            salt,
            denied: &denied,
            cutoffs: &named,
            ..Content::default()
        });
        let built_in = begin.elapsed();
        File::create(&out)
            .and_then(|mut file| file.write_all(&bytes))
            .with_context(|| format!("{} cannot be written", out.display()))?;
        let begin = Instant::now();
        let snapshot = Snapshot::open(bytes, &signer.feed_keys())?;
        let loaded_in = begin.elapsed();
        let keys = signer.feed_keys();
        let keys = keys.iter().map(|key| Base64UrlUnpadded::encode_string(key.public_key()));
        let keys: Vec<String> = keys.collect();
        let text = format!(
            "{}\nbuilt and signed in {built_in:.1?}, verified and loaded in {loaded_in:.1?}\n--key {}\n",
            size(&snapshot),
            keys.join("\n--key ")
        );
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let json = json!({
            "file": out,
            "bytes": snapshot.size_bytes(),
            "entries": snapshot.denied_count() + snapshot.cutoffs_count(),
            "built_in_milliseconds": milliseconds(built_in),
            "loaded_in_milliseconds": milliseconds(loaded_in),
            "public_keys": keys,
        });
        Ok(Answer::done(text, json))
    }
}

fn size(snapshot: &Snapshot) -> String {
    let entries = snapshot.denied_count() + snapshot.cutoffs_count();
    let bytes = snapshot.size_bytes();
    match entries {
        0 => format!("{bytes} bytes"),
        _ => format!("{bytes} bytes, {:.1} bits an entry", bytes as f64 * 8.0 / entries as f64),
    }
}

const FEED: &str = "https://simulated.invalid";
