//! The HTTP API: every route in one table, with the access it asks for.

#![expect(unused_qualifications, reason = "utoipa's macros write them")]

mod access;
mod api_keys;
mod extract;
mod feed;
mod handover;
mod json;
mod keys;
mod measured;
mod oauth;
mod operations;
mod page;
mod plane_error;
mod red_button;
mod revocations;
mod sessions;
mod starting;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use futures_util::FutureExt;
use metrics_exporter_prometheus::PrometheusHandle;
// Of a `sub`, `jti`, `sid` or `kid`: what verifiers accept can be revoked, and no more.
use offswitch_verifier::MAX_ID_BYTES;
use tower_http::cors::{Any, CorsLayer};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::SwaggerUi;

pub use revocations::UploadLimits;
pub use starting::{Starting, starting};

use crate::api_keys::Scope;
use crate::plane::Plane;
use crate::problem::Problem;
use access::Access;
use measured::Measured;

/// The whole API over `plane`.
pub fn router(plane: Arc<Plane>, metrics: PrometheusHandle) -> Router {
    let mut router = Router::new();
    let routes = routes(metrics);
    let measured = Measured::new(routes.iter().map(|(path, ..)| *path));
    let is_https = plane.settings().issuer.starts_with("https://");
    let around_all = Arc::new(Around { measured, is_https });
    for (path, access, route) in routes {
        let mut route = access::guard(route, access, &plane);
        if READABLE_ANYWHERE.contains(&path) {
            // The layer answers what browsers ask first; without a route it would not be asked.
            route = route.options(async || StatusCode::NO_CONTENT).layer(readable_anywhere());
        }
        router = router.route(path, route);
    }
    let docs = SwaggerUi::new("/docs").url("/openapi.json", Api::openapi());
    router
        .with_state(plane)
        .merge(docs)
        .fallback_service(get(page::serve).fallback(not_found))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(around_all, around))
}

/// Deny by default: a route is reachable only through this table, and its access stands beside it.
fn routes(metrics: PrometheusHandle) -> Vec<(&'static str, Access, MethodRouter<Arc<Plane>>)> {
    let bulk = DefaultBodyLimit::max(MAX_BULK_BYTES);
    let small = || DefaultBodyLimit::max(MAX_BODY_BYTES);
    let form = || DefaultBodyLimit::max(MAX_FORM_BYTES);
    let introspect = post(oauth::introspect::introspect).layer(form());
    let metrics = get(move || operations::metrics(metrics.clone()));
    let scope = Access::Scope;
    vec![
        ("/healthz", Access::Public, get(operations::healthz)),
        ("/readyz", Access::Public, get(operations::readyz)),
        ("/.well-known/jwks.json", Access::Public, get(keys::jwks)),
        ("/.well-known/oauth-authorization-server", Access::Public, get(oauth::metadata)),
        ("/metrics", scope(Scope::MetricsRead), metrics),
        ("/v1/feed", scope(Scope::FeedRead), get(feed::poll)),
        ("/v1/feed/stream", scope(Scope::FeedRead), get(feed::follow)),
        ("/oauth/introspect", scope(Scope::TokensIntrospect), introspect),
        // Whoever shows a token has it: that is the permission to refresh or revoke it.
        ("/oauth/revoke", Access::Public, post(oauth::revoke::revoke).layer(form())),
        ("/oauth/token", Access::Public, post(oauth::token::refresh).layer(form())),
        // The same with a slash at its end, which is easily written.
        ("/v1/feed/", scope(Scope::FeedRead), get(feed::poll)),
        ("/v1/feed/stream/", scope(Scope::FeedRead), get(feed::follow)),
        ("/v1/api-keys", scope(Scope::ApiKeysWrite), get(api_keys::list)),
        ("/v1/api-keys", scope(Scope::ApiKeysWrite), post(api_keys::create).layer(small())),
        ("/v1/api-keys/{id}", scope(Scope::ApiKeysWrite), delete(api_keys::delete)),
        ("/v1/feed-keys/rotate", scope(Scope::KeysWrite), post(keys::rotate_feed)),
        ("/v1/feed-keys/{id}/drop", scope(Scope::KeysWrite), post(keys::drop_feed)),
        ("/v1/handover/login", scope(Scope::Handover), post(handover::login).layer(small())),
        ("/v1/handover/logout", scope(Scope::Handover), post(handover::logout).layer(small())),
        ("/v1/handover/token", scope(Scope::Handover), post(handover::token).layer(small())),
        ("/v1/keys", scope(Scope::KeysRead), get(keys::list)),
        ("/v1/keys/rotate", scope(Scope::KeysWrite), post(keys::rotate).layer(small())),
        ("/v1/red-button", scope(Scope::RedButton), post(red_button::press).layer(small())),
        ("/v1/revocations", scope(Scope::RevocationsRead), get(revocations::list)),
        ("/v1/revocations", scope(Scope::RevocationsWrite), post(revocations::revoke).layer(bulk)),
        ("/v1/sessions", scope(Scope::SessionsRead), get(sessions::list)),
        ("/v1/sessions", scope(Scope::SessionsWrite), post(sessions::open).layer(small())),
        ("/v1/sessions", scope(Scope::SessionsWrite), delete(sessions::end_named)),
        ("/v1/status", Access::AnyKey, get(operations::status)),
        ("/v1/users/{sub}/sessions", scope(Scope::SessionsRead), get(sessions::list_of_user)),
        ("/v1/users/{sub}/sessions", scope(Scope::SessionsWrite), delete(sessions::end_all)),
        (SESSION_PATH, scope(Scope::SessionsWrite), delete(sessions::end_one)),
    ]
}

