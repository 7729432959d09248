//! The hot paths with a million live entries, natively. `cargo xtask bench hot-paths`; `cargo bench -p offswitch -- ENTRIES ROUNDS`.

#![expect(clippy::unwrap_used, reason = "a benchmark may stop")]

#[path = "figure/mod.rs"]
mod figure;
#[path = "hot_paths/mixed.rs"]
mod mixed;

use std::hint::black_box;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use offswitch_core::fold::{Fold, Validity};
use offswitch_core::log::Checkpoint;
use offswitch_core::record::{Record, Revocation};
use offswitch_snapshot::{Content, FeedKey, Fingerprint, Salt, Snapshot, SnapshotSigner};
use serde_json::{Value, json};

use self::figure::{print, print_times};

fn main() {
    let signer = SnapshotSigner::new(ISSUER, vec![SigningKey::from_bytes(&FEED_SEED)]);
    let (entries, rounds) = figure::scale(1_000_000);
    let mut fold = filled(entries);
    let bytes = rebuild(&mut fold, &signer, entries, rounds);
    revoke(&mut fold, &signer, rounds);
    load_and_look_up(&bytes, &signer, entries, rounds);
    drop(fold);
    cutoffs(&signer, entries);
    mixed::run(&signer, entries, rounds);
}

/// A log of that many denied tokens, in ten requests.
fn filled(entries: u64) -> Fold {
    let mut fold = Fold::begin(Salt::default(), ISSUER, 1, &Checkpoint::default()).unwrap();
    for request in 0..10 {
        let tokens = (0..entries / 10).map(|number| token(request * (entries / 10) + number));
        let record =
            Record { at: NOW, by: "bench".to_owned(), reason: None, revocations: tokens.collect() };
        fold.push(request + 1, &record.encode()).unwrap();
    }
    fold
}

fn token(number: u64) -> Revocation {
    Revocation::Token { issuer: None, jti: format!("token-{number}"), exp: NOW + 3600 }
}

fn rebuild(fold: &mut Fold, signer: &SnapshotSigner, entries: u64, rounds: usize) -> Vec<u8> {
    let sign = |content: &Content<'_>| signer.sign(content);
    let (main, first) = fold.compaction().run(NOW, VALIDITY, sign);
    fold.compacted_to(main, NOW);
    let mut times = Vec::new();
    for _ in 0..rounds {
        let compaction = fold.compaction();
        let begin = Instant::now();
        black_box(compaction.run(NOW, VALIDITY, sign));
        times.push(begin.elapsed());
    }
    let bits = first.len() as f64 * 8.0 / entries as f64;
    print("bits an entry", "bits", &[bits], &Value::Null, &format!("{} bytes", first.len()));
    let what = format!("base of {entries} entries rebuilt and signed");
    print_times(&what, &times, &json!({ "most": 150e6 }), "");
    first
}

fn revoke(fold: &mut Fold, signer: &SnapshotSigner, rounds: usize) {
    let mut times = Vec::new();
    for number in 0..rounds as u64 * REVOKES {
        let record = Record {
            at: NOW,
            by: "bench".to_owned(),
            reason: None,
            revocations: vec![token(10_000_000 + number)],
        };
        let (bytes, since) = (record.encode(), fold.reached().position);
        let begin = Instant::now();
        fold.push(since.seq + 1, &bytes).unwrap();
        let delta = fold.delta(since, fold.reached().position, VALIDITY).unwrap();
        black_box(signer.sign(&delta.borrow()));
        times.push(begin.elapsed());
    }
    let rounds = times.chunks(REVOKES as usize).map(|round| median(round.to_vec()));
    let rounds: Vec<_> = rounds.collect();
    print_times("one revoke folded and signed", &rounds, &json!({ "most": 100e3 }), "");
}

fn load_and_look_up(bytes: &[u8], signer: &SnapshotSigner, entries: u64, rounds: usize) {
    let keys: Vec<FeedKey> = signer.feed_keys();
    let mut times = Vec::new();
    for _ in 0..rounds {
        let copy = bytes.to_vec();
        let begin = Instant::now();
        black_box(Snapshot::open(copy, &keys).unwrap());
        times.push(begin.elapsed());
    }
    let what = format!("base of {entries} entries verified and loaded natively");
    print_times(&what, &times, &Value::Null, "");
    let snapshot = Snapshot::open(bytes.to_vec(), &keys).unwrap();
    for (what, first) in [("present", 0), ("absent", 50_000_000)] {
        let ids: Vec<Fingerprint> = (first..first + entries)
            .step_by(7)
            .map(|number| format!("token-{number}"))
            .map(|id| Fingerprint::of_claim(Salt::default(), ISSUER, "jti", &id))
            .collect();
        let (mut times, mut found) = (Vec::new(), 0);
        for _ in 0..rounds {
            let begin = Instant::now();
            found = ids.iter().filter(|id| snapshot.is_denied(**id)).count();
            times.push(begin.elapsed() / u32::try_from(ids.len()).unwrap());
        }
        let what = format!("look-up of an entry that is {what}");
        print_times(&what, &times, &json!({ "most": 300 }), &format!("{found} found"));
    }
}

/// A base of so many users of an identity provider, revoked in the course of a day, compared with
/// the minimum of any encoding: log2 of the number of such sets and columns.
fn cutoffs(signer: &SnapshotSigner, entries: u64) {
    const DAY: u64 = 86_400;
    let mut fold = mixed::registered();
    for request in 0..100 {
        let users = (0..entries / 100).map(|number| {
            let number = request * (entries / 100) + number;
            let issued_before = Some(NOW - DAY + number * 7919 % DAY);
            let (issuer, sub) = (Some(mixed::IDP.to_owned()), format!("user-{number}"));
            Revocation::User { issuer, sub, issued_before, exp: 0 }
        });
        mixed::push(&mut fold, request + 2, users.collect());
    }
    let sign = |content: &Content<'_>| signer.sign(content);
    let (_, bytes) = fold.compaction().run(NOW, VALIDITY, sign);
    let bits = bytes.len() as f64 * 8.0 / entries as f64;
    let set = 64.0 - (entries as f64).log2() + std::f64::consts::LOG2_E;
    let limit = set + (DAY as f64).log2();
    let more = format!("{bits:.2} bits each, the limit is {limit:.2}");
    print(
        "base of users' cut-offs within a day, of its limit",
        "ratio",
        &[bits / limit],
        &Value::Null,
        &more,
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// In each round.
const REVOKES: u64 = 200;
const ISSUER: &str = "https://auth.example";
const FEED_SEED: [u8; 32] = [7; 32];
const NOW: u64 = 1_800_000_000;
const VALIDITY: Validity = Validity { issued_at: NOW, valid_until: NOW + 60 };
