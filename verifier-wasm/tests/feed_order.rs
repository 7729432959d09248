//! Snapshots in any order: positions only grow, no revocation is undone, a fork is noticed.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod support;

use offswitch_verifier::snapshot::{Floor, Position, SnapshotSigner};
use offswitch_verifier::{Applied, ApplyError, Feed};
use proptest::prelude::*;
use support::feed::{FEED, History, Model, Record, follower, signing_key};
use support::{Minter, NOW, claims, feed};

// S03: every order of eight snapshots of two eras, with a restart at a point that varies between
// orders. The feed holds exactly the state of the log at its position; position and floor only
// grow; revoked tokens stay revoked, also after the restart once the feed is ready.
#[test]
fn no_order_of_eight_snapshots_and_no_restart_moves_a_feed_back() {
    let (first, second) = two_eras();
    let snapshots = [
        first.base(2),
        first.range(2, 4, NOW + 1),
        first.range(4, 6, NOW + 2),
        first.range(6, 6, NOW + 3),
        first.range(0, 5, NOW + 4),
        first.range(0, 6, NOW + 5),
        second.range(0, 1, NOW + 6),
        second.range(1, 3, NOW + 7),
    ];
    let orders = permutations(snapshots.len());
    assert_eq!(orders.len(), 40_320);
    let halves = orders.split_at(orders.len() / 2);
    std::thread::scope(|scope| {
        for half in [halves.0, halves.1] {
            let (snapshots, first, second) = (&snapshots, &first, &second);
            scope.spawn(move || {
                for (number, order) in half.iter().enumerate() {
                    follow(snapshots, order, number % (snapshots.len() + 1), [first, second]);
                }
            });
        }
    });
}

/// Delivers `order`, restarting before delivery number `restart`, and checks after every step.
fn follow(snapshots: &[Vec<u8>], order: &[usize], restart: usize, eras: [&History; 2]) {
    let mut feed = follower();
    let (mut floor, mut position, mut seen) = (Floor::default(), None, Model::default());
    for (step, number) in order.iter().enumerate() {
        if step == restart {
            feed = follower();
            let history = eras[usize::from(floor.position.era == 2)];
            let seq = usize::try_from(floor.position.seq).unwrap();
            feed.resume(history.range(seq, seq, NOW), NOW).unwrap();
            position = None;
        }
        let applied = feed.apply(snapshots[*number].clone(), NOW + 10);
        assert!(feed.floor().position >= floor.position, "{order:?} {restart}");
        assert!(feed.position() >= position, "{order:?} {restart}");
        (floor, position) = (feed.floor(), feed.position());
        let state = Model::of(&feed);
        match position {
            None => assert_eq!(state, Model::default(), "{applied:?}"),
            Some(Position { era, seq }) => {
                let history = eras[usize::from(era == 2)];
                let expected = history.model(usize::try_from(seq).unwrap());
                assert_eq!(state, expected, "{order:?} {restart}");
                assert!(!feed.is_ready() || state.covers(&seen), "{order:?} {restart}");
                assert_eq!(feed.is_ready(), position == Some(floor.position));
            }
        }
        if feed.is_ready() {
            seen = state;
        }
        assert!(!feed.is_forked());
    }
}

// S03: a resumed feed decides nothing before it reaches its floor again, and the floor only grows.
#[test]
fn a_resumed_verifier_is_undecided_until_it_reaches_its_floor() {
    let minter = Minter::new("EdDSA");
    let token = minter.token(&claims());
    let (history, _) = two_eras();
    let mut verifier = minter.cold_verifier();
    verifier.feed_mut().resume(history.range(4, 5, NOW), NOW).unwrap();
    verifier.feed_mut().resume(history.base(3), NOW).unwrap();
    assert_eq!(verifier.feed().floor(), history.floor(5));
    for (from, to, code) in [(0, 3, "no_snapshot"), (3, 4, "no_snapshot"), (4, 5, "revoked_token")]
    {
        verifier.apply(history.range(from, to, NOW), NOW).unwrap();
        let spared = minter.token(&support::claims_with("jti", "token-15".into()));
        let spared = verifier.verify(&spared, NOW).code();
        assert_eq!(spared, if to < 5 { "no_snapshot" } else { "valid" });
        if to == 5 {
            assert_eq!(verifier.verify(&token, NOW).code(), code);
        }
    }
    // The floor outlives every entry that expires.
    assert_eq!(verifier.verify(&token, NOW + 1_000_000).code(), "expired");
    assert_eq!(verifier.feed().floor(), history.floor(5));
}

