//! The feed as server-sent events (WHATWG HTML section 9.2), read within bounds: no line, no event and no silence
//! may be longer than is agreed.

use std::time::Duration;

use base64ct::{Base64, Encoding};
use hyper::body::Incoming;
use offswitch_verifier::snapshot::HEAD_BYTES;
use tokio::time::Instant;

use crate::http::{Ask, Client, FetchError, next_piece};

/// One event of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StreamEvent {
    /// An event that is not a snapshot: `fetch` where the next snapshot is too large for an event, `stream` for
    /// what the server says about the stream.
    Notice { name: String, data: String },
    /// A snapshot's bytes.
    Snapshot(Vec<u8>),
}

/// A stream of events.
pub(super) struct Events {
    body: Incoming,
    reader: EventReader,
    /// The longest time from one complete event to the next.
    pub(super) patience: Duration,
    last: Instant,
}

impl Events {
    pub(super) async fn open(client: &Client, ask: Ask<'_>) -> Result<Self, FetchError> {
        let (patience, reader) = (ask.timeout, EventReader::new(ask.max_bytes));
        let last = Instant::now();
        let body = client.open(ask, last + patience).await?.into_body();
        Ok(Self { body, reader, patience, last })
    }

    /// The next event; none at the end of the stream. `preview` fails if a snapshot of the feed does not
    /// begin like that.
    pub(super) async fn next(
        &mut self,
        preview: impl Fn(&[u8]) -> Result<(), FetchError>,
    ) -> Result<Option<StreamEvent>, FetchError> {
        loop {
            if let Some(event) = self.reader.next(&preview)? {
                self.last = Instant::now();
                return Ok(Some(event));
            }
            let piece = next_piece(&mut self.body, self.last + self.patience).await;
            match piece.map_err(|error| FetchError { detail: broken(&error.detail), ..error })? {
                Some(piece) => self.reader.take(&piece),
                None => return Ok(None),
            }
        }
    }

    /// Begins the time until the next event now: what came of the last one is not the server's silence.
    pub(super) fn is_patient_again(&mut self) {
        self.last = Instant::now();
    }
}

fn broken(detail: &str) -> String {
    format!("the stream fell silent or broke off: {detail}")
}

/// Puts events together from the pieces they arrive in.
struct EventReader {
    max_bytes: usize,
    /// What has arrived and was not read yet.
    rest: Vec<u8>,
    /// How much of it has been searched for the end of a line.
    searched: usize,
    /// True if the last line ended with a CR: a LF that follows belongs to it.
    is_after_cr: bool,
    data: Vec<u8>,
    name: String,
    /// True once the first bytes of this event's data were found to be a snapshot's.
    is_promising: bool,
}

impl EventReader {
    fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes: max_bytes.min(MAX_EVENT_BYTES),
            rest: vec![],
            searched: 0,
            is_after_cr: false,
            data: vec![],
            name: String::new(),
            is_promising: false,
        }
    }

    fn take(&mut self, piece: &[u8]) {
        self.rest.extend_from_slice(piece);
    }

    /// The next complete event, if all of it is there.
    fn next(
        &mut self,
        preview: impl Fn(&[u8]) -> Result<(), FetchError>,
    ) -> Result<Option<StreamEvent>, FetchError> {
        let mut at = 0;
        let mut found = None;
        while found.is_none() {
            if self.is_after_cr && self.rest.get(at) == Some(&b'\n') {
                at += 1;
            }
            self.is_after_cr &= at >= self.rest.len();
            let from = at.max(self.searched);
            let end = self.rest.get(from..).and_then(|rest| {
                rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).map(|end| from + end)
            });
            let Some(end) = end else {
                self.searched = self.rest.len();
                break;
            };
            self.is_after_cr = self.rest[end] == b'\r';
            let line = &self.rest[at..end];
            if let Some(data) = line.strip_prefix(b"data:") {
                self.data.extend_from_slice(data.trim_ascii());
            } else if let Some(name) = line.strip_prefix(b"event:") {
                let name = &name.trim_ascii()[..name.trim_ascii().len().min(MAX_NAME_BYTES)];
                self.name = String::from_utf8_lossy(name).into_owned();
            } else if line.is_empty() {
                found = self.dispatch()?;
            }
            at = end + 1;
            self.searched = at;
        }
        self.rest.drain(..at);
        self.searched -= at;
        if found.is_some() {
            return Ok(found);
        }
        if self.rest.len() + self.data.len() > most_characters(self.max_bytes) {
            return Err(FetchError::new(TOO_LARGE));
        }
        self.look(preview)?;
        Ok(None)
    }

    fn dispatch(&mut self) -> Result<Option<StreamEvent>, FetchError> {
        let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        self.is_promising = false;
        if data.is_empty() {
            return Ok(None);
        }
        if name.is_empty() || name == SNAPSHOT {
            return decode(&data, self.max_bytes).map(|bytes| Some(StreamEvent::Snapshot(bytes)));
        }
        let is_short = data.len() <= MAX_OTHER_CHARACTERS;
        let data = String::from_utf8_lossy(&data).into_owned();
        Ok(is_short.then_some(StreamEvent::Notice { name, data }))
    }

    /// Looks at the beginning of a snapshot's data once it is there, long before the event is whole.
    fn look(
        &mut self,
        preview: impl Fn(&[u8]) -> Result<(), FetchError>,
    ) -> Result<(), FetchError> {
        let is_snapshot = self.name.is_empty() || self.name == SNAPSHOT;
        let line = self.rest.strip_prefix(b"data:").unwrap_or_default().trim_ascii_start();
        if self.is_promising || !is_snapshot || self.data.len() + line.len() < HEAD_CHARACTERS {
            return Ok(());
        }
        let begun: Vec<u8> = self.data.iter().chain(line).take(HEAD_CHARACTERS).copied().collect();
        preview(&decode(&begun, HEAD_BYTES)?)?;
        self.is_promising = true;
        Ok(())
    }
}

