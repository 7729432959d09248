//! The fold with ten million live entries: memory, a rebuilt base, and revokes meanwhile. `cargo xtask bench control-plane fold`.

#![expect(clippy::unwrap_used, reason = "a benchmark may stop")]

#[path = "figure/mod.rs"]
mod figure;

use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use offswitch_core::fold::{Fold, Validity};
use offswitch_core::log::Checkpoint;
use offswitch_core::record::{Record, Revocation};
use offswitch_snapshot::{Salt, SnapshotSigner};
use serde_json::{Value, json};

use self::figure::{nanoseconds, print, print_times};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let signer = SnapshotSigner::new(ISSUER, vec![SigningKey::from_bytes(&[7; 32])]);
    let (entries, rounds) = figure::scale(10_000_000);
    let mut small = filled(entries / 1000, &signer);
    let few = in_rounds(rounds, || revokes(&mut small, &signer, REVOKES));
    drop(small);
    let before = resident_bytes("VmRSS:");
    let mut fold = filled(entries, &signer);
    let mut bytes = 0;
    let times = in_rounds(rounds, || {
        let begin = Instant::now();
        bytes = compact(&mut fold, &signer);
        begin.elapsed()
    });
    let what = format!("base of {entries} entries rebuilt and signed");
    print_times(&what, &times, &json!({ "most": 1.5e9 }), &format!("{bytes} bytes"));
    // The allocator gives back what is free after a moment.
    std::thread::sleep(Duration::from_secs(1));
    drop(std::hint::black_box(vec![1_u8; 1 << 20]));
    let held = resident_bytes("VmRSS:").saturating_sub(before) as f64 / entries as f64;
    let peak = resident_bytes("VmHWM:") as f64 / entries as f64;
    let what = format!("fold of {entries} entries, memory of each");
    print(&what, "bytes", &[held], &json!({ "most": 24 }), "");
    let none = Value::Null;
    print(&format!("{what}, at the most, while a base is built"), "bytes", &[peak], &none, "");
    let many = in_rounds(rounds, || revokes(&mut fold, &signer, REVOKES));
    let of = |times: &[Duration]| format!("{:.1?}", median(times.to_vec()));
    let what =
        format!("one revoke folded and signed at {entries} live, compared with a thousandth");
    let more = format!("{}, {}", of(&many), of(&few));
    print(&what, "times", &ratios(&many, &few), &json!({ "most": 1.3 }), &more);
    let compaction = fold.compaction();
    let meanwhile = std::thread::scope(|scope| {
        let building =
            scope.spawn(|| compaction.run(NOW, VALIDITY, |content| signer.sign(content).len()));
        let mut times = vec![revokes(&mut fold, &signer, 100)];
        while !building.is_finished() {
            times.push(revokes(&mut fold, &signer, 100));
        }
        times
    });
    let before: Vec<_> = meanwhile.iter().map(|_| median(many.clone())).collect();
    let what = "one revoke while a base is built, compared with before";
    let more = of(&meanwhile);
    print(what, "times", &ratios(&meanwhile, &before), &json!({ "most": 2 }), &more);
}

fn in_rounds(rounds: usize, mut one: impl FnMut() -> Duration) -> Vec<Duration> {
    (0..rounds).map(|_| one()).collect()
}

fn ratios(ours: &[Duration], theirs: &[Duration]) -> Vec<f64> {
    let pairs = nanoseconds(ours).into_iter().zip(nanoseconds(theirs));
    pairs.map(|(ours, theirs)| ours / theirs).collect()
}

fn filled(count: u64, signer: &SnapshotSigner) -> Fold {
    let mut fold = Fold::begin(Salt::default(), ISSUER, 1, &Checkpoint::default()).unwrap();
    let each = count.min(1000);
    for request in 0..count / each {
        let tokens = (0..each).map(|number| token(request * each + number)).collect();
        push(&mut fold, tokens);
        if fold.fresh_len() > 500_000.max(fold.entries() / 8) {
            compact(&mut fold, signer);
        }
    }
    compact(&mut fold, signer);
    fold
}

fn compact(fold: &mut Fold, signer: &SnapshotSigner) -> usize {
    let (main, bytes) = fold.compaction().run(NOW, VALIDITY, |content| signer.sign(content).len());
    fold.compacted_to(main, NOW);
    bytes
}

/// The median of so many revokes, each folded and signed.
fn revokes(fold: &mut Fold, signer: &SnapshotSigner, count: u64) -> Duration {
    let mut times = Vec::new();
    for _ in 0..count {
        let since = fold.reached().position;
        let begin = Instant::now();
        push(fold, vec![token(1_000_000_000 + since.seq)]);
        let delta = fold.delta(since, fold.reached().position, VALIDITY).unwrap();
        std::hint::black_box(signer.sign(&delta.borrow()));
        times.push(begin.elapsed());
    }
    median(times)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn push(fold: &mut Fold, revocations: Vec<Revocation>) {
    let record = Record { at: NOW, by: "bench".to_owned(), reason: None, revocations };
    fold.push(fold.reached().position.seq + 1, &record.encode()).unwrap();
}

fn token(number: u64) -> Revocation {
    Revocation::Token { issuer: None, jti: format!("token-{number}"), exp: NOW + 3600 }
}

fn resident_bytes(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// In each round.
const REVOKES: u64 = 1000;
const ISSUER: &str = "https://auth.example";
const NOW: u64 = 1_800_000_000;
const VALIDITY: Validity = Validity { issued_at: NOW, valid_until: NOW + 60 };
