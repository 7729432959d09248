//! The response to a connection that exceeds the limit.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::socket::Socket;

/// Answers connections beyond the limit, a few at a time.
#[derive(Debug, Clone)]
pub(super) struct Refusals(Arc<Semaphore>);

impl Refusals {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }

    /// Closes `stream`, with a response unless too many of them are being sent already. Over TLS the handshake
    /// for it would cost more than the request.
    pub(super) fn refuse(&self, stream: Socket, is_secure: bool) {
        metrics::counter!("offswitch_connections_refused_total", "reason" => CODE).increment(1);
        if is_secure {
            return;
        }
        let Ok(place) = self.0.clone().try_acquire_owned() else { return };
        tokio::spawn(async move {
            let _place = place;
            // Whether it arrives depends on the peer.
            let _ = timeout(LONGEST, answer(stream)).await;
        });
    }
}

/// Reads at least the beginning of the request: clients ignore a response that comes before their
/// request, and closing a connection with unread data would discard the response.
async fn answer(mut stream: Socket) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    if stream.read(&mut buffer).await? == 0 {
        return Ok(());
    }
    stream.write_all(ANSWER.as_bytes()).await?;
    stream.shutdown().await?;
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

const CODE: &str = "too_many_connections";
/// A problem document, as everywhere; over HTTP/1, which HTTP/2 clients treat as an error too.
const ANSWER: &str = "HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/problem+json\r\ncontent-length: 168\r\ncache-control: no-store\r\n\
    retry-after: 5\r\nconnection: close\r\n\r\n\
    {\"type\":\"urn:offswitch:problem:too_many_connections\",\"title\":\"Service Unavailable\",\
    \"status\":503,\"code\":\"too_many_connections\",\
    \"detail\":\"there are too many connections\"}";
const AT_ONCE: usize = 64;
const LONGEST: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_a_problem_document_of_the_length_it_says() {
        let (head, body) = ANSWER.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["code"], CODE);
    }
}
