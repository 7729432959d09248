//! How many requests of one address are refused in one second before the receivers stop to look at them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::source::Source;

/// The addresses whose requests were refused or accepted lately; a bounded number.
///
/// An address that an accepted request came from is limited as its issuer is, and no more: it may be a
/// proxy, behind which a provider and an attacker are one address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources(BTreeMap<Source, Seen>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    second: u64,
    refused: u32,
    accepted_at: Option<u64>,
}

impl Sources {
    /// True if a request that arrives at `now` (unix seconds) is to be looked at.
    pub fn allows(&self, source: IpAddr, now: u64) -> bool {
        self.0.get(&Source::of(source)).is_none_or(|seen| {
            seen.second != now || seen.refused < MOST_REFUSED_PER_SECOND || seen.is_known(now)
        })
    }

    /// Counts a request that was refused at `now` (unix seconds).
    pub fn note_refused(&mut self, source: IpAddr, now: u64) {
        if let Some(seen) = self.seen(source, now) {
            if seen.second != now {
                (seen.second, seen.refused) = (now, 0);
            }
            seen.refused = seen.refused.saturating_add(1);
        }
    }

    /// Notes that a request was accepted at `now` (unix seconds).
    pub fn note_accepted(&mut self, source: IpAddr, now: u64) {
        if let Some(seen) = self.seen(source, now) {
            seen.accepted_at = Some(now);
        }
    }

    /// The entry of a source; none if there is no room, since then the limit of the issuer has to do.
    fn seen(&mut self, source: IpAddr, now: u64) -> Option<&mut Seen> {
        let source = Source::of(source);
        if self.0.len() >= MOST_SOURCES && !self.0.contains_key(&source) {
            self.0.retain(|_, seen| seen.second == now || seen.is_known(now));
        }
        let has_room = self.0.len() < MOST_SOURCES;
        if !has_room && !self.0.contains_key(&source) {
            return None;
        }
        Some(self.0.entry(source).or_default())
    }
}

impl Seen {
    fn is_known(&self, now: u64) -> bool {
        self.accepted_at.is_some_and(|at| at.saturating_add(KNOWN_SECONDS) >= now)
    }
}

/// A tenth of what an issuer's receiver refuses: ten addresses have to work together to use that up.
const MOST_REFUSED_PER_SECOND: u32 = 100;
/// Providers send at least once a day, or verify their stream.
const KNOWN_SECONDS: u64 = 86_400;
/// About 300 KiB.
const MOST_SOURCES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    // I10
    #[test]
    fn refused_requests_of_one_address_are_limited_and_no_others() {
        let mut sources = Sources::default();
        for _ in 0..MOST_REFUSED_PER_SECOND {
            assert!(sources.allows(v4(1), 7));
            sources.note_refused(v4(1), 7);
        }
        assert!(!sources.allows(v4(1), 7));
        assert!(sources.allows(v4(2), 7) && sources.allows(v4(1), 8));
        sources.note_refused(v4(1), 8);
        assert!(sources.allows(v4(1), 8));
    }

    // I10: what a provider and an attacker share, such as a proxy, is limited as the issuer is.
    #[test]
    fn an_address_that_sent_what_was_accepted_has_the_limit_of_the_issuer_alone() {
        let mut sources = Sources::default();
        let refuse = |sources: &mut Sources, now| {
            (0..MOST_REFUSED_PER_SECOND).for_each(|_| sources.note_refused(v4(1), now));
        };
        sources.note_accepted(v4(1), 7);
        refuse(&mut sources, 7);
        assert!(sources.allows(v4(1), 7));
        refuse(&mut sources, 7 + KNOWN_SECONDS + 1);
        assert!(!sources.allows(v4(1), 7 + KNOWN_SECONDS + 1));
    }

    // I10: all addresses of one customer are one, and a mapped IPv4 address is that address.
    #[test]
    fn an_ipv6_network_is_one_source() {
        let mut sources = Sources::default();
        let parse = |text: &str| text.parse::<IpAddr>().unwrap();
        for number in 0..MOST_REFUSED_PER_SECOND {
            sources.note_refused(parse(&format!("2001:db8:1:2::{number:x}")), 7);
        }
        assert!(!sources.allows(parse("2001:db8:1:2:ffff::1"), 7));
        assert!(sources.allows(parse("2001:db8:1:3::1"), 7));
        (0..MOST_REFUSED_PER_SECOND).for_each(|_| sources.note_refused(parse("192.0.2.1"), 7));
        assert!(!sources.allows(parse("::ffff:192.0.2.1"), 7));
    }

    // I10: an attacker with many addresses fills no memory, and does not push out providers.
    #[test]
    fn there_is_room_for_a_bounded_number_of_sources() {
        let mut sources = Sources::default();
        sources.note_accepted(v4(0), 6);
        for number in 1..20_000 {
            sources.note_refused(v4(number), 7);
        }
        assert_eq!(sources.0.len(), MOST_SOURCES);
        assert!(sources.0.contains_key(&Source::of(v4(0))));
        // The next second has room again.
        sources.note_refused(v4(30_000), 8);
        assert_eq!(sources.0.len(), 2);
    }
}
