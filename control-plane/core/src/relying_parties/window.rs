//! The notices that are on their way to one relying party: a bounded window of its queue, the log.

use std::collections::VecDeque;

use super::answer::{Outcome, pause_seconds};
use super::notice::Notice;
use super::progress::Place;

/// What the queue has next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A notice to deliver.
    Notice(Notice),
    /// Everything up to this place was handed out.
    Reached(Place),
}

/// How a notice was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The relying party has it.
    Delivered,
    /// It was too old, or failed too often while others were accepted.
    GivenUp,
    /// The relying party refused it.
    Refused,
}

/// The notices on their way, in the order of the log. One that fails does not hold up the others, as
/// long as the window has room; the cursor moves only past what is settled. Times of attempts are seconds
/// of any clock that is never set back.
#[derive(Debug, Default)]
pub struct Window {
    slots: VecDeque<Slot>,
    /// Number of the first slot.
    first: u64,
    /// How many notices were answered, accepted or refused.
    answered: u64,
    /// How many rounds in a row were answered by nothing.
    failed_rounds: u32,
    paused_until: f64,
}

#[derive(Debug)]
enum Slot {
    Pending(Box<Pending>),
    Reached(Place),
    Settled,
}

#[derive(Debug)]
struct Pending {
    notice: Notice,
    attempts: u32,
    /// Attempts that failed although others were answered since the one before.
    alone: u32,
    answered_before: u64,
    due: f64,
}

impl Window {
    /// True if another item has room.
    pub fn has_room(&self) -> bool {
        self.slots.len() < MOST_SLOTS
    }

    /// Adds what the queue has next.
    pub fn push(&mut self, item: Item) {
        let answered_before = self.answered;
        self.slots.push_back(match item {
            Item::Notice(notice) => {
                let pending = Pending { notice, attempts: 0, alone: 0, answered_before, due: 0.0 };
                Slot::Pending(Box::new(pending))
            }
            Item::Reached(place) => Slot::Reached(place),
        });
    }

    /// The notices to send at `clock`, with their numbers: those with the fewest attempts first. A
    /// relying party that answered nothing in the last round is tried with a few.
    pub fn due(&self, clock: f64) -> Vec<(u64, Notice)> {
        if clock < self.paused_until {
            return vec![];
        }
        let mut due: Vec<(u64, &Pending)> =
            self.pending().filter(|(_, one)| one.due <= clock).collect();
        due.sort_by_key(|(_, one)| one.attempts);
        let most = if self.failed_rounds == 0 { ROUND } else { PROBES };
        due.into_iter().take(most).map(|(number, one)| (number, one.notice.clone())).collect()
    }

    /// When there may be something to send, on the clock of [`due`](Self::due); none if nothing waits.
    pub fn next_due(&self) -> Option<f64> {
        let earliest = self.pending().map(|(_, one)| one.due).reduce(f64::min)?;
        Some(earliest.max(self.paused_until))
    }

    /// Takes in what came of one round of attempts that ended at `clock`. Returns how notices were
    /// settled.
    pub fn note(&mut self, round: &[(u64, Outcome)], clock: f64, random: u32) -> Vec<Settled> {
        let is_answer = |outcome: &Outcome| !matches!(outcome, Outcome::Failed { .. });
        let answered = round.iter().filter(|(_, outcome)| is_answer(outcome)).count();
        self.answered += answered as u64;
        let mut settled = Vec::new();
        let mut longest_asked = None;
        for (number, outcome) in round {
            let answered = self.answered;
            let Some(slot) = self.slot(*number) else { continue };
            let Slot::Pending(pending) = slot else { continue };
            let how = match outcome {
                Outcome::Delivered => Some(Settled::Delivered),
                Outcome::Refused { .. } => Some(Settled::Refused),
                Outcome::Failed { retry_after, .. } => {
                    longest_asked = longest_asked.max(*retry_after);
                    pending.fail(answered, *retry_after, clock, random)
                }
            };
            if let Some(how) = how {
                *slot = Slot::Settled;
                settled.push(how);
            }
        }
        if answered > 0 {
            self.failed_rounds = 0;
        } else if !round.is_empty() {
            self.failed_rounds = self.failed_rounds.saturating_add(1);
            let pause = pause_seconds(self.failed_rounds, longest_asked, random);
            self.paused_until = clock + pause;
        }
        settled
    }

