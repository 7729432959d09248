//! The accept loop inside the test's own process, with limits that are short enough for a test.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use offswitch::api_keys::{ApiKeys, Scope};
use offswitch::clock::unix_seconds;
use offswitch::config::Config;
use offswitch::http;
use offswitch::master_key::MasterKey;
use offswitch::plane::{Loading, Plane, Settings};
use offswitch::request_limits::{RequestLimiter, RequestLimits};
use offswitch::sealing::SealedStore;
use offswitch::server::tls::Tls;
use offswitch::server::{self, Limits, Listener};
use offswitch::store::EmbeddedStore;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::in_process::MASTER;

/// A server, stopped when it is dropped.
pub(crate) struct LocalServer {
    address: SocketAddr,
    admin_key: String,
    task: JoinHandle<()>,
    _folder: Option<TempDir>,
}

impl LocalServer {
    /// Starts one that serves the whole API.
    pub(crate) async fn start(limits: Limits) -> Self {
        Self::start_with(limits, |_| ()).await
    }

    /// The same with other settings.
    pub(crate) async fn start_with(limits: Limits, change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_layered(limits, change, |router| router).await
    }

    /// The same with layers around the API.
    pub(crate) async fn start_layered(
        limits: Limits,
        change: impl FnOnce(&mut Settings),
        layer: impl FnOnce(Router) -> Router,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = unix_seconds();
        let store = Arc::new(EmbeddedStore::open(&folder.path().join("log.redb"), now).unwrap());
        let master = MasterKey::parse(MASTER).unwrap();
        let scopes = &Scope::ALL;
        let sealed = SealedStore::new(store.clone(), master.clone());
        let key = ApiKeys::create(&sealed, &master, "admin", scopes, None, now).await;
        let mut settings = Config::load(None, []).ok().unwrap().settings;
        change(&mut settings);
        let plane = Plane::start(settings, store, master, now, &Loading::default()).await.unwrap();
        plane.spawn_tasks();
        let limiter = RequestLimiter::new(RequestLimits::default());
        let routes = http::router(plane, metrics(), Arc::default(), limiter);
        let mut server = Self::serve(limits, layer(routes)).await;
        server.admin_key = key.unwrap().key.to_string();
        server._folder = Some(folder);
        server
    }

    /// Starts one that serves `router`.
    pub(crate) async fn serve(limits: Limits, router: Router) -> Self {
        Self::listen(limits, router, Listener::Tcp).await
    }

    /// The same over TLS.
    pub(crate) async fn serve_https(limits: Limits, router: Router, tls: Tls) -> Self {
        Self::listen(limits, router, |listener| Listener::Tls(listener, tls)).await
    }

    async fn listen(
        limits: Limits,
        router: Router,
        of: impl FnOnce(TcpListener) -> Listener,
    ) -> Self {
        metrics();
        let listener = server::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = of(listener);
        let router = Arc::new(ArcSwap::from_pointee(router));
        let task = tokio::spawn(server::run(listener, router, limits, std::future::pending()));
        Self { address, admin_key: String::new(), task, _folder: None }
    }

    pub(crate) fn admin_key(&self) -> &str {
        &self.admin_key
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Opens a connection whose receive buffer is as small as the system allows.
    pub(crate) async fn connect_narrowly(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(2048).unwrap();
        socket.connect(self.address).await.unwrap()
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Limits with short times.
pub(crate) fn short_limits() -> Limits {
    Limits {
        header_timeout: Duration::from_secs(2),
        idle_timeout: Duration::from_secs(2),
        write_timeout: Duration::from_secs(1),
        ..Limits::default()
    }
}

/// The sum of a metric's series whose line contains `label`. All tests of a binary count together.
pub(crate) fn counted(name: &str, label: &str) -> f64 {
    let text = metrics().render();
    let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

fn metrics() -> PrometheusHandle {
    static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
    METRICS.get_or_init(|| PrometheusBuilder::new().install_recorder().unwrap()).clone()
}
