//! Clients, gateways and followers that ask for too much, or too slowly, at each address of a guard: those
//! of checks, of the relay and of health. An honest one is served at each of them meanwhile.

mod bounds;
mod connections;
mod frames;

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use reqwest::{Client, Response};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::support::guard::{Guard, feed_of, issuer_of, session};
use crate::support::process::ControlPlane;
use crate::support::redis_server::free_port;

/// A guard with all of its addresses, and another that is like it and is spared.
struct System {
    attacked: Target,
    spared: Target,
    token: String,
    _plane: ControlPlane,
}

/// A guard that answers checks and relays the feed.
struct Target {
    guard: Guard,
    relay_port: u16,
    /// Where its gateway asks.
    check_path: &'static str,
}

/// One address of a guard, and a path that is served there.
#[derive(Clone, Copy)]
struct Place {
    name: &'static str,
    port: u16,
    path: &'static str,
}

impl System {
    async fn start(gateway: &str) -> Self {
        let plane = ControlPlane::start().await;
        let (attacked, spared) =
            tokio::join!(Target::start(&plane, gateway, ""), Target::start(&plane, gateway, ""));
        let token = session(&plane, "ann", "read").await.1;
        let system = Self { attacked, spared, token, _plane: plane };
        for target in [&system.attacked, &system.spared] {
            target.until_valid(&system.token).await;
        }
        system
    }

    /// Sends requests to both guards in turn until the attack is over. The attacked one may take at most
    /// twice as long as the other one, which has the same load on the same machine; times below `least`
    /// count as that. A follower of its relay gets every heartbeat.
    async fn honest_in_the_meantime(
        &self,
        name: &str,
        least: Duration,
        attack: impl Future<Output = ()> + Send + 'static,
    ) {
        let client = Client::builder().no_proxy().build().unwrap();
        let following = self.attacked.follow().await;
        // On a thread of its own, as a client elsewhere.
        let attack = tokio::task::spawn_blocking(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(attack);
        });
        let (mut hit, mut free) = (Vec::new(), Vec::new());
        while !attack.is_finished() || hit.len() < 10 {
            hit.push(self.attacked.asked(&client, &self.token).await);
            free.push(self.spared.asked(&client, &self.token).await);
            sleep(Duration::from_millis(20)).await;
        }
        timeout(Duration::from_secs(30), attack).await.unwrap().unwrap();
        let gaps = following.stop().await;
        let count = hit.len();
        let (hit, free) = (median(hit), median(free));
        println!("{name}: {count} honest rounds, median {hit:?}; the spared guard {free:?}");
        assert!(hit <= 2 * free.max(least), "{name}: {hit:?}, {free:?} spared");
        // Heartbeats come every two seconds, and are passed on.
        assert!(gaps.iter().all(|gap| *gap < Duration::from_secs(6)), "{name}: {gaps:?}");
    }
}

impl Target {
    /// One in front of `plane`, with more `settings`.
    async fn start(plane: &ControlPlane, gateway: &str, settings: &str) -> Self {
        let relay_port = free_port();
        let relay = format!("relay_listen = \"127.0.0.1:{relay_port}\"");
        let settings = format!("gateway = \"{gateway}\"\n{relay}\n{settings}");
        let tables = issuer_of(plane) + "[[routes]]\npaths = [\"/**\"]\n";
        let mut guard = Guard::launch(&feed_of(plane).await, &settings, &tables);
        guard.until_ready().await;
        // Envoy puts the path of its client below the prefix, the others into a header.
        let check_path = if gateway == "envoy" { "/auth/a" } else { "/auth" };
        Self { guard, relay_port, check_path }
    }

    fn places(&self) -> [Place; 3] {
        [
            Place { name: "checks", port: self.guard.port(), path: self.check_path },
            Place { name: "health", port: self.guard.admin_port(), path: "/healthz" },
            Place { name: "relay", port: self.relay_port, path: "/v1/feed" },
        ]
    }

    async fn until_valid(&self, token: &str) {
        let client = Client::builder().no_proxy().build().unwrap();
        let begin = Instant::now();
        while self.check(&client, token, "close").await.is_none() {
            assert!(begin.elapsed() < Duration::from_secs(30), "{}", self.guard.log());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// One check, if it says that the token is valid.
    async fn check(&self, client: &Client, token: &str, connection: &str) -> Option<Response> {
        let url = format!("http://127.0.0.1:{}{}", self.guard.port(), self.check_path);
        let request = client.get(url).header("connection", connection).bearer_auth(token);
        let request = request.header("x-original-method", "GET").header("x-original-uri", "/a");
        request.send().await.ok().filter(|answer| answer.status().is_success())
    }

    /// One request at each address, on a connection that is kept and on a new one.
    async fn asked(&self, client: &Client, token: &str) -> Duration {
        let begin = Instant::now();
        for connection in ["keep-alive", "close"] {
            let checked = self.check(client, token, connection).await;
            assert!(checked.is_some(), "a check was not answered: {}", self.guard.log());
            for (port, path) in
                [(self.guard.admin_port(), "/readyz"), (self.relay_port, "/v1/feed")]
            {
                let url = format!("http://127.0.0.1:{port}{path}");
                let request = client.get(url).header("connection", connection);
                let answer = request.send().await.unwrap();
                assert!(answer.status().is_success(), "{path}: {}", answer.status());
                answer.bytes().await.unwrap();
            }
        }
        begin.elapsed()
    }

    /// Follows the stream of its relay.
    async fn follow(&self) -> Following {
        let url = format!("http://127.0.0.1:{}/v1/feed/stream", self.relay_port);
        let client = Client::builder().no_proxy().build().unwrap();
        let answer = client.get(url).send().await.unwrap();
        assert!(answer.status().is_success());
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let reading = tokio::spawn(async move {
            let mut pieces = answer.bytes_stream();
            let (mut last, mut gaps) = (Instant::now(), Vec::new());
            loop {
                tokio::select! {
                    piece = pieces.next() => assert!(piece.is_some_and(|piece| piece.is_ok())),
                    _ = &mut stopped => break,
                }
                gaps.push(last.elapsed());
                last = Instant::now();
            }
            gaps.push(last.elapsed());
            gaps
        });
        Following { stop, reading }
    }
}

/// A follower of a relay, and the times between the pieces that it got.
struct Following {
    stop: tokio::sync::oneshot::Sender<()>,
    reading: JoinHandle<Vec<Duration>>,
}

impl Following {
    async fn stop(self) -> Vec<Duration> {
        drop(self.stop);
        self.reading.await.unwrap()
    }
}

/// Opens this many connections to each of the places, which all do the same at the same time.
async fn many<F, R>(places: [Place; 3], count: usize, act: F)
where
    F: Fn(TcpStream, Place) -> R + Send + Sync + Clone + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for place in places {
        for _ in 0..count {
            let act = act.clone();
            tasks.spawn(async move {
                let connection = TcpStream::connect(("127.0.0.1", place.port)).await.unwrap();
                act(connection, place).await;
            });
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// What counts as no delay.
const SOON: Duration = Duration::from_millis(20);

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort();
    samples[samples.len() / 2]
}