    /// Gives up what is too old at `now` (unix seconds). Returns how many notices that are.
    pub fn give_up_old(&mut self, now: u64) -> usize {
        let mut count = 0;
        for slot in &mut self.slots {
            if matches!(slot, Slot::Pending(pending) if pending.notice.is_too_old(now)) {
                *slot = Slot::Settled;
                count += 1;
            }
        }
        count
    }

    /// The last place up to which everything is settled, if that is further than before.
    pub fn settle(&mut self) -> Option<Place> {
        let mut reached = None;
        while let Some(Slot::Reached(_) | Slot::Settled) = self.slots.front() {
            self.first += 1;
            if let Some(Slot::Reached(place)) = self.slots.pop_front() {
                reached = Some(place);
            }
        }
        reached
    }

    /// When the session ended whose notice waits for longest, unix seconds.
    pub fn waiting_since(&self) -> Option<u64> {
        self.pending().map(|(_, one)| one.notice.at).min()
    }

    /// How many notices wait in the window.
    pub fn waiting(&self) -> usize {
        self.pending().count()
    }

    fn pending(&self) -> impl Iterator<Item = (u64, &Pending)> {
        let numbered = (self.first..).zip(&self.slots);
        numbered.filter_map(|(number, slot)| match slot {
            Slot::Pending(pending) => Some((number, &**pending)),
            Slot::Reached(_) | Slot::Settled => None,
        })
    }

    fn slot(&mut self, number: u64) -> Option<&mut Slot> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.slots.get_mut(place)
    }
}

impl Pending {
    /// One more attempt failed. It is given up if that happens again and again while others are answered.
    fn fail(
        &mut self,
        answered: u64,
        retry_after: Option<u64>,
        clock: f64,
        random: u32,
    ) -> Option<Settled> {
        self.attempts = self.attempts.saturating_add(1);
        self.due = clock + pause_seconds(self.attempts, retry_after, random);
        if answered > self.answered_before {
            self.alone += 1;
        }
        self.answered_before = answered;
        (self.alone >= MOST_ALONE).then_some(Settled::GivenUp)
    }
}

/// How many notices and places may be between the cursor and the newest attempt.
const MOST_SLOTS: usize = 256;
/// How many notices are sent at the same time.
const ROUND: usize = 16;
/// How many are sent to a relying party that answered none.
const PROBES: usize = 2;
/// With the pauses between them, this many attempts take about 45 minutes.
const MOST_ALONE: u32 = 16;

#[cfg(test)]
mod tests {
    use super::super::answer::UNEXPECTED_STATUS;
    use super::super::notice::Initiator;
    use super::*;

    fn notice(sid: u64) -> Notice {
        let sid = Some(sid.to_string());
        Notice { sid, sub: None, at: 1_000, initiator: Initiator::Policy }
    }

    fn window(count: u64) -> Window {
        let mut window = Window::default();
        for number in 0..count {
            window.push(Item::Notice(notice(number)));
            window.push(Item::Reached(Place::after(1, number)));
        }
        window
    }

    fn failed() -> Outcome {
        Outcome::Failed { code: UNEXPECTED_STATUS, detail: String::new(), retry_after: None }
    }

    /// One round at `clock`, in which the relying party answers as `answer` says.
    fn round(
        window: &mut Window,
        clock: f64,
        answer: impl Fn(&str) -> Outcome,
    ) -> (usize, Vec<Settled>) {
        let due = window.due(clock);
        let outcomes: Vec<_> = due
            .iter()
            .map(|(number, notice)| (*number, answer(notice.sid.as_deref().unwrap())))
            .collect();
        (due.len(), window.note(&outcomes, clock, u32::MAX / 2))
    }

