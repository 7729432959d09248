use axum::http::HeaderMap;
use futures_util::{StreamExt as _, stream};

use super::*;
use crate::feed::{FeedEvent, Published};

fn at(seq: u64) -> Position {
    Position { era: 1, seq }
}

/// Each token is another one, and proves nothing.
struct Numbers;

impl Tokens for Numbers {
    fn make(&self, _: &str, _: FollowerId, _: Position) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed).to_string()
    }

    fn proven(&self, _: &str, _: &str, _: FollowerId) -> Option<Position> {
        None
    }
}

fn roster() -> Roster {
    let validity = Duration::from_secs(70);
    Roster::new(RosterSettings { most_of_one_key: 4, validity, tokens: Arc::new(Numbers) })
}

fn introduced(id: u8, more: &str) -> Introduction {
    let mut headers = HeaderMap::new();
    let text = format!("{}{more}", format!("{id:02x}").repeat(16));
    headers.insert(FOLLOWER_HEADER, text.parse().unwrap());
    Introduction::read(&headers).unwrap().unwrap()
}

fn member(roster: &Roster, key: &str, id: u8, now: Instant) -> Member {
    roster.meet(key, Some(introduced(id, ";staleness=60")), now)
}

/// The next question to the follower, which was sent what leads to `sent`.
async fn question(member: &Member, sent: Position) -> String {
    let snapshot = Published::new(sent, 0, vec![]);
    let events = stream::iter([FeedEvent::Snapshot(snapshot)]).chain(stream::pending());
    let mut events = Box::pin(asking(events, member.enter(), None));
    assert!(matches!(events.next().await, Some(FeedEvent::Snapshot(_))), "the snapshot is first");
    match events.next().await {
        Some(FeedEvent::Ask(token)) => token,
        other => panic!("{other:?}"),
    }
}

fn answer(ask: &str, position: Position, behind: Option<Behind>) -> Answer {
    Answer { ask: ask.to_owned(), position: position.to_string(), behind }
}

fn holding(roster: &Roster, position: Position, now: Instant) -> (u64, u64) {
    let tally = roster.tally(position, now, now);
    (tally.holding, tally.followers)
}

// P01: a follower counts by what it says itself, and a request that is late or sent again changes nothing.
#[test]
fn a_poll_counts_for_what_its_follower_holds() {
    let (roster, now) = (roster(), Instant::now());
    let (one, other) = (member(&roster, "key", 1, now), member(&roster, "key", 2, now));
    one.says(Some(at(7)), now);
    other.says(Some(at(6)), now);
    assert_eq!(holding(&roster, at(7), now), (1, 2));
    assert_eq!(roster.tally(at(7), now, now).silent[0].position, Some(at(6)));
    one.says(Some(at(5)), now);
    assert_eq!(holding(&roster, at(7), now), (1, 2), "an older request came later");
    // One that asks for a base has lost what it held.
    one.says(None, now);
    one.says(Some(at(6)), now);
    assert_eq!(holding(&roster, at(7), now), (0, 2));
    assert_eq!(holding(&roster, at(6), now), (2, 2));
}

// P01: with another API key, the same id is another follower: nothing that its holder says counts for the first.
#[tokio::test]
async fn an_id_belongs_to_the_api_key_that_introduced_it() {
    let (roster, now) = (roster(), Instant::now());
    let victim = member(&roster, "key", 1, now);
    victim.says(Some(at(6)), now);
    let thief = member(&roster, "stolen", 1, now);
    thief.says(Some(at(7)), now);
    assert_eq!(holding(&roster, at(7), now), (1, 2));
    let _waiting = roster.want(at(7)).unwrap();
    let ask = question(&victim, at(7)).await;
    let wrong = thief.answers(answer(&ask, at(7), None), at(7), now);
    assert_eq!(wrong, Err(AnswerError::UnknownAsk));
    let stranger = roster.find("another", &introduced(1, ""));
    assert_eq!(
        stranger.answers(answer(&ask, at(7), None), at(7), now),
        Err(AnswerError::UnknownAsk)
    );
    assert_eq!(holding(&roster, at(7), now), (1, 2));
    victim.answers(answer(&ask, at(7), None), at(7), now).unwrap();
    assert_eq!(holding(&roster, at(7), now), (2, 2));
}

