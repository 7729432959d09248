//! The HTTP API: every route in one table, with the access that it requires.

#![expect(unused_qualifications, reason = "utoipa's macros write them")]

mod access;
mod api_keys;
mod applied;
mod audit;
mod audited;
mod doctor;
mod extract;
mod feed;
mod feed_parts;
mod followers;
mod handover;
mod issuers;
mod json;
mod keys;
mod limited;
mod measured;
mod oauth;
mod operations;
mod page;
mod plane_error;
mod proof;
mod receivers;
mod red_button;
mod relying_parties;
mod revocations;
mod sessions;
mod starting;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Extension, Router};
use futures_util::FutureExt;
use metrics_exporter_prometheus::PrometheusHandle;
use offswitch_server::feed::LAST_EVENT_ID;
use offswitch_server::roster::FOLLOWER_HEADER;
use offswitch_server::trace::{Caller, Span};
// The limit for a `sub`, `jti`, `sid` or `kid`: what verifiers accept can be revoked, and no more.
use offswitch_verifier::MAX_ID_BYTES;
use tower_http::cors::{Any, CorsLayer};
use utoipa::openapi::Paths;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

pub use doctor::Examiner;
pub use revocations::UploadLimits;
pub use starting::{Starting, starting};

use crate::api_keys::Scope;
use crate::plane::Plane;
use crate::problem::{Problem, ProblemCode};
use crate::request_limits::RequestLimiter;
use access::{Access, Gate};
use audited::Audited;
use limited::Limited;
use measured::Measured;

/// The whole API over `plane`, for as many requests as `limiter` admits.
pub fn router(
    plane: Arc<Plane>,
    metrics: PrometheusHandle,
    examiner: Arc<Examiner>,
    limiter: RequestLimiter,
) -> Router {
    let limiter = Arc::new(limiter);
    let gate = |path: &str, access, audited| {
        let limited = Limited::at(path, &limiter);
        Gate { plane: plane.clone(), access, limited, audited }
    };
    let mut router = OpenApiRouter::with_openapi(Info::openapi());
    for (access, (schemas, paths, route)) in routes() {
        let paths = described(paths, access);
        let path = paths.paths.keys().next().map(String::as_str).unwrap_or_default();
        let is_readable = READABLE_ANYWHERE.contains(&path);
        let route = guarded(route, gate(path, access, Audited::of(&paths)), is_readable);
        router = router.routes((schemas, paths, route));
    }
    let (mut router, description) = router.split_for_parts();
    // The same routes with a slash at the end, which is a common mistake.
    let feed = [("/v1/feed/", get(feed::poll)), ("/v1/feed/stream/", get(feed::follow))];
    for (path, route) in feed {
        let route = guarded(route, gate(path, Access::Scope(Scope::FeedRead), None), true);
        router = router.route(path, route);
    }
    let measured = Measured::new(description.paths.paths.keys().cloned());
    let is_https = plane.issuer().starts_with("https://");
    let around_all = Arc::new(Around { measured, is_https });
    let by_source = from_fn_with_state(limiter, limited::by_source);
    let docs = Router::from(SwaggerUi::new("/docs").url("/openapi.json", description));
    router
        .layer(Extension(metrics))
        .layer(Extension(examiner))
        .with_state(plane)
        .merge(docs.layer(by_source.clone()))
        .fallback_service(get(page::serve).fallback(not_found).layer(by_source))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(around_all, around))
}

/// The API's description, served at `/openapi.json` and shown at `/docs`.
pub fn description() -> utoipa::openapi::OpenApi {
    let mut router = OpenApiRouter::<Arc<Plane>>::with_openapi(Info::openapi());
    for (access, (schemas, paths, route)) in routes() {
        router = router.routes((schemas, described(paths, access), route));
    }
    router.into_openapi()
}

