//! Frames of HTTP/2, as many as the line carries.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Place, SOON, System, many};
use crate::support::raw_http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, RawHttp2, SETTINGS,
    frame, head,
};

// G06, RUSTSEC-2026-0258
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_empty_data_frames_delays_no_one() {
    let open = |place: Place| frame(HEADERS, END_HEADERS, 1, &head(0x83, place.path));
    flood("empty DATA frames", open, |_, _| frame(DATA, 0, 1, b""), MustEnd::Yes).await;
}

// G06, RUSTSEC-2024-0332: a header that never ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_continuation_frames_delays_no_one() {
    let open = |place: Place| frame(HEADERS, 0, 1, &head(0x82, place.path));
    // A literal field without indexing, with a name and a value of one byte each.
    let next = |_, _| frame(CONTINUATION, 0, 1, b"\0\x01x\x01y");
    flood("CONTINUATION frames", open, next, MustEnd::Yes).await;
}

// G06, CVE-2023-44487: requests that the client resets immediately.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rapid_reset_delays_no_one() {
    let next = |place: Place, number| {
        let stream = 2 * number + 1;
        let block = head(0x82, place.path);
        let mut bytes = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
        bytes.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        bytes
    };
    flood("rapid reset", |_| Vec::new(), next, MustEnd::Yes).await;
}

// G06, CVE-2019-9515: settings, each of which has to be acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_settings_delays_no_one() {
    let next = |_, number: u32| {
        let window = [&[0, 4][..], &(65_535 + number % 2).to_be_bytes()].concat();
        frame(SETTINGS, 0, 0, &window)
    };
    flood("SETTINGS frames", |_| Vec::new(), next, MustEnd::No).await;
}

// G06, CVE-2019-9512: pings, each of which has to be answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_pings_delays_no_one() {
    let next = |_, number: u32| frame(PING, 0, 0, &u64::from(number).to_be_bytes());
    flood("PING frames", |_| Vec::new(), next, MustEnd::No).await;
}

/// Whether the guard has to end a connection that floods it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MustEnd {
    /// It may read on, as long as it keeps nothing of it and serves others.
    No,
    Yes,
}

/// Floods each address over four connections for three seconds; opens a new connection whenever one
/// is closed.
async fn flood(
    name: &str,
    open: fn(Place) -> Vec<u8>,
    next: fn(Place, u32) -> Vec<u8>,
    must_end: MustEnd,
) {
    let system = System::start("nginx").await;
    let before = system.attacked.guard.resident_bytes();
    let begin = Instant::now();
    let end = begin + Duration::from_secs(3);
    let attack = many(system.attacked.places(), 4, move |mut connection, place| async move {
        while Instant::now() < end {
            let accepted = flood_until_closed(connection, &open(place), place, next, end).await;
            let is_endless = must_end == MustEnd::Yes && accepted >= MOST_ACCEPTED;
            assert!(!is_endless, "{}: the guard accepted {accepted} frames", place.name);
            connection = TcpStream::connect(("127.0.0.1", place.port)).await.unwrap();
        }
    });
    // What is read on takes the time of the guard, and no more than that.
    let least = if must_end == MustEnd::Yes { SOON } else { Duration::from_millis(250) };
    system.honest_in_the_meantime(name, least, attack).await;
    let grown = system.attacked.guard.resident_bytes().saturating_sub(before);
    println!("{name}: the guard grew by {} KiB", grown / 1024);
    assert!(grown < 32 << 20, "{name}: the guard grew by {grown} bytes");
}

/// How many frames were sent before the connection was closed, or the time was over.
async fn flood_until_closed(
    connection: TcpStream,
    open: &[u8],
    place: Place,
    next: fn(Place, u32) -> Vec<u8>,
    end: Instant,
) -> u32 {
    let mut connection = RawHttp2::begin(connection).await;
    if connection.0.write_all(open).await.is_err() {
        return 0;
    }
    let (mut reader, mut writer) = connection.0.into_split();
    let reading = tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while reader.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
    });
    let mut sent = 0;
    while Instant::now() < end {
        let frames: Vec<u8> = (0..100).flat_map(|one| next(place, sent + one)).collect();
        if reading.is_finished() || writer.write_all(&frames).await.is_err() {
            break;
        }
        sent += 100;
    }
    reading.abort();
    sent
}

/// Of one connection.
const MOST_ACCEPTED: u32 = 200_000;
