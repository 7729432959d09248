//! A cluster: which node has the slot of the log now.
//!
//! All keys of a feed are in one slot, and a write that waits for replicas must do so on the
//! connection that wrote. So this follows one slot, instead of using a client for all of them,
//! which shares its connections and repeats calls on its own.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ConnectionAddr, ErrorKind, RedisError, RedisResult, Value};
use tokio::time::timeout;

use super::dial::Dialer;

/// The nodes of a cluster, as far as this process knows them.
pub(super) struct Cluster {
    seeds: Vec<ConnectionAddr>,
    /// A key in the slot.
    key: String,
    /// How long one node may take before the next one is asked.
    patience: Duration,
    /// In the order in which they are asked: the one that had the slot last comes first.
    known: Mutex<Vec<ConnectionAddr>>,
}

impl Cluster {
    pub(super) fn new(seeds: Vec<ConnectionAddr>, key: &str, patience: Duration) -> Self {
        let known = Mutex::new(seeds.clone());
        Self { seeds, key: key.to_owned(), patience, known }
    }

    /// Connects to the primary of the slot: asks one node after the other until one names a primary
    /// that answers. The caller may give up before all were asked, so a node that failed goes to
    /// the end.
    pub(super) async fn connect(
        &self,
        dialer: &Dialer,
    ) -> RedisResult<(ConnectionAddr, MultiplexedConnection)> {
        let candidates = self.known().clone();
        let mut last = no_node("no node of the cluster answers");
        for node in candidates {
            match timeout(self.patience, self.through(dialer, &node)).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(error)) => last = error,
                Err(_) => last = no_node("a node of the cluster does not answer"),
            }
            let mut known = self.known();
            known.retain(|one| *one != node);
            known.push(node);
        }
        Err(last)
    }

    /// The slot has moved to `node`: it is asked first from now on.
    pub(super) fn moved_to(&self, node: ConnectionAddr) {
        let mut known = self.known();
        known.retain(|one| *one != node);
        known.insert(0, node);
        known.truncate(MOST_KNOWN);
    }

    async fn through(
        &self,
        dialer: &Dialer,
        node: &ConnectionAddr,
    ) -> RedisResult<(ConnectionAddr, MultiplexedConnection)> {
        let mut connection = dialer.dial(node).await?;
        let mut command = redis::cmd("CLUSTER");
        command.arg("KEYSLOT").arg(&self.key);
        let slot: i64 = command.query_async(&mut connection).await?;
        let mut command = redis::cmd("CLUSTER");
        let slots: Value = command.arg("SLOTS").query_async(&mut connection).await?;
        let (primary, mut nodes) = nodes_of(&slots, slot, node)
            .ok_or_else(|| no_node("no node of the cluster has the slot of the log"))?;
        let connection = if primary == *node { connection } else { dialer.dial(&primary).await? };
        nodes.truncate(MOST_KNOWN);
        for seed in &self.seeds {
            if !nodes.contains(seed) {
                nodes.push(seed.clone());
            }
        }
        *self.known() = nodes;
        Ok((primary, connection))
    }

    fn known(&self) -> MutexGuard<'_, Vec<ConnectionAddr>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The primary of `slot`, and all nodes that the answer of `CLUSTER SLOTS` names, those of the slot
/// first. Each range has first and last slot, then nodes with address and port, the primary first.
fn nodes_of(
    slots: &Value,
    slot: i64,
    asked: &ConnectionAddr,
) -> Option<(ConnectionAddr, Vec<ConnectionAddr>)> {
    let Value::Array(ranges) = slots else { return None };
    let (mut primary, mut nodes) = (None, Vec::new());
    for range in ranges {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), replicas @ ..] = range.as_slice() else {
            return None;
        };
        let found: Vec<_> = replicas.iter().filter_map(|node| address(node, asked)).collect();
        if (*first..=*last).contains(&slot) {
            primary = found.first().cloned();
            nodes.splice(0..0, found);
        } else {
            nodes.extend(found);
        }
    }
    Some((primary?, nodes))
}

/// The address in an answer; a node that does not know its own is the one that was asked.
fn address(node: &Value, asked: &ConnectionAddr) -> Option<ConnectionAddr> {
    let Value::Array(parts) = node else { return None };
    let [host, Value::Int(port), ..] = parts.as_slice() else { return None };
    let host: Option<String> = redis::from_redis_value(host.clone()).ok()?;
    named(host.unwrap_or_default(), u16::try_from(*port).ok()?, asked)
}

/// The node that an error names (`MOVED 42 host:port`), as seen from the node that answered.
pub(super) fn redirected(error: &RedisError, asked: &ConnectionAddr) -> Option<ConnectionAddr> {
    let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
    named(host.to_owned(), port.parse().ok()?, asked)
}

fn named(host: String, port: u16, asked: &ConnectionAddr) -> Option<ConnectionAddr> {
    match (host.as_str(), asked) {
        ("?", _) => None,
        ("", ConnectionAddr::Tcp(own, _)) => Some(ConnectionAddr::Tcp(own.clone(), port)),
        ("", _) => None,
        _ => Some(ConnectionAddr::Tcp(host, port)),
    }
}

fn no_node(text: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Client, text))
}

/// Far more than the nodes of one slot.
const MOST_KNOWN: usize = 64;

#[cfg(test)]
mod tests {
    use redis::{ConnectionAddr, Value};

    use super::nodes_of;

    fn node(host: Value, port: i64) -> Value {
        Value::Array(vec![host, Value::Int(port), Value::SimpleString("id".to_owned())])
    }

    // R24: as Redis 7 answers: a node that has no address yet is the one that was asked.
    #[test]
    fn the_primary_of_a_slot_is_the_first_of_its_range() {
        let asked = ConnectionAddr::Tcp("seed".to_owned(), 7000);
        let host = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let range = |first, last, nodes: &[Value]| {
            Value::Array([&[Value::Int(first), Value::Int(last)], nodes].concat())
        };
        let slots = Value::Array(vec![
            range(0, 99, &[node(host("10.0.0.1"), 1)]),
            range(100, 200, &[node(Value::Nil, 2), node(host("10.0.0.3"), 3)]),
        ]);
        let (primary, nodes) = nodes_of(&slots, 100, &asked).unwrap();
        assert_eq!(primary.to_string(), "seed:2");
        let nodes: Vec<_> = nodes.iter().map(ToString::to_string).collect();
        assert_eq!(nodes, ["seed:2", "10.0.0.3:3", "10.0.0.1:1"]);
        assert!(nodes_of(&slots, 300, &asked).is_none());
        assert!(nodes_of(&Value::Okay, 0, &asked).is_none());
    }
}
