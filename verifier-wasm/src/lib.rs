//! Decides locally, with no network call, whether a JSON Web Token is good *now*.
//!
//! [`Verifier`] holds what is trusted (issuers with their keys, the feed's public keys) and the
//! revocations it has followed. [`Verifier::verify`] answers with a [`Verdict`]: valid, refused or
//! undecided, each with a stable code. [`Verifier::apply`] takes one signed snapshot of the feed.
//!
//! The crate does no I/O, reads no clock and draws no randomness: time is an argument in unix
//! seconds. `FORMAT.md` beside this crate describes the bytes of a snapshot.

mod algorithm;
mod base64url;
#[cfg(target_arch = "wasm32")]
mod bindings;
mod check;
mod claims;
mod config;
mod config_json;
mod ed25519;
mod explain;
mod json;
mod jws;
mod keys;
#[cfg(any(target_arch = "wasm32", test))]
mod known_headers;
mod refusal;
mod rsa;
mod shown;
pub mod snapshot;
mod standing;
mod verdict;
mod verifier;

pub use algorithm::Algorithm;
pub use check::Check;
pub use claims::{MAX_ID_BYTES, VerifiedClaims};
pub use config::{
    AudienceRule, ConfigProblem, FOREIGN_LIFETIME_SECONDS, FeedConfig, IssuerConfig,
    MAX_ISSUER_BYTES, MAX_LEEWAY_SECONDS, OWN_LIFETIME_SECONDS, OnStale, RequiredValue, UserRule,
    VerifierConfig,
};
pub use explain::Step;
pub use jws::{Jws, MAX_HEADER_BYTES, MAX_TOKEN_BYTES, verify_jws};
pub use keys::{KeyId, KeyProblem, KeySet, KeySetError, MAX_KEYS, RefusedKey, VerifyingKey};
pub use refusal::{Mismatch, Objection, Refusal, Undecided};
pub use shown::Shown;
pub use standing::Standing;
pub use verdict::{Decision, Evidence, Verdict};
pub use verifier::{Pending, Staleness, Verifier};
