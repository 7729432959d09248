//! Receipts: what was revoked, signed with the feed's key, so that it can be checked without the control plane.
//!
//! A receipt is a JWS (RFC 7515) of a type of its own. No verifier of tokens has the feed's key in a key set, and
//! no receipt is opened that has the type of a token: neither can be taken for the other.

mod content;
mod opening;
mod snapshot;

pub use content::{Acknowledged, AppliedThen, By, Receipt};
pub use opening::{Flaw, Opened, open};
pub use snapshot::{Comparison, compare};

/// The media type in the header of a receipt (RFC 7515 section 4.1.9).
pub const TYPE: &str = "offswitch-receipt+jwt";