// S04: the same position with another chain hash: a delta is refused, a base is a fork, and tokens
// that were valid become undecided.
#[test]
fn another_history_at_a_known_position_is_a_fork() {
    let minter = Minter::new("EdDSA");
    let token = minter.token(&claims());
    let (ours, theirs) = forked_histories();
    for restarted in [false, true] {
        let mut verifier = minter.cold_verifier();
        if restarted {
            verifier.feed_mut().resume(ours.range(6, 6, NOW), NOW).unwrap();
            verifier.apply(ours.base(3), NOW).unwrap();
            verifier.apply(ours.range(3, 6, NOW), NOW).unwrap();
        } else {
            verifier.apply(ours.base(6), NOW).unwrap();
        }
        let before = Model::of(verifier.feed());
        for (from, to) in [(6, 7), (6, 6), (3, 6), (5, 6)] {
            let error = verifier.apply(theirs.range(from, to, NOW), NOW).unwrap_err();
            assert_eq!(error, ApplyError::Fork { held: ours.floor(6).position }, "{from} {to}");
            assert!(error.needs_base() && !verifier.feed().is_forked());
            assert_eq!(verifier.verify(&token, NOW).code(), "valid");
        }
        let error = verifier.apply(theirs.base(6), NOW).unwrap_err();
        assert_eq!(error.code(), "feed_fork");
        assert_eq!((Model::of(verifier.feed()), verifier.feed().floor()), (before, ours.floor(6)));
        assert_eq!(verifier.verify(&token, NOW).code(), "feed_fork");
        assert_eq!(verifier.feed().since(), None);
        // Neither a heartbeat nor a delta ends the fork; a newer base does.
        verifier.apply(ours.range(6, 6, NOW + 1), NOW + 1).unwrap();
        assert_eq!(verifier.verify(&token, NOW + 1).code(), "feed_fork");
        assert_eq!(verifier.apply(ours.base(7), NOW + 1), Ok(Applied::Replaced));
        assert_eq!(verifier.verify(&token, NOW + 1).code(), "valid");
    }
}

// S03, S09: bytes that no trusted key signed for this feed are no floor.
#[test]
fn only_a_snapshot_of_the_feed_raises_the_floor() {
    let (history, _) = two_eras();
    let mut feed = follower();
    let mut stranger = history.base(5);
    *stranger.last_mut().unwrap() ^= 1;
    assert_eq!(feed.resume(stranger, NOW).unwrap_err().code(), "snapshot_bad_signature");
    assert_eq!(feed.resume(vec![255; 48], NOW).unwrap_err().code(), "snapshot_malformed");
    let other = SnapshotSigner::new("feed-2", vec![signing_key(1)]);
    let error = feed.resume(history.range_signed(&other, 0, 5, NOW), NOW).unwrap_err();
    let (found, expected) = ("feed-2".to_owned(), "feed-1".to_owned());
    assert_eq!(
        (error, feed.floor()),
        (ApplyError::WrongFeed { found, expected }, Floor::default())
    );
}

