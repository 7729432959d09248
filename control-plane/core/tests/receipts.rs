//! Receipts: what makes one, what is refused, and what a snapshot says about it. P03.

use std::collections::BTreeMap;

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use offswitch_core::fold::{Fold, Validity};
use offswitch_core::log::Checkpoint;
use offswitch_core::receipt::{Acknowledged, Comparison, Receipt, TYPE, compare, open};
use offswitch_core::record::{Record, Revocation};
use offswitch_snapshot::{ClaimValue, FeedKey, Position, Salt, Snapshot, SnapshotSigner};
use serde_json::Value;

const ISSUER: &str = "https://auth.example";
const NOW: u64 = 1_800_000_000;
const VALIDITY: Validity = Validity { issued_at: NOW, valid_until: NOW + 60 };

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn signer() -> SnapshotSigner {
    SnapshotSigner::new(ISSUER, vec![key()])
}

fn keys() -> Vec<FeedKey> {
    signer().feed_keys()
}

fn empty() -> Fold {
    Fold::begin(Salt([3; 16]), ISSUER, 1, &Checkpoint::default()).unwrap()
}

fn everything() -> Record {
    let claims = [("client_id", "app"), ("sub", "bob")];
    let claims = claims.map(|(path, value)| (path.to_owned(), ClaimValue::Text(value.into())));
    let revocations = vec![
        Revocation::Token { issuer: None, jti: "t".to_owned(), exp: 0 },
        Revocation::Session { issuer: None, sid: "s".to_owned(), exp: 0 },
        Revocation::User { issuer: None, sub: "alice".to_owned(), issued_before: None, exp: 0 },
        Revocation::Claims {
            issuer: None,
            claims: BTreeMap::from(claims),
            issued_before: NOW,
            exp: 0,
        },
        Revocation::Key { issuer: None, kid: "k".to_owned() },
        Revocation::Epoch { issuer: None, epoch: NOW },
        Revocation::Sessions,
    ];
    Record { at: NOW, by: "key_1".to_owned(), reason: None, revocations }
}

/// The receipt for a record that was folded as the last one.
fn receipt(fold: &Fold, record: &Record) -> Receipt {
    let acknowledged = Acknowledged {
        position: fold.reached().position,
        chain: fold.chain_at(fold.reached().position),
        durability: "synced",
        replicas: None,
        applied: None,
    };
    Receipt::of(record, acknowledged, fold.issuers(), "edge", NOW + 1)
}

fn signed(typ: &str, kid: &str, payload: &[u8]) -> String {
    let encode = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
    let header = format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"{typ}"}}"#);
    let text = format!("{}.{}", encode(header.as_bytes()), encode(payload));
    format!("{text}.{}", encode(&key().sign(text.as_bytes()).to_bytes()))
}

