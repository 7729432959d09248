//! An OCI image of the program, written without a container engine: one layer with the statically linked program and
//! the few files that it needs, and a list of what it is made of (SBOM).

mod archive;
mod configuration;
mod layout;
pub(crate) mod program;
mod root_folder;
mod sbom;
pub(crate) mod source;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use oci_spec::image::{
    ANNOTATION_REF_NAME, Arch, Descriptor, ImageManifest, ImageManifestBuilder, MediaType, Os,
    PlatformBuilder, SCHEMA_VERSION,
};

use self::layout::{Layer, Layout};
use self::root_folder::RootFolder;
use self::sbom::Sbom;
use self::source::Source;
use crate::tools;

/// What is packed, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Packs this program as it is, with the libraries that it needs, instead of one built from this workspace.
    /// What such a program is made of is not known, so that the image has no SBOM.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// The folder to write, instead of target/image. An image that is in it is replaced.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Writes the image as a folder (`oci`) and as a file for `docker load`, and the SBOMs.
pub(crate) fn run(options: &Options) -> Result<()> {
    let source = Source::of_workspace()?;
    let output = options.output.clone().unwrap_or_else(|| tools::target_dir().join("image"));
    let layout = Layout::create(&output)?;
    let root = match &options.binary {
        Some(binary) => RootFolder::with(binary, &program::libraries(binary)?)?,
        None => RootFolder::with(&program::build()?, &[])?,
    };
    let layer = layout.layer(&root.tar(source.seconds)?)?;
    let (image, manifest) = image(&layout, &layer, &source)?;
    let mut listed = vec![image.clone()];
    if options.binary.is_none() {
        check_size(&layer)?;
        for sbom in sbom::write(&output, &source)? {
            listed.push(artifact(&layout, &image, &sbom)?);
        }
    }
    layout.finish(listed)?;
    let archive = output.join(format!("{NAME}-{VERSION}-{}.tar", Arch::default()));
    archive::write(&archive, &layout, &image, &manifest, source.seconds)?;
    println!("{}: {NAME}:{VERSION}, {}", layout.folder().display(), image.digest());
    println!("{}: for docker load", archive.display());
    println!("{} bytes compressed, {} unpacked", layer.blob.size(), layer.unpacked_bytes);
    Ok(())
}

/// Writes the configuration and the manifest; returns what the index says about them, and the manifest.
fn image(layout: &Layout, layer: &Layer, source: &Source) -> Result<(Descriptor, ImageManifest)> {
    let configuration = configuration::of(layer, source)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(layout.json(MediaType::ImageConfig, &configuration)?)
        .layers(vec![layer.blob.clone()])
        .annotations(source.labels())
        .build()?;
    let mut image = layout.json(MediaType::ImageManifest, &manifest)?;
    let platform =
        PlatformBuilder::default().architecture(Arch::default()).os(Os::Linux).build()?;
    image.set_platform(Some(platform));
    // The second is what containerd, and with it Docker, names the image.
    let names = [
        (ANNOTATION_REF_NAME, VERSION.to_owned()),
        ("io.containerd.image.name", format!("docker.io/library/{NAME}:{VERSION}")),
    ];
    image.set_annotations(Some(names.map(|(key, name)| (key.to_owned(), name)).into()));
    Ok((image, manifest))
}

/// Writes an SBOM as registries keep it: a manifest of its own, whose subject is the image.
fn artifact(layout: &Layout, image: &Descriptor, sbom: &Sbom) -> Result<Descriptor> {
    let kind = MediaType::Other(sbom::MEDIA_TYPE.to_owned());
    let mut content = layout.blob(kind.clone(), sbom.text.as_bytes())?;
    let title = ("org.opencontainers.image.title".to_owned(), sbom.name.to_owned());
    content.set_annotations(Some([title].into()));
    let subject = Descriptor::new(image.media_type().clone(), image.size(), image.digest().clone());
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .artifact_type(kind.clone())
        .config(layout.blob(MediaType::EmptyJSON, b"{}")?)
        .layers(vec![content])
        .subject(subject)
        .build()?;
    let mut listed = layout.json(MediaType::ImageManifest, &manifest)?;
    listed.set_artifact_type(Some(kind));
    Ok(listed)
}

fn check_size(layer: &Layer) -> Result<()> {
    let bytes = layer.unpacked_bytes;
    ensure!(bytes < MAX_BYTES, "the image has {bytes} bytes unpacked, more than {MAX_BYTES}");
    Ok(())
}

/// The name of the image in `deploy/`.
const NAME: &str = "offswitch";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Unpacked.
const MAX_BYTES: u64 = 40_000_000;
