//! A TCP proxy before a Redis server that treats script calls like a faulty network.

use std::io::Result;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What happens to script calls; everything else passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The proxy answers with this line instead of the server.
    Answer(&'static str),
    /// After this many more the server never answers again; the last one is executed or not.
    Die {
        after: u64,
        executed: bool,
    },
    /// Nothing passes any more.
    Dead,
    /// Executed twice; the caller gets the second answer.
    Duplicate,
    /// Executed, but the connection breaks before the answer, this many times.
    LoseReply(u32),
    None,
}

/// The proxy; it ends when it is dropped.
pub(crate) struct FaultProxy {
    port: u16,
    fault: Arc<Mutex<Fault>>,
    accepted: Arc<AtomicU64>,
    silent: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// Listens on a free port for a server on `server_port`.
    pub(crate) async fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fault = Arc::new(Mutex::new(Fault::None));
        let (accepted, silent) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (counter, faults, limit) =
            (Arc::clone(&accepted), Arc::clone(&fault), Arc::clone(&silent));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
                let limit = Arc::clone(&limit);
                let is_silent = move || number <= limit.load(Ordering::SeqCst);
                // Broken connections are expected here.
                tokio::spawn(serve(client, server_port, Arc::clone(&faults), is_silent));
            }
        });
        Self { port, fault, accepted, silent, task }
    }

    /// The existing connections stay open, but nothing passes through them any more.
    pub(crate) fn silence_connections(&self) {
        self.silent.store(self.accepted.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// True once a [`Fault::Die`] has struck.
    pub(crate) fn is_dead(&self) -> bool {
        *self.fault.lock().unwrap() == Fault::Dead
    }

    /// Sets the fault from now on.
    pub(crate) fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut client: TcpStream,
    port: u16,
    fault: Arc<Mutex<Fault>>,
    is_silent: impl Fn() -> bool,
) -> Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut request, mut reply) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            length = client.read(&mut request) => {
                let chunk = match length? { 0 => return Ok(()), length => &request[..length] };
                if is_silent() {
                    continue;
                }
                let script = chunk.windows(7).any(|word| word == b"EVALSHA");
                let now = match fault.lock().unwrap().clone() {
                    Fault::Dead => Fault::Dead,
                    fault if script => fault,
                    _ => Fault::None,
                };
                match now {
                    Fault::Dead => continue,
                    Fault::Die { after: 0, executed } => {
                        if executed {
                            execute(chunk, port).await?;
                        }
                        *fault.lock().unwrap() = Fault::Dead;
                        continue;
                    }
                    Fault::Die { after, executed } => {
                        *fault.lock().unwrap() = Fault::Die { after: after - 1, executed };
                    }
                    Fault::Answer(line) => {
                        client.write_all(format!("-{line}\r\n").as_bytes()).await?;
                        continue;
                    }
                    Fault::Duplicate => execute(chunk, port).await?,
                    Fault::LoseReply(times @ 1..) => {
                        *fault.lock().unwrap() = Fault::LoseReply(times - 1);
                        return execute(chunk, port).await;
                    }
                    Fault::LoseReply(0) | Fault::None => {}
                }
                server.write_all(chunk).await?;
            }
            length = server.read(&mut reply) => match length? {
                0 => return Ok(()),
                _ if is_silent() => {}
                length => client.write_all(&reply[..length]).await?,
            }
        }
    }
}

/// Lets the server execute `chunk` and waits for the answer.
async fn execute(chunk: &[u8], port: u16) -> Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
    server.write_all(chunk).await?;
    server.read_u8().await.map(|_| ())
}
