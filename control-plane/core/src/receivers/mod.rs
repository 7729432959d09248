//! Receivers: what an identity provider reports, such as a logout, becomes a revocation.
//!
//! Here is what a receiver is registered with, and what each accepts. Keys and clock are arguments.

mod budget;
mod events;
mod global_revocation;
mod logout;
mod polling;
mod signed;
mod sources;
mod stream;
mod stream_configuration;
mod subject;
mod webhook;
mod webhook_presets;
mod webhook_signature;

use std::collections::BTreeMap;

use offswitch_snapshot::Selector;
use offswitch_verifier::{Algorithm, is_protected_address};
use serde::{Deserialize, Serialize};

use crate::issuers::{KeySource, Registration};
use crate::revoking::{Refused, RefusedKind};
use subject::NAMED_BY;

pub use budget::Budget;
pub use events::{Action, Event, EventReceiver, StreamState, event};
pub use global_revocation::{Authentication, GlobalRevocation, authentication, global_revocation};
pub use logout::{Logout, MAX_AGE_SECONDS, logout};
pub use polling::{MOST_POLLED_BYTES, Pace, Poll, Polled, Replies};
pub use signed::{Signed, UNKNOWN_KEY, open};
pub use sources::Sources;
pub use stream::{EventStream, TRANSMITTER_INVALID, Transmitter, stream_status};
pub use stream_configuration::{StreamConfiguration, WantedStream};
pub use webhook::{Webhook, WebhookEvent, webhook};
pub use webhook_signature::{Genuine, HmacEncoding, Scheme};

/// The receivers of an issuer; one that is absent is off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Receivers {
    /// OpenID Connect Back-Channel Logout 1.0.
    pub backchannel_logout: Option<BackchannelLogout>,
    /// Security events by push (RFC 8935) or poll (RFC 8936) of the Shared Signals Framework 1.0.
    pub events: Option<EventReceiver>,
    /// Global Token Revocation (draft-parecki-oauth-global-token-revocation).
    pub global_token_revocation: Option<GlobalRevocation>,
    /// Webhooks, signed with a secret of the configuration.
    pub webhook: Option<Webhook>,
}

/// Who signs what a receiver takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sender {
    /// The exact `iss`.
    pub issuer: String,
    /// Whose keys it signs with: their discovery document has this name, and so have dead keys.
    pub keys_of: String,
    /// Where the keys are.
    pub keys: KeySource,
    /// The algorithms.
    pub algorithms: Vec<Algorithm>,
}

/// The receiver of logout tokens (OpenID Connect Back-Channel Logout 1.0).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackchannelLogout {
    /// The clients at the provider for which logout tokens are accepted, 1 to 16: `aud` must name one.
    pub client_ids: Vec<String>,
    /// What a logout token with a session id revokes.
    #[serde(default)]
    pub revokes: Revokes,
}

/// What the logout of one session revokes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revokes {
    /// The tokens of that session: they must have its id.
    #[default]
    Session,
    /// All tokens of the user that were issued until then: for a provider whose access tokens do not
    /// have the session's id.
    User,
}

/// The kind of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReceiverKind {
    /// OpenID Connect Back-Channel Logout 1.0.
    BackchannelLogout,
    /// Security events by push (RFC 8935) or poll (RFC 8936).
    Events,
    /// Global Token Revocation.
    GlobalRevocation,
    /// Webhooks.
    Webhook,
}

/// Why a receiver does not accept what was sent. It never contains the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: &'static str,
    /// What was found and what was expected, in words.
    pub detail: String,
}

impl Receivers {
    /// Those that are on.
    pub fn kinds(&self) -> impl Iterator<Item = ReceiverKind> {
        let logout = self.backchannel_logout.iter().map(|_| ReceiverKind::BackchannelLogout);
        let events = self.events.iter().map(|_| ReceiverKind::Events);
        let global = self.global_token_revocation.iter().map(|_| ReceiverKind::GlobalRevocation);
        let others = logout.chain(events).chain(global);
        others.chain(self.webhook.iter().map(|_| ReceiverKind::Webhook))
    }

    /// Checks what an operator has described.
    ///
    /// # Errors
    ///
    /// If a member is wrong.
    pub(crate) fn check(mut self) -> Result<Self, Refused> {
        if let Some(BackchannelLogout { client_ids, .. }) = &mut self.backchannel_logout {
            check_names("backchannel_logout.client_ids", client_ids)?;
        }
        if let Some(events) = &mut self.events {
            events.check()?;
        }
        if let Some(global) = &mut self.global_token_revocation {
            global.check()?;
        }
        if let Some(webhook) = &mut self.webhook {
            webhook.check()?;
        }
        Ok(self)
    }
}

