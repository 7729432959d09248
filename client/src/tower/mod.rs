//! A [`tower_layer::Layer`] that lets only requests through whose token is good now, and extractors for axum.
//!
//! ```
//! # #[cfg(feature = "axum")] {
//! use axum::{Router, routing::get};
//! use offswitch_client::{Claims, Policy, Verifier};
//! use offswitch_client::tower::GuardLayer;
//!
//! async fn me(claims: Claims) -> String {
//!     claims.subject().unwrap_or_default().to_owned()
//! }
//!
//! fn app(verifier: Verifier) -> Router {
//!     let reports = Router::new()
//!         .route("/reports", get(me))
//!         .layer(GuardLayer::new(verifier.clone()).policy(Policy::new().scope("reports:read")));
//!     Router::new().route("/me", get(me)).layer(GuardLayer::new(verifier)).merge(reports)
//! }
//! # }
//! ```

#[cfg(feature = "axum")]
mod extract;
mod service;

use std::sync::Arc;

use tower_layer::Layer;

use crate::authorize::{Judge, Policy};
use crate::verifier::Verifier;

#[cfg(feature = "axum")]
pub use extract::Verified;
pub use service::{Guard, GuardFuture};

/// Guards a service: only requests go through whose token is good now and has what the policy requires.
///
/// A request that goes through has its [`Claims`](crate::Claims) and its [`Evidence`](crate::Evidence) in its
/// extensions. One that does not is answered with a problem document (RFC 9457): 401, 403 or 503.
#[derive(Debug, Clone)]
pub struct GuardLayer<J = Verifier> {
    verifier: J,
    policy: Arc<Policy>,
}

impl<J: Judge> GuardLayer<J> {
    /// Requires a valid token, and nothing else.
    pub fn new(verifier: J) -> Self {
        Self { verifier, policy: Arc::default() }
    }

    /// What the routes below require.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Arc::new(policy);
        self
    }
}

impl<S, J: Judge> Layer<S> for GuardLayer<J> {
    type Service = Guard<S, J>;

    fn layer(&self, inner: S) -> Guard<S, J> {
        Guard::new(inner, self.verifier.clone(), Arc::clone(&self.policy))
    }
}