// R21, D86: another process continues from a log that has lost records, without knowing it. Recent
// revocations from deltas stay in force until every token that they concern has expired.
#[test]
fn a_base_of_a_log_that_lost_records_undoes_no_revocation() {
    use Record::{DeadKey, Session, Token, User};
    let whole = History::new(1, vec![Token(0), Token(1), Session(2), User(3, 7), DeadKey(4)]);
    let lossy = History::new(1, vec![Token(0), User(3, 5), Token(5), Token(6), Token(7), Token(8)]);
    let mut feed = follower();
    feed.apply(whole.base(1), NOW).unwrap();
    feed.apply(whole.range(1, 5, NOW + 1), NOW + 1).unwrap();
    let replaced = feed.apply(lossy.range(0, 6, NOW + 2), NOW + 2);
    assert_eq!(replaced, Ok(Applied::Replaced));
    let held = Model::of(&feed);
    assert!(held.covers(&whole.model(5)) && held.covers(&lossy.model(6)), "{held:?}");
    let mut longer = History { records: [lossy.records, vec![Token(9)]].concat(), ..whole.clone() };
    feed.apply(longer.range(0, 7, NOW + 601), NOW + 601).unwrap();
    assert!(Model::of(&feed).covers(&whole.model(5)), "the first base has shown the loss");
    longer.records.push(Token(10));
    assert_eq!(feed.apply(longer.range(0, 8, NOW + DAY), NOW + DAY), Ok(Applied::Replaced));
    assert_eq!(Model::of(&feed), longer.model(8));

    // A later base may lack the entries because they expired.
    let mut feed = follower();
    feed.apply(whole.base(1), NOW).unwrap();
    feed.apply(whole.range(1, 5, NOW + 1), NOW + 1).unwrap();
    feed.apply(longer.range(0, 8, NOW + 601), NOW + 601).unwrap();
    assert_eq!(Model::of(&feed), longer.model(8));
}

/// The longest lifetime of a token, and how long its entry stays after that.
const DAY: u64 = 86_400 + 600 + 1;

// S04: a floor from before a restart is a known position too.
#[test]
fn a_base_that_contradicts_a_remembered_floor_is_refused() {
    let (ours, theirs) = forked_histories();
    let mut feed = follower();
    feed.resume(ours.base(6), NOW).unwrap();
    assert_eq!(feed.apply(theirs.base(6), NOW).unwrap_err().code(), "feed_fork");
    assert_eq!((feed.position(), feed.is_ready()), (None, false));
    assert_eq!(feed.apply(ours.base(6), NOW), Ok(Applied::Replaced));
    assert!(feed.is_ready() && !feed.is_forked());
}

// S06: for a delta that begins before the held position, it cannot be known whether its end
// continues the held history: it adds nothing, however far it leads. A delta that continues the
// history brings the rest.
#[test]
fn a_delta_that_begins_before_the_position_held_adds_nothing() {
    let (ours, theirs) = forked_histories();
    let mut feed = follower();
    feed.apply(ours.base(6), NOW).unwrap();
    for history in [&ours, &theirs] {
        assert_eq!(feed.apply(history.range(4, 7, NOW), NOW), Ok(Applied::Ignored));
        assert_eq!(feed.apply(history.range(4, 5, NOW), NOW), Ok(Applied::Ignored));
        assert_eq!((Model::of(&feed), feed.floor()), (ours.model(6), ours.floor(6)));
    }
    let error = feed.apply(theirs.range(6, 7, NOW), NOW).unwrap_err();
    assert_eq!((error.code(), error.needs_base()), ("feed_fork", true));
    assert_eq!(feed.apply(ours.range(6, 7, NOW), NOW), Ok(Applied::Extended));
    assert_eq!(Model::of(&feed), ours.model(7));
}

