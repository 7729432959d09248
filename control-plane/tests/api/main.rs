//! The HTTP API of the real binary, over real connections.

mod access;
mod bad_input;
mod key_life;
mod lifecycle;
mod oauth;
mod page;
mod revoking;
#[path = "../support/mod.rs"]
mod support;
