//! `offswitch store`: what an operator does to the store while the control plane is stopped.

use std::fs;
use std::io::ErrorKind;

use clap::Subcommand;
use offswitch::clock::unix_seconds;
use offswitch::config::Config;

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Lets the next start accept an empty store, after its content was lost for good. Revoked
    /// tokens that have not expired are then valid again, all sessions are gone, and verifiers
    /// need the new feed key.
    NewEra,
}

pub(crate) fn run(config: &Config, command: &StoreCommand) -> anyhow::Result<()> {
    match command {
        StoreCommand::NewEra => new_era(config),
    }
}

/// Moves away the files that say that this process has served before; nothing is deleted.
fn new_era(config: &Config) -> anyhow::Result<()> {
    let mut aside = 0;
    for name in ["published", "admin.key"] {
        let (from, at) = (config.data_dir.join(name), unix_seconds());
        let to = config.data_dir.join(format!("{name}.before-{at}"));
        match fs::rename(&from, &to) {
            Ok(()) => {
                println!("{} is now {}", from.display(), to.display());
                aside += 1;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    match aside {
        0 => println!("nothing to put aside in {}", config.data_dir.display()),
        _ => println!("the next `offswitch serve` uses the store as it is, even if it is empty"),
    }
    Ok(())
}
