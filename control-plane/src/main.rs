//! `offswitch`: the control plane's commands. This file only wires.

mod snapshot_command;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use metrics_exporter_prometheus::PrometheusBuilder;
use offswitch::api_keys::{ApiKeys, Scope};
use offswitch::clock::{unix_seconds, utc};
use offswitch::config::{self, Config, LogFormat, StoreConfig};
use offswitch::master_key::{MasterKey, random_bytes};
use offswitch::plane::{Loading, Plane};
use offswitch::store::{Appendfsync, EmbeddedStore, RedisOptions, RedisStore, Store};
use offswitch::{http, server};
use tokio::signal::unix::{SignalKind, signal};

use self::snapshot_command::SnapshotCommand;

/// A request makes many small things and drops them: that was a sixth of a refresh's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The off-switch for JSON Web Tokens: the control plane.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// A TOML file with the configuration.
    #[arg(long, global = true, env = "OFFSWITCH_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Manages the API keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Serves the HTTP API.
    Serve,
    /// Makes and explains snapshots.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Makes an API key and prints it, once.
    Create {
        /// What you call it.
        #[arg(long)]
        name: String,
        /// What it may do; may be given more than once.
        #[arg(long = "scope", required = true)]
        scopes: Vec<Scope>,
        /// After how many days it expires; never if absent.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..=36_500))]
        expires_in_days: Option<u64>,
    },
    /// Deletes an API key; running processes notice within five seconds.
    Delete {
        /// Its id, `key_…`.
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
    /// Lists the API keys: id, name, scopes, created, expires.
    List,
}

#[tokio::main]
async fn main() -> ExitCode {
    let help = Config::help();
    let command = Arguments::command().mut_subcommand("serve", |serve| serve.after_help(help));
    let arguments = command.try_get_matches().and_then(|found| Arguments::from_arg_matches(&found));
    let arguments = arguments.unwrap_or_else(|error| error.exit());
    let path = arguments.config.as_deref();
    let outcome = match arguments.command {
        Command::Keys(command) => match configured(path) {
            Ok(config) => keys(config, command).await,
            Err(code) => return code,
        },
        Command::Serve => match configured(path) {
            Ok(config) => serve(config).await,
            Err(code) => return code,
        },
        Command::Snapshot(command) => match snapshot_command::run(command) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("offswitch: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The configuration, with the log begun as it says; every problem with it is printed.
fn configured(path: Option<&Path>) -> Result<Config, ExitCode> {
    match load(path) {
        Ok(config) => {
            start_log(&config);
            Ok(config)
        }
        Err(problems) => {
            eprintln!("the configuration has {} problem(s):", problems.len());
            problems.iter().for_each(|problem| eprintln!("  {problem}"));
            Err(ExitCode::from(2))
        }
    }
}

fn load(path: Option<&Path>) -> Result<Config, Vec<config::Problem>> {
    let file = path.map(config::read_file).transpose()?;
    let environment = std::env::vars().filter(|(name, _)| name != "OFFSWITCH_CONFIG");
    Config::load(file.as_deref(), environment)
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let listener = server::bind(config.listen)
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let metrics = PrometheusBuilder::new().install_recorder()?;
    let listen = listener.local_addr()?;
    let loading = Arc::new(Loading::default());
    let router = Arc::new(ArcSwap::from_pointee(http::starting(loading.clone())));
    let limits = config.limits.clone().within_open_files();
    let limits = limits.beside_followers(config.settings.max_followers);
    let mut serving = tokio::spawn(server::run(listener, router.clone(), limits, stop_asked()));
    let plane = tokio::select! {
        started = start(config, &loading) => started?,
        stopped = &mut serving => return Ok(stopped?),
    };
    let (issuer, position) = (plane.settings().issuer.clone(), plane.position());
    tracing::info!(%listen, issuer, %position, "serving");
    router.store(Arc::new(http::router(plane, metrics.clone())));
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(METRICS_UPKEEP).await;
            metrics.run_upkeep();
        }
    });
    Ok(serving.await?)
}

