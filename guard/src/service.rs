//! One guard process: its servers, the feeds that it follows, and what signals do to them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use axum::Router;
use axum::http::StatusCode;
use metrics_exporter_prometheus::PrometheusHandle;
use offswitch_client::InvalidOptions;
use offswitch_server::feed::FollowerPlaces;
use offswitch_server::problem::Problem;
use offswitch_server::roster::Roster;
use offswitch_server::settings;
use offswitch_server::{Limits, Listener, bind, bind_unix};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin::{self, Observed};
use crate::checks::{self, Checking};
use crate::config::{Config, Place};
use crate::followed::Followed;
use crate::judge::VALID;
use crate::relay;
use crate::watch::Watches;

/// Why a guard does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It cannot listen.
    #[error("cannot listen on {place}: {error}")]
    Listen {
        /// Where.
        place: String,
        /// Why not.
        error: io::Error,
    },
    /// A verifier cannot be made with the options; a checked configuration has none of these problems.
    #[error(transparent)]
    Options(#[from] InvalidOptions),
    /// The process takes no signals.
    #[error("signals cannot be received: {0}")]
    Signals(io::Error),
}

/// Where one server gets its requests answered; replaced when the configuration is read again.
type Routes = Arc<ArcSwap<Router>>;

/// What answers requests, and goes on when the configuration is read again.
struct Running {
    config: Config,
    checks: Routes,
    relay: Routes,
    places: FollowerPlaces,
    roster: Roster,
    /// What answers questions about the followers; replaced with the verifiers.
    reporting: JoinSet<()>,
    watches: Option<Watches>,
    followed: Arc<ArcSwapOption<Followed>>,
    stopping: watch::Receiver<bool>,
}

/// Serves until the process is asked to stop (SIGTERM, SIGINT). At SIGHUP reads the configuration again
/// with `load`; one with problems changes nothing.
///
/// # Errors
///
/// See [`RunError`].
pub async fn run(
    config: Config,
    metrics: PrometheusHandle,
    load: impl Fn() -> Result<Config, Vec<settings::Problem>>,
) -> Result<(), RunError> {
    let mut hangup = signal(SignalKind::hangup()).map_err(RunError::Signals)?;
    let stopping = stopping().map_err(RunError::Signals)?;
    let mut running = Running::new(config, stopping.clone());
    let mut servers = running.serve(&metrics)?;
    // Shown from the start: `increase()` misses the first increment of a new series.
    for outcome in [TAKEN, REFUSED] {
        reloads(outcome).increment(0);
    }
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(METRICS_UPKEEP).await;
            metrics.run_upkeep();
        }
    });
    tokio::select! {
        started = Followed::start(&running.config.feeds, LONGEST_FIRST) => running.judge_with(started?),
        () = stopped(stopping.clone()) => {}
    }
    loop {
        tokio::select! {
            received = hangup.recv() => match received {
                // A process that is asked to stop waits for no feed.
                Some(()) => tokio::select! {
                    () = running.reload(load()) => {}
                    () = stopped(stopping.clone()) => {}
                },
                None => stopped(stopping.clone()).await,
            },
            ended = servers.join_next() => {
                // All of them end when the process is asked to stop.
                if ended.is_none() {
                    break;
                }
            }
        }
    }
    if let Some(followed) = running.followed.load_full() {
        followed.save().await;
    }
    Ok(())
}

impl Running {
    fn new(config: Config, stopping: watch::Receiver<bool>) -> Self {
        let starting = || Arc::new(ArcSwap::from_pointee(starting()));
        let max_followers = config.relay.as_ref().map_or(0, |relay| relay.max_followers);
        let watch = config.checks.as_ref().and_then(|checks| checks.watch.as_ref());
        Self {
            checks: starting(),
            relay: starting(),
            places: FollowerPlaces::new(max_followers),
            roster: relay::roster(max_followers),
            reporting: JoinSet::new(),
            watches: watch.map(Watches::new),
            followed: Arc::default(),
            stopping,
            config,
        }
    }

