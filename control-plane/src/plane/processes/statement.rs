//! What a process has seen of its followers, as a note, and back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use offswitch_core::processes::{MOST_STATED, ProcessId, StatedFollower, Statement};
use offswitch_server::roster::{Behind, Face, MOST_SHOWN, Print, Report, Seen, Shown};
use offswitch_snapshot::Position;
use serde::{Deserialize, Serialize};

/// What another process has said about its followers.
pub(super) struct Heard {
    statement: Statement,
    /// Of two notes of one process, the later one has the higher number.
    pub(super) number: u64,
    pub(super) followers: Vec<Seen>,
}

/// What not every follower has, as JSON. Each names the place of its follower in the list.
#[derive(Default, Serialize, Deserialize)]
struct Details {
    /// How those are shown that do not hold what is waited for, the first of them.
    shown: Vec<(usize, Shown)>,
    /// What relays have reported: about which position, and how many milliseconds ago.
    reports: Vec<(usize, Position, u32, Behind)>,
}

/// What is said about followers that this process has `seen`, while `position` is waited for.
pub(super) fn statement_of(
    mut seen: Vec<Seen>,
    mut unidentified: u64,
    heard: Vec<(ProcessId, u64)>,
    position: Position,
    now: Instant,
) -> Statement {
    seen.sort_by_key(|one| one.print);
    if seen.len() > MOST_STATED {
        let more = u64::try_from(seen.len() - MOST_STATED).unwrap_or(u64::MAX);
        unidentified = unidentified.saturating_add(more);
        seen.truncate(MOST_STATED);
    }
    let mut details = Details::default();
    for (place, one) in seen.iter().enumerate() {
        if let Some(Report { about, at, behind }) = &one.report {
            let ago = milliseconds(now.saturating_duration_since(*at));
            details.reports.push((place, *about, ago, behind.clone()));
        }
        let is_silent = one.held.is_none_or(|held| held < position) || one.is_relay;
        if is_silent && details.shown.len() < MOST_SHOWN {
            details.shown.extend(one.shown().map(|shown| (place, shown)));
        }
    }
    // Named also where it holds it: it may be the slowest of all.
    let slowest = (0..seen.len()).max_by_key(|place| seen[*place].grew_at);
    if let Some(place) = slowest
        && details.shown.iter().all(|(shown, _)| *shown != place)
    {
        details.shown.extend(seen[place].shown().map(|shown| (place, shown)));
    }
    let ago = |at| milliseconds(now.saturating_duration_since(at));
    let followers = seen.iter().map(|one| StatedFollower {
        print: one.print.0,
        is_relay: one.is_relay,
        held: one.held.map(|held| (held.era, held.seq)),
        said_milliseconds_ago: ago(one.said_at),
        grew_milliseconds_ago: ago(one.grew_at),
        refuses_within_seconds: one
            .refuses_within
            .map(|time| u32::try_from(time.as_secs()).unwrap_or(u32::MAX)),
    });
    Statement {
        heard,
        unidentified,
        followers: followers.collect(),
        details: serde_json::to_string(&details).unwrap_or_default(),
    }
}

impl Heard {
    /// A statement that came at `now`.
    pub(super) fn new(mut statement: Statement, number: u64, now: Instant) -> Self {
        let ago = |milliseconds: u32| {
            now.checked_sub(Duration::from_millis(milliseconds.into())).unwrap_or(now)
        };
        let followers = std::mem::take(&mut statement.followers).into_iter().map(|one| Seen {
            held: one.position(),
            print: Print(one.print),
            is_relay: one.is_relay,
            said_at: ago(one.said_milliseconds_ago),
            grew_at: ago(one.grew_milliseconds_ago),
            refuses_within: one
                .refuses_within_seconds
                .map(|seconds| Duration::from_secs(seconds.into())),
            report: None,
            face: Face::Unnamed,
        });
        let mut followers: Vec<Seen> = followers.collect();
        let details: Details = serde_json::from_str(&statement.details).unwrap_or_default();
        for (place, shown) in details.shown {
            if let Some(one) = followers.get_mut(place) {
                one.face = Face::Stated(Arc::new(shown));
            }
        }
        for (place, about, at, behind) in details.reports {
            if let Some(one) = followers.get_mut(place)
                && behind.is_plausible()
            {
                one.report = Some(Report { about, at: ago(at), behind });
            }
        }
        statement.details = String::new();
        Self { statement, number, followers }
    }