/// Deny by default: a route is reachable only through this table, which also sets its access.
fn routes() -> Vec<(Access, UtoipaMethodRouter<Arc<Plane>>)> {
    let bulk = DefaultBodyLimit::max(MAX_BULK_BYTES);
    let small = || DefaultBodyLimit::max(MAX_BODY_BYTES);
    let form = || DefaultBodyLimit::max(MAX_FORM_BYTES);
    let token = || DefaultBodyLimit::max(MAX_EVENT_BYTES);
    let scope = Access::Scope;
    let revoker = Access::PublicOr(Scope::RevocationsWrite);
    vec![
        (Access::Probe, routes!(operations::healthz)),
        (Access::Probe, routes!(operations::readyz)),
        (Access::Public, routes!(keys::jwks)),
        (Access::Public, routes!(oauth::metadata)),
        (scope(Scope::AuditRead), routes!(audit::read)),
        (scope(Scope::DoctorRun), routes!(doctor::examine).layer(small())),
        (scope(Scope::MetricsRead), routes!(operations::metrics)),
        (scope(Scope::FeedRead), routes!(feed::poll)),
        (scope(Scope::FeedRead), routes!(feed::follow)),
        (scope(Scope::FeedRead), routes!(feed_parts::head)),
        (scope(Scope::FeedRead), routes!(feed_parts::base)),
        (scope(Scope::FeedRead), routes!(feed_parts::delta)),
        (scope(Scope::FeedRead), routes!(followers::answer).layer(small())),
        (scope(Scope::FollowersRead), routes!(followers::list)),
        (scope(Scope::TokensIntrospect), routes!(oauth::introspect::introspect).layer(form())),
        // A caller that presents a token may refresh or revoke it: possession is the permission.
        (revoker, routes!(oauth::revoke::revoke).layer(form())),
        (Access::Public, routes!(oauth::token::refresh).layer(form())),
        // Identity providers have no API key: the signature of what they send is checked.
        (Access::Public, routes!(receivers::backchannel_logout).layer(token())),
        (Access::Public, routes!(receivers::events).layer(token())),
        (revoker, routes!(receivers::global_revocation).layer(token())),
        (
            Access::Public,
            routes!(receivers::webhook).layer(DefaultBodyLimit::max(MAX_WEBHOOK_BYTES)),
        ),
        (Access::Public, routes!(receivers::webhook_challenge)),
        (scope(Scope::ApiKeysWrite), routes!(api_keys::list)),
        (scope(Scope::ApiKeysWrite), routes!(api_keys::create).layer(small())),
        (scope(Scope::ApiKeysWrite), routes!(api_keys::delete)),
        (scope(Scope::KeysWrite), routes!(keys::rotate_feed)),
        (scope(Scope::KeysWrite), routes!(keys::drop_feed)),
        (Access::AnyKey, routes!(issuers::list)),
        (scope(Scope::IssuersWrite), routes!(issuers::put).layer(small())),
        (scope(Scope::IssuersWrite), routes!(issuers::delete)),
        (Access::AnyKey, routes!(relying_parties::list)),
        (scope(Scope::RelyingPartiesWrite), routes!(relying_parties::put).layer(small())),
        (scope(Scope::RelyingPartiesWrite), routes!(relying_parties::delete)),
        (scope(Scope::Handover), routes!(handover::login).layer(small())),
        (scope(Scope::Handover), routes!(handover::logout).layer(small())),
        (scope(Scope::Handover), routes!(handover::token).layer(small())),
        (scope(Scope::KeysRead), routes!(keys::list)),
        (scope(Scope::KeysWrite), routes!(keys::rotate).layer(small())),
        (scope(Scope::RedButton), routes!(red_button::press).layer(small())),
        (scope(Scope::RevocationsRead), routes!(revocations::list)),
        (scope(Scope::RevocationsWrite), routes!(revocations::revoke).layer(bulk)),
        (scope(Scope::SessionsRead), routes!(sessions::list)),
        (scope(Scope::SessionsWrite), routes!(sessions::open).layer(small())),
        (scope(Scope::SessionsWrite), routes!(sessions::end_named)),
        (Access::AnyKey, routes!(operations::status)),
        (scope(Scope::SessionsRead), routes!(sessions::list_of_user)),
        (scope(Scope::SessionsWrite), routes!(sessions::end_all)),
        (scope(Scope::SessionsWrite), routes!(sessions::end_one)),
    ]
}

/// The route with its guard and layers.
fn guarded(
    route: MethodRouter<Arc<Plane>>,
    gate: Gate,
    is_readable_anywhere: bool,
) -> MethodRouter<Arc<Plane>> {
    let route = access::guard(route, gate);
    if !is_readable_anywhere {
        return route;
    }
    // The CORS layer answers preflight requests; without an OPTIONS route it would not see them.
    route.options(async || StatusCode::NO_CONTENT).layer(readable_anywhere())
}

/// The description of a route, including the credentials that its access requires, and the answer to requests
/// beyond the limits.
fn described(mut paths: Paths, access: Access) -> Paths {
    for (path, item) in &mut paths.paths {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            operation.security = Some(vec![access.requirement()]);
        }
        if access != Access::Probe {
            limited::describe(path, item);
        }
    }
    paths
}

/// The parts of the description that do not belong to a route.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Offswitch control plane",
        description = "Records revocations and publishes them as signed snapshots.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    servers((url = "/", description = "This control plane")),
    tags((name = "api-keys", description = "The keys of the API's callers"),
         (name = "feed", description = "What verifiers follow"),
         (name = "handover", description = "Sessions whose tokens only the edge worker holds"),
         (name = "keys", description = "The keys that sign tokens and the feed"),
         (name = "oauth", description = "The endpoints of OAuth 2.0 clients"),
         (name = "operations", description = "Health, readiness and metrics"),
         (name = "receivers", description = "What identity providers send"),
         (name = "relying-parties", description = "What is notified of ended sessions"),
         (name = "revocations", description = "Revoking, and what was revoked"),
         (name = "sessions", description = "Logins, and a user's sessions")),
    modifiers(&ApiKeyScheme)
)]
struct Info;

