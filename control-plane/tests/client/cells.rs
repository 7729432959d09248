//! Two control planes, each with its own log and feed, and one verifier over both.

use axum::Router;
use axum::routing::get;
use offswitch_client::tower::GuardLayer;
use offswitch_client::{
    Claims, Combined, Decision, Issuer, Keys, Options, Presentation, Staleness, Verdict, Verifier,
};
use serde_json::json;

use crate::support::oauth::text;
use crate::support::process::ControlPlane;
use crate::{feed_of, options_for, until};

/// Follows a cell whose feed is too old after three seconds.
async fn follow(plane: &ControlPlane) -> Verifier {
    let feed = feed_of(plane).await.max_staleness_seconds(3);
    Verifier::start(options_for(plane, feed)).await.unwrap()
}

fn check(verifier: &Combined, token: &str) -> Verdict {
    verifier.check(token, Presentation::Bearer, Staleness::Configured)
}

async fn log_in(plane: &ControlPlane, user: &str) -> String {
    text(&plane.login(user).await, "access_token").to_owned()
}

// P07: what happens in one cell is seen in that cell, and in no other.
#[tokio::test]
async fn one_cell_that_is_away_makes_only_its_own_tokens_undecided() {
    let mut eu = ControlPlane::start().await;
    let us = ControlPlane::start().await;
    let both = Combined::new([follow(&eu).await, follow(&us).await]).unwrap();
    assert!(both.is_ready() && both.status().len() == 2);
    let (of_eu, of_us) = (log_in(&eu, "alice").await, log_in(&us, "alice").await);
    let (held, other) = (log_in(&eu, "bob").await, log_in(&us, "bob").await);
    for token in [&of_eu, &of_us, &held, &other] {
        assert_eq!(check(&both, token).code(), "valid");
    }
    let mut watch = both.watch(&other);
    eu.posted("/v1/revocations", &json!({ "sub": "alice" })).await;
    until("the cell refuses", || check(&both, &of_eu).code() == "revoked_user").await;
    assert_eq!(check(&both, &of_us).code(), "valid", "the user of the same name elsewhere");

    eu.kill();
    until("the cell is too old", || check(&both, &held).code() == "stale_snapshot").await;
    let verdict = both.verify(&held, Presentation::Bearer, Staleness::Configured).await;
    assert_eq!(verdict.decision.outcome(), "undecided");
    assert_eq!(check(&both, &of_eu).code(), "revoked_user", "what was revoked stays revoked");
    assert_eq!(check(&both, &of_us).code(), "valid");
    us.posted("/v1/revocations", &json!({ "sub": "bob" })).await;
    until("the other cell refuses", || check(&both, &other).code() == "revoked_user").await;
    assert_eq!(watch.refused().await.code(), "revoked_user");
    assert_eq!(check(&both, &of_us).code(), "valid");
}

// P07, G08: the layer over two cells.
#[tokio::test]
async fn a_layer_guards_with_several_verifiers() {
    let mut eu = ControlPlane::start().await;
    let us = ControlPlane::start().await;
    let (of_eu, of_us) = (log_in(&eu, "alice").await, log_in(&us, "bob").await);
    let both = Combined::new([follow(&eu).await, follow(&us).await]).unwrap();
    let me = async |claims: Claims| claims.subject().unwrap_or_default().to_owned();
    let app = Router::new().route("/me", get(me)).layer(GuardLayer::new(both.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/me", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |token: &str| {
        client.get(&url).bearer_auth(token).send().await.unwrap().status().as_u16()
    };
    assert_eq!((ask(&of_eu).await, ask(&of_us).await), (200, 200));
    eu.kill();
    until("the cell is too old", || check(&both, &of_eu).code() == "stale_snapshot").await;
    assert_eq!((ask(&of_eu).await, ask(&of_us).await), (503, 200));
    assert_eq!(ask("x.y.z").await, 401);
}

// P07, V01: a name in a token is not verified, and no key of one cell is good for an issuer of another.
#[tokio::test]
async fn no_key_of_one_cell_is_good_for_another() {
    let (eu, us) = (ControlPlane::start().await, ControlPlane::start().await);
    let mixed = |issuer: &ControlPlane, keys: &ControlPlane| {
        let keys = format!("http://127.0.0.1:{}/.well-known/jwks.json", keys.port());
        Issuer::new(&issuer.issuer(), "api").keys(Keys::url(&keys))
    };
    // Each has the keys of the other: its tokens' signatures fit, and their issuer does not.
    let one = Options::new(feed_of(&eu).await.id(&eu.issuer())).issuer(mixed(&us, &eu));
    let other = Options::new(feed_of(&us).await.id(&us.issuer())).issuer(mixed(&eu, &us));
    let both = [Verifier::start(one).await.unwrap(), Verifier::start(other).await.unwrap()];
    let both = Combined::new(both).unwrap();
    for plane in [&eu, &us] {
        let token = log_in(plane, "alice").await;
        let verdict = check(&both, &token);
        assert!(matches!(verdict.decision, Decision::Refused(_)), "{verdict:?}");
    }
}

// X16: an issuer has one feed.
#[tokio::test]
async fn verifiers_with_the_same_issuer_cannot_be_combined() {
    let plane = ControlPlane::start().await;
    let verifier = follow(&plane).await;
    let error = Combined::new([verifier.clone(), verifier.clone()]).unwrap_err();
    assert_eq!(error.code(), "invalid_options");
    assert!(error.to_string().starts_with("verifiers[1]: has the issuer"), "{error}");
    assert!(Combined::new([]).is_err());
    let alone = Combined::new([verifier]).unwrap();
    let token = log_in(&plane, "alice").await;
    assert_eq!(check(&alone, &token).code(), "valid");
    assert!(alone.explain(&token).iter().all(|step| !matches!(step.finding, Some(Err(_)))));
}
