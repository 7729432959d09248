//! The limit of Redis: only the read and the compare-and-swap that a refresh needs.

use anyhow::{Result, ensure};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Script};
use tokio::task::JoinSet;

use super::CHAINS;
use super::load::{Counting, one_thread};
use crate::tools::in_an_hour;

/// Pairs of `GET` and compare-and-swap per second.
///
/// All chains share one multiplexed connection, as in the control plane: their commands are sent
/// together, which is nearly twice as fast as one connection per chain (37,000 against 19,000
/// pairs).
pub(super) async fn pairs_per_second(url: &str) -> Result<f64> {
    let client = Client::open(url)?;
    one_thread(async move {
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let script = Script::new(COMPARE_AND_SWAP);
        script.load_async(&mut connection).await?;
        let counting = Counting::begin();
        let mut chains = JoinSet::new();
        for number in 0..CHAINS {
            let hash = script.get_hash().to_owned();
            chains.spawn(chain(connection.clone(), number, hash, counting));
        }
        counting.rate(chains).await
    })
    .await
}

async fn chain(
    mut connection: MultiplexedConnection,
    number: usize,
    hash: String,
    mut counting: Counting,
) -> Result<u64> {
    let key = format!("session:{number}");
    let expires = in_an_hour()?;
    let rest = "x".repeat(VALUE_SIZE_BYTES);
    let (mut version, mut held) = (0_u64, None::<String>);
    while !counting.is_over() {
        let read: Option<String> = redis::cmd("GET").arg(&key).query_async(&mut connection).await?;
        ensure!(read == held, "another value than the one that was written");
        let next = format!("{} {rest}", version + 1);
        let mut swap = redis::cmd("EVALSHA");
        swap.arg(&hash).arg(1).arg(&key).arg(version).arg(&next).arg(expires);
        let swapped: bool = swap.query_async(&mut connection).await?;
        ensure!(swapped, "the compare-and-swap is refused");
        (version, held) = (version + 1, Some(next));
        counting.count();
    }
    Ok(counting.counted())
}

// KEYS: session. ARGV: version that it must have, value, when it expires (seconds).
// Returns 1 if it is written, also if an earlier execution of the same call wrote it.
const COMPARE_AND_SWAP: &str = "
local held = redis.call('GET', KEYS[1])
local version = held and string.match(held, '^(%d+) ') or '0'
if version ~= ARGV[1] then return held == ARGV[2] and 1 or 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EXAT', ARGV[3])
return 1";
const VALUE_SIZE_BYTES: usize = 300;
