//! The receivers in the registration of an issuer, as the API describes and answers with them: without what is off.
//! Requests are read as `core::receivers` has them; records of the log cannot leave anything out.

use std::collections::BTreeMap;

use offswitch_core::receivers::{
    Action, EventStream, HmacEncoding, Poll, Receivers, Revokes, Scheme, Webhook, WebhookEvent,
};
use serde::Serialize;
use utoipa::ToSchema;

/// The receivers of an issuer; one that is left out is off.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Receivers)]
pub(in crate::http) struct ReceiversDefinition {
    /// OpenID Connect Back-Channel Logout 1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    backchannel_logout: Option<BackchannelLogoutDefinition>,
    /// Security events by push (RFC 8935) or poll (RFC 8936), of the Shared Signals Framework 1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<EventsDefinition>,
    /// Global Token Revocation (draft-parecki-oauth-global-token-revocation).
    #[serde(skip_serializing_if = "Option::is_none")]
    global_token_revocation: Option<GlobalRevocationDefinition>,
    /// Webhooks, signed with a secret of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<WebhookDefinition>,
}

/// Logout tokens are accepted at `/v1/receivers/{name}/backchannel-logout`.
#[derive(Debug, Serialize, ToSchema)]
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

#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Revokes)]
enum RevokesDefinition {
    #[default]
    Session,
    User,
}

/// Security event tokens are accepted at `/v1/receivers/{name}/events`, unless they are polled.
#[derive(Debug, Serialize, ToSchema)]
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
    /// Where the events are polled (RFC 8936), if the stream was set up by hand. Nothing is pushed then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    poll: Option<PollDefinition>,
    /// The stream that the control plane sets up itself (SSF 1.0 section 8.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stream: Option<StreamDefinition>,
}

/// Events are polled. The bearer token is in the file `receiver_secrets_file` of each process.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Poll)]
struct PollDefinition {
    /// The `endpoint_url` of the stream.
    endpoint: String,
}

/// A stream of events that the control plane creates at its transmitter, and keeps as it is registered.
/// The bearer token is in the file `receiver_secrets_file` of each process.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EventStream)]
struct StreamDefinition {
    /// The transmitter's issuer identifier, an https address: the `iss` of its events.
    transmitter: String,
    /// Where the transmitter pushes events to: the address of this receiver, as the transmitter
    /// reaches it. Without it events are polled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    push_to: Option<String>,
    /// Subject identifiers (RFC 9493) that are added to the stream, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    subjects: Vec<BTreeMap<String, String>>,
}

/// What an event revokes.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = EventAction)]
enum ActionDefinition {
    Ignore,
    Session,
    User,
}

/// Users are revoked at `/v1/receivers/{name}/global-token-revocation`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GlobalRevocation)]
struct GlobalRevocationDefinition {
    /// The `aud` of the JWTs that authenticate requests, mostly the address of this receiver. Without one
    /// only API keys do.
    #[serde(default)]
    audiences: Vec<String>,
    /// The `iss` of these JWTs, if it is not that of the issuer's tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    /// The address of the JWK set that they are signed with, if it is not that of the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jwks_uri: Option<String>,
    /// The claim of the tokens that has what a subject is named by, for the formats `account`, `did`,
    /// `email`, `phone_number` and `uri`.
    #[serde(default)]
    subject_claims: BTreeMap<String, String>,
}

