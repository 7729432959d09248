//! The files of the image.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64ct::{Base64, Encoding};
use tar::{Builder, EntryType, Header};

use crate::tools::root;

/// What is below `/`: by path, so that a folder comes before what is in it.
pub(super) struct RootFolder(BTreeMap<String, Entry>);

struct Entry {
    /// `None`: a folder.
    content: Option<Vec<u8>>,
    mode: u32,
    /// Of the user and of the group with the same number.
    owner: u64,
}

impl RootFolder {
    /// With this program, and libraries where they are on this machine.
    pub(super) fn with(program: &Path, libraries: &[PathBuf]) -> Result<Self> {
        let mut folder = Self(BTreeMap::new());
        folder.program(PROGRAM, program)?;
        for library in libraries {
            folder.program(&library.to_string_lossy(), library)?;
        }
        folder.file("/etc/passwd", PASSWD.into());
        folder.file("/etc/group", GROUP.into());
        folder.file("/etc/ssl/certs/ca-certificates.crt", certificates()?);
        for name in ["LICENSE-APACHE", "LICENSE-MIT"] {
            let text = std::fs::read(root().join(name)).context(name)?;
            folder.file(&format!("/usr/share/doc/offswitch/{name}"), text);
        }
        // For a configuration that is mounted.
        folder.folder("/etc/offswitch", 0o755, 0);
        folder.folder("/tmp", 0o1777, 0);
        // A new volume gets the owner and the mode of what it covers.
        folder.folder(DATA, 0o700, USER);
        Ok(folder)
    }

    /// All of it as a tar, each file as old as the sources.
    pub(super) fn tar(&self, seconds: u64) -> Result<Vec<u8>> {
        let mut archive = Builder::new(Vec::new());
        for (path, entry) in &self.0 {
            let content = entry.content.as_deref();
            let mut header = Header::new_gnu();
            header.set_entry_type(content.map_or(EntryType::Directory, |_| EntryType::Regular));
            header.set_size(content.map_or(0, |content| content.len() as u64));
            header.set_mode(entry.mode);
            header.set_uid(entry.owner);
            header.set_gid(entry.owner);
            header.set_mtime(seconds);
            let path = path.trim_start_matches('/');
            archive.append_data(&mut header, path, Cursor::new(content.unwrap_or_default()))?;
        }
        Ok(archive.into_inner()?)
    }

    fn program(&mut self, path: &str, from: &Path) -> Result<()> {
        let content = std::fs::read(from).with_context(|| from.display().to_string())?;
        self.put(path, Entry { content: Some(content), mode: 0o755, owner: 0 });
        Ok(())
    }

    fn file(&mut self, path: &str, content: Vec<u8>) {
        self.put(path, Entry { content: Some(content), mode: 0o644, owner: 0 });
    }

    fn folder(&mut self, path: &str, mode: u32, owner: u64) {
        self.put(path, Entry { content: None, mode, owner });
    }

    /// Also makes the folders that it is in.
    fn put(&mut self, path: &str, entry: Entry) {
        for (end, _) in path.match_indices('/').filter(|(end, _)| *end > 0) {
            let parent = Entry { content: None, mode: 0o755, owner: 0 };
            self.0.entry(path[..end].to_owned()).or_insert(parent);
        }
        self.0.insert(path.to_owned(), entry);
    }
}

/// The authorities that Mozilla trusts, as of the version in Cargo.lock: those of the machine that builds would make a
/// different image on each.
fn certificates() -> Result<Vec<u8>> {
    let mut text = Vec::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        let encoded = Base64::encode_string(certificate);
        writeln!(text, "-----BEGIN CERTIFICATE-----")?;
        for line in encoded.as_bytes().chunks(64) {
            text.write_all(line)?;
            writeln!(text)?;
        }
        writeln!(text, "-----END CERTIFICATE-----")?;
    }
    Ok(text)
}

/// Where the program is.
pub(super) const PROGRAM: &str = "/usr/bin/offswitch";
/// Where it keeps what must outlive the container.
pub(super) const DATA: &str = "/data";
/// The user that it runs as, and the group. By number, so that Kubernetes sees that it is not root.
pub(super) const USER: u64 = 65532;
const PASSWD: &str = "root:x:0:0:root:/:/sbin/nologin\n\
                      offswitch:x:65532:65532:Offswitch:/data:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\noffswitch:x:65532:\n";
