//! Values that a caller retrieves later.

use std::collections::VecDeque;
use std::num::NonZeroU32;

/// Stores values until their tickets are presented. If no place is free, the oldest is dropped.
#[derive(Debug)]
pub(crate) struct Tickets<T> {
    held: VecDeque<(NonZeroU32, T)>,
    next: NonZeroU32,
    places: usize,
}

impl<T> Tickets<T> {
    pub(crate) fn new(places: usize) -> Self {
        Self { held: VecDeque::new(), next: NonZeroU32::MIN, places }
    }

    /// A ticket repeats only after all other numbers, and there are far fewer places than that.
    pub(crate) fn put(&mut self, value: T) -> NonZeroU32 {
        let ticket = self.next;
        self.next = ticket.checked_add(1).unwrap_or(NonZeroU32::MIN);
        self.held.truncate(self.places.saturating_sub(1));
        self.held.push_front((ticket, value));
        ticket
    }

    pub(crate) fn find(&self, ticket: NonZeroU32) -> Option<&T> {
        self.held.iter().find(|(held, _)| *held == ticket).map(|(_, value)| value)
    }

    pub(crate) fn find_mut(&mut self, ticket: NonZeroU32) -> Option<&mut T> {
        self.held.iter_mut().find(|(held, _)| *held == ticket).map(|(_, value)| value)
    }

    pub(crate) fn take(&mut self, ticket: NonZeroU32) -> Option<T> {
        let at = self.held.iter().position(|(held, _)| *held == ticket)?;
        self.held.remove(at).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::Tickets;

    #[test]
    fn a_ticket_finds_its_value_until_it_is_taken() {
        let mut tickets = Tickets::new(3);
        let (one, two) = (tickets.put("one"), tickets.put("two"));
        assert_ne!(one, two);
        assert_eq!(tickets.find(one), Some(&"one"));
        assert_eq!(tickets.take(one), Some("one"));
        assert_eq!(tickets.take(one), None);
        assert_eq!(tickets.find_mut(two), Some(&mut "two"));
    }

    #[test]
    fn the_oldest_value_is_dropped_when_no_place_is_left() {
        let mut tickets = Tickets::new(2);
        let given = [1, 2, 3].map(|value| tickets.put(value));
        assert_eq!(given.map(|ticket| tickets.find(ticket).copied()), [None, Some(2), Some(3)]);
    }

    #[test]
    fn a_ticket_is_never_zero_even_when_the_numbers_start_again() {
        let mut tickets = Tickets::new(2);
        tickets.next = NonZeroU32::MAX;
        let (last, first) = (tickets.put("last"), tickets.put("first"));
        assert_eq!((last, first), (NonZeroU32::MAX, NonZeroU32::MIN));
        assert_eq!((tickets.find(last), tickets.find(first)), (Some(&"last"), Some(&"first")));
    }
}
