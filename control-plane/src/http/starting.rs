//! The responses of a process before it can serve.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::operations;
use crate::plane::Loading;
use crate::problem::Problem;

/// The progress of a start.
#[derive(Debug, Default)]
pub struct Starting {
    loading: Loading,
    waits_for_store: AtomicBool,
}

impl Starting {
    /// How much of the log has been read.
    pub fn loading(&self) -> &Loading {
        &self.loading
    }

    /// Notes whether the start is waiting for the store.
    pub fn waits_for_store(&self, is_waiting: bool) {
        self.waits_for_store.store(is_waiting, Ordering::Relaxed);
    }
}

/// Answers that the process is running but not ready, and how far the start is; all other requests
/// get 503 and must be retried.
pub fn starting(starting: Arc<Starting>) -> Router {
    let readiness = async move || {
        let (read, of) = (starting.loading.read(), starting.loading.head());
        let is_waiting = starting.waits_for_store.load(Ordering::Relaxed);
        let body = json!({
            "ready": false,
            "code": CODE,
            "waits_for_store": is_waiting,
            "loading": { "read": read, "of": of },
        });
        (StatusCode::SERVICE_UNAVAILABLE, Json(body))
    };
    Router::new()
        .route("/healthz", get(operations::healthz))
        .route("/readyz", get(readiness))
        .fallback(async || {
            let detail = "the process is starting; /readyz says how far it is";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, CODE, detail)
        })
}

const CODE: &str = "starting";
