//! The bytes of a snapshot: signed as a whole, bounded in every count, and without room for a key.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use offswitch_verifier::snapshot::{Content, Cutoff, DeadKey, FeedKey, Fingerprint};
use offswitch_verifier::snapshot::{Floor, HEAD_BYTES};
use offswitch_verifier::snapshot::{MAX_DEAD_KEYS, OpenError, Position, Snapshot, SnapshotSigner};
use offswitch_verifier::{Applied, Feed};
use support::body::{FIELDS, Fields, header, text, varint};
use support::feed::{FEED, History, Model, Record, body_at, follower, seal, signer, signing_key};
use support::{ISSUER, Minter, NOW, feed};

// S01: every bit and every length of base, delta and heartbeat is signed.
#[test]
fn a_snapshot_with_one_bit_flipped_or_any_byte_missing_is_refused() {
    let history = history();
    for (from, to) in [(0, 6), (2, 6), (6, 6), (0, 0)] {
        let good = history.range(from, to, NOW);
        let trusted = signer().feed_keys();
        assert!(Snapshot::open(good.clone(), &trusted).is_ok());
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Snapshot::open(bytes, &trusted).is_err(), "bit {bit} of {from}..{to}");
        }
        for length in 0..good.len() {
            assert!(Snapshot::open(good[..length].to_vec(), &trusted).is_err(), "{length}");
        }
        for tail in [0, 1, 0xff] {
            let longer = [&good[..], &[tail]].concat();
            assert_eq!(Snapshot::open(longer, &trusted).unwrap_err(), OpenError::BadSignature);
        }
    }
}

// D01, D14: if the first bytes are not those of a snapshot of the feed, the rest is not read.
#[test]
fn the_first_bytes_show_what_cannot_be_a_snapshot_of_the_feed() {
    let (history, feed) = (history(), follower());
    let good = history.base(6);
    for length in 0..=good.len() {
        let head = &good[..length];
        // The envelope, and the feed's id after it.
        let enough = body_at(1) + 1;
        assert_eq!(feed.preview(head).is_ok(), length >= enough, "{length}");
        assert_eq!(feed.begin(head).is_ok(), length >= enough, "{length}");
    }
    let refused = |bytes: &[u8]| feed.preview(bytes).unwrap_err();
    assert_eq!(refused(&[0x5a; HEAD_BYTES]).code(), "snapshot_malformed");
    let stranger = SnapshotSigner::new(FEED, vec![signing_key(9)]);
    let unknown = refused(&history.range_signed(&stranger, 0, 6, NOW));
    assert_eq!(unknown.code(), "snapshot_unknown_key");
    for (id, shown) in [("feed-2", "feed-2"), ("a\"\n'\u{e9}", "a?????"), (&FEED[..5], "feed-")] {
        let other = SnapshotSigner::new(id, vec![signing_key(1)]);
        let found = refused(&history.range_signed(&other, 0, 6, NOW)).to_string();
        assert!(found.contains(&format!("feed '{shown}', expected 'feed-1'")), "{found}");
    }
}

// D14: the signature is checked piece by piece, in pieces of any size, and nothing is stored.
#[test]
fn a_snapshot_that_arrives_in_pieces_is_checked_as_a_whole() {
    let (history, feed) = (history(), follower());
    let good = history.base(6);
    let check = |bytes: &[u8], head: usize, size: usize| {
        let (head, rest) = bytes.split_at(head);
        let mut arriving = feed.begin(head).unwrap();
        rest.chunks(size).for_each(|piece| arriving.update(piece));
        arriving.finish(feed.trusted())
    };
    let first = body_at(1) + 1;
    for (head, size) in [(first, 1), (first, 7), (good.len(), 1), (first + 3, 10_000)] {
        assert_eq!(check(&good, head, size), Ok(()));
        for at in [body_at(1) + 20, good.len() - 1] {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            assert_eq!(check(&bytes, head, size), Err(OpenError::BadSignature), "{at}");
        }
        assert_eq!(check(&[&good[..], &[0]].concat(), head, size), Err(OpenError::BadSignature));
    }
}

