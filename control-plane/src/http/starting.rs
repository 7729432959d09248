//! What a process answers while it still reads the log.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::operations;
use super::problem::Problem;
use crate::plane::Loading;

/// Alive, not ready, and how far it is: everything else is asked to come back.
pub fn starting(loading: Arc<Loading>) -> Router {
    let readiness = async move || {
        let (read, of) = (loading.read(), loading.head());
        let body = json!({ "ready": false, "loading": { "read": read, "of": of } });
        (StatusCode::SERVICE_UNAVAILABLE, Json(body))
    };
    Router::new()
        .route("/healthz", get(operations::healthz))
        .route("/readyz", get(readiness))
        .fallback(async || {
            let detail = "the process still reads the log; /readyz says how far it is";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", detail)
        })
}
