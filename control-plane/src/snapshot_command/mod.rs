//! `offswitch snapshot`: makes synthetic bases, and explains any snapshot. Needs no store and no
//! configuration.

mod explanation;
mod inspect;
mod simulate;

use std::process::ExitCode;

use clap::Subcommand;

use self::inspect::Inspect;
use self::simulate::Simulate;
use crate::command_line::{failure, print};

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    Inspect(Inspect),
    Simulate(Simulate),
}

pub(crate) fn run(command: SnapshotCommand) -> ExitCode {
    match command {
        SnapshotCommand::Inspect(inspect) => print(inspect.run(), inspect.json),
        SnapshotCommand::Simulate(simulate) => {
            let is_json = simulate.json;
            print(simulate.run().map_err(|error| failure(&error, false)), is_json)
        }
    }
}
