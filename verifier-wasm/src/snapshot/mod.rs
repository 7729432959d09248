//! The feed: signed snapshots of what was revoked, and the state a verifier builds from them.
//!
//! `FORMAT.md` beside this crate describes the bytes. Read top-down: [`Feed`] is what a verifier
//! holds, [`Snapshot`] is one opened file, the rest are its parts.

mod arriving;
mod bits;
#[cfg(feature = "builder")]
mod builder;
mod envelope;
mod feed;
mod fingerprint;
#[cfg(feature = "builder")]
mod inspection;
mod opened;
mod position;
mod sorted_set;
mod user_map;

pub use arriving::Arriving;
#[cfg(feature = "builder")]
pub use builder::{Content, SnapshotSigner};
pub use envelope::{FeedKey, FeedKeyId, OpenError};
pub use feed::{Applied, ApplyError, Feed, HEAD_BYTES};
pub use fingerprint::{Fingerprint, Kind, Salt};
#[cfg(feature = "builder")]
pub use inspection::PartSizes;
pub use opened::{DeadKey, MAX_DEAD_KEYS, MAX_ENTRIES, Snapshot};
pub use position::{ChainHash, Floor, Position, PositionError};
pub use user_map::UserFloor;
