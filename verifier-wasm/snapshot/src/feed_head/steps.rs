//! How a reader gets from where it is to the position of a head.

use super::{FeedHead, HeadDelta, Part};
use crate::position::Position;

/// What a reader does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The head is older than what is held.
    Behind,
    /// It fetches this part, which the head lists, and goes on from where it is then.
    Fetch(Part),
    /// It asks for this delta, which the place may make. If it does not, it takes the base.
    Ask(Part),
    /// It is at the position of the head: it applies the heartbeat.
    Heartbeat,
    /// Nothing in this head leads to its position.
    NoWay,
}

impl FeedHead {
    /// What a reader that holds everything up to `held` does next. `may_take_base` is false once the
    /// base was taken in this round; `may_ask` is false once the place was asked in vain.
    pub fn next_step(&self, held: Option<Position>, may_take_base: bool, may_ask: bool) -> Step {
        let base = || match may_take_base {
            true => Step::Fetch(self.base.part()),
            false => Step::NoWay,
        };
        let Some(held) = held else { return base() };
        if held == self.position {
            return Step::Heartbeat;
        }
        if held > self.position {
            return Step::Behind;
        }
        if held.era != self.position.era {
            return base();
        }
        // A base that ends where the reader is, or before, leads nowhere.
        let leads_on = self.base.position > held;
        if let Some((first, bytes)) = self.chain(held)
            && (!may_take_base || !leads_on || bytes <= self.bytes_by_base())
        {
            return Step::Fetch(Part::Delta { from: first.from, to: first.to });
        }
        if self.on_demand && may_ask {
            return Step::Ask(Part::Delta { from: held, to: self.position });
        }
        if leads_on { base() } else { Step::NoWay }
    }

    /// The first delta of the chain from `from` to the position of the head, and the bytes of all.
    fn chain(&self, from: Position) -> Option<(&HeadDelta, u64)> {
        let (mut at, mut bytes, mut first) = (from, 0_u64, None);
        for _ in 0..MAX_CHAIN {
            let place = self.deltas.binary_search_by(|delta| delta.from.cmp(&at)).ok()?;
            let delta = self.deltas.get(place)?;
            bytes = bytes.saturating_add(delta.bytes);
            first = first.or(Some(delta));
            at = delta.to;
            if at == self.position {
                return first.map(|first| (first, bytes));
            }
        }
        None
    }

    /// The bytes of the base and of the chain from there; the most there can be if none leads on.
    fn bytes_by_base(&self) -> u64 {
        let base = &self.base;
        if base.position == self.position {
            return base.bytes;
        }
        self.chain(base.position).map_or(u64::MAX, |(_, rest)| rest.saturating_add(base.bytes))
    }
}

/// The most deltas that one round fetches.
const MAX_CHAIN: usize = 64;