/// Webhooks are accepted at `/v1/receivers/{name}/webhook`. The secrets are in the file
/// `receiver_secrets_file` of each process.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Webhook)]
struct WebhookDefinition {
    /// What is known about a provider: `auth0`, `clerk`, `okta`, `stytch`, `supabase` or `workos`. What is
    /// given in addition takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    preset: Option<String>,
    /// How requests are authenticated; by default as Standard Webhooks says.
    #[serde(default)]
    signature: Option<SchemeDefinition>,
    /// Where the body has an array of events, a JSON Pointer. The empty one is the whole body, which may
    /// then also have an event in each line. If absent, the body is one event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    events_pointer: Option<String>,
    /// Where an event has its type, JSON Pointers; by default `/type`. The texts of several are joined by
    /// dots.
    #[serde(default)]
    type_pointers: Vec<String>,
    /// Where an event has its time (RFC 3339), a JSON Pointer: the cut-off of a user, if no time is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_pointer: Option<String>,
    /// A header whose value is sent back to a provider that asks by GET whether it is expected here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    challenge_header: Option<String>,
    /// What the events revoke, by their type. Others are acknowledged and counted.
    #[serde(default)]
    events: BTreeMap<String, WebhookEventDefinition>,
}

/// How the requests of a provider are authenticated.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WebhookSignature)]
enum SchemeDefinition {
    /// Standard Webhooks: `webhook-id`, `webhook-timestamp` and `webhook-signature`, or the same headers
    /// with `svix-`.
    Standard,
    /// One header with time and signatures: `t=…,v1=…`.
    Stamped {
        /// The header's name.
        header: String,
    },
    /// A header with the HMAC-SHA256 of the body.
    Hmac {
        /// The header's name.
        header: String,
        /// What is before the HMAC, such as `sha256=`.
        #[serde(default)]
        prefix: String,
        /// How the HMAC is written; by default in hexadecimal digits.
        #[serde(default)]
        encoding: EncodingDefinition,
        /// A header with unix seconds: then `{time}.{body}` is signed.
        #[serde(default)]
        timestamp_header: Option<String>,
    },
    /// A header with the secret itself.
    Shared {
        /// The header's name.
        header: String,
        /// What is before the secret, such as `Bearer `.
        #[serde(default)]
        prefix: String,
    },
}

#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = HmacEncoding)]
enum EncodingDefinition {
    #[default]
    Hex,
    Base64,
}

/// Where the body of an event has what it revokes: one of the two, a JSON Pointer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookEvent)]
struct WebhookEventDefinition {
    /// The id of a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    /// The id of a user: what the user has is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
}

impl From<Webhook> for WebhookDefinition {
    fn from(one: Webhook) -> Self {
        let Webhook { preset, signature, events_pointer, type_pointers, time_pointer, .. } = one;
        let challenge_header = one.challenge_header;
        let signature = signature.map(|scheme| match scheme {
            Scheme::Standard => SchemeDefinition::Standard,
            Scheme::Stamped { header } => SchemeDefinition::Stamped { header },
            Scheme::Hmac { header, prefix, encoding, timestamp_header } => {
                let encoding = match encoding {
                    HmacEncoding::Hex => EncodingDefinition::Hex,
                    HmacEncoding::Base64 => EncodingDefinition::Base64,
                };
                SchemeDefinition::Hmac { header, prefix, encoding, timestamp_header }
            }
            Scheme::Shared { header, prefix } => SchemeDefinition::Shared { header, prefix },
        });
        let event = |WebhookEvent { session, user }| WebhookEventDefinition { session, user };
        let events = one.events.into_iter().map(|(kind, one)| (kind, event(one))).collect();
        Self {
            preset,
            signature,
            events_pointer,
            type_pointers,
            time_pointer,
            challenge_header,
            events,
        }
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
            poll: one.poll.map(|Poll { endpoint }| PollDefinition { endpoint }),
            stream: one.stream.map(|EventStream { transmitter, push_to, subjects }| {
                StreamDefinition { transmitter, push_to, subjects }
            }),
        });
        let global_token_revocation =
            receivers.global_token_revocation.map(|one| GlobalRevocationDefinition {
                audiences: one.audiences,
                issuer: one.issuer,
                jwks_uri: one.jwks_uri,
                subject_claims: one.subject_claims,
            });
        let webhook = receivers.webhook.map(WebhookDefinition::from);
        Self { backchannel_logout, events, global_token_revocation, webhook }
    }
}
