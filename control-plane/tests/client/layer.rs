//! What the tower layer and the extractors answer, over real connections.

use axum::routing::{get, post};
use axum::{Json, Router};
use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use offswitch_client::tower::{GuardLayer, Verified};
use offswitch_client::{
    Anonymous, Claims, Evidence, FeedOptions, Issuer, Keys, Options, Policy, Undecided, Verifier,
    WhenUndecided,
};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::follower::now;
use crate::support::oauth::text;
use crate::support::process::ControlPlane;
use crate::{feed_of, verifier_for};

/// A service on a port of its own.
struct Service {
    client: Client,
    url: String,
}

impl Service {
    async fn start(app: Router) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
        Self { client: Client::builder().no_proxy().build().unwrap(), url }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }
}

async fn me(claims: Claims) -> Json<Value> {
    Json(json!({ "sub": claims.subject() }))
}

async fn maybe(claims: Option<Claims>, undecided: Option<axum::Extension<Undecided>>) -> String {
    let why = undecided.map_or("none", |one| one.code());
    format!("{} {why}", claims.as_ref().and_then(Claims::subject).unwrap_or("nobody"))
}

async fn verified(Verified(claims): Verified) -> String {
    claims.subject().unwrap_or_default().to_owned()
}

fn app(verifier: &Verifier) -> Router {
    let guarded = |policy: Policy| GuardLayer::new(verifier.clone()).policy(policy);
    let evidence =
        async |evidence: axum::Extension<Evidence>| evidence.position.unwrap().to_string();
    Router::new()
        .route("/me", get(me).layer(guarded(Policy::new())))
        .route("/evidence", get(evidence).layer(guarded(Policy::new())))
        .route("/read", get(me).layer(guarded(Policy::new().scope("read").scope("list"))))
        .route("/app", get(me).layer(guarded(Policy::new().claim("client_id", ["app", "other"]))))
        .route("/open", get(maybe).layer(guarded(Policy::new().anonymous(Anonymous::Allow))))
        .route(
            "/less",
            get(maybe).layer(guarded(Policy::new().when_undecided(WhenUndecided::Pass))),
        )
        .route("/bare", get(me))
        .route("/verified", get(verified))
        .with_state(verifier.clone())
}

/// The code of a problem document, and its challenge.
async fn problem(request: RequestBuilder) -> (u16, String, String) {
    let response = request.send().await.unwrap();
    let header = |response: &Response, name| {
        let value = response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        value.unwrap_or_default()
    };
    let challenge = header(&response, "www-authenticate");
    assert_eq!(header(&response, "content-type"), "application/problem+json");
    assert_eq!(header(&response, "cache-control"), "no-store");
    let status = response.status().as_u16();
    assert_eq!(status == 503, header(&response, "retry-after") == "1");
    let body: Value = response.json().await.unwrap();
    let code = text(&body, "code").to_owned();
    assert_eq!(body["status"], status);
    assert_eq!(body["type"], format!("urn:offswitch:problem:{code}"));
    (status, code, challenge)
}

