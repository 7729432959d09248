//! Everything that happens before the first request can be served.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use offswitch::api_keys::Scope;
use offswitch::audit::collect_own;
use offswitch::backup::{BackupError, refuse_unfinished};
use offswitch::clock::unix_seconds;
use offswitch::config::{Config, StoreConfig};
use offswitch::http::Starting;
use offswitch::keyring::{Keyring, KeyringError};
use offswitch::master_key::{MasterKey, random_bytes, write_private};
use offswitch::plane::{
    Plane, PlaneError, PublicationSecrets, ReceiverSecrets, RelyingPartySecrets, published_issuer,
};
use offswitch::private_files::private_folder;
use offswitch::relying_parties::RelyingPartyError;
use offswitch::sealing::SealedStore;
use offswitch::server::secret_file::SecretFile;
use offswitch::server::tls::{Tls, check_access};
use offswitch::store::{EmbeddedStore, RedisOptions, RedisStore, Store, StoreError};
use tokio::time::{Instant, sleep};

use super::issuer;

/// The certificate for HTTPS, if one is configured.
pub(super) fn tls(config: &Config) -> anyhow::Result<Option<Tls>> {
    let Some((certificate, key)) = &config.tls else { return Ok(None) };
    let read = check_access(key).and_then(|()| Tls::read(certificate, key));
    Ok(Some(read.context("the files for HTTPS")?))
}