// P01: a stream is asked only while a request waits, and only after what is asked about was sent; only the token of the
// last question counts, and no position beyond the log.
#[tokio::test]
async fn an_answer_needs_the_token_of_the_last_question() {
    let (roster, now) = (roster(), Instant::now());
    let one = member(&roster, "key", 1, now);
    assert_eq!(one.answers(answer("", at(7), None), at(7), now), Err(AnswerError::UnknownAsk));
    let waiting = roster.want(at(7)).unwrap();
    let first = question(&one, at(7)).await;
    assert_eq!(one.answers(answer(&first, at(8), None), at(7), now), Err(AnswerError::Ahead));
    let malformed = Answer { ask: first.clone(), position: "7".to_owned(), behind: None };
    assert_eq!(one.answers(malformed, at(7), now), Err(AnswerError::Malformed));
    assert_eq!(holding(&roster, at(7), now), (0, 1));
    one.answers(answer(&first, at(8), None), at(9), now).unwrap();
    assert_eq!(
        holding(&roster, at(8), now),
        (0, 1),
        "it was sent no more than 7 before the question"
    );
    assert_eq!(holding(&roster, at(7), now), (1, 1));
    // The next wait asks again, and the old token is of no use for it.
    let _next = roster.want(at(9)).unwrap();
    let second = question(&one, at(9)).await;
    assert_ne!(first, second);
    assert_eq!(one.answers(answer(&first, at(9), None), at(9), now), Err(AnswerError::UnknownAsk));
    assert_eq!(holding(&roster, at(9), now), (0, 1));
    drop((waiting, _next));
    // Without a wait, events pass, and no question comes between them.
    let events =
        stream::iter([at(9), at(10)]).map(|to| FeedEvent::Snapshot(Published::new(to, 0, vec![])));
    let passed: Vec<_> = asking(events, one.enter(), None).collect().await;
    assert!(passed.iter().all(|event| matches!(event, FeedEvent::Snapshot(_))), "{passed:?}");
}

// P01: a late answer counts for what was sent before its own question, and once; a question is repeated as it was.
#[tokio::test]
async fn a_late_answer_counts_for_its_own_question() {
    let (roster, now) = (roster(), Instant::now());
    let one = member(&roster, "key", 1, now);
    let _waiting = roster.want(at(7)).unwrap();
    let first = question(&one, at(7)).await;
    assert_eq!(question(&one, at(8)).await, first, "a second later, as it was not answered");
    let _next = roster.want(at(9)).unwrap();
    let second = question(&one, at(9)).await;
    one.answers(answer(&first, at(9), None), at(9), now).unwrap();
    assert_eq!((holding(&roster, at(7), now), holding(&roster, at(8), now)), ((1, 1), (0, 1)));
    let again = one.answers(answer(&first, at(9), None), at(9), now);
    assert_eq!(again, Err(AnswerError::UnknownAsk));
    one.answers(answer(&second, at(9), None), at(9), now).unwrap();
    assert_eq!(holding(&roster, at(9), now), (1, 1));
}

// P01: a follower that was not sent the position is not asked for it.
#[tokio::test]
async fn no_question_comes_before_the_snapshot_that_it_is_about() {
    let roster = roster();
    let one = member(&roster, "key", 1, Instant::now());
    let _waiting = roster.want(at(7)).unwrap();
    let events = stream::iter([FeedEvent::Snapshot(Published::new(at(6), 0, vec![]))]);
    let mut events = Box::pin(asking(events.chain(stream::pending()), one.enter(), None));
    assert!(matches!(events.next().await, Some(FeedEvent::Snapshot(_))));
    let more = tokio::time::timeout(Duration::from_millis(50), events.next()).await;
    assert!(more.is_err(), "{more:?}");
}

// P02: a follower stays while a stream is open, and until it has refused for five seconds; then it leaves the count.
#[test]
fn a_silent_follower_leaves_once_it_refuses_to_decide() {
    let (roster, now) = (roster(), Instant::now());
    let second = |seconds| now + Duration::from_secs(seconds);
    let present = member(&roster, "key", 1, now).enter();
    let short = roster.meet("key", Some(introduced(2, ";staleness=10;name=edge-2")), now);
    roster.meet("key", Some(introduced(3, "")), now);
    short.says(Some(at(6)), now);
    let tally = roster.tally(at(7), now, second(4));
    assert_eq!((tally.holding, tally.followers, tally.silent.len()), (0, 3, 3));
    let silent = tally.silent.iter().find(|one| one.name.is_some()).unwrap();
    assert_eq!((silent.name.as_deref(), silent.refuses_in_seconds), (Some("edge-2"), Some(6)));
    assert_eq!(tally.refuse_within, None, "the third never refuses");
    assert_eq!(holding(&roster, at(7), second(14)).1, 3);
    assert_eq!(holding(&roster, at(7), second(15)).1, 2, "it has refused for five seconds");
    assert_eq!(
        holding(&roster, at(7), second(80_000)).1,
        2,
        "a stream is open, and one never refuses"
    );
    drop(present);
    assert_eq!(holding(&roster, at(7), second(64)).1, 2);
    assert_eq!(holding(&roster, at(7), second(66)).1, 1);
    assert_eq!(holding(&roster, at(7), second(86_400)).1, 0);
}

