//! A real Redis server in a temporary directory, killed when it is dropped.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::FromRedisValue;
use tempfile::TempDir;
use tokio::time::sleep;

/// One server process. Its files outlive the process, so that it can be started again.
pub(crate) struct RedisServer {
    directory: TempDir,
    port: u16,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl RedisServer {
    /// A server that flushes every write before it answers.
    pub(crate) async fn start() -> Self {
        Self::start_with(&DURABLE).await
    }

    /// A server in cluster mode that has all slots.
    pub(crate) async fn start_cluster() -> Self {
        let node = Self::start_cluster_node().await;
        node.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
        node.until_cluster_is_up().await;
        node
    }

    /// A server in cluster mode that has no slot yet and knows no other node.
    pub(crate) async fn start_cluster_node() -> Self {
        let bus_port = free_port().to_string();
        let cluster = ["--cluster-enabled", "yes", "--cluster-port", bus_port.as_str()];
        Self::start_with(&[DURABLE.as_slice(), cluster.as_slice()].concat()).await
    }

    /// Waits until the cluster serves all slots, as this node sees it.
    pub(crate) async fn until_cluster_is_up(&self) {
        let begin = Instant::now();
        while !self.command::<String>(&["CLUSTER", "INFO"]).await.contains("cluster_state:ok") {
            assert!(begin.elapsed() < PATIENCE, "the cluster did not come up");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// A server with these arguments in addition to its port and directory.
    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut server = Self { directory, port: free_port(), arguments, process: None };
        server.start_again().await;
        server
    }

    /// Starts the process (again) and waits until it serves.
    pub(crate) async fn start_again(&mut self) {
        let process = Command::new(program())
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--dir", self.directory.path().to_str().unwrap()])
            // By default a primary waits 5 s for more replicas before it copies itself.
            .args(["--repl-diskless-sync-delay", "0"])
            .args(&self.arguments)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "these tests need a real redis-server in the PATH ({error}); install it with \
                     `apt-get install redis-server`, `dnf install redis` or `brew install redis`"
                )
            });
        let id = process.id();
        self.process = Some(process);
        let begin = Instant::now();
        while !self.serves(id).await {
            assert!(begin.elapsed() < PATIENCE, "redis-server did not start");
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn serves(&self, process_id: u32) -> bool {
        let info: redis::RedisResult<String> = self.try_command(&["INFO"]).await;
        info.is_ok_and(|info| {
            info.contains(&format!("process_id:{process_id}\r\n")) && info.contains("\nloading:0")
        })
    }

    /// Kills the process, like a power cut (but the kernel keeps the written bytes).
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Stops the process: connections stay open, nothing is answered.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// Continues a paused process.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Copies the primary on `port` from now on; returns when the copy is complete.
    pub(crate) async fn replicate(&self, port: u16) {
        self.command::<()>(&["REPLICAOF", "NO", "ONE"]).await;
        self.command::<()>(&["REPLICAOF", "127.0.0.1", &port.to_string()]).await;
        self.until_info("master_link_status:up").await;
    }

    /// Waits until the server says this about itself.
    pub(crate) async fn until_info(&self, text: &str) {
        let begin = Instant::now();
        while !self.command::<String>(&["INFO"]).await.contains(text) {
            assert!(begin.elapsed() < PATIENCE, "never: {text}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Executes a command on a connection of its own.
    pub(crate) async fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_command(words).await.unwrap()
    }

    /// A connection of its own.
    pub(crate) async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// [`command`](Self::command) of a server that may be gone.
    pub(crate) async fn try_command<T: FromRedisValue>(
        &self,
        words: &[&str],
    ) -> redis::RedisResult<T> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::Cmd::new();
        command.arg(words).query_async(&mut connection).await
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The server that is tested; another one can be named, such as `valkey-server`.
pub(crate) fn program() -> String {
    std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The arguments of a server that flushes every write before it answers.
pub(crate) const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];
const PATIENCE: Duration = Duration::from_secs(20);
