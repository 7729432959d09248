//! The bare peer of the benchmark: the same accept loop and Axum, answering a fixed body.
//!
//! `fixed_body PORT SIZE_BYTES` serves it at `/`.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Bytes;
use axum::routing::get;
use offswitch::server::{self, Limits};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u16>());
    let mut next = || numbers.next().ok_or_else(|| anyhow::anyhow!("PORT SIZE_BYTES"));
    let (port, size_bytes) = (next()??, next()??);
    let body = Bytes::from(vec![b'x'; usize::from(size_bytes)]);
    let router = Router::new().route("/", get(async move || body.clone()));
    let listener = server::bind(([127, 0, 0, 1], port).into())?;
    let router = Arc::new(ArcSwap::from_pointee(router));
    server::run(listener, router, Limits::default(), std::future::pending()).await;
    Ok(())
}
