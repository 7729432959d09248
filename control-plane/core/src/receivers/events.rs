//! Security event tokens (RFC 8417) of the Shared Signals Framework 1.0, with the events of CAEP and RISC.

use std::collections::BTreeMap;

use offswitch_verifier::is_protected_address;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::polling::Poll;
use super::stream::{EventStream, known_status};
use super::subject::{Subject, SubjectRules, read};
use super::{Refusal, Sender, Signed, check_names, check_sender};
use crate::issuers::{KeySource, Registration};
use crate::revoking::{Named, Refused, RefusedKind, Target};

/// The receiver of security events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventReceiver {
    /// Who the receiver is to the transmitter, 1 to 16 names: `aud` must be one of them.
    pub audiences: Vec<String>,
    /// The `iss` of the events, if it is not that of the issuer's tokens.
    pub issuer: Option<String>,
    /// The address of the transmitter's JWK set, if it is not that of the issuer.
    pub jwks_uri: Option<String>,
    /// What events revoke, by their URI, in place of the default.
    pub actions: BTreeMap<String, Action>,
    /// The claim of the tokens that has what a subject is named by, for the formats `account`, `did`,
    /// `email`, `phone_number` and `uri`. Without it a subject of the format is refused.
    pub subject_claims: BTreeMap<String, String>,
    /// Where the events are polled, if the stream was set up by hand. Nothing is pushed then.
    pub poll: Option<Poll>,
    /// The stream that the control plane sets up itself.
    pub stream: Option<EventStream>,
}

/// What an event revokes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing; it is acknowledged and counted.
    Ignore,
    /// The session; the token or the user, if the subject names no session.
    Session,
    /// The tokens that the user has; the session or the token, if the subject names no user.
    User,
}

/// What a security event token asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its `jti`: the same token again is the same event.
    pub id: String,
    /// What to revoke; nothing for events that are ignored.
    pub named: Vec<Named>,
    /// What it says about the stream of events itself.
    pub stream: Option<StreamState>,
}

/// What a transmitter says about its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamState {
    /// It was tried whether events arrive. The state is what the receiver gave with its request for
    /// that; absent if the transmitter tried on its own.
    Verified {
        /// Opaque text.
        state: Option<String>,
    },
    /// Its status changed: `enabled`, `paused` or `disabled`.
    Updated(&'static str),
}

/// Judges a security event token at `now` (unix seconds), whose signature is checked.
///
/// A user gets a cut-off at the token's own `iat`: the time of the provider's clock.
///
/// # Errors
///
/// Why it is refused. An event that is not known is no error.
pub fn event(
    signed: &Signed,
    issuer: &Registration,
    receiver: &EventReceiver,
    now: u64,
) -> Result<Event, Refusal> {
    // Explicit typing is what tells it from other tokens of the issuer (SSF 1.0 section 4.1.1).
    if signed.typ.as_deref() != Some("secevent+jwt") {
        return Err(Refusal::new("wrong_type", "typ must be secevent+jwt"));
    }
    signed.check_parties(&receiver.sender(issuer).issuer, &receiver.audiences)?;
    let iat = signed.check_times(issuer.clock_skew_seconds, MAX_EVENT_AGE_SECONDS, now)?;
    let id = signed.id("jti")?.ok_or_else(|| signed.lacks("jti"))?.to_owned();
    let events = signed.claims.get("events").and_then(Value::as_object);
    let events = events.filter(|events| (1..=MAX_EVENTS).contains(&events.len()));
    let events = events.ok_or_else(|| {
        Refusal::new(
            "malformed",
            format!("events must be an object with 1 to {MAX_EVENTS} members"),
        )
    })?;
    let mut found = Event { id, named: vec![], stream: None };
    let rules = SubjectRules {
        issuer: &issuer.issuer,
        transmitter: receiver.transmitter(),
        claims: &receiver.subject_claims,
    };
    for (uri, payload) in events {
        if !payload.is_object() {
            return Err(Refusal::new("malformed", "an event is not an object"));
        }
        if let Some(kind) = uri.strip_prefix(SSF) {
            found.stream = stream_state(kind, payload).or(found.stream);
            continue;
        }
        let action = receiver.actions.get(uri).copied().unwrap_or_else(|| default(uri, payload));
        // Before SSF 1.0 the subject was a member of the event.
        let subject = signed.claims.get("sub_id").or_else(|| payload.get("subject"));
        let target = match action {
            Action::Ignore => continue,
            action => {
                let subject = subject.ok_or_else(|| signed.lacks("sub_id"))?;
                action.choose(read(subject, &rules)?)?
            }
        };
        let is_cut_off = matches!(target, Target::Claims(_) | Target::User(_));
        // A token of the same second may be older than the event.
        let issued_before = is_cut_off.then(|| iat.saturating_add(1));
        let issuer = Some(issuer.issuer.clone());
        let named = Named { target, exp: None, issued_before, issuer };
        // Several events are several names of one.
        if !found.named.contains(&named) {
            found.named.push(named);
        }
    }
    Ok(found)
}

impl EventReceiver {
    /// Who signs the events.
    pub fn sender(&self, registration: &Registration) -> Sender {
        let own = Sender::of(registration);
        let Some(stream) = &self.stream else {
            return own.or(self.issuer.as_ref(), self.jwks_uri.as_ref());
        };
        let (issuer, keys_of) = (stream.transmitter.clone(), stream.transmitter.clone());
        let keys = match &self.jwks_uri {
            Some(address) => KeySource::Jwks(address.clone()),
            // It has the members of other discovery documents.
            None => KeySource::Discovery(stream.configuration_address()),
        };
        Sender { issuer, keys_of, keys, ..own }
    }

