//! A verdict about a token seen before, with a million revocations in force, and a service with and without the
//! layer. `cargo xtask bench client`; `cargo bench -p offswitch-client --all-features -- ENTRIES ROUNDS`.

#![expect(clippy::unwrap_used, reason = "a benchmark may stop")]

#[path = "../../control-plane/benches/figure/mod.rs"]
mod figure;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use base64ct::{Base64UrlUnpadded, Encoding};
use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use offswitch_client::tower::GuardLayer;
use offswitch_client::{
    FeedOptions, Issuer, Keys, Options, Policy, Presentation, Staleness, Verifier,
};
use offswitch_core::fold::{Fold, Validity};
use offswitch_core::log::Checkpoint;
use offswitch_core::record::{Record, Revocation};
use offswitch_snapshot::{Salt, SnapshotSigner};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use self::figure::{print, print_times};

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::from_bytes(&[7; 32]);
    let (entries, rounds) = figure::scale(1_000_000);
    // With fewer entries there is also less load.
    let (verdicts, requests) = (entries / 5, u32::try_from(entries / 1000).unwrap());
    let base = denied(&key, entries);
    std::fs::write(folder.path().join("base"), &base).unwrap();
    let verifier = runtime.block_on(verifier(&key, folder.path()));
    for count in [100, 10_000] {
        let tokens: Vec<String> = (0..count).map(|at| token(&key, at)).collect();
        for token in &tokens {
            let verdict = check(&verifier, token);
            assert!(verdict.is_valid(), "{verdict:?}");
        }
        for threads in [1, 2] {
            seen_before(&verifier, &tokens, threads, verdicts as usize, rounds);
        }
    }
    new_token(&verifier, &key, rounds);
    runtime.block_on(services(&verifier, &token(&key, 0), requests, rounds));
}

/// A base of so many denied tokens.
fn denied(key: &SigningKey, entries: u64) -> Vec<u8> {
    let signer = SnapshotSigner::new(ISSUER, vec![key.clone()]);
    let mut fold = Fold::begin(Salt::default(), ISSUER, 1, &Checkpoint::default()).unwrap();
    for request in 0..10 {
        let tokens = (0..entries / 10).map(|number| Revocation::Token {
            issuer: None,
            jti: format!("revoked-{}", request * (entries / 10) + number),
            exp: NOW + 3600,
        });
        let revocations = tokens.collect();
        let record = Record { at: NOW, by: "bench".to_owned(), reason: None, revocations };
        fold.push(request + 1, &record.encode()).unwrap();
    }
    let validity = Validity { issued_at: NOW, valid_until: NOW + 60 };
    fold.compaction().run(NOW, validity, |content| signer.sign(content)).1
}

/// One that has read the base from disk; nothing answers at the feed's address.
async fn verifier(key: &SigningKey, folder: &std::path::Path) -> Verifier {
    let public = Base64UrlUnpadded::encode_string(key.verifying_key().as_bytes());
    let feed = FeedOptions::new("http://127.0.0.1:9/v1/feed", &public)
        .max_staleness_seconds(86_400)
        .poll_interval(Duration::from_secs(3600))
        .store(folder);
    let jwks = json!({ "keys": [{ "crv": "Ed25519", "kid": "k", "kty": "OKP", "x": public }] });
    let issuer = Issuer::new(ISSUER, "api").keys(Keys::jwks(&jwks.to_string()));
    let options = Options::new(feed).issuer(issuer).remembered_tokens(50_000).clock(|| NOW);
    Verifier::start(options).await.unwrap()
}

fn token(key: &SigningKey, at: usize) -> String {
    let part = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
    let header = json!({ "alg": "EdDSA", "kid": "k", "typ": "at+jwt" });
    let claims = json!({ "iss": ISSUER, "aud": "api", "sub": format!("user-{at}"), "jti": format!("t-{at}"),
        "sid": format!("session-{at}"), "ver": 1, "scope": "read write", "client_id": "app",
        "iat": NOW - 60, "exp": NOW + 600 });
    let text = format!("{}.{}", part(&header), part(&claims));
    let signature = key.sign(text.as_bytes()).to_bytes();
    format!("{text}.{}", Base64UrlUnpadded::encode_string(&signature))
}

fn check(verifier: &Verifier, token: &str) -> offswitch_client::Verdict {
    verifier.check(token, Presentation::Bearer, Staleness::Configured)
}

