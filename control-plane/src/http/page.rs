//! The browser page, which is part of the binary: `www/` as built by Vite.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::RustEmbed;
use tokio::sync::Mutex;

use crate::problem::Problem;

/// The files of the page. In debug builds they are read from the folder.
#[derive(RustEmbed)]
#[folder = "../www/dist"]
#[allow_missing = true]
struct Page;

/// Serves one file of the page; any other path does not exist.
pub(super) async fn serve(request: Request) -> Response {
    let path = match request.uri().path() {
        "/" => "index.html",
        path => path.trim_start_matches('/'),
    };
    let Some(file) = Page::get(path) else { return missing(request.uri()) };
    let data = match file.data {
        Cow::Borrowed(data) => Bytes::from_static(data),
        Cow::Owned(data) => data.into(),
    };
    answer(path, file.metadata.sha256_hash(), data, request.headers()).await
}

async fn answer(path: &str, hash: Hash, data: Bytes, headers: &HeaderMap) -> Response {
    let tag: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{tag}\"");
    let known = headers.get(header::IF_NONE_MATCH);
    let is_known = known.is_some_and(|known| known.as_bytes() == tag.as_bytes());
    // A file that is named after its content never changes.
    let caching = match path.starts_with("assets/") {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    // The page embeds this one file of its own; no other page may.
    let framing = if path == "outside.html" { "SAMEORIGIN" } else { "DENY" };
    let ancestors = if path == "outside.html" { "'self'" } else { "'none'" };
    let policy = HeaderValue::try_from(format!("{}; frame-ancestors {ancestors}", policy_of(path)))
        .unwrap_or(HeaderValue::from_static("default-src 'none'"));
    // A page that embeds the inspector's element loads it from here.
    let described = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        (header::CACHE_CONTROL, HeaderValue::from_static(caching)),
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type(path))),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static(framing)),
    ];
    let tag = [(header::ETAG, tag)];
    if is_known {
        return (StatusCode::NOT_MODIFIED, described, tag).into_response();
    }
    if takes_gzip(headers)
        && let Some(zipped) = zipped(hash, &data).await
    {
        return (described, tag, [(header::CONTENT_ENCODING, "gzip")], zipped).into_response();
    }
    (described, tag, data).into_response()
}

/// The content security policy that the page's own document declares. Its scripts get the same
/// policy, since a worker's policy is that of its script.
fn policy_of(path: &str) -> String {
    let document = if path == "outside.html" { path } else { "index.html" };
    let file = Page::get(document);
    let text = file.as_ref().and_then(|file| std::str::from_utf8(&file.data).ok());
    let policy = text.and_then(|text| {
        let (_, rest) = text.split_once("http-equiv=\"Content-Security-Policy\"")?;
        let (_, rest) = rest.split_once("content=\"")?;
        rest.split_once('"').map(|(policy, _)| policy.to_owned())
    });
    policy.unwrap_or_else(|| "default-src 'none'".to_owned())
}

/// True if gzip is accepted: named, with a weight other than zero (RFC 9110 section 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let codings = values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    let mut weights = codings.filter_map(|coding| {
        let (name, parameter) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = parameter.trim().trim_start_matches(['q', 'Q', '=']).parse::<f32>();
        name.trim().eq_ignore_ascii_case("gzip").then(|| weight.unwrap_or(0.0))
    });
    weights.any(|weight| weight > 0.0)
}

/// The file compressed with gzip, which is done once.
async fn zipped(hash: Hash, data: &Bytes) -> Option<Bytes> {
    static ZIPPED: Mutex<BTreeMap<Hash, Bytes>> = Mutex::const_new(BTreeMap::new());
    let mut zipped = ZIPPED.lock().await;
    if let Some(bytes) = zipped.get(&hash) {
        return Some(bytes.clone());
    }
    let data = data.clone();
    let zip = move || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&data)?;
        encoder.finish()
    };
    let bytes: Bytes = tokio::task::spawn_blocking(zip).await.ok()?.ok()?.into();
    zipped.insert(hash, bytes.clone());
    Some(bytes)
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

/// SHA-256 of a file's content.
type Hash = [u8; 32];

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::body::to_bytes;
    use flate2::read::GzDecoder;

    use super::*;

    // All clients get the same file, compressed if they accept gzip, and 304 if they have it.
    #[tokio::test]
    async fn a_file_is_sent_as_gzip_to_clients_that_accept_it() {
        let data = Bytes::from("off ".repeat(1000));
        for (encodings, expected) in [
            ("", None),
            ("br", None),
            ("gzip;q=0, br", None),
            ("identity;q=0.5, gzip; q=0.3", Some("gzip")),
            ("br, GZIP", Some("gzip")),
        ] {
            let headers = HeaderMap::from_iter([(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static(encodings),
            )]);
            let response = answer("a.js", [7; 32], data.clone(), &headers).await;
            assert_eq!(response.headers()[header::VARY], "accept-encoding");
            let encoding = response.headers().get(header::CONTENT_ENCODING).cloned();
            assert_eq!(encoding.as_ref().map(|it| it.to_str().unwrap()), expected, "{encodings}");
            let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            let mut plain = Vec::new();
            match expected {
                None => plain = body.to_vec(),
                Some(_) => {
                    assert!(body.len() < 200);
                    GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
                }
            }
            assert_eq!(plain, data, "{encodings}");
        }
        let tag = HeaderValue::from_str(&format!("\"{}\"", "07".repeat(32))).unwrap();
        let known = HeaderMap::from_iter([(header::IF_NONE_MATCH, tag.clone())]);
        let response = answer("a.js", [7; 32], data, &known).await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()[header::ETAG], tag);
    }
}
