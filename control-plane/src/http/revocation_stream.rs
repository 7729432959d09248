//! Bulk revocation as a stream: one entry a line, appended as it comes.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde::Serialize;
use tokio::time::timeout;

use super::extract::{describe, idempotency};
use super::problem::Problem;
use super::revocations::{Accepted, Entry, check_dead_keys};
use crate::plane::{Plane, Revoked};
use crate::record::{Record, Revocation};

/// What became of all lines.
#[derive(Debug, Serialize)]
struct Finished {
    /// How many entries.
    accepted: u64,
    /// Of the last record.
    #[serde(flatten)]
    last: Accepted,
}

/// One request while its body comes. Memory holds one record and one piece of the body.
struct Upload {
    plane: Arc<Plane>,
    caller: String,
    headers: HeaderMap,
    reason: Option<String>,
    entries: Vec<Revocation>,
    /// The lines of `entries`, to tell a repeated upload from another one.
    lines: Vec<u8>,
    records: u64,
    accepted: u64,
    line: u64,
    /// The line of the first of `entries`.
    begins_at: u64,
    /// The first line of a record that could not be appended: from there on nothing is known.
    failed_at: Option<u64>,
    last: Option<Revoked>,
}

/// Revokes every line of `body`. What was appended stays, whatever comes after it.
pub(super) async fn revoke(
    plane: Arc<Plane>,
    caller: String,
    headers: HeaderMap,
    reason: Option<String>,
    body: Body,
) -> Result<Response, Problem> {
    let mut upload = Upload {
        plane,
        caller,
        headers,
        reason,
        entries: Vec::new(),
        lines: Vec::new(),
        records: 0,
        accepted: 0,
        line: 0,
        begins_at: 0,
        failed_at: None,
        last: None,
    };
    match upload.read(body).await {
        Ok(finished) => Ok(Json(finished).into_response()),
        Err(problem) => {
            let line = upload.line;
            // The good lines before a wrong one: who goes on at that line must not miss them.
            let problem = upload.append().await.err().unwrap_or(problem);
            Err(problem.after(upload.accepted, upload.failed_at.unwrap_or(line)))
        }
    }
}

impl Upload {
    async fn read(&mut self, body: Body) -> Result<Finished, Problem> {
        let mut pieces = body.into_data_stream();
        let mut rest: Vec<u8> = Vec::new();
        while let Some(piece) = timeout(IDLE, pieces.next()).await.map_err(|_| too_slow())? {
            let piece: Bytes = piece
                .map_err(|_| Problem::bad_request("invalid_body", "the body could not be read"))?;
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
        self.append().await?;
        let last = self.last.ok_or_else(|| invalid("there is no entry in the body"))?;
        Ok(Finished { accepted: self.accepted, last: last.into() })
    }

    async fn take(&mut self, line: &[u8]) -> Result<(), Problem> {
        self.line += 1;
        let line = line.trim_ascii();
        // Empty ones count: a body of nothing else would never end.
        if self.line > MAX_LINES {
            let detail = "one request takes at most 10000000 lines";
            return Err(Problem::bad_request("too_many_revocations", detail));
        }
        if line.is_empty() {
            return Ok(());
        }
        let entry: Entry =
            serde_json::from_slice(line).map_err(|error| invalid(&describe(&error)))?;
        let revocation = entry.check(&self.plane, self.plane.now());
        if self.entries.is_empty() {
            self.begins_at = self.line;
        }
        self.entries.push(revocation.map_err(|problem| invalid(&problem))?);
        self.lines.extend_from_slice(line);
        self.lines.push(b'\n');
        if self.entries.len() == RECORD_ENTRIES { self.append().await } else { Ok(()) }
    }

    /// Appends what was gathered, and waits until it is durable: the sender waits as well.
    async fn append(&mut self) -> Result<(), Problem> {
        if self.entries.is_empty() {
            return Ok(());
        }
        let mut request = idempotency(&self.headers, &self.caller, "/v1/revocations", &self.lines)?;
        if self.headers.contains_key("idempotency-key") {
            // With its length: a record that a wrong line cut short is not the mended one.
            request.id = format!("{}/{}.{}", request.id, self.records, self.entries.len());
        }
        let revocations = std::mem::take(&mut self.entries);
        self.failed_at = Some(self.begins_at);
        let count = revocations.len() as u64;
        let (by, reason) = (self.caller.clone(), self.reason.clone());
        let record = Record { at: self.plane.now(), by, reason, revocations };
        check_dead_keys(&self.plane, &record.revocations)?;
        self.plane.need_allowed(&record)?;
        self.last = Some(self.plane.revoke(&request, &record).await?);
        metrics::counter!("offswitch_revocations_total").increment(count);
        self.failed_at = None;
        self.accepted += count;
        self.records += 1;
        self.lines.clear();
        Ok(())
    }
}

fn invalid(detail: &str) -> Problem {
    Problem::bad_request("invalid_body", detail)
}

fn too_slow() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "no more of the body came")
}

/// A sender that is slow is served; one that has stopped is not waited for.
const IDLE: Duration = Duration::from_secs(30);
const MAX_LINE_BYTES: usize = 64 * 1024;
const MAX_LINES: u64 = 10_000_000;
const RECORD_ENTRIES: usize = 1000;
