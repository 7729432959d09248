//! Refreshes per second on durable Redis: ours, the two bare Redis calls that they need, and
//! oidc-provider's.
//!
//! They run one after the other, each with its own Redis and 64 chains: every chain waits for its
//! response before it continues, since a refresh token can be used once.

mod bare;
pub(crate) mod load;
pub(crate) mod server;

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Client;
use serde_json::{Value, json};

use self::load::Target;
use self::server::{ControlPlane, OidcProvider, Redis};

/// Measures all three and reports how they compare.
pub(crate) async fn measure() -> Result<String> {
    server::build()?;
    let (mut bare, mut theirs, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    // Interleaved, so that other load on the machine slows down all three.
    for _ in 0..ROUNDS {
        bare.push(bare_pairs().await.context("the bare Redis calls")?);
        theirs.push(oidc_provider().await.context("oidc-provider")?);
        ours.push(control_plane().await.context("the control plane")?);
    }
    let (bare, bare_line) = described("bare GET and compare-and-swap in Redis, pairs/s", bare);
    let (theirs, their_line) = described("oidc-provider, refreshes/s", theirs);
    let (ours, our_line) = described("offswitch, refreshes/s", ours);
    Ok(format!(
        "offswitch / oidc-provider: {:.2} (goal: at least 3)\n\
         offswitch / bare: {:.2} (goal: at least 0.40)\n\
         {CHAINS} chains, Redis with appendfsync always, {} s after {} s of warm-up, median of \
         {ROUNDS} rounds:\n{bare_line}{their_line}{our_line}",
        ours / theirs,
        ours / bare,
        MEASURED.as_secs(),
        WARM_UP.as_secs()
    ))
}

/// The median of all rounds, and a line with all of them.
fn described(what: &str, mut rounds: Vec<f64>) -> (f64, String) {
    rounds.sort_unstable_by(f64::total_cmp);
    let median = rounds[rounds.len() / 2];
    let all: Vec<_> = rounds.iter().map(|figure| format!("{figure:.0}")).collect();
    (median, format!("  {what}: {median:.0} ({})\n", all.join(", ")))
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
pub(crate) const MEASURED: Duration = Duration::from_secs(5);
/// Odd, so that the median is one of them.
const ROUNDS: usize = 3;
pub(crate) const WARM_UP: Duration = Duration::from_secs(1);