struct ApiKeyScheme;

impl Modify for ApiKeyScheme {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        let basic = "An API key, `osk_…`. HTTP Basic works too, with the key's id as user name.";
        bearer.description = Some(basic.to_owned());
        let scheme = SecurityScheme::Http(bearer);
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("api_key", scheme);
    }
}

/// The state of [`around`].
struct Around {
    measured: Arc<Measured>,
    is_https: bool,
}

/// Applies to every request: it is measured, a panic becomes a response, and the response has the
/// default headers. All in one layer, since every layer makes every request slower.
async fn around(State(around): State<Arc<Around>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let is_docs = request.uri().path().starts_with("/docs");
    let (method, started) = (request.method().clone(), Instant::now());
    let traced = path.as_ref().map(MatchedPath::as_str).filter(|path| is_traced(path));
    let span = traced.map(|path| Span::of_request(&method, path, || Caller::of(request.headers())));
    let span = span.unwrap_or_default();
    let answered = AssertUnwindSafe(span.within(next.run(request))).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_| panicked());
    note_answer(&span, &response);
    add_default_headers(response.headers_mut(), is_docs, around.is_https);
    let path = path.as_ref().map(MatchedPath::as_str);
    around.measured.note(path, &method, response.status(), started.elapsed());
    response
}

/// True for the routes of the API itself: neither probes nor the page are worth a trace.
fn is_traced(path: &str) -> bool {
    matches!(path.split('/').nth(1), Some("v1" | "oauth"))
}

fn note_answer(span: &Span, response: &Response) {
    let code = response.extensions().get::<ProblemCode>().map(|ProblemCode(code)| *code);
    span.answered(response.status(), code);
    let id = response.headers().get(&audited::REQUEST_ID).and_then(|id| id.to_str().ok());
    if let Some(id) = id.filter(|_| span.is_recorded()) {
        span.set("offswitch.request_id", id.to_owned());
    }
}

fn add_default_headers(headers: &mut HeaderMap, is_docs: bool, is_https: bool) {
    if is_docs {
        let policy = HeaderValue::from_static(DOCS_POLICY);
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    if is_https {
        let hsts = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts);
    }
    let opener = HeaderValue::from_static("same-origin");
    headers.insert("cross-origin-opener-policy", opener);
    for (name, value) in DEFAULT_HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// Pages of other origins may read the response: with an API key that they send themselves, or
/// without one. A page that resumes the feed's stream sends its position, and answers with it.
fn readable_anywhere() -> CorsLayer {
    CorsLayer::new()
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            FOLLOWER_HEADER,
            LAST_EVENT_ID,
        ])
        .allow_methods([Method::GET, Method::POST])
        .allow_origin(Any)
        .expose_headers([
            header::ETAG,
            header::RETRY_AFTER,
            HeaderName::from_static("offswitch-position"),
        ])
        // The same for every origin, so caches need not distinguish.
        .vary([])
}

async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such endpoint; see /docs")
}

async fn method_not_allowed() -> Problem {
    let detail = "the endpoint does not support this method; see /docs";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

fn panicked() -> Response {
    let detail = "the request failed; nothing is known to have been done";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).into_response()
}

/// The headers of every response that does not set its own.
const DEFAULT_HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
];
/// The policy of the API's description as a page, which is swagger-ui.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' \
                           data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                           frame-ancestors 'none'";
/// What verifiers that run in pages of any origin need.
const READABLE_ANYWHERE: [&str; 8] = [
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/v1/feed",
    "/v1/feed/bases/{base}",
    "/v1/feed/deltas/{delta}",
    "/v1/feed/head",
    "/v1/feed/position",
    "/v1/feed/stream",
];
/// 100,000 entries of about 300 bytes.
const MAX_BULK_BYTES: usize = 32 * 1024 * 1024;
/// The longest accepted token, and a little more.
const MAX_FORM_BYTES: usize = 20 * 1024;
const MAX_BODY_BYTES: usize = 64 * 1024;
/// What an identity provider sends is a token of about 1 KiB.
const MAX_EVENT_BYTES: usize = 16 * 1024;
/// A webhook may have everything that is known about a user.
const MAX_WEBHOOK_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered_as_a_problem_with_the_headers_of_every_answer() {
        let fails = get(async || -> StatusCode { panic!("as the test needs it") });
        let measured = Measured::new(["/".to_owned()]);
        let all = Arc::new(Around { measured, is_https: true });
        let router = Router::new().route("/", fails).layer(from_fn_with_state(all, around));
        let request = Request::new(Body::empty());
        let answer = TowerToHyperService::new(router).call(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        // A06: only if clients reach the issuer over TLS.
        assert_eq!(answer.headers()[header::STRICT_TRANSPORT_SECURITY], "max-age=31536000");
    }
}
