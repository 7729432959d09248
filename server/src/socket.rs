//! Where a server listens, and the connections that it accepts: TCP, TCP with TLS, or a Unix socket, which only
//! processes of the same machine can reach.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::tls::{H2, Tls};

/// Where a server accepts connections.
#[derive(Debug)]
pub enum Listener {
    /// At an address and port.
    Tcp(TcpListener),
    /// The same, for HTTPS.
    Tls(TcpListener, Tls),
    /// At a file, which is removed with this.
    Unix(UnixListener, SocketFile),
}

/// One accepted connection.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

/// The file of a Unix socket; removed when it is dropped.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

/// Listens at `address`, with a backlog for many connections at the same time.
///
/// # Errors
///
/// If the address is in use, or is not one of this machine.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restarted process may take over the port while old connections are still closing.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Listens at the file `path`, with the permissions `mode`. The file of a process that has ended is
/// replaced.
///
/// # Errors
///
/// If another process listens there, if the path is a file of another kind, or if the file cannot be
/// made.
pub fn bind_unix(path: &Path, mode: u32) -> io::Result<Listener> {
    remove_left_over(path)?;
    let listener = UnixListener::bind(path)?;
    let file = SocketFile(path.to_owned());
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(Listener::Unix(listener, file))
}

/// Removes the socket of a process that has ended: connecting to it is refused.
fn remove_left_over(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(file) if !file.file_type().is_socket() => return Err(ErrorKind::AlreadyExists.into()),
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(ErrorKind::AddrInUse.into()),
    }
}

impl Listener {
    /// What its connections begin with, if they are of TLS.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Tls(_, tls) => Some(tls),
            Self::Tcp(_) | Self::Unix(..) => None,
        }
    }

    /// The next connection, before it is opened.
    pub(crate) async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) | Self::Tls(listener, _) => {
                listener.accept().await.map(|(stream, _)| Socket::Tcp(stream))
            }
            Self::Unix(listener, _) => {
                listener.accept().await.map(|(stream, _)| Socket::Unix(stream))
            }
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another process may have removed it.
        let _ = fs::remove_file(&self.0);
    }
}

impl Socket {
    /// The address of the peer; a Unix socket has none.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.tcp()?.peer_addr().ok()
    }

    /// The TCP connection of the system, where there is one.
    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            Self::Tls(stream) => Some(stream.get_ref().0),
            Self::Unix(_) => None,
        }
    }

    /// The version of HTTP that a connection of TLS has agreed on: true for HTTP/2. None without TLS.
    pub(crate) fn agreed_on_http2(&self) -> Option<bool> {
        match self {
            Self::Tls(stream) => Some(stream.get_ref().1.alpn_protocol() == Some(H2)),
            Self::Tcp(_) | Self::Unix(_) => None,
        }
    }

    /// Reads the first bytes of the peer without consuming them. TLS cannot.
    pub(crate) async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.peek(buffer).await,
            Self::Tls(_) => Err(ErrorKind::Unsupported.into()),
            Self::Unix(stream) => {
                stream
                    .async_io(Interest::READABLE, || {
                        let (count, _) = rustix::net::recv(stream, &mut *buffer, RecvFlags::PEEK)?;
                        Ok(count)
                    })
                    .await
            }
        }
    }

    /// Sends each response immediately, and has the system notice a peer that acknowledges nothing
    /// for `milliseconds`. The peer of a Unix socket is on this machine and needs neither.
    pub(crate) fn tune(&self, milliseconds: u32) {
        let Some(stream) = self.tcp() else { return };
        // Small responses, such as heartbeats, fit into the kernel's buffer. Only the kernel
        // notices when the peer takes none of them.
        #[cfg(target_os = "linux")]
        let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, milliseconds);
        #[cfg(not(target_os = "linux"))]
        let _ = milliseconds;
        // Without this, a response waits for the acknowledgement of the previous one.
        let _ = stream.set_nodelay(true);
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// When the accept backlog is full, a client waits a second or more. The system may shorten the
/// backlog (net.core.somaxconn).
const BACKLOG: u32 = 4096;