fn kid() -> String {
    keys()[0].id().0.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base(fold: &Fold) -> Snapshot {
    let signer = signer();
    let (_, bytes) = fold.compaction().run(NOW, VALIDITY, |content| signer.sign(content));
    Snapshot::open(bytes, &keys()).unwrap()
}

fn good() -> (Receipt, String) {
    let (mut fold, record) = (empty(), everything());
    fold.push(7, &record.encode()).unwrap();
    let receipt = receipt(&fold, &record);
    let text = signed(TYPE, &kid(), serde_json::to_string(&receipt).unwrap().as_bytes());
    (receipt, text)
}

// P03: each byte counts, the signature's unused bits included.
#[test]
fn a_receipt_with_any_byte_changed_is_refused() {
    let (receipt, text) = good();
    let opened = open(&text, &keys(), Some(ISSUER)).unwrap();
    assert_eq!((&opened.receipt, opened.key), (&receipt, kid()));
    for at in 0..text.len() {
        for flip in [1, 2, 32, 128] {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= flip;
            let changed = String::from_utf8_lossy(&changed);
            assert!(open(&changed, &keys(), Some(ISSUER)).is_err(), "byte {at}, {flip}");
        }
        assert!(open(&text[..at], &keys(), None).is_err(), "cut at {at}");
    }
    assert!(open(&format!("{text}A"), &keys(), None).is_err());
}

// P03: what else the key, or another, can have signed.
#[test]
fn only_a_receipt_of_this_feed_is_a_receipt() {
    let (receipt, text) = good();
    let payload = serde_json::to_string(&receipt).unwrap();
    let code = |text: &str, keys: &[FeedKey], issuer| open(text, keys, issuer).unwrap_err().code();
    for typ in ["at+jwt", "JWT", "logout+jwt", "secevent+jwt", "", "OFFSWITCH-RECEIPT+JWT"] {
        let other = signed(typ, &kid(), payload.as_bytes());
        assert_eq!(code(&other, &keys(), None), "receipt_wrong_type", "{typ}");
    }
    assert_eq!(code(&text, &[], None), "receipt_unknown_key");
    let stranger = SnapshotSigner::new(ISSUER, vec![SigningKey::from_bytes(&[8; 32])]).feed_keys();
    assert_eq!(code(&text, &stranger, None), "receipt_unknown_key");
    // A key of another name, and the name of another key.
    assert_eq!(code(&signed(TYPE, "k1", payload.as_bytes()), &keys(), None), "receipt_unknown_key");
    assert_eq!(code(&text, &keys(), Some("https://other.example")), "receipt_other_issuer");
    for payload in [
        "",
        "[]",
        "{}",
        "null",
        r#"{"iss":"x"}"#,
        &payload.replace("\"at\":", "\"at\":\"\",\"a\":"),
    ] {
        let other = signed(TYPE, &kid(), payload.as_bytes());
        assert_eq!(code(&other, &keys(), None), "receipt_malformed", "{payload}");
    }
    // What a later version adds is signed, and shown.
    let more = payload.replacen('{', r#"{"later":{"holding":3},"#, 1);
    let opened = open(&signed(TYPE, &kid(), more.as_bytes()), &keys(), None).unwrap();
    assert_eq!(opened.claims["later"]["holding"], 3);
    assert_eq!(opened.receipt, receipt);
}

// P03: a receipt has what was named, and no more than a JWS may have.
#[test]
fn a_receipt_of_many_entries_is_bounded_and_counts_them() {
    let user = |number: u32| Revocation::User {
        issuer: None,
        sub: format!("{number}-{}", "x".repeat(240)),
        issued_before: None,
        exp: 0,
    };
    let record = Record { revocations: (0..100_000).map(user).collect(), ..everything() };
    let mut fold = empty();
    fold.push(7, &record.encode()).unwrap();
    let receipt = receipt(&fold, &record);
    assert_eq!(receipt.entries, 100_000);
    assert!((10..50).contains(&receipt.revoked.len()), "{}", receipt.revoked.len());
    let text = signed(TYPE, &kid(), serde_json::to_string(&receipt).unwrap().as_bytes());
    assert!(open(&text, &keys(), None).is_ok(), "{} bytes", text.len());
}

// P03: each kind of entry is found in a base and in a delta that cover it.
#[test]
fn a_snapshot_that_covers_a_receipt_has_its_entries() {
    let (mut fold, record) = (empty(), everything());
    let before = fold.reached().position;
    fold.push(7, &record.encode()).unwrap();
    let receipt = receipt(&fold, &record);
    let whole = Comparison::Contains { found: 6, expired: 0, apart: 1 };
    assert_eq!(compare(&receipt, &base(&fold)), whole);
    let signer = signer();
    let delta = |fold: &Fold, since| {
        let delta = fold.delta(since, fold.reached().position, VALIDITY).unwrap();
        Snapshot::open(signer.sign(&delta.borrow()), &keys()).unwrap()
    };
    assert_eq!(compare(&receipt, &delta(&fold, before)), whole);
    // Later ones have it too; what begins after it, or ends before it, says nothing.
    let end = fold.reached().position;
    fold.push(9, &Record { revocations: vec![Revocation::Sessions], ..record }.encode()).unwrap();
    assert_eq!(compare(&receipt, &base(&fold)), whole);
    assert_eq!(compare(&receipt, &delta(&fold, end)), Comparison::Elsewhere);
    assert_eq!(compare(&receipt, &base(&empty())), Comparison::Elsewhere);
}

// P03: a snapshot of another history contradicts, entry by entry, and at the same position by its chain hash.
#[test]
fn a_snapshot_of_another_history_contradicts_a_receipt() {
    let (_, record) = (empty(), everything());
    let mut fold = empty();
    fold.push(7, &record.encode()).unwrap();
    let receipt = receipt(&fold, &record);
    for (place, _) in record.revocations.iter().enumerate().take(6) {
        let mut fork = empty();
        let mut less = record.clone();
        less.revocations.remove(place);
        // At the same position the chain hash shows it already.
        fork.push(7, &less.encode()).unwrap();
        assert_eq!(compare(&receipt, &base(&fork)), Comparison::Forked, "{place}");
        fork.push(8, &Record { revocations: vec![Revocation::Sessions], ..everything() }.encode())
            .unwrap();
        assert_eq!(compare(&receipt, &base(&fork)), Comparison::Lacks(place), "{place}");
    }
    let other = Receipt { iss: "https://other.example".to_owned(), ..receipt.clone() };
    assert_eq!(compare(&other, &base(&fold)), Comparison::OtherFeed);
    // A later cut-off contains an earlier one; an earlier version does not contain a later one.
    let later = Receipt { position: Position { era: 1, seq: 7 }, chain: None, ..receipt };
    let mut early = empty();
    early.push(3, &record.encode()).unwrap();
    early
        .push(8, &Record { revocations: vec![Revocation::Sessions], ..everything() }.encode())
        .unwrap();
    assert_eq!(compare(&later, &base(&early)), Comparison::Lacks(2), "alice's version is 3");
}

// P03: an entry that no token can match any more is left out, and not missed.
#[test]
fn an_entry_that_has_expired_is_not_missed() {
    let (mut fold, record) = (empty(), everything());
    fold.push(7, &record.encode()).unwrap();
    let receipt = receipt(&fold, &record);
    let until =
        receipt.revoked.iter().filter_map(|entry| entry.get("until").and_then(Value::as_u64));
    let later = until.max().unwrap() + 1;
    let mut empty = empty();
    let none = Record { revocations: vec![Revocation::Sessions], ..everything() };
    empty.push(8, &none.encode()).unwrap();
    let validity = Validity { issued_at: later, valid_until: later + 60 };
    let signer = signer();
    let (_, bytes) = empty.compaction().run(later, validity, |content| signer.sign(content));
    let snapshot = Snapshot::open(bytes, &keys()).unwrap();
    // The key is never forgotten, so the base that lacks it is another one's.
    assert_eq!(compare(&receipt, &snapshot), Comparison::Lacks(4));
    let entries = receipt.revoked.iter().filter(|entry| entry.contains_key("until"));
    let entries = Receipt { revoked: entries.cloned().collect(), ..receipt };
    let expected = Comparison::Contains { found: 0, expired: 4, apart: 0 };
    assert_eq!(compare(&entries, &snapshot), expected);
}
