//! Why a receiver did not accept a request, with the stable code of each reason.

use offswitch_client::http::KeysUnavailable;
use offswitch_core::receivers::Refusal;

use crate::plane::PlaneError;

/// Why a receiver did not accept a request.
#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    /// The sender's key set cannot be fetched, so nothing is known about the signature.
    #[error(transparent)]
    KeysUnavailable(#[from] KeysUnavailable),
    /// Too many requests of this second were refused.
    #[error("too many requests were refused")]
    Limited,
    /// The configuration of this process has no secret for the webhooks of this issuer.
    #[error("receiver_secrets_file has no secret of the right form under the name of this issuer")]
    NoSecret,
    /// The log did not take it.
    #[error(transparent)]
    Log(#[from] PlaneError),
    /// The credential that was sent is wrong.
    #[error("{}: {}", .0.code, .0.detail)]
    Forbidden(Refusal),
    /// What was sent is wrong.
    #[error("{}: {}", .0.code, .0.detail)]
    Refused(Refusal),
    /// No issuer of this name is registered with this receiver.
    #[error("there is no such receiver")]
    Unknown,
}

impl ReceiverError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::KeysUnavailable(_) => "keys_unavailable",
            Self::Limited => "too_many_refused",
            Self::Log(PlaneError::TooManyEntries { .. }) => "too_many_entries",
            Self::Log(_) => "store_unavailable",
            Self::NoSecret => "no_receiver_secret",
            Self::Forbidden(refusal) | Self::Refused(refusal) => refusal.code,
            Self::Unknown => "unknown_receiver",
        }
    }

    /// The same error, about a credential.
    pub(super) fn of_credential(self) -> Self {
        match self {
            Self::Refused(refusal) => Self::Forbidden(refusal),
            other => other,
        }
    }

    /// What was found and what was expected, in words.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::Forbidden(refusal) | Self::Refused(refusal) => refusal.detail.clone(),
            other => other.to_string(),
        }
    }
}

impl From<Refusal> for ReceiverError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
