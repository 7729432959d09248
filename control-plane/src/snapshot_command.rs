//! `offswitch snapshot`: makes synthetic bases, and explains any snapshot. Needs no store and no
//! configuration.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};
use base64ct::{Base64UrlUnpadded, Encoding};
use clap::Subcommand;
use ed25519_dalek::SigningKey;
use offswitch::clock::{unix_seconds, utc};
use offswitch::master_key::random_bytes;
use offswitch_verifier::snapshot::{
    ChainHash, Content, FeedKey, Fingerprint, Floor, Kind, MAX_ENTRIES, Position, Salt, Snapshot,
    SnapshotSigner, UserFloor,
};

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    /// Verifies a base, delta or heartbeat and explains it; `-` reads the standard input.
    Inspect {
        /// The file, as `GET /v1/feed` answers it.
        file: PathBuf,
        /// A public key of the feed (`feed_public_keys` of `GET /v1/keys`); may be repeated.
        #[arg(long = "key", required = true, allow_hyphen_values = true)]
        keys: Vec<String>,
        /// Whose tokens and users are asked for; the feed's own issuer if absent.
        #[arg(long)]
        issuer: Option<String>,
        /// Is this token denied in it?
        #[arg(long)]
        jti: Vec<String>,
        /// Is this session denied in it?
        #[arg(long)]
        session: Vec<String>,
        /// Is this user named in it?
        #[arg(long)]
        sub: Vec<String>,
    },
    /// Writes a base with made-up tokens (`token-0`, …) and users (`user-0`, …), signed by a key
    /// of its own, and tells what it takes.
    Simulate {
        /// How many denied tokens.
        #[arg(long, value_parser = clap::value_parser!(u64).range(0..=MAX_ENTRIES as u64))]
        tokens: u64,
        /// How many users with a minimum version.
        #[arg(long, value_parser = clap::value_parser!(u64).range(0..=MAX_ENTRIES as u64))]
        users: u64,
        /// Where to write it.
        #[arg(long)]
        out: PathBuf,
    },
}

pub(crate) fn run(command: SnapshotCommand) -> anyhow::Result<()> {
    match command {
        SnapshotCommand::Inspect { file, keys, issuer, jti, session, sub } => {
            let keys = keys.iter().map(|key| feed_key(key)).collect::<Result<Vec<_>, _>>()?;
            let bytes =
                read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
            let snapshot = Snapshot::open(bytes, &keys)?;
            explain(&snapshot, unix_seconds());
            let issuer = issuer.unwrap_or_else(|| snapshot.feed().to_owned());
            let print = |kind, id: &str| Fingerprint::new(snapshot.salt(), kind, &issuer, id);
            for id in jti {
                println!("token {id:?}: {}", denied(snapshot.is_denied(print(Kind::Token, &id))));
            }
            for id in session {
                let found = snapshot.is_denied(print(Kind::Session, &id));
                println!("session {id:?}: {}", denied(found));
            }
            for id in sub {
                match snapshot.user_floor(print(Kind::User, &id)) {
                    Some(UserFloor { minimum_version, not_before }) => println!(
                        "user {id:?}: off below version {minimum_version}, or issued before {}",
                        utc(not_before)
                    ),
                    None => println!("user {id:?}: not named"),
                }
            }
        }
        SnapshotCommand::Simulate { tokens, users, out } => simulate(tokens, users, &out)?,
    }
    Ok(())
}

fn explain(snapshot: &Snapshot, now: u64) {
    let kind = match (snapshot.is_base(), snapshot.from() == snapshot.to()) {
        (true, _) => "base",
        (false, true) => "heartbeat",
        (false, false) => "delta",
    };
    println!("a {kind} of {:?}, signed by a given key", snapshot.feed());
    println!("positions: after {} up to {}", snapshot.from(), snapshot.to());
    let (issued_at, valid_until) = (snapshot.issued_at(), snapshot.valid_until());
    println!("issued at {}, {} s ago", utc(issued_at), now.saturating_sub(issued_at));
    let fresh = if now <= valid_until { "fresh" } else { "stale: verifiers cannot decide with it" };
    println!("valid until {}: {fresh}", utc(valid_until));
    match snapshot.epoch() {
        0 => println!("epoch: none"),
        epoch => println!("epoch: tokens issued before {} are off", utc(epoch)),
    }
    for key in snapshot.dead_keys() {
        println!("dead key: {:?} of {:?}", key.kid, key.issuer);
    }
    println!("denied tokens and sessions: {}", snapshot.denied_count());
    println!("users: {}", snapshot.users_count());
    println!("{}", size(snapshot));
}

fn size(snapshot: &Snapshot) -> String {
    let entries = snapshot.denied_count() + snapshot.users_count();
    let bytes = snapshot.size_bytes();
    match entries {
        0 => format!("{bytes} bytes"),
        _ => format!("{bytes} bytes, {:.1} bits an entry", bytes as f64 * 8.0 / entries as f64),
    }
}

fn simulate(tokens: u64, users: u64, out: &Path) -> anyhow::Result<()> {
    let (salt, now) = (Salt::default(), unix_seconds());
    let signer = SnapshotSigner::new(FEED, vec![SigningKey::from_bytes(&random_bytes())]);
    let print =
        |kind, name: &str, number| Fingerprint::new(salt, kind, FEED, &format!("{name}-{number}"));
    let denied = Fingerprint::sorted((0..tokens).map(|one| print(Kind::Token, "token", one)));
    let floor = |number| UserFloor { minimum_version: number + 1, not_before: now };
    let mut named: Vec<(u64, UserFloor)> =
        (0..users).map(|one| (print(Kind::User, "user", one).0, floor(one))).collect();
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
        epoch: 0,
        dead_keys: vec![],
        denied: &denied,
        users: &named,
    });
    let built_in = begin.elapsed();
    File::create(out)
        .and_then(|mut file| file.write_all(&bytes))
        .with_context(|| format!("{} cannot be written", out.display()))?;
    let begin = Instant::now();
    let snapshot = Snapshot::open(bytes, &signer.feed_keys())?;
    println!("{}", size(&snapshot));
    println!("built and signed in {built_in:.1?}, verified and loaded in {:.1?}", begin.elapsed());
    for key in signer.feed_keys() {
        println!("--key {}", Base64UrlUnpadded::encode_string(key.public_key()));
    }
    Ok(())
}

fn feed_key(text: &str) -> anyhow::Result<FeedKey> {
    let bytes = Base64UrlUnpadded::decode_vec(text).ok();
    let bytes: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
    let bytes = bytes.context("--key: must be 32 bytes in base64url")?;
    FeedKey::from_bytes(&bytes).ok().context("--key: is not a key that can be trusted")
}

/// At most what a snapshot can be at all: a device file must not fill the memory.
fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let source: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(File::open(file)?),
    };
    source.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= MAX_FILE_BYTES, "it is larger than any snapshot");
    Ok(bytes)
}

fn denied(found: bool) -> &'static str {
    if found { "denied" } else { "not denied" }
}

const FEED: &str = "https://simulated.invalid";
const MAX_FILE_BYTES: u64 = 4 << 30;