/// Starts. While the store does not answer, retries for as long as the configuration allows:
/// machines start in any order, and a Redis may load its file for minutes.
pub(super) async fn start(
    config: Config,
    tls: Option<Tls>,
    starting: &Starting,
) -> anyhow::Result<Arc<Plane>> {
    let begin = Instant::now();
    let (mut pause, mut last) = (FIRST_PAUSE, String::new());
    loop {
        let error = match start_once(&config, tls.as_ref(), starting).await {
            Ok(plane) => return Ok(plane),
            Err(error) if is_over_soon(&error) => error,
            Err(error) => return Err(error),
        };
        starting.waits_for_store(true);
        if config.store_start_timeout.is_some_and(|longest| begin.elapsed() + pause > longest) {
            let seconds = begin.elapsed().as_secs();
            return Err(error.context(format!(
                "the store could not be used within {seconds} s (store_start_timeout_seconds)"
            )));
        }
        let text = format!("{error:#}");
        if text != last {
            tracing::warn!(error = text, "waiting for the store");
            last = text;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn start_once(
    config: &Config,
    tls: Option<&Tls>,
    starting: &Starting,
) -> anyhow::Result<Arc<Plane>> {
    let store = open_store(config).await?;
    starting.waits_for_store(false);
    refuse_unfinished(store.as_ref()).await?;
    let master = master_key(config, store.as_ref()).await?;
    let mut settings = config.settings.clone();
    let documents = sealed(&store, &master).await.map_err(|error| in_words(error, config))?;
    let memory_folder = config.data_dir.join("published");
    let published = published_issuer(&memory_folder)
        .with_context(|| format!("{} cannot be used", memory_folder.display()))?;
    settings.issuer =
        issuer::settle(&documents, published, &settings.issuer, config.issuer_is_set).await?;
    settings.log.memory_folder = Some(memory_folder);
    settings.audit.folder = Some(config.audit_folder());
    settings.log.has_served = config.data_dir.join("admin.key").exists();
    settings.log.secret_files = secret_files(config);
    settings.log.tls = tls.cloned();
    settings.publication.secrets = publication_secrets(config)?;
    settings.receiver_secrets = receiver_secrets(config)?;
    settings.relying_party_secrets = relying_party_secrets(config)?;
    let plane = Plane::start(settings, store, master, unix_seconds(), starting.loading()).await;
    let plane = plane.map_err(|error| in_words(error, config))?;
    // Only now: if the store had lost its API keys, they have been restored.
    if plane.api_keys.list().is_empty() {
        collect_own(&plane.audit, "createApiKey", first_api_key(config, &plane)).await?;
        plane.api_keys.reload().await?;
        plane.log.remember(unix_seconds()).await;
    }
    let settled = plane.settle_issuers(&config.issuers, plane.now()).await;
    settled.map_err(|error| in_words(error, config))?;
    plane.settle_relying_parties(&config.relying_parties, plane.now()).await?;
    plane.spawn_tasks();
    Ok(plane)
}

/// The files with secrets that this process reads, as far as they are known by name.
fn secret_files(config: &Config) -> Vec<PathBuf> {
    let is_elsewhere = config.master_key.is_some() || config.master_key_command.is_some();
    let of_redis = match &config.store {
        StoreConfig::Redis { tls, .. } => tls.client_certificate.as_ref(),
        StoreConfig::Embedded => None,
    };
    let files = [
        (!is_elsewhere).then_some(config.master_key_file.as_path()),
        config.other_master_key_file.as_deref(),
        config.receiver_secrets_file.as_deref(),
        config.relying_party_secrets_file.as_deref(),
        config.tls.as_ref().map(|(_, key)| key.as_path()),
        of_redis.map(|(_, key)| key.as_path()),
    ];
    files.into_iter().flatten().map(Path::to_owned).collect()
}

/// The secrets of receivers, from their file.
pub(crate) fn receiver_secrets(config: &Config) -> anyhow::Result<ReceiverSecrets> {
    let path = config.receiver_secrets_file.as_deref();
    secrets("receiver_secrets_file", path, ReceiverSecrets::parse)
}

/// What opens the place to publish at, from its file and the environment.
pub(crate) fn publication_secrets(config: &Config) -> anyhow::Result<PublicationSecrets> {
    let path = config.publish_secrets_file.as_deref();
    let secrets = secrets("publish_secrets_file", path, PublicationSecrets::parse)?;
    Ok(secrets.or_environment(std::env::vars_os()))
}

/// The credentials for relying parties, from their file.
pub(crate) fn relying_party_secrets(config: &Config) -> anyhow::Result<RelyingPartySecrets> {
    let path = config.relying_party_secrets_file.as_deref();
    secrets("relying_party_secrets_file", path, RelyingPartySecrets::parse)
}

/// Reads a file of secrets, the value of the setting `key`.
fn secrets<T: Default>(
    key: &str,
    path: Option<&Path>,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> anyhow::Result<T> {
    let Some(path) = path else { return Ok(T::default()) };
    let shown = path.display();
    let read = SecretFile::read(path, MAX_SECRETS_BYTES);
    let SecretFile { text, is_exposed } = read.map_err(|error| anyhow!("{key} {shown} {error}"))?;
    if is_exposed {
        tracing::warn!(file = %shown, "other users can read the secrets in {key}: chmod 600");
    }
    parse(&text).map_err(|problem| anyhow!("{key} {shown}: {problem}"))
}

async fn first_api_key(config: &Config, plane: &Plane) -> anyhow::Result<()> {
    let fresh = plane.api_keys.create("admin", &Scope::ALL, None, unix_seconds()).await?;
    let path = config.data_dir.join("admin.key");
    write_private(&path, fresh.key.as_bytes())
        .with_context(|| format!("the first API key cannot be written to {}", path.display()))?;
    tracing::info!(file = %path.display(), "the first API key, with every scope, is in this file");
    Ok(())
}

/// Opens the store, once.
pub(crate) async fn open_store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    let folder = &config.data_dir;
    // With Redis, it may be on a read-only file system.
    if config.store == StoreConfig::Embedded || folder.exists() {
        private_folder(folder)
            .with_context(|| format!("the data folder {} cannot be used", folder.display()))?;
    }
    let first_era = unix_seconds();
    Ok(match &config.store {
        StoreConfig::Embedded => {
            Arc::new(EmbeddedStore::open(&folder.join("offswitch.redb"), first_era)?)
        }
        StoreConfig::Redis { url, prefix, tolerance, appendfsync, wait_replicas, tls } => {
            tls.check()?;
            let options = RedisOptions {
                url: url.clone(),
                tls: tls.clone(),
                wait_replicas: *wait_replicas,
                prefix: prefix.clone(),
                tolerance: tolerance.clone(),
                first_era,
                appendfsync: *appendfsync,
                ..RedisOptions::default()
            };
            Arc::new(RedisStore::connect(options).await?)
        }
    })
}

/// The store, with its documents sealed under the master key in use.
pub(crate) async fn sealed(
    store: &Arc<dyn Store>,
    master: &MasterKey,
) -> Result<SealedStore, PlaneError> {
    Keyring::settle(store.as_ref(), master).await?;
    Ok(SealedStore::new(store.clone(), master.clone()))
}

/// The master key, and the other accepted one. A new key is made only for a store without sealed
/// documents.
pub(crate) async fn master_key(config: &Config, store: &dyn Store) -> anyhow::Result<MasterKey> {
    let master = configured_key(config, store).await?;
    Ok(match (&config.other_master_key, &config.other_master_key_file) {
        (Some(text), _) => master.accepting(&MasterKey::parse(text)?),
        (None, Some(path)) => master.accepting(&MasterKey::from_existing_file(path)?),
        (None, None) => master,
    })
}

async fn configured_key(config: &Config, store: &dyn Store) -> anyhow::Result<MasterKey> {
    if let Some(text) = &config.master_key {
        return Ok(MasterKey::parse(text)?);
    }
    if let Some(command) = &config.master_key_command {
        return Ok(MasterKey::from_command(command)?);
    }
    let path = &config.master_key_file;
    if !path.try_exists()? && Keyring::is_in(store).await? {
        return Err(anyhow!(
            "the store is sealed under a master key, and {} is not there: put the master key of \
             this store there (mode 0600), or into OFFSWITCH_MASTER_KEY; without it the store \
             cannot be used",
            path.display()
        ));
    }
    Ok(MasterKey::from_file(path, random_bytes())?)
}

/// The error for a keyring that cannot be opened, with what to do.
fn in_words(error: PlaneError, config: &Config) -> anyhow::Error {
    let is_sealed = matches!(&error, PlaneError::Keyring(KeyringError::Sealed(_)));
    let error = anyhow::Error::from(error);
    if !is_sealed {
        return error;
    }
    let place = match (&config.master_key, &config.master_key_command) {
        (Some(_), _) => "OFFSWITCH_MASTER_KEY".to_owned(),
        (None, Some(_)) => "the output of OFFSWITCH_MASTER_KEY_COMMAND".to_owned(),
        (None, None) => config.master_key_file.display().to_string(),
    };
    error.context(format!(
        "the master key in {place} does not open the store; put the right one there"
    ))
}

/// True if waiting may help: the store or its replicas do not answer, or another process is about to
/// release the file.
pub(crate) fn is_over_soon(error: &anyhow::Error) -> bool {
    let of_plane = error.downcast_ref::<PlaneError>().and_then(|error| match error {
        PlaneError::Store(error) | PlaneError::Keyring(KeyringError::Store(error)) => Some(error),
        _ => None,
    });
    let of_party = match error.downcast_ref::<RelyingPartyError>() {
        Some(RelyingPartyError::Store(error)) => Some(error),
        _ => None,
    };
    let of_backup = match error.downcast_ref::<BackupError>() {
        Some(BackupError::Store(error)) => Some(error),
        _ => None,
    };
    let of_store = error.downcast_ref::<StoreError>().or(of_plane).or(of_party).or(of_backup);
    matches!(of_store, Some(StoreError::TooFewReplicas { .. } | StoreError::Unavailable(_)))
}

/// A hundred secrets.
const MAX_SECRETS_BYTES: usize = 64 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
