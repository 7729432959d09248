//! State between calls, and when it is forgotten: slots, tickets and arriving snapshots.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use offswitch_verifier::{
    CachingVerifier, Candidate, FloorChange, Good, Jws, MAX_ARRIVING, MAX_PENDING, MAX_SLOTS,
    MAX_TOKEN_BYTES, Objection, Presentation, Staleness,
};
use serde_json::json;
use support::feed::{History, Record};
use support::{ISSUER, Minter, NOW, claims_with, feed};

// A token that was valid is judged again by its slot alone, and refused once it is revoked.
#[test]
fn a_slot_judges_the_token_that_was_put_there_last() {
    let minter = Minter::new("EdDSA");
    let mut caching = caching(&minter);
    let (one, two) = (token(&minter, "token-1"), token(&minter, "token-2"));
    assert!(verify(&mut caching, &one, 3).is_ok());
    assert_eq!(judge(&caching, 3), Some("valid"));
    assert!(verify(&mut caching, &two, 3).is_ok());
    let history = History::new(1, vec![Record::Token(1)]);
    caching.apply(history.base(1), NOW).0.unwrap();
    assert_eq!(judge(&caching, 3), Some("valid"));
    assert_eq!(code(verify(&mut caching, &one, 4)), "revoked_token");
    assert_eq!(judge(&caching, 4), None);
}

// A refused token is not remembered, and displaces no other token from its slot.
#[test]
fn a_refused_token_leaves_its_slot_as_it_was() {
    let minter = Minter::new("EdDSA");
    let mut caching = caching(&minter);
    assert_eq!(judge(&caching, 0), None);
    verify(&mut caching, &token(&minter, "token-1"), 0).unwrap();
    let expired = minter.token(&claims_with("exp", json!(NOW - 31)));
    assert_eq!(code(verify(&mut caching, &expired, 0)), "expired");
    assert_eq!(judge(&caching, 0), Some("valid"));
    assert_eq!(judge(&caching, 1), None);
}

// When keys are withdrawn, the tokens that they signed are forgotten.
#[test]
fn a_slot_is_forgotten_when_the_keys_change() {
    let minter = Minter::new("EdDSA");
    let mut caching = caching(&minter);
    verify(&mut caching, &token(&minter, "token-1"), 0).unwrap();
    let Candidate { ticket, .. } = candidate(&mut caching, &token(&minter, "token-1"));
    caching.verifier_mut().set_keys(ISSUER, minter.keys());
    assert_eq!(judge(&caching, 0), None);
    assert!(
        caching
            .verify_vouched_for(Some(ticket), Presentation::Bearer, NOW, 0, Staleness::Configured)
            .is_none()
    );
}

#[test]
fn a_slot_beyond_the_last_is_not_remembered() {
    let minter = Minter::new("EdDSA");
    let mut caching = caching(&minter);
    for slot in [MAX_SLOTS, usize::MAX] {
        assert!(verify(&mut caching, &token(&minter, "token-1"), slot).is_ok());
        assert_eq!(judge(&caching, slot), None);
    }
}

// A host checks the signature instead of us: the ticket leads to the token that it was issued for.
#[test]
fn a_ticket_leads_to_the_token_it_was_issued_for() {
    let minter = Minter::new("ES256");
    let mut caching = caching(&minter);
    let token = token(&minter, "token-1");
    let found = candidate(&mut caching, &token);
    let signed = &token.as_bytes()[..found.signed_bytes];
    assert!(minter.verifying_key().accepts(&found.signature, signed));
    let Good { claims, is_behind } = vouch(&mut caching, &found, 5).unwrap().unwrap();
    assert_eq!(claims.payload()["jti"], "token-1");
    assert!(!is_behind);
    assert_eq!(judge(&caching, 5), Some("valid"));
    // Without a ticket: the caller has found that no candidate's key signed the token.
    let refused = caching
        .verify_vouched_for(None, Presentation::Bearer, NOW, 5, Staleness::Configured)
        .unwrap();
    assert_eq!(code(refused), "bad_signature");
    assert!(caching.candidate(token.as_bytes(), 1).is_none());
}

#[test]
fn the_oldest_of_too_many_tickets_is_forgotten() {
    let minter = Minter::new("EdDSA");
    let mut caching = caching(&minter);
    let tokens: Vec<_> =
        (0..=MAX_PENDING).map(|id| token(&minter, &format!("token-{id}"))).collect();
    let found: Vec<_> = tokens.iter().map(|token| candidate(&mut caching, token)).collect();
    assert!(vouch(&mut caching, &found[0], 0).is_none());
    for (number, found) in found.iter().enumerate().skip(1) {
        let good = vouch(&mut caching, found, number).unwrap().unwrap();
        assert_eq!(good.claims.payload()["jti"], format!("token-{number}"));
    }
}

