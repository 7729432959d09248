//! How many requests one API key, and one source of requests without a key, may send to this process.
//!
//! Everything is in the memory of the process, and asks no store: a store that is down limits no one. The memory
//! does not grow with the number of sources: those share a fixed number of cells, by a hash that is secret.

use std::hash::{BuildHasher, Hash, RandomState};
use std::marker::PhantomData;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::HashMapStateStore;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use offswitch_core::source::Source;

/// The limits, in requests per second; absent for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestLimits {
    /// For each API key.
    pub per_key: Option<NonZeroU32>,
    /// For each source of requests that no key is counted for.
    pub per_source: Option<NonZeroU32>,
}

/// Counts requests, and says which of them are beyond the limits.
pub struct RequestLimiter<C: Clock = MonotonicClock> {
    keys: Option<Limiter<String, HashMapStateStore<String>, C>>,
    sources: Option<Limiter<Source, Cells<Source>, C>>,
    warned_at: Mutex<Option<Instant>>,
}

type Limiter<K, S, C> = RateLimiter<K, S, C, NoOpMiddleware<<C as Clock>::Instant>>;

impl RequestLimiter {
    /// One that has counted nothing yet.
    pub fn new(limits: RequestLimits) -> Self {
        Self::with_clock(limits, &MonotonicClock)
    }
}

impl<C: Clock + Clone> RequestLimiter<C> {
    fn with_clock(limits: RequestLimits, clock: &C) -> Self {
        let keys = |quota| RateLimiter::new(quota, HashMapStateStore::default(), clock.clone());
        let sources = |quota| RateLimiter::new(quota, Cells::default(), clock.clone());
        Self {
            keys: limits.per_key.map(quota).map(keys),
            sources: limits.per_source.map(quota).map(sources),
            warned_at: Mutex::default(),
        }
    }

    /// Counts a request with the API key of this id; false if it is to be refused.
    pub fn admits_key(&self, id: &str) -> bool {
        let Some(keys) = &self.keys else { return true };
        if keys.len() > MOST_KEYS {
            // Those of deleted keys; what was not used lately is like new.
            keys.retain_recent();
        }
        let admitted = keys.check_key(&id.to_owned()).is_ok();
        if !admitted {
            metrics::counter!("offswitch_requests_refused_total", "reason" => "key_limit")
                .increment(1);
            self.warn(|| tracing::warn!(key = id, "the key exceeds requests_per_key"));
        }
        admitted
    }

    /// Counts a request from this address; false if it is to be refused. One that did not come by a
    /// connection was made by this process, and is not counted.
    pub fn admits_source(&self, address: Option<IpAddr>) -> bool {
        let (Some(sources), Some(address)) = (&self.sources, address) else { return true };
        let source = Source::of(address);
        let admitted = sources.check_key(&source).is_ok();
        if !admitted {
            metrics::counter!("offswitch_requests_refused_total", "reason" => "source_limit")
                .increment(1);
            self.warn(|| {
                tracing::warn!(
                    %source,
                    "the source exceeds requests_per_source; if it is a proxy, name it in \
                     trusted_proxies"
                );
            });
        }
        admitted
    }

    /// Logs now and then: a flood must not fill the log.
    fn warn(&self, log: impl FnOnce()) {
        let mut warned_at = self.warned_at.lock().unwrap_or_else(PoisonError::into_inner);
        if warned_at.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            *warned_at = Some(Instant::now());
            log();
        }
    }
}

fn quota(per_second: NonZeroU32) -> Quota {
    Quota::per_second(per_second).allow_burst(per_second.saturating_mul(BURST_SECONDS))
}

/// The state of all keys of a kind, of which there may be any number.
///
/// Two keys may share a cell, and then have one allowance together. To use up all cells takes their number times
/// the limit, more than one process can answer; and which key is in which cell cannot be guessed.
struct Cells<K> {
    hasher: RandomState,
    cells: Box<[InMemoryState]>,
    keys: PhantomData<fn(K)>,
}