// S01: a refused snapshot changes nothing, whichever bit was wrong.
#[test]
fn a_refused_snapshot_leaves_the_feed_as_it_was() {
    let history = history();
    let mut feed = follower();
    feed.apply(history.base(2), NOW).unwrap();
    let (before, floor) = (Model::of(&feed), feed.floor());
    let good = history.range(2, 6, NOW + 5);
    for bit in (0..good.len() * 8).step_by(7) {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        feed.apply(bytes, NOW + 5).unwrap_err();
    }
    assert_eq!((Model::of(&feed), feed.floor(), feed.age_seconds(NOW)), (before, floor, Some(0)));
    assert_eq!(feed.apply(good, NOW + 5), Ok(Applied::Extended));
}

// S01: bound to its feed, and to a key that is trusted.
#[test]
fn a_snapshot_of_another_feed_or_key_is_refused() {
    let history = history();
    let mut feed = follower();
    for name in ["feed-2", "feed-1 ", "FEED-1", ""] {
        let other = SnapshotSigner::new(name, vec![signing_key(1)]);
        let bytes = history.range_signed(&other, 0, 6, NOW);
        assert_eq!(feed.apply(bytes, NOW).unwrap_err().code(), "wrong_feed");
    }
    let other = SnapshotSigner::new(FEED, vec![signing_key(2)]);
    let bytes = history.range_signed(&other, 0, 6, NOW);
    assert_eq!(feed.apply(bytes, NOW).unwrap_err().code(), "snapshot_unknown_key");
    // Another key's signature with the id of our key.
    let mut bytes = history.range_signed(&other, 0, 6, NOW);
    let ours = history.base(6);
    bytes[6..14].copy_from_slice(&ours[6..14]);
    assert_eq!(feed.apply(bytes, NOW).unwrap_err().code(), "snapshot_bad_signature");
    assert_eq!(feed.position(), None);
}

// S01, S13: while a feed changes its key both sign; no trusted signature may be wrong.
#[test]
fn of_two_signatures_each_trusted_one_must_be_right() {
    let history = history();
    let both = SnapshotSigner::new(FEED, vec![signing_key(1), signing_key(2)]);
    let good = history.range_signed(&both, 0, 6, NOW);
    let key = |number| FeedKey::from_bytes(signing_key(number).verifying_key().as_bytes()).unwrap();
    for trusted in [vec![key(1)], vec![key(2)], vec![key(1), key(2)], vec![key(3), key(2)]] {
        assert!(Snapshot::open(good.clone(), &trusted).is_ok());
    }
    assert_eq!(Snapshot::open(good.clone(), &[key(3)]).unwrap_err(), OpenError::UnknownKey);
    assert_eq!(Snapshot::open(good.clone(), &[]).unwrap_err(), OpenError::UnknownKey);
    for at in [14, 77, 86, 149] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        let found = Snapshot::open(bytes, &[key(1), key(2)]).unwrap_err();
        assert_eq!(found, OpenError::BadSignature, "{at}");
    }
    for bit in body_at(2) * 8..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Snapshot::open(bytes, &[key(2)]).unwrap_err(), OpenError::BadSignature);
    }
}

// S01: magic, version and number of signatures, each separately.
#[test]
fn an_envelope_of_another_kind_is_refused_by_name() {
    let trusted = signer().feed_keys();
    let good = history().base(6);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Snapshot::open(bytes, &trusted).unwrap_err()
    };
    assert_eq!(with(0, b'o'), OpenError::Malformed("not a snapshot"));
    assert_eq!(with(4, 0), OpenError::UnknownVersion(0));
    assert_eq!(with(4, 1), OpenError::UnknownVersion(1));
    assert_eq!(with(4, 3), OpenError::UnknownVersion(3));
    for count in [0, 9, 255] {
        assert_eq!(with(5, count), OpenError::Malformed("the number of signatures"));
    }
    for bytes in [&b""[..], b"OFSW", b"OFSW\x02", b"OFSW\x02\x08", b"<html>not found</html>", b"{}"]
    {
        assert!(Snapshot::open(bytes.to_vec(), &trusted).is_err(), "{bytes:?}");
    }
}

