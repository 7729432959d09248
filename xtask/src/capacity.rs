//! The capacity of one control plane on this machine, each figure compared with its bare peer in
//! the same run.

mod applied;
mod costs;
mod followers;
mod relay;
mod revokes;
mod standing;
mod throughput;

use anyhow::Result;
use clap::ValueEnum;

use crate::bench::figure::Figure;
use crate::bench::job::{FOLD, bench_program};
use crate::bench::scale::scale;
use crate::refreshes::server::{ControlPlane, Redis};

/// What can be measured separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Single revocations per second, compared with bare `EVAL`.
    Revokes,
    /// Entries per second in requests of a thousand.
    Bulk,
    /// Polls per second, compared with a fixed body.
    Polls,
    /// The cost of traces: revocations per second with and without them.
    Traces,
    /// The cost of HTTPS: polls per second with and without it.
    Https,
    /// What a flood that is refused costs an honest client.
    Flood,
    /// Introspections per second, compared with oidc-provider.
    Introspection,
    /// How soon a thousand followers receive a revocation.
    Followers,
    /// How soon a revocation is answered that waits until a thousand followers hold it, and what they cost others.
    Applied,
    /// The cost of ten thousand idle followers.
    Idle,
    /// Ten thousand followers of a relay, compared with as many of the control plane.
    Relay,
    /// A start with a million revocations in Redis.
    Start,
    /// The fold with ten million entries.
    Fold,
}

/// Measures one part.
pub(crate) async fn measure(part: Part) -> Result<Vec<Figure>> {
    match part {
        Part::Revokes => revokes::single().await,
        Part::Bulk => revokes::bulk().await,
        Part::Polls => throughput::polls().await,
        Part::Traces => costs::traces().await,
        Part::Https => costs::https().await,
        Part::Flood => costs::flood().await,
        Part::Introspection => throughput::introspection().await,
        Part::Followers => followers::busy().await,
        Part::Applied => applied::waiting().await,
        Part::Idle => followers::idle().await,
        Part::Relay => relay::followers().await,
        Part::Start => standing::cold_start().await,
        Part::Fold => bench_program(scale(), FOLD).await,
    }
}

/// A Redis that flushes each write, and a control plane on it.
async fn system() -> Result<(Redis, ControlPlane)> {
    let redis = Redis::start().await?;
    let plane = ControlPlane::start(&redis).await?;
    Ok((redis, plane))
}

/// One request with the admin key.
fn request(plane: &ControlPlane, method: &str, path: &str, kind: &str, body: &str) -> Vec<u8> {
    let ControlPlane { port, admin_key, .. } = plane;
    let size = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {admin_key}\r\n\
         content-type: {kind}\r\ncontent-length: {size}\r\n\r\n{body}"
    )
    .into_bytes()
}

const CONNECTIONS: usize = 64;
const JSON: &str = "application/json";
