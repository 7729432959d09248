//! Files and folders that only their owner may use.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// Makes sure that the folder `path` exists and that only its owner has access to it. Revokes the
/// access of others, with a warning.
///
/// # Errors
///
/// As the file system.
pub fn private_folder(path: &Path) -> io::Result<()> {
    // The parent folders belong to the operator.
    if let Some(above) = path.parent() {
        std::fs::create_dir_all(above)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => close(path, 0o700),
        made => made,
    }
}

/// Removes the access of others to the file `path`, with a warning, if it exists.
///
/// # Errors
///
/// As the file system.
pub fn close_file(path: &Path) -> io::Result<()> {
    match close(path, 0o600) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        closed => closed,
    }
}

/// What others may do with a secret's file that the operator or the platform provided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Only its owner, or root and a group of this process, may read it.
    Private,
    /// More users may read it.
    Readable,
    /// Anyone, or another group, may write to it: the secret could be anyone's.
    Writable,
}

/// Checks the access to a file with a secret. Kubernetes mounts them as 0440 or 0640, owned by
/// root, readable by the group of the process.
///
/// # Errors
///
/// As the file system.
pub fn exposure(file: &File) -> io::Result<Exposure> {
    let metadata = file.metadata()?;
    let own_groups = || -> Vec<u32> {
        let others = rustix::process::getgroups().unwrap_or_default();
        let own = [rustix::process::getegid(), rustix::process::getgid()];
        own.into_iter().chain(others).map(rustix::process::Gid::as_raw).collect()
    };
    let is_own_group = metadata.gid() == 0 || own_groups().contains(&metadata.gid());
    Ok(judge(metadata.mode(), is_own_group))
}

fn judge(mode: u32, is_own_group: bool) -> Exposure {
    if mode & 0o002 != 0 || (mode & 0o020 != 0 && !is_own_group) {
        Exposure::Writable
    } else if mode & 0o004 != 0 || (mode & 0o040 != 0 && !is_own_group) {
        Exposure::Readable
    } else {
        Exposure::Private
    }
}

fn close(path: &Path, most: u32) -> io::Result<()> {
    let mode = std::fs::metadata(path)?.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode & most))?;
    let (path, was, is) = (path.display(), format!("{mode:04o}"), format!("{:04o}", mode & most));
    tracing::warn!(%path, was, is, "other users could use this; it is closed to them now");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    // D09.
    #[test]
    fn folders_and_files_are_closed_to_others_also_those_that_were_open() {
        let folder = tempfile::tempdir().unwrap();
        let (new, old) = (folder.path().join("deep/new"), folder.path().join("old"));
        std::fs::create_dir(&old).unwrap();
        std::fs::set_permissions(&old, Permissions::from_mode(0o755)).unwrap();
        for path in [&new, &old] {
            private_folder(path).unwrap();
            assert_eq!(mode(path), 0o700, "{}", path.display());
        }
        let file = new.join("file");
        close_file(&file).unwrap();
        std::fs::write(&file, "x").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o664)).unwrap();
        close_file(&file).unwrap();
        assert_eq!(mode(&file), 0o600);
    }

    // D108, O05: files as Kubernetes mounts them, and with access that must be refused.
    #[test]
    fn a_secret_that_root_and_the_own_group_may_read_is_private() {
        for (mode, own_group, other_group) in [
            (0o400, Exposure::Private, Exposure::Private),
            (0o600, Exposure::Private, Exposure::Private),
            (0o440, Exposure::Private, Exposure::Readable),
            (0o640, Exposure::Private, Exposure::Readable),
            (0o660, Exposure::Private, Exposure::Writable),
            (0o444, Exposure::Readable, Exposure::Readable),
            (0o644, Exposure::Readable, Exposure::Readable),
            (0o602, Exposure::Writable, Exposure::Writable),
            (0o666, Exposure::Writable, Exposure::Writable),
        ] {
            assert_eq!(judge(mode, true), own_group, "{mode:o}");
            assert_eq!(judge(mode, false), other_group, "{mode:o}");
        }
    }
}