// P01: followers that are not known are never taken for followers that hold it.
#[test]
fn one_key_has_so_many_followers_and_no_more() {
    let (roster, now) = (roster(), Instant::now());
    for id in 1..=4 {
        member(&roster, "key", id, now).says(Some(at(7)), now);
    }
    assert!(roster.tally(at(7), now, now).is_complete());
    let fifth = member(&roster, "key", 5, now).enter();
    let tally = roster.tally(at(7), now, now);
    assert_eq!((tally.holding, tally.followers, tally.unidentified), (4, 4, 1));
    assert!(!tally.is_complete());
    assert_eq!(tally.refuse_within, None);
    drop(fifth);
    // Another key has room of its own. One without an introduction counts while it may decide.
    member(&roster, "other", 5, now).says(Some(at(7)), now);
    roster.meet("key", None, now).says(Some(at(7)), now);
    assert_eq!(roster.tally(at(7), now, now).unidentified, 1);
    let later = now + Duration::from_secs(76);
    assert_eq!(roster.tally(at(7), later, later).unidentified, 0);
    // Those that have left make room.
    member(&roster, "key", 5, later).says(Some(at(7)), later);
    assert_eq!(holding(&roster, at(7), later), (1, 1));
}

// P01: one without an introduction that asks for a base decides with that base until it asks again: it may never name a
// position, or follow a stream only a moment later.
#[test]
fn one_that_only_asks_for_bases_is_unidentified_while_it_may_decide() {
    let (roster, now) = (roster(), Instant::now());
    assert!(roster.tally(at(7), now, now).is_complete());
    roster.meet("key", None, now).says(None, now);
    let tally = roster.tally(at(7), now, now);
    assert_eq!((tally.unidentified, tally.is_complete(), tally.refuse_within), (1, false, None));
    assert_eq!(roster.refuse_within(now), Some(Duration::from_secs(70)));
    let later = now + Duration::from_secs(76);
    assert!(roster.tally(at(7), later, later).is_complete());
    // The same where a known key has no room for one more.
    for id in 1..=4 {
        member(&roster, "key", id, later).says(Some(at(7)), later);
    }
    member(&roster, "key", 5, later).says(None, later);
    assert_eq!(roster.tally(at(7), later, later).unidentified, 1);
}

// P02: a relay counts with those behind it, and not before it has reported about the position.
#[tokio::test]
async fn a_relay_reports_for_those_behind_it() {
    let (roster, now) = (roster(), Instant::now());
    let relay = roster.meet("key", Some(introduced(1, ";staleness=60;relay")), now);
    relay.says(Some(at(7)), now);
    assert_eq!(holding(&roster, at(7), now), (0, 1), "it may have any followers");
    let _waiting = roster.want(at(7)).unwrap();
    let ask = question(&relay, at(7)).await;
    let report = |followers, holding| Behind { followers, holding, ..Behind::default() };
    let lie = relay.answers(answer(&ask, at(7), Some(report(2, 3))), at(7), now);
    assert_eq!(lie, Err(AnswerError::Malformed));
    relay.answers(answer(&ask, at(7), Some(report(3, 2))), at(7), now).unwrap();
    assert_eq!(holding(&roster, at(7), now), (3, 4));
    let tally = roster.tally(at(7), now, now);
    assert_eq!((tally.behind_relays, tally.silent.len(), tally.is_complete()), (3, 1, false));
    relay.answers(answer(&ask, at(7), Some(report(3, 3))), at(7), now).unwrap();
    assert!(roster.tally(at(7), now, now).is_complete());
    // That report says nothing about a later position.
    relay.says(Some(at(8)), now);
    assert_eq!(holding(&roster, at(8), now), (1, 4));
    // One that is not a relay speaks for itself only.
    let plain = member(&roster, "key", 2, now);
    let ask = question(&plain, at(7)).await;
    plain.answers(answer(&ask, at(7), Some(report(90, 90))), at(7), now).unwrap();
    assert_eq!(holding(&roster, at(7), now), (5, 5));
}

// P01: a wait is answered when the last one holds it, or in time with those that do not.
#[tokio::test]
async fn a_wait_ends_with_the_last_follower_or_in_time() {
    let (roster, now) = (roster(), Instant::now());
    let one = member(&roster, "key", 1, now);
    let quick = {
        let roster = roster.clone();
        tokio::spawn(async move { roster.until_held(at(7), Duration::from_secs(20)).await })
    };
    tokio::time::sleep(Duration::from_millis(30)).await;
    one.says(Some(at(7)), Instant::now());
    let tally = quick.await.unwrap();
    assert!(tally.is_complete() && tally.slowest.is_some_and(|one| one.milliseconds < 15_000));
    let tally = roster.until_held(at(8), Duration::from_millis(20)).await;
    assert_eq!((tally.holding, tally.silent.len()), (0, 1));
    assert!(!roster.is_waited_for(), "no wait is left");
}
