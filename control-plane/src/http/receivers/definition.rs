//! The receivers in the registration of an issuer, as the API has them.

use std::collections::BTreeMap;

use offswitch_core::receivers::{Action, BackchannelLogout, EventReceiver, Receivers, Revokes};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The receivers of an issuer; one that is left out is off.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Receivers)]
pub(in crate::http) struct ReceiversDefinition {
    /// OpenID Connect Back-Channel Logout 1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    backchannel_logout: Option<BackchannelLogoutDefinition>,
    /// Security events by push (RFC 8935), of the Shared Signals Framework 1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<EventsDefinition>,
}

/// Logout tokens are accepted at `/v1/receivers/{name}/backchannel-logout`.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BackchannelLogout)]
struct BackchannelLogoutDefinition {
    /// The clients at the provider for which logout tokens are accepted, 1 to 16.
    client_ids: Vec<String>,
    /// What a logout token with a session id revokes: the tokens of that session (the default), or
    /// those of the user, if access tokens do not have the session's id.
    #[serde(default)]
    revokes: RevokesDefinition,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Revokes)]
enum RevokesDefinition {
    #[default]
    Session,
    User,
}

/// Security event tokens are accepted at `/v1/receivers/{name}/events`.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EventReceiver)]
struct EventsDefinition {
    /// Who the receiver is to the transmitter, 1 to 16 names: `aud` must be one of them.
    audiences: Vec<String>,
    /// The `iss` of the events, if it is not that of the issuer's tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    /// The address of the transmitter's JWK set, if it is not that of the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jwks_uri: Option<String>,
    /// What events revoke, by their URI, in place of the default.
    #[serde(default)]
    actions: BTreeMap<String, ActionDefinition>,
    /// The claim of the tokens that has what a subject is named by, for the formats `account`, `did`,
    /// `email`, `phone_number` and `uri`.
    #[serde(default)]
    subject_claims: BTreeMap<String, String>,
}

/// What an event revokes.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = EventAction)]
enum ActionDefinition {
    Ignore,
    Session,
    User,
}

impl From<ReceiversDefinition> for Receivers {
    fn from(definition: ReceiversDefinition) -> Self {
        let backchannel_logout = definition.backchannel_logout.map(|one| BackchannelLogout {
            client_ids: one.client_ids,
            revokes: match one.revokes {
                RevokesDefinition::Session => Revokes::Session,
                RevokesDefinition::User => Revokes::User,
            },
        });
        let action = |action| match action {
            ActionDefinition::Ignore => Action::Ignore,
            ActionDefinition::Session => Action::Session,
            ActionDefinition::User => Action::User,
        };
        let events = definition.events.map(|one| EventReceiver {
            audiences: one.audiences,
            issuer: one.issuer,
            jwks_uri: one.jwks_uri,
            actions: one.actions.into_iter().map(|(uri, one)| (uri, action(one))).collect(),
            subject_claims: one.subject_claims,
        });
        Self { backchannel_logout, events }
    }
}

impl From<Receivers> for ReceiversDefinition {
    fn from(receivers: Receivers) -> Self {
        let backchannel_logout =
            receivers.backchannel_logout.map(|one| BackchannelLogoutDefinition {
                client_ids: one.client_ids,
                revokes: match one.revokes {
                    Revokes::Session => RevokesDefinition::Session,
                    Revokes::User => RevokesDefinition::User,
                },
            });
        let action = |action| match action {
            Action::Ignore => ActionDefinition::Ignore,
            Action::Session => ActionDefinition::Session,
            Action::User => ActionDefinition::User,
        };
        let events = receivers.events.map(|one| EventsDefinition {
            audiences: one.audiences,
            issuer: one.issuer,
            jwks_uri: one.jwks_uri,
            actions: one.actions.into_iter().map(|(uri, one)| (uri, action(one))).collect(),
            subject_claims: one.subject_claims,
        });
        Self { backchannel_logout, events }
    }
}
