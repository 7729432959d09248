//! `offswitch store`: what an operator does to the store itself, with the configuration and the master key
//! and without a control plane. On the embedded store `serve` must be stopped. What a running control
//! plane can do is asked for over HTTP instead: `remote_commands`.

mod master_key;

use std::fs;
use std::io::ErrorKind;

use clap::Subcommand;
use offswitch::api_keys::ApiKeys;
use offswitch::audit;
use offswitch::clock::unix_seconds;
use offswitch::config::Config;
use offswitch_core::audit::Target;

use crate::audit_command::recorded;
use crate::remote_commands::NewKey;
use crate::serve_command::{master_key, open_store, sealed};

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Creates an API key and prints it, once: for a store of which no key with the scope api-keys:write is
    /// left. `offswitch api-keys` manages them while the control plane runs.
    CreateApiKey(NewKey),
    /// Lets the next start accept an empty store, after its content was lost for good. Revoked
    /// tokens that have not expired are then valid again, all sessions are gone, and verifiers
    /// need the new feed key.
    NewEra,
    /// Seals the keyring and every document under the configured master key instead of the other
    /// one (OFFSWITCH_OTHER_MASTER_KEY or other_master_key_file).
    ReplaceMasterKey,
}

pub(crate) async fn run(config: &Config, command: StoreCommand) -> anyhow::Result<()> {
    let (operation, new) = match command {
        StoreCommand::NewEra => {
            let beginning = async {
                audit::target(&Target::Store { detail: "new era" });
                new_era(config)
            };
            return recorded(config, "newEra", beginning).await;
        }
        StoreCommand::CreateApiKey(new) => ("createApiKey", Some(new)),
        StoreCommand::ReplaceMasterKey => ("replaceMasterKey", None),
    };
    recorded(config, operation, change(config, new)).await
}

/// Creates an API key, or replaces the master key.
async fn change(config: &Config, new: Option<NewKey>) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let master = master_key(config, store.as_ref()).await?;
    let store = sealed(&store, &master).await?;
    let Some(new) = new else { return master_key::replace(config, &store, &master).await };
    let (now, name, scopes) = (unix_seconds(), &new.name, &new.scopes);
    let fresh = ApiKeys::create(&store, &master, name, scopes, new.expires_at(now), now).await?;
    println!("{}", fresh.key.as_str());
    Ok(())
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