/// The API's description, served at `/openapi.json` and shown at `/docs`.
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
         (name = "revocations", description = "Revoking, and what was revoked"),
         (name = "sessions", description = "Logins, and a user's sessions")),
    modifiers(&ApiKeyScheme),
    paths(
        api_keys::create,
        api_keys::delete,
        api_keys::list,
        feed::follow,
        feed::poll,
        handover::login,
        handover::logout,
        handover::token,
        keys::drop_feed,
        keys::jwks,
        keys::list,
        keys::rotate,
        keys::rotate_feed,
        oauth::introspect::introspect,
        oauth::metadata,
        oauth::revoke::revoke,
        oauth::token::refresh,
        operations::healthz,
        operations::metrics,
        operations::readyz,
        operations::status,
        red_button::press,
        revocations::list,
        revocations::revoke,
        sessions::end_all,
        sessions::end_named,
        sessions::end_one,
        sessions::list,
        sessions::list_of_user,
        sessions::open,
    )
)]
struct Api;

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

/// What [`around`] needs.
struct Around {
    measured: Arc<Measured>,
    is_https: bool,
}

/// What holds for every request: it is measured, a panic is an answer too, and the answer has the
/// default headers. One layer for all, since each one more makes every request dearer.
async fn around(State(around): State<Arc<Around>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let is_docs = request.uri().path().starts_with("/docs");
    let (method, started) = (request.method().clone(), Instant::now());
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_| panicked());
    add_default_headers(response.headers_mut(), is_docs, around.is_https);
    let path = path.as_ref().map(MatchedPath::as_str);
    around.measured.note(path, &method, response.status(), started.elapsed());
    response
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

/// Pages of other origins may read it: with an API key that they send themselves, or without any.
/// A page that resumes the feed's stream sends the position it has.
fn readable_anywhere() -> CorsLayer {
    CorsLayer::new()
        .allow_headers([header::AUTHORIZATION, header::IF_NONE_MATCH, feed::LAST_EVENT_ID])
        .allow_methods([Method::GET])
        .allow_origin(Any)
        .expose_headers([
            header::ETAG,
            header::RETRY_AFTER,
            HeaderName::from_static("offswitch-position"),
        ])
        // The same for every origin, and caches may know it.
        .vary([])
}

async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such endpoint; see /docs")
}

async fn method_not_allowed() -> Problem {
    let detail = "the endpoint does not take this method; see /docs";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

fn panicked() -> Response {
    let detail = "the request failed; nothing is known to have been done";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).into_response()
}

/// Of every answer that says nothing else.
const DEFAULT_HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
];
/// Of the API's description as a page, which is swagger-ui.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' \
                           data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                           frame-ancestors 'none'";
/// What verifiers need, in the pages of whatever origin they run.
const READABLE_ANYWHERE: [&str; 6] = [
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/v1/feed",
    "/v1/feed/",
    "/v1/feed/stream",
    "/v1/feed/stream/",
];
/// 100,000 entries of about 300 bytes.
const MAX_BULK_BYTES: usize = 32 * 1024 * 1024;
/// The longest token that is read, and a little more.
const MAX_FORM_BYTES: usize = 20 * 1024;
const SESSION_PATH: &str = "/v1/users/{sub}/sessions/{session_id}";
const MAX_BODY_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered_as_a_problem_with_the_headers_of_every_answer() {
        let fails = get(async || -> StatusCode { panic!("as the test wants it") });
        let measured = Measured::new(["/"]);
        let all = Arc::new(Around { measured, is_https: true });
        let router = Router::new().route("/", fails).layer(from_fn_with_state(all, around));
        let request = Request::new(Body::empty());
        let answer = TowerToHyperService::new(router).call(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        // A06: only where the issuer is reached by TLS.
        assert_eq!(answer.headers()[header::STRICT_TRANSPORT_SECURITY], "max-age=31536000");
    }
}
