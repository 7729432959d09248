//! Clients that only want to exhaust the server, while honest ones are served.

use std::time::{Duration, Instant};

use offswitch::server::Limits;
use reqwest::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::support::local_server::{LocalServer, counted, short_limits};
use crate::support::raw_http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, RawHttp2, frame, head,
};

// A01: slow-loris. 1,500 connections send their headers byte by byte: each is closed when the time
// for a header is over, and no honest client waits for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_sent_byte_by_byte_are_cut_off_and_delay_no_client() {
    let (attacked, spared) = two_servers().await;
    let before = counted("offswitch_connections_closed_total", "header_timeout");
    let attack = many(&attacked, 1500, async |mut connection: TcpStream| {
        let header = b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-long: ".iter().chain(&[b'x'; 1000]);
        for byte in header {
            if connection.write_all(&[*byte]).await.is_err() {
                return;
            }
            // A close by the server shows in this read; the writes would notice it later.
            let closed = timeout(Duration::from_millis(400), connection.read(&mut [0; 64])).await;
            if closed.is_ok() {
                return;
            }
        }
        panic!("a header could take as long as it liked");
    });
    honest_in_the_meantime("slow headers", &attacked, &spared, attack).await;
    let closed = counted("offswitch_connections_closed_total", "header_timeout") - before;
    assert!(closed >= 1500.0, "{closed}");
}

// A01: connections that send nothing, or only the beginning of HTTP/2's preface.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_are_closed_and_delay_no_client() {
    let (attacked, spared) = two_servers().await;
    let attack = many(&attacked, 1500, async |mut connection: TcpStream| {
        let beginnings = [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HT"];
        let port = usize::from(connection.local_addr().unwrap().port());
        let _ = connection.write_all(beginnings[port % beginnings.len()]).await;
        until_closed(connection).await;
    });
    honest_in_the_meantime("empty connections", &attacked, &spared, attack).await;
}

// A01: bodies sent byte by byte to a route that needs no API key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_sent_byte_by_byte_time_out_and_delay_no_client() {
    let (attacked, spared) = two_servers().await;
    let attack = many(&attacked, 1000, async |mut connection: TcpStream| {
        let head = "POST /oauth/token HTTP/1.1\r\nhost: a\r\ncontent-length: 20000\r\n\
                    content-type: application/x-www-form-urlencoded\r\n\r\n";
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 4096];
        for _ in 0..60 {
            let _ = connection.write_all(b"a").await;
            match timeout(Duration::from_millis(500), connection.read(&mut answer)).await {
                // Bytes that are sent while the server closes may destroy the answer.
                Ok(Ok(0) | Err(_)) => return,
                Ok(Ok(length)) => {
                    let answer = String::from_utf8_lossy(&answer[..length]);
                    assert!(answer.contains("body_too_slow"), "{answer}");
                    return;
                }
                Err(_) => {}
            }
        }
        panic!("a body could take as long as it liked");
    });
    honest_in_the_meantime("slow bodies", &attacked, &spared, attack).await;
}

// A01: a large body over a slow line is not an attack.
#[tokio::test]
async fn a_body_that_arrives_steadily_may_take_more_than_ten_seconds() {
    let server = LocalServer::start(Limits::default()).await;
    let mut connection = server.connect().await;
    let (piece, pieces) = (vec![b' '; 10_000], 120);
    let body = br#"{"sub":"a"}"#;
    let head = format!(
        "POST /v1/revocations HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        server.admin_key(),
        piece.len() * pieces + body.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..pieces {
        connection.write_all(&piece).await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    connection.write_all(body).await.unwrap();
    let mut answer = [0; 1024];
    let length = connection.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

// A01, RUSTSEC-2026-0258: empty DATA frames, as many as the line carries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_empty_data_frames_ends_the_connection_and_delays_no_client() {
    let open = frame(HEADERS, END_HEADERS, 1, &head(0x83, "/oauth/token"));
    flood("empty DATA frames", open, |_| frame(DATA, 0, 1, b"")).await;
}

// A01, RUSTSEC-2024-0332: a header that never ends, in CONTINUATION frames.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_continuation_frames_ends_the_connection_and_delays_no_client() {
    let open = frame(HEADERS, 0, 1, &head(0x82, "/healthz"));
    // A literal field without indexing, with a name and a value of one byte each.
    flood("CONTINUATION frames", open, |_| frame(CONTINUATION, 0, 1, b"\0\x01x\x01y")).await;
}

// A01, CVE-2023-44487: requests that the client resets immediately.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rapid_reset_ends_the_connection_and_delays_no_client() {
    flood("rapid reset", Vec::new(), |number| {
        let stream = 2 * number + 1;
        let block = head(0x82, "/healthz");
        let mut bytes = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
        bytes.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        bytes
    })
    .await;
}