// V12: the buffer of the bindings is one byte longer than the longest token.
#[test]
fn a_token_that_is_too_long_or_not_text_is_malformed() {
    let minter = Minter::new("EdDSA");
    let mut caching = caching(&minter);
    for bytes in [vec![b'a'; MAX_TOKEN_BYTES + 1], vec![0xff; 20], vec![0xff; MAX_TOKEN_BYTES + 1]]
    {
        let refused = caching.verify(&bytes, Presentation::Bearer, NOW, 0, Staleness::Configured);
        let Err(Objection::Refused(refusal)) = refused else { unreachable!() };
        assert_eq!(refusal.code(), "malformed");
        let is_long = bytes.len() > MAX_TOKEN_BYTES;
        assert_eq!(refusal.to_string().contains("more than 16384 bytes"), is_long, "{refusal}");
    }
}

// A token of a session that was opened after the held snapshot shows that the feed is behind.
#[test]
fn a_token_that_is_ahead_of_the_feed_is_valid_and_reported() {
    let minter = Minter::new("EdDSA");
    let mut caching = caching(&minter);
    let good = verify(&mut caching, &minter.token(&claims_with("ver", json!(9))), 0).unwrap();
    assert!(good.is_behind);
    assert_eq!(judge(&caching, 0), Some("valid but behind"));
}

// A keeper stores a snapshot only after a change that raises the floor.
#[test]
fn the_floor_is_raised_once_and_then_confirmed() {
    let minter = Minter::new("EdDSA");
    let mut caching = CachingVerifier::new(minter.cold_verifier());
    let history = History::new(1, vec![Record::Token(1), Record::Token(2)]);
    assert_eq!(caching.resume(history.base(1), NOW), Ok(FloorChange::Raised));
    assert_eq!(caching.resume(history.base(1), NOW), Ok(FloorChange::None));
    assert_eq!(caching.apply(history.base(2), NOW).1, FloorChange::Raised);
    assert_eq!(caching.apply(history.range(2, 2, NOW), NOW).1, FloorChange::Confirmed);
    assert_eq!(caching.apply(history.base(1), NOW).1, FloorChange::None);
    let (refused, change) = caching.apply(vec![0; 9], NOW);
    assert!(refused.is_err());
    assert_eq!(change, FloorChange::None);
}

// A snapshot is checked piece by piece; one that lost its place is passed on, and `apply` checks
// it.
#[test]
fn an_arriving_snapshot_is_checked_until_it_is_forgotten() {
    let minter = Minter::new("EdDSA");
    let mut caching = CachingVerifier::new(minter.cold_verifier());
    let good = History::new(1, vec![Record::Token(1)]).base(1);
    let mut wrong = good.clone();
    *wrong.last_mut().unwrap() ^= 1;
    for (bytes, is_good) in [(&good, true), (&wrong, false)] {
        let (head, rest) = bytes.split_at(100);
        let ticket = caching.begin(head).unwrap();
        caching.piece(ticket, rest);
        assert_eq!(caching.end(ticket).is_ok(), is_good);
        assert!(caching.end(ticket).is_ok());
    }
    let first = caching.begin(&wrong[..100]).unwrap();
    for _ in 0..MAX_ARRIVING {
        caching.begin(&good[..100]).unwrap();
    }
    caching.piece(first, &wrong[100..]);
    assert!(caching.end(first).is_ok());
    assert!(caching.apply(wrong, NOW).0.is_err());
    assert!(caching.begin(b"<!doctype html>").is_err());
}

