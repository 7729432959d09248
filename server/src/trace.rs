//! Traces: the spans that one request causes, as spans of OpenTelemetry.
//!
//! Nothing is recorded until [`record`] was called, which costs a comparison for each request. A span that is not
//! sampled has no spans below it. No span may be given a token, a secret, a subject or an id of a token.

use std::borrow::Cow;
use std::sync::OnceLock;

use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use futures_util::future::Either;
use opentelemetry::context::FutureExt;
use opentelemetry::global::{self, BoxedTracer};
use opentelemetry::propagation::Extractor;
use opentelemetry::trace::{SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, Value};

/// A span of a trace, from its beginning until it is dropped. It may be one of which nothing is recorded.
#[derive(Debug, Default)]
#[must_use]
pub struct Span(Option<Context>);

/// The place of a span in its trace, for what another task does because of it.
#[derive(Debug, Clone)]
pub struct Origin(SpanContext);

/// The trace of a caller, as its request names it (W3C Trace Context).
#[derive(Debug, Clone, Default)]
pub struct Caller<'a> {
    parent: Option<Cow<'a, str>>,
    state: Option<Cow<'a, str>>,
}

/// Records spans from now on, with the provider and the propagator that `opentelemetry::global` has.
pub fn record() {
    // A second call changes nothing.
    let _ = TRACER.set(global::tracer("offswitch"));
}

impl Span {
    /// The answering of a request on `route`.
    pub fn of_request<'a>(
        method: &Method,
        route: &str,
        caller: impl FnOnce() -> Caller<'a>,
    ) -> Self {
        let Some(tracer) = TRACER.get() else { return Self::default() };
        let method = METHODS.iter().find(|known| **known == method.as_str()).unwrap_or(&OTHER);
        let builder = tracer
            .span_builder(format!("{method} {route}"))
            .with_kind(SpanKind::Server)
            .with_attributes([
                KeyValue::new("http.request.method", *method),
                KeyValue::new("http.route", route.to_owned()),
            ]);
        Self::start(tracer, builder, &caller().context())
    }

    /// The answering of a request whose method and path are not to be shown.
    pub fn of_server<'a>(name: &'static str, caller: impl FnOnce() -> Caller<'a>) -> Self {
        let Some(tracer) = TRACER.get() else { return Self::default() };
        let builder = tracer.span_builder(name).with_kind(SpanKind::Server);
        Self::start(tracer, builder, &caller().context())
    }

    /// A span of the one that is in progress in this task; of none, nothing is recorded.
    pub fn begin(name: &'static str) -> Self {
        let Some(tracer) = TRACER.get() else { return Self::default() };
        match Context::map_current(|current| current.has_active_span().then(|| current.clone())) {
            Some(parent) => Self::start(tracer, tracer.span_builder(name), &parent),
            None => Self::default(),
        }
    }

    /// A span that is done for others, possibly of several traces: it is part of the first one's, and is
    /// linked to the rest.
    pub fn caused_by(name: &'static str, origins: &[Origin]) -> Self {
        let (Some(tracer), [Origin(first), others @ ..]) = (TRACER.get(), origins) else {
            return Self::default();
        };
        let parent = Context::new().with_remote_span_context(first.clone());
        let span = Self::start(tracer, tracer.span_builder(name), &parent);
        if let Some(context) = &span.0 {
            for Origin(other) in others {
                context.span().add_link(other.clone(), Vec::new());
            }
        }
        span
    }

    fn start(tracer: &BoxedTracer, builder: SpanBuilder, parent: &Context) -> Self {
        let span = tracer.build_with_context(builder, parent);
        let context = Context::new().with_span(span);
        let is_sampled = context.span().span_context().is_sampled();
        Self(is_sampled.then_some(context))
    }

    /// True if it is exported.
    pub fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// Its place, for what another task does; absent if nothing is recorded.
    pub fn origin(&self) -> Option<Origin> {
        self.0.as_ref().map(|context| Origin(context.span().span_context().clone()))
    }

    /// Adds what is known about it.
    pub fn set(&self, name: &'static str, value: impl Into<Value>) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(KeyValue::new(name, value));
        }
    }

    /// It failed, for the reason with this code.
    pub fn fail(&self, code: &'static str) {
        self.set(ERROR_TYPE, code);
        if let Some(context) = &self.0 {
            context.span().set_status(Status::error(code));
        }
    }

    /// It was answered; `code` is that of a problem. Only what the server did wrong is a failure.
    pub fn answered(&self, status: StatusCode, code: Option<&'static str>) {
        self.set("http.response.status_code", i64::from(status.as_u16()));
        match code {
            code if status.is_server_error() => self.fail(code.unwrap_or("internal")),
            Some(code) => self.set(ERROR_TYPE, code),
            None => {}
        }
    }

    /// Does `work` as this span: what begins meanwhile in its task is a part of it.
    pub fn within<F: Future>(&self, work: F) -> impl Future<Output = F::Output> {
        match &self.0 {
            None => Either::Left(work),
            Some(context) => Either::Right(work.with_context(context.clone())),
        }
    }
}