// S02: a body written by hand, field by field, is complete: every byte is a name, a number, a hash
// or a fingerprint, and none of them can become a verification key.
#[test]
fn no_field_of_a_snapshot_can_carry_a_key() {
    let bytes = history().base(6);
    let body = &bytes[body_at(1)..];
    let mut by_hand = vec![];
    text(&mut by_hand, FEED);
    for number in [1, 0, 6] {
        varint(&mut by_hand, number);
    }
    by_hand.extend(history().floor(0).chain.0);
    by_hand.extend(history().floor(6).chain.0);
    varint(&mut by_hand, NOW);
    varint(&mut by_hand, NOW + feed::VALID_SECONDS);
    by_hand.extend(feed::SALT.0);
    // One issuer: its name, its epoch, no horizon, and three selectors of one path, each with its
    // uses.
    varint(&mut by_hand, 1);
    text(&mut by_hand, ISSUER);
    for number in [77, 0, 3] {
        varint(&mut by_hand, number);
    }
    for (claim, uses) in [("jti", 1 + 4), ("sid", 1 + 8), ("sub", 2 + 16)] {
        varint(&mut by_hand, 1);
        text(&mut by_hand, claim);
        by_hand.push(uses);
    }
    // One dead key, of the first issuer.
    varint(&mut by_hand, 1);
    varint(&mut by_hand, 0);
    text(&mut by_hand, "key-9");
    varint(&mut by_hand, 3);
    varint(&mut by_hand, 1);
    assert_eq!(body[..by_hand.len()], by_hand);
    // The rest: four numbers for the columns, 3 fingerprints and 1 user in whole words.
    let (columns, words) = (1 + 1 + 1 + 1, 3 * 62usize.div_ceil(64) + 1 + 1 + 1);
    assert_eq!(body.len(), by_hand.len() + columns + words * 8);
}

// S02: published bytes never contain a secret key's JWK, and a snapshot full of key material makes
// no token valid.
#[test]
fn a_snapshot_makes_no_token_valid() {
    let minter = Minter::new("HS256");
    let jwk = minter.jwk().to_string();
    let dead_keys = vec![DeadKey { issuer: ISSUER.to_owned(), kid: jwk }];
    let to = History::new(1, vec![]).floor(0);
    let content =
        Content { from: to, to, issued_at: NOW, valid_until: NOW, dead_keys, ..Content::default() };
    let trusting = Minter::new("EdDSA");
    let mut verifier = trusting.cold_verifier();
    verifier.apply(signer().sign(&content), NOW).unwrap();
    assert!(!verifier.verify(&minter.token(&support::claims()), NOW).is_valid());
    for bytes in [history().base(6), history().range(2, 6, NOW), history().range(6, 6, NOW)] {
        for secret in ["\"kty\"", "\"oct\"", "\"kty\":\"oct\"", "\"k\":", "\"d\":"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
        }
    }
}

// S10: malformed contents with a valid signature are refused by name; the last good base stays.
#[test]
fn a_signed_snapshot_that_makes_no_sense_keeps_the_last_good_one() {
    let history = history();
    let mut feed = follower();
    feed.apply(history.base(6), NOW).unwrap();
    let before = (Model::of(&feed), feed.floor());
    let good = history.range(6, 6, NOW);
    let body = &good[body_at(1)..];
    let mut odd: Vec<Vec<u8>> =
        vec![vec![], vec![0], vec![0; 200], vec![0; 100_000], vec![0xff; 200]];
    odd.push(body[..body.len() - 1].to_vec());
    odd.push([body, &[0]].concat());
    odd.push([body, &[0; 8]].concat());
    odd.push(body.repeat(2));
    odd.push(body.repeat(1000));
    odd.push(header(&Fields { era: 0, ..FIELDS }));
    odd.push(header(&Fields { from: 8, ..FIELDS }));
    odd.push(header(&Fields { valid_until: NOW - 1, ..FIELDS }));
    odd.push(header(&Fields { version_width: 65, ..FIELDS }));
    odd.push(header(&Fields { version_width: 255, ..FIELDS }));
    odd.push(header(&Fields { dead_keys: MAX_DEAD_KEYS as u64 + 1, ..FIELDS }));
    odd.push(header(&Fields { dead_keys: 1000 * MAX_DEAD_KEYS as u64, ..FIELDS }));
    for body in odd {
        let error = feed.apply(seal(&body), NOW).unwrap_err();
        assert!(["snapshot_malformed", "wrong_feed"].contains(&error.code()), "{error}");
        assert!(!error.needs_base());
        assert_eq!((Model::of(&feed), feed.floor()), before);
    }
    // Zeros and blanks that are allowed: the hand-written header is a snapshot.
    assert!(Snapshot::open(seal(&header(&FIELDS)), &signer().feed_keys()).is_ok());
    assert!(
        Snapshot::open(seal(&header(&Fields { feed: "", ..FIELDS })), &signer().feed_keys())
            .is_ok()
    );
    let many = header(&Fields { dead_keys: MAX_DEAD_KEYS as u64, ..FIELDS });
    assert!(Snapshot::open(seal(&many), &signer().feed_keys()).is_ok());
    assert_eq!(feed.apply(history.range(6, 6, NOW + 1), NOW + 1), Ok(Applied::Refreshed));
}

