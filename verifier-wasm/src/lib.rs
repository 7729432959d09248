//! Decides locally, with no network call, whether a JSON Web Token is good *now*.
//!
//! [`Verifier`] holds what is trusted (issuers with their keys, the feed's public keys) and the
//! revocations it has followed. [`Verifier::verify`] answers with a [`Verdict`]: valid, refused or
//! undecided, each with a stable code. [`Verifier::apply`] takes one signed snapshot of the feed.
//!
//! The crate does no I/O, reads no clock and draws no randomness: time is an argument in unix
//! seconds. `FORMAT.md` beside this crate describes the bytes of a snapshot.

mod algorithm;
#[cfg(target_arch = "wasm32")]
mod bindings;
mod claims;
mod config;
mod config_json;
mod json;
mod jws;
mod keys;
pub mod snapshot;
mod verdict;
mod verifier;

pub use algorithm::Algorithm;
pub use claims::{Audience, VerifiedClaims};
pub use config::{
    AudienceRule, ConfigProblem, FeedConfig, IssuerConfig, MAX_LEEWAY_SECONDS, OnStale, UserRule,
    VerifierConfig,
};
pub use jws::{Jws, MAX_HEADER_BYTES, MAX_TOKEN_BYTES, verify_jws};
pub use keys::{KeyProblem, KeySet, KeySetError, MAX_KEYS, RefusedKey, VerifyingKey};
pub use verdict::{Decision, Evidence, Refusal, Undecided, Verdict};
pub use verifier::Verifier;
