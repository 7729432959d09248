//! Which problem an error of the plane is.

use axum::http::StatusCode;

use crate::keyring::KeyringError;
use crate::plane::PlaneError;
use crate::problem::Problem;
use crate::store::StoreError;

/// Causes are logged here, once; the caller learns the code and what to do.
impl From<PlaneError> for Problem {
    fn from(error: PlaneError) -> Self {
        let store_error = match &error {
            PlaneError::Keyring(KeyringError::Store(error)) | PlaneError::Store(error) => {
                Some(error)
            }
            PlaneError::SessionOver => {
                let detail = "the session that this request opened has ended since";
                return Problem::new(StatusCode::CONFLICT, "session_ended", detail);
            }
            PlaneError::SessionLost => {
                let detail = "the store has lost the session of this credential; keep the \
                              credential and try again later";
                return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "session_lost", detail);
            }
            PlaneError::Keyring(KeyringError::LastFeedKey) => {
                return Problem::new(StatusCode::CONFLICT, "last_feed_key", error.to_string());
            }
            PlaneError::Keyring(KeyringError::TooManyFeedKeys) => {
                return Problem::new(StatusCode::CONFLICT, "too_many_feed_keys", error.to_string());
            }
            PlaneError::Keyring(KeyringError::TooManyKeys) => {
                return Problem::new(StatusCode::CONFLICT, "too_many_keys", error.to_string());
            }
            PlaneError::Keyring(KeyringError::UnknownFeedKey) => {
                return Problem::new(StatusCode::NOT_FOUND, "unknown_feed_key", error.to_string());
            }
            PlaneError::TooManyDeadKeys => {
                return Problem::new(StatusCode::CONFLICT, "too_many_dead_keys", error.to_string());
            }
            PlaneError::TooManyEntries { .. } => {
                tracing::error!(%error, "nothing more can be revoked");
                // Not a 503: it is not over in a moment, but when entries expire.
                let status = StatusCode::INSUFFICIENT_STORAGE;
                return Problem::new(status, "too_many_entries", error.to_string());
            }
            PlaneError::Fold(_)
            | PlaneError::Keyring(_)
            | PlaneError::Memory(_)
            | PlaneError::StoreForgot => None,
        };
        match store_error {
            Some(StoreError::RequestReused) => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "the idempotency key was used for another request",
            ),
            Some(StoreError::Full(_)) => {
                tracing::error!(%error, "the store is full");
                Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "store_full",
                    "nothing was acknowledged; give the store room, then repeat the request with \
                     the same idempotency key",
                )
            }
            Some(StoreError::Moved | StoreError::Unavailable(_)) => {
                tracing::error!(%error, "the store is unavailable");
                Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "store_unavailable",
                    "nothing was acknowledged; repeat the request with the same idempotency key",
                )
            }
            // Logged where it was found. Never taken for a document that is not there.
            Some(StoreError::Altered(_)) => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "document_altered",
                "what is stored for this request was changed by something other than the control \
                 plane; an operator must look at the finding document_altered",
            ),
            Some(StoreError::Damaged(_)) | None => {
                tracing::error!(%error, "the plane failed");
                Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "unavailable",
                    "the control plane cannot answer now",
                )
            }
        }
    }
}
