//! The fold and the snapshots made from it, as properties.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use offswitch_core::fold::{Fold, Trimming, Validity};
use offswitch_core::limits::leaves_at;
use offswitch_core::log::Checkpoint;
use offswitch_core::record::{Record, Revocation};
use offswitch_snapshot::{Position, Salt, SnapshotSigner};
use offswitch_verifier::Feed;
use proptest::prelude::*;

const ISSUER: &str = "https://auth.example";
const NOW: u64 = 1_800_000_000;
const VALIDITY: Validity = Validity { issued_at: NOW, valid_until: NOW + 60 };

fn signer() -> SnapshotSigner {
    SnapshotSigner::new(ISSUER, vec![SigningKey::from_bytes(&[7; 32])])
}

fn feed() -> Feed {
    Feed::new(ISSUER.to_owned(), signer().feed_keys())
}

fn empty() -> Fold {
    Fold::begin(Salt([3; 16]), ISSUER, 1, &Checkpoint::default()).unwrap()
}

/// A fold of a control plane whose tokens live for a second, so that an entry's `exp` decides.
fn short_lived() -> Fold {
    let mut fold = empty();
    fold.push(1, &record(vec![Revocation::Horizon { seconds: 1 }])).unwrap();
    fold
}

fn record(revocations: Vec<Revocation>) -> Vec<u8> {
    Record { at: NOW, by: "test".to_owned(), reason: None, revocations }.encode()
}

fn base(fold: &mut Fold, now: u64) -> Vec<u8> {
    let signer = signer();
    let (main, bytes) = fold.compaction().run(now, VALIDITY, |content| signer.sign(content));
    fold.compacted_to(main, NOW);
    bytes
}

fn delta(fold: &Fold, since: Position) -> Option<Vec<u8>> {
    let signer = signer();
    let delta = fold.delta(since, fold.reached().position, VALIDITY)?;
    Some(signer.sign(&delta.borrow()))
}

// What ends sessions is known for the records that are kept one by one, and for no others.
#[test]
fn a_fold_knows_whether_it_has_ended_sessions_lately() {
    let mut fold = empty();
    let token = |jti: &str| Revocation::Token { issuer: None, jti: jti.to_owned(), exp: NOW + 60 };
    let foreign = Some("https://idp.example".to_owned());
    let user = |issuer: &Option<String>| Revocation::User {
        issuer: issuer.clone(),
        sub: "alice".to_owned(),
        issued_before: issuer.as_ref().map(|_| NOW),
        exp: 0,
    };
    let at = |seq| Position { era: 1, seq };
    for (seq, entries) in [
        (1, vec![token("a")]),
        (2, vec![token("b"), user(&None)]),
        (3, vec![token("c"), user(&foreign)]),
        (4, vec![token("d")]),
    ] {
        fold.push(seq, &record(entries)).unwrap();
    }
    let reached = [0, 1, 2, 3, 4].map(|seq| fold.reached_without_ending(at(seq)));
    assert_eq!(reached, [None, None, Some(at(4)), Some(at(4)), Some(at(4))]);
    assert_eq!(fold.reached_without_ending(at(5)), None, "a position that it has not reached");
    assert_eq!(fold.reached_without_ending(Position { era: 2, seq: 4 }), None, "another log");
    let checkpoint = Checkpoint { seq: 9, bytes: vec![] };
    let later = Fold::begin(Salt([3; 16]), ISSUER, 1, &checkpoint).unwrap();
    assert_eq!(later.reached_without_ending(at(4)), None, "it was trimmed");
    assert_eq!(later.reached_without_ending(at(9)), Some(at(9)));
}

fn revocation() -> impl Strategy<Value = Revocation> {
    let id = (0..40u8).prop_map(|id| format!("id{id}"));
    let exp = NOW + 1000..NOW + 2000;
    prop_oneof![
        (id.clone(), exp.clone()).prop_map(|(jti, exp)| Revocation::Token {
            issuer: None,
            jti,
            exp
        }),
        (id.clone(), exp.clone()).prop_map(|(sid, exp)| Revocation::Session {
            issuer: None,
            sid,
            exp
        }),
        (id.clone(), exp).prop_map(|(sub, exp)| Revocation::User {
            issuer: None,
            sub,
            issued_before: None,
            exp,
        }),
        id.prop_map(|kid| Revocation::Key { issuer: None, kid }),
        (NOW..NOW + 50).prop_map(|epoch| Revocation::Epoch { issuer: None, epoch }),
    ]
}

