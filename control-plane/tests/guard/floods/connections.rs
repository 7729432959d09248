//! Connections on which too little comes.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{Place, SOON, System, many};
use crate::support::raw_http2::{DATA, END_HEADERS, HEADERS, RST_STREAM, RawHttp2, frame, head_of};

// G06: headers byte by byte, silence, and beginnings of a preface or of a request: each of 1,200
// connections is closed when the time for a header is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_never_end_are_cut_off_at_each_address() {
    let system = System::start("nginx").await;
    let attack = many(system.attacked.places(), 400, slow_header);
    system.honest_in_the_meantime("slow headers", SOON, attack).await;
    let text = system.attacked.guard.admin("/metrics").send().await.unwrap().text().await.unwrap();
    let closed = "offswitch_connections_closed_total{reason=\"header_timeout\"} ";
    let closed = text.lines().find_map(|line| line.strip_prefix(closed)?.parse::<u32>().ok());
    assert!(closed.is_some_and(|count| count >= 1200), "{text}");
}

async fn slow_header(mut connection: TcpStream, place: Place) {
    let beginnings = [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HT"];
    let port = usize::from(connection.local_addr().unwrap().port());
    let is_dripping = port.is_multiple_of(2);
    let first = if is_dripping { b"GET / HTTP/1.1\r\nx: " } else { beginnings[port / 2 % 4] };
    connection.write_all(first).await.unwrap();
    for _ in 0..50 {
        let read = timeout(Duration::from_millis(400), connection.read(&mut [0; 1024])).await;
        if matches!(read, Ok(Ok(0) | Err(_))) {
            return;
        }
        if is_dripping && connection.write_all(b"y").await.is_err() {
            return;
        }
    }
    panic!("{}: a header could take as long as it liked", place.name);
}

// G06: a body byte by byte. Where no body is read, the answer does not wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_never_end_delay_no_answer() {
    let system = System::start("nginx").await;
    let attack = many(system.attacked.places(), 100, async |mut connection, place: Place| {
        let head =
            format!("POST {} HTTP/1.1\r\nhost: a\r\ncontent-length: 9999\r\n\r\n", place.path);
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 4096];
        let answered = timeout(Duration::from_secs(10), connection.read(&mut answer)).await;
        assert!(matches!(answered, Ok(Ok(1..))), "{}: {answered:?}", place.name);
        for _ in 0..20 {
            let _ = connection.write_all(b"a").await;
            sleep(Duration::from_millis(50)).await;
        }
    });
    system.honest_in_the_meantime("slow bodies", SOON, attack).await;
}

// G06: the message of a gRPC check, which never comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_over_grpc_whose_message_never_comes_ends() {
    let system = System::start("envoy").await;
    let [checks, ..] = system.attacked.places();
    let attack = many([checks; 3], 20, async |connection, _| {
        let mut connection = RawHttp2::begin(connection).await;
        let path = "/envoy.service.auth.v3.Authorization/Check";
        let open = frame(HEADERS, END_HEADERS, 1, &head_of(0x83, path, "application/grpc"));
        connection.0.write_all(&open).await.unwrap();
        // The length of the message, and its first byte.
        let begun = frame(DATA, 0, 1, &[0, 0, 0, 0, 9, 10]);
        connection.0.write_all(&begun).await.unwrap();
        let ended = async {
            while let Some(frame) = connection.next().await {
                if frame.stream == 1 && [HEADERS, RST_STREAM].contains(&frame.kind) {
                    return;
                }
            }
        };
        timeout(Duration::from_secs(20), ended).await.expect("the check went on without end");
    });
    system.honest_in_the_meantime("gRPC without a message", SOON, attack).await;
}
