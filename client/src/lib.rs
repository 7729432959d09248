//! Judges JSON Web Tokens from memory: follows the feed of revocations and the key sets of issuers.
//!
//! A [`Verifier`] keeps what it needs up to date in the background and decides locally whether a token is good
//! *now*: valid, refused or undecided, with the codes of the npm package `offswitch`. It never asks a server for a
//! token that it can judge.
//!
//! ```no_run
//! use offswitch_client::{Decision, FeedOptions, Issuer, Keys, Options, Presentation, Staleness, Verifier};
//!
//! # async fn example(token: &str) -> Result<(), offswitch_client::InvalidOptions> {
//! let feed = FeedOptions::new("https://auth.example/v1/feed", "HCIu…").api_key("…");
//! let keys = Keys::url("https://auth.example/.well-known/jwks.json");
//! let issuer = Issuer::new("https://auth.example", "api").keys(keys);
//! let verifier = Verifier::start(Options::new(feed).issuer(issuer)).await?;
//!
//! let verdict = verifier.verify(token, Presentation::Bearer, Staleness::Configured).await;
//! match verdict.decision {
//!     Decision::Valid(claims) => println!("{:?}", claims.subject()),
//!     Decision::Refused(refusal) => println!("401: {}", refusal.code()),
//!     Decision::Undecided(undecided) => println!("503: {}", undecided.code()),
//! }
//! # Ok(())
//! # }
//! ```

/// Compiles the examples of the guide.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../../docs/guides/rust.md")]
struct Guide;

mod authorize;
mod backoff;
mod claims;
mod clock;
mod combined;
mod engine;
mod events;
mod feed;
pub mod http;
mod keys;
mod metrics;
mod options;
mod presentation;
#[cfg(feature = "tower")]
pub mod tower;
mod verdict;
mod verifier;
mod watch;

pub use authorize::{
    Anonymous, Asked, Authorization, Judge, Passed, Policy, Problem, WhenUndecided,
};
pub use claims::Claims;
pub use combined::Combined;
pub use events::Event;
pub use feed::{FeedFailure, FeedStatus, Question, SignedSnapshot, Snapshots};
pub use keys::KeysStatus;
pub use offswitch_presets as presets;
pub use offswitch_verifier::snapshot::Position;
pub use offswitch_verifier::{Applied, Evidence, OnStale, Refusal, Staleness, Step, UserRule};
pub use options::{FeedAddress, FeedOptions, Follow, InvalidOptions, Issuer, Keys, Options};
pub use presentation::Presentation;
pub use verdict::{Decision, Undecided, Verdict};
pub use verifier::{Status, Verifier};
pub use watch::{Watch, Watched};
