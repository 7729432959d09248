//! A disk with little space.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A file system of its own, in memory; gone when it is dropped.
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    /// Only root can mount one; otherwise it prints that and returns `None`.
    pub(crate) fn mount(size_bytes: usize) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={size_bytes}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "none"]).arg(folder.path());
        if !mount.status().is_ok_and(|status| status.success()) {
            println!("SKIPPED: this test needs to mount a small tmpfs, as root on Linux");
            return None;
        }
        Some(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills all free space.
    pub(crate) fn fill(&self) {
        let mut options = File::options();
        let mut ballast = options.create(true).append(true).open(self.ballast()).unwrap();
        let mut block = &[7; 4096][..];
        while !block.is_empty() {
            match ballast.write(block) {
                Ok(0) | Err(_) => block = &block[..block.len() / 2],
                Ok(_) => {}
            }
        }
    }

    /// Frees it again.
    pub(crate) fn make_room(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that is being killed may still have files open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
