//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::error::Error;
use std::future::ready;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::ConnectInfo;
use futures_util::future::Either;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper::{Request, Version};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::activity::{Activity, Reason};
use super::answer::Answer;
use super::in_flight::InFlight;
use super::request_body::RequestBody;
use super::socket::Socket;
use super::stopping::{LAST_PATIENCE, Stopping};
use super::stream::Stream;
use super::tls::Tls;
use super::{Builders, Limits, head};

/// Opens a connection: the handshake of TLS, if it is of TLS, and the version of HTTP, which is true for HTTP/2.
pub(super) async fn open(stream: Socket, tls: Option<Tls>) -> io::Result<(Socket, bool)> {
    let stream = match (stream, tls) {
        (Socket::Tcp(stream), Some(tls)) => Socket::Tls(tls.accept(stream).await?.into()),
        (stream, _) => stream,
    };
    let is_http2 = match stream.agreed_on_http2() {
        Some(is_http2) => is_http2,
        None => begins_as_http2(&stream).await?,
    };
    Ok((stream, is_http2))
}

/// Serves requests on the stream that is being opened, each with the current `router`, until the peer closes, the
/// connection has to be closed, or `stopping` begins and pending requests are answered. If the
/// first request comes after that, it is still served. The connection holds its permit for that
/// long.
pub(super) async fn serve(
    opening: impl Future<Output = io::Result<(Socket, bool)>>,
    place: OwnedSemaphorePermit,
    router: Arc<ArcSwap<Router>>,
    builders: &Builders,
    limits: Arc<Limits>,
    in_flight: InFlight,
    mut stopping: Stopping,
) {
    let activity = Arc::new(Activity::new(limits.clone(), stopping.clone()));
    let mut is_last = stopping.is_now();
    let mut header_ends = Instant::now() + limits.header_timeout;
    let opened = {
        let mut opening = pin!(timeout_at(header_ends, opening));
        tokio::select! {
            biased;
            // A connection that was accepted before, and not read, has one request, too.
            () = stopping.begins() => {
                is_last = true;
                header_ends = header_ends.min(Instant::now() + LAST_PATIENCE);
                timeout_at(header_ends, opening).await.unwrap_or_else(Err)
            }
            opened = opening.as_mut() => opened,
        }
    };
    let (stream, is_http2) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return tracing::debug!(%error, "a connection was not opened"),
        Err(_) => return closed(Reason::HeaderTimeout),
    };
    let builder = match is_http2 {
        true => &builders.http2,
        false if is_last => &builders.last_http1,
        false => &builders.http1,
    };
    let peer = stream.peer().map(ConnectInfo);
    let stream = Stream::new(stream, activity.clone(), limits.write_timeout);
    let asked = activity.clone();
    let max_head_bytes = limits.max_head_bytes as usize;
    let service = service_fn(move |request: Request<Incoming>| {
        let (place, refusal) = in_flight.enter();
        let asking = asked.ask(request.version() == Version::HTTP_2, place);
        let answering = match refusal.or_else(|| head::refusal(&request, max_head_bytes)) {
            Some(refusal) => Either::Left(ready(Ok(refusal))),
            None => {
                let router = router.load().as_ref().clone();
                let mut request = request.map(|body| RequestBody::new(body, asked.clone()));
                if let Some(peer) = peer {
                    request.extensions_mut().insert(peer);
                }
                Either::Right(TowerToHyperService::new(router).call(request))
            }
        };
        async move {
            let response = answering.await?;
            Ok::<_, Infallible>(response.map(|body| Answer::new(body, asking)))
        }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut look = pin!(sleep_until(header_ends));
    let (mut is_leaving, mut is_stopping) = (false, is_last);
    loop {
        tokio::select! {
            // What has arrived is read first: a connection that was never read would be closed.
            biased;
            outcome = connection.as_mut() => return ended(outcome),
            () = look.as_mut() => {
                let now = Instant::now();
                let is_over = match is_stopping {
                    true => activity.is_stalled(now),
                    false => is_leaving && !activity.is_asking(),
                };
                if is_over {
                    // The peer did not take the rest of a response, or did not send one of a
                    // request.
                    return;
                }
                let free = place.semaphore().available_permits();
                match activity.judge(now, free <= limits.max_connections / 10) {
                    Ok(next) if is_stopping => {
                        connection.as_mut().graceful_shutdown();
                        look.as_mut().reset(next.min(now + LAST_PATIENCE));
                    }
                    Ok(next) => look.as_mut().reset(next),
                    Err(Reason::Idle) if !is_stopping => {
                        closed(Reason::Idle);
                        // A request that arrives at this moment is still answered.
                        connection.as_mut().graceful_shutdown();
                        is_leaving = true;
                        look.as_mut().reset(now + limits.write_timeout);
                    }
                    Err(reason) => return closed(reason),
                }
            }
            () = stopping.begins(), if !is_stopping => {
                is_stopping = true;
                activity.hasten();
                connection.as_mut().graceful_shutdown();
                look.as_mut().reset(Instant::now() + LAST_PATIENCE);
            }
        }
    }
}

fn ended(outcome: Result<(), Box<dyn Error + Send + Sync>>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended");
        if is_timeout(error.as_ref()) {
            closed(Reason::WriteTimeout);
        }
    }
}

/// Peeks at the first bytes of the peer without consuming them. hyper-util could detect the
/// version, but it consumes the bytes, and hyper reads the rest into a buffer of twice the size.
async fn begins_as_http2(stream: &Socket) -> io::Result<bool> {
    let mut first = [0; PREFACE.len()];
    loop {
        let count = stream.peek(&mut first).await?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if first[..count] != PREFACE[..count] {
            return Ok(false);
        }
        if count == PREFACE.len() {
            return Ok(true);
        }
        // Some bytes are there, so waiting for readiness would not wait for the rest.
        sleep(REST_OF_PREFACE).await;
    }
}

fn closed(reason: Reason) {
    metrics::counter!("offswitch_connections_closed_total", "reason" => reason.name()).increment(1);
}

/// True if the stream ended the connection, or the kernel below it.
fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// RFC 9113 section 3.4.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const REST_OF_PREFACE: Duration = Duration::from_millis(20);