impl<K> Default for Cells<K> {
    fn default() -> Self {
        let cells = (0..CELLS).map(|_| InMemoryState::default()).collect();
        Self { hasher: RandomState::new(), cells, keys: PhantomData }
    }
}

impl<K: Hash> StateStore for Cells<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let place = self.hasher.hash_one(key) % CELLS;
        let cell = &self.cells[usize::try_from(place).unwrap_or_default()];
        cell.measure_and_replace(&NotKeyed::NonKey, decide)
    }
}

/// How many seconds' worth of requests may come at the same moment: clients come back together after an outage.
const BURST_SECONDS: NonZeroU32 = NonZeroU32::new(10).unwrap();
/// 2 MiB.
const CELLS: u64 = 1 << 18;
/// More than there can be API keys.
const MOST_KEYS: usize = 2000;
const WARN_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limiter(
        per_key: u32,
        per_source: u32,
    ) -> (RequestLimiter<FakeRelativeClock>, FakeRelativeClock) {
        let (per_key, per_source) = (NonZeroU32::new(per_key), NonZeroU32::new(per_source));
        let clock = FakeRelativeClock::default();
        (RequestLimiter::with_clock(RequestLimits { per_key, per_source }, &clock), clock)
    }

    fn v4(number: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(number.into()))
    }

    // O08: after a second, as Retry-After says, as many requests as the limit says are admitted again.
    #[test]
    fn a_source_and_a_key_have_an_allowance_each_that_fills_up_again() {
        let (limiter, clock) = limiter(2, 3);
        let source = || (0..1000).filter(|_| limiter.admits_source(v4(1))).count();
        let key = |id: &str| (0..1000).filter(|_| limiter.admits_key(id)).count();
        assert_eq!((source(), key("key_a")), (30, 20));
        assert_eq!((source(), key("key_a")), (0, 0));
        assert!(limiter.admits_source(v4(2)) && limiter.admits_key("key_b"));
        clock.advance(Duration::from_secs(1));
        assert_eq!((source(), key("key_a")), (3, 2));
        clock.advance(Duration::from_secs(3600));
        assert_eq!((source(), key("key_a")), (30, 20));
    }

    // O08: all addresses of an IPv6 network are one source.
    #[test]
    fn one_network_has_one_allowance() {
        let (limiter, _) = limiter(0, 1);
        let from = |text: String| limiter.admits_source(Some(text.parse().unwrap()));
        let admitted = (0..100).filter(|n| from(format!("2001:db8:1:2::{n:x}"))).count();
        assert_eq!(admitted, 10);
        assert!(from("2001:db8:1:3::1".to_owned()));
    }

    #[test]
    fn without_limits_everything_is_admitted() {
        let (limiter, _) = limiter(0, 0);
        assert!((0..10_000).all(|_| limiter.admits_key("key_a") && limiter.admits_source(v4(1))));
        let (limiter, _) = self::limiter(1, 1);
        assert!((0..100).all(|_| limiter.admits_source(None)), "what this process asks itself");
    }

    // O08, A05: an attacker with a million addresses takes no memory, and honest clients are served.
    #[test]
    fn a_million_sources_take_no_more_memory_than_one() {
        let (limiter, _) = limiter(0, 100);
        assert!(limiter.admits_source(v4(0)));
        let before = resident_bytes();
        let admitted = (0..1_000_000).filter(|number| limiter.admits_source(v4(*number))).count();
        assert_eq!(admitted, 1_000_000);
        let grown = resident_bytes().saturating_sub(before);
        // A map of them would take 64 MB; other tests of this process take some at the same time.
        assert!(grown < 32 << 20, "{grown} bytes more");
    }

    // O08: keys that were deleted are forgotten.
    #[test]
    fn the_keys_that_are_remembered_are_bounded() {
        let (limiter, clock) = limiter(1, 0);
        for number in 0..20_000 {
            assert!(limiter.admits_key(&format!("key_{number}")));
            clock.advance(Duration::from_secs(1));
        }
        assert!(limiter.keys.as_ref().unwrap().len() <= MOST_KEYS + 1);
    }

    fn resident_bytes() -> u64 {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    }
}