    /// Opens every address, and answers there that the process starts.
    fn serve(&self, metrics: &PrometheusHandle) -> Result<JoinSet<()>, RunError> {
        let Config { checks, relay, admin_listen, limits, max_connections_is_set, .. } =
            &self.config;
        let limits = limits.clone().within_open_files(*max_connections_is_set);
        let observed = Observed {
            followed: self.followed.clone(),
            stopping: self.stopping.clone(),
            metrics: metrics.clone(),
        };
        let admin = Arc::new(ArcSwap::from_pointee(admin::router(observed)));
        let mut servers = JoinSet::new();
        let mut serve = |place: &Place, router: Routes, limits: Limits, what| {
            let listener = listen(place)?;
            tracing::info!(place = place.to_string(), "{what}");
            let stop = stopped(self.stopping.clone());
            servers.spawn(offswitch_server::run(listener, router, limits, stop));
            Ok::<_, RunError>(())
        };
        serve(&Place::Tcp(*admin_listen), admin, limits.clone(), "health and metrics")?;
        if let Some(checks) = checks {
            let limits = limits.clone().beside_followers(0);
            serve(&checks.listen, self.checks.clone(), limits, "answering the gateway")?;
        }
        if let Some(relay) = relay {
            let limits = limits.beside_followers(relay.max_followers);
            serve(&relay.listen, self.relay.clone(), limits, "relaying the feed")?;
        }
        Ok(servers)
    }

    /// Has requests answered with what is followed from now on.
    fn judge_with(&mut self, followed: Followed) {
        if let Some(checks) = &self.config.checks {
            let checking = Checking {
                rules: checks.rules.clone(),
                verifier: followed.verifier().clone(),
                watches: self.watches.clone(),
                passed: checks::answers(VALID),
            };
            self.checks.store(Arc::new(checks::router(checking)));
        }
        if let (Some(relay), Some((id, verifier))) = (&self.config.relay, followed.first()) {
            tracing::info!(feed = id, "the relay serves this feed");
            let (places, stopping) = (self.places.clone(), self.stopping.clone());
            let roster = self.roster.clone();
            self.reporting = JoinSet::new();
            self.reporting.spawn(relay::report(verifier.clone(), roster.clone()));
            let router = relay::router(relay, places, roster, verifier.clone(), stopping);
            self.relay.store(Arc::new(router));
        }
        self.followed.store(Some(Arc::new(followed)));
    }

    /// Takes over another configuration. One with problems, or of which a feed or a key set is not reached that is new
    /// or has changed, changes nothing.
    async fn reload(&mut self, loaded: Result<Config, Vec<settings::Problem>>) {
        let count = |outcome| reloads(outcome).increment(1);
        let config = match loaded {
            Ok(config) => config,
            Err(problems) => {
                for problem in problems {
                    tracing::error!("the configuration stays as it is: {problem}");
                }
                return count(REFUSED);
            }
        };
        for warning in config.warnings.iter().chain(&self.config.needing_restart(&config)) {
            tracing::warn!("{warning}");
        }
        // It is absent only if the process was asked to stop before it had started.
        let Some(held) = self.followed.load_full() else { return };
        let followed = match held.renewed(&self.config.feeds, &config.feeds).await {
            Ok(followed) => followed,
            Err(problem) => {
                tracing::error!("the configuration stays as it is: {problem}");
                return count(REFUSED);
            }
        };
        let watch = config.checks.as_ref().and_then(|checks| checks.watch.as_ref());
        if watch != self.config.checks.as_ref().and_then(|checks| checks.watch.as_ref()) {
            self.watches = watch.map(Watches::new);
        }
        self.config = config;
        self.judge_with(followed);
        tracing::info!("the configuration was read again, and is in force");
        count(TAKEN);
    }
}

/// Counts how the configuration was read again.
fn reloads(outcome: &'static str) -> metrics::Counter {
    metrics::counter!("offswitch_guard_reloads_total", "outcome" => outcome)
}

pub(crate) fn listen(place: &Place) -> Result<Listener, RunError> {
    let listener = match place {
        Place::Tcp(address) => bind(*address).map(Listener::from),
        Place::Unix(path, mode) => bind_unix(path, *mode),
    };
    listener.map_err(|error| RunError::Listen { place: place.to_string(), error })
}

/// Answers while the verifiers start.
fn starting() -> Router {
    Router::new().fallback(async || {
        let detail = "the process is starting; /readyz at admin_listen says when it is ready";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", detail)
    })
}

/// Becomes true when the process is asked to stop.
fn stopping() -> io::Result<watch::Receiver<bool>> {
    let (stop, stopping) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.send_replace(true);
        // As long as anything waits for it.
        stop.closed().await;
    });
    Ok(stopping)
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    if stopping.wait_for(|is_stopping| *is_stopping).await.is_err() {
        std::future::pending().await
    }
}

const TAKEN: &str = "taken";
const REFUSED: &str = "refused";
/// How long a process that starts waits for the first answers of its feeds: one that is away does not keep it from
/// judging the tokens of the others.
const LONGEST_FIRST: Duration = Duration::from_secs(5);
/// Histograms keep every sample until this upkeep runs.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
