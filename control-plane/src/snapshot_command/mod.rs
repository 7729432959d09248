//! `offswitch snapshot`: makes synthetic bases, and explains any snapshot. Needs no store and no
//! configuration.

mod explanation;
mod inspect;
mod simulate;

use std::process::ExitCode;

use clap::Subcommand;

use self::inspect::Inspect;
use self::simulate::Simulate;
use crate::command_line::{Exit, print};

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    Inspect(Inspect),
    Simulate(Simulate),
}

pub(crate) fn run(command: SnapshotCommand) -> ExitCode {
    match command {
        SnapshotCommand::Inspect(inspect) => print(inspect.run(), inspect.json),
        SnapshotCommand::Simulate(simulate) => match simulate.run() {
            Ok(()) => Exit::Done.into(),
            Err(error) => {
                eprintln!("offswitch: {error:#}");
                Exit::Refused.into()
            }
        },
    }
}
