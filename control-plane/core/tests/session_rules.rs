//! The rules of a session's life, without a store: every order of events up to eight.

use offswitch_core::session::{
    Device, Ended, Grant, Holder, Lifetimes, MAX_ENDED, MOST_LATE_IN_A_ROW, Opening, Outage,
    RACE_SECONDS, Repeats, Rotation, Session, SessionId, UserKey, UserSessions,
};

const LIFETIMES: Lifetimes =
    Lifetimes { idle_seconds: 10_000, absolute_seconds: 100_000, grace_seconds: 30 };
const BEGIN: u64 = 1_000_000;
const CALM: Outage = Outage { began_at: 0, ended_at: 0 };

fn session(number: u8) -> Session {
    Session {
        id: SessionId::new(UserKey([1; 8]), [number; 16]),
        sub: "alice".to_owned(),
        grant: Grant { client_id: "app".to_owned(), ..Grant::default() },
        device: Device::default(),
        version: 0,
        opened_at: BEGIN,
        used_at: BEGIN,
        holder: Holder::Client { generation: 0, since: BEGIN },
        repeats: Repeats::default(),
        ended: None,
        request: Opening::default(),
    }
}

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The victim refreshes and gets the answer.
    Refresh,
    /// The victim refreshes, and the answer is lost.
    RefreshUnheard,
    /// The attacker copies the victim's token.
    Steal,
    /// The attacker refreshes, if it has a token.
    Attack,
    /// More time than the grace period passes.
    Wait,
}

const STEPS: [Step; 5] =
    [Step::Refresh, Step::RefreshUnheard, Step::Steal, Step::Attack, Step::Wait];

/// The session with two parties that may hold its tokens.
#[derive(Clone)]
struct World {
    session: Session,
    now: u64,
    victim: u32,
    attacker: Option<u32>,
    /// The attacker has got an answer.
    was_forked: bool,
    /// An answer was lost, and the grace period passed before the victim retried.
    is_unheard: bool,
    was_late: bool,
    was_stolen: bool,
}

impl World {
    fn new() -> Self {
        Self {
            session: session(1),
            now: BEGIN,
            victim: 0,
            attacker: None,
            was_forked: false,
            is_unheard: false,
            was_late: false,
            was_stolen: false,
        }
    }

    /// The control plane's reaction: a theft ends the session.
    fn rotate(&mut self, presented: u32) -> Option<u32> {
        let was_over = self.session.ended.is_some();
        match self.session.rotate(presented, self.now, &LIFETIMES, CALM) {
            Rotation::Over => {
                assert!(was_over, "the session ended without a theft");
                None
            }
            Rotation::Repeated { generation } | Rotation::Rotated { generation } => {
                assert!(!was_over, "a session that has ended issued a token");
                Some(generation)
            }
            Rotation::Reused => {
                assert!(!was_over);
                self.session.end(Ended { at: self.now, by: String::new(), reason: None });
                None
            }
        }
    }

    fn take(&mut self, step: Step) {
        self.now += 1;
        match step {
            Step::Refresh => {
                let answer = self.rotate(self.victim);
                self.victim = answer.unwrap_or(self.victim);
                self.is_unheard = false;
            }
            Step::RefreshUnheard => {
                self.rotate(self.victim);
                self.is_unheard = true;
            }
            Step::Steal => {
                self.attacker = Some(self.victim);
                self.was_stolen = true;
            }
            Step::Attack => {
                if let Some(presented) = self.attacker
                    && let Some(generation) = self.rotate(presented)
                {
                    self.attacker = Some(generation);
                    self.was_forked = true;
                }
            }
            Step::Wait => {
                self.now += LIFETIMES.grace_seconds;
                self.was_late |= self.is_unheard;
            }
        }
        self.check_chain();
    }

