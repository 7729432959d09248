//! `offswitch serve`.

mod check;
mod issuer;
mod opening;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use base64ct::{Base64UrlUnpadded, Encoding};
use clap::Args;
use offswitch::config::Config;
use offswitch::http::{self, Examiner, Starting};
use offswitch::plane::Plane;
use offswitch::request_limits::RequestLimiter;
use offswitch::server::{self, Listener};
use offswitch::telemetry::{self, Traces};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

pub(crate) use check::check;
pub(crate) use issuer::{agree as agree_on_issuer, remembered as remembered_issuer};
pub(crate) use opening::{is_over_soon, master_key, open_store, sealed};

/// The part of the configuration that can be set on the command line.
#[derive(Debug, Args)]
pub(crate) struct ServeOptions {
    /// Address or host name, and port, of the HTTP API.
    #[arg(long)]
    listen: Option<OsString>,
    /// Folder for the embedded store, the master key and the first API key.
    #[arg(long)]
    data_dir: Option<OsString>,
    /// Where the log is kept. Better set a URL with a password in the environment.
    #[arg(long)]
    store: Option<OsString>,
    /// Checks the configuration, the store and the keys, prints the findings, and exits: with 0 if
    /// `serve` would start.
    #[arg(long)]
    pub(crate) check: bool,
    /// With `--check`: prints JSON.
    #[arg(long, requires = "check")]
    pub(crate) json: bool,
}

impl ServeOptions {
    /// The options as environment variables.
    pub(crate) fn variables(&self) -> Vec<(OsString, OsString)> {
        let options = [
            ("OFFSWITCH_LISTEN", &self.listen),
            ("OFFSWITCH_DATA_DIR", &self.data_dir),
            ("OFFSWITCH_STORE", &self.store),
        ];
        let set = options.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        set.map(|(name, value)| (name.into(), value)).collect()
    }
}

/// Serves until the process is asked to stop.
pub(crate) async fn serve(config: Config) -> anyhow::Result<()> {
    let tls = opening::tls(&config)?;
    let listener = server::bind(config.listen)
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let metrics = telemetry::install_metrics()?;
    telemetry::show_counters();
    let traces = Traces::start();
    let starting = Arc::new(Starting::default());
    let router = Arc::new(ArcSwap::from_pointee(http::starting(starting.clone())));
    let limits = config.limits.clone().within_open_files(config.max_connections_is_set);
    let limits = limits.beside_followers(config.settings.publish.max_followers);
    let scheme = if tls.is_some() { "https" } else { "http" };
    let base = format!("{scheme}://{}", listener.local_addr()?);
    let listener = match &tls {
        None => Listener::Tcp(listener),
        Some(tls) => {
            tokio::spawn(tls.clone().follow(CERTIFICATE_PAUSE));
            Listener::Tls(listener, tls.clone())
        }
    };
    let examiner = Arc::new(Examiner::new(config.doctor_edges.clone()));
    let stopping = stopping();
    let stop = stopped(stopping.clone());
    let mut serving = tokio::spawn(server::run(listener, router.clone(), limits, stop));
    let (proxies, limiter) =
        (config.trusted_proxies.clone(), RequestLimiter::new(config.request_limits));
    let plane = tokio::select! {
        started = opening::start(config, tls, &starting) => started?,
        stopped = &mut serving => return Ok(stopped?),
    };
    let routes = http::router(plane.clone(), metrics.clone(), examiner, limiter);
    router.store(Arc::new(proxies.before(routes)));
    introduce(&plane, &base);
    let (outgoing, audit) = (plane.outgoing.clone(), plane.audit.clone());
    let processes = plane.processes.clone();
    tokio::spawn(async move {
        stopped(stopping).await;
        plane.publisher.stop_following();
        plane.outgoing.stop();
    });
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(METRICS_UPKEEP).await;
            metrics.run_upkeep();
        }
    });
    serving.await?;
    let leaving = tokio::time::timeout(LONGEST_RELEASE, processes.leave());
    let (_, _, left) =
        tokio::join!(outgoing.until_released(LONGEST_RELEASE), traces.close(), leaving);
    if left.is_err() {
        tracing::warn!("this process stays listed in the store until its followers refuse");
    }
    tokio::task::spawn_blocking(move || audit.close()).await?;
    Ok(())
}

/// Prints what an operator needs next; none of it is secret.
fn introduce(plane: &Plane, base: &str) {
    let (issuer, position) = (plane.issuer(), plane.log.position());
    tracing::info!(url = base, issuer, %position, process = plane.processes.own_id(), "serving");
    let keys = plane.signing.feed_keys();
    let keys = keys.iter().map(|key| Base64UrlUnpadded::encode_string(key.public_key()));
    let keys: Vec<String> = keys.collect();
    tracing::info!(
        page = format!("{base}/"),
        api = format!("{base}/docs"),
        feed = format!("{base}/v1/feed"),
        feed_id = issuer,
        feed_public_keys = keys.join(","),
        "give verifiers the feed's address, id and public keys, and an API key with the scope \
         feed:read (offswitch api-keys create)"
    );
}

/// Becomes true when the process is asked to stop.
fn stopping() -> watch::Receiver<bool> {
    let (stop, stopping) = watch::channel(false);
    tokio::spawn(async move {
        let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        stop.send_replace(true);
        // As long as anything waits for it.
        stop.closed().await;
    });
    stopping
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    if stopping.wait_for(|is_stopping| *is_stopping).await.is_err() {
        std::future::pending().await
    }
}

/// How often the certificate is read again.
const CERTIFICATE_PAUSE: Duration = Duration::from_secs(30);
/// How long a process that stops waits for what it is sending to relying parties. Otherwise another process
/// has to wait for the end of its lease.
const LONGEST_RELEASE: Duration = Duration::from_secs(2);
/// Histograms keep every sample until this upkeep runs.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
