//! The deltas that a head lists.

use std::collections::BTreeMap;

use offswitch_snapshot::{FeedHead, HeadDelta, MAX_HEAD_DELTAS, Position};

/// The deltas of one head after the other: for each beginning the one that reaches farthest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    end: Position,
    deltas: BTreeMap<Position, (Position, u64)>,
}

impl Listing {
    /// No deltas, at the position of a base.
    pub fn begin(at: Position) -> Self {
        Self { end: at, deltas: BTreeMap::new() }
    }

    /// The deltas of a head.
    pub fn of(head: &FeedHead) -> Self {
        let deltas = head.deltas.iter().map(|delta| (delta.from, (delta.to, delta.bytes)));
        Self { end: head.position, deltas: deltas.collect() }
    }

    /// Where the chains end.
    pub fn end(&self) -> Position {
        self.end
    }

    /// From where deltas to `to`, the next end, are to be written: from the present end, and from all stops of a
    /// chain that would become longer than eight. So a chain stays short, and few deltas are written.
    pub fn beginnings(&self) -> Vec<Position> {
        let mut beginnings = vec![self.end];
        let mut shortened = self.clone();
        for from in self.deltas.keys() {
            // The chain, and the delta that is added to it.
            let stops = shortened.stops(*from);
            if stops.len() < MOST_STOPS {
                continue;
            }
            for stop in stops {
                shortened.deltas.insert(stop, (self.end, 0));
                if !beginnings.contains(&stop) {
                    beginnings.push(stop);
                }
            }
        }
        beginnings
    }

    /// Lists a delta that ends at the next end. Each that [`beginnings`](Self::beginnings) names is
    /// added before [`advance`](Self::advance).
    pub fn add(&mut self, from: Position, to: Position, bytes: u64) {
        self.deltas.insert(from, (to, bytes));
    }

    /// Moves the end. A delta from the end before must have been added.
    pub fn advance(&mut self, to: Position) {
        self.end = to;
    }

    /// True if a chain leads from `from` to the end.
    pub fn leads_from(&self, from: Position) -> bool {
        from == self.end || self.stops(from).last().is_some_and(|last| self.next(*last) == self.end)
    }

    /// Leaves out the oldest beginnings, of which there are too many. Only readers that a base at `base` brings
    /// further may have to do without.
    pub fn shorten(&mut self, base: Position) {
        while self.deltas.len() > MAX_HEAD_DELTAS {
            match self.deltas.first_key_value() {
                Some((oldest, _)) if *oldest < base => self.deltas.pop_first(),
                _ => return,
            };
        }
    }

    /// True if more deltas are listed than a head should have.
    pub fn is_long(&self) -> bool {
        self.deltas.len() > MAX_HEAD_DELTAS
    }

    /// As a head has them.
    pub fn deltas(&self) -> Vec<HeadDelta> {
        let delta = |(from, (to, bytes)): (&Position, &(Position, u64))| HeadDelta {
            from: *from,
            to: *to,
            bytes: *bytes,
        };
        self.deltas.iter().map(delta).collect()
    }

    /// The beginnings of the deltas of the chain that begins at `from`.
    fn stops(&self, from: Position) -> Vec<Position> {
        let next = |at: &Position| self.deltas.get(at).map(|(to, _)| *to);
        let chain = std::iter::successors(Some(from), next);
        chain.filter(|stop| self.deltas.contains_key(stop)).collect()
    }

    fn next(&self, from: Position) -> Position {
        self.deltas.get(&from).map_or(from, |(to, _)| *to)
    }
}

/// The most deltas that a reader has to fetch.
const MOST_STOPS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64) -> Position {
        Position { era: 1, seq }
    }

    /// Publishes that many times; how many deltas were written in all.
    fn publish(listing: &mut Listing, times: u64, base_every: u64) -> usize {
        let mut written = 0;
        for _ in 0..times {
            let to = at(listing.end().seq + 1);
            for from in listing.beginnings() {
                listing.add(from, to, 1);
                written += 1;
            }
            listing.advance(to);
            listing.shorten(at(to.seq - to.seq % base_every));
        }
        written
    }

    // P05: from each position that a reader of an earlier head may hold, a short chain leads on from there; and few deltas are
    // written for that.
    #[test]
    fn a_short_chain_leads_on_from_each_of_the_last_positions() {
        let mut listing = Listing::begin(at(5));
        let mut written = 0;
        for times in 1..400_u64 {
            written += publish(&mut listing, 1, 1);
            let end = listing.end().seq;
            for back in 1..=times.min(MAX_HEAD_DELTAS as u64) {
                let stops = listing.stops(at(end - back));
                assert!(listing.leads_from(at(end - back)), "{back} back after {times}");
                assert!(stops.len() <= MOST_STOPS, "{} deltas from {back} back", stops.len());
            }
            assert!(listing.deltas.len() <= MAX_HEAD_DELTAS);
        }
        assert!(written < 400 * 4, "{written} deltas");
        assert!(!listing.leads_from(at(5)) && !listing.leads_from(at(9_999)));
    }

    // P05: a reader between the last base and the end is never left without a way.
    #[test]
    fn no_beginning_after_the_base_is_left_out() {
        let mut listing = Listing::begin(at(5));
        publish(&mut listing, 200, 1_000);
        assert!(listing.is_long() && (5..205).all(|seq| listing.leads_from(at(seq))));
        listing.shorten(at(100));
        assert!(!listing.is_long() || listing.deltas.keys().all(|from| *from >= at(100)));
        assert!((100..205).all(|seq| listing.leads_from(at(seq))));
    }

    #[test]
    fn a_listing_is_read_from_the_head_that_it_was_written_in() {
        let mut listing = Listing::begin(at(5));
        publish(&mut listing, 20, 1);
        let head = FeedHead {
            format: 1,
            feed: "feed".to_owned(),
            position: listing.end(),
            heartbeat: String::new(),
            base: offswitch_snapshot::HeadBase {
                position: at(5),
                digest: offswitch_snapshot::BaseDigest::of(b""),
                bytes: 1,
            },
            deltas: listing.deltas(),
            on_demand: false,
        };
        assert_eq!(head.check("feed"), Ok(()));
        assert_eq!(Listing::of(&head), listing);
    }
}
