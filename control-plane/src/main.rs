//! `offswitch`: the commands of the control plane and of the guard. This file only connects the parts.

mod backup_command;
mod doctor_command;
mod guard_command;
mod process;
mod report;
mod root_keys;
mod serve_command;
mod snapshot_command;
mod store_command;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use offswitch::api_keys::{ApiKeys, Scope};
use offswitch::clock::{unix_seconds, utc};
use offswitch::config::{self, Config};
use offswitch::telemetry;

use self::backup_command::{BackupOptions, RestoreOptions};
use self::doctor_command::Doctor;
use self::guard_command::GuardOptions;
use self::root_keys::RootKeysCommand;
use self::serve_command::ServeOptions;
use self::snapshot_command::SnapshotCommand;
use self::store_command::StoreCommand;

/// A request makes many small allocations: they took a sixth of the time of a refresh.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The off-switch for JSON Web Tokens: the control plane, and the guard for gateways.
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
    /// Writes everything in the store to a file. With the embedded store, stop `serve` first.
    Backup(BackupOptions),
    Doctor(Doctor),
    /// Answers gateways whether a request's token is valid, and may relay the feed.
    Guard(GuardOptions),
    /// Manages the API keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Puts a backup back into a store.
    Restore(RestoreOptions),
    /// Serves the HTTP API.
    Serve(ServeOptions),
    /// Makes and explains snapshots.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Manages the store.
    #[command(subcommand)]
    Store(StoreCommand),
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Makes an API key and prints it, once.
    Create {
        /// A name for the key.
        #[arg(long)]
        name: String,
        /// What it may do; can be repeated.
        #[arg(long = "scope", required = true)]
        scopes: Vec<Scope>,
        /// The number of days after which it expires; never if absent.
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
    /// Changes the keys that everything else depends on.
    #[command(flatten)]
    Root(RootKeysCommand),
}

#[tokio::main]
async fn main() -> ExitCode {
    process::keep_private();
    let command = Arguments::command()
        .mut_subcommand("serve", |serve| serve.after_help(Config::help()))
        .mut_subcommand("guard", |guard| guard.after_help(offswitch_guard::Config::help()));
    let arguments = command.try_get_matches().and_then(|found| Arguments::from_arg_matches(&found));
    let arguments = arguments.unwrap_or_else(|error| error.exit());
    let path = arguments.config.as_deref();
    let outcome = match arguments.command {
        Command::Backup(options) => match configured(path, Vec::new()) {
            Ok(config) => return backup_command::back_up(&config, &options).await,
            Err(code) => return code,
        },
        Command::Doctor(command) => return doctor_command::run(command).await,
        Command::Guard(options) => return guard_command::run(path, &options).await,
        Command::Keys(command) => match configured(path, Vec::new()) {
            Ok(config) => keys(config, command).await,
            Err(code) => return code,
        },
        Command::Restore(options) => match configured(path, Vec::new()) {
            Ok(config) => return backup_command::restore(&config, &options).await,
            Err(code) => return code,
        },
        Command::Serve(options) => match configured(path, options.variables()) {
            Ok(config) if options.check => return serve_command::check(&config).await,
            Ok(config) => serve_command::serve(config).await,
            Err(code) => return code,
        },
        Command::Snapshot(command) => match snapshot_command::run(command) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Store(command) => match configured(path, Vec::new()) {
            Ok(config) => store_command::run(&config, &command),
            Err(code) => return code,
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

/// Reads the configuration and starts the log accordingly; prints every problem.
fn configured(path: Option<&Path>, options: Vec<(OsString, OsString)>) -> Result<Config, ExitCode> {
    match load(path, options) {
        Ok(config) => {
            let filter = telemetry::filter(&config.log).unwrap_or_default();
            telemetry::start_log(filter, config.log_format, &config.warnings);
            Ok(config)
        }
        Err(problems) => {
            eprintln!("the configuration has {} problem(s):", problems.len());
            problems.iter().for_each(|problem| eprintln!("  {problem}"));
            Err(ExitCode::from(2))
        }
    }
}

fn load(
    path: Option<&Path>,
    options: Vec<(OsString, OsString)>,
) -> Result<Config, Vec<config::Problem>> {
    let file = path.map(config::read_file).transpose()?;
    let environment = std::env::vars_os().filter(|(name, _)| name != "OFFSWITCH_CONFIG");
    Config::load(file.as_deref(), environment.chain(options))
}

async fn keys(config: Config, command: KeysCommand) -> anyhow::Result<()> {
    let store = serve_command::open_store(&config).await?;
    let master = serve_command::master_key(&config, store.as_ref()).await?;
    let store = serve_command::sealed(&store, &master).await?;
    let command = match command {
        KeysCommand::Root(command) => {
            return root_keys::run(&config, &store, &master, command).await;
        }
        command => command,
    };
    let (store, now) = (&store, unix_seconds());
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
        KeysCommand::Root(_) => {}
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
