//! The queue in front of the collector: of fixed length, with a count of what came of each span.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};

/// Sends spans to `exporter` in batches, while at most `longest` wait.
pub(super) fn bounded<E: SpanExporter + 'static>(
    exporter: E,
    longest: usize,
) -> impl SpanProcessor {
    let waiting = Arc::new(AtomicUsize::new(0));
    for outcome in [DROPPED, EXPORTED, FAILED] {
        count(outcome, 0);
    }
    let counted =
        Counted { exporter, waiting: waiting.clone(), is_failing: AtomicBool::new(false) };
    let config = BatchConfigBuilder::default().with_max_queue_size(longest).build();
    let batches = BatchSpanProcessor::builder(counted).with_batch_config(config).build();
    Bounded { batches, waiting, longest }
}

/// The library drops what finds its queue full and says so only at the end. So its queue is never full.
#[derive(Debug)]
struct Bounded {
    batches: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
    longest: usize,
}

/// What takes spans out of the queue.
struct Counted<E> {
    exporter: E,
    waiting: Arc<AtomicUsize>,
    is_failing: AtomicBool,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.longest {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return count(DROPPED, 1);
        }
        self.batches.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        let exported = self.exporter.export(batch).await;
        count(if exported.is_ok() { EXPORTED } else { FAILED }, spans);
        // Once for each outage.
        match &exported {
            Ok(()) if self.is_failing.swap(false, Ordering::Relaxed) => {
                tracing::info!("the collector takes traces again");
            }
            Err(error) if !self.is_failing.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%error, "the collector does not take traces, which are lost");
            }
            _ => {}
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E> fmt::Debug for Counted<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Counted").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

fn count(outcome: &'static str, spans: usize) {
    metrics::counter!("offswitch_spans_total", "outcome" => outcome).increment(spans as u64);
}

const DROPPED: &str = "dropped";
const EXPORTED: &str = "exported";
const FAILED: &str = "failed";