// G08: the answers of the npm package's middlewares, for the same requests.
#[tokio::test]
async fn the_layer_answers_as_the_middlewares_of_the_npm_package() {
    let plane = ControlPlane::start().await;
    let verifier = verifier_for(&plane).await;
    let service = Service::start(app(&verifier)).await;
    let body = json!({ "sub": "alice", "scope": "read list", "client_id": "app" });
    let session = plane.posted("/v1/sessions", &body).await;
    let token = text(&session, "access_token").to_owned();
    let other = plane.login("bob").await;
    let other = text(&other, "access_token");
    for path in ["/me", "/read", "/app", "/verified", "/open", "/less"] {
        let answer = service.get(path).bearer_auth(&token).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert!(answer.text().await.unwrap().contains("alice"), "{path}");
    }
    let answer = service.get("/evidence").bearer_auth(&token).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), verifier.evidence().position.unwrap().to_string());
    let missing = (401, "missing_token".to_owned(), "Bearer".to_owned());
    for path in ["/me", "/read", "/bare", "/less", "/verified"] {
        assert_eq!(problem(service.get(path)).await, missing, "{path}");
        let basic = service.get(path).basic_auth("alice", Some("secret"));
        assert_eq!(problem(basic).await, missing, "{path}");
    }
    assert_eq!(service.get("/open").send().await.unwrap().text().await.unwrap(), "nobody none");
    // A bad token does not go through where none would.
    let bad = service.get("/open").bearer_auth("x.y.z");
    assert_eq!(problem(bad).await.1, "malformed");
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"read list\"".to_owned();
    let refused = problem(service.get("/read").bearer_auth(other)).await;
    assert_eq!(refused, (403, "insufficient_scope".to_owned(), challenge));
    let refused = problem(service.get("/app").bearer_auth(other)).await;
    assert_eq!(refused, (403, "insufficient_claims".to_owned(), String::new()));
    plane.posted("/v1/revocations", &json!({ "sub": "alice" })).await;
    crate::until("it is revoked", || !crate::check(&verifier, &token).is_valid()).await;
    for path in ["/me", "/read", "/app", "/verified", "/open", "/less"] {
        let refused = problem(service.get(path).bearer_auth(&token)).await;
        let challenge = "Bearer error=\"invalid_token\", error_description=\"revoked_user\"";
        assert_eq!(refused, (401, "revoked_user".to_owned(), challenge.to_owned()), "{path}");
    }
}

// G08: the header is read strictly.
#[tokio::test]
async fn odd_authorization_headers_are_refused() {
    let plane = ControlPlane::start().await;
    let verifier = verifier_for(&plane).await;
    let service = Service::start(app(&verifier)).await;
    let session = plane.login("alice").await;
    let token = text(&session, "access_token");
    for (value, code) in [
        (format!("Bearer  {token}"), "malformed"),
        (format!("Bearer {token},{token}"), "malformed"),
        (format!("Bearer {token} "), "valid"), // the server trims what follows a field's value
        (format!("bEARER {token}"), "valid"),
        (format!("Bearer\t{token}"), "missing_token"),
        ("Bearer".to_owned(), "missing_token"),
        (token.to_owned(), "missing_token"),
        (format!("DPoP {token}"), "unbound_token"),
    ] {
        let asked = service.get("/me").header("authorization", &value);
        let found = match code {
            "valid" => {
                assert_eq!(asked.send().await.unwrap().status(), 200, "{value}");
                "valid".to_owned()
            }
            _ => problem(asked).await.1,
        };
        assert_eq!(found, code, "{}", &value[..8.min(value.len())]);
    }
    let bearer = format!("Bearer {token}");
    let twice =
        service.get("/me").header("authorization", &bearer).header("authorization", &bearer);
    assert_eq!(problem(twice).await.1, "malformed");
    let large = service.get("/me").bearer_auth("A".repeat(17_000));
    assert_eq!(problem(large).await.1, "malformed");
}

// E01: without a feed nothing is decided, and nothing passes but where the route says so.
#[tokio::test]
async fn without_a_feed_the_answer_is_503_unless_the_route_serves_less() {
    let plane = ControlPlane::start().await;
    let session = plane.login("alice").await;
    let token = text(&session, "access_token");
    let keys = plane.got("/v1/keys").await;
    // Nothing listens there.
    let feed =
        FeedOptions::new("http://127.0.0.1:9/v1/feed", text_of(&keys["feed_public_keys"][0]));
    let verifier = Verifier::start(crate::options_for(&plane, feed)).await.unwrap();
    assert!(!verifier.is_ready());
    let service = Service::start(app(&verifier)).await;
    let refused = problem(service.get("/me").bearer_auth(token)).await;
    assert_eq!(refused, (503, "no_snapshot".to_owned(), String::new()));
    let less = service.get("/less").bearer_auth(token).send().await.unwrap();
    assert_eq!(less.text().await.unwrap(), "nobody no_snapshot");
    // What is refused for good is refused there too.
    let refused = problem(service.get("/less").bearer_auth("x.y.z")).await;
    assert_eq!((refused.0, refused.1.as_str()), (401, "malformed"));
}

