//! The checks that gateways ask for over HTTP/1 and HTTP/2.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use axum::routing::any;
use metrics::Counter;
use offswitch_client::Combined;
use offswitch_server::problem::Problem;
use offswitch_server::trace::{Caller, Span};
use tower_http::timeout::TimeoutLayer;
use tower_layer::Layer as _;

use crate::answer::{Answer, unavailable};
use crate::envoy;
use crate::gateway::{Asked, Fields, Gateway, Misconfigured, PREFIX};
use crate::judge::{Rules, VALID};
use crate::watch::Watches;

/// Everything that a check needs.
pub(crate) struct Checking {
    pub(crate) rules: Rules,
    pub(crate) verifier: Combined,
    pub(crate) watches: Option<Watches>,
    /// How many requests got through. To look this counter up takes longer than a verdict.
    pub(crate) passed: Counter,
}

/// What gateways reach.
pub(crate) fn router(checking: Checking) -> Router {
    let gateway = checking.rules.gateway;
    let checking = Arc::new(checking);
    let router = match gateway {
        // Any path below the prefix is the path that Envoy's client asked for.
        Gateway::Envoy => Router::new()
            .route_service(envoy::PATH, in_time().layer(envoy::service(checking.clone())))
            .fallback(any(check)),
        _ => Router::new().route(PREFIX, any(check)).fallback(async || {
            let detail = "gateways ask at /auth; see the guide for their configuration";
            Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
        }),
    };
    router.with_state(checking)
}

async fn check(State(checking): State<Arc<Checking>>, request: Request) -> Response<Body> {
    let gateway = checking.rules.gateway;
    let answer = match gateway.read(&request, &checking.rules.watch_id_header) {
        Ok(asked) => checking.answer(&asked).await,
        Err(misconfigured) => Answer::from(misconfigured),
    };
    answer.into_http(gateway.removes_headers())
}

impl Checking {
    /// The answer about one request. In a trace it is a part of what the gateway, or its client, names.
    pub(crate) async fn answer<F: Fields>(&self, asked: &Asked<'_, F>) -> Answer<'_> {
        let caller = || Caller::from_fields(|name| asked.fields.only(name));
        let span = Span::of_server(CHECK, caller);
        let answer = span.within(self.judged(asked)).await;
        span.set("offswitch.verdict", answer.code());
        answer
    }

    async fn judged<F: Fields>(&self, asked: &Asked<'_, F>) -> Answer<'_> {
        let (answer, watched) = self.rules.judge(&self.verifier, asked).await;
        let kept = match (watched, &self.watches) {
            (Some(watched), Some(watches)) => {
                let verifier = self.verifier.verifier_of(&watched.token);
                watches.keep(watched, verifier)
            }
            (Some(_), None) => Err(unavailable("misconfigured", "nothing is watched here")),
            (None, _) => Ok(()),
        };
        let answer = match kept {
            Ok(()) => answer,
            Err(problem) => Answer::Denied(problem),
        };
        match answer.code() {
            VALID => self.passed.increment(1),
            code => answers(code).increment(1),
        }
        answer
    }
}

/// Counts the answers with a code.
pub(crate) fn answers(code: &'static str) -> Counter {
    metrics::counter!("offswitch_guard_answers_total", "code" => code)
}

impl From<Misconfigured> for Answer<'_> {
    fn from(misconfigured: Misconfigured) -> Self {
        Self::Denied(unavailable("misconfigured", misconfigured.to_string()))
    }
}

/// Ends a call whose message does not arrive. An answer itself takes three seconds at most.
fn in_time() -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, LONGEST_CALL)
}

/// The name of the span in traces. Its route is not known to others, and its path may have anything.
const CHECK: &str = "guard check";
const LONGEST_CALL: Duration = Duration::from_secs(10);
