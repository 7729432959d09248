//! The encoded collections compared with the standard library's, on difficult numbers.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use offswitch_verifier::snapshot::{Content, Cutoff, Fingerprint, Floor, Position, Snapshot};
use proptest::prelude::*;
use support::feed::{SALT, signer};
use support::{ISSUER, NOW};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // S20, S18: any set reads back in order, contains all of its members and none of their
    // neighbours.
    #[test]
    fn a_set_of_any_numbers_reads_back_as_it_was_written(numbers in numbers()) {
        check_set(&numbers);
    }

    // S20: the same for users; a cut-off is read back to the last bit.
    #[test]
    fn a_map_of_any_users_reads_back_as_it_was_written(
        users in numbers(), floors in proptest::collection::vec(floor(), 1..5),
    ) {
        let users: BTreeMap<u64, Cutoff> = users.into_iter().zip(floors.into_iter().cycle()).collect();
        check_map(&users);
    }
}

// S20: the sizes at which the encoding changes its widths, for numbers in one bucket, at both ends
// of the range and spread evenly.
#[test]
fn sets_of_every_size_around_a_power_of_two_read_back() {
    let sizes = (0..=12).flat_map(|power| {
        let size = 1u64 << power;
        [size.saturating_sub(1), size, size + 1]
    });
    for size in sizes {
        let step = u64::MAX / size.max(1);
        check_set(&(0..size).collect());
        check_set(&(0..size).map(|number| u64::MAX - number).collect());
        check_set(&(0..size).map(|number| number * step).collect());
        check_set(&(0..size).map(|number| (1 << 63) + number - size / 2).collect());
        check_set(&(0..size).map(|number| number << 40).collect());
        check_set(&(0..size).map(|number| (number % 2).wrapping_neg() << 32 | number).collect());
        let floor =
            |number: u64| Cutoff { minimum_version: number, not_before: (1 << 53) - 1 - number };
        check_map(&(0..size).map(|number| (number * step, floor(number))).collect());
    }
}

// S20: half a million ids among ten million: no member is missed (0 false negatives), and none of
// the others is found (expected: 9.5e6 * 5e5 / 2^64 < 3e-7 of one).
#[test]
fn ten_million_probes_agree_with_the_exact_set() {
    const PROBES: u32 = 10_000_000;
    let id = |number: u32| {
        let mut text = [b'0'; 8];
        let mut rest = number;
        for digit in text.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap();
            rest /= 10;
        }
        text
    };
    let print = |number: u32| {
        let text = id(number);
        Fingerprint::of_claim(SALT, ISSUER, "jti", str::from_utf8(&text).unwrap())
    };
    let denied = Fingerprint::sorted((0..PROBES).step_by(20).map(print));
    assert_eq!(denied.len(), 500_000);
    let snapshot = open(&denied, &[]);
    let (misses, hits): (Vec<u32>, Vec<u32>) = std::thread::scope(|scope| {
        let halves = [0..PROBES / 2, PROBES / 2..PROBES].map(|half| {
            let snapshot = &snapshot;
            scope.spawn(move || {
                let wrong =
                    half.filter(|number| snapshot.is_denied(print(*number)) != (number % 20 == 0));
                wrong.partition::<Vec<u32>, _>(|number| number % 20 == 0)
            })
        });
        let mut found = (vec![], vec![]);
        for half in halves {
            let (misses, hits) = half.join().unwrap();
            found.0.extend(misses);
            found.1.extend(hits);
        }
        found
    });
    assert_eq!(misses, Vec::<u32>::new(), "revoked tokens that were not found");
    assert_eq!(hits, Vec::<u32>::new(), "good tokens that were found");
}

