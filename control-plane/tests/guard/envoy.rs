//! Envoy's ext_authz, over gRPC and over HTTP.

use std::collections::HashMap;

use envoy_types::ext_authz::v3::pb::{
    CheckRequest, CheckResponse, HeaderAppendAction, HeaderValue, HttpResponse,
};
use envoy_types::pb::envoy::config::core::v3::HeaderMap;
use envoy_types::pb::envoy::service::auth::v3::AttributeContext;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use tonic::transport::Channel;

use crate::support::guard::{Guard, code, issuer_of, revoke, session};
use crate::support::process::ControlPlane;

const ROUTES: &str = r#"
[[routes]]
paths = ["/open"]
access = "anonymous"

[[routes]]
paths = ["/api/**"]
methods = ["GET"]

[[headers]]
name = "X-User"
claim = "sub"

[[headers]]
name = "X-Org"
claim = "org"
"#;

fn about(method: &str, path: &str, fields: &[(&str, &str)]) -> HttpRequest {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    HttpRequest {
        id: "7".to_owned(),
        method: method.to_owned(),
        headers: fields.iter().map(owned).collect(),
        path: path.to_owned(),
        host: "shop.example".to_owned(),
        scheme: "https".to_owned(),
        protocol: "HTTP/1.1".to_owned(),
        ..HttpRequest::default()
    }
}

async fn asked(
    client: &mut AuthorizationClient<Channel>,
    http: Option<HttpRequest>,
) -> CheckResponse {
    let request = Request { http, ..Request::default() };
    let attributes = AttributeContext { request: Some(request), ..AttributeContext::default() };
    let request = CheckRequest { attributes: Some(attributes) };
    client.check(request).await.unwrap().into_inner()
}

/// The status for the client, and what is set and removed of headers.
fn outcome(response: CheckResponse) -> (u32, HashMap<String, String>, Vec<String>) {
    let is_ok = response.status.as_ref().is_some_and(|status| status.code == 0);
    let (status, headers, removed) = match response.http_response.unwrap() {
        HttpResponse::OkResponse(ok) => (200, ok.headers, ok.headers_to_remove),
        HttpResponse::DeniedResponse(denied) => {
            let status = denied.status.unwrap().code;
            (u32::try_from(status).unwrap(), denied.headers, Vec::new())
        }
        other => panic!("{other:?}"),
    };
    // Envoy lets a request through by the code alone.
    assert_eq!(is_ok, status == 200);
    let headers = headers.into_iter().map(|one| {
        assert_eq!(one.append_action, i32::from(HeaderAppendAction::OverwriteIfExistsOrAdd));
        let header = one.header.unwrap();
        (header.key, header.value)
    });
    (status, headers.collect(), removed)
}

