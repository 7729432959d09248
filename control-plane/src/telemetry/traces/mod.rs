//! Traces go to a collector by OTLP (HTTP and protobuf), if the standard environment variables name one.
//!
//! No request waits for the collector: ended spans wait in a queue of fixed length, a thread of the library sends
//! them in batches, and what finds the queue full is counted and dropped.

mod collector;
mod queue;
mod wanted;

use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;

use self::collector::Collector;
use self::queue::bounded;
use self::wanted::{Wanted, is_known_sampler, wanted};

/// The traces of this process, until they are closed.
#[derive(Debug, Default)]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Records traces from now on, if the environment says where to send them. A mistake there is logged and
    /// costs the traces, nothing else: these variables are often set for all processes of a system.
    ///
    /// Must be called once, in a runtime.
    pub fn start() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let wanted = match wanted(variable) {
            Ok(Some(wanted)) => wanted,
            Ok(None) => return Self::default(),
            Err(problem) => {
                tracing::warn!("traces are not exported: {problem}");
                return Self::default();
            }
        };
        if !is_known_sampler(variable) {
            tracing::warn!("OTEL_TRACES_SAMPLER is not known here; it is parentbased_always_on");
        }
        match provider(&wanted) {
            Ok(provider) => {
                global::set_text_map_propagator(TraceContextPropagator::new());
                global::set_tracer_provider(provider.clone());
                offswitch_server::trace::record();
                tracing::info!(address = wanted.shown, "traces are exported");
                Self(Some(provider))
            }
            Err(error) => {
                tracing::warn!("traces are not exported: {error:#}");
                Self::default()
            }
        }
    }

    /// Sends what waits, for a second at most: a collector that does not answer must not delay the end of a
    /// process.
    pub async fn close(self) {
        let Some(provider) = self.0 else { return };
        // It waits for the thread that sends.
        let closing = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST));
        match closing.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last traces were not sent"),
            Err(error) => tracing::warn!(%error, "sending the last traces panicked"),
        }
    }
}

fn provider(wanted: &Wanted) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(Collector::new(wanted.timeout))
        .build()
        .context("the OTEL_EXPORTER_OTLP_… variables")?;
    let mut resource = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if !wanted.is_named {
        resource = resource.with_service_name("offswitch");
    }
    Ok(SdkTracerProvider::builder()
        .with_span_processor(bounded(exporter, wanted.queue))
        .with_resource(resource.build())
        .build())
}

/// How long the end of a process waits for the collector.
const LAST: Duration = Duration::from_secs(1);
