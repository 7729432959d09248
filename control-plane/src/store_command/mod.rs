//! `offswitch store`: what an operator does to the store itself, with the configuration and the master key
//! and without a control plane. On the embedded store `serve` must be stopped. What a running control
//! plane can do is asked for over HTTP instead: `remote_commands`.

mod master_key;

use std::fs;
use std::io::ErrorKind;

use clap::{Args, Subcommand};
use offswitch::api_keys::ApiKeys;
use offswitch::audit;
use offswitch::clock::unix_seconds;
use offswitch::config::Config;
use offswitch_core::audit::Target;
use serde_json::json;

use crate::audit_command::recorded;
use crate::command_line::{Answer, EXIT_CODES};
use crate::remote_commands::NewKey;
use crate::serve_command::{master_key, open_store, sealed};

/// Changes the store itself, with its configuration. With the embedded store, stop `serve` first.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct StoreCommands {
    /// Prints JSON, also for errors: `{"code", "detail"}`.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
}

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

pub(crate) async fn run(config: &Config, command: StoreCommand) -> anyhow::Result<Answer> {
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
async fn change(config: &Config, new: Option<NewKey>) -> anyhow::Result<Answer> {
    let store = open_store(config).await?;
    let master = master_key(config, store.as_ref()).await?;
    let store = sealed(&store, &master).await?;
    let Some(new) = new else { return master_key::replace(config, &store, &master).await };
    let (now, name, scopes) = (unix_seconds(), &new.name, &new.scopes);
    let fresh = ApiKeys::create(&store, &master, name, scopes, new.expires_at(now), now).await?;
    let stored = fresh.stored;
    let json = json!({
        "id": stored.id,
        "name": stored.name,
        "scopes": stored.scopes,
        "expires_at": stored.expires_at,
        "key": fresh.key.as_str(),
    });
    // Alone, for `$(…)` and for a file.
    Ok(Answer::done(format!("{}\n", fresh.key.as_str()), json))
}

/// Moves away the files that say that this process has served before; nothing is deleted.
fn new_era(config: &Config) -> anyhow::Result<Answer> {
    let mut aside = Vec::new();
    for name in ["published", "admin.key"] {
        let (from, at) = (config.data_dir.join(name), unix_seconds());
        let to = config.data_dir.join(format!("{name}.before-{at}"));
        match fs::rename(&from, &to) {
            Ok(()) => aside.push((from.display().to_string(), to.display().to_string())),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    let moved = aside.iter().map(|(from, to)| json!({ "from": from, "to": to }));
    let json = json!({ "put_aside": moved.collect::<Vec<_>>() });
    let mut text: String = aside.iter().map(|(from, to)| format!("{from} is now {to}\n")).collect();
    text += &match aside.is_empty() {
        true => format!("nothing to put aside in {}\n", config.data_dir.display()),
        false => {
            "the next `offswitch serve` uses the store as it is, even if it is empty\n".to_owned()
        }
    };
    Ok(Answer::done(text, json))
}
