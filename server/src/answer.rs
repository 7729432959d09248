//! The body of a response on its way out, in small pieces.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

use super::activity::Asking;
use super::progress::{Piece, Progress};

/// The body of one response. Its request counts as in progress until this is dropped.
pub(super) struct Answer {
    body: Body,
    /// What the body returned already and was not handed out yet.
    rest: Bytes,
    /// When the body returned it.
    since: Instant,
    /// The progress of the stream over HTTP/2, where each stream has its own.
    stream: Option<Arc<Progress>>,
    was_handed_out: bool,
    asking: Asking,
}

impl Answer {
    pub(super) fn new(body: Body, asking: Asking) -> Self {
        let (since, stream) = (Instant::now(), Progress::of_this_stream());
        Self { body, rest: Bytes::new(), since, stream, was_handed_out: false, asking }
    }

    /// A peer that stops reading keeps no more than a piece in memory: the last piece is a copy, so
    /// that it does not keep a whole base alive.
    fn next_piece(&mut self) -> Bytes {
        if self.rest.len() > PIECE_BYTES {
            let piece = self.rest.split_to(PIECE_BYTES);
            if self.rest.len() <= PIECE_BYTES {
                self.rest = Bytes::copy_from_slice(&self.rest);
            }
            return piece;
        }
        std::mem::take(&mut self.rest)
    }

    /// Over HTTP/1, a request for the next piece shows that the last one was taken. An HTTP/2
    /// stream asks earlier: if its window is open by one byte, the whole piece goes into its queue,
    /// and after the last piece nothing would watch the queue.
    fn poll_taken(&self, context: &mut Context<'_>) -> Poll<()> {
        match &self.stream {
            Some(stream) => stream.poll_taken(context),
            None => {
                self.asking.progress().taken();
                Poll::Ready(())
            }
        }
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        ready!(self.poll_taken(context));
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => (self.rest, self.since) = (data, Instant::now()),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let mut piece = self.next_piece();
        let due = self.asking.due(self.since);
        match &self.stream {
            Some(stream) => {
                stream.hand_out(due);
                piece = Bytes::from_owner(Piece::new(piece, stream.clone()));
            }
            None => self.asking.progress().hand_out(due),
        }
        self.was_handed_out = true;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        // Over HTTP/2 the body ends on its own, after the last piece was taken.
        let is_awaited = self.stream.is_some() && self.was_handed_out;
        !is_awaited && self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower().saturating_add(rest));
        if let Some(upper) = body.upper().and_then(|upper| upper.checked_add(rest)) {
            hint.set_upper(upper);
        }
        hint
    }
}

const PIECE_BYTES: usize = 64 * 1024;
