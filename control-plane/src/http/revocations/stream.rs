//! Bulk revocation as a stream: one entry per line, appended as it arrives.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, StatusCode};
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use offswitch_core::record::{Record, Revocation};
use serde::Serialize;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::Accepted;
use super::entry::{Entry, unknown_session};
use crate::http::access::Caller;
use crate::http::extract::idempotency;
use crate::http::json as strict_json;
use crate::http::proof::Wanted;
use crate::plane::{Plane, PlaneError, Revoked};
use crate::problem::Problem;

/// The limits of a streamed upload. A test that cannot wait that long puts others into the request
/// as an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadLimits {
    /// A slow sender is served; a sender that stops for this long is not.
    pub idle_timeout: Duration,
}

impl Default for UploadLimits {
    fn default() -> Self {
        Self { idle_timeout: Duration::from_secs(30) }
    }
}

/// The outcome of all lines.
#[derive(Debug, Serialize)]
pub(super) struct Finished {
    /// The number of entries.
    accepted: u64,
    /// The outcome of all records together.
    #[serde(flatten)]
    whole: Accepted,
}

/// One request while its body arrives. Memory holds a few records and one piece of the body.
struct Upload {
    plane: Arc<Plane>,
    caller: Caller,
    headers: HeaderMap,
    limits: UploadLimits,
    reason: Option<String>,
    entries: Vec<Revocation>,
    /// The lines of `entries`, to distinguish a repeated upload from a different one.
    lines: Vec<u8>,
    /// For each of `entries` the number of its line, and where the line ends in `lines`.
    places: Vec<(u64, usize)>,
    /// How many records were sent to the store.
    records: u64,
    /// The records that the store has not answered yet, in the order of the lines.
    in_flight: FuturesOrdered<Pin<Box<dyn Future<Output = Sent> + Send>>>,
    accepted: u64,
    line: u64,
    /// The line of the first of `entries`.
    begins_at: u64,
    /// The first line of a record that could not be appended: nothing is known from there on.
    failed_at: Option<u64>,
    whole: Option<Revoked>,
}

impl Finished {
    /// The same, once the followers hold all of it, if the request `wait`s for that.
    pub(super) async fn applied(self, wait: Option<Duration>, plane: &Plane) -> Self {
        let wanted = Wanted { receipt_for: None, wait };
        Self { whole: self.whole.proven(plane, wanted).await, ..self }
    }
}

/// A record that the store has answered.
struct Sent {
    begins_at: u64,
    entries: u64,
    outcome: Result<Revoked, PlaneError>,
}

/// Revokes every line of `body`. What was appended stays revoked, even if a later line is wrong.
pub(super) async fn revoke(
    plane: &Arc<Plane>,
    caller: Caller,
    headers: HeaderMap,
    limits: UploadLimits,
    reason: Option<String>,
    body: Body,
) -> Result<Finished, Problem> {
    let mut upload = Upload {
        plane: plane.clone(),
        caller,
        headers,
        limits,
        reason,
        entries: Vec::new(),
        lines: Vec::new(),
        places: Vec::new(),
        records: 0,
        in_flight: FuturesOrdered::new(),
        accepted: 0,
        line: 0,
        begins_at: 0,
        failed_at: None,
        whole: None,
    };
    let mut pieces = body.into_data_stream();
    match upload.read(&mut pieces).await {
        Ok(finished) => Ok(finished),
        Err(problem) => {
            let line = upload.line;
            // Record the good lines before a wrong one: the client continues at the wrong line.
            let problem = upload.finish().await.err().unwrap_or(problem);
            tokio::spawn(linger(pieces));
            Err(problem.after(upload.accepted, upload.failed_at.unwrap_or(line)))
        }
    }
}