    /// F04: of all tokens that were ever issued, at most one can get a new successor.
    fn check_chain(&self) {
        let highest = self.victim.max(self.attacker.unwrap_or(0));
        let makes_new = |presented: &u32| {
            let rotation = self.session.clone().rotate(*presented, self.now, &LIFETIMES, CALM);
            matches!(rotation, Rotation::Rotated { .. })
        };
        let living = (0..=highest.max(self.session.spent())).filter(makes_new).count();
        assert_eq!(living, usize::from(self.session.ended.is_none()));
    }
}

// F01, F03, F04, F05: attacker and victim in every order of eight steps.
#[test]
fn in_every_order_of_eight_steps_a_fork_ends_the_session_and_honest_clients_stay() {
    let mut worlds = 0;
    let mut forks = 0;
    walk(&World::new(), 8, &mut |world| {
        worlds += 1;
        let is_over = world.session.ended.is_some();
        if !world.was_stolen && !world.was_late {
            assert!(!is_over, "an honest client was logged out");
        }
        if world.was_forked {
            forks += 1;
            let mut later = world.clone();
            for step in [Step::Wait, Step::Refresh, Step::Wait, Step::Attack, Step::Wait] {
                later.take(step);
            }
            later.take(Step::Refresh);
            assert!(later.session.ended.is_some(), "a fork was not noticed");
        }
    });
    assert_eq!(worlds, 5_usize.pow(8));
    assert!(forks > 10_000);
}

/// Victim and thief hold the same token and take turns, at the same time or with pauses longer than
/// a race of tabs and shorter than the grace period.
#[derive(Clone)]
struct Lockstep {
    session: Session,
    now: u64,
    held: [u32; 2],
    /// For each generation, when and by whom it was requested first.
    first: Option<(usize, u64)>,
    /// Generations in a row for which the second request came after a pause.
    late: u8,
    was_late: bool,
}

impl Lockstep {
    fn new() -> Self {
        let (session, now) = (session(1), BEGIN);
        Self { session, now, held: [0, 0], first: None, late: 0, was_late: false }
    }

    /// False once the session has ended.
    fn refresh(&mut self, who: usize) -> bool {
        self.now += 1;
        let living = self.session.spent();
        match self.session.rotate(self.held[who], self.now, &LIFETIMES, CALM) {
            Rotation::Rotated { generation } => {
                if !self.was_late {
                    self.late = 0;
                }
                self.was_late = false;
                self.first = Some((who, self.now));
                self.held[who] = generation;
            }
            Rotation::Repeated { generation } => {
                assert_eq!(generation, living, "one chain");
                let (_, at) = self.first.unwrap();
                if self.now > at + RACE_SECONDS && !self.was_late {
                    self.was_late = true;
                    self.late += 1;
                }
                assert!(self.late < MOST_LATE_IN_A_ROW, "answered a third time in a row");
                self.held[who] = generation;
            }
            Rotation::Reused | Rotation::Over => return false,
        }
        true
    }
}

// D08, F03, F04: in every order of twelve steps, two parties that share a session get late answers
// for at most two generations in a row. The third one ends the session.
#[test]
fn two_parties_that_take_turns_within_the_grace_are_noticed_at_the_third_late_repetition() {
    fn walk(world: &Lockstep, left: u32, ended: &mut usize) {
        if left == 0 {
            return;
        }
        for who in 0..2 {
            let mut next = world.clone();
            if next.refresh(who) {
                walk(&next, left - 1, ended);
            } else {
                *ended += 1;
            }
        }
        let mut next = world.clone();
        next.now += RACE_SECONDS + 5;
        walk(&next, left - 1, ended);
    }
    let mut ended = 0;
    walk(&Lockstep::new(), 12, &mut ended);
    assert!(ended > 1000, "{ended}");

    let mut turns = Lockstep::new();
    let mut answered = 0;
    while turns.refresh(answered % 2) {
        answered += 1;
        turns.now += RACE_SECONDS + 5;
    }
    assert_eq!(answered, 5, "two answers for each of two generations, and one for the third");
}

