//! The rules of the control plane: what a record revokes and for how long, what all records revoke
//! together, and how a session lives and ends.
//!
//! Pure: clock and randomness are arguments. This crate depends on no runtime, store or server, so
//! no rule can block on one.

pub mod audit;
pub mod doctor;
pub mod fold;
pub mod issuers;
pub mod limits;
pub mod log;
pub mod processes;
pub mod publication;
pub mod receipt;
pub mod receivers;
pub mod record;
pub mod relying_parties;
pub mod revoking;
pub mod session;
pub mod source;
