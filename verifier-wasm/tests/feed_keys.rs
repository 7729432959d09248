//! A stolen feed key, and a feed that changes its key.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use offswitch_verifier::Verifier;
use offswitch_verifier::snapshot::{Content, Cutoff, Fingerprint, Floor, Position, SnapshotSigner};
use support::feed::{FEED, History, Record, SALT, rules, signing_key};
use support::{ISSUER, Minter, NOW, claims, encode};

// S13, D04: a thief signs the largest numbers with a stolen feed key. Each is refused, the state
// stays, and no floor is raised that would block the verifier after a restart.
#[test]
fn a_snapshot_with_an_era_or_epoch_beyond_the_clock_changes_nothing() {
    let mut verifier = verifier(&[1]);
    verifier.apply(history().base(3), NOW).unwrap();
    assert_eq!(code(&verifier, NOW), "revoked_token");
    let floor = verifier.feed().floor();
    let forged: [(&str, Content<'_>); 6] = [
        ("era", content(u64::MAX, 1, 0)),
        ("era", content(NOW + DAY + 1, 1, 0)),
        ("era", content(1 << 53, 1, 0)),
        ("epoch", content(1, 9, u64::MAX)),
        ("epoch", content(1, 9, NOW + DAY + 1)),
        ("epoch", content(1, 9, 1 << 53)),
    ];
    for (field, content) in forged {
        let bytes = signer(&[1]).sign(&content);
        let error = verifier.apply(bytes.clone(), NOW).unwrap_err();
        assert_eq!(error.code(), "snapshot_implausible", "{error}");
        let limit = NOW + DAY;
        let found = if field == "era" { content.to.position.era } else { content.issuers[0].epoch };
        let text = format!("the snapshot's {field} is {found}, accepted is at most {limit}");
        assert_eq!(error.to_string(), text);
        assert!(!error.needs_base());
        let kept = verifier.feed_mut().resume(bytes, NOW).unwrap_err();
        assert_eq!(kept, error);
        assert_eq!(verifier.feed().floor(), floor);
        assert_eq!(code(&verifier, NOW), "revoked_token");
    }
    // The feed continues as before.
    verifier.apply(history().range(3, 4, NOW + 1), NOW + 1).unwrap();
    assert_eq!(code(&verifier, NOW + 1), "revoked_token");
}

// S13, D04: an era that began just now, a day ahead of a slow clock, or at 1, is accepted.
#[test]
fn an_era_up_to_a_day_ahead_of_the_clock_is_followed() {
    for era in [1, 2, NOW - DAY, NOW, NOW + 300, NOW + DAY] {
        let mut verifier = verifier(&[1]);
        verifier.apply(signer(&[1]).sign(&content(era, 1, 0)), NOW).unwrap();
        assert_eq!(code(&verifier, NOW), "valid", "{era}");
    }
}

// S13, D04: a snapshot with numbers that no log reaches and no token could satisfy is malformed.
#[test]
fn a_seq_a_version_or_a_time_of_2_to_the_53_is_malformed() {
    let limit = 1u64 << 53;
    let last = |field: &str, number: u64| {
        let floor = match field {
            "version" => Cutoff { minimum_version: number, not_before: 1 },
            _ => Cutoff { minimum_version: 1, not_before: number },
        };
        // Alone, and together with a small number: narrow columns and wide ones.
        let alone = vec![(user(1), floor)];
        let small = Cutoff { minimum_version: 1, not_before: 1 };
        let mut both = vec![(user(1), floor), (user(2), small)];
        both.sort_by_key(|(user, _)| *user);
        [alone, both]
    };
    for field in ["version", "time"] {
        for (number, is_good) in
            [(limit - 1, true), (limit, false), (limit + 1, false), (u64::MAX, false)]
        {
            for users in last(field, number) {
                let content = Content { cutoffs: &users, ..content(1, 1, 0) };
                let applied = verifier(&[1]).apply(signer(&[1]).sign(&content), NOW);
                assert_eq!(applied.is_ok(), is_good, "{field} {number}: {applied:?}");
            }
        }
    }
    for (seq, is_good) in [(limit - 1, true), (limit, false), (u64::MAX, false)] {
        let applied = verifier(&[1]).apply(signer(&[1]).sign(&content(1, seq, 0)), NOW);
        assert_eq!(applied.is_ok(), is_good, "{seq}: {applied:?}");
        if let Err(error) = applied {
            assert_eq!(error.code(), "snapshot_malformed");
            assert_eq!(error.to_string(), "the snapshot is malformed: a number of 2^53 or more");
        }
    }
}

// S13: while both keys sign, a verifier with the old key, the new one, or both follows the feed;
// before and after, only verifiers with the signing key do.
#[test]
fn verifiers_with_the_old_the_new_or_both_keys_follow_a_feed_that_changes_its_key() {
    let phases: [(&[u8], [bool; 3]); 3] =
        [(&[1], [true, false, true]), (&[1, 2], [true, true, true]), (&[2], [false, true, true])];
    let history = history();
    for (signers, expected) in phases {
        let signer = signer(signers);
        for (trusted, is_followed) in [&[1][..], &[2], &[1, 2]].into_iter().zip(expected) {
            let mut verifier = verifier(trusted);
            let base = history.range_signed(&signer, 0, 3, NOW);
            let found = verifier.apply(base, NOW).map_err(|error| error.code());
            assert_eq!(found.is_ok(), is_followed, "{signers:?} {trusted:?} {found:?}");
            let code = if is_followed { "revoked_token" } else { "no_snapshot" };
            assert_eq!(self::code(&verifier, NOW), code);
        }
    }
    // One verifier with both keys follows all the time.
    let mut verifier = verifier(&[1, 2]);
    let step = |verifier: &mut Verifier, signers: &[u8], from, to| {
        verifier.apply(history.range_signed(&signer(signers), from, to, NOW), NOW).unwrap();
    };
    step(&mut verifier, &[1], 0, 2);
    step(&mut verifier, &[1, 2], 2, 3);
    step(&mut verifier, &[2], 3, 4);
    assert_eq!(verifier.feed().position().unwrap().seq, 4);
}

// S13: a verifier that is three rotations behind reports why it no longer follows, keeps its state,
// and catches up once it is configured with the current key.
#[test]
fn a_verifier_three_rotations_behind_is_undecided_until_it_gets_the_current_key() {
    let history = history();
    let mut behind = verifier(&[1]);
    behind.apply(history.range_signed(&signer(&[1]), 0, 2, NOW), NOW).unwrap();
    let kept = history.range_signed(&signer(&[1]), 2, 2, NOW);
    let now = NOW + 3600;
    let present = history.range_signed(&signer(&[3, 4]), 0, 4, now);
    let error = behind.apply(present.clone(), now).unwrap_err();
    assert_eq!(error.code(), "snapshot_unknown_key");
    assert_eq!(code(&behind, now), "expired");
    assert_eq!(code(&behind, NOW + 61), "revoked_token");
    // Restarted with the current key; its store has a snapshot that the old key signed.
    let mut renewed = verifier(&[4]);
    assert_eq!(renewed.feed_mut().resume(kept, now).unwrap_err().code(), "snapshot_unknown_key");
    renewed.apply(present, now).unwrap();
    assert_eq!(renewed.feed().position().unwrap().seq, 4);
}

// S13: a thief signed the highest position that is accepted, and a verifier stored it. Once the key
// is no longer trusted, nothing of that is left, also with the verifier's store.
#[test]
fn a_verifier_recovers_from_a_stolen_feed_key_once_it_is_no_longer_trusted() {
    let forged = signer(&[1]).sign(&content(NOW + DAY, (1 << 53) - 1, 0));
    let mut blocked = verifier(&[1]);
    blocked.apply(history().base(3), NOW).unwrap();
    blocked.apply(forged.clone(), NOW).unwrap();
    // The forged base has no revocations: this is the damage of a stolen feed key until it is
    // replaced.
    assert_eq!(code(&blocked, NOW), "valid");
    let both = history().range_signed(&signer(&[1, 2]), 0, 3, NOW);
    assert_eq!(blocked.apply(both.clone(), NOW).map(|applied| applied.code()), Ok("ignored"));
    let mut recovered = verifier(&[2]);
    let kept = recovered.feed_mut().resume(forged.clone(), NOW).unwrap_err();
    assert_eq!(kept.code(), "snapshot_unknown_key");
    recovered.apply(both, NOW).unwrap();
    assert_eq!(code(&recovered, NOW), "revoked_token");
    assert_eq!(recovered.apply(forged, NOW).unwrap_err().code(), "snapshot_unknown_key");
    assert_eq!(code(&recovered, NOW), "revoked_token");
}

fn history() -> History {
    let tokens = [1, 2, 3, 4].map(Record::Token);
    History::new(1, tokens.to_vec())
}

fn code(verifier: &Verifier, now: u64) -> &'static str {
    verifier.verify(&Minter::new("EdDSA").token(&claims()), now).code()
}

/// A base without entries.
fn content(era: u64, seq: u64, epoch: u64) -> Content<'static> {
    let floor = |seq| Floor { position: Position { era, seq }, chain: Default::default() };
    Content {
        from: floor(0),
        to: floor(seq),
        issued_at: NOW,
        valid_until: NOW + 60,
        salt: SALT,
        issuers: vec![rules(epoch)],
        ..Content::default()
    }
}

fn user(number: u8) -> u64 {
    Fingerprint::of_claim(SALT, ISSUER, "sub", &format!("user-{number}")).0
}

fn signer(seeds: &[u8]) -> SnapshotSigner {
    SnapshotSigner::new(FEED, seeds.iter().map(|seed| signing_key(*seed)).collect())
}

/// A verifier that trusts the feed keys of these seeds.
fn verifier(trusted: &[u8]) -> Verifier {
    let minter = Minter::new("EdDSA");
    let mut config = support::config(vec![minter.rules()]);
    let key = |seed: &u8| encode(signing_key(*seed).verifying_key().as_bytes());
    config.feed.public_keys = trusted.iter().map(key).collect();
    let mut verifier = Verifier::new(config).unwrap();
    verifier.set_keys(ISSUER, minter.keys());
    verifier
}

const DAY: u64 = 86_400;
