//! Signed snapshots of what was revoked: the format, read in place, and written.
//!
//! `FORMAT.md` in this folder describes the bytes. [`Snapshot`] is one opened file, [`SnapshotSigner`]
//! writes one. Following a feed from snapshot to snapshot is left to the
//! reader: the verifier has its `Feed` for that.
//!
//! The crate does no I/O, reads no clock and draws no randomness.

mod arriving;
pub mod base64url;
mod bits;
mod builder;
pub mod ed25519;
mod envelope;
mod fingerprint;
mod inspection;
mod position;
mod snapshot;
mod sorted_set;
mod user_map;

pub use arriving::{Arriving, HEAD_BYTES, Head};
pub use builder::{Content, SnapshotSigner};
pub use envelope::{FeedKey, FeedKeyId, OpenError, WeakKey};
pub use fingerprint::{Fingerprint, Kind, Salt};
pub use inspection::PartSizes;
pub use position::{ChainHash, Floor, Position, PositionError};
pub use snapshot::{DeadKey, MAX_DEAD_KEYS, MAX_ENTRIES, Snapshot};
pub use user_map::UserFloor;