fn seen_before(
    verifier: &Verifier,
    tokens: &[String],
    threads: usize,
    verdicts: usize,
    rounds: usize,
) {
    let judge = |thread: usize| {
        let began = processor_time();
        // A step without a common divisor: no neighbour in memory comes next.
        let mut at = thread * 37;
        for _ in 0..verdicts {
            at = (at + 7919) % tokens.len();
            black_box(check(verifier, black_box(&tokens[at])));
        }
        (processor_time() - began) / u32::try_from(verdicts).unwrap()
    };
    let judge = &judge;
    let round = || {
        std::thread::scope(|scope| {
            let all = (0..threads).map(|thread| scope.spawn(move || judge(thread)));
            let all: Vec<_> = all.collect();
            let all: Vec<_> = all.into_iter().map(|one| one.join().unwrap()).collect();
            all.iter().sum::<Duration>() / u32::try_from(threads).unwrap()
        })
    };
    let times: Vec<_> = (0..rounds).map(|_| round()).collect();
    let count = tokens.len();
    let what = format!("a token seen before, {count} tokens, {threads} thread(s), processor time");
    print_times(&what, &times, &json!({ "most": 500 }), "");
}

/// Of this thread: the machine may be shared.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

fn new_token(verifier: &Verifier, key: &SigningKey, rounds: usize) {
    let round = |round: usize| {
        let first = 100_000 + round * NEW_TOKENS;
        let tokens: Vec<String> = (first..first + NEW_TOKENS).map(|at| token(key, at)).collect();
        let began = processor_time();
        for token in &tokens {
            black_box(check(verifier, token));
        }
        (processor_time() - began) / u32::try_from(tokens.len()).unwrap()
    };
    let times: Vec<_> = (0..rounds).map(round).collect();
    print_times("a token never seen before (EdDSA), processor time", &times, &Value::Null, "");
}

/// Requests per second of a service that answers a fixed text, with and without the layer. The load shares the cores
/// with it.
async fn services(verifier: &Verifier, token: &str, requests: u32, rounds: usize) {
    let plain = Router::new().route("/", get(|| async { "hello" }));
    let layer = GuardLayer::new(verifier.clone()).policy(Policy::new().scope("read"));
    let guarded = Router::new().route("/", get(|| async { "hello" })).layer(layer);
    let (plain, guarded) = (serve(plain).await, serve(guarded).await);
    let mut figures = [vec![], vec![]];
    for _ in 0..rounds {
        for (at, address) in [&plain, &guarded].into_iter().enumerate() {
            figures[at].push(load(address, token, requests).await);
        }
    }
    let [plain, guarded] = figures;
    let shares: Vec<_> =
        guarded.iter().zip(&plain).map(|(guarded, plain)| guarded / plain).collect();
    print("requests to a service without the layer", "per_second", &plain, &Value::Null, "");
    print("requests to the same with the layer", "per_second", &guarded, &Value::Null, "");
    let what = "requests with the layer, of those without";
    print(what, "share", &shares, &json!({ "least": 0.85 }), "");
}

async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
    address
}

/// Requests per second over some connections that stay open.
async fn load(address: &str, token: &str, requests: u32) -> f64 {
    let authorization = Arc::new(format!("Bearer {token}"));
    let began = Instant::now();
    let connections = (0..CONNECTIONS).map(|_| {
        let (address, authorization) = (address.to_owned(), Arc::clone(&authorization));
        tokio::spawn(async move {
            let stream = TcpStream::connect(&address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            for _ in 0..requests {
                let request = Request::get(Uri::from_static("/"))
                    .header("host", &address)
                    .header("authorization", authorization.as_str())
                    .body(Empty::<Bytes>::new());
                let answer = sender.send_request(request.unwrap()).await.unwrap();
                assert_eq!(answer.status(), 200);
                answer.into_body().collect().await.unwrap();
            }
        })
    });
    for connection in connections.collect::<Vec<_>>() {
        connection.await.unwrap();
    }
    f64::from(CONNECTIONS * requests) / began.elapsed().as_secs_f64()
}

const ISSUER: &str = "https://auth.example";
const NOW: u64 = 1_800_000_000;
/// In each round.
const NEW_TOKENS: usize = 200;
const CONNECTIONS: u32 = 32;
