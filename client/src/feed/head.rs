//! Follows the feed by its head: a small file that names parts, in an object store, behind a cache, or in a folder of this
//! machine. `HEAD.md` of the snapshot crate has the rules.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use offswitch_verifier::Applied;
use offswitch_verifier::snapshot::{
    FeedHead, HEAD_BYTES, HeadError, MAX_HEAD_BYTES, Part, Position, Step,
};

use super::source::Source;
use super::{Failure, FeedClient, folder};
use crate::http::{Ask, Brought, FetchError};

/// One round by a head.
struct Reading<'a> {
    feed: &'a FeedClient,
    source: &'a Arc<Source>,
    end: Instant,
    may_take_base: bool,
    may_ask: bool,
    has_news: bool,
}

impl FeedClient {
    /// Reads the head of one address, and the parts that lead to its position. `wants_base` takes the base also if
    /// it is not needed.
    pub(super) async fn read_head(
        &self,
        source: &Arc<Source>,
        timeout: Duration,
        wants_base: bool,
    ) -> Result<Applied, Failure> {
        let end = Instant::now() + timeout;
        let url = source.address("", None, 0.0);
        let seen = source.state().seen.clone().filter(|(of, _)| *of == url && !wants_base);
        let headers = source.headers();
        let etag = seen.map(|(_, tag)| tag);
        let ask =
            Ask { url: &url, headers, accept: ANY_TYPE, etag, max_bytes: MAX_HEAD_BYTES, timeout };
        let brought = self.bring(ask, MAX_HEAD_BYTES, |_| Ok(())).await;
        let Brought::Body { bytes, etag, .. } = brought.map_err(Failure::from)? else {
            // No signature covers this answer, so it proves no freshness.
            return Ok(Applied::Ignored);
        };
        source.state().seen = None;
        let head = self.genuine(&bytes)?;
        let reading = Reading {
            feed: self,
            source,
            end,
            may_take_base: true,
            may_ask: true,
            has_news: false,
        };
        let applied = reading.follow(&head, wants_base).await?;
        source.state().seen = etag.map(|etag| (url, etag));
        self.state().poll_delay = self.intake.engine.seconds_since_issued();
        Ok(applied)
    }

    /// Reads a file of the feed: from its folder, or by a request.
    async fn bring(
        &self,
        ask: Ask<'_>,
        head_bytes: usize,
        inspect: impl Fn(&[u8]) -> Result<(), FetchError>,
    ) -> Result<Brought, FetchError> {
        let Some(path) = folder::path_of(ask.url) else {
            return self.client.fetch(ask, head_bytes, inspect).await;
        };
        let bytes = folder::read(path, ask.max_bytes).await?;
        inspect(&bytes[..bytes.len().min(head_bytes)])?;
        Ok(Brought::Body { bytes, etag: None, heartbeat_seconds: 0, question: None })
    }

    /// A head of this feed, with a heartbeat that the feed has signed for its position.
    fn genuine(&self, text: &[u8]) -> Result<FeedHead, Failure> {
        let trust = self.intake.engine.trust();
        let head: FeedHead =
            serde_json::from_slice(text).map_err(|_| HeadError::Malformed("it is no head"))?;
        head.check(trust.id())?;
        let heartbeat = trust.open(head.heartbeat_bytes()?).map_err(|error| Failure {
            code: error.code(),
            detail: format!("the heartbeat of the head: {error}"),
            needs_base: false,
            retry_after: Duration::ZERO,
        })?;
        if head.is_heartbeat(&heartbeat) { Ok(head) } else { Err(HeadError::Heartbeat.into()) }
    }
}

impl Reading<'_> {
    async fn follow(mut self, head: &FeedHead, wants_base: bool) -> Result<Applied, Failure> {
        if wants_base {
            self.fetch_part(head.base.part()).await?;
        }
        for _ in 0..MOST_PARTS {
            let held = self.feed.intake.engine.since();
            match head.next_step(held, self.may_take_base, self.may_ask) {
                Step::Behind => {
                    self.feed.note_behind(self.source, held, true);
                    return Ok(Applied::Ignored);
                }
                Step::Heartbeat => {
                    let heartbeat = head.heartbeat_bytes()?;
                    let taken = self.feed.take(heartbeat, self.source, held).await?;
                    return Ok(if self.has_news { Applied::Extended } else { taken.applied });
                }
                Step::Fetch(part) => self.take_part(head, part, false).await?,
                Step::Ask(part) => self.take_part(head, part, true).await?,
                Step::NoWay => return Err(no_way(head, held)),
            }
        }
        Err(no_way(head, self.feed.intake.engine.since()))
    }

    /// Takes a part. If it does not continue what is held, the base does.
    async fn take_part(
        &mut self,
        head: &FeedHead,
        part: Part,
        is_asked: bool,
    ) -> Result<(), Failure> {
        match self.fetch_part(part).await {
            // This place does not know the position that is held.
            Ok(false) if is_asked => {
                self.may_ask = false;
                Ok(())
            }
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::from(FetchError::new(format!(
                "the part {part} of the head is missing"
            )))),
            Err(failure) if failure.needs_base && self.may_take_base => {
                self.fetch_part(head.base.part()).await.map(drop)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Fetches a part and applies it. False if it is missing.
    async fn fetch_part(&mut self, part: Part) -> Result<bool, Failure> {
        self.may_take_base &= !matches!(part, Part::Base { .. });
        let url = self.source.part(&part.to_string());
        let timeout = self.end.saturating_duration_since(Instant::now());
        let ask = self.feed.asking(self.source, &url, ANY_TYPE, None, timeout);
        let preview = |head: &[u8]| self.feed.preview(head);
        let bytes = match self.feed.bring(ask, HEAD_BYTES, preview).await {
            Ok(Brought::Body { bytes, .. }) => bytes,
            Ok(Brought::NotModified) => return Ok(true),
            Err(error) if error.status == Some(StatusCode::NOT_FOUND) => return Ok(false),
            Err(error) => {
                let failure = Failure::from(error);
                return Err(Failure { detail: format!("{part}: {}", failure.detail), ..failure });
            }
        };
        self.feed.take(bytes, self.source, None).await?;
        self.has_news = true;
        Ok(true)
    }
}

fn no_way(head: &FeedHead, held: Option<Position>) -> Failure {
    let held = held.map_or("nothing".to_owned(), |held| held.to_string());
    let detail =
        format!("nothing in the head leads from what is held ({held}) to {}", head.position);
    Failure { code: "head_incomplete", detail, needs_base: false, retry_after: Duration::ZERO }
}

impl From<HeadError> for Failure {
    fn from(error: HeadError) -> Self {
        let (code, detail) = (error.code(), error.to_string());
        Self { code, detail, needs_base: false, retry_after: Duration::ZERO }
    }
}

/// Signatures show what bytes are: what serves files may not know their type.
const ANY_TYPE: &str = "*/*";
/// A chain, the base, and the chain from there.
const MOST_PARTS: usize = 130;