fn decode(base64: &[u8], max_bytes: usize) -> Result<Vec<u8>, FetchError> {
    let text = std::str::from_utf8(base64).unwrap_or("-");
    let bytes = Base64::decode_vec(text);
    let bytes = bytes.map_err(|_| FetchError::new("the event is not base64"))?;
    if bytes.len() > max_bytes { Err(FetchError::new(TOO_LARGE)) } else { Ok(bytes) }
}

/// Of one event: its data in base64, and some more.
fn most_characters(max_bytes: usize) -> usize {
    max_bytes / 3 * 4 + 4 + MAX_OTHER_CHARACTERS
}

pub(super) const EVENTS_TYPE: &str = "text/event-stream";
const SNAPSHOT: &str = "snapshot";
const TOO_LARGE: &str = "the event is too large";
/// The control plane puts nothing larger into an event: `MAX_EVENT_BYTES` of its publisher.
const MAX_EVENT_BYTES: usize = 3 * 1024 * 1024;
/// The first bytes of a snapshot in base64.
const HEAD_CHARACTERS: usize = HEAD_BYTES / 3 * 4;
/// Of an event, in addition to its data.
const MAX_OTHER_CHARACTERS: usize = 1024;
const MAX_NAME_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<StreamEvent> {
        let mut reader = EventReader::new(1000);
        let mut events = vec![];
        for piece in pieces {
            reader.take(piece);
            while let Some(event) = reader.next(|_| Ok(())).unwrap() {
                events.push(event);
            }
        }
        events
    }

    // S14: the same events come of any pieces and of every kind of line end.
    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let text = b"event: stream\ndata: {\"heartbeat_seconds\":5}\n\nid: 1.2\r\nevent: snapshot\r\n\
            data: AQID\r\ndata: BAUG\r\n\r\n: a comment\r\rdata:AQ==\r\revent: snapshot\n\ndata: \n\n";
        let whole = read(&[text]);
        let expected = [
            StreamEvent::Notice {
                name: "stream".to_owned(),
                data: "{\"heartbeat_seconds\":5}".to_owned(),
            },
            StreamEvent::Snapshot(vec![1, 2, 3, 4, 5, 6]),
            StreamEvent::Snapshot(vec![1]),
        ];
        assert_eq!(whole, expected);
        for size in 1..=text.len() {
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            assert_eq!(read(&pieces), expected, "in pieces of {size}");
        }
    }

    // S08: one test per bound.
    #[test]
    fn no_line_and_no_event_may_be_longer_than_agreed() {
        let longest = most_characters(1000);
        for line in ["data: ", "id: ", "", ":"] {
            let mut reader = EventReader::new(1000);
            reader.take(line.as_bytes());
            let mut taken = 0;
            while reader.next(|_| Ok(())).is_ok() {
                reader.take(&[b'A'; 64]);
                taken += 64;
                assert!(taken <= longest + 128, "{line}");
            }
        }
        let mut reader = EventReader::new(1000);
        let mut lines = 0;
        while reader.next(|_| Ok(())).is_ok() {
            reader.take(b"data: AAAAAAAA\n");
            lines += 1;
            assert!(lines <= longest / 8 + 2);
        }
        let event = |bytes: usize| {
            let mut reader = EventReader::new(1000);
            reader.take(format!("data: {}\n\n", "AAAA".repeat(bytes / 3)).as_bytes());
            reader.next(|_| Ok(())).map(|event| event.is_some()).ok()
        };
        assert_eq!([event(999), event(1002)], [Some(true), None]);
    }

    // S08: a snapshot's first bytes are looked at before the rest is there.
    #[test]
    fn what_does_not_begin_like_a_snapshot_ends_early() {
        let mut reader = EventReader::new(MAX_EVENT_BYTES);
        reader.take(b"event: snapshot\ndata: ");
        let refuse = |_: &[u8]| Err(FetchError::new("junk"));
        assert!(reader.next(refuse).is_ok());
        reader.take(&vec![b'A'; HEAD_CHARACTERS]);
        assert!(reader.next(refuse).is_err());
    }
}
