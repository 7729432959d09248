//! The accept loop. hyper-util rather than `axum::serve`, which has no time limit for a request's
//! header (axum#2741) and none for an answer that nobody takes.

mod activity;
mod answer;
mod connection;
mod http2;
mod in_flight;
mod limits;
mod progress;
mod refusal;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

pub use limits::Limits;

use http2::Streams;
use in_flight::InFlight;
use refusal::Refusals;

/// Listens at `address`, where many may knock at once.
///
/// # Errors
///
/// If the address is taken, or not ours.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A process that starts again may take the port over from connections that are being closed.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves on `listener`, each request with what `router` is then, until `shutdown` ends, then lets
/// open requests finish for as long as the limits say.
pub async fn run(
    listener: TcpListener,
    router: Arc<ArcSwap<Router>>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let builders = Arc::new(Builders {
        http1: builder(&limits).http1_only(),
        http2: builder(&limits).http2_only(),
    });
    let limits = Arc::new(limits);
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let in_flight = InFlight::new(limits.max_requests);
    let refusals = Refusals::new();
    let (stop, stopping) = watch::channel(());
    metrics::gauge!("offswitch_connections_limit").set(limits.max_connections as f64);
    tracing::info!(max_connections = limits.max_connections, "accepting connections");
    tokio::pin!(shutdown);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    metrics::counter!("offswitch_connections_refused_total", "reason" => "accept")
                        .increment(1);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = &mut shutdown => break,
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            refusals.refuse(stream);
            continue;
        };
        let (router, stopping) = (router.clone(), stopping.clone());
        let (builders, limits, in_flight) = (builders.clone(), limits.clone(), in_flight.clone());
        tokio::spawn(async move {
            let _counted = Counted::new();
            connection::serve(stream, place, router, &builders, limits, in_flight, stopping).await;
        });
    }
    drop((listener, stopping));
    stop.send_replace(());
    if timeout(limits.shutdown_timeout, stop.closed()).await.is_err() {
        tracing::warn!("some requests were still open at the end");
    }
}

/// How connections of either version are served.
struct Builders {
    http1: Builder<Streams>,
    http2: Builder<Streams>,
}

fn builder(limits: &Limits) -> Builder<Streams> {
    let mut builder = Builder::new(Streams { write_timeout: limits.write_timeout });
    builder
        .http1()
        .timer(TokioTimer::new())
        // It would run while nothing is asked, too: `activity` tells the two apart.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(limits.write_timeout)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
        .max_send_buf_size(MAX_SENT_AHEAD_BYTES)
        // "Rapid reset" (CVE-2023-44487), and its sibling in which we are made to reset.
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_OWN_RESETS);
    builder
}

/// Counts one connection as long as it lives.
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

/// Who finds the queue before the accept loop full hears nothing for a second or more. The system
/// may shorten it (net.core.somaxconn).
const BACKLOG: u32 = 4096;
/// How often an HTTP/2 peer must show that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Of HTTP/1: a longer header is answered with 431. It is looked at before each read, so that at
/// most twice as much is ever held.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Of HTTP/2, unpacked; also bounds how many CONTINUATION frames there may be.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;
const MAX_FRAME_BYTES: u32 = 16 * 1024;
/// Followers of the stream through one connection, say of a proxy, each take one.
const MAX_STREAMS: u32 = 256;
/// What waits in memory for one stream's peer.
const MAX_SENT_AHEAD_BYTES: usize = 64 * 1024;
const MAX_PENDING_RESETS: usize = 20;
const MAX_OWN_RESETS: usize = 256;
