//! Opens one connection to one server, with TLS or without.

use std::io;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::socket2::{SockRef, TcpKeepalive};
use redis::{AsyncConnectionConfig, ConnectionAddr, RedisConnectionInfo, RedisResult};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::tls::{self, RedisTls};

/// How the connections to servers of one kind are opened.
pub(super) struct Dialer {
    login: RedisConnectionInfo,
    tls: Option<RedisTls>,
    /// How long the greeting of TLS may take: less than a call, so that the reason can be said.
    greeting: Duration,
    /// After how long a peer that does not acknowledge what was sent counts as gone.
    user_timeout: Duration,
}

impl Dialer {
    pub(super) fn new(
        login: RedisConnectionInfo,
        tls: Option<RedisTls>,
        deadline: Duration,
    ) -> Self {
        // Older servers do not know the command, and a user with few rights may not use it.
        let login = login.set_skip_set_lib_name();
        Self { login, tls, greeting: deadline / 2, user_timeout: KEEPALIVE.max(deadline) }
    }

    /// Connects and logs in. The caller has a deadline.
    pub(super) async fn dial(
        &self,
        address: &ConnectionAddr,
    ) -> RedisResult<MultiplexedConnection> {
        let (host, port) = match address {
            ConnectionAddr::Unix(path) => {
                return self.start(UnixStream::connect(path).await?).await;
            }
            ConnectionAddr::Tcp(host, port) => (host, *port),
            _ => return Err(io::Error::other("an address of another kind").into()),
        };
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        // Detects a peer that disappeared without closing, also while no answer is expected.
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(self.user_timeout))?;
        let Some(tls) = &self.tls else { return self.start(stream).await };
        let greeted = timeout(self.greeting, tls.connector()?.connect(tls.name_for(host)?, stream));
        let Ok(encrypted) = greeted.await else {
            let text = format!("{address} does not answer with TLS within {:?}", self.greeting);
            return Err(io::Error::new(io::ErrorKind::TimedOut, text).into());
        };
        let in_words = |error: io::Error| match tls::explained(&error) {
            Some(reason) => io::Error::new(error.kind(), format!("{address}: {reason}")),
            None => error,
        };
        self.start(encrypted.map_err(in_words)?).await
    }

    async fn start<C>(&self, stream: C) -> RedisResult<MultiplexedConnection>
    where
        C: Unpin + AsyncRead + AsyncWrite + Send + 'static,
    {
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let started = MultiplexedConnection::new_with_config(&self.login, stream, config);
        let (connection, driver) = started.await?;
        // It ends when the last clone of the connection is dropped.
        tokio::spawn(driver);
        Ok(connection)
    }
}

const KEEPALIVE: Duration = Duration::from_secs(5);
