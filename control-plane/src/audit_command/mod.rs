//! `offswitch audit`: reads and checks audit logs; and what every command that changes something uses to
//! record it.

mod export;
mod files;
mod recorded;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;
use offswitch::config::Config;

use self::export::Export;
use self::verify::Verify;
use crate::command_line::Exit;

pub(crate) use files::open;
pub(crate) use recorded::recorded;

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    Export(Export),
    Verify(Verify),
}

pub(crate) fn run(config: &Config, command: AuditCommand) -> ExitCode {
    let outcome = match command {
        AuditCommand::Export(export) => export.run(config).map(|()| Exit::Done),
        AuditCommand::Verify(verify) => verify.run(config),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("offswitch: {error:#}");
            Exit::Undecided.into()
        }
    }
}