/// The answers of a feed about everything that the strategy can generate.
fn view(feed: &Feed) -> BTreeMap<String, String> {
    let mut view = BTreeMap::from([("rules".to_owned(), format!("{:?}", feed.rules_of(ISSUER)))]);
    for id in (0..40).map(|id| format!("id{id}")) {
        let token = feed.is_denied(ISSUER, "jti", &id);
        let session = feed.is_denied(ISSUER, "sid", &id);
        let user = feed.cutoff(ISSUER, "sub", &id);
        let dead = feed.is_dead(ISSUER, &id);
        view.insert(id, format!("{token} {session} {user:?} {dead}"));
    }
    view
}

proptest! {
    // S06: with any sequence of snapshots, a follower ends in the state of a rebuilt base.
    #[test]
    fn every_follower_ends_in_the_state_of_a_rebuilt_base(
        steps in prop::collection::vec(
            (prop::collection::vec(revocation(), 1..4), any::<bool>(), any::<bool>()), 1..30,
        ),
    ) {
        let mut fold = empty();
        let mut follower = feed();
        follower.apply(base(&mut fold, NOW), NOW).unwrap();
        for (revocations, compacts, follows) in steps {
            let seq = fold.reached().position.seq + 1;
            fold.push(seq, &record(revocations)).unwrap();
            if compacts {
                base(&mut fold, NOW);
            }
            if follows {
                let bytes = delta(&fold, follower.since().unwrap()).unwrap();
                follower.apply(bytes, NOW).unwrap();
            }
        }
        if let Some(bytes) = delta(&fold, follower.since().unwrap()) {
            follower.apply(bytes, NOW).unwrap();
        }
        let mut rebuilt = feed();
        rebuilt.apply(base(&mut fold, NOW), NOW).unwrap();
        prop_assert_eq!(follower.position(), rebuilt.position());
        prop_assert_eq!(view(&follower), view(&rebuilt));
    }

    // S05: every later base contains an entry that is still needed.
    #[test]
    fn nothing_that_is_needed_leaves_the_base(
        batches in prop::collection::vec(prop::collection::vec(revocation(), 1..5), 1..10),
        later in 0u64..3000,
    ) {
        let mut fold = short_lived();
        let mut expiries: BTreeMap<String, u64> = BTreeMap::new();
        for (index, revocations) in batches.into_iter().enumerate() {
            for revocation in &revocations {
                if let Revocation::Token { jti, exp, .. } = revocation {
                    let held = expiries.entry(jti.clone()).or_default();
                    *held = (*held).max(*exp);
                }
            }
            fold.push(index as u64 + 2, &record(revocations)).unwrap();
            base(&mut fold, NOW);
        }
        let now = NOW + later;
        let mut verifier = feed();
        verifier.apply(base(&mut fold, now), now).unwrap();
        for (jti, exp) in expiries {
            let denied = verifier.is_denied(ISSUER, "jti", &jti);
            prop_assert_eq!(denied, leaves_at(exp) >= now, "{} at {}", jti, later);
        }
    }

    // S04: two processes that fold the same log publish the same content at each position.
    #[test]
    fn two_folds_of_one_log_have_one_chain_hash(
        batches in prop::collection::vec(prop::collection::vec(revocation(), 1..5), 1..20),
    ) {
        let (mut one, mut other) = (empty(), empty());
        for (index, revocations) in batches.into_iter().enumerate() {
            let bytes = record(revocations);
            one.push(index as u64 + 1, &bytes).unwrap();
            other.push(index as u64 + 1, &bytes).unwrap();
            if index % 3 == 0 {
                base(&mut other, NOW);
            }
            prop_assert_eq!(one.reached(), other.reached());
        }
    }
}

// R04: an entry is kept until exp plus the largest leeway and a margin have passed, on one clock.
#[test]
fn an_entry_outlives_its_token_by_leeway_and_margin() {
    let exp = NOW + 100;
    let mut fold = short_lived();
    let token = Revocation::Token { issuer: None, jti: "t".to_owned(), exp };
    fold.push(2, &record(vec![token])).unwrap();
    for (now, is_kept) in [(exp, true), (exp + 300, true), (exp + 600, true), (exp + 601, false)] {
        let mut verifier = feed();
        verifier.apply(base(&mut fold.clone(), now), now).unwrap();
        assert_eq!(verifier.is_denied(ISSUER, "jti", "t"), is_kept, "{now}");
    }
}

