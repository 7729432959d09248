//! A collector of traces: it takes OTLP over HTTP, and keeps what it was sent.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::time::sleep;

/// A running collector.
pub(crate) struct Collector {
    port: u16,
    taken: Arc<Mutex<Vec<Taken>>>,
}

/// One request that it took.
struct Taken {
    headers: HeaderMap,
    body: Bytes,
    content: ExportTraceServiceRequest,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken: Arc<Mutex<Vec<Taken>>> = Arc::default();
        let kept = taken.clone();
        let take = post(async move |headers: HeaderMap, body: Bytes| {
            let content = ExportTraceServiceRequest::decode(body.clone()).unwrap();
            kept.lock().unwrap().push(Taken { headers, body, content });
            let answer = ExportTraceServiceResponse::default().encode_to_vec();
            ([(header::CONTENT_TYPE, "application/x-protobuf")], answer)
        });
        let router = Router::new().route("/v1/traces", take);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, taken }
    }

    /// The address for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All spans, in the order in which they were taken.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let taken = self.taken.lock().unwrap();
        let resources = taken.iter().flat_map(|one| one.content.resource_spans.clone());
        let scopes = resources.flat_map(|one| one.scope_spans);
        scopes.flat_map(|one| one.spans).collect()
    }

    /// What the first request says about its process.
    pub(crate) fn resource(&self, name: &str) -> Option<String> {
        let taken = self.taken.lock().unwrap();
        let resource = taken.first()?.content.resource_spans.first()?.resource.as_ref()?;
        text(&resource.attributes, name)
    }

    /// A header of the first request.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let taken = self.taken.lock().unwrap();
        Some(taken.first()?.headers.get(name)?.to_str().unwrap().to_owned())
    }

    /// True if any byte sequence that was taken has this text.
    pub(crate) fn has(&self, text: &str) -> bool {
        let taken = self.taken.lock().unwrap();
        let contains =
            |one: &Taken| one.body.windows(text.len()).any(|part| part == text.as_bytes());
        taken.iter().any(contains)
    }

    /// The spans, once there are such for which `is_enough` is true.
    pub(crate) async fn until(&self, is_enough: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let begin = Instant::now();
        loop {
            let spans = self.spans();
            if is_enough(&spans) {
                return spans;
            }
            let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
            assert!(begin.elapsed() < PATIENCE, "these spans have come: {names:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// An attribute of a span that is a text.
pub(crate) fn attribute(span: &Span, name: &str) -> Option<String> {
    text(&span.attributes, name)
}

/// An attribute of a span that is a whole number.
pub(crate) fn number(span: &Span, name: &str) -> Option<i64> {
    match value(&span.attributes, name)? {
        Value::IntValue(number) => Some(number),
        _ => None,
    }
}

fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    match value(attributes, name)? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn value(attributes: &[KeyValue], name: &str) -> Option<Value> {
    let found = attributes.iter().find(|one| one.key == name)?;
    let AnyValue { value } = found.value.clone()?;
    value
}

const PATIENCE: Duration = Duration::from_secs(20);