impl Upload {
    async fn read(&mut self, pieces: &mut BodyDataStream) -> Result<Finished, Problem> {
        let mut rest: Vec<u8> = Vec::new();
        while let Some(piece) = self.next(pieces).await? {
            let mut lines = piece.split(|byte| *byte == b'\n').peekable();
            while let Some(line) = lines.next() {
                rest.extend_from_slice(line);
                if rest.len() > MAX_LINE_BYTES {
                    self.line += 1;
                    return Err(invalid("the line is longer than 65536 bytes"));
                }
                if lines.peek().is_some() {
                    self.take(&rest).await?;
                    rest.clear();
                }
            }
        }
        if !rest.is_empty() {
            self.take(&rest).await?;
        }
        self.finish().await?;
        let whole = self.whole.ok_or_else(|| invalid("there is no entry in the body"))?;
        Ok(Finished { accepted: self.accepted, whole: whole.into() })
    }

    /// The next piece of the body. While waiting for it, this takes the store's answers.
    async fn next(&mut self, pieces: &mut BodyDataStream) -> Result<Option<Bytes>, Problem> {
        let mut idle = pin!(sleep(self.limits.idle_timeout));
        loop {
            tokio::select! {
                piece = pieces.next() => {
                    return piece.transpose().map_err(|_| invalid("the body could not be read"));
                }
                Some(sent) = self.in_flight.next() => self.settle(sent)?,
                () = idle.as_mut() => return Err(too_slow()),
            }
        }
    }

    async fn take(&mut self, line: &[u8]) -> Result<(), Problem> {
        self.line += 1;
        let line = line.trim_ascii();
        // Empty lines count: a body of only those would never end.
        if self.line > MAX_LINES {
            let detail = "one request takes at most 10000000 lines";
            return Err(Problem::bad_request("too_many_revocations", detail));
        }
        if line.is_empty() {
            return Ok(());
        }
        let entry: Entry = strict_json::read(line)?;
        let revocation = entry.check(&self.plane, &self.caller, self.plane.now())?;
        if self.entries.is_empty() {
            self.begins_at = self.line;
        }
        self.entries.push(revocation);
        self.lines.extend_from_slice(line);
        self.lines.push(b'\n');
        self.places.push((self.line, self.lines.len()));
        if self.entries.len() == RECORD_ENTRIES { self.send().await } else { Ok(()) }
    }

    /// Refuses the first entry with a session that does not exist; the entries before it are kept.
    async fn check_sessions(&mut self) -> Result<(), Problem> {
        let unknown = self.plane.sessions.unknown_session(&self.entries).await?;
        let Some((index, (line, _))) =
            unknown.and_then(|index| Some((index, *self.places.get(index)?)))
        else {
            return Ok(());
        };
        self.entries.truncate(index);
        self.places.truncate(index);
        self.lines.truncate(self.places.last().map_or(0, |(_, end)| *end));
        self.line = line;
        Err(unknown_session())
    }

    /// Sends the gathered entries to the store, after those already in flight.
    async fn send(&mut self) -> Result<(), Problem> {
        if self.entries.is_empty() {
            return Ok(());
        }
        self.check_sessions().await?;
        let record = Record {
            at: self.plane.now(),
            by: self.caller.id.clone(),
            reason: self.reason.clone(),
            revocations: std::mem::take(&mut self.entries),
        };
        let (begins_at, entries) = (self.begins_at, record.revocations.len());
        self.settle_down_to(self.room_in_flight(&record)).await?;
        let mut request =
            idempotency(&self.headers, &self.caller.id, "/v1/revocations", &self.body())?;
        self.lines.clear();
        self.places.clear();
        if self.headers.contains_key("idempotency-key") {
            // Includes the length: a record that ended early at a wrong line differs from the same
            // record with the line corrected.
            request.id = format!("{}/{}.{entries}", request.id, self.records);
        }
        let plane = self.plane.clone();
        self.in_flight.push_back(Box::pin(async move {
            let outcome = plane.log.revoke_allowed(&request, &record).await;
            Sent { begins_at, entries: entries as u64, outcome }
        }));
        self.records += 1;
        // Polls the append now, so that it starts before the next answer is awaited.
        match self.in_flight.next().now_or_never().flatten() {
            Some(sent) => self.settle(sent),
            None => Ok(()),
        }
    }

