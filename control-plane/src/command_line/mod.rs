//! What all commands have in common: what they read, how a control plane is asked, what they print, and
//! how they end.

mod connection;
mod input;
mod on_store;
mod outcome;
mod table;

pub(crate) use connection::{Connection, ControlPlane, path, refused};
pub(crate) use input::{feed_key, read_snapshot, read_text, read_token};
pub(crate) use on_store::failure;
pub(crate) use outcome::{Answer, EXIT_CODES, Exit, Failure, Kind, Outcome, misconfigured, print};
pub(crate) use table::{Table, fields, moment, plain, scalar};