// G01, G02: the same verdicts over gRPC; headers without a claim are removed.
#[tokio::test]
async fn envoy_is_answered_over_grpc() {
    let plane = ControlPlane::start().await;
    let tables = issuer_of(&plane) + ROUTES;
    let guard = Guard::start(&plane, "gateway = \"envoy\"", &tables).await;
    let (session_id, token) = session(&plane, "ann", "read").await;
    let bearer = format!("Bearer {token}");
    let address = format!("http://127.0.0.1:{}", guard.port());
    let mut client = AuthorizationClient::connect(address).await.unwrap();
    let shown = [("authorization", bearer.as_str()), ("x-user", "root"), ("x-org", "root")];
    for (http, status, expected) in [
        (about("GET", "/api/a?b", &shown), 200, "valid"),
        (about("GET", "/open", &[("x-org", "root")]), 200, "anonymous"),
        (about("GET", "/api/a", &[]), 401, "missing_token"),
        (about("GET", "/api/a", &[("authorization", "Bearer a.b.c")]), 401, "malformed"),
        (about("POST", "/api/a", &shown), 403, "no_route"),
        (about("GET", "/open/../api/a", &shown), 403, "unclear_request"),
        (
            about("GET", "/api/a", &[("authorization", &bearer), ("x_user", "root")]),
            403,
            "spoofed_header",
        ),
        // Several headers of one name, as Envoy joins them.
        (
            about("GET", "/api/a", &[("authorization", &format!("{bearer},{bearer}"))]),
            401,
            "malformed",
        ),
        (about("GET", "/api/a", &[("authorization", "Bearer \u{e9}")]), 401, "malformed"),
    ] {
        let (found, headers, removed) = outcome(asked(&mut client, Some(http)).await);
        assert_eq!(found, status, "{expected}");
        match expected {
            "valid" => {
                assert_eq!(headers, HashMap::from([("x-user".to_owned(), "ann".to_owned())]));
                assert_eq!(removed, ["x-org"]);
            }
            "anonymous" => assert_eq!(
                (headers.len(), &*removed),
                (0, &["x-user".to_owned(), "x-org".to_owned()][..])
            ),
            _ => assert_eq!(headers["offswitch-verdict"], expected),
        }
        assert_eq!(headers.contains_key("www-authenticate"), status == 401);
    }
    let (status, headers, _) = outcome(asked(&mut client, None).await);
    assert_eq!((status, headers["offswitch-verdict"].as_str()), (503, "misconfigured"));
    assert!(headers.contains_key("retry-after"));

    revoke(&plane, &session_id).await;
    let begin = std::time::Instant::now();
    loop {
        let (status, headers, _) =
            outcome(asked(&mut client, Some(about("GET", "/api/a", &shown))).await);
        if status == 401 {
            assert_eq!(headers["offswitch-verdict"], "revoked_session");
            break;
        }
        assert!(begin.elapsed().as_secs() < 5);
    }
}

// With `encode_raw_headers` Envoy sends each header separately, as bytes.
#[tokio::test]
async fn raw_headers_are_read_as_the_others() {
    let plane = ControlPlane::start().await;
    let tables = issuer_of(&plane) + ROUTES;
    let guard = Guard::start(&plane, "gateway = \"envoy\"", &tables).await;
    let bearer = format!("Bearer {}", session(&plane, "ann", "read").await.1);
    let address = format!("http://127.0.0.1:{}", guard.port());
    let mut client = AuthorizationClient::connect(address).await.unwrap();
    let raw = |values: &[&[u8]]| {
        let header = |value: &&[u8]| HeaderValue {
            key: "authorization".to_owned(),
            raw_value: value.to_vec(),
            ..HeaderValue::default()
        };
        let headers = values.iter().map(header).collect();
        HttpRequest { header_map: Some(HeaderMap { headers }), ..about("GET", "/api/a", &[]) }
    };
    for (values, status) in [
        (&[bearer.as_bytes()][..], 200),
        (&[bearer.as_bytes(), bearer.as_bytes()], 401),
        (&[b"Bearer \xff".as_slice()], 401),
        (&[], 401),
    ] {
        assert_eq!(outcome(asked(&mut client, Some(raw(values))).await).0, status, "{values:?}");
    }
}

#[tokio::test]
async fn envoy_is_answered_over_http_below_the_prefix() {
    let plane = ControlPlane::start().await;
    let tables = issuer_of(&plane) + ROUTES;
    let guard = Guard::start(&plane, "gateway = \"envoy\"", &tables).await;
    let token = session(&plane, "ann", "read").await.1;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", guard.port());
    let answer = client
        .get(url("/auth/api/a?b"))
        .bearer_auth(&token)
        .header("x-org", "root")
        .send()
        .await
        .unwrap();
    assert_eq!(code(&answer), (200, "valid".to_owned()));
    assert_eq!(answer.headers()["x-user"], "ann");
    assert_eq!(answer.headers()["x-envoy-auth-headers-to-remove"], "x-org");
    for (path, expected) in [
        ("/auth/open", "anonymous"),
        ("/auth/api/a", "missing_token"),
        ("/auth", "unclear_request"),
        ("/open", "unclear_request"),
        ("/authopen", "unclear_request"),
        ("/auth/auth/open", "no_route"),
        ("/auth//open", "unclear_request"),
    ] {
        assert_eq!(code(&client.get(url(path)).send().await.unwrap()).1, expected, "{path}");
    }
}
