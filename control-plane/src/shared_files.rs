//! Files and folders that other users of the machine may read, although the process keeps everything else private: a feed
//! that a web server serves.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Makes sure that the folder `path` exists. One that is there keeps its mode: its owner may have closed it.
///
/// # Errors
///
/// As the file system.
pub fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

/// Lets other users read a file.
///
/// # Errors
///
/// As the file system.
pub fn share(file: &File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o644))
}