// I14: a token that is bound to a key needs a proof of it, for this request, and a proof is good once.
#[tokio::test]
async fn a_bound_token_needs_a_proof_for_this_request() {
    let plane = ControlPlane::start().await;
    let signing = SigningKey::from_bytes(&[7; 32]);
    let client = SigningKey::from_bytes(&[9; 32]);
    let issuer = Issuer::new("https://idp.example", "api")
        .keys(Keys::jwks(&json!({ "keys": [jwk(&signing)] }).to_string()));
    let options = Options::new(feed_of(&plane).await.id(&plane.issuer()))
        .issuer(issuer.clone())
        .public_url("https://api.example/v2/");
    let verifier = Verifier::start(options).await.unwrap();
    assert!(verifier.is_ready());
    let layer = GuardLayer::new(verifier.clone());
    let nested = Router::new().route("/pay", post(me)).layer(layer);
    let service = Service::start(Router::new().nest("/shop", nested)).await;
    let claims = json!({ "iss": "https://idp.example", "aud": "api", "sub": "alice", "jti": "1",
        "iat": now(), "exp": now() + 300, "cnf": { "jkt": thumbprint(&client) } });
    let token = signed(&signing, &json!({ "alg": "EdDSA", "kid": "k", "typ": "at+jwt" }), &claims);
    let pay = |scheme: &str| {
        let request = service.client.post(format!("{}/shop/pay?x=1", service.url));
        request.header("authorization", format!("{scheme} {token}"))
    };
    let proof = |id: &str, url: &str, key: &SigningKey| {
        let header = json!({ "alg": "EdDSA", "typ": "dpop+jwt", "jwk": jwk(key) });
        let ath = Base64UrlUnpadded::encode_string(&Sha256::digest(token.as_bytes()));
        let claims = json!({ "jti": id, "htm": "POST", "htu": url, "iat": now(), "ath": ath });
        signed(key, &header, &claims)
    };
    let url = "https://api.example/v2/shop/pay";
    assert_eq!(problem(pay("Bearer")).await.1, "sender_constrained");
    let (status, code, challenge) = problem(pay("DPoP")).await;
    assert_eq!((status, code.as_str()), (401, "invalid_dpop_proof"));
    assert!(challenge.starts_with("DPoP error=\"invalid_dpop_proof\""), "{challenge}");
    let good = proof("a", url, &client);
    let answer = pay("DPoP").header("dpop", &good).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    for (what, request) in [
        ("a proof that was used", pay("DPoP").header("dpop", &good)),
        ("another URL", pay("DPoP").header("dpop", proof("b", "https://api.example/pay", &client))),
        ("another key", pay("DPoP").header("dpop", proof("c", url, &signing))),
        (
            "two proofs",
            pay("DPoP")
                .header("dpop", proof("d", url, &client))
                .header("dpop", proof("e", url, &client)),
        ),
    ] {
        assert_eq!(problem(request).await.1, "invalid_dpop_proof", "{what}");
    }
    assert_eq!(
        problem(pay("Bearer").header("dpop", proof("f", url, &client))).await.1,
        "sender_constrained"
    );

    // Without `public_url` no proof is good: the name of the host is what the client says.
    let options = Options::new(feed_of(&plane).await.id(&plane.issuer())).issuer(issuer);
    let layer = GuardLayer::new(Verifier::start(options).await.unwrap());
    let nameless = Service::start(Router::new().route("/pay", post(me)).layer(layer)).await;
    let url = format!("{}/pay", nameless.url);
    let request = nameless.client.post(&url).header("authorization", format!("DPoP {token}"));
    let request = request.header("dpop", proof("g", &url, &client));
    assert_eq!(problem(request).await.1, "invalid_dpop_proof");
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn jwk(key: &SigningKey) -> Value {
    let x = Base64UrlUnpadded::encode_string(key.verifying_key().as_bytes());
    json!({ "crv": "Ed25519", "kid": "k", "kty": "OKP", "x": x })
}

/// RFC 7638.
fn thumbprint(key: &SigningKey) -> String {
    let x = Base64UrlUnpadded::encode_string(key.verifying_key().as_bytes());
    let text = format!("{{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"{x}\"}}");
    Base64UrlUnpadded::encode_string(&Sha256::digest(text.as_bytes()))
}

fn signed(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
    let text = format!("{}.{}", part(header), part(claims));
    let signature = key.sign(text.as_bytes()).to_bytes();
    format!("{text}.{}", Base64UrlUnpadded::encode_string(&signature))
}