    /// True if it answers that question.
    pub(super) fn answers(&self, by: ProcessId, question: u64) -> bool {
        self.statement.answers(by, question)
    }

    pub(super) fn unidentified(&self) -> u64 {
        self.statement.unidentified
    }
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use offswitch_core::processes::Note;
    use offswitch_server::roster::Tally;

    use super::*;

    fn at(seq: u64) -> Position {
        Position { era: 1, seq }
    }

    fn shown(name: &str, position: Position) -> Shown {
        Shown {
            name: Some(name.to_owned()),
            follower: "01020304".to_owned(),
            key: "key".to_owned(),
            software: "test/1".to_owned(),
            position: Some(position),
            sent: None,
            connected: true,
            seen_seconds_ago: 0,
            refuses_in_seconds: Some(60),
            behind: None,
        }
    }

    fn seen(id: u8, held: Position, now: Instant) -> Seen {
        Seen {
            print: Print([id; 12]),
            is_relay: false,
            held: Some(held),
            said_at: now,
            grew_at: now,
            refuses_within: Some(Duration::from_secs(60)),
            report: None,
            face: Face::Stated(Arc::new(shown(&format!("edge-{id}"), held))),
        }
    }

    fn sent(statement: Statement, now: Instant) -> Heard {
        let bytes = Note::Statement { by: ProcessId([1; 8]), number: 1, statement }.encode();
        match Note::decode(&bytes).unwrap() {
            Note::Statement { statement, number, .. } => Heard::new(statement, number, now),
            other => panic!("{other:?}"),
        }
    }

    // P10: the statement of a process has what it has seen itself, with the names of those that are silent.
    #[test]
    fn another_process_counts_as_this_one_would() {
        let now = Instant::now();
        let behind = Behind { followers: 3, holding: 2, unidentified: 0, ..Behind::default() };
        let relay = Seen {
            is_relay: true,
            report: Some(Report { about: at(7), at: now, behind }),
            ..seen(3, at(7), now)
        };
        let all = vec![seen(2, at(6), now), seen(1, at(7), now), relay];
        let statement = statement_of(all.clone(), 4, vec![(ProcessId([2; 8]), 9)], at(7), now);
        let heard = sent(statement, now);
        assert!(heard.answers(ProcessId([2; 8]), 9) && !heard.answers(ProcessId([2; 8]), 10));
        assert_eq!(heard.unidentified(), 4);
        let tally = |all: &[Seen]| Tally::of(all, 0, at(7), now);
        let (here, there) = (tally(&all), tally(&heard.followers));
        assert_eq!((there.followers, there.holding, there.behind_relays), (6, 4, 3));
        assert_eq!((here.followers, here.holding), (there.followers, there.holding));
        let names = |tally: &Tally| {
            let mut names: Vec<_> = tally.silent.iter().map(|one| one.name.clone()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&there), names(&here));
        assert_eq!(there.refuse_within, here.refuse_within);
    }

    // P10: more followers than a note has room for are said to be unknown, so that nothing is complete.
    #[test]
    fn followers_without_room_in_a_note_are_unknown() {
        let now = Instant::now();
        let numbered = |number: usize| {
            let mut print = [0; 12];
            print[..8].copy_from_slice(&number.to_be_bytes());
            Seen { print: Print(print), ..seen(0, at(7), now) }
        };
        let statement =
            statement_of((0..MOST_STATED + 2).map(numbered).collect(), 1, vec![], at(7), now);
        let heard = sent(statement, now);
        assert_eq!((heard.followers.len(), heard.unidentified()), (MOST_STATED, 3));
        let tally = Tally::of(&heard.followers, heard.unidentified(), at(7), now);
        assert!(!tally.is_complete());
    }
}
