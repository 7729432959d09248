//! Maps the errors of the plane to problems.

use axum::http::StatusCode;

use crate::keyring::KeyringError;
use crate::plane::PlaneError;
use crate::problem::Problem;
use crate::store::StoreError;

/// Causes are logged here, once; the caller gets the code and what to do.
impl From<PlaneError> for Problem {
    fn from(error: PlaneError) -> Self {
        let store_error = match &error {
            PlaneError::Keyring(KeyringError::Store(error)) | PlaneError::Store(error) => {
                Some(error)
            }
            PlaneError::SessionOver => {
                let detail = "the session that this request opened has ended since";
                return Self::new(StatusCode::CONFLICT, "session_ended", detail);
            }
            PlaneError::SessionLost => {
                let detail = "the store has lost the session of this credential; keep the \
                              credential and try again later";
                return Self::new(StatusCode::SERVICE_UNAVAILABLE, "session_lost", detail);
            }
            PlaneError::Keyring(KeyringError::LastFeedKey) => {
                return Self::new(StatusCode::CONFLICT, "last_feed_key", error.to_string());
            }
            PlaneError::Keyring(KeyringError::TooManyFeedKeys) => {
                return Self::new(StatusCode::CONFLICT, "too_many_feed_keys", error.to_string());
            }
            PlaneError::Keyring(KeyringError::TooManyKeys) => {
                return Self::new(StatusCode::CONFLICT, "too_many_keys", error.to_string());
            }
            PlaneError::Keyring(KeyringError::UnknownFeedKey) => {
                return Self::new(StatusCode::NOT_FOUND, "unknown_feed_key", error.to_string());
            }
            PlaneError::TooManyDeadKeys => {
                return Self::new(StatusCode::CONFLICT, "too_many_dead_keys", error.to_string());
            }
            PlaneError::TooManySelectors { .. } => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                return Self::new(status, "too_many_selectors", error.to_string());
            }
            PlaneError::TooManyEntries { .. } => {
                tracing::error!(%error, "nothing more can be revoked");
                // Not a 503: it is not over soon, but when entries expire.
                let status = StatusCode::INSUFFICIENT_STORAGE;
                return Self::new(status, "too_many_entries", error.to_string());
            }
            PlaneError::Fold(_)
            | PlaneError::Issuer(_)
            | PlaneError::Keyring(_)
            | PlaneError::Memory(_)
            | PlaneError::Publication(_)
            | PlaneError::StoreForgot => None,
        };
        match store_error {
            Some(StoreError::RequestReused) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "the idempotency key was used for another request",
            ),
            Some(StoreError::Full(_)) => {
                tracing::error!(%error, "the store is full");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "store_full",
                    "nothing was acknowledged; give the store room, then repeat the request with \
                     the same idempotency key",
                )
            }
            Some(StoreError::TooFewReplicas { .. }) => {
                tracing::error!(%error, "the store's replicas are behind");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too_few_replicas",
                    "it is recorded, but too few replicas have it to survive a failover; repeat \
                     the request with the same idempotency key",
                )
            }
            Some(StoreError::Moved | StoreError::Unavailable(_)) => {
                tracing::error!(%error, "the store is unavailable");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "store_unavailable",
                    "nothing was acknowledged; repeat the request with the same idempotency key",
                )
            }
            Some(StoreError::Newer { .. }) => {
                tracing::error!(%error, "the store is one of a newer version");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "store_newer",
                    "a newer version of offswitch uses the store, and this process does not \
                     understand it; nothing was acknowledged; ask another process",
                )
            }
            // It is logged where it was found. Never treated as a document that does not exist.
            Some(StoreError::Altered(_)) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "document_altered",
                "what is stored for this request was changed by something other than the control \
                 plane; an operator must look at the finding document_altered",
            ),
            Some(StoreError::Damaged(_)) | None => {
                tracing::error!(%error, "the plane failed");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "unavailable",
                    "the control plane cannot answer now",
                )
            }
        }
    }
}
