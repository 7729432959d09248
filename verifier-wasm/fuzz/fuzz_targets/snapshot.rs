//! V14, S10, S18: no bytes make the reader of snapshots panic, allocate more than their own size,
//! or lose an entry that they list.
//!
//! The first byte selects the input: raw bytes, or a body with a valid signature, so that the
//! reader behind the signature check is reached.

#![no_main]

use ed25519_dalek::{Signer, SigningKey};
use libfuzzer_sys::fuzz_target;
use offswitch_verifier::snapshot::{FeedKey, Fingerprint, Snapshot};
use offswitch_verifier::{Feed};

fuzz_target!(|data: &[u8]| {
    let Some((door, rest)) = data.split_first() else { return };
    let bytes = if door % 8 == 0 { rest.to_vec() } else { seal(rest) };
    let trusted = vec![FeedKey::from_bytes(key().verifying_key().as_bytes()).expect("a good key")];
    let mut feed = Feed::new("f".to_owned(), trusted.clone());
    let before = feed.floor().position;
    let applied = feed.apply(bytes.clone(), NOW);
    assert!(feed.floor().position >= before);
    assert!(applied.is_ok() || feed.position().is_none());
    let reached = feed.floor().position;
    let resumed = feed.resume(bytes.clone(), NOW);
    assert!(resumed.is_ok() || applied.is_err());
    assert!(feed.floor().position >= reached);
    let _ = feed.is_denied("i", "jti", "t");
    let _ = feed.is_denied("i", "sid", "s");
    let _ = feed.cutoff("i", "sub", "u");
    let _ = (feed.is_dead("i", "k"), feed.rules_of("i"), feed.since(), feed.age_seconds(NOW));
    let _ = (feed.is_ready(), feed.is_past_validity(NOW));
    let Ok(snapshot) = Snapshot::open(bytes, &trusted) else { return };
    assert!(*door % 8 != 0 || snapshot.size_bytes() == rest.len());
    let denied: Vec<Fingerprint> = snapshot.denied().collect();
    assert_eq!(denied.len(), snapshot.denied_count());
    assert_eq!(snapshot.cutoffs().count(), snapshot.cutoffs_count());
    for number in [0, 1, u64::MAX, 1 << 63, u64::MAX / 3] {
        let _ = snapshot.is_denied(Fingerprint(number));
        let _ = snapshot.cutoff(Fingerprint(number));
    }
    // An entry in its own bucket is found again; the reader need not repair a signed set that is
    // out of order.
    if denied.is_sorted_by(|one, other| one < other) {
        assert!(denied.iter().all(|id| snapshot.is_denied(*id)), "a listed entry is not found");
    }
});

fn seal(body: &[u8]) -> Vec<u8> {
    let key = key();
    let id = blake3::hash(key.verifying_key().as_bytes());
    let message = [b"\0offswitch snapshot v2\0".as_slice(), blake3::hash(body).as_bytes()].concat();
    let signature = key.sign(&message).to_bytes();
    [b"OFSW\x02\x01".as_slice(), &id.as_bytes()[..8], &signature, body].concat()
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

const NOW: u64 = 50;
