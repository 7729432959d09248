//! Revoking: one by one, and in requests of a thousand.

use anyhow::Result;
use redis::{AsyncConnectionConfig, Client, Script};
use tokio::task::JoinSet;

use super::{CONNECTIONS, JSON, request, system};
use crate::bench::figure::{Figure, Unit, median, ratios};
use crate::bench::scale::scale;
use crate::refreshes::load::{Connection, Counting, one_thread};
use crate::refreshes::server::{ControlPlane, Redis};
use crate::tools::in_an_hour;

/// Single revocations over HTTP compared with the bare script, interleaved.
pub(super) async fn single() -> Result<Vec<Figure>> {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..scale().rounds {
        let redis = Redis::start().await?;
        bare.push(bare_per_second(&redis.url).await?);
        let (_redis, plane) = system().await?;
        ours.push(revokes_per_second(&plane, CONNECTIONS, 1, 0).await?);
    }
    let what = format!(
        "single revokes over HTTP, durable, {CONNECTIONS} connections, of bare EVAL (ZADD and XADD)"
    );
    let more = format!("{:.0}/s of {:.0}/s", median(&ours), median(&bare));
    let share = Figure::new(&what, Unit::Share, ratios(&ours, &bare));
    Ok(vec![share.at_least(0.4).more(more)])
}

/// Requests of a thousand entries.
pub(super) async fn bulk() -> Result<Vec<Figure>> {
    let mut ours = Vec::new();
    for _ in 0..scale().rounds {
        let (_redis, plane) = system().await?;
        ours.push(revokes_per_second(&plane, 4, BULK, 0).await? * BULK as f64);
    }
    let what = format!("entries in bulk revokes, requests of {BULK}");
    Ok(vec![Figure::new(&what, Unit::PerSecond, ours).at_least(100_000.0)])
}

/// Requests per second, each with that many entries that were not revoked before, in this `run` or
/// any other.
pub(super) async fn revokes_per_second(
    plane: &ControlPlane,
    connections: usize,
    entries: usize,
    run: usize,
) -> Result<f64> {
    let mut ready = Vec::new();
    let exp = in_an_hour()?;
    for number in 0..connections {
        // The head stays the same, because the numbers in the body keep their length.
        let entry = |of: usize| {
            format!(r#"{{"jti":"{run:04}-{number:04}-{of:04}-{:012}","exp":{exp}}}"#, 0)
        };
        let body = match entries {
            1 => entry(0),
            many => {
                let all: Vec<String> = (0..many).map(entry).collect();
                format!(r#"{{"revocations":[{}]}}"#, all.join(","))
            }
        };
        ready.push(request(plane, "POST", "/v1/revocations", JSON, &body));
    }
    let port = plane.port;
    one_thread(async move {
        let counting = Counting::begin();
        let mut chains = JoinSet::new();
        for request in ready {
            chains.spawn(chain(port, request, counting));
        }
        counting.rate(chains).await
    })
    .await
}

async fn chain(port: u16, mut request: Vec<u8>, mut counting: Counting) -> Result<u64> {
    let mut connection = Connection::open(port).await?;
    let zeros = memchr::memmem::find_iter(&request, "-000000000000\"").collect::<Vec<_>>();
    let mut number = 0_u64;
    while !counting.is_over() {
        number += 1;
        let digits = format!("{number:012}");
        for place in &zeros {
            request[place + 1..place + 13].copy_from_slice(digits.as_bytes());
        }
        connection.exchange(&request).await?;
        counting.count();
    }
    Ok(counting.counted())
}

/// One script that stores an entry and appends it to a stream: the minimum for a revocation in
/// Redis.
async fn bare_per_second(url: &str) -> Result<f64> {
    let client = Client::open(url)?;
    one_thread(async move {
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let mut shared = client.get_multiplexed_async_connection_with_config(&config).await?;
        let script = Script::new(
            "redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2]) \
             return redis.call('XADD', KEYS[2], '*', 'r', ARGV[3])",
        );
        script.load_async(&mut shared).await?;
        let counting = Counting::begin();
        let mut chains = JoinSet::new();
        for number in 0..CONNECTIONS {
            let (mut connection, hash) = (shared.clone(), script.get_hash().to_owned());
            let mut counting = counting;
            chains.spawn(async move {
                let (record, mut of) = ("x".repeat(70), 0_u64);
                while !counting.is_over() {
                    of += 1;
                    let mut command = redis::cmd("EVALSHA");
                    command.arg(&hash).arg(2).arg("denied").arg("log").arg(of);
                    command.arg(format!("{number}-{of}")).arg(&record);
                    let _: String = command.query_async(&mut connection).await?;
                    counting.count();
                }
                Ok(counting.counted())
            });
        }
        counting.rate(chains).await
    })
    .await
}

const BULK: usize = 1000;
