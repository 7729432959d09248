//! The log: appending to it, following it, and never losing what was published.

pub(in crate::plane) mod append;
pub(in crate::plane) mod clock_watch;
pub(in crate::plane) mod continuity;
pub(in crate::plane) mod follow;
pub(in crate::plane) mod memory;
pub(in crate::plane) mod revoke;