    /// How many records may be in flight when this one is sent. None if the limit that it is
    /// checked against has to include all of them.
    fn room_in_flight(&self, record: &Record) -> usize {
        let is_key = |one: &Revocation| matches!(one, Revocation::Key { .. });
        let is_close = self.plane.log.room() < RECORD_ENTRIES * (MOST_IN_FLIGHT + 1);
        if is_close || record.revocations.iter().any(is_key) { 0 } else { MOST_IN_FLIGHT - 1 }
    }

    /// What identifies a repeated request with the same idempotency key: the reason, which cannot
    /// be mistaken for a line, and the lines.
    fn body(&self) -> Vec<u8> {
        let reason = self.reason.as_ref().map(|reason| json!(reason).to_string() + "\n");
        [reason.unwrap_or_default().as_bytes(), &self.lines].concat()
    }

    /// Sends the rest and waits until everything is durable.
    async fn finish(&mut self) -> Result<(), Problem> {
        self.send().await?;
        self.settle_down_to(0).await
    }

    async fn settle_down_to(&mut self, in_flight: usize) -> Result<(), Problem> {
        while self.in_flight.len() > in_flight {
            let Some(sent) = self.in_flight.next().await else { break };
            self.settle(sent)?;
        }
        Ok(())
    }

    fn settle(&mut self, sent: Sent) -> Result<(), Problem> {
        match sent.outcome {
            Ok(revoked) => {
                metrics::counter!("offswitch_revocations_total").increment(sent.entries);
                self.accepted += sent.entries;
                self.whole = Some(self.whole.map_or(revoked, |whole| joined(whole, revoked)));
                Ok(())
            }
            Err(error) => {
                self.failed_at = Some(sent.begins_at);
                // The client continues at this record, with any outcome of the later ones.
                self.in_flight.clear();
                self.entries.clear();
                Err(error.into())
            }
        }
    }
}

/// The outcome that holds for both records.
fn joined(one: Revoked, other: Revoked) -> Revoked {
    Revoked {
        position: one.position.max(other.position),
        durability: one.durability.min(other.durability),
        repeated: one.repeated && other.repeated,
    }
}

/// Reads what the sender has in flight, or keeps sending, while it reads the response: closing a
/// connection with unread bytes resets it, and the reset overtakes the response.
async fn linger(mut pieces: BodyDataStream) {
    let mut left = LINGER_BYTES;
    let taken = async {
        while let Some(Ok(piece)) = pieces.next().await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                return;
            }
        }
    };
    let _ = timeout(LINGER, taken).await;
}

fn invalid(detail: &str) -> Problem {
    Problem::bad_request("invalid_body", detail)
}

fn too_slow() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "no more of the body arrived")
}

/// A sender that reads only after it has sent everything gets its response up to these limits.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_BYTES: usize = 64 * 1024 * 1024;
const MAX_LINE_BYTES: usize = 64 * 1024;
const MAX_LINES: u64 = 10_000_000;
/// While the store flushes these, the next entries are read.
const MOST_IN_FLIGHT: usize = 4;
const RECORD_ENTRIES: usize = 1000;

#[cfg(test)]
mod tests {
    use super::joined;
    use crate::plane::Revoked;
    use crate::store::Durability;
    use offswitch_snapshot::Position;

    // The store lost its append-only file for a while: the response claims only the weakest level.
    #[test]
    fn an_upload_is_as_durable_as_its_weakest_record_and_repeated_only_as_a_whole() {
        let record = |seq, durability, repeated| {
            let position = Position { era: 1, seq };
            Revoked { position, durability, repeated }
        };
        let synced = record(1, Durability::Synced, true);
        let memory = record(2, Durability::Memory, false);
        assert_eq!(joined(synced, memory), memory);
        assert_eq!(joined(memory, record(1, Durability::Written, true)), memory);
        assert!(joined(synced, record(3, Durability::Synced, true)).repeated);
    }
}
