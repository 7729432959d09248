//! The answer to a connection that is one too many.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Answers those who are too many, a few at a time.
#[derive(Debug, Clone)]
pub(super) struct Refusals(Arc<Semaphore>);

impl Refusals {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }

    /// Closes `stream`, with an answer if not too many are being given already.
    pub(super) fn refuse(&self, stream: TcpStream) {
        metrics::counter!("offswitch_connections_refused_total", "reason" => CODE).increment(1);
        let Ok(place) = self.0.clone().try_acquire_owned() else { return };
        tokio::spawn(async move {
            let _place = place;
            // Whether it arrives is the peer's affair.
            let _ = timeout(LONGEST, answer(stream)).await;
        });
    }
}

/// The request is read, at least its beginning: clients take no answer to what they did not ask,
/// and closing with something unread would take the answer away.
async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
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
/// A problem document, as everywhere; over HTTP/1, which clients of HTTP/2 take for an error too.
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