// D08, D115, F02: racing tabs repeat each token immediately, for ever; a phone that was asleep
// repeats one or two in a row, hours later. No user is logged out.
#[test]
fn honest_repetitions_never_end_a_session() {
    let day = Lifetimes { grace_seconds: 86_400, ..LIFETIMES };
    let day = Lifetimes { idle_seconds: 1_000_000, absolute_seconds: 10_000_000, ..day };
    let (mut one, mut now) = (session(1), BEGIN);
    for generation in 0..1000 {
        let repeated = Rotation::Repeated { generation: generation + 1 };
        let rotated = Rotation::Rotated { generation: generation + 1 };
        assert_eq!(one.rotate(generation, now, &day, CALM), rotated);
        for tab in 0..4 {
            assert_eq!(one.rotate(generation, now + tab * 3, &day, CALM), repeated);
        }
        // Two lost answers in a row, then a day without one.
        if generation % 3 < 2 {
            for late in [62, 3600, 40_000] {
                assert_eq!(one.rotate(generation, now + late, &day, CALM), repeated);
            }
        }
        now += 600;
    }
}

// D08: a repetition counts once for its generation, and an outage of the store excuses it.
#[test]
fn many_late_repetitions_of_one_generation_count_once() {
    let mut one = session(1);
    for generation in 0..2 {
        one.rotate(generation, BEGIN + u64::from(generation) * 100, &LIFETIMES, CALM);
        for _ in 0..5 {
            let late = BEGIN + u64::from(generation) * 100 + 20;
            let again = one.rotate(generation, late, &LIFETIMES, CALM);
            assert_eq!(again, Rotation::Repeated { generation: generation + 1 });
        }
    }
    assert_eq!(one.repeats, Repeats { in_a_row: 2, latest: true });
    one.rotate(2, BEGIN + 200, &LIFETIMES, CALM);
    let outage = Outage { began_at: BEGIN + 201, ended_at: BEGIN + 290 };
    let excused = one.rotate(2, BEGIN + 310, &LIFETIMES, outage);
    assert_eq!(excused, Rotation::Repeated { generation: 3 });
    assert_eq!(one.rotate(2, BEGIN + 225, &LIFETIMES, CALM), Rotation::Reused);
}

// D93: the id alone distinguishes a session that the store has lost from one that has ended.
#[test]
fn a_session_is_lost_only_if_it_was_open_when_the_store_lost_records() {
    let id = SessionId::opened(UserKey([1; 8]), BEGIN, [7; 12]);
    assert_eq!(id.opened_at(), BEGIN);
    assert_eq!(SessionId::from_bytes(id.bytes()), id);
    let lost = |lost_at, now| id.is_lost(lost_at, now, &LIFETIMES);
    assert!(lost(Some(BEGIN), BEGIN + 10) && lost(Some(BEGIN + 95_000), BEGIN + 99_999));
    assert!(!lost(Some(BEGIN + 10), BEGIN + 10_010), "it was idle for too long since");
    assert!(!lost(None, BEGIN + 10), "nothing was lost");
    assert!(!lost(Some(BEGIN - 1), BEGIN + 10), "it was opened after the loss");
    assert!(!lost(Some(BEGIN + 95_000), BEGIN + 100_000), "it has expired");
}

fn walk(world: &World, left: u32, check: &mut impl FnMut(&World)) {
    if left == 0 {
        return check(world);
    }
    for step in STEPS {
        let mut next = world.clone();
        next.take(step);
        walk(&next, left - 1, check);
    }
}

