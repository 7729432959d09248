//! The guard: gateways ask it whether a request's token is valid, and it answers from memory. It
//! follows the feed of revocations, and may serve it to others.

mod admin;
mod answer;
mod check;
mod checks;
mod claim_headers;
mod claims;
mod config;
mod envoy;
mod followed;
mod gateway;
mod judge;
mod relay;
mod routes;
mod service;
mod watch;

pub use check::{Finding, check};
pub use claim_headers::{ClaimHeader, Encoding};
pub use claims::{ClaimPath, WrongClaimPath};
pub use config::{Checks, Config, Feed, Place, Relay, WatchSettings};
pub use gateway::Gateway;
pub use judge::Rules;
pub use routes::{
    Access, ClearPath, Pattern, Policy, RequiredClaim, Route, Routes, UnclearPath, WrongPattern,
};
pub use service::{RunError, run};
