//! Polling a transmitter for security events (RFC 8936): what is asked, what is read from the answer, and
//! when to ask again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use offswitch_verifier::read_object;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Refusal;
use super::stream::TRANSMITTER_INVALID;

/// Where the events of a stream are polled that was set up at the transmitter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Poll {
    /// The `endpoint_url` of the stream.
    pub endpoint: String,
}

/// What the transmitter is answered about the events that it gave out before (RFC 8936 section 2.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replies {
    acknowledged: BTreeSet<String>,
    refused: BTreeMap<String, (&'static str, &'static str)>,
}

/// What a poll brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// The events, by the `jti` under which the transmitter lists them; none in place of what is not a
    /// text. At most 100: what is left out comes again.
    pub events: Vec<(String, Option<String>)>,
}

/// When to poll again, and for how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    most_events: usize,
    failures: u32,
}

impl Replies {
    /// The event is durable, or there is nothing to do.
    pub fn acknowledge(&mut self, jti: String) {
        self.acknowledged.insert(jti);
    }

    /// The event is refused.
    pub fn refuse(&mut self, jti: String, refusal: &Refusal) {
        self.refused.insert(jti, (refusal.delivery_code(), refusal.code));
    }

    /// True if it says nothing about this event.
    fn lacks(&self, jti: &str) -> bool {
        !self.acknowledged.contains(jti) && !self.refused.contains_key(jti)
    }

    /// The body of a request for at most `most_events` events, which the transmitter holds until there
    /// are some.
    pub fn request(&self, most_events: usize) -> Value {
        let mut body = json!({ "maxEvents": most_events, "returnImmediately": false });
        if !self.acknowledged.is_empty() {
            body["ack"] = json!(self.acknowledged);
        }
        if !self.refused.is_empty() {
            let error = |(err, description): &(&str, &str)| json!({ "err": err, "description": description });
            let errors = self.refused.iter().map(|(jti, one)| (jti.clone(), error(one)));
            body["setErrs"] = errors.collect();
        }
        body
    }
}

impl Polled {
    /// Reads the body of an answer (RFC 8936 section 2.3).
    ///
    /// `moreAvailable` needs no reading: where there are events, the next poll follows, and brings them.
    ///
    /// # Errors
    ///
    /// `transmitter_invalid` if it is not one JSON object with the member `sets`, an object.
    pub fn read(text: &[u8]) -> Result<Self, Refusal> {
        let document = read_object(text);
        let Some(Value::Object(sets)) = document.and_then(|mut all| all.remove("sets")) else {
            let detail = "the answer to the poll is not one JSON object with an object sets";
            return Err(Refusal::new(TRANSMITTER_INVALID, detail));
        };
        let text = |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        };
        let events = sets.into_iter().take(MOST_EVENTS).map(|(jti, set)| (jti, text(set)));
        Ok(Self { events: events.collect() })
    }

    /// True if it has an event that was not replied to in the request.
    pub fn has_news(&self, replied: &Replies) -> bool {
        self.events.iter().any(|(jti, _)| replied.lacks(jti))
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self { most_events: MOST_EVENTS, failures: 0 }
    }
}

impl Pace {
    /// How many events to ask for.
    pub fn most_events(&self) -> usize {
        self.most_events
    }

    /// After an answer: with news the next poll follows immediately. Without, two seconds after the one
    /// before began, for a transmitter that does not hold polls.
    pub fn succeeded(&mut self, has_news: bool) -> Duration {
        self.failures = 0;
        self.most_events = (self.most_events * 2).min(MOST_EVENTS);
        if has_news { Duration::ZERO } else { QUIET }
    }

    /// After a failure: the pause from the beginning of one attempt to that of the next, twice as long
    /// each time, up to a minute, less a part that `random` chooses; but as long as the transmitter asks
    /// for, up to an hour. It is asked for half as many events, in case the answer was too large.
    pub fn failed(&mut self, retry_after: Option<Duration>, random: u8) -> Duration {
        self.most_events = (self.most_events / 2).max(1);
        self.pause(random).max(retry_after.unwrap_or_default().min(LONGEST_RETRY))
    }

    /// After an answer with an event that could be neither recorded nor refused: such a pause, but for
    /// no fewer events, since the event must not hide others.
    pub fn undecided(&mut self, random: u8) -> Duration {
        self.pause(random)
    }

