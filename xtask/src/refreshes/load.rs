//! The load: chains of refreshes over HTTP/1.1, each on its own connection.
//!
//! Written by hand because it shares the machine with the server that it measures: reqwest takes
//! twice the processor time per request.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::task::JoinSet;

use crate::bench::scale::scale;

/// A token endpoint on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    port: u16,
    path: String,
    /// More fields of the form after grant type and refresh token, each after an `&`.
    more_fields: String,
}

/// Counts the requests that one chain finishes within the measured time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counting {
    begin: Instant,
    end: Instant,
    now: Instant,
    counted: u64,
}

/// One connection and what was read from it.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Target {
    pub(crate) fn new(port: u16, path: &str, more_fields: &str) -> Self {
        Self { port, path: path.to_owned(), more_fields: more_fields.to_owned() }
    }

    /// Writes the request that uses up `token` into `request`.
    fn write(&self, token: &str, request: &mut Vec<u8>) {
        let Self { port, path, more_fields } = self;
        let body_size = FIELDS.len() + token.len() + more_fields.len();
        request.clear();
        request.extend_from_slice(
            format!(
                "POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\
                 content-type: application/x-www-form-urlencoded\r\n\
                 content-length: {body_size}\r\n\r\n{FIELDS}{token}{more_fields}"
            )
            .as_bytes(),
        );
    }
}

impl Counting {
    /// Starts the warm-up.
    pub(crate) fn begin() -> Self {
        let now = Instant::now();
        let begin = now + scale().warm_up;
        Self { begin, end: begin + scale().measured, now, counted: 0 }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.now >= self.end
    }

    /// Counts one more finished request.
    pub(crate) fn count(&mut self) {
        self.now = Instant::now();
        self.counted += u64::from(self.now >= self.begin && self.now < self.end);
    }

    pub(crate) fn counted(&self) -> u64 {
        self.counted
    }

    /// Waits for all chains; returns the sum of their counts, per second.
    pub(crate) async fn rate(&self, mut chains: JoinSet<Result<u64>>) -> Result<f64> {
        let mut sum = 0_u64;
        let limit = self.end + GRACE;
        while let Some(counted) =
            tokio::time::timeout_at(limit.into(), chains.join_next()).await.context("no answer")?
        {
            sum += counted??;
        }
        Ok(sum as f64 / scale().measured.as_secs_f64())
    }
}

impl Connection {
    pub(crate) async fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(LARGEST_ANSWER_BYTES) })
    }

    /// Sends one request; returns the body of the response, which must be a success and text.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<&str> {
        Ok(std::str::from_utf8(self.exchange_bytes(request).await?)?)
    }

    /// Sends one request; returns the body of the response, which must be a success.
    pub(crate) async fn exchange_bytes(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let mut body = None;
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(read > 0, "the connection is closed");
            if body.is_none() {
                body = head(&self.buffer)?;
            }
            if let Some((status, begin, size)) = body
                && self.buffer.len() >= begin + size
            {
                ensure!(self.buffer.len() == begin + size, "more than one answer");
                let body = &self.buffer[begin..];
                ensure!(
                    (200..300).contains(&status),
                    "answered {status}: {}",
                    String::from_utf8_lossy(body)
                );
                return Ok(body);
            }
            ensure!(self.buffer.len() < LARGEST_ANSWER_BYTES, "the answer is too large");
        }
    }
}

/// Refreshes each of the tokens and its successors, and returns the number of responses per second.
///
/// # Errors
///
/// Any response other than 200 with another refresh token ends the run.
pub(crate) async fn refreshes_per_second(target: Target, tokens: Vec<String>) -> Result<f64> {
    one_thread(async move {
        let target = Arc::new(target);
        let mut connections = Vec::with_capacity(tokens.len());
        for _ in &tokens {
            connections.push(Connection::open(target.port).await?);
        }
        let counting = Counting::begin();
        let mut chains = JoinSet::new();
        for (connection, token) in connections.into_iter().zip(tokens) {
            chains.spawn(chain(Arc::clone(&target), connection, token, counting));
        }
        counting.rate(chains).await
    })
    .await
}