impl<'a> Caller<'a> {
    /// The caller that these headers name. A header that is there twice names none.
    pub fn of(headers: &'a HeaderMap) -> Self {
        Self::from_fields(|name| {
            let mut values = headers.get_all(name).iter();
            match (values.next(), values.next()) {
                (Some(value), None) => value.to_str().ok().map(Cow::Borrowed),
                _ => None,
            }
        })
    }

    /// The caller that single header fields name.
    pub fn from_fields(field: impl Fn(&HeaderName) -> Option<Cow<'a, str>>) -> Self {
        let state = field(&TRACESTATE).filter(|text| text.len() <= MAX_STATE_BYTES);
        Self { parent: field(&TRACEPARENT), state }
    }

    fn context(&self) -> Context {
        global::get_text_map_propagator(|one| one.extract_with_context(&Context::new(), self))
    }
}

impl Extractor for Caller<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.parent.as_deref(),
            "tracestate" => self.state.as_deref(),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

static TRACER: OnceLock<BoxedTracer> = OnceLock::new();
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// What each vendor must be able to pass on (W3C Trace Context section 3.3.1.5); more is left out.
const MAX_STATE_BYTES: usize = 512;
const ERROR_TYPE: &str = "error.type";
/// Clients can invent methods, and could put anything into them.
const METHODS: [&str; 6] = ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"];
const OTHER: &str = "_OTHER";

#[cfg(test)]
mod tests {
    use super::*;

    // O04: nothing is recorded unless the process exports traces.
    #[tokio::test]
    async fn without_a_collector_a_step_is_nothing_and_does_the_work() {
        let asked = || -> Caller<'_> { panic!("no header is read") };
        let span = Span::of_request(&Method::GET, "/v1/feed", asked);
        let inner = span.within(async { Span::begin("append").origin().is_some() }).await;
        assert!(span.origin().is_none() && !inner);
    }

    // O04: an unclear caller, or one with a state that is too long, has no say.
    #[test]
    fn a_header_that_is_there_twice_names_no_caller() {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, "00-1-2-01".parse().unwrap());
        headers.insert(TRACESTATE, "a=b".parse().unwrap());
        assert_eq!(Caller::of(&headers).get("traceparent"), Some("00-1-2-01"));
        assert_eq!(Caller::of(&headers).get("tracestate"), Some("a=b"));
        headers.append(TRACEPARENT, "00-3-4-01".parse().unwrap());
        headers.insert(TRACESTATE, format!("a={}", "b".repeat(511)).parse().unwrap());
        let caller = Caller::of(&headers);
        assert_eq!((caller.get("traceparent"), caller.get("tracestate")), (None, None));
    }
}
