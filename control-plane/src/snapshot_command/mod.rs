//! `offswitch snapshot`: carries the feed as one file to where there is no network, makes synthetic bases, and explains any
//! snapshot. Needs no store and no configuration.

mod explanation;
mod export;
mod feed_file;
mod feed_source;
mod import;
mod inspect;
mod simulate;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;

use self::export::Export;
use self::import::Import;
use self::inspect::Inspect;
use self::simulate::Simulate;
use self::verify::Verify;
use crate::command_line::{failure, print};

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    Export(Export),
    Import(Import),
    Inspect(Inspect),
    Simulate(Simulate),
    Verify(Verify),
}

pub(crate) async fn run(command: SnapshotCommand) -> ExitCode {
    match command {
        SnapshotCommand::Export(export) => print(export.run().await, export.connection.json),
        SnapshotCommand::Import(import) => print(import.run(), import.json),
        SnapshotCommand::Inspect(inspect) => print(inspect.run(), inspect.json),
        SnapshotCommand::Simulate(simulate) => {
            let is_json = simulate.json;
            print(simulate.run().map_err(|error| failure(&error, false)), is_json)
        }
        SnapshotCommand::Verify(verify) => print(verify.run(), verify.json),
    }
}
