//! `offswitch backup` and `offswitch restore`.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use clap::Args;
use offswitch::audit;
use offswitch::backup::{self, Backup, BackupError, Head, Onto, Restored, Taken};
use offswitch::clock::{unix_seconds, utc};
use offswitch::config::{Config, StoreConfig};
use offswitch::keyring::Keyring;
use offswitch::master_key::MasterKey;
use offswitch::store::Store;
use offswitch_core::audit::Target;
use serde_json::json;

use crate::audit_command::recorded;
use crate::command_line::{Answer, EXIT_CODES};
use crate::serve_command::{agree_on_issuer, master_key, open_store, remembered_issuer, sealed};

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct BackupOptions {
    /// The file to write; it must not exist.
    #[arg(long)]
    to: PathBuf,
    /// Prints JSON, also for errors: `{"code", "detail"}`.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct RestoreOptions {
    /// The file that `offswitch backup` wrote.
    #[arg(long)]
    from: PathBuf,
    /// Adds what the store lacks to a store that is not empty: what it has stays, and nothing is
    /// un-revoked.
    #[arg(long)]
    merge: bool,
    /// Prints JSON, also for errors: `{"code", "detail"}`.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Writes a backup. On Redis, control planes may run meanwhile.
pub(crate) async fn back_up(config: &Config, options: &BackupOptions) -> anyhow::Result<Answer> {
    let taken = take(config, &options.to).await?;
    let json = json!({
        "file": options.to.display().to_string(),
        "issuer": taken.head.issuer,
        "made_at": taken.head.made_at,
        "position": taken.end.position.to_string(),
        "records": taken.records,
        "documents": taken.documents,
        "left_out": taken.left_out,
    });
    Ok(Answer::done(about_taken(&taken, &options.to), json))
}

/// Restores a backup.
pub(crate) async fn restore(config: &Config, options: &RestoreOptions) -> anyhow::Result<Answer> {
    let (head, restored) = put_back(config, options).await?;
    let json = json!({
        "issuer": head.issuer,
        "made_at": head.made_at,
        "position": restored.end.to_string(),
        "records": restored.records,
        "documents": restored.documents,
        "kept": restored.kept,
    });
    Ok(Answer::done(about_restored(&head, &restored), json))
}

async fn take(config: &Config, path: &Path) -> anyhow::Result<Taken> {
    ensure!(!path.exists(), "{} exists; a backup is never overwritten", path.display());
    let file = config.data_dir.join(EMBEDDED_FILE);
    if config.store == StoreConfig::Embedded && !file.exists() {
        return Err(BackupError::NothingThere.into());
    }
    let (store, master) = open(config).await?;
    let documents = sealed(&store, &master).await?;
    let issuer = remembered_issuer(&documents).await?.ok_or(BackupError::NothingThere)?;
    // It gets its name only after it is complete.
    let draft = path.with_extension("draft");
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    let draft_file =
        options.open(&draft).with_context(|| format!("{} cannot be written", draft.display()))?;
    let taken = backup::take(store.as_ref(), &master, &issuer, draft_file).await;
    let named = taken.map_err(anyhow::Error::from).and_then(|taken| {
        fs::rename(&draft, path)?;
        Ok(taken)
    });
    if named.is_err() {
        let _ = fs::remove_file(&draft);
    }
    named
}

async fn put_back(config: &Config, options: &RestoreOptions) -> anyhow::Result<(Head, Restored)> {
    let path = options.from.display();
    let file = File::open(&options.from).with_context(|| format!("{path} cannot be read"))?;
    let (store, master) = open(config).await?;
    let backup = Backup::open(file, &master)?;
    let head = backup.head().clone();
    if config.issuer_is_set {
        is_of(&head, &config.settings.issuer)?;
    }
    if Keyring::is_in(store.as_ref()).await? {
        let documents = sealed(&store, &master).await?;
        if let Some(issuer) = remembered_issuer(&documents).await? {
            agree_on_issuer(issuer.clone(), &config.settings.issuer, config.issuer_is_set)?;
            is_of(&head, &issuer)?;
        }
    }
    let onto = if options.merge { Onto::Content } else { Onto::Empty };
    let lifetimes = &config.settings.sessions.lifetimes;
    let detail = format!("restored {}", options.from.display());
    let restoring = async {
        audit::target(&Target::Store { detail: &detail });
        Ok(backup::restore(&store, &master, &backup, onto, lifetimes).await?)
    };
    let restored = recorded(config, "restore", restoring).await?;
    Ok((head, restored))
}

/// The store and the master key, which must exist: a new one could open nothing.
async fn open(config: &Config) -> anyhow::Result<(Arc<dyn Store>, MasterKey)> {
    let is_elsewhere = config.master_key.is_some() || config.master_key_command.is_some();
    let path = &config.master_key_file;
    ensure!(
        is_elsewhere || path.exists(),
        "{} is not there: a backup needs the master key of its store (there, or as \
         OFFSWITCH_MASTER_KEY)",
        path.display()
    );
    let store = open_store(config).await.context(match config.store {
        StoreConfig::Embedded => {
            "the embedded store cannot be opened; if a control plane runs, stop it first"
        }
        StoreConfig::Redis { .. } => "the store cannot be used",
    })?;
    let master = master_key(config, store.as_ref()).await?;
    Ok((store, master))
}

fn is_of(head: &Head, issuer: &str) -> Result<(), BackupError> {
    if head.issuer == issuer {
        return Ok(());
    }
    Err(BackupError::OtherIssuer { found: head.issuer.clone(), expected: issuer.to_owned() })
}

fn about_taken(taken: &Taken, path: &Path) -> String {
    let Taken { head, documents, records, end, left_out } = taken;
    let left_out = match left_out.len() {
        0 => String::new(),
        count => {
            let some = left_out.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>();
            format!(
                "left out: {count} document(s) that do not open under the master key ({}{})\n",
                some.join(", "),
                if count > MOST_NAMED { ", …" } else { "" }
            )
        }
    };
    format!(
        "{} has the state of {} at {}\n\
         {records} record(s) up to {}, {documents} document(s)\n\
         {left_out}\
         keep the master key in another place: without it the backup cannot be restored\n",
        path.display(),
        head.issuer,
        utc(head.made_at),
        end.position,
    )
}

fn about_restored(head: &Head, restored: &Restored) -> String {
    let made_at = utc(head.made_at);
    let Restored { documents, kept, records, end } = restored;
    let kept = match kept {
        0 => String::new(),
        kept => format!("the store had {kept} of the documents already; they stay as they are\n"),
    };
    let logouts = match unix_seconds() > head.made_at.saturating_add(ENDED_ARE_KNOWN_SECONDS) {
        true => {
            "the backup is older than a day, so sessions that have ended since may be active again; press \
             the red button (POST /v1/red-button) to end them all"
        }
        false => {
            "if no control plane has its data folder, sessions that have ended since are active again; \
             press the red button (POST /v1/red-button) to end them all"
        }
    };
    format!(
        "restored {} as of {made_at}: {records} record(s), {documents} document(s)\n\
         {kept}\
         the log is now at {end}, in a new era; verifiers keep what they know\n\
         what a backup cannot know, from {made_at} on:\n\
         - revocations: control planes put back those in their data folder (published) when they start, or \
         while they run; start all of them before you admit traffic\n\
         - sessions: those that were opened later are gone, and their users log in again\n\
         - logouts: {logouts}\n\
         - API keys: keys that were deleted later work again; compare `offswitch api-keys list`\n",
        head.issuer
    )
}

const EMBEDDED_FILE: &str = "offswitch.redb";
/// The fold remembers for a day which sessions have ended.
const ENDED_ARE_KNOWN_SECONDS: u64 = 24 * 60 * 60;
const MOST_NAMED: usize = 8;