async fn chain(
    target: Arc<Target>,
    mut connection: Connection,
    mut token: String,
    mut counting: Counting,
) -> Result<u64> {
    let mut request = Vec::with_capacity(1024);
    while !counting.is_over() {
        target.write(&token, &mut request);
        let answer = connection.exchange(&request).await?;
        let next = refresh_token(answer).context("an answer without a refresh token")?;
        ensure!(next != token, "the refresh token is not rotated");
        token.clear();
        token.push_str(next);
        counting.count();
    }
    Ok(counting.counted())
}

/// Runs the load on one separate thread: chains that mostly wait need no more, and no work moves
/// from core to core.
pub(crate) async fn one_thread(
    work: impl Future<Output = Result<f64>> + Send + 'static,
) -> Result<f64> {
    let thread =
        move || runtime::Builder::new_current_thread().enable_all().build()?.block_on(work);
    tokio::task::spawn_blocking(thread).await?
}

/// The status, and where the body begins and its length, once the whole head has arrived.
fn head(answer: &[u8]) -> Result<Option<(u16, usize, usize)>> {
    let Some(end) = memmem::find(answer, b"\r\n\r\n") else {
        return Ok(None);
    };
    let mut lines = std::str::from_utf8(&answer[..end])?.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3));
    let status = status.context("not HTTP/1.1")?.parse()?;
    for line in lines {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return Ok(Some((status, end + 4, value.trim().parse()?)));
        }
    }
    bail!("an answer without a length")
}

/// The member `refresh_token` of a JSON object; it contains no letters that need an escape.
fn refresh_token(answer: &str) -> Option<&str> {
    let begin = memmem::find(answer.as_bytes(), NAME.as_bytes())? + NAME.len();
    Some(answer.get(begin..)?.trim_start().strip_prefix('"')?.split_once('"')?.0)
}

const FIELDS: &str = "grant_type=refresh_token&refresh_token=";
const GRACE: Duration = Duration::from_secs(10);
const LARGEST_ANSWER_BYTES: usize = 16 * 1024;
const NAME: &str = "\"refresh_token\":";

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Answers the requests of one connection with `answers`, each in two pieces, and returns the
    /// bodies of the requests.
    async fn fake(answers: Vec<String>) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bodies = Vec::new();
            for answer in answers {
                let mut request = vec![0; 4096];
                let size = stream.read(&mut request).await.unwrap();
                let request = std::str::from_utf8(&request[..size]).unwrap();
                bodies.push(request.split_once("\r\n\r\n").unwrap().1.to_owned());
                let (first, second) = answer.split_at(answer.len() / 2);
                stream.write_all(first.as_bytes()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
                stream.write_all(second.as_bytes()).await.unwrap();
            }
            bodies
        });
        (port, served)
    }

    fn answer(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    // A chain of two refreshes and a refusal: each token is sent once, and the refusal is an error.
    #[tokio::test]
    async fn a_chain_sends_each_answer_s_token_and_ends_with_a_refusal() {
        let (port, served) = fake(vec![
            answer("200 OK", r#"{"refresh_token":"second","expires_in":600}"#),
            answer("200 OK", r#"{"token_type":"Bearer","refresh_token": "third"}"#),
            answer("400 Bad Request", r#"{"error":"invalid_grant"}"#),
        ])
        .await;
        let target = Target::new(port, "/token", "&client_id=bench");
        let result = refreshes_per_second(target, vec!["first".to_owned()]).await;
        let error = result.unwrap_err().to_string();
        assert_eq!(error, r#"answered 400: {"error":"invalid_grant"}"#);
        let body = |token: &str| format!("{FIELDS}{token}&client_id=bench");
        assert_eq!(served.await.unwrap(), [body("first"), body("second"), body("third")]);
    }

    // A response whose end cannot be known, and bytes that are not a response.
    #[test]
    fn an_answer_without_a_length_or_of_another_protocol_is_refused() {
        assert!(head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(head(b"SSH-2.0\r\n\r\n").is_err());
        assert!(head(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n").unwrap().is_none());
    }
}