// F02: the answer is lost; during the grace period, and while the successor is unused, it is
// repeated.
#[test]
fn a_spent_token_gets_the_same_successor_while_that_is_unused() {
    let mut one = session(1);
    assert_eq!(one.rotate(0, BEGIN, &LIFETIMES, CALM), Rotation::Rotated { generation: 1 });
    for later in [0, 1, 30] {
        let again = one.rotate(0, BEGIN + later, &LIFETIMES, CALM);
        assert_eq!(again, Rotation::Repeated { generation: 1 });
    }
    assert_eq!(one.clone().rotate(0, BEGIN + 31, &LIFETIMES, CALM), Rotation::Reused);
    assert_eq!(one.rotate(1, BEGIN + 2, &LIFETIMES, CALM), Rotation::Rotated { generation: 2 });
    assert_eq!(one.rotate(0, BEGIN + 2, &LIFETIMES, CALM), Rotation::Reused);
    let none = Lifetimes { grace_seconds: 0, ..LIFETIMES };
    assert_eq!(one.rotate(1, BEGIN + 2, &none, CALM), Rotation::Repeated { generation: 2 });
    assert_eq!(one.rotate(1, BEGIN + 3, &none, CALM), Rotation::Reused);
}

// F02, F10: no client could retry while the store was down; the grace period restarts when it is
// back.
#[test]
fn an_outage_longer_than_the_grace_makes_no_client_a_thief() {
    let outage = Outage { began_at: BEGIN + 10, ended_at: BEGIN + 500 };
    let lasting = Outage { began_at: BEGIN + 10, ended_at: 0 };
    let mut one = session(1);
    assert_eq!(one.rotate(0, BEGIN, &LIFETIMES, CALM), Rotation::Rotated { generation: 1 });
    let at = |now, outage| one.clone().rotate(0, now, &LIFETIMES, outage);
    assert_eq!(at(BEGIN + 500, CALM), Rotation::Reused);
    assert_eq!(at(BEGIN + 530, outage), Rotation::Repeated { generation: 1 });
    assert_eq!(at(BEGIN + 531, outage), Rotation::Reused);
    assert_eq!(at(BEGIN + 31, lasting), Rotation::Reused);
    // A client whose grace period ended before, or that got its answer after it, had time to retry.
    let later = Outage { began_at: BEGIN + 31, ended_at: BEGIN + 500 };
    assert_eq!(at(BEGIN + 510, later), Rotation::Reused);
    let earlier = Outage { began_at: BEGIN - 50, ended_at: BEGIN - 1 };
    assert_eq!(at(BEGIN + 31, earlier), Rotation::Reused);
    assert_eq!(one.rotate(1, BEGIN + 501, &LIFETIMES, outage), Rotation::Rotated { generation: 2 });
    assert_eq!(one.rotate(0, BEGIN + 501, &LIFETIMES, outage), Rotation::Reused);
}

// The store was rolled back: tokens that were issued before stay valid, and a fork is still a fork.
#[test]
fn a_token_ahead_of_a_store_that_lost_writes_stays_valid() {
    let mut one = session(1);
    assert_eq!(one.rotate(7, BEGIN + 100, &LIFETIMES, CALM), Rotation::Rotated { generation: 8 });
    assert_eq!(one.rotate(7, BEGIN + 110, &LIFETIMES, CALM), Rotation::Repeated { generation: 8 });
    assert_eq!(one.rotate(3, BEGIN + 110, &LIFETIMES, CALM), Rotation::Reused);
    assert_eq!(one.rotate(u32::MAX, BEGIN + 110, &LIFETIMES, CALM), Rotation::Over);
}

// F08: refreshing moves the end of the idle time, never the absolute end.
#[test]
fn a_session_ends_when_idle_and_at_its_absolute_end_however_often_it_is_refreshed() {
    let mut one = session(1);
    assert!(one.is_live(BEGIN + 9_999, &LIFETIMES));
    assert!(!one.is_live(BEGIN + 10_000, &LIFETIMES));
    assert_eq!(one.rotate(0, BEGIN + 10_000, &LIFETIMES, CALM), Rotation::Over);
    let mut now = BEGIN;
    for generation in 1.. {
        now += 9_000;
        let rotation = one.rotate(generation - 1, now, &LIFETIMES, CALM);
        if now >= BEGIN + 100_000 {
            assert_eq!(rotation, Rotation::Over);
            break;
        }
        assert_eq!(rotation, Rotation::Rotated { generation });
        assert!(one.expires_at(&LIFETIMES) <= BEGIN + 100_000);
    }
    assert_eq!(one.spent(), 11);
}

