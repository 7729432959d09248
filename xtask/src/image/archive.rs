//! The image as one file for `docker load` and `podman load`: the same layout, and the list that older versions of Docker
//! read. Without the SBOMs, which are no images.

use std::fs::File;
use std::path::Path;

use anyhow::Result;
use oci_spec::image::{Descriptor, ImageManifest};
use serde_json::json;
use tar::{Builder, Header};

use super::layout::{BLOBS, INDEX_FILE, Layout, VERSION_FILE, index_file, version_file};
use super::{NAME, VERSION};

/// Writes it, each file as old as the sources.
pub(super) fn write(
    path: &Path,
    layout: &Layout,
    image: &Descriptor,
    manifest: &ImageManifest,
    seconds: u64,
) -> Result<()> {
    let blobs =
        [manifest.layers().as_slice(), &[manifest.config().clone(), image.clone()]].concat();
    let layers: Vec<String> = manifest.layers().iter().map(path_of).collect();
    let list = json!([{
        "Config": path_of(manifest.config()),
        "Layers": layers,
        "RepoTags": [format!("{NAME}:{VERSION}")],
    }]);
    let mut files = vec![
        (VERSION_FILE.to_owned(), version_file()?),
        (INDEX_FILE.to_owned(), index_file(vec![image.clone()])?),
        ("manifest.json".to_owned(), serde_json::to_vec(&list)?),
    ];
    for blob in &blobs {
        files.push((path_of(blob), layout.read(blob)?));
    }
    let mut archive = Builder::new(File::create(path)?);
    for (path, content) in files {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(seconds);
        archive.append_data(&mut header, path, content.as_slice())?;
    }
    Ok(archive.into_inner()?.sync_all()?)
}

fn path_of(blob: &Descriptor) -> String {
    format!("{BLOBS}/{}", blob.digest().digest())
}