// V17, S02: what is remembered of a base ends with the base. In many orders of bases and deltas of two eras, each
// token gets the same verdict by its slot as when it is read again.
#[test]
fn a_slot_is_judged_as_its_token_is_in_every_order_of_snapshots() {
    let minter = Minter::new("HS256");
    let records = [
        Record::Token(0),
        Record::Session(1),
        Record::User(2, 5),
        Record::UserBefore(3, NOW),
        Record::Token(4),
        Record::Epoch(NOW - 60),
    ];
    let first = History::new(1, records.to_vec());
    // The control plane does not know what era 1 lost: its deltas must stay in force.
    let second = History::new(2, vec![Record::Token(5), Record::User(0, 3)]);
    let mut snapshots: Vec<Vec<u8>> = (1..=first.end()).map(|to| first.base(to)).collect();
    snapshots.extend((1..first.end()).map(|from| first.range(from, from + 1, NOW + 1)));
    snapshots.extend([first.range(0, 3, NOW + 2), first.range(0, 6, NOW + 2)]);
    snapshots.extend([second.base(1), second.range(1, 2, NOW + 3), second.range(0, 2, NOW + 4)]);
    let tokens: Vec<String> = (0..6).map(|id| of_user(&minter, id)).collect();
    let (mut number, mut refused, mut valid) = (1_u64, 0, 0);
    for _ in 0..60 {
        let mut caching = caching(&minter);
        for (slot, token) in tokens.iter().enumerate() {
            // Most are remembered before they are revoked.
            verify(&mut caching, token, slot).unwrap();
        }
        for _ in 0..8 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let snapshot = &snapshots[(number >> 33) as usize % snapshots.len()];
            drop(caching.apply(snapshot.clone(), NOW + 5));
            for (slot, token) in tokens.iter().enumerate() {
                let remembered = judge(&caching, slot);
                let expected = code(verify(&mut caching, token, tokens.len()));
                assert!(
                    remembered.is_none_or(|found| found == expected),
                    "{slot}: {remembered:?} {expected}"
                );
                let counted = if expected == "valid" { &mut valid } else { &mut refused };
                *counted += 1;
            }
        }
    }
    assert!(valid > 500 && refused > 500, "{valid} {refused}");
}

// A standing of one verifier says nothing about the base of another.
#[test]
fn what_one_feed_lacks_another_may_hold() {
    let minter = Minter::new("EdDSA");
    let (one, mut other) = (feed::verifier(&minter), feed::verifier(&minter));
    let token = token(&minter, "token-1");
    let (standing, _) = one.admit(&Jws::parse(&token).unwrap()).unwrap();
    let shown = || Presentation::Bearer;
    assert_eq!(one.judge(&standing, shown(), NOW, Staleness::Configured), Ok(()));
    let history = History::new(1, vec![Record::Token(1)]);
    other.apply(history.base(1), NOW).unwrap();
    assert!(other.judge(&standing, shown(), NOW, Staleness::Configured).is_err());
    assert!(other.judge(&standing.clone(), shown(), NOW, Staleness::Configured).is_err());
    assert_eq!(one.judge(&standing, shown(), NOW, Staleness::Configured), Ok(()));
}

/// A token whose ids all have this number.
fn of_user(minter: &Minter, id: u8) -> String {
    let mut claims = claims_with("jti", json!(format!("token-{id}")));
    claims["sid"] = json!(format!("session-{id}"));
    claims["sub"] = json!(format!("user-{id}"));
    claims["ver"] = json!(0);
    minter.token(&claims)
}

fn caching(minter: &Minter) -> CachingVerifier {
    CachingVerifier::new(feed::verifier(minter))
}

fn token(minter: &Minter, jti: &str) -> String {
    let mut claims = claims_with("jti", json!(jti));
    claims["ver"] = json!(0);
    minter.token(&claims)
}

fn verify(caching: &mut CachingVerifier, token: &str, slot: usize) -> Result<Good, Objection> {
    caching.verify(token.as_bytes(), Presentation::Bearer, NOW, slot, Staleness::Configured)
}

fn candidate(caching: &mut CachingVerifier, token: &str) -> Candidate {
    caching.candidate(token.as_bytes(), 0).unwrap()
}

fn vouch(
    caching: &mut CachingVerifier,
    found: &Candidate,
    slot: usize,
) -> Option<Result<Good, Objection>> {
    caching.verify_vouched_for(
        Some(found.ticket),
        Presentation::Bearer,
        NOW,
        slot,
        Staleness::Configured,
    )
}

fn judge(caching: &CachingVerifier, slot: usize) -> Option<&'static str> {
    caching.judge(slot, Presentation::Bearer, NOW, Staleness::Configured).map(|judged| match judged
    {
        Ok(false) => "valid",
        Ok(true) => "valid but behind",
        Err(Objection::Refused(refusal)) => refusal.code(),
        Err(Objection::Undecided(undecided)) => undecided.code(),
    })
}

fn code(judged: Result<Good, Objection>) -> &'static str {
    match judged {
        Ok(_) => "valid",
        Err(Objection::Refused(refusal)) => refusal.code(),
        Err(Objection::Undecided(undecided)) => undecided.code(),
    }
}
