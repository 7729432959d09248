//! Counts and times responses by path, method and status, each of which has few values.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use metrics::{Counter, Histogram};

/// The series of every path, so that no request has to create labels.
pub(super) struct Measured(HashMap<String, [OnceLock<Series>; METHODS.len()]>);

/// The series of one path and method.
struct Series {
    seconds: Histogram,
    requests: RwLock<Vec<(StatusCode, Counter)>>,
}

impl Measured {
    pub(super) fn new(paths: impl IntoIterator<Item = String>) -> Arc<Self> {
        let paths = paths.into_iter().chain([OTHER.to_owned()]);
        Arc::new(Self(paths.map(|path| (path, Default::default())).collect()))
    }

    /// Counts a response on the route `path`, or on no route.
    pub(super) fn note(
        &self,
        path: Option<&str>,
        method: &Method,
        status: StatusCode,
        took: Duration,
    ) {
        // A path with a slash at its end counts as the one without.
        let known = path.and_then(|path| self.0.get_key_value(path.trim_end_matches('/')));
        let Some((path, methods)) = known.or_else(|| self.0.get_key_value(OTHER)) else { return };
        let place = METHODS.iter().position(|known| *known == method.as_str());
        let place = place.unwrap_or(METHODS.len() - 1);
        let labels = || [("path", path.clone()), ("method", METHODS[place].to_owned())];
        let series = methods[place].get_or_init(|| Series {
            seconds: metrics::histogram!("offswitch_http_seconds", &labels()),
            requests: RwLock::default(),
        });
        series.seconds.record(took.as_secs_f64());
        let count = |requests: &[(StatusCode, Counter)]| {
            let found = requests.iter().find(|(known, _)| *known == status);
            found.inspect(|(_, counter)| counter.increment(1)).is_some()
        };
        if count(&series.requests.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut requests = series.requests.write().unwrap_or_else(PoisonError::into_inner);
        if !count(&requests) {
            let [path, method] = labels();
            let labels = [path, method, ("status", status.as_str().to_owned())];
            let counter = metrics::counter!("offswitch_http_requests_total", &labels);
            counter.increment(1);
            requests.push((status, counter));
        }
    }
}

/// Clients can invent methods, and each would be a series of its own: the last entry counts those.
const METHODS: [&str; 6] = ["DELETE", "GET", "HEAD", "OPTIONS", "POST", OTHER];
const OTHER: &str = "other";
