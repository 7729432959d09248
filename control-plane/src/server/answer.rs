//! An answer's body on its way out, in small pieces.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};

use super::activity::Asking;
use super::http2::Progress;

/// The body of one answer. Its request counts as being answered as long as it lives.
pub(super) struct Answer {
    body: Body,
    /// What the body gave already and is not handed out yet.
    rest: Bytes,
    progress: Option<Arc<Progress>>,
    _asking: Asking,
}

impl Answer {
    pub(super) fn new(body: Body, asking: Asking) -> Self {
        Self { body, rest: Bytes::new(), progress: Progress::of_this_task(), _asking: asking }
    }

    /// Asking for the next piece shows that the peer takes them. What it stops at keeps no more
    /// than a piece in memory: the last one is a copy, so that it does not hold on to a base.
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
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(progress) = &self.progress {
            progress.resume();
        }
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let piece = self.next_piece();
        if let Some(progress) = &self.progress {
            progress.hand_out();
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
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
