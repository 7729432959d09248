//! Streams of security events, as a transmitter has them (SSF 1.0 section 8.1.1): what is asked for, and what is
//! accepted as an answer.

use std::collections::BTreeSet;

use offswitch_verifier::Shown;
use serde::Deserialize;
use serde_json::{Value, json};

use super::stream::{EventStream, invalid};
use super::{EventReceiver, Refusal};
use crate::revoking::is_id;

/// A stream, as the transmitter has it (SSF 1.0 section 8.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamConfiguration {
    /// The transmitter's id of it.
    pub id: String,
    /// Where its events are polled, if they are.
    pub poll_endpoint: Option<String>,
    /// The events that the transmitter sends, by their URI.
    pub delivered: Vec<String>,
    /// The least time between two requests for a verification event, in seconds.
    pub verification_seconds: u64,
    /// False if it is delivered in another way than is registered, or to another address.
    pub is_delivered: bool,
    /// False if other events were requested than revoke something.
    pub is_requested: bool,
}

/// What a stream is to be.
#[derive(Debug, Clone, Copy)]
pub struct WantedStream<'a> {
    /// The receiver that it is for.
    pub receiver: &'a EventReceiver,
    /// The stream, as it is registered.
    pub stream: &'a EventStream,
    /// What distinguishes it from streams of others.
    pub description: &'a str,
}

/// The members of a stream's configuration that are read; others are ignored.
#[derive(Deserialize)]
struct Document {
    stream_id: String,
    iss: String,
    aud: Audience,
    delivery: Delivery,
    events_requested: Option<BTreeSet<String>>,
    events_delivered: Option<Vec<String>>,
    min_verification_interval: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Delivery {
    method: String,
    endpoint_url: Option<String>,
}

impl WantedStream<'_> {
    /// The body of the request that creates it (SSF 1.0 section 8.1.1.1).
    pub fn creation(&self) -> Value {
        json!({
            "delivery": self.delivery(),
            "events_requested": self.receiver.requested(),
            "description": self.description,
        })
    }

    /// The body of the request that changes the stream `id` to it (section 8.1.1.3).
    pub fn update(&self, id: &str) -> Value {
        let mut body = self.creation();
        body["stream_id"] = id.into();
        body
    }

    /// Reads a stream's configuration.
    ///
    /// # Errors
    ///
    /// `transmitter_invalid` if it is malformed, of another issuer, or for another audience: then every
    /// event would be refused.
    pub fn read(&self, text: &[u8]) -> Result<StreamConfiguration, Refusal> {
        let document = serde_json::from_slice(text);
        self.accept(&document.map_err(|error| malformed(&error))?)
    }

    /// The stream among those of `text`, the list of what the transmitter has for our credential, that
    /// is ours: events are pushed to our address, or are polled and the description is not that of
    /// another.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn find(&self, text: &[u8]) -> Result<Option<StreamConfiguration>, Refusal> {
        let listed: Vec<Value> =
            match serde_json::from_slice(text).map_err(|error| malformed(&error))? {
                Value::Array(listed) => listed,
                // Before SSF 1.0 there was one.
                one => vec![one],
            };
        let Some(ours) = listed.iter().take(MAX_STREAMS).find(|one| self.is_ours(one)) else {
            return Ok(None);
        };
        // Ours, and malformed, is a failure: otherwise another one would be created each time.
        let document = Document::deserialize(ours).map_err(|error| malformed(&error))?;
        self.accept(&document).map(Some)
    }

    fn is_ours(&self, listed: &Value) -> bool {
        let delivery = &listed["delivery"];
        let is_described = match &self.stream.push_to {
            Some(address) => delivery["method"] == PUSH && delivery["endpoint_url"] == **address,
            None => delivery["method"] == POLL && listed["description"].is_null(),
        };
        is_described || listed["description"] == *self.description
    }

    fn accept(&self, document: &Document) -> Result<StreamConfiguration, Refusal> {
        let Document { stream_id: id, iss, aud, delivery, .. } = document;
        if !is_id(id) {
            return Err(invalid("the stream_id must have 1 to 256 bytes"));
        }
        if *iss != self.stream.transmitter {
            let (found, expected) = (Shown::new(iss), Shown::new(&self.stream.transmitter));
            return Err(invalid(&format!("the stream's iss is {found}, expected {expected}")));
        }
        let found = match aud {
            Audience::One(one) => std::slice::from_ref(one),
            Audience::Many(many) => many,
        };
        if !found.iter().any(|name| self.receiver.audiences.contains(name)) {
            let first = Shown::new(found.first().map_or("", String::as_str));
            let detail = format!("the stream's aud is {first}, expected one of the audiences");
            return Err(invalid(&detail));
        }
        let is_polled = delivery.method == POLL;
        let is_delivered = match &self.stream.push_to {
            Some(address) => {
                delivery.method == PUSH && delivery.endpoint_url.as_ref() == Some(address)
            }
            None => is_polled,
        };
        let poll_endpoint = match &delivery.endpoint_url {
            Some(address) if is_polled && !self.stream.allows(address) => {
                let found = Shown::new(address);
                return Err(invalid(&format!("the poll endpoint is {found}, expected https")));
            }
            address => address.clone().filter(|_| is_polled),
        };
        if is_polled && poll_endpoint.is_none() {
            return Err(invalid("the stream is polled, and has no endpoint_url"));
        }
        let delivered = document.events_delivered.iter().flatten();
        let requested = document.events_requested.as_ref();
        let wanted: BTreeSet<String> = self.receiver.requested().into_iter().collect();
        Ok(StreamConfiguration {
            id: id.clone(),
            poll_endpoint,
            delivered: delivered.take(MAX_DELIVERED).cloned().collect(),
            verification_seconds: document.min_verification_interval.unwrap_or_default(),
            is_delivered,
            is_requested: requested.is_none_or(|found| *found == wanted),
        })
    }

    fn delivery(&self) -> Value {
        match &self.stream.push_to {
            Some(address) => json!({ "method": PUSH, "endpoint_url": address }),
            None => json!({ "method": POLL }),
        }
    }
}

