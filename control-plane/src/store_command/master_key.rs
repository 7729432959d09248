//! `offswitch store replace-master-key`.

use std::time::Duration;

use anyhow::{Context, ensure};
use offswitch::audit;
use offswitch::config::Config;
use offswitch::keyring::Keyring;
use offswitch::master_key::MasterKey;
use offswitch::sealing::SealedStore;
use offswitch_core::audit::Target;
use serde_json::json;

use crate::command_line::Answer;

/// Seals everything under the configured master key.
pub(super) async fn replace(
    config: &Config,
    store: &SealedStore,
    master: &MasterKey,
) -> anyhow::Result<Answer> {
    let accepted = master.accepted();
    let wanted = *accepted.first().context("there is no master key")?;
    ensure!(
        accepted.len() > 1,
        "both master keys are needed: the new one as the master key, the old one as \
         OFFSWITCH_OTHER_MASTER_KEY or other_master_key_file"
    );
    let replaced = Keyring::replace_master_key(store, master, wanted).await?;
    audit::target(&Target::MasterKey);
    let mut resealed = 0;
    // A running process keeps using the old key until it reads the keyring again.
    for pass in 0..MOST_PASSES {
        let found = store.reseal(&config.settings.sessions.lifetimes).await?;
        resealed += found;
        if found == 0 && pass >= LEAST_PASSES {
            let already = if replaced { "" } else { " already" };
            let text = format!(
                "the keyring is sealed under the new master key{already}\n\
                 {resealed} document(s) sealed again; none is left under the old master key\n\
                 refresh tokens and cookies made under the old key are good for as long as processes \
                 accept it as the other master key\n"
            );
            return Ok(Answer::done(text, json!({ "replaced": replaced, "resealed": resealed })));
        }
        tokio::time::sleep(PASS_PAUSE).await;
    }
    anyhow::bail!(
        "the keyring is sealed under the new master key, but a process still seals documents under the old master key: restart every process with both \
         keys, then run this again"
    )
}

const LEAST_PASSES: usize = 2;
const MOST_PASSES: usize = 20;
/// Longer than running processes take to read the keyring again.
const PASS_PAUSE: Duration = Duration::from_secs(6);