impl Sender {
    /// The issuer itself.
    pub fn of(registration: &Registration) -> Self {
        let algorithms = registration.algorithms.iter();
        Self {
            issuer: registration.issuer.clone(),
            keys_of: registration.issuer.clone(),
            keys: registration.keys.clone(),
            algorithms: algorithms.filter_map(|name| Algorithm::from_name(name)).collect(),
        }
    }

    /// The same with another name and other keys, if they are given.
    fn or(self, issuer: Option<&String>, jwks_uri: Option<&String>) -> Self {
        let issuer = issuer.cloned().unwrap_or(self.issuer);
        let (keys_of, keys) = match jwks_uri {
            Some(address) => (issuer.clone(), KeySource::Jwks(address.clone())),
            None => (self.keys_of, self.keys),
        };
        Self { issuer, keys_of, keys, algorithms: self.algorithms }
    }
}

impl ReceiverKind {
    /// Its name in the path, in metrics and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::BackchannelLogout => "backchannel-logout",
            Self::Events => "events",
            Self::GlobalRevocation => "global-token-revocation",
            Self::Webhook => "webhook",
        }
    }

    /// The `by` of what the receiver of the issuer with this name has revoked.
    pub fn actor(self, issuer_name: &str) -> String {
        format!("receiver:{issuer_name}:{}", self.name())
    }
}

impl Refusal {
    fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// The code for a transmitter of events (RFC 8935 section 2.4, SSF 1.0 section 8.1.4.1).
    pub fn delivery_code(&self) -> &'static str {
        match self.code {
            "wrong_issuer" => "invalid_issuer",
            "wrong_audience" => "invalid_audience",
            "revoked_key" | "unknown_key" | "unsupported_algorithm" => "invalid_key",
            // The signature is all that tells who sends it.
            "bad_signature" => "authentication_failed",
            "invalid_state" => "invalid_state",
            _ => "invalid_request",
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let code = match refused.kind {
            RefusedKind::TooManySelectors => "too_many_selectors",
            _ => "malformed",
        };
        Self::new(code, format!("{}: {}", refused.field, refused.detail))
    }
}

/// Checks whom a receiver accepts statements for: without a name it would be anybody.
fn check_names(member: &str, names: &mut Vec<String>) -> Result<(), Refused> {
    names.sort_unstable();
    names.dedup();
    let is_good = |name: &String| (1..=MAX_NAME_BYTES).contains(&name.len());
    if (1..=MAX_NAMES).contains(&names.len()) && names.iter().all(is_good) {
        return Ok(());
    }
    let detail =
        format!("{member} must have 1 to {MAX_NAMES} names, each with 1 to {MAX_NAME_BYTES} bytes");
    Err(Refused { kind: RefusedKind::Invalid, field: "receivers", detail })
}

/// Checks who signs for an issuer, and by which claims it names subjects.
fn check_sender(
    receiver: &str,
    issuer: Option<&String>,
    jwks_uri: Option<&String>,
    subject_claims: &mut BTreeMap<String, String>,
) -> Result<(), Refused> {
    let refused = |member: &str, problem: &str| {
        let detail = format!("{receiver}.{member} {problem}");
        Refused { kind: RefusedKind::Invalid, field: "receivers", detail }
    };
    if issuer.is_some_and(|issuer| !(1..=512).contains(&issuer.len())) {
        return Err(refused("issuer", "must have 1 to 512 bytes"));
    }
    if jwks_uri.is_some_and(|address| !is_protected_address(address)) {
        return Err(refused("jwks_uri", "must be an https address, or http on this machine"));
    }
    for (format, path) in subject_claims {
        if !NAMED_BY.iter().any(|(name, _)| name == format) {
            let problem = "may name account, did, email, phone_number and uri";
            return Err(refused("subject_claims", problem));
        }
        let selector = Selector::new([&*path]);
        let wrong = |problem| refused("subject_claims", &format!("{format}: {problem}"));
        *path = selector.map_err(wrong)?.paths().concat();
    }
    Ok(())
}

const MAX_NAMES: usize = 16;
const MAX_NAME_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    // I10: a receiver that would accept logout tokens for anybody is refused.
    #[test]
    fn a_receiver_names_its_clients() {
        let of = |ids: &[&str]| Receivers {
            backchannel_logout: Some(BackchannelLogout {
                client_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
                revokes: Revokes::Session,
            }),
            ..Receivers::default()
        };
        assert_eq!(of(&["b", "a", "b"]).check(), Ok(of(&["a", "b"])));
        assert_eq!(Receivers::default().check(), Ok(Receivers::default()));
        let long = "x".repeat(257);
        let many: Vec<String> = (0..17).map(|one| one.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for wrong in [&[][..], &[""], &["a", &long], &many] {
            assert_eq!(of(wrong).check().unwrap_err().field, "receivers", "{wrong:?}");
        }
    }
}
