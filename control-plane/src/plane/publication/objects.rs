//! Object stores and folders, through the crate `object_store`.

use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Bytes;
use futures_util::StreamExt as _;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
    PutPayload, RetryConfig, UpdateVersion,
};
use offswitch_snapshot::{HEAD_NAME, MAX_HEAD_BYTES, Part};
use url::Url;

use super::address::{Kind, PublicationSecrets};
use super::http::Connector;
use super::place::{HEAD_CACHING, MOST_PARTS, PART_CACHING, Place, PlaceError, PlaceVersion};
use crate::shared_files::{make_folder, share};

/// A folder of an object store.
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    address: String,
    /// Where it is in the file system, for a folder of that: what serves it says what caches may do.
    local: Option<PathBuf>,
}

impl Objects {
    /// Opens the store, with the options that its kind has.
    pub(super) fn open(
        kind: Kind,
        url: &Url,
        secrets: &PublicationSecrets,
    ) -> Result<Self, String> {
        let (mut folder, mut local) = (Path::from_url_path(url.path()).map_err(in_words)?, None);
        let (bucket, retry) = (url.host_str().unwrap_or_default(), retries());
        let store: Arc<dyn ObjectStore> = match kind {
            Kind::S3 => {
                let mut builder = AmazonS3Builder::new();
                for (name, value) in secrets.of("aws_") {
                    // The environment has many that are not for this.
                    if let Ok(key) = name.parse::<AmazonS3ConfigKey>() {
                        builder = builder.with_config(key, value);
                    }
                }
                let builder = builder.with_bucket_name(bucket).with_retry(retry);
                Arc::new(builder.with_http_connector(Connector::new()?).build().map_err(in_words)?)
            }
            Kind::Google => {
                let mut builder = GoogleCloudStorageBuilder::new();
                for (name, value) in secrets.of("google_") {
                    if let Ok(key) = name.parse::<GoogleConfigKey>() {
                        builder = builder.with_config(key, value);
                    }
                }
                let builder = builder.with_bucket_name(bucket).with_retry(retry);
                Arc::new(builder.with_http_connector(Connector::new()?).build().map_err(in_words)?)
            }
            Kind::Azure => {
                let mut builder = MicrosoftAzureBuilder::new();
                for (name, value) in secrets.of("azure_") {
                    if let Ok(key) = name.parse::<AzureConfigKey>() {
                        builder = builder.with_config(key, value);
                    }
                }
                let builder = builder.with_container_name(bucket).with_retry(retry);
                Arc::new(builder.with_http_connector(Connector::new()?).build().map_err(in_words)?)
            }
            Kind::Folder | Kind::WorkersKv => {
                let path = url.to_file_path().map_err(|()| "is no path of a folder".to_owned())?;
                for below in ["", "bases", "deltas"] {
                    make_folder(&path.join(below)).map_err(in_words)?;
                }
                folder = Path::default();
                let files = LocalFileSystem::new_with_prefix(&path).map_err(in_words)?;
                local = Some(path);
                Arc::new(files.with_fsync(true))
            }
        };
        Ok(Self { store, folder, address: url.to_string(), local })
    }

    fn path(&self, name: &str) -> Path {
        let below = Path::from(name);
        self.folder.parts().chain(below.parts()).collect()
    }

    async fn put(
        &self,
        name: &str,
        bytes: Bytes,
        mode: PutMode,
        described: [(Attribute, &'static str); 2],
    ) -> Result<(), Error> {
        let mut options = PutOptions { mode, ..PutOptions::default() };
        if self.local.is_none() {
            options.attributes = Attributes::from_iter(described);
        }
        let payload = PutPayload::from_bytes(bytes);
        self.store.put_opts(&self.path(name), payload, options).await?;
        if let Some(folder) = &self.local {
            let shared = File::open(folder.join(name)).and_then(|file| share(&file));
            shared.map_err(|error| Error::Generic { store: "folder", source: error.into() })?;
        }
        Ok(())
    }
}

#[async_trait]
impl Place for Objects {
    async fn head(&self) -> Result<Option<(Bytes, PlaceVersion)>, PlaceError> {
        let got = match self.store.get(&self.path(HEAD_NAME)).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            got => got.map_err(PlaceError::of)?,
        };
        let version =
            PlaceVersion { e_tag: got.meta.e_tag.clone(), version: got.meta.version.clone() };
        // What is larger is no head; it is not read, and is written over.
        if got.meta.size > MAX_HEAD_BYTES as u64 {
            return Ok(Some((Bytes::new(), version)));
        }
        Ok(Some((got.bytes().await.map_err(PlaceError::of)?, version)))
    }

    async fn write_head(
        &self,
        text: Bytes,
        over: Option<&PlaceVersion>,
    ) -> Result<bool, PlaceError> {
        let mode = match over.cloned() {
            None => PutMode::Create,
            Some(PlaceVersion { e_tag, version }) => {
                PutMode::Update(UpdateVersion { e_tag, version })
            }
        };
        let described =
            [(Attribute::CacheControl, HEAD_CACHING), (Attribute::ContentType, "application/json")];
        match self.put(HEAD_NAME, text.clone(), mode, described.clone()).await {
            Ok(()) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            // The store cannot compare: the last writer wins.
            Err(Error::NotImplemented { .. }) => {
                let written = self.put(HEAD_NAME, text, PutMode::Overwrite, described).await;
                written.map(|()| true).map_err(PlaceError::of)
            }
            Err(error) => Err(PlaceError::of(error)),
        }
    }

    async fn write_part(&self, part: Part, bytes: Bytes) -> Result<(), PlaceError> {
        // A part of the same name has the same content: a process that was killed may have left it.
        let described = [
            (Attribute::CacheControl, PART_CACHING),
            (Attribute::ContentType, "application/octet-stream"),
        ];
        let written = self.put(&part.to_string(), bytes, PutMode::Overwrite, described).await;
        written.map_err(PlaceError::of)
    }

    async fn parts(&self) -> Result<Vec<Part>, PlaceError> {
        let (mut parts, mut seen) = (vec![], 0);
        for below in ["bases", "deltas"] {
            let mut listed = self.store.list(Some(&self.path(below)));
            while let Some(found) = listed.next().await
                && seen < MOST_PARTS
            {
                seen += 1;
                let location = found.map_err(PlaceError::of)?.location;
                let name: Option<Vec<_>> = location
                    .prefix_match(&self.folder)
                    .map(|rest| rest.map(|part| part.as_ref().to_owned()).collect());
                parts.extend(name.and_then(|name| name.join("/").parse::<Part>().ok()));
            }
        }
        Ok(parts)
    }

    async fn remove(&self, part: Part) -> Result<(), PlaceError> {
        match self.store.delete(&self.path(&part.to_string())).await {
            // Another process may have removed it.
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(PlaceError::of(error)),
        }
    }
}

impl fmt::Display for Objects {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.address)
    }
}

/// A round that fails is repeated as a whole.
fn retries() -> RetryConfig {
    RetryConfig { max_retries: 2, retry_timeout: Duration::from_secs(10), ..Default::default() }
}

fn in_words(error: impl fmt::Display) -> String {
    error.to_string()
}
