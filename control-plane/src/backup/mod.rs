//! Backups: the log and the documents of a store as one file, and the way back.
//!
//! A file is independent of the store that it came from: what was backed up from an embedded store
//! can be restored into Redis. It is authenticated under the master key, and the documents in it
//! stay sealed as they were, so that without the master key it shows only the log of revocations.
//!
//! A restored log begins a new era. So no position gets a second content, and a process or verifier
//! that knows more than the backup keeps it: its own part is joined into the log.

mod file;
mod restoring;
mod taking;

use std::io;

use offswitch_core::fold::FoldError;
use offswitch_snapshot::Position;

use crate::keyring::KeyringError;
use crate::plane::PlaneError;
use crate::store::StoreError;

pub use file::{Backup, Head};
pub use restoring::{Onto, Restored, refuse_unfinished, restore};
pub use taking::{Taken, take};

/// Why a backup is not made or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A frame does not carry the proof of the master key.
    #[error("the backup was changed or is damaged, at byte {at}")]
    Altered {
        /// Where the frame begins.
        at: u64,
    },
    /// The log in the store went on in another way while it was read.
    #[error("the log began another era while it was read; run the command again")]
    Era,
    /// The log in the backup cannot be folded.
    #[error("the log in the backup cannot be used: {0}")]
    Fold(#[from] FoldError),
    /// The file cannot be read or written.
    #[error("the backup file: {0}")]
    File(#[from] io::Error),
    /// The keyring does not open.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The frames are authentic, but do not make sense together.
    #[error("the backup is malformed: {0}")]
    Malformed(&'static str),
    /// Another file.
    #[error("the file is not a backup of offswitch")]
    NotABackup,
    /// The store has content already.
    #[error(
        "the store is not empty: restore into an empty store, or add what the store lacks to it \
         with --merge"
    )]
    NotEmpty,
    /// There is nothing to back up.
    #[error("the store is empty: no control plane has served from it")]
    NothingThere,
    /// The backup is of another issuer.
    #[error(
        "the backup is of the issuer {found}, and the store or the configuration is for {expected}"
    )]
    OtherIssuer {
        /// The backup's.
        found: String,
        /// The store's or the configured one.
        expected: String,
    },
    /// The backup was made under a master key that was not given.
    #[error(
        "the backup was made under another master key: put the master key of its time into place, \
         or add it as OFFSWITCH_OTHER_MASTER_KEY"
    )]
    OtherMasterKey,
    /// A later or earlier format.
    #[error(
        "the backup has format {found}, expected {OLDEST_FORMAT} to {FORMAT}: use the version of offswitch that made it"
    )]
    OtherVersion {
        /// The format's number in the file.
        found: u8,
    },
    /// Reading or joining the log failed.
    #[error(transparent)]
    Plane(#[from] PlaneError),
    /// The store did not answer, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An earlier restore did not reach its end.
    #[error(
        "a restore into this store did not finish: run `offswitch restore` with --merge and the same \
         file, or empty the store and restore again"
    )]
    Unfinished,
    /// The file ends too early.
    #[error("the backup ends too early, at byte {at}: it was not written or copied completely")]
    Truncated {
        /// Where the incomplete frame begins.
        at: u64,
    },
    /// A record got another place than in the backup.
    #[error("another process appended to the store during the restore, at {0}: stop it first")]
    Used(Position),
}

impl BackupError {
    /// The stable code, unless the store or the keys are the reason.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::Altered { .. } => "backup_altered",
            Self::Era | Self::Used(_) => "store_in_use",
            Self::File(_) => "backup_file",
            Self::Fold(_) | Self::Malformed(_) => "backup_malformed",
            Self::NotABackup => "not_a_backup",
            Self::NotEmpty => "store_not_empty",
            Self::NothingThere => "store_empty",
            Self::OtherIssuer { .. } => "other_issuer",
            Self::OtherMasterKey => "other_master_key",
            Self::OtherVersion { .. } => "other_backup_format",
            Self::Truncated { .. } => "backup_truncated",
            Self::Unfinished => "restore_unfinished",
            Self::Keyring(_) | Self::Plane(_) | Self::Store(_) => return None,
        })
    }

    /// True if the file is the reason, and the store was not touched.
    #[must_use]
    pub fn is_of_the_file(&self) -> bool {
        matches!(
            self,
            Self::Altered { .. }
                | Self::Fold(_)
                | Self::Malformed(_)
                | Self::NotABackup
                | Self::OtherIssuer { .. }
                | Self::OtherMasterKey
                | Self::OtherVersion { .. }
                | Self::Truncated { .. }
        )
    }
}

/// The document that says that a restore has begun. It is not sealed: a restore may have brought no
/// keyring yet.
const UNFINISHED: &str = "restoring";
/// The format of the files that this version writes and reads. What is in them has the format of a store, so
/// that a new format of stores needs a new one here too.
const FORMAT: u8 = 2;
/// What is written is the same; the number says what may be in the store.
const OLDEST_FORMAT: u8 = 1;
const _: () = assert!(FORMAT as u64 >= crate::store::FORMAT);
