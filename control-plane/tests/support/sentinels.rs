//! Real sentinels, and the servers that they watch.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::redis_server::{DURABLE, RedisServer, free_port, program};

/// A primary, two replicas and three sentinels that fail over fast.
pub(crate) struct Watched {
    pub(crate) servers: Vec<RedisServer>,
    pub(crate) sentinels: Vec<Sentinel>,
}

/// One sentinel, killed when it is dropped.
pub(crate) struct Sentinel {
    directory: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Watched {
    /// Returns when every sentinel knows all servers and all other sentinels.
    pub(crate) async fn start() -> Self {
        let login = ["--user", "copy", "on", ">secret", "~*", "&*", "+@all"];
        let as_user = ["--masteruser", "copy", "--masterauth", "secret"];
        let arguments = [&DURABLE[..], &login[..], &as_user[..]].concat();
        let mut servers = Vec::new();
        for _ in 0..3 {
            servers.push(RedisServer::start_with(&arguments).await);
        }
        for replica in &servers[1..] {
            replica.replicate(servers[0].port()).await;
        }
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            sentinels.push(Sentinel::start(servers[0].port(), 2, "").await);
        }
        for sentinel in &sentinels {
            sentinel.until_complete(2, 2).await;
        }
        Self { servers, sentinels }
    }

    /// The URL of a store behind these sentinels.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> =
            self.sentinels.iter().map(|one| format!("127.0.0.1:{}", one.port)).collect();
        format!("redis+sentinel://{}/{SERVICE}", hosts.join(","))
    }

    /// The server that a sentinel which runs names as the primary.
    pub(crate) async fn primary(&self) -> usize {
        let running = self.sentinels.iter().find(|one| one.process.is_some()).unwrap();
        let about = running.about().await;
        let port = about[about.iter().position(|word| word == "port").unwrap() + 1].parse();
        let port: u16 = port.unwrap();
        self.servers.iter().position(|server| server.port() == port).unwrap()
    }

    /// Waits until another server than `former` is the primary, and copied by a replica.
    pub(crate) async fn until_replaced(&self, former: usize) -> usize {
        let begin = Instant::now();
        loop {
            let primary = self.primary().await;
            if primary != former {
                let info = self.servers[primary].try_command::<String>(&["INFO"]).await;
                if info.is_ok_and(|info| info.contains("state=online")) {
                    return primary;
                }
            }
            assert!(begin.elapsed() < PATIENCE, "no failover");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Starts a server again as a copy of the primary. That may change meanwhile: on a busy machine
    /// a primary can seem to be gone.
    pub(crate) async fn rejoin(&mut self, server: usize) {
        self.servers[server].start_again().await;
        let begin = Instant::now();
        loop {
            let primary = self.primary().await;
            let copied = self.servers[server].replicate(self.servers[primary].port());
            let is_copied = timeout(Duration::from_secs(3), copied).await.is_ok();
            if is_copied && primary == self.primary().await {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "no primary to copy");
        }
    }

    /// From now on no server copies this one, although it goes on serving.
    pub(crate) async fn cut_replication(&self, primary: usize) {
        let primary = &self.servers[primary];
        primary.command::<()>(&["ACL", "SETUSER", "copy", "off"]).await;
        primary.command::<i64>(&["CLIENT", "KILL", "TYPE", "replica"]).await;
    }
}

impl Sentinel {
    /// Watches the server on `port`; `quorum` sentinels must agree that it is gone. `more` are
    /// lines of its file; with a certificate in them it listens with TLS only.
    pub(crate) async fn start(port: u16, quorum: u32, more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let own_port = free_port();
        let listen = match more.contains("tls-cert-file") {
            true => format!("port 0\ntls-port {own_port}"),
            false => format!("port {own_port}"),
        };
        let text = format!(
            "{listen}\nbind 127.0.0.1\nsentinel monitor {SERVICE} 127.0.0.1 {port} {quorum}\n\
             sentinel down-after-milliseconds {SERVICE} 1000\n\
             sentinel failover-timeout {SERVICE} 2000\n{more}\n"
        );
        std::fs::write(directory.path().join("sentinel.conf"), text).unwrap();
        let mut sentinel = Self { directory, port: own_port, process: None };
        sentinel.start_again().await;
        sentinel
    }

    /// Starts the process (again).
    pub(crate) async fn start_again(&mut self) {
        let file = self.directory.path().join("sentinel.conf");
        let process = Command::new(program())
            .args([file.as_os_str(), "--sentinel".as_ref()])
            .current_dir(self.directory.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(process);
        let begin = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(begin.elapsed() < PATIENCE, "the sentinel did not start");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the process.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Executes a command.
    pub(crate) async fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::Cmd::new();
        command.arg(words).query_async(&mut connection).await.unwrap()
    }

    async fn about(&self) -> Vec<String> {
        self.command(&["SENTINEL", "MASTER", SERVICE]).await
    }

    async fn until_complete(&self, replicas: u32, others: u32) {
        let begin = Instant::now();
        loop {
            let about = self.about().await;
            let value = |name: &str| {
                let place = about.iter().position(|word| word == name).unwrap();
                about[place + 1].parse::<u32>().unwrap()
            };
            if value("num-slaves") >= replicas && value("num-other-sentinels") >= others {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{about:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The name that the sentinels have for the primary.
pub(crate) const SERVICE: &str = "main";
const PATIENCE: Duration = Duration::from_secs(30);
