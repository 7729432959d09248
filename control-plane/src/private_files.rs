//! Files and folders that only their owner may use.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
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
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match close(path, 0o700) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(not_own()),
            closed => closed,
        },
        made => made,
    }
}

/// A mounted volume belongs to root, and its mode is that of the platform.
fn not_own() -> io::Error {
    let detail = "it belongs to another user and is open to others: name a folder inside it, which is \
                  then made for this user alone";
    io::Error::new(io::ErrorKind::PermissionDenied, detail)
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
}
