//! `offswitch guard`.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use offswitch::config::{Problem, read_file};
use offswitch::telemetry::{self, Traces};
use offswitch_guard::Config;

use crate::command_line::{Exit, misconfigured, print};
use crate::report::Report;

/// The part of the guard's configuration that can be set on the command line.
#[derive(Debug, Args)]
pub(crate) struct GuardOptions {
    /// Where gateways ask: address or host name, and port, or unix: and the path of a socket.
    #[arg(long)]
    listen: Option<OsString>,
    /// Serves the followed feed to other verifiers at this address or unix: socket.
    #[arg(long, value_name = "ADDRESS")]
    relay: Option<OsString>,
    /// Checks the configuration, the addresses, the feed and the keys, prints the findings, and exits:
    /// with 0 if the guard would start and could judge.
    #[arg(long)]
    check: bool,
    /// With `--check`: prints JSON.
    #[arg(long, requires = "check")]
    json: bool,
}

impl GuardOptions {
    /// The options as environment variables.
    fn variables(&self) -> impl Iterator<Item = (OsString, OsString)> {
        let options = [
            ("OFFSWITCH_GUARD_LISTEN", &self.listen),
            ("OFFSWITCH_GUARD_RELAY_LISTEN", &self.relay),
        ];
        options.into_iter().filter_map(|(name, value)| Some((name.into(), value.clone()?)))
    }
}

/// Runs the guard with the configuration at `path`, or checks it.
pub(crate) async fn run(path: Option<&Path>, options: &GuardOptions) -> ExitCode {
    let load = || load(path, options);
    let config = match load() {
        Ok(config) => config,
        Err(problems) => return misconfigured(&problems, options.json),
    };
    let level = if options.json { "off" } else { config.log.as_str() };
    let filter = telemetry::filter(level).unwrap_or_default();
    telemetry::start_log(filter, config.log_format, &config.warnings);
    if options.check {
        let mut report = Report::default();
        for (what, outcome) in offswitch_guard::check(&config).await {
            report.note(what, &outcome);
        }
        return print(Ok(report.conclude("the guard")), options.json);
    }
    let outcome = async {
        let metrics = telemetry::install_metrics()?;
        let traces = Traces::start();
        offswitch_guard::run(config, metrics, load).await?;
        traces.close().await;
        anyhow::Ok(())
    };
    match outcome.await {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            eprintln!("offswitch: {error:#}");
            Exit::Refused.into()
        }
    }
}

fn load(path: Option<&Path>, options: &GuardOptions) -> Result<Config, Vec<Problem>> {
    let file = path.map(read_file).transpose()?;
    Config::load(file.as_deref(), std::env::vars_os().chain(options.variables()))
}