    /// True if the events are polled: then none are taken that are pushed.
    pub fn is_polled(&self) -> bool {
        self.poll.is_some() || self.stream.as_ref().is_some_and(|stream| stream.push_to.is_none())
    }

    /// The events that revoke something, by their URI: what a stream is asked for.
    pub fn requested(&self) -> Vec<String> {
        let defaults = DEFAULTS.iter().map(|(uri, action)| ((*uri).to_owned(), *action));
        let mut all: BTreeMap<String, Action> = defaults.collect();
        all.extend(self.actions.iter().map(|(uri, action)| (uri.clone(), *action)));
        all.retain(|_, action| *action != Action::Ignore);
        all.into_keys().collect()
    }

    /// The name of the transmitter, if it is not the issuer's.
    fn transmitter(&self) -> Option<&str> {
        let of_stream = self.stream.as_ref().map(|stream| stream.transmitter.as_str());
        of_stream.or(self.issuer.as_deref())
    }

    pub(super) fn check(&mut self) -> Result<(), Refused> {
        check_names("events.audiences", &mut self.audiences)?;
        let refused = |member: &str, problem: &str| {
            let detail = format!("events.{member} {problem}");
            Refused { kind: RefusedKind::Invalid, field: "receivers", detail }
        };
        let (issuer, jwks_uri) = (self.issuer.as_ref(), self.jwks_uri.as_ref());
        check_sender("events", issuer, jwks_uri, &mut self.subject_claims)?;
        let is_uri = |uri: &String| (1..=MAX_URI_BYTES).contains(&uri.len()) && uri.contains(':');
        if self.actions.len() > MAX_ACTIONS || !self.actions.keys().all(is_uri) {
            return Err(refused("actions", "must be at most 64 URIs of at most 256 bytes"));
        }
        if let Some(Poll { endpoint }) = &self.poll {
            if !is_protected_address(endpoint) || endpoint.len() > MAX_ADDRESS_BYTES {
                let problem = "must be an https address, or http on this machine";
                return Err(refused("poll.endpoint", problem));
            }
            if self.stream.is_some() {
                return Err(refused("poll", "must be left out: the stream says where to poll"));
            }
        }
        if let Some(stream) = &self.stream {
            stream.check().map_err(|problem| refused("stream", problem))?;
            if self.issuer.is_some() {
                let problem = "must be left out: it is the transmitter of the stream";
                return Err(refused("issuer", problem));
            }
            if self.requested().is_empty() {
                return Err(refused("actions", "leave nothing that the stream could be asked for"));
            }
        }
        Ok(())
    }
}

impl Action {
    fn choose(self, subject: Subject) -> Result<Target, Refusal> {
        let Subject { session, token, user } = subject;
        let chosen = match self {
            Self::Session => session.or(token).or(user),
            _ => user.or(session).or(token),
        };
        let none = || Refusal::new("unsupported_subject", "the subject names no tokens");
        chosen.ok_or_else(none)
    }
}

/// What an event revokes where the registration says nothing else. One that is not known revokes
/// nothing.
fn default(uri: &str, payload: &Value) -> Action {
    // A new second factor ends no session.
    if uri == CREDENTIAL_CHANGE
        && payload.get("change_type").and_then(Value::as_str) == Some("create")
    {
        return Action::Ignore;
    }
    DEFAULTS.iter().find(|(known, _)| *known == uri).map_or(Action::Ignore, |(_, action)| *action)
}

fn stream_state(kind: &str, payload: &Value) -> Option<StreamState> {
    let text = |name: &str| payload.get(name).and_then(Value::as_str);
    match kind {
        "verification" => Some(StreamState::Verified { state: text("state").map(str::to_owned) }),
        "stream-updated" => Some(StreamState::Updated(known_status(text("status")?)?)),
        _ => None,
    }
}

const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";
const CREDENTIAL_CHANGE: &str =
    "https://schemas.openid.net/secevent/caep/event-type/credential-change";
/// docs/guides/shared-signals.md lists them.
const DEFAULTS: [(&str, Action); 10] = [
    ("https://schemas.openid.net/secevent/caep/event-type/session-revoked", Action::Session),
    ("https://schemas.openid.net/secevent/caep/event-type/token-claims-change", Action::User),
    (CREDENTIAL_CHANGE, Action::User),
    (
        "https://schemas.openid.net/secevent/risc/event-type/account-credential-change-required",
        Action::User,
    ),
    ("https://schemas.openid.net/secevent/risc/event-type/account-disabled", Action::User),
    ("https://schemas.openid.net/secevent/risc/event-type/account-purged", Action::User),
    ("https://schemas.openid.net/secevent/risc/event-type/credential-compromise", Action::User),
    ("https://schemas.openid.net/secevent/risc/event-type/identifier-recycled", Action::User),
    ("https://schemas.openid.net/secevent/risc/event-type/sessions-revoked", Action::User),
    ("https://schemas.openid.net/secevent/oauth/event-type/tokens-revoked", Action::User),
];
/// How old a security event token may be. Transmitters keep what was not acknowledged, and repeat it
/// after an outage; a replay only revokes again what is revoked.
const MAX_EVENT_AGE_SECONDS: u64 = 604_800;
const MAX_EVENTS: usize = 8;
const MAX_ACTIONS: usize = 64;
const MAX_URI_BYTES: usize = 256;
const MAX_ADDRESS_BYTES: usize = 512;
