//! One address of the feed: what it was asked for, and how it has behaved.

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, HeaderValue, header};
use offswitch_verifier::snapshot::Position;
use url::Url;

use crate::backoff::Backoff;
use crate::options::FeedAddress;

pub(crate) struct Source {
    pub(super) url: String,
    /// True for the address of a head, which names files next to it.
    pub(super) is_head: bool,
    base: Url,
    authorization: Option<HeaderValue>,
    state: Mutex<SourceState>,
}

/// How an address has behaved.
pub(super) struct SourceState {
    pub(super) polls: Backoff,
    /// They may not get through where polls do.
    pub(super) streams: Backoff,
    /// What a request brought last: its address and its entity tag.
    pub(super) seen: Option<(String, HeaderValue)>,
    /// For how many seconds a long poll is let through on the way, as far as is known.
    pub(super) hold_seconds: f64,
    /// How old the newest statement may be that a poll brings: a relay says it of itself.
    pub(super) heartbeat_seconds: u32,
}

/// The two ways to follow an address fail apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Polls,
    Streams,
}

impl Source {
    pub(super) fn new(address: &FeedAddress) -> Option<Self> {
        let authorization = address.api_key.as_ref().map(|key| {
            let mut value = HeaderValue::try_from(format!("Bearer {key}")).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        let state = SourceState {
            polls: Backoff::default(),
            streams: Backoff::default(),
            seen: None,
            hold_seconds: f64::INFINITY,
            heartbeat_seconds: if address.is_head { HEAD_SECONDS } else { 0 },
        };
        Some(Self {
            url: address.url.clone(),
            is_head: address.is_head,
            base: Url::parse(&address.url).ok()?,
            authorization: authorization.flatten(),
            state: Mutex::new(state),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, SourceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address of `path` below the feed's.
    pub(super) fn address(&self, path: &str, since: Option<Position>, wait_seconds: f64) -> String {
        let mut address = self.base.clone();
        let full = format!("{}{path}", address.path().trim_end_matches('/'));
        address.set_path(&full);
        address.set_fragment(None);
        if let Some(since) = since {
            address.query_pairs_mut().append_pair("since", &since.to_string());
            if wait_seconds >= 1.0 {
                address.query_pairs_mut().append_pair("wait", &wait_seconds.floor().to_string());
            }
        }
        address.into()
    }

    /// The address of a part, by its name below the folder of the head.
    pub(super) fn part(&self, name: &str) -> String {
        let mut address = self.base.clone();
        address.set_fragment(None);
        // Addresses of HTTP have segments.
        if let Ok(mut segments) = address.path_segments_mut() {
            segments.pop().extend(name.split('/'));
        }
        address.into()
    }

    /// The headers of each request to it.
    pub(super) fn headers(&self) -> HeaderMap {
        let key = self.authorization.clone().map(|value| (header::AUTHORIZATION, value));
        key.into_iter().collect()
    }
}

impl SourceState {
    pub(super) fn backoff(&mut self, way: Way) -> &mut Backoff {
        match way {
            Way::Polls => &mut self.polls,
            Way::Streams => &mut self.streams,
        }
    }

    /// Learns how long a long poll is let through: a proxy may cut off what takes longer than its own limit. What
    /// was cut off by a failure instead is tried for longer again, little by little.
    pub(super) fn learn(&mut self, seconds: f64, is_cut: bool) {
        if is_cut {
            self.hold_seconds = (seconds * 0.7).max(1.0);
        } else if seconds >= self.hold_seconds * 0.9 {
            self.hold_seconds *= 1.1;
        }
    }
}

/// How old a head's heartbeat may be: it is published every few seconds, and caches keep it for one.
const HEAD_SECONDS: u32 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    // P05: parts are next to the head, with the same query.
    #[test]
    fn the_parts_of_a_head_are_next_to_it() {
        for (head, part) in [
            ("https://a.example/v1/feed/head", "https://a.example/v1/feed/deltas/7.1_7.2"),
            ("https://a.example/feed/head?sig=x#y", "https://a.example/feed/deltas/7.1_7.2?sig=x"),
            ("https://a.example/head", "https://a.example/deltas/7.1_7.2"),
        ] {
            let source = Source::new(&FeedAddress::head(head)).unwrap();
            assert_eq!(source.part("deltas/7.1_7.2"), part);
        }
    }

    fn source(url: &str) -> Source {
        Source::new(&FeedAddress::new(url).api_key("secret")).unwrap()
    }

    // S19: the path is below the address, also if the address has a query.
    #[test]
    fn an_address_keeps_its_own_query_and_path() {
        let source = source("https://a.example/v1/feed/?tenant=a");
        let since = Some(Position { era: 1, seq: 2 });
        assert_eq!(source.address("", None, 20.0), "https://a.example/v1/feed?tenant=a");
        let expected = "https://a.example/v1/feed?tenant=a&since=1.2&wait=6";
        assert_eq!(source.address("", since, 6.6), expected);
        assert_eq!(
            source.address("/stream", None, 0.0),
            "https://a.example/v1/feed/stream?tenant=a"
        );
    }

    #[test]
    fn a_cut_off_long_poll_is_shorter_next_and_grows_little_by_little() {
        let source = source("https://a.example/");
        source.state().learn(10.0, true);
        assert_eq!(source.state().hold_seconds, 7.0);
        source.state().learn(3.0, false);
        assert_eq!(source.state().hold_seconds, 7.0);
        source.state().learn(6.5, false);
        assert!((source.state().hold_seconds - 7.7).abs() < 1e-9);
        source.state().learn(0.5, true);
        assert_eq!(source.state().hold_seconds, 1.0);
    }

    // A07: no key in what is printed.
    #[test]
    fn a_key_is_marked_as_a_secret() {
        let headers = format!("{:?}", source("https://a.example/").headers());
        assert!(!headers.contains("secret"), "{headers}");
    }
}
