//! Decides locally, with no network call, whether a JSON Web Token is valid *now*.
//!
//! [`Verifier`] contains the trusted issuers with their keys, the feed's public keys, and the
//! revocations it has followed. [`Verifier::verify`] returns a [`Verdict`]: valid, refused or
//! undecided, each with a stable code. [`Verifier::apply`] applies one signed snapshot of the feed.
//!
//! The crate does no I/O, reads no clock and uses no randomness: time is an argument in unix
//! seconds. The crate [`snapshot`] has the format of the feed.

mod dpop;
mod feed;
mod json;
mod keys;
mod shown;
mod token;
mod verify;
#[cfg(any(target_arch = "wasm32", test))]
mod wasm;

pub use dpop::{DpopRequest, MAX_PROOFS, MAX_PROOFS_OF_A_KEY, ProofMemory};
pub use feed::{Applied, ApplyError, Feed, FeedTrust};
pub use json::read_object;
pub use keys::algorithm::Algorithm;
pub use keys::discovery::{KeySource, is_protected_address, jwks_address};
pub use keys::{KeyId, KeyProblem, KeySet, KeySetError, MAX_KEYS, RefusedKey, VerifyingKey};
pub use offswitch_snapshot as snapshot;
pub use shown::Shown;
pub use token::claims::{MAX_ID_BYTES, VerifiedClaims};
pub use token::jws::{Jws, MAX_HEADER_BYTES, MAX_TOKEN_BYTES, verify_jws};
pub use verify::caching::{
    CachingVerifier, Candidate, FloorChange, Good, MAX_ARRIVING, MAX_PENDING, MAX_SLOTS,
};
pub use verify::check::Check;
pub use verify::config::{
    AudienceRule, ConfigProblem, DpopConfig, FOREIGN_LIFETIME_SECONDS, FeedConfig, IssuerConfig,
    MAX_ISSUER_BYTES, MAX_LEEWAY_SECONDS, OWN_LIFETIME_SECONDS, OnStale, RequiredValue, UserRule,
    VerifierConfig,
};
pub use verify::defect::{Defect, Part};
pub use verify::explain::Step;
pub use verify::presentation::Presentation;
pub use verify::refusal::{Mismatch, Objection, Refusal, Undecided};
pub use verify::standing::Standing;
pub use verify::verdict::{Decision, Evidence, Verdict};
pub use verify::{Pending, Staleness, Verifier};
