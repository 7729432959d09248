//! `offswitch`: the commands of the control plane and of the guard. This file only connects the parts.

mod audit_command;
mod backup_command;
mod command_line;
mod doctor_command;
mod guard_command;
mod health_command;
mod inspect_command;
mod process;
mod receipt_command;
#[cfg(test)]
mod reference;
mod remote_commands;
mod report;
mod serve_command;
mod shell_command;
mod snapshot_command;
mod store_command;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use offswitch::config::{self, Config};
use offswitch::telemetry;

use self::audit_command::AuditCommand;
use self::backup_command::{BackupOptions, RestoreOptions};
use self::command_line::{
    Answer, EXIT_CODES, Exit, Failure, Kind, Outcome, failure, misconfigured, print,
};
use self::doctor_command::Doctor;
use self::guard_command::GuardOptions;
use self::health_command::Health;
use self::inspect_command::Inspect;
use self::receipt_command::ReceiptCommands;
use self::remote_commands::{
    ApiKeysCommands, IssuersCommands, KeysCommands, Revoke, SessionCommands, Status, Verify,
};
use self::serve_command::ServeOptions;
use self::shell_command::{Completions, Man};
use self::snapshot_command::SnapshotCommand;
use self::store_command::StoreCommands;

/// A request makes many small allocations: they took a sixth of the time of a refresh.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The off-switch for JSON Web Tokens: the control plane, the guard for gateways, and their tools.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Arguments {
    /// A TOML file with the configuration, of the commands that need one: backup, guard, health,
    /// restore, serve, store.
    #[arg(long, global = true, env = "OFFSWITCH_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    ApiKeys(ApiKeysCommands),
    /// Reads and checks the audit log.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Writes everything in the store to a file. With the embedded store, stop `serve` first.
    Backup(BackupOptions),
    Completions(Completions),
    Doctor(Doctor),
    /// Answers gateways whether a request's token is valid, and may relay the feed.
    Guard(GuardOptions),
    Health(Health),
    Inspect(Inspect),
    Issuers(IssuersCommands),
    Keys(KeysCommands),
    Man(Man),
    Receipt(ReceiptCommands),
    /// Puts a backup back into a store.
    Restore(RestoreOptions),
    Revoke(Revoke),
    /// Serves the HTTP API.
    Serve(ServeOptions),
    Session(SessionCommands),
    /// Explains snapshots, and carries the feed as one file to verifiers without a network.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    Status(Status),
    Store(StoreCommands),
    Verify(Verify),
}

#[tokio::main]
async fn main() -> ExitCode {
    process::keep_private();
    let arguments = commands().try_get_matches();
    let arguments = arguments.and_then(|found| Arguments::from_arg_matches(&found));
    let Arguments { config, command } = match arguments {
        Ok(arguments) => arguments,
        Err(error) => return wrong_usage(&error),
    };
    let path = config.as_deref();
    match command {
        Command::ApiKeys(asked) => answered(asked.connection.json, asked.run()).await,
        Command::Audit(command) => match configured(path, Vec::new(), command.is_json()) {
            Ok(config) => audit_command::run(&config, &command),
            Err(code) => code,
        },
        Command::Backup(options) => {
            let back_up = async |config: Config| backup_command::back_up(&config, &options).await;
            on_the_store(path, options.json, back_up).await
        }
        Command::Completions(asked) => print(asked.run(commands()), false),
        Command::Doctor(asked) => answered(asked.connection.json, asked.run()).await,
        Command::Guard(options) => guard_command::run(path, &options).await,
        Command::Health(asked) => answered(asked.json, asked.run(path)).await,
        Command::Inspect(asked) => print(asked.run(), asked.json),
        Command::Issuers(asked) => answered(asked.connection.json, asked.run()).await,
        Command::Keys(asked) => answered(asked.connection.json, asked.run()).await,
        Command::Man(asked) => print(asked.run(commands()), false),
        Command::Receipt(asked) => answered(asked.connection.json, asked.run()).await,
        Command::Restore(options) => {
            let restore = async |config: Config| backup_command::restore(&config, &options).await;
            on_the_store(path, options.json, restore).await
        }
        Command::Revoke(asked) => answered(asked.connection.json, asked.run()).await,
        Command::Serve(options) => match configured(path, options.variables(), options.json) {
            Ok(config) if options.check => {
                print(Ok(serve_command::check(&config).await), options.json)
            }
            Ok(config) => served(config).await,
            Err(code) => code,
        },
        Command::Session(asked) => answered(asked.connection.json, asked.run()).await,
        Command::Snapshot(command) => snapshot_command::run(command).await,
        Command::Status(asked) => answered(asked.connection.json, asked.run()).await,
        Command::Store(asked) => {
            let (is_json, command) = (asked.json, asked.command);
            let change = async |config: Config| store_command::run(&config, command).await;
            on_the_store(path, is_json, change).await
        }
        Command::Verify(asked) => answered(asked.connection.json, asked.run()).await,
    }
}

/// All commands, with the keys of the configuration in the help of those that read one.
fn commands() -> clap::Command {
    Arguments::command()
        .mut_subcommand("serve", |serve| serve.after_help(Config::help()))
        .mut_subcommand("guard", |guard| guard.after_help(offswitch_guard::Config::help()))
}

/// Prints what clap says about the command line: as JSON, if that was asked for.
fn wrong_usage(error: &clap::Error) -> ExitCode {
    let is_json = std::env::args_os().any(|argument| argument == "--json");
    if is_json && error.use_stderr() {
        let text = error.to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        return Failure::new(Kind::WrongUsage, text.trim()).print(true);
    }
    // Without a reader, the exit code still says it.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() }
}

/// Prints what a command answers for people, or for a program.
async fn answered(is_json: bool, outcome: impl Future<Output = Outcome>) -> ExitCode {
    print(outcome.await, is_json)
}

/// Serves, and prints why that failed.
async fn served(config: Config) -> ExitCode {
    let Err(error) = serve_command::serve(config).await else { return Exit::Done.into() };
    eprintln!("offswitch: {error:#}");
    match serve_command::is_over_soon(&error) {
        true => Exit::Undecided.into(),
        false => Exit::Refused.into(),
    }
}

/// Does what works on the store itself, with the configuration of the control plane.
async fn on_the_store(
    path: Option<&Path>,
    is_json: bool,
    act: impl AsyncFnOnce(Config) -> anyhow::Result<Answer>,
) -> ExitCode {
    let config = match configured(path, Vec::new(), is_json) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let outcome = act(config).await;
    let outcome = outcome.map_err(|error| failure(&error, serve_command::is_over_soon(&error)));
    print(outcome, is_json)
}

/// Reads the configuration and starts the log accordingly; prints every problem. A program that reads JSON gets
/// nothing else.
fn configured(
    path: Option<&Path>,
    options: Vec<(OsString, OsString)>,
    is_json: bool,
) -> Result<Config, ExitCode> {
    match load(path, options) {
        Ok(config) => {
            let level = if is_json { "off" } else { config.log.as_str() };
            let filter = telemetry::filter(level).unwrap_or_default();
            telemetry::start_log(filter, config.log_format, &config.warnings);
            Ok(config)
        }
        Err(problems) => Err(misconfigured(&problems, is_json)),
    }
}

fn load(
    path: Option<&Path>,
    options: Vec<(OsString, OsString)>,
) -> Result<Config, Vec<config::Problem>> {
    let file = path.map(config::read_file).transpose()?;
    Config::load(file.as_deref(), std::env::vars_os().chain(options))
}
