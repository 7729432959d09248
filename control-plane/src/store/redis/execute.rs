//! Executes a call on one connection.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisResult, ServerErrorKind, Value};

use super::scripts::Call;

/// Executes `call`; loads its script first if the server does not have it. `asking` lets a node of
/// a cluster answer for a slot that is on its way to it.
pub(super) async fn execute(
    call: &Call,
    connection: &mut MultiplexedConnection,
    asking: bool,
) -> RedisResult<Value> {
    match (once(call, connection, asking).await, call.script) {
        (Err(error), Some(script))
            if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) =>
        {
            script.load_async(connection).await?;
            once(call, connection, asking).await
        }
        (answer, _) => answer,
    }
}

async fn once(
    call: &Call,
    connection: &mut MultiplexedConnection,
    asking: bool,
) -> RedisResult<Value> {
    if !asking {
        return call.command.query_async(connection).await;
    }
    let mut pipeline = redis::pipe();
    pipeline.cmd("ASKING").ignore().add_command(call.command.clone());
    let (value,) = pipeline.query_async(connection).await?;
    Ok(value)
}

/// Waits until that many replicas have acknowledged everything that was written on this connection,
/// or until the time is over. Returns how many have.
pub(super) async fn acknowledged(
    connection: &mut MultiplexedConnection,
    replicas: u32,
    patience: Duration,
) -> RedisResult<u32> {
    let mut command = redis::cmd("WAIT");
    // 0 would wait for ever.
    command.arg(replicas).arg(patience.as_millis().max(1));
    command.query_async(connection).await
}
