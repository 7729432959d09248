//! `offswitch audit`: reads and checks audit logs; and what every command that changes something uses to
//! record it.

mod export;
mod files;
mod recorded;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;
use offswitch::config::Config;
use serde_json::Value;

use self::export::Export;
use self::verify::Verify;
use crate::command_line::{Answer, failure, print};

pub(crate) use files::open;
pub(crate) use recorded::recorded;

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    Export(Export),
    Verify(Verify),
}

impl AuditCommand {
    /// True if a program reads what it prints.
    pub(crate) fn is_json(&self) -> bool {
        matches!(self, Self::Verify(Verify { json: true, .. }))
    }
}

pub(crate) fn run(config: &Config, command: &AuditCommand) -> ExitCode {
    let outcome = match command {
        AuditCommand::Export(export) => {
            export.run(config).map(|()| Answer::done(String::new(), Value::Null))
        }
        AuditCommand::Verify(verify) => verify.run(config),
    };
    // Nothing is known of a log that cannot be read.
    print(outcome.map_err(|error| failure(&error, true)), command.is_json())
}