/// Everything before the first request can be served.
async fn start(config: Config, loading: &Loading) -> anyhow::Result<Arc<Plane>> {
    let master = master_key(&config)?;
    let store = open_store(&config).await?;
    if ApiKeys::load(store.as_ref()).await?.is_empty() {
        let now = unix_seconds();
        let (store, scopes) = (store.as_ref(), &Scope::ALL);
        let fresh = ApiKeys::create(store, &master, "admin", scopes, None, now).await?;
        let path = config.data_dir.join("admin.key");
        offswitch::master_key::write_private(&path, fresh.key.as_bytes())?;
        // Where this cannot be written, the file is there all the same.
        let mut out = std::io::stdout();
        let _ = writeln!(out, "the first API key, with every scope, is in {}", path.display());
    }
    let plane = Plane::start(config.settings, store, master, unix_seconds(), loading).await?;
    plane.spawn_tasks();
    Ok(plane)
}

async fn keys(config: Config, command: KeysCommand) -> anyhow::Result<()> {
    let master = master_key(&config)?;
    let store = open_store(&config).await?;
    let (store, now) = (store.as_ref(), unix_seconds());
    match command {
        KeysCommand::Create { name, scopes, expires_in_days } => {
            let expires_at = expires_in_days.map(|days| now + days * 86_400);
            let fresh = ApiKeys::create(store, &master, &name, &scopes, expires_at, now).await?;
            println!("{}", fresh.key.as_str());
        }
        KeysCommand::Delete { id } => {
            let deleted = ApiKeys::delete(store, &id, now).await?;
            println!("deleted {} ({})", deleted.id, deleted.name.escape_debug());
        }
        KeysCommand::List => {
            for key in ApiKeys::load(store).await?.list() {
                let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.name()).collect();
                let (id, name) = (&key.id, key.name.escape_debug());
                let expires = match key.expires_at {
                    Some(at) if key.is_expired(now) => format!("{} (expired)", utc(at)),
                    Some(at) => utc(at),
                    None => "never".to_owned(),
                };
                let (scopes, created) = (scopes.join(","), utc(key.created_at));
                println!("{id}\t{name}\t{scopes}\t{created}\t{expires}");
            }
        }
    }
    Ok(())
}

async fn open_store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    let first_era = unix_seconds();
    Ok(match &config.store {
        StoreConfig::Embedded => {
            std::fs::create_dir_all(&config.data_dir)?;
            Arc::new(EmbeddedStore::open(&config.data_dir.join("offswitch.redb"), first_era)?)
        }
        StoreConfig::Redis { url, prefix, tolerate, vouched_always } => {
            let appendfsync =
                if *vouched_always { Appendfsync::Always } else { Appendfsync::Detect };
            let options = RedisOptions {
                url: url.clone(),
                prefix: prefix.clone(),
                tolerance: tolerate.join(",").parse()?,
                first_era,
                appendfsync,
                ..RedisOptions::default()
            };
            Arc::new(RedisStore::connect(options).await?)
        }
    })
}

fn master_key(config: &Config) -> anyhow::Result<MasterKey> {
    Ok(match &config.master_key {
        Some(text) => MasterKey::parse(text)?,
        None => MasterKey::from_file(&config.master_key_file, random_bytes())?,
    })
}

fn start_log(config: &Config) {
    let log = tracing_subscriber::fmt()
        .with_env_filter(config.log.parse::<tracing_subscriber::EnvFilter>().unwrap_or_default())
        .with_writer(std::io::stderr)
        // It would say so where it could not write, and end the task that wanted to log: a full disk
        // must not end the following of the log.
        .log_internal_errors(false);
    match config.log_format {
        LogFormat::Json => log.json().init(),
        LogFormat::Text => log.init(),
    }
}

/// Histograms keep every sample until they are tidied up.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// Ends when the process is asked to stop.
async fn stop_asked() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