/// Floods with the frames of `next` over eight connections for three seconds; opens a new
/// connection whenever one is closed.
async fn flood(name: &str, open: Vec<u8>, next: fn(u32) -> Vec<u8>) {
    let (attacked, spared) = two_servers().await;
    let begin = Instant::now();
    let attack = many(&attacked, 8, move |mut connection: TcpStream| {
        let open = open.clone();
        async move {
            let address = connection.peer_addr().unwrap();
            loop {
                flood_until_closed(connection, &open, next).await;
                if begin.elapsed() > Duration::from_secs(3) {
                    return;
                }
                connection = TcpStream::connect(address).await.unwrap();
            }
        }
    });
    honest_in_the_meantime(name, &attacked, &spared, attack).await;
}

async fn flood_until_closed(connection: TcpStream, open: &[u8], next: fn(u32) -> Vec<u8>) {
    let mut connection = RawHttp2::begin(connection).await;
    if connection.0.write_all(open).await.is_err() {
        return;
    }
    let (mut reader, mut writer) = connection.0.into_split();
    let reading = tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while reader.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
    });
    for batch in 0..2_000 {
        let frames: Vec<u8> = (0..100).flat_map(|one| next(batch * 100 + one)).collect();
        if reading.is_finished() || writer.write_all(&frames).await.is_err() {
            return;
        }
    }
    panic!("the server accepted 200,000 of them");
}

async fn two_servers() -> (LocalServer, LocalServer) {
    let limits = Limits { header_timeout: Duration::from_secs(4), ..short_limits() };
    tokio::join!(LocalServer::start(limits.clone()), LocalServer::start(limits))
}

/// Opens this many connections to `server`, which all do the same at the same time.
fn many<F, R>(
    server: &LocalServer,
    count: usize,
    act: F,
) -> impl Future<Output = ()> + Send + 'static
where
    F: Fn(TcpStream) -> R + Send + Sync + Clone + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let url = server.url("");
    let address = url.trim_start_matches("http://").to_owned();
    async move {
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (address, act) = (address.clone(), act.clone());
            tasks.spawn(async move { act(TcpStream::connect(address).await.unwrap()).await });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
    }
}

async fn until_closed(mut connection: TcpStream) {
    let mut buffer = [0; 1024];
    let ended = timeout(Duration::from_secs(20), async {
        while connection.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
    });
    ended.await.unwrap();
}

/// Sends requests to both servers in turn until the attack is over. The attacked server may take at
/// most twice as long as the other one, which has the same load on the same machine; times below
/// five milliseconds count as five.
async fn honest_in_the_meantime(
    name: &str,
    attacked: &LocalServer,
    spared: &LocalServer,
    attack: impl Future<Output = ()> + Send + 'static,
) {
    let client = Client::builder().no_proxy().build().unwrap();
    let mut quiet = Vec::new();
    for _ in 0..50 {
        quiet.push(asked(&client, attacked).await);
    }
    // On a thread of its own: the attack shares the machine with the server, but not its threads.
    let attack = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(attack);
    });
    let (mut hit, mut free) = (Vec::new(), Vec::new());
    while !attack.is_finished() || hit.len() < 20 {
        hit.push(asked(&client, attacked).await);
        free.push(asked(&client, spared).await);
        sleep(Duration::from_millis(5)).await;
    }
    timeout(Duration::from_secs(30), attack).await.unwrap().unwrap();
    let count = hit.len();
    let [quiet, hit, free] = [quiet, hit, free].map(median);
    println!(
        "{name}: {count} honest requests, median {hit:?}; the spared server {free:?}; before \
         the attack {quiet:?}; ratio {:.2}",
        hit.as_secs_f64() / free.as_secs_f64()
    );
    assert!(hit <= 2 * free.max(Duration::from_millis(5)), "{name}: {hit:?}, {free:?} spared");
}

/// One request on the pooled connection and one on a new one, both with an API key.
async fn asked(client: &Client, server: &LocalServer) -> Duration {
    let begin = Instant::now();
    for close in ["keep-alive", "close"] {
        let request = client.get(server.url("/v1/status")).header("connection", close);
        let answer = request.bearer_auth(server.admin_key()).send().await.unwrap();
        assert!(answer.status().is_success());
        answer.bytes().await.unwrap();
    }
    begin.elapsed()
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort();
    samples[samples.len() / 2]
}
