//! `offswitch snapshot`: makes synthetic bases, and explains any snapshot. Needs no store and no
//! configuration.

mod explanation;
mod inspect;
mod simulate;

use std::process::ExitCode;

use clap::Subcommand;

use self::inspect::Inspect;
use self::simulate::Simulate;

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    Inspect(Inspect),
    Simulate(Simulate),
}

pub(crate) fn run(command: SnapshotCommand) -> anyhow::Result<ExitCode> {
    match command {
        SnapshotCommand::Inspect(inspect) => inspect.run(),
        SnapshotCommand::Simulate(simulate) => simulate.run().map(|()| ExitCode::SUCCESS),
    }
}
