//! What clients send to get through as someone else, or as nothing in particular.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::guard::{Guard, code, issuer_of, session};
use crate::support::process::ControlPlane;

const ROUTES: &str = r#"
[[routes]]
paths = ["/admin/**"]
scopes = ["admin"]

[[routes]]
paths = ["/open/**"]
access = "anonymous"

[[routes]]
paths = ["/**"]

[[headers]]
name = "X-User-Id"
claim = "sub"

[[headers]]
name = "X-Org"
claim = "org"
"#;

// G02: no spelling of a header with claims gets through; one that the guard sets is replaced.
#[tokio::test]
async fn headers_with_claims_come_from_the_guard_alone() {
    let plane = ControlPlane::start().await;
    let tables = issuer_of(&plane) + ROUTES;
    let guard = Guard::start(&plane, "gateway = \"nginx\"", &tables).await;
    let token = session(&plane, "ann", "read").await.1;
    for (uri, name, status, expected) in [
        ("/a", "x-user-id", 200, "valid"),
        ("/a", "X-USER-ID", 200, "valid"),
        ("/a", "x_user_id", 403, "spoofed_header"),
        ("/a", "x-user_id", 403, "spoofed_header"),
        ("/a", "x.user.id", 403, "spoofed_header"),
        // The token has no such claim.
        ("/a", "x-org", 403, "spoofed_header"),
        ("/a", "x_org", 403, "spoofed_header"),
        ("/open/a", "x-user-id", 403, "spoofed_header"),
        ("/open/a", "x-other", 200, "anonymous"),
    ] {
        let about = guard.about("GET", uri).bearer_auth(&token).header(name, "root");
        let answer = about.header(name, "admin").send().await.unwrap();
        assert_eq!(code(&answer), (status, expected.to_owned()), "{uri} {name}");
        let user = answer.headers().get_all("x-user-id").iter().collect::<Vec<_>>();
        assert!(user.iter().all(|user| *user == "ann"), "{user:?}");
    }
}

// G02: what an upstream could read as another path or method is refused, with and without a token.
#[tokio::test]
async fn what_servers_read_differently_is_refused() {
    let plane = ControlPlane::start().await;
    let tables = issuer_of(&plane) + ROUTES;
    let guard = Guard::start(&plane, "gateway = \"nginx\"", &tables).await;
    let token = session(&plane, "ann", "read").await.1;
    for uri in [
        "/open/../admin",
        "/open/%2e%2e/admin",
        "/open/..%2fadmin",
        "/open/..;/admin",
        "/open//admin",
        "//admin",
        "/open/%252e%252e/admin",
        "/open/..\\admin",
        "/open/a%00",
        "*",
        "shop.example:443",
        "http://shop.example/open/a",
        "",
    ] {
        let answer = guard.asked("GET", uri, &token).await;
        assert_eq!(answer, (403, "unclear_request".to_owned()), "{uri}");
    }
    for method in ["get", "Post", "G T", ""] {
        let answer = guard.asked(method, "/open/a", &token).await;
        assert_eq!(answer, (403, "unclear_request".to_owned()), "{method}");
    }
    assert_eq!(guard.asked("CONNECT", "shop.example:443", &token).await.0, 403);
    assert_eq!(guard.asked("GET", "/%61dmin/x", &token).await.1, "insufficient_scope");
    assert_eq!(guard.asked("OPTIONS", "/open/a?x=/../", "").await.1, "anonymous");
}

#[tokio::test]
async fn several_authorization_headers_long_tokens_and_other_schemes_are_no_token() {
    let plane = ControlPlane::start().await;
    let tables = issuer_of(&plane) + ROUTES;
    let guard = Guard::start(&plane, "gateway = \"nginx\"", &tables).await;
    let token = session(&plane, "ann", "read").await.1;
    let twice = guard.about("GET", "/a").bearer_auth(&token).bearer_auth(&token);
    assert_eq!(code(&twice.send().await.unwrap()), (401, "malformed".to_owned()));
    // As long as a token may be, next to the headers of a client.
    let long = "a".repeat(16 * 1024);
    assert_eq!(guard.asked("GET", "/a", &long).await, (401, "malformed".to_owned()));
    let padded = guard.about("GET", "/a").bearer_auth(&token).header("x-pad", "b".repeat(14_000));
    assert_eq!(code(&padded.send().await.unwrap()), (200, "valid".to_owned()));
    for value in
        [format!("bearer  {token}"), format!("bearer {token},"), format!("bearer {token} {token}")]
    {
        let about = guard.about("GET", "/a").header("authorization", value);
        assert_eq!(about.send().await.unwrap().status(), 401);
    }
    let about = guard.about("GET", "/a").header("authorization", format!("bEARER {token}"));
    assert_eq!(about.send().await.unwrap().status(), 200);
    let about = guard.about("GET", "/a").header("authorization", "Basic YTpi");
    assert_eq!(code(&about.send().await.unwrap()), (401, "missing_token".to_owned()));
    // Its own control plane's tokens are bearer tokens.
    let about = guard.about("GET", "/a").header("authorization", format!("DPoP {token}"));
    assert_eq!(code(&about.send().await.unwrap()), (401, "unbound_token".to_owned()));
}

// A gateway may forward method and body of a request: the answer is the same, and the connection goes on.
#[tokio::test]
async fn bodies_methods_and_http_versions_make_no_difference() {
    let plane = ControlPlane::start().await;
    let tables = issuer_of(&plane) + ROUTES;
    let guard = Guard::start(&plane, "gateway = \"nginx\"", &tables).await;
    let token = session(&plane, "ann", "read").await.1;
    let fields = format!(
        "host: a\r\nx-original-method: POST\r\nx-original-uri: /a\r\nauthorization: Bearer {token}\r\n"
    );
    let mut connection = TcpStream::connect(("127.0.0.1", guard.port())).await.unwrap();
    for request in [
        format!(
            "POST /auth HTTP/1.1\r\n{fields}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        ),
        format!("PUT /auth HTTP/1.1\r\n{fields}content-length: 3\r\n\r\nabc"),
        format!("OPTIONS /auth HTTP/1.1\r\n{fields}\r\n"),
        format!("GET /auth HTTP/1.1\r\n{fields}\r\n"),
    ] {
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 4096];
        let length = connection.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{request}\n{answer}");
        assert!(answer.contains("x-user-id: ann\r\n"), "{answer}");
    }
    let http2 = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let mut request = guard.about("GET", "/a").bearer_auth(&token).build().unwrap();
    *request.version_mut() = reqwest::Version::HTTP_2;
    let answer = http2.execute(request).await.unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (reqwest::Version::HTTP_2, 200));
    // Clients of the gateway cannot be taken for it by the headers of another gateway.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let about = client.get(format!("http://127.0.0.1:{}/auth", guard.port()));
    let about = about.header("x-forwarded-method", "GET").header("x-forwarded-uri", "/open/a");
    assert_eq!(code(&about.send().await.unwrap()), (503, "misconfigured".to_owned()));
    let elsewhere = client.get(format!("http://127.0.0.1:{}/open/a", guard.port()));
    assert_eq!(elsewhere.send().await.unwrap().status(), 404);
}