#[test]
fn trimming_takes_only_the_past_and_keeps_dead_keys_epoch_and_chain() {
    let mut whole = empty();
    let token = |jti: &str, exp| Revocation::Token { issuer: None, jti: jti.to_owned(), exp };
    let log: Vec<Vec<u8>> = [
        vec![token("old", NOW)],
        vec![Revocation::Key { issuer: None, kid: "dead".to_owned() }],
        vec![Revocation::Epoch { issuer: None, epoch: NOW - 5 }],
        vec![token("live", LATER + 5000)],
        vec![token("old too", NOW)],
    ]
    .into_iter()
    .map(record)
    .collect();
    let mut trimming = Trimming::begin(Salt([3; 16]), ISSUER, &Checkpoint::default()).unwrap();
    let mut walking = true;
    for (seq, bytes) in (1..).zip(&log) {
        whole.push(seq, bytes).unwrap();
        walking = walking && trimming.take(seq, bytes, LATER).unwrap();
    }
    let checkpoint = trimming.checkpoint(LATER);
    assert_eq!(checkpoint.seq, 3);
    let mut rest = Fold::begin(Salt([3; 16]), ISSUER, 1, &checkpoint).unwrap();
    for (seq, bytes) in (1..).zip(&log).skip(3) {
        rest.push(seq, bytes).unwrap();
    }
    assert_eq!(rest.reached(), whole.reached());
    assert_eq!(rest.epoch(), NOW - 5);
    assert!(rest.is_dead("dead"));
    assert!(!rest.lacks(&whole, LATER));
    assert!(rest.lacks(&whole, NOW));
}

// Records that are a week old are removed together with a few entries that are still needed; an
// entry that is named twice stays for the longer of its times. Too many such entries for a
// checkpoint end the walk, and so does a younger record.
#[test]
fn trimming_carries_few_living_entries_of_old_records_and_no_more() {
    let token = |jti: &str, exp| Revocation::Token { issuer: None, jti: jti.to_owned(), exp };
    let refresh = |exp| Revocation::Refresh { sid: "s".to_owned(), exp };
    let user = |number| Revocation::User {
        issuer: None,
        sub: format!("u{number}"),
        issued_before: None,
        exp: FAR,
    };
    let log = [
        record(vec![token("a", FAR + 5), refresh(FAR + 5), token("past", NOW)]),
        record(vec![token("a", FAR), refresh(FAR)]),
        record((0..50).map(user).collect()),
        record((0..40).rev().map(user).collect()),
    ];
    let week_later = NOW + 7 * 24 * 60 * 60 + 1;
    let begin = || Trimming::begin(Salt([3; 16]), ISSUER, &Checkpoint::default()).unwrap();
    assert!(!begin().take(1, &log[0], week_later - 1).unwrap());
    let (mut trimming, mut whole) = (begin(), empty());
    for (seq, bytes) in (1..).zip(&log) {
        assert!(trimming.take(seq, bytes, week_later).unwrap());
        whole.push(seq, bytes).unwrap();
    }
    let many = record((0..10_000).map(|one| token(&one.to_string(), FAR)).collect());
    assert!(!trimming.take(5, &many, week_later).unwrap());
    let checkpoint = trimming.checkpoint(week_later);
    assert_eq!(checkpoint.seq, 4);
    let mut rest = Fold::begin(Salt([3; 16]), ISSUER, 1, &checkpoint).unwrap();
    base(&mut whole, week_later);
    assert_eq!(rest.entries(), whole.entries());
    assert_eq!(rest.reached(), whole.reached());
    for now in [week_later, FAR, leaves_at(FAR + 5)] {
        assert!(!rest.lacks(&whole, now) && !whole.lacks(&rest, now));
    }
    let contents = [&mut rest, &mut whole].map(|fold| base(fold, week_later));
    assert_eq!(contents[0], contents[1]);
    assert!(rest.is_session_over("s", "unlisted", 9) && rest.is_session_over("t", "u0", 3));
    assert!(!rest.is_session_over("t", "u0", 4) && rest.is_session_over("t", "u49", 2));
    // The next trim carries them again, until they have expired.
    let again = Trimming::begin(Salt([3; 16]), ISSUER, &checkpoint).unwrap();
    assert_eq!(again.checkpoint(week_later), checkpoint);
    let later = Trimming::begin(Salt([3; 16]), ISSUER, &checkpoint).unwrap();
    let later = later.checkpoint(leaves_at(FAR) + 1);
    assert_eq!(Fold::begin(Salt([3; 16]), ISSUER, 1, &later).unwrap().entries(), 1);
}