// S10, S18: a collection of the right size whose bitmap differs from its count.
#[test]
fn a_bitmap_that_does_not_hold_its_count_is_refused() {
    let trusted = signer().feed_keys();
    let header = header(&Fields { denied: 3, ..FIELDS });
    let low = vec![0; 24];
    for (high, good) in [
        (0b10_0110, true),
        (0, false),
        (0b11, false),
        (0b1111, false),
        (0b111 | 1 << 7, false),
        (0b011 | 1 << 63, false),
        (u64::MAX, false),
        (0b111, true),
        (0b101_0010, false),
        (0b111_0000, false),
        (0b011_1000, true),
    ] {
        let bytes = seal(&[&header[..], &low, &high.to_le_bytes()].concat());
        let found = Snapshot::open(bytes, &trusted);
        assert_eq!(found.is_ok(), good, "{high:b}: {found:?}");
    }
}

// S10: the builder's own limits read back: 1024 dead keys, a thousand times the usual size.
#[test]
fn a_snapshot_a_thousand_times_the_usual_size_is_read() {
    let denied: Vec<u64> =
        (0..300_000u64).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let denied = Fingerprint::sorted(denied.into_iter().map(Fingerprint));
    let last = (1 << 53) - 1;
    let floor = Cutoff { minimum_version: last, not_before: 0 };
    let users: Vec<(u64, Cutoff)> = (0..1000).map(|user| (user, floor)).collect();
    let to = Floor { position: Position { era: NOW, seq: last }, ..Floor::default() };
    let from = Floor { position: Position { era: NOW, seq: 0 }, ..Floor::default() };
    let content = Content {
        from,
        to,
        issued_at: NOW,
        valid_until: u64::MAX,
        denied: &denied,
        cutoffs: &users,
        ..Content::default()
    };
    let mut feed = Feed::new(FEED.to_owned(), signer().feed_keys());
    assert_eq!(feed.apply(signer().sign(&content), NOW), Ok(Applied::Replaced));
    assert_eq!(feed.position(), Some(to.position));
    assert!(!feed.is_past_validity(u64::MAX) && !feed.is_denied(ISSUER, "jti", "none"));
}

// A snapshot that was not verified can still be shown, with the keys that claim to have signed it.
#[test]
fn a_snapshot_can_be_inspected_without_a_key_and_after_any_change() {
    let history = history();
    let both = SnapshotSigner::new(FEED, vec![signing_key(1), signing_key(2)]);
    for (from, to) in [(0, 6), (2, 6), (6, 6)] {
        let good = history.range_signed(&both, from, to, NOW);
        let shown = Snapshot::peek_unverified(good.clone()).unwrap();
        assert_eq!((shown.feed(), shown.to()), (FEED, history.floor(to).position));
        let ids: Vec<_> = both.feed_keys().iter().map(FeedKey::id).collect();
        assert_eq!(Snapshot::claimed_signers(&good).collect::<Vec<_>>(), ids);
        let sizes = shown.part_sizes();
        assert_eq!(sizes.envelope_bytes, body_at(2));
        let body = sizes.header_bytes + sizes.denied_bytes + sizes.cutoffs_bytes;
        assert_eq!(sizes.envelope_bytes + body, good.len());
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(shown) = Snapshot::peek_unverified(bytes) {
                assert_eq!(shown.denied().count(), shown.denied_count());
                assert_eq!(shown.cutoffs().count(), shown.cutoffs_count());
            }
        }
        for length in 0..good.len() {
            assert!(Snapshot::peek_unverified(good[..length].to_vec()).is_err(), "{length}");
        }
    }
}

fn history() -> History {
    use Record::{DeadKey, Epoch, Session, Token, User};
    History::new(1, vec![Token(1), Session(2), User(3, 4), Epoch(77), DeadKey(9), Token(200)])
}