    fn pause(&mut self, random: u8) -> Duration {
        let longest = FIRST_PAUSE * 2_u32.pow(self.failures.min(6));
        self.failures = self.failures.saturating_add(1);
        let longest = longest.min(LONGEST_PAUSE);
        longest / 2 + longest / 2 * u32::from(random) / u32::from(u8::MAX)
    }
}

/// How many events are taken from one answer.
const MOST_EVENTS: usize = 100;
/// How many bytes an answer to a poll may have: that many of the largest events.
pub const MOST_POLLED_BYTES: usize = 2 << 20;
const QUIET: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_RETRY: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    // I11: the members of RFC 8936 section 2.2; nothing is said about an event that is neither.
    #[test]
    fn a_poll_says_what_became_of_the_events_before() {
        let mut replies = Replies::default();
        let quiet = json!({ "maxEvents": 7, "returnImmediately": false });
        assert_eq!(replies.request(7), quiet);
        replies.acknowledge("a".to_owned());
        replies.refuse("b".to_owned(), &Refusal::new("wrong_issuer", "x"));
        let said = json!({
            "maxEvents": 7, "returnImmediately": false, "ack": ["a"],
            "setErrs": { "b": { "err": "invalid_issuer", "description": "wrong_issuer" } },
        });
        assert_eq!(replies.request(7), said);
        let events = |names: &[&str]| Polled {
            events: names.iter().map(|name| ((*name).to_owned(), None)).collect(),
        };
        assert!(!events(&["a", "b"]).has_news(&replies) && !events(&[]).has_news(&replies));
        assert!(events(&["a", "c"]).has_news(&replies));
    }

    // I11: what a hostile transmitter answers is refused, or bounded.
    #[test]
    fn an_answer_is_read_strictly_and_within_bounds() {
        let many: BTreeMap<String, &str> = (0..100_000).map(|n| (n.to_string(), "x")).collect();
        let polled = Polled::read(json!({ "sets": many }).to_string().as_bytes()).unwrap();
        assert_eq!(polled.events.len(), MOST_EVENTS);
        let odd = br#"{"sets":{"a":1,"b":"x.y.z"},"moreAvailable":"maybe","extra":[]}"#;
        let found = [("a".to_owned(), None), ("b".to_owned(), Some("x.y.z".to_owned()))];
        assert_eq!(Polled::read(odd).unwrap().events, found);
        let deep = format!("{{\"sets\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        for text in [
            "",
            "{}",
            "[]",
            "<html>",
            "{\"sets\":[]}",
            "{\"sets\":null}",
            "{\"sets\":{\"a\":\"x\",\"a\":\"y\"}}",
            "{\"sets\":{}} {}",
            &deep,
        ] {
            let refused = Polled::read(text.as_bytes()).unwrap_err();
            assert_eq!(refused.code, TRANSMITTER_INVALID, "{text}");
        }
    }

    // I11: pauses grow, differ, and are as long as the transmitter asks, within reason.
    #[test]
    fn pauses_grow_after_failures_and_end_with_the_first_success() {
        let mut pace = Pace::default();
        let seconds = |pause: Duration| pause.as_secs_f64();
        for (longest, most) in [(1.0, 50), (2.0, 25), (4.0, 12), (8.0, 6), (16.0, 3), (32.0, 1)] {
            let (mut early, mut late) = (pace, pace);
            let (early, late) = (early.failed(None, 0), late.failed(None, 255));
            assert_eq!((seconds(early), seconds(late)), (longest / 2.0, longest));
            pace.failed(None, 7);
            assert_eq!(pace.most_events(), most);
        }
        assert_eq!(seconds(pace.failed(None, 255)), 60.0);
        let hour = Duration::from_secs(3600);
        assert_eq!(pace.failed(Some(Duration::from_secs(90)), 0), Duration::from_secs(90));
        assert_eq!(pace.failed(Some(hour * 9), 0), hour);
        for _ in 0..100 {
            assert!(pace.failed(None, 255) <= LONGEST_PAUSE);
        }
        assert_eq!((pace.succeeded(true), pace.succeeded(false)), (Duration::ZERO, QUIET));
        assert_eq!((pace.undecided(255), pace.undecided(255)), (FIRST_PAUSE, FIRST_PAUSE * 2));
        pace.failures = 0;
        assert_eq!((pace.most_events(), seconds(pace.failed(None, 255))), (4, 1.0));
    }
}
