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
mod cutoff_map;
mod decode;
pub mod ed25519;
mod envelope;
mod feed_head;
mod fingerprint;
mod inspection;
mod issuer_rules;
mod position;
mod selector;
mod snapshot;
mod sorted_set;

pub use arriving::{Arriving, HEAD_BYTES, Head};
pub use builder::{Content, SnapshotSigner};
pub use cutoff_map::Cutoff;
pub use envelope::{FeedKey, FeedKeyId, OpenError, WeakKey};
pub use feed_head::{
    BaseDigest, FeedHead, HEAD_FORMAT, HEAD_NAME, HeadBase, HeadDelta, HeadError, MAX_HEAD_BYTES,
    MAX_HEAD_DELTAS, Part, PartNameError, Step,
};
pub use fingerprint::{Fingerprint, Fingerprinter, Salt};
pub use inspection::PartSizes;
pub use issuer_rules::{
    Horizon, Horizons, IssuerRules, ListedSelector, MAX_HORIZONS, MAX_ISSUERS, MAX_SELECTORS,
};
pub use position::{ChainHash, Floor, Position, PositionError};
pub use selector::{
    ClaimValue, MAX_PATH_BYTES, MAX_PATH_STEPS, MAX_PATHS, Selector, SelectorError, Uses,
};
pub use snapshot::{DeadKey, MAX_DEAD_KEYS, MAX_ENTRIES, Snapshot};
