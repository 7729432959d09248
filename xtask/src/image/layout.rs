//! A folder as the OCI image layout describes it: blobs by their digests, and an index.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use oci_spec::image::{
    Descriptor, ImageIndexBuilder, MediaType, OciLayoutBuilder, SCHEMA_VERSION, Sha256Digest,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The folder while it is written.
pub(super) struct Layout {
    folder: PathBuf,
}

/// A layer that was written.
pub(super) struct Layer {
    /// The compressed tar.
    pub(super) blob: Descriptor,
    /// The digest of the tar itself.
    pub(super) diff_id: String,
    /// The size of the tar.
    pub(super) unpacked_bytes: u64,
}

impl Layout {
    /// Begins the folder `oci` in `output`, and removes an earlier one.
    pub(super) fn create(output: &Path) -> Result<Self> {
        let folder = output.join("oci");
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        let blobs = folder.join(BLOBS);
        std::fs::create_dir_all(&blobs).with_context(|| blobs.display().to_string())?;
        Ok(Self { folder })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a tar as a compressed layer.
    pub(super) fn layer(&self, tar: &[u8]) -> Result<Layer> {
        // Its header has neither a name nor a time.
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(tar)?;
        Ok(Layer {
            blob: self.blob(MediaType::ImageLayerGzip, &encoder.finish()?)?,
            diff_id: format!("sha256:{}", sha256(tar)),
            unpacked_bytes: tar.len() as u64,
        })
    }

    /// Writes a document as a blob.
    pub(super) fn json(&self, kind: MediaType, document: &impl Serialize) -> Result<Descriptor> {
        self.blob(kind, &sorted_json(document)?)
    }

    /// Writes a blob.
    pub(super) fn blob(&self, kind: MediaType, bytes: &[u8]) -> Result<Descriptor> {
        let digest = Sha256Digest::from_str(&sha256(bytes))?;
        std::fs::write(self.folder.join(BLOBS).join(digest.digest()), bytes)?;
        Ok(Descriptor::new(kind, bytes.len() as u64, digest))
    }

    /// The content of a blob.
    pub(super) fn read(&self, blob: &Descriptor) -> Result<Vec<u8>> {
        let digest = blob.digest().digest();
        std::fs::read(self.folder.join(BLOBS).join(digest)).with_context(|| digest.to_owned())
    }

    /// Writes what makes a layout of the folder.
    pub(super) fn finish(&self, manifests: Vec<Descriptor>) -> Result<()> {
        std::fs::write(self.folder.join(VERSION_FILE), version_file()?)?;
        Ok(std::fs::write(self.folder.join(INDEX_FILE), index_file(manifests)?)?)
    }
}

/// The index of these manifests.
pub(super) fn index_file(manifests: Vec<Descriptor>) -> Result<Vec<u8>> {
    let index = ImageIndexBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageIndex)
        .manifests(manifests)
        .build()?;
    sorted_json(&index)
}

/// The file that says which version of the layout this is.
pub(super) fn version_file() -> Result<Vec<u8>> {
    sorted_json(&OciLayoutBuilder::default().image_layout_version("1.0.0").build()?)
}

/// Labels and annotations are hash maps, which have a different order in each run.
fn sorted_json(document: &impl Serialize) -> Result<Vec<u8>> {
    let mut document = serde_json::to_value(document)?;
    document.sort_all_objects();
    Ok(serde_json::to_vec(&document)?)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where blobs are in the folder.
pub(super) const BLOBS: &str = "blobs/sha256";
pub(super) const INDEX_FILE: &str = "index.json";
pub(super) const VERSION_FILE: &str = "oci-layout";
