//! A real cluster: three primaries, each with a replica.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::redis_server::{DURABLE, RedisServer, free_port};

/// Six nodes; the slot of a key can be looked up and moved.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<RedisServer>,
}

impl Cluster {
    /// Returns when every node knows all slots, and every primary has a replica that follows.
    pub(crate) async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..6 {
            let bus_port = free_port().to_string();
            let cluster = ["--cluster-enabled", "yes", "--cluster-port", bus_port.as_str()];
            let fast = ["--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0"];
            let arguments = [&DURABLE[..], &cluster[..], &fast[..]].concat();
            nodes.push(RedisServer::start_with(&arguments).await);
        }
        let cluster = Self { nodes };
        for node in &cluster.nodes[1..] {
            let port = node.port().to_string();
            let bus =
                node.command::<Vec<String>>(&["CONFIG", "GET", "cluster-port"]).await.remove(1);
            cluster.nodes[0].command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
        }
        for (node, range) in cluster.nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
            let (first, last) = range.split_once(' ').unwrap();
            node.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", first, last]).await;
        }
        cluster.until(|info| info.contains("cluster_known_nodes:6")).await;
        cluster.until(|info| info.contains("cluster_state:ok")).await;
        for (primary, replica) in cluster.nodes[..3].iter().zip(&cluster.nodes[3..]) {
            let id = primary.command::<String>(&["CLUSTER", "MYID"]).await;
            replica.command::<()>(&["CLUSTER", "REPLICATE", &id]).await;
        }
        for replica in &cluster.nodes[3..] {
            replica.until_info("master_link_status:up").await;
        }
        // Every node must know who copies whom, or it would not agree to a failover.
        let begin = Instant::now();
        for node in &cluster.nodes {
            while node.command::<String>(&["CLUSTER", "NODES"]).await.matches("slave").count() < 3 {
                assert!(begin.elapsed() < PATIENCE, "the replicas are not known");
                sleep(Duration::from_millis(50)).await;
            }
        }
        cluster
    }

    /// The URL of a store whose seeds are these nodes.
    pub(crate) fn url(&self, seeds: &[usize]) -> String {
        let hosts: Vec<_> =
            seeds.iter().map(|seed| format!("127.0.0.1:{}", self.nodes[*seed].port())).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// The slot of the log, and the primary that has it.
    pub(crate) async fn slot_of(&self, key: &str) -> (String, usize) {
        let slot = self.nodes[0].command::<u16>(&["CLUSTER", "KEYSLOT", key]).await;
        let holder = [5460, 10922, 16383].iter().position(|last| slot <= *last).unwrap();
        (slot.to_string(), holder)
    }

    /// Begins to move a slot: new keys go to `to`, keys that exist stay until they are moved.
    pub(crate) async fn begin_move(&self, slot: &str, from: usize, to: usize) {
        let [from, to] = [&self.nodes[from], &self.nodes[to]];
        let from_id = from.command::<String>(&["CLUSTER", "MYID"]).await;
        let to_id = to.command::<String>(&["CLUSTER", "MYID"]).await;
        to.command::<()>(&["CLUSTER", "SETSLOT", slot, "IMPORTING", &from_id]).await;
        from.command::<()>(&["CLUSTER", "SETSLOT", slot, "MIGRATING", &to_id]).await;
    }

    /// Moves at most `count` keys; returns how many.
    pub(crate) async fn move_keys(&self, slot: &str, from: usize, to: usize, count: u32) -> usize {
        let count = count.to_string();
        let command = ["CLUSTER", "GETKEYSINSLOT", slot, &count];
        let keys = self.nodes[from].command::<Vec<String>>(&command).await;
        let port = self.nodes[to].port().to_string();
        for key in &keys {
            let command = ["MIGRATE", "127.0.0.1", &port, key, "0", "5000"];
            self.nodes[from].command::<String>(&command).await;
        }
        keys.len()
    }

    /// Completes a move whose keys have all moved.
    pub(crate) async fn end_move(&self, slot: &str, from: usize, to: usize) {
        let id = self.nodes[to].command::<String>(&["CLUSTER", "MYID"]).await;
        for node in [to, from] {
            self.nodes[node].command::<()>(&["CLUSTER", "SETSLOT", slot, "NODE", &id]).await;
        }
    }

    async fn until(&self, holds: impl Fn(&str) -> bool) {
        let begin = Instant::now();
        for node in &self.nodes {
            while !holds(&node.command::<String>(&["CLUSTER", "INFO"]).await) {
                assert!(begin.elapsed() < PATIENCE, "the cluster did not come up");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
