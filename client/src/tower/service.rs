//! The guarded service.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::authorize::{Asked, Authorization, Judge, Passed, Policy, Problem};
use crate::claims::Claims;
use crate::verdict::{Decision, Verdict};
use crate::verifier::Verifier;

/// A guarded service; [`GuardLayer`](super::GuardLayer) makes it.
#[derive(Debug, Clone)]
pub struct Guard<S, J = Verifier> {
    inner: S,
    verifier: J,
    policy: Arc<Policy>,
}

impl<S, J> Guard<S, J> {
    pub(super) fn new(inner: S, verifier: J, policy: Arc<Policy>) -> Self {
        Self { inner, verifier, policy }
    }
}

impl<S, B, R, J: Judge> Service<Request<B>> for Guard<S, J>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    B: Send + 'static,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = GuardFuture<S, B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> GuardFuture<S, B> {
        let public_url = self.verifier.public_url();
        let url = url_of(&request, public_url);
        let asked =
            Asked { headers: request.headers(), method: request.method().as_str(), url: &url };
        let state = match self.verifier.authorize_now(asked, &self.policy) {
            Some(Authorization::Pass(passed)) => {
                admit(&mut request, passed);
                State::Inner { future: self.inner.call(request) }
            }
            Some(Authorization::Denied { problem, .. }) => State::Denied { problem: Some(problem) },
            None => {
                let (verifier, policy) = (self.verifier.clone(), Arc::clone(&self.policy));
                let asking = authorize(verifier, policy, request, url);
                // The one that was found ready.
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                State::Asking { asking: Box::pin(asking), inner: Some(inner) }
            }
        };
        GuardFuture { state }
    }
}

type Asking<B> = Pin<Box<dyn Future<Output = Result<Request<B>, Problem>> + Send>>;

pin_project! {
    /// The answer of a guarded service.
    pub struct GuardFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B, S::Future>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B, F> {
        Asking { asking: Asking<B>, inner: Option<S> },
        Denied { problem: Option<Problem> },
        Inner { #[pin] future: F },
    }
}

impl<S, B, R> Future for GuardFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<String>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProjection::Inner { future } => return future.poll(context),
                StateProjection::Denied { problem } => {
                    let Some(problem) = problem.take() else { return Poll::Pending };
                    return Poll::Ready(Ok(problem.into_response()));
                }
                StateProjection::Asking { asking, inner } => {
                    let next = match (ready!(asking.as_mut().poll(context)), inner.take()) {
                        (Ok(request), Some(mut inner)) => {
                            State::Inner { future: inner.call(request) }
                        }
                        (Err(problem), _) => State::Denied { problem: Some(problem) },
                        (Ok(_), None) => return Poll::Pending,
                    };
                    state.set(next);
                }
            }
        }
    }
}

async fn authorize<B: Send>(
    verifier: impl Judge,
    policy: Arc<Policy>,
    mut request: Request<B>,
    url: String,
) -> Result<Request<B>, Problem> {
    // The body is not shared with the task that waits.
    let (headers, method) = (request.headers().clone(), request.method().clone());
    let asked = Asked { headers: &headers, method: method.as_str(), url: &url };
    match verifier.authorize(asked, &policy).await {
        Authorization::Denied { problem, .. } => Err(problem),
        Authorization::Pass(passed) => {
            admit(&mut request, passed);
            Ok(request)
        }
    }
}

/// Leaves with the request what the verdict was. What an outer layer has left is of another policy.
fn admit<B>(request: &mut Request<B>, passed: Passed) {
    let extensions = request.extensions_mut();
    match passed {
        Passed::Anonymous => {
            extensions.remove::<Claims>();
        }
        Passed::Undecided(verdict) => {
            extensions.remove::<Claims>();
            if let Decision::Undecided(undecided) = verdict.decision {
                extensions.insert(undecided);
            }
        }
        Passed::Verified(verdict) => {
            let Verdict { decision, evidence } = *verdict;
            if let Decision::Valid(claims) = decision {
                extensions.insert(claims);
            }
            extensions.insert(evidence);
        }
    }
}

/// The URL that the client has asked for; empty where that is not known, or where it is not what a router takes it
/// for. Routers leave dot segments in and URLs do not: a proof for where they lead to is not valid for the route
/// that was asked.
pub(super) fn url_of<B>(request: &Request<B>, public_url: Option<&str>) -> String {
    let Some(public_url) = public_url else { return String::new() };
    if !request.headers().contains_key("dpop") {
        return String::new();
    }
    let path = path_of(request);
    let is_dot = |segment: &str| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    };
    if !path.starts_with('/') || path.contains('\\') || path.split('/').any(is_dot) {
        return String::new();
    }
    format!("{public_url}{path}")
}

#[cfg(not(feature = "axum"))]
fn path_of<B>(request: &Request<B>) -> &str {
    request.uri().path()
}

/// Routers of axum take from the path what they were nested at.
#[cfg(feature = "axum")]
fn path_of<B>(request: &Request<B>) -> &str {
    let original = request.extensions().get::<axum::extract::OriginalUri>();
    original.map_or(request.uri(), |original| &original.0).path()
}