fn malformed(error: &serde_json::Error) -> Refusal {
    // The place, and not the content: it may be anything.
    let (line, column) = (error.line(), error.column());
    invalid(&format!("the stream's configuration is not understood, line {line} column {column}"))
}

const PUSH: &str = "urn:ietf:rfc:8935";
const POLL: &str = "urn:ietf:rfc:8936";
const MAX_STREAMS: usize = 256;
const MAX_DELIVERED: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::stream::TRANSMITTER_INVALID;
    use super::*;

    fn stream(transmitter: &str) -> EventStream {
        EventStream { transmitter: transmitter.to_owned(), ..EventStream::default() }
    }

    // I11: of a list, the stream that is ours; it is for our audience, of our transmitter, as registered.
    #[test]
    fn a_stream_is_known_again_and_compared_with_what_is_registered() {
        let receiver = EventReceiver { audiences: vec!["me".to_owned()], ..Default::default() };
        let polled = stream(TR);
        let pushed = EventStream { push_to: Some("https://us.example/e".to_owned()), ..stream(TR) };
        let wanted = |stream| WantedStream { receiver: &receiver, stream, description: "ours" };
        let (polled, pushed) = (wanted(&polled), wanted(&pushed));
        let good = json!({
            "stream_id": "1", "iss": TR, "aud": ["you", "me"], "description": "ours",
            "delivery": { "method": POLL, "endpoint_url": "https://tr.example/poll" },
            "events_requested": receiver.requested(), "events_delivered": ["a:b"], "extra": {},
        });
        let read = |wanted: &WantedStream<'_>, changes: &[(&str, Value)]| {
            let mut stream = good.clone();
            for (name, value) in changes {
                stream[name] = value.clone();
            }
            wanted.read(stream.to_string().as_bytes())
        };
        let nulls = ["events_requested", "events_delivered", "min_verification_interval"];
        let nulls = nulls.map(|name| (name, Value::Null));
        assert!(read(&polled, &nulls).unwrap().is_requested);
        let found = read(&polled, &[]).unwrap();
        assert!(found.is_delivered && found.is_requested && found.poll_endpoint.is_some());
        assert!(!read(&polled, &[("events_requested", json!(["a:b"]))]).unwrap().is_requested);
        assert!(!read(&pushed, &[]).unwrap().is_delivered);
        for (name, value) in [
            ("iss", json!("https://other.example")),
            ("aud", json!("you")),
            ("stream_id", json!("")),
            ("stream_id", json!(1)),
            ("delivery", json!({ "method": POLL })),
            ("delivery", json!({ "method": POLL, "endpoint_url": "http://127.0.0.1/poll" })),
        ] {
            let refused = read(&polled, &[(name, value.clone())]).unwrap_err();
            assert_eq!(refused.code, TRANSMITTER_INVALID, "{name} {value}");
        }
        let foreign = json!({ "description": "theirs", "stream_id": "0", "iss": TR, "aud": "me",
            "delivery": { "method": POLL, "endpoint_url": "https://tr.example/poll/0" } });
        let list = |streams: &[&Value]| json!(streams).to_string().into_bytes();
        let id = |wanted: &WantedStream<'_>, streams: &[&Value]| {
            wanted.find(&list(streams)).unwrap().map(|one| one.id)
        };
        assert_eq!(id(&polled, &[&foreign, &json!(7), &good]).as_deref(), Some("1"));
        assert_eq!(id(&polled, &[&foreign]), None);
        assert_eq!(id(&polled, &[]), None);
        let mut to_us = foreign.clone();
        to_us["delivery"] = json!({ "method": PUSH, "endpoint_url": "https://us.example/e" });
        assert_eq!(id(&pushed, &[&foreign, &to_us]).as_deref(), Some("0"));
        let nameless = json!({ "description": "ours", "stream_id": 7 });
        assert!(polled.find(&list(&[&nameless])).is_err() && polled.find(b"{").is_err());
    }

    const TR: &str = "https://tr.example";
}
