//! The Rust client library with real control planes: what it judges, and what the layer answers.

mod air_gap;
mod applied;
mod cells;
mod heads;
mod layer;
mod revoking;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use offswitch_client::{
    FeedOptions, Issuer, Keys, Options, Presentation, Staleness, Verdict, Verifier,
};
use support::process::ControlPlane;

/// The feed of a control plane.
pub(crate) async fn feed_of(plane: &ControlPlane) -> FeedOptions {
    let keys = plane.got("/v1/keys").await;
    let public_key = keys["feed_public_keys"][0].as_str().unwrap().to_owned();
    let url = format!("http://127.0.0.1:{}/v1/feed", plane.port());
    FeedOptions::new(&url, &public_key).api_key(plane.admin_key().trim())
}

/// Options for its tokens.
pub(crate) fn options_for(plane: &ControlPlane, feed: FeedOptions) -> Options {
    let keys = Keys::url(&format!("http://127.0.0.1:{}/.well-known/jwks.json", plane.port()));
    Options::new(feed).issuer(Issuer::new(&plane.issuer(), "api").keys(keys))
}

/// A verifier that follows a control plane as a stream.
pub(crate) async fn verifier_for(plane: &ControlPlane) -> Verifier {
    let verifier = Verifier::start(options_for(plane, feed_of(plane).await)).await.unwrap();
    assert!(verifier.is_ready(), "{:?}", verifier.status());
    verifier
}

pub(crate) fn check(verifier: &Verifier, token: &str) -> Verdict {
    verifier.check(token, Presentation::Bearer, Staleness::Configured)
}

/// Waits until `holds`, and answers how long that took.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    began.elapsed()
}
