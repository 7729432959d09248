//! An axum service that judges each bearer token from memory, with the feed of revocations.

use anyhow::{Context, Result};
use axum::{Json, Router, routing::get};
use offswitch_client::tower::GuardLayer;
use offswitch_client::{Claims, FeedOptions, Issuer, Keys, Options, Verifier};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<()> {
    let verifier = Verifier::start(options()?).await?;
    let app = Router::new().route("/api/me", get(me)).layer(GuardLayer::new(verifier));
    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let address = format!("127.0.0.1:{port}");
    let listener = TcpListener::bind(&address).await.context(address)?;
    Ok(axum::serve(listener, app).await?)
}

/// The claims are those of a token that is valid now: the layer has let the request through.
async fn me(claims: Claims) -> Json<Value> {
    Json(json!({ "sub": claims.subject() }))
}

fn options() -> Result<Options> {
    let issuer = setting("OFFSWITCH_ISSUER")?;
    let public_keys = setting("OFFSWITCH_FEED_PUBLIC_KEYS")?;
    let mut public_keys = public_keys.split(',');
    let first = public_keys.next().unwrap_or_default();
    let feed = FeedOptions::new(&format!("{issuer}/v1/feed"), first)
        .api_key(&setting("OFFSWITCH_FEED_API_KEY")?);
    let feed = public_keys.fold(feed, FeedOptions::public_key);
    let keys = Keys::url(&format!("{issuer}/.well-known/jwks.json"));
    Ok(Options::new(feed).issuer(Issuer::new(&issuer, "api").keys(keys)))
}

fn setting(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set; README.md says what it is"))
}