// S09: at each step of an update a failing one comes first: the last good state stays, and the next
// good update succeeds.
#[test]
fn a_failed_update_leaves_the_last_good_state_and_the_next_good_one_succeeds() {
    let (history, next_era) = two_eras();
    let (_, theirs) = forked_histories();
    let other_key = SnapshotSigner::new(FEED, vec![signing_key(9)]);
    let other_feed = SnapshotSigner::new("feed-9", vec![signing_key(1)]);
    let steps = [
        (history.base(2), Applied::Replaced),
        (history.range(2, 4, NOW), Applied::Extended),
        (history.range(4, 4, NOW), Applied::Refreshed),
        (history.range(0, 5, NOW), Applied::Replaced),
        (history.range(5, 6, NOW), Applied::Extended),
        (next_era.range(0, 1, NOW), Applied::Replaced),
        (next_era.range(1, 3, NOW), Applied::Extended),
    ];
    let mut feed = follower();
    for (good, applied) in steps {
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let mut version = good.clone();
        version[4] = 3;
        let failing = [
            (vec![], "snapshot_malformed"),
            (good[..good.len() - 1].to_vec(), "snapshot_bad_signature"),
            (flipped, "snapshot_bad_signature"),
            (version, "snapshot_unknown_version"),
            (feed::seal(&[1, 2, 3]), "snapshot_malformed"),
            (history.range_signed(&other_key, 0, 6, NOW), "snapshot_unknown_key"),
            (history.range_signed(&other_feed, 0, 6, NOW), "wrong_feed"),
            (History::new(9, vec![Record::Token(1); 9]).range(8, 9, NOW), "feed_gap"),
            (
                History {
                    salt: offswitch_verifier::snapshot::Salt([8; 16]),
                    ..History::new(9, vec![Record::Token(1)])
                }
                .range(1, 1, NOW),
                "feed_gap",
            ),
        ];
        let state = |feed: &Feed| {
            (
                Model::of(feed),
                feed.floor(),
                feed.position(),
                feed.since(),
                feed.age_seconds(NOW + 5),
            )
        };
        let before = state(&feed);
        for (bytes, code) in failing {
            assert_eq!(feed.apply(bytes, NOW).unwrap_err().code(), code);
            assert_eq!(state(&feed), before, "{code}");
            assert!(!feed.is_forked());
        }
        if feed.position().is_some_and(|position| position == history.floor(6).position) {
            assert_eq!(feed.apply(theirs.range(6, 7, NOW), NOW).unwrap_err().code(), "feed_fork");
            assert_eq!(state(&feed), before);
        }
        // A snapshot from the future changes the apparent age, and nothing else.
        let future = feed.apply(history.range(0, 6, NOW + 301), NOW).unwrap_err();
        assert_eq!(future.code(), "snapshot_from_the_future");
        assert_eq!((state(&feed).0, state(&feed).2), (before.0, before.2));
        assert_eq!(feed.apply(good, NOW), Ok(applied));
    }
    assert_eq!(Model::of(&feed), next_era.model(3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    // S05: each record only adds: the base at a later position revokes everything that an earlier
    // one does, and a base with its deltas, cut at any place, equals the base of the whole log.
    #[test]
    fn a_later_snapshot_revokes_everything_an_earlier_one_does(
        records in records(0..12), mut cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let history = History::new(1, records);
        let mut cuts: Vec<usize> = cuts.drain(..).map(|cut| cut.index(history.end() + 1)).collect();
        cuts.sort_unstable();
        let mut feed = follower();
        let mut before = Model::default();
        let mut at = cuts.first().copied().unwrap_or(0);
        feed.apply(history.base(at), NOW).unwrap();
        for to in cuts.into_iter().skip(1).chain([history.end()]) {
            if at == 0 {
                feed.apply(history.base(to), NOW).unwrap();
            } else {
                feed.apply(history.range(at, to, NOW), NOW).unwrap();
            }
            at = to;
            let state = Model::of(&feed);
            prop_assert!(state.covers(&before));
            prop_assert_eq!(&state, &history.model(to));
            let mut rebuilt = follower();
            rebuilt.apply(history.base(to), NOW).unwrap();
            prop_assert_eq!(&Model::of(&rebuilt), &state);
            before = state;
        }
    }

    // S06: ranges are shuffled, skipped and repeated: at every moment the feed equals a base that
    // is rebuilt at its position, and a gap requests the base.
    #[test]
    fn deliveries_in_any_order_end_in_the_state_of_a_rebuilt_base(
        records in records(1..10),
        deliveries in proptest::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 0..25),
    ) {
        let history = History::new(1, records);
        let mut feed = follower();
        for (one, other) in deliveries {
            let (one, other) = (one.index(history.end() + 1), other.index(history.end() + 1));
            let (from, to) = (one.min(other), one.max(other));
            let before = feed.position();
            match feed.apply(history.range(from, to, NOW), NOW) {
                Err(error) => {
                    prop_assert_eq!(error.code(), "feed_gap");
                    prop_assert!(error.needs_base() && feed.position() == before);
                }
                Ok(_) => prop_assert!(feed.position() >= before),
            }
            if let Some(position) = feed.position() {
                let expected = history.model(usize::try_from(position.seq).unwrap());
                prop_assert_eq!(Model::of(&feed), expected);
            }
        }
        feed.apply(history.base(history.end()), NOW).unwrap();
        prop_assert_eq!(Model::of(&feed), history.model(history.end()));
        prop_assert_eq!(feed.floor(), history.floor(history.end()));
    }

    // S06, S04: snapshots of two histories that diverge. In any order, the floor does not decrease,
    // and a base of the one history beyond everything seen adds its state; one that is issued a day
    // later leads exactly to its state.
    #[test]
    fn deliveries_of_two_histories_end_in_the_state_of_the_one_that_goes_on(
        common in records(0..4), ours in records(1..6), theirs in records(1..6),
        deliveries in proptest::collection::vec(any::<(bool, prop::sample::Index, prop::sample::Index)>(), 0..25),
    ) {
        let history = |tail: &[Record]| History::new(1, [&common[..], tail].concat());
        let (mut ours, theirs) = (history(&ours), history(&theirs));
        let mut feed = follower();
        for (own, one, other) in deliveries {
            let history = if own { &ours } else { &theirs };
            let (one, other) = (one.index(history.end() + 1), other.index(history.end() + 1));
            let (position, floor, state) = (feed.position(), feed.floor(), Model::of(&feed));
            let applied = feed.apply(history.range(one.min(other), one.max(other), NOW), NOW);
            prop_assert!(feed.floor().position >= floor.position && feed.position() >= position);
            let now = Model::of(&feed);
            match applied {
                Err(_) => prop_assert_eq!(now, state),
                Ok(Applied::Replaced) => prop_assert!(!feed.is_forked()),
                Ok(_) => prop_assert!(now.covers(&state)),
            }
        }
        while ours.end() <= theirs.end() + 1 || ours.end() as u64 <= feed.floor().position.seq {
            ours.records.push(Record::Token(15));
        }
        let epoch = Model::of(&feed).epoch;
        prop_assert_eq!(feed.apply(ours.base(ours.end()), NOW), Ok(Applied::Replaced));
        prop_assert!(Model::of(&feed).covers(&ours.model(ours.end())));
        ours.records.push(Record::Token(14));
        let later = ours.range(0, ours.end(), NOW + DAY);
        prop_assert_eq!(feed.apply(later, NOW + DAY), Ok(Applied::Replaced));
        // An epoch, once seen, is never undone, not even the other history's.
        let mut expected = ours.model(ours.end());
        expected.epoch = expected.epoch.max(epoch);
        prop_assert_eq!(Model::of(&feed), expected);
        prop_assert!(!feed.is_forked() && feed.is_ready());
    }
}

fn two_eras() -> (History, History) {
    use Record::{DeadKey, Epoch, Session, Token, User};
    let first = vec![Token(1), User(2, 3), Session(4), Epoch(500), DeadKey(6), User(2, 9)];
    let first = History::new(1, first);
    let second = vec![Token(7), Epoch(700), User(8, 1)];
    let second = History { inherited: first.records.clone(), ..History::new(2, second) };
    (first, second)
}

fn forked_histories() -> (History, History) {
    use Record::{Session, Token, User};
    let common = [Token(2), User(2, 3), Session(4)];
    let ours = [Token(5), Token(6), Token(7), Token(8)];
    let theirs = [Session(5), Token(9), User(9, 9), Token(10)];
    let history = |tail: [Record; 4]| History::new(1, [&common[..], &tail].concat());
    (history(ours), history(theirs))
}

fn records(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Record>> {
    let id = feed::IDS;
    let record = prop_oneof![
        id.clone().prop_map(Record::Token),
        id.clone().prop_map(Record::Session),
        (id.clone(), 0..9u64).prop_map(|(user, version)| Record::User(user, version)),
        id.prop_map(Record::DeadKey),
        (0..NOW).prop_map(Record::Epoch),
    ];
    proptest::collection::vec(record, count)
}

fn permutations(length: usize) -> Vec<Vec<usize>> {
    (0..length).fold(vec![vec![]], |orders, item| {
        let insert = |order: Vec<usize>| {
            (0..=order.len()).map(move |at| {
                let mut order = order.clone();
                order.insert(at, item);
                order
            })
        };
        orders.into_iter().flat_map(insert).collect()
    })
}
