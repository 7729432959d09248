//! Refreshes per second on durable Redis: ours, the two bare Redis calls that they need, and
//! oidc-provider's.
//!
//! They run one after the other, each with its own Redis and 64 chains: every chain waits for its
//! response before it continues, since a refresh token can be used once.

mod bare;
pub(crate) mod load;
pub(crate) mod server;

use anyhow::{Context, Result};
use reqwest::Client;
use serde_json::{Value, json};

use self::load::Target;
use self::server::{ControlPlane, OidcProvider, Redis};
use crate::bench::figure::{Figure, Unit, median, ratios};
use crate::bench::scale::scale;

/// Measures all three and reports how they compare.
pub(crate) async fn measure() -> Result<Vec<Figure>> {
    let (mut bare, mut theirs, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    // Interleaved, so that other load on the machine slows down all three.
    for _ in 0..scale().rounds {
        bare.push(bare_pairs().await.context("the bare Redis calls")?);
        theirs.push(oidc_provider().await.context("oidc-provider")?);
        ours.push(control_plane().await.context("the control plane")?);
    }
    let figure = |peer: &str, theirs: &[f64]| {
        let more = format!("{:.0}/s, {:.0}/s", median(&ours), median(theirs));
        let what = format!("refreshes, compared with {peer}");
        Figure::new(&what, Unit::Times, ratios(&ours, theirs)).more(more)
    };
    let bare = figure("bare GET and compare-and-swap in Redis", &bare);
    Ok(vec![
        figure("oidc-provider", &theirs).at_least(3.0),
        Figure { unit: Unit::Share, ..bare }.at_least(0.4),
    ])
}

async fn bare_pairs() -> Result<f64> {
    let redis = Redis::start().await?;
    bare::pairs_per_second(&redis.url).await
}

/// `offswitch serve`, with one session per chain.
async fn control_plane() -> Result<f64> {
    let redis = Redis::start().await?;
    let plane = ControlPlane::start(&redis).await?;
    let client = Client::builder().no_proxy().build()?;
    let origin = plane.origin();
    let mut tokens = Vec::with_capacity(CHAINS);
    for chain in 0..CHAINS {
        let request = client.post(format!("{origin}/v1/sessions")).bearer_auth(&plane.admin_key);
        let response = request.json(&json!({ "sub": format!("user-{chain}") })).send().await?;
        let session: Value = response.error_for_status()?.json().await?;
        let token = session["refresh_token"].as_str();
        tokens.push(token.context("a session without a refresh token")?.to_owned());
    }
    load::refreshes_per_second(Target::new(plane.port, "/oauth/token", ""), tokens).await
}

/// oidc-provider, with the same settings of Redis.
async fn oidc_provider() -> Result<f64> {
    let redis = Redis::start().await?;
    let provider = OidcProvider::start(&redis, CHAINS).await?;
    let client = format!("&client_id={}", provider.client_id);
    let target = Target::new(provider.port, "/token", &client);
    load::refreshes_per_second(target, provider.refresh_tokens).await
}

const CHAINS: usize = 64;
