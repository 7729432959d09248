//! The browser page, which is part of the binary: `www/` as Vite has built it.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::problem::Problem;

/// The files of the page. In debug builds they are read from the folder.
#[derive(RustEmbed)]
#[folder = "../www/dist"]
#[allow_missing = true]
struct Page;

/// One file of the page; whatever else is asked for does not exist.
pub(super) async fn serve(request: Request) -> Response {
    let path = match request.uri().path() {
        "/" => "index.html",
        path => path.trim_start_matches('/'),
    };
    match Page::get(path) {
        Some(file) => answer(path, &file, &request),
        None => missing(request.uri()),
    }
}

fn answer(path: &str, file: &EmbeddedFile, request: &Request) -> Response {
    let hash: String =
        file.metadata.sha256_hash().iter().map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{hash}\"");
    let known = request.headers().get(header::IF_NONE_MATCH);
    let is_known = known.is_some_and(|known| known.as_bytes() == tag.as_bytes());
    // What is named after its content never changes.
    let caching = match path.starts_with("assets/") {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    // The page embeds this one file of its own, and is embedded by nobody.
    let framing = if path == "outside.html" { "SAMEORIGIN" } else { "DENY" };
    // Whoever embeds the inspector's element loads it from here.
    let described = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        (header::CACHE_CONTROL, HeaderValue::from_static(caching)),
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type(path))),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static(framing)),
    ];
    let tag = [(header::ETAG, tag)];
    match is_known {
        true => (StatusCode::NOT_MODIFIED, described, tag).into_response(),
        false => (described, tag, file.data.clone().into_owned()).into_response(),
    }
}

fn missing(uri: &Uri) -> Response {
    if uri.path() == "/" {
        let detail = "this binary was built without the page; `cargo xtask page` builds it";
        return Problem::new(StatusCode::NOT_FOUND, "page_not_built", detail).into_response();
    }
    let detail = "there is no such endpoint; see /docs";
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail).into_response()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("css") => "text/css; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}