// A process with a slow clock moves no time back.
#[test]
fn an_earlier_clock_does_not_shorten_a_session() {
    let mut one = session(1);
    one.rotate(0, BEGIN + 500, &LIFETIMES, CALM);
    one.rotate(1, BEGIN + 200, &LIFETIMES, CALM);
    assert_eq!(one.used_at, BEGIN + 500);
}

// A session that was handed over has no refresh token.
#[test]
fn a_session_at_the_edge_has_no_refresh_token() {
    for holder in [Holder::Edge, Holder::Offered { until: BEGIN + 60 }] {
        let mut one = Session { holder, ..session(1) };
        assert_eq!(one.rotate(0, BEGIN, &LIFETIMES, CALM), Rotation::Over);
        assert_eq!(one.spent(), 0);
    }
}

// F12: the limit ends the sessions that were idle for longest, and no more than necessary.
#[test]
fn the_surplus_are_the_sessions_that_were_idle_for_longest() {
    let mut live: Vec<Session> = (0..5).map(session).collect();
    for (index, used_at) in [50, 10, 40, 20, 30].into_iter().enumerate() {
        live[index].used_at = BEGIN + used_at;
    }
    let surplus = |cap| UserSessions::surplus(live.iter(), cap);
    assert_eq!(surplus(6), []);
    assert_eq!(surplus(5), [live[1].id]);
    assert_eq!(surplus(3), [live[1].id, live[3].id, live[4].id]);
    assert_eq!(surplus(1).len(), 5);
}

#[test]
fn ended_sessions_are_forgotten_in_time_and_stored_ones_come_back() {
    let mut held = UserSessions::default();
    assert_eq!(held.encode(), b"");
    let ended = |at| Some(Ended { at, by: "key".to_owned(), reason: None });
    for number in 0..u8::try_from(MAX_ENDED).unwrap() + 10 {
        let one = Session { ended: ended(BEGIN + u64::from(number)), ..session(number) };
        held.sessions.push(one);
    }
    held.sessions.push(session(200));
    assert_eq!(UserSessions::decode(&held.encode()), Ok(held.clone()));
    let mut extra = held.encode();
    extra.push(0);
    assert!(UserSessions::decode(&extra).is_err());
    assert!(UserSessions::decode(b"nonsense").is_err());
    held.tidy(BEGIN + 100, &LIFETIMES);
    assert_eq!(held.sessions.len(), MAX_ENDED + 1);
    assert_eq!(held.sessions[0].ended, ended(BEGIN + 10), "the oldest was removed");
    held.tidy(BEGIN + 10_000, &LIFETIMES);
    assert_eq!(held.sessions.len(), MAX_ENDED, "the expired one is removed, ended ones are denied");
    assert_eq!(held.forgettable_at(&LIFETIMES), Some(BEGIN + 100_000));
    held.tidy(BEGIN + 100_000, &LIFETIMES);
    assert_eq!((held.sessions.len(), held.forgettable_at(&LIFETIMES)), (0, None));
}

#[test]
fn the_first_end_of_a_session_is_final() {
    let mut one = session(1);
    let first = Ended { at: BEGIN, by: "a".to_owned(), reason: Some("lost".to_owned()) };
    one.end(first.clone());
    one.end(Ended { at: BEGIN + 5, by: "b".to_owned(), reason: None });
    assert_eq!(one.ended, Some(first));
    assert_eq!(one.rotate(0, BEGIN, &LIFETIMES, CALM), Rotation::Over);
    let text = one.id.to_string();
    assert_eq!((text.len(), text.parse()), (32, Ok(one.id)));
    let long = "A".repeat(33);
    for wrong in ["", "a", &text[..31], &format!("{}=", &text[..31]), long.as_str()] {
        assert!(wrong.parse::<SessionId>().is_err(), "{wrong}");
    }
}