#[test]
fn a_log_that_goes_back_or_is_damaged_is_not_folded() {
    let mut fold = empty();
    let bytes = record(vec![Revocation::Epoch { issuer: None, epoch: 1 }]);
    let begin = fold.reached();
    assert!(fold.push(0, &bytes).is_err());
    assert!(fold.push(1, b"").is_err());
    assert!(fold.push(1, &[bytes.as_slice(), b"x"].concat()).is_err());
    assert!(fold.push(1, &bytes[..bytes.len() - 1]).is_err());
    assert_eq!(fold.reached(), begin);
    let checkpoint = Checkpoint { seq: 1, bytes: vec![1, 2, 3] };
    assert!(Fold::begin(Salt::default(), ISSUER, 1, &checkpoint).is_err());
}

// R02, R17: after a lossy failover to a server whose clock is behind, a user is revoked before any process
// has noticed, with a smaller seq than the lost log had. Sessions of the lost part are over all the same.
// Sessions that are opened once the two logs are joined are not, nor are those of a user whom both logs
// revoke.
#[test]
fn a_user_revoked_in_a_fork_has_no_session_of_the_lost_part() {
    let user = |sub: &str| {
        let (sub, issued_before) = (sub.to_owned(), None);
        record(vec![Revocation::User { issuer: None, sub, issued_before, exp: 0 }])
    };
    let mut published = empty();
    for (seq, sub) in [(50, "bob"), (57, "x"), (64, "y")] {
        published.push(seq, &user(sub)).unwrap();
    }
    let mut found = empty();
    for (seq, sub) in [(50, "bob"), (57, "x"), (58, "alice")] {
        found.push(seq, &user(sub)).unwrap();
    }
    assert!(!found.is_session_over("s", "alice", 64), "what is to be healed");
    found.join_fork(&published, NOW);
    let begin = found.reached().position.seq;
    assert!(found.is_session_over("s", "alice", 64) && !found.is_session_over("s", "alice", begin));
    assert!(begin > 64 + 1000, "records that another process knows");
    assert!(!found.is_session_over("s", "bob", 50) && found.is_session_over("s", "y", 63));
    assert!(!found.lacks(&published, NOW));
    // A red button of the fork.
    let mut found = empty();
    found.push(51, &record(vec![Revocation::Sessions])).unwrap();
    found.join_fork(&published, NOW);
    assert!(found.is_session_over("s", "carol", 64));
    assert!(!found.is_session_over("s", "carol", found.reached().position.seq));
}

/// When long-lived tokens of the tests expire.
const FAR: u64 = NOW + 366 * 24 * 60 * 60;

/// When a request of `NOW` can no longer be repeated.
const LATER: u64 = NOW + 100_000;

// S04: a delta to an earlier position stays the same after any later record: it contains neither
// the red button's epoch nor a key that died later.
#[test]
fn a_delta_to_an_earlier_position_is_the_same_after_later_records() {
    let mut fold = empty();
    let begin = fold.reached().position;
    let token = Revocation::Token { issuer: None, jti: "a".to_owned(), exp: NOW + 60 };
    fold.push(1, &record(vec![token])).unwrap();
    let to = fold.reached().position;
    let (delta, heartbeat) = (fold.delta(begin, to, VALIDITY), fold.delta(to, to, VALIDITY));
    assert!(delta.is_some() && heartbeat.is_some());
    fold.push(2, &record(vec![Revocation::Epoch { issuer: None, epoch: NOW + 9 }])).unwrap();
    assert_eq!(fold.delta(begin, to, VALIDITY), delta);
    assert_eq!(fold.delta(to, to, VALIDITY), heartbeat);
    let further = fold.delta(begin, fold.reached().position, VALIDITY);
    assert_eq!(further.map(|delta| delta.borrow().issuers[0].epoch), Some(NOW + 9));
}
