//! `offswitch keys rotate-feed`, `drop-feed` and `replace-master-key`.

use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Subcommand;
use offswitch::clock::unix_seconds;
use offswitch::config::Config;
use offswitch::keyring::{DeadKeys, Keyring};
use offswitch::master_key::{MasterKey, random_bytes};
use offswitch::sealing::SealedStore;

/// Changes the keys that everything else depends on.
#[derive(Debug, Subcommand)]
pub(crate) enum RootKeysCommand {
    /// Makes a new feed key, which signs together with the old ones, and prints what verifiers must
    /// trust.
    RotateFeed,
    /// Stops signing with a feed key; running processes notice within five seconds.
    DropFeed {
        /// Its id, as `GET /v1/keys` and `rotate-feed` show it.
        id: String,
    },
    /// Seals the keyring and every document under the configured master key instead of the other
    /// one (OFFSWITCH_OTHER_MASTER_KEY or other_master_key_file).
    ReplaceMasterKey,
}

/// Runs one of the commands. Treats no key as dead: that is decided where the log is read.
pub(crate) async fn run(
    config: &Config,
    store: &SealedStore,
    master: &MasterKey,
    command: RootKeysCommand,
) -> anyhow::Result<()> {
    let (now, dead) = (unix_seconds(), DeadKeys::default());
    match command {
        RootKeysCommand::RotateFeed => {
            let rotated = Keyring::rotate_feed(store, master, random_bytes(), now, &dead).await?;
            println!("{}\t{}", rotated.key.id, rotated.key.public_key);
            Ok(())
        }
        RootKeysCommand::DropFeed { id } => {
            let dropped = Keyring::drop_feed(store, master, &id, now, &dead).await?;
            println!("{id} {}", if dropped { "is dropped" } else { "was dropped before" });
            Ok(())
        }
        RootKeysCommand::ReplaceMasterKey => replace(config, store, master).await,
    }
}

async fn replace(config: &Config, store: &SealedStore, master: &MasterKey) -> anyhow::Result<()> {
    let accepted = master.accepted();
    let wanted = *accepted.first().context("there is no master key")?;
    ensure!(
        accepted.len() > 1,
        "both master keys are needed: the new one as the master key, the old one as \
         OFFSWITCH_OTHER_MASTER_KEY or other_master_key_file"
    );
    let replaced = Keyring::replace_master_key(store, master, wanted).await?;
    println!(
        "the keyring is sealed under the new master key{}",
        if replaced { "" } else { " already" }
    );
    let mut resealed = 0;
    // A running process keeps using the old key until it reads the keyring again.
    for pass in 0..MOST_PASSES {
        let found = store.reseal(&config.settings.sessions.lifetimes).await?;
        resealed += found;
        if found == 0 && pass >= LEAST_PASSES {
            println!("{resealed} document(s) sealed again; none is left under the old master key");
            println!(
                "refresh tokens and cookies made under the old key are good for as long as \
                 processes accept it as the other master key"
            );
            return Ok(());
        }
        tokio::time::sleep(PASS_PAUSE).await;
    }
    anyhow::bail!(
        "a process still seals documents under the old master key: restart every process with both \
         keys, then run this again"
    )
}

const LEAST_PASSES: usize = 2;
const MOST_PASSES: usize = 20;
/// Longer than running processes take to read the keyring again.
const PASS_PAUSE: Duration = Duration::from_secs(6);
