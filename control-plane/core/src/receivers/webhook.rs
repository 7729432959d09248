//! Webhooks: what a provider posts, and signs with a shared secret.

use std::collections::BTreeMap;

use offswitch_verifier::read_object;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::webhook_signature::{Genuine, Scheme};
use super::{Refusal, check_names};
use crate::issuers::Registration;
use crate::revoking::{Named, Refused, RefusedKind, Target, is_id};

/// The receiver of webhooks. Its secrets are in the configuration of each process, never here: this is
/// part of a record of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhook {
    /// What is known about a provider: `clerk` or `workos`. What is given in addition takes its place.
    pub preset: Option<String>,
    /// How requests are signed; by default as Standard Webhooks says.
    pub signature: Option<Scheme>,
    /// Where the body has the type of the event, a JSON Pointer; by default `/type`.
    pub type_pointer: Option<String>,
    /// What the events revoke, by their type. Others are acknowledged and counted.
    pub events: BTreeMap<String, WebhookEvent>,
}

/// Where the body of an event has what it revokes: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookEvent {
    /// The id of a session, a JSON Pointer.
    pub session: Option<String>,
    /// The id of a user, a JSON Pointer: what the user has is revoked.
    pub user: Option<String>,
}

/// Judges a webhook whose signature is checked.
///
/// A user gets a cut-off at the time that is signed, that of the provider's clock, or else now.
///
/// # Errors
///
/// If the body is not JSON, or lacks the id that its event should have.
pub fn webhook(
    genuine: &Genuine,
    body: &[u8],
    issuer: &Registration,
    receiver: &Webhook,
) -> Result<Option<Named>, Refusal> {
    let wrong = |detail: String| Refusal::new("malformed", detail);
    let body = read_object(body).ok_or_else(|| wrong("the body is not one JSON object".into()))?;
    let body = Value::Object(body);
    let pointer = receiver.type_pointer.as_deref().unwrap_or(TYPE_POINTER);
    let kind = body.pointer(pointer).and_then(Value::as_str);
    let kind = kind.ok_or_else(|| wrong(format!("the body has no text at {pointer}")))?;
    let Some(WebhookEvent { session, user }) = receiver.events.get(kind) else { return Ok(None) };
    let id = |pointer: &String| {
        let id = body.pointer(pointer).and_then(Value::as_str).filter(|id| is_id(id));
        id.map(str::to_owned)
            .ok_or_else(|| wrong(format!("the body has no id of 1 to 256 bytes at {pointer}")))
    };
    let (target, issued_before) = match (session, user) {
        (Some(pointer), _) => (Target::Session(id(pointer)?), None),
        // A token of the same second may be older than the event.
        (None, Some(pointer)) => {
            (Target::User(id(pointer)?), genuine.at.map(|at| at.saturating_add(1)))
        }
        (None, None) => return Ok(None),
    };
    let issuer = Some(issuer.issuer.clone());
    Ok(Some(Named { target, exp: None, issued_before, issuer }))
}

impl Webhook {
    /// Fills in the preset, and checks all of it.
    pub(super) fn check(&mut self) -> Result<(), Refused> {
        let refused = |member: &str, problem: &str| {
            let detail = format!("webhook.{member} {problem}");
            Refused { kind: RefusedKind::Invalid, field: "receivers", detail }
        };
        if let Some(preset) = &self.preset {
            let known = preset_of(preset).ok_or_else(|| refused("preset", "is clerk or workos"))?;
            self.signature = self.signature.take().or(known.signature);
            self.type_pointer = self.type_pointer.take().or(known.type_pointer);
            for (kind, event) in known.events {
                self.events.entry(kind).or_insert(event);
            }
        }
        if let Some(scheme) = &self.signature {
            scheme.check().map_err(|problem| refused("signature", problem))?;
        }
        let pointers = self.events.values().flat_map(|one| one.session.iter().chain(&one.user));
        let mut pointers = pointers.chain(&self.type_pointer);
        if !pointers.all(|one| one.starts_with('/') && one.len() <= MAX_POINTER_BYTES) {
            let problem = "must be JSON Pointers of at most 128 bytes that begin with /";
            return Err(refused("events", problem));
        }
        if !self.events.values().all(|one| one.session.is_some() != one.user.is_some()) {
            return Err(refused("events", "must each have one of session and user"));
        }
        let mut kinds: Vec<String> = self.events.keys().cloned().collect();
        check_names("webhook.events", &mut kinds)
    }
}

/// What is known about a provider.
fn preset_of(name: &str) -> Option<Webhook> {
    let session = |kind: &str| {
        let session = Some("/data/id".to_owned());
        (kind.to_owned(), WebhookEvent { session, user: None })
    };
    let user = |kind: &str| {
        let user = Some("/data/id".to_owned());
        (kind.to_owned(), WebhookEvent { session: None, user })
    };
    let (signature, type_pointer, events) = match name {
        "clerk" => {
            let ends = ["session.ended", "session.removed", "session.revoked"].map(session);
            let events = ends.into_iter().chain([user("user.deleted")]).collect();
            (Scheme::Standard, TYPE_POINTER, events)
        }
        "workos" => {
            let scheme = Scheme::Stamped { header: "workos-signature".to_owned() };
            (scheme, "/event", [session("session.revoked"), user("user.deleted")].into())
        }
        _ => return None,
    };
    let (signature, type_pointer) = (Some(signature), Some(type_pointer.to_owned()));
    Some(Webhook { preset: None, signature, type_pointer, events })
}

const TYPE_POINTER: &str = "/type";
const MAX_POINTER_BYTES: usize = 128;