// S20: a fingerprint depends on claim, issuer and id, and on where each of them ends.
#[test]
fn a_fingerprint_distinguishes_claims_issuers_and_ids() {
    let prints = [
        ("jti", "i", "ab"),
        ("sid", "i", "ab"),
        ("sub", "i", "ab"),
        ("jti", "ia", "b"),
        ("jti", "iab", ""),
        ("jti", "", "iab"),
        ("jtia", "i", "b"),
        ("jti", "i", "ab\0"),
        ("jti", "i", "AB"),
    ]
    .map(|(claim, issuer, id)| Fingerprint::of_claim(SALT, issuer, claim, id));
    assert_eq!(BTreeSet::from(prints).len(), prints.len());
    let other =
        Fingerprint::of_claim(offswitch_verifier::snapshot::Salt([8; 16]), "i", "jti", "ab");
    assert!(!prints.contains(&other));
}

fn check_set(numbers: &BTreeSet<u64>) {
    let sorted: Vec<u64> = numbers.iter().copied().collect();
    let snapshot = open(&sorted, &[]);
    assert_eq!(snapshot.denied_count(), numbers.len());
    assert!(snapshot.denied().map(|id| id.0).eq(numbers.iter().copied()));
    for number in probes(numbers) {
        let found = snapshot.is_denied(Fingerprint(number));
        assert_eq!(found, numbers.contains(&number), "{number} of {}", numbers.len());
    }
}

fn check_map(users: &BTreeMap<u64, Cutoff>) {
    let sorted: Vec<(u64, Cutoff)> = users.iter().map(|(user, floor)| (*user, *floor)).collect();
    let snapshot = open(&[], &sorted);
    assert_eq!(snapshot.cutoffs_count(), users.len());
    assert!(snapshot.cutoffs().map(|(user, floor)| (user.0, floor)).eq(sorted));
    for number in probes(&users.keys().copied().collect()) {
        assert_eq!(snapshot.cutoff(Fingerprint(number)), users.get(&number).copied());
    }
}

/// Members, their neighbours, and numbers that share their high or their low bits; every member of
/// a small set, some of a large one (in a single bucket each look-up is a walk).
fn probes(numbers: &BTreeSet<u64>) -> Vec<u64> {
    let near = |number: u64| {
        let rotated = number.rotate_left(32);
        [number, number.wrapping_add(1), number.wrapping_sub(1), !number, number ^ 1 << 63, rotated]
    };
    let step = numbers.len().div_ceil(300).max(1);
    let mut probes: Vec<u64> = numbers.iter().step_by(step).copied().flat_map(near).collect();
    probes.extend(numbers.last().copied());
    probes.extend([0, 1, u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1]);
    probes
}

fn open(denied: &[u64], users: &[(u64, Cutoff)]) -> Snapshot {
    let to = Floor { position: Position { era: 1, seq: 1 }, ..Floor::default() };
    let content = Content {
        to,
        issued_at: NOW,
        valid_until: NOW,
        denied,
        cutoffs: users,
        ..Content::default()
    };
    Snapshot::open(signer().sign(&content), &signer().feed_keys()).unwrap()
}

/// Sets of a few hundred numbers: anywhere, in one cluster, in several, and at both ends.
fn numbers() -> impl Strategy<Value = BTreeSet<u64>> {
    let near = |base: u64, mask: u64| any::<u64>().prop_map(move |number| base ^ (number & mask));
    let cluster = (any::<u64>(), 0..64u32).prop_flat_map(move |(base, bits)| {
        proptest::collection::btree_set(near(base, (1 << bits) - 1), 0..200)
    });
    prop_oneof![
        proptest::collection::btree_set(any::<u64>(), 0..600),
        cluster.clone(),
        (cluster.clone(), cluster).prop_map(|(one, other)| &one | &other),
        proptest::collection::btree_set(near(0, 0xfff), 0..600),
        proptest::collection::btree_set(near(u64::MAX, 0xfff), 0..600),
        proptest::collection::btree_set(prop_oneof![Just(0), Just(u64::MAX), any::<u64>()], 0..4),
    ]
}

fn floor() -> impl Strategy<Value = Cutoff> {
    // Numbers from 2^53 on are refused: JSON and Lua would not keep them.
    let number = || prop_oneof![0..1u64 << 53, Just(0), Just((1 << 53) - 1), 0..100u64];
    (number(), number())
        .prop_map(|(minimum_version, not_before)| Cutoff { minimum_version, not_before })
}
