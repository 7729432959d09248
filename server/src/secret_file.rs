//! Files with a secret, which an operator or the platform provides: the access that others have is
//! checked, and their length is bounded.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use zeroize::Zeroizing;

/// A secret that was read.
pub struct SecretFile {
    /// Its text, without the white space around it.
    pub text: Zeroizing<String>,
    /// True if other users can read the file, which deserves a warning.
    pub is_exposed: bool,
}

/// Why a file with a secret was not read. It never contains the content.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// It is not there, or cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is longer than any such secret.
    #[error("has more than {0} bytes")]
    TooLarge(usize),
    /// Others can write to it.
    #[error(
        "can be written to by other users, so the secret could be anyone's: make sure that it is \
         yours, then run chmod 600"
    )]
    Writable,
}

impl SecretFile {
    /// Reads a file of at most that many bytes, through any symbolic links.
    ///
    /// # Errors
    ///
    /// See [`SecretFileError`].
    pub fn read(path: &Path, most_bytes: usize) -> Result<Self, SecretFileError> {
        let file = File::open(path)?;
        let exposure = exposure(&file)?;
        if exposure == Exposure::Writable {
            return Err(SecretFileError::Writable);
        }
        Ok(Self {
            text: read_bounded(file, most_bytes)?,
            is_exposed: exposure == Exposure::Readable,
        })
    }
}

/// Reads a secret of at most that many bytes, and removes the white space around it.
///
/// # Errors
///
/// [`SecretFileError::Io`] and [`SecretFileError::TooLarge`].
pub fn read_bounded(
    source: impl Read,
    most_bytes: usize,
) -> Result<Zeroizing<String>, SecretFileError> {
    // With its full capacity from the start, so that no part of it is left in memory that was freed.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most_bytes.saturating_add(1)));
    let most = u64::try_from(most_bytes).unwrap_or(u64::MAX);
    source.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > most_bytes {
        return Err(SecretFileError::TooLarge(most_bytes));
    }
    let not_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8");
    let text = str::from_utf8(&bytes).map_err(not_text)?;
    Ok(Zeroizing::new(text.trim().to_owned()))
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

#[cfg(test)]
mod tests {
    use super::*;

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

    // A07: a device or a log file that was named by mistake does not fill the memory.
    #[test]
    fn a_secret_of_more_bytes_than_allowed_is_refused() {
        let read = |text: &str| read_bounded(text.as_bytes(), 8);
        assert_eq!(read(" secret\n").unwrap().as_str(), "secret");
        assert!(matches!(read("a secret!"), Err(SecretFileError::TooLarge(8))));
        assert!(matches!(read_bounded(io::repeat(b'x'), 8), Err(SecretFileError::TooLarge(8))));
        let error = read_bounded(&b"\xffsecret"[..], 8).unwrap_err().to_string();
        assert_eq!(error, "cannot be read: it is not UTF-8");
    }
}
