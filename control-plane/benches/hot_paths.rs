//! The hot paths with a million live entries, natively. `cargo bench -p offswitch`.

#![expect(clippy::unwrap_used, reason = "a benchmark may stop")]

#[path = "hot_paths/mixed.rs"]
mod mixed;

use std::hint::black_box;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use offswitch_core::fold::{Fold, Validity};
use offswitch_core::log::Checkpoint;
use offswitch_core::record::{Record, Revocation};
use offswitch_snapshot::{Content, FeedKey, Fingerprint, Salt, Snapshot, SnapshotSigner};

fn main() {
    let signer = SnapshotSigner::new(ISSUER, vec![SigningKey::from_bytes(&FEED_SEED)]);
    let mut fold = million();
    let bytes = rebuild(&mut fold, &signer);
    revoke(&mut fold, &signer);
    load_and_look_up(&bytes, &signer);
    drop(fold);
    cutoffs(&signer);
    mixed::run(&signer);
}

/// A log of a million denied tokens, in ten requests.
fn million() -> Fold {
    let mut fold = Fold::begin(Salt::default(), ISSUER, 1, &Checkpoint::default()).unwrap();
    for request in 0..10 {
        let tokens = (0..100_000).map(|number| token(request * 100_000 + number));
        let record =
            Record { at: NOW, by: "bench".to_owned(), reason: None, revocations: tokens.collect() };
        fold.push(request + 1, &record.encode()).unwrap();
    }
    fold
}

fn token(number: u64) -> Revocation {
    Revocation::Token { issuer: None, jti: format!("token-{number}"), exp: NOW + 3600 }
}

fn rebuild(fold: &mut Fold, signer: &SnapshotSigner) -> Vec<u8> {
    let sign = |content: &Content<'_>| signer.sign(content);
    let (main, first) = fold.compaction().run(NOW, VALIDITY, sign);
    fold.compacted_to(main, NOW);
    let mut times = Vec::new();
    for _ in 0..15 {
        let compaction = fold.compaction();
        let begin = Instant::now();
        black_box(compaction.run(NOW, VALIDITY, sign));
        times.push(begin.elapsed());
    }
    let bits = first.len() as f64 * 8.0 / 1e6;
    println!("base of 1,000,000 entries: {} bytes, {bits:.2} bits an entry", first.len());
    println!("base of 1,000,000 rebuilt and signed: {:?} (goal 150 ms)", median(times));
    first
}

fn revoke(fold: &mut Fold, signer: &SnapshotSigner) {
    let mut times = Vec::new();
    for number in 0..2000 {
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
    println!("one revoke folded and signed, 1,000,000 live: {:?} (goal 100 µs)", median(times));
}

fn load_and_look_up(bytes: &[u8], signer: &SnapshotSigner) {
    let keys: Vec<FeedKey> = signer.feed_keys();
    let mut times = Vec::new();
    for _ in 0..15 {
        let copy = bytes.to_vec();
        let begin = Instant::now();
        black_box(Snapshot::open(copy, &keys).unwrap());
        times.push(begin.elapsed());
    }
    println!("base of 1,000,000 verified and loaded natively: {:?}", median(times));
    let snapshot = Snapshot::open(bytes.to_vec(), &keys).unwrap();
    for (what, first) in [("present", 0), ("absent", 50_000_000)] {
        let ids: Vec<Fingerprint> = (first..first + 1_000_000)
            .step_by(7)
            .map(|number| format!("token-{number}"))
            .map(|id| Fingerprint::of_claim(Salt::default(), ISSUER, "jti", &id))
            .collect();
        let begin = Instant::now();
        let found = ids.iter().filter(|id| snapshot.is_denied(**id)).count();
        let each = begin.elapsed() / u32::try_from(ids.len()).unwrap();
        println!("look-up of an entry that is {what}: {each:?} (goal 300 ns), {found} found");
    }
}

/// A base of a million users of an identity provider, revoked in the course of a day, compared with
/// the minimum of any encoding: log2 of the number of such sets and columns.
fn cutoffs(signer: &SnapshotSigner) {
    const DAY: u64 = 86_400;
    let mut fold = mixed::registered();
    for request in 0..100 {
        let users = (0..10_000).map(|number| {
            let number = request * 10_000 + number;
            let issued_before = Some(NOW - DAY + number * 7919 % DAY);
            let (issuer, sub) = (Some(mixed::IDP.to_owned()), format!("user-{number}"));
            Revocation::User { issuer, sub, issued_before, exp: 0 }
        });
        mixed::push(&mut fold, request + 2, users.collect());
    }
    let sign = |content: &Content<'_>| signer.sign(content);
    let (_, bytes) = fold.compaction().run(NOW, VALIDITY, sign);
    let bits = bytes.len() as f64 * 8.0 / 1e6;
    let set = 64.0 - 1e6_f64.log2() + std::f64::consts::LOG2_E;
    let limit = set + (DAY as f64).log2();
    println!(
        "base of 1,000,000 users' cut-offs within a day: {bits:.2} bits each, the limit is {limit:.2}"
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

const ISSUER: &str = "https://auth.example";
const FEED_SEED: [u8; 32] = [7; 32];
const NOW: u64 = 1_800_000_000;
const VALIDITY: Validity = Validity { issued_at: NOW, valid_until: NOW + 60 };