    // L03: the cursor never passes a notice that is not settled.
    #[test]
    fn the_cursor_stops_before_a_notice_that_failed_and_others_go_on() {
        let mut window = window(4);
        let answer = |sid: &str| if sid == "1" { failed() } else { Outcome::Delivered };
        let (sent, settled) = round(&mut window, 0.0, answer);
        assert_eq!((sent, settled.len()), (4, 3));
        assert_eq!(window.settle(), Some(Place::after(1, 0)));
        assert_eq!((window.settle(), window.waiting()), (None, 1));
        // Not before its pause is over.
        assert_eq!(round(&mut window, 0.5, answer).0, 0);
        assert!((window.next_due().unwrap() - 1.0).abs() < 0.01);
        let (sent, settled) =
            round(&mut window, 1.1, |_| Outcome::Refused { detail: String::new() });
        assert_eq!((sent, settled), (1, vec![Settled::Refused]));
        assert_eq!(window.settle(), Some(Place::after(1, 3)));
        assert_eq!(window.next_due(), None);
    }

    // L04: a relying party that is down gets a few requests after each pause, and loses nothing.
    #[test]
    fn a_relying_party_that_is_down_is_tried_with_a_few_after_longer_and_longer_pauses() {
        let mut window = window(50);
        assert_eq!(round(&mut window, 0.0, |_| failed()), (ROUND, vec![]));
        let (mut clock, mut pauses) = (0.0, Vec::new());
        for _ in 0..40 {
            let next = window.next_due().unwrap();
            pauses.push((next - clock).round());
            assert!(window.due(next - 0.01).is_empty());
            clock = next;
            assert_eq!(round(&mut window, clock, |_| failed()), (PROBES, vec![]));
        }
        assert_eq!(pauses[..5], [1.0, 2.0, 4.0, 8.0, 16.0]);
        assert_eq!(pauses[39], 300.0);
        assert_eq!((window.waiting(), window.settle()), (50, None));
        // It is back: everything arrives, in full rounds.
        let (mut rounds, mut clock) = (0, window.next_due().unwrap());
        while window.waiting() > 0 {
            round(&mut window, clock, |_| Outcome::Delivered);
            rounds += 1;
            clock = window.next_due().unwrap_or(clock).max(clock);
        }
        assert!(rounds <= 50, "{rounds}");
        assert_eq!(window.settle(), Some(Place::after(1, 49)));
    }

    // L04: one notice that a relying party cannot take is given up, long after others were accepted.
    #[test]
    fn a_notice_that_fails_alone_is_given_up_and_one_that_fails_with_all_is_not() {
        let mut window = window(1);
        let (mut clock, mut number, mut settled) = (0.0, 100, vec![]);
        while settled.is_empty() {
            window.push(Item::Notice(notice(number)));
            number += 1;
            let answer = |sid: &str| if sid == "0" { failed() } else { Outcome::Delivered };
            settled = round(&mut window, clock, answer).1;
            settled.retain(|one| *one != Settled::Delivered);
            clock += 1.0;
        }
        assert_eq!(settled, [Settled::GivenUp]);
        assert!((2_000.0..4_000.0).contains(&clock), "after {clock} s");
    }

    // L04: what is too old is given up, also if the relying party never answers.
    #[test]
    fn what_is_too_old_is_given_up() {
        let mut window = window(2);
        let old = 1_000 + super::super::MAX_AGE_SECONDS;
        assert_eq!((window.give_up_old(old - 1), window.waiting_since()), (0, Some(1_000)));
        assert_eq!((window.give_up_old(old), window.waiting_since()), (2, None));
        assert_eq!(window.settle(), Some(Place::after(1, 1)));
    }

    // L05: memory is bounded by the window.
    #[test]
    fn the_window_has_room_for_so_many_and_no_more() {
        let mut window = Window::default();
        let mut count = 0;
        while window.has_room() {
            window.push(Item::Notice(notice(count)));
            count += 1;
        }
        assert_eq!(count, MOST_SLOTS as u64);
        round(&mut window, 0.0, |_| Outcome::Delivered);
        window.settle();
        assert!(window.has_room());
    }
}
