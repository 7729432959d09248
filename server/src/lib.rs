//! What every server of the project has: settings, the log, problem documents, how a
//! feed is served, and the accept loop.
//!
//! The accept loop uses hyper-util instead of `axum::serve`, which has no time limit for a
//! request's header (axum#2741) and none for a response that the peer does not read.

mod activity;
mod answer;
mod connection;
pub mod feed;
mod head;
mod http2;
mod in_flight;
mod limits;
pub mod log;
pub mod problem;
mod progress;
mod refusal;
mod request_body;
pub mod roster;
pub mod secret_file;
pub mod settings;
mod socket;
mod stopping;
mod stream;
pub mod tls;
pub mod trace;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use futures_util::FutureExt;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto::Builder;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

pub use limits::Limits;
pub use socket::{Listener, SocketFile, bind, bind_unix};

use http2::Streams;
use in_flight::InFlight;
use refusal::Refusals;
use socket::Socket;
use stopping::Stopping;
use tls::Tls;

/// Serves on `listener`, each request with the current `router`, until `shutdown` completes. Then
/// pending requests are answered, for as long as the limits allow. Meanwhile new connections are
/// still served: if only one process has the store, no other could accept a revocation.
pub async fn run(
    listener: impl Into<Listener>,
    router: Arc<ArcSwap<Router>>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let listener = listener.into();
    let (stop, stopping) = watch::channel(false);
    let server = Server::new(router, limits, stopping);
    tracing::info!(max_connections = server.limits.max_connections, "accepting connections");
    let (before, open) = watch::channel(());
    server.accept(&listener, open, shutdown).await;
    let deadline = Instant::now() + server.limits.shutdown_timeout;
    tracing::info!("stopping: open requests are answered, streams and long polls end");
    stop.send_replace(true);
    let (after, open) = watch::channel(());
    server
        .accept(&listener, open, async { drop(timeout_at(deadline, before.closed()).await) })
        .await;
    drop(listener);
    let closed = async { tokio::join!(before.closed(), after.closed()) };
    if timeout_at(deadline, closed).await.is_err() {
        tracing::warn!("some requests were still open at the end");
    }
}

/// The state that serves every connection.
struct Server {
    router: Arc<ArcSwap<Router>>,
    builders: Arc<Builders>,
    limits: Arc<Limits>,
    places: Arc<Semaphore>,
    in_flight: InFlight,
    refusals: Refusals,
    stopping: Stopping,
}

impl Server {
    fn new(router: Arc<ArcSwap<Router>>, limits: Limits, stopping: watch::Receiver<bool>) -> Self {
        let stopping = Stopping::new(stopping);
        let builders = Arc::new(Builders {
            http1: builder(&limits, &stopping).http1_only(),
            http2: builder(&limits, &stopping).http2_only(),
            last_http1: last(builder(&limits, &stopping)).http1_only(),
        });
        metrics::gauge!("offswitch_connections_limit").set(limits.max_connections as f64);
        Self {
            router,
            builders,
            places: Arc::new(Semaphore::new(limits.max_connections)),
            in_flight: InFlight::new(limits.max_requests),
            refusals: Refusals::new(),
            limits: Arc::new(limits),
            stopping,
        }
    }

    /// Accepts connections until `end`, and then those still in the queue. Each holds `open`.
    async fn accept(
        &self,
        listener: &Listener,
        open: watch::Receiver<()>,
        end: impl Future<Output = ()>,
    ) {
        tokio::pin!(end);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut end => break,
            };
            match accepted {
                Ok(stream) => self.serve(stream, listener.tls(), &open),
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    metrics::counter!("offswitch_connections_refused_total", "reason" => "accept")
                        .increment(1);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        while let Some(Ok(stream)) = listener.accept().now_or_never() {
            self.serve(stream, listener.tls(), &open);
        }
    }

    fn serve(&self, stream: Socket, tls: Option<&Tls>, open: &watch::Receiver<()>) {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return self.refusals.refuse(stream, tls.is_some());
        };
        let (router, builders, limits) =
            (self.router.clone(), self.builders.clone(), self.limits.clone());
        let (in_flight, stopping, open) =
            (self.in_flight.clone(), self.stopping.clone(), open.clone());
        let opening = connection::open(stream, tls.cloned());
        tokio::spawn(async move {
            let _counted = (Counted::new(), open);
            connection::serve(opening, place, router, &builders, limits, in_flight, stopping).await;
        });
    }
}

/// Configurations for connections of either HTTP version.
struct Builders {
    http1: Builder<Streams>,
    http2: Builder<Streams>,
    /// Serves only one request per connection.
    last_http1: Builder<Streams>,
}

fn last(mut builder: Builder<Streams>) -> Builder<Streams> {
    builder.http1().keep_alive(false);
    builder
}

fn builder(limits: &Limits, stopping: &Stopping) -> Builder<Streams> {
    let streams = Streams { write_timeout: limits.write_timeout, stopping: stopping.clone() };
    let mut builder = Builder::new(streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        // It would also run between requests: `activity` distinguishes the two.
        .header_read_timeout(None)
        .max_buf_size(MAX_READ_AHEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(limits.write_timeout)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(limits.max_head_bytes)
        .max_frame_size(MAX_FRAME_BYTES)
        .max_send_buf_size(MAX_SENT_AHEAD_BYTES)
        // "Rapid reset" (CVE-2023-44487), and the variant in which the server is made to reset.
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_OWN_RESETS);
    builder
}

/// Counts one connection until it is dropped.
struct Counted;

impl Counted {
    fn new() -> Self {
        metrics::gauge!("offswitch_connections").increment(1.0);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("offswitch_connections").decrement(1.0);
    }
}

/// How often an HTTP/2 peer must show that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The read-ahead over HTTP/1. It is checked before each read, so at most twice as much is
/// buffered; `head` limits the size of a header.
const MAX_READ_AHEAD_BYTES: usize = 32 * 1024;
const MAX_FRAME_BYTES: u32 = 16 * 1024;
/// Followers of the stream that share a connection, for example of a proxy, each take one.
const MAX_STREAMS: u32 = 256;
/// What waits in memory for the peer of one stream.
const MAX_SENT_AHEAD_BYTES: usize = 64 * 1024;
const MAX_PENDING_RESETS: usize = 20;
const MAX_OWN_RESETS: usize = 256;
