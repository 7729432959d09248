//! Webhooks: what a provider posts, authenticated with a shared secret.

use std::collections::BTreeMap;

use chrono::DateTime;
use offswitch_verifier::read_object;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::webhook_presets::{NAMES, preset_of};
use super::webhook_signature::{Genuine, MAX_HEADER_BYTES, Scheme, TOLERANCE_SECONDS};
use super::{Refusal, check_names};
use crate::issuers::Registration;
use crate::revoking::{Named, Refused, RefusedKind, Target, is_id};

/// The receiver of webhooks. Its secrets are in the configuration of each process, never here: this is
/// part of a record of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhook {
    /// What is known about a provider: `auth0`, `clerk`, `okta`, `stytch`, `supabase` or `workos`. What is
    /// given in addition takes its place.
    pub preset: Option<String>,
    /// How requests are authenticated; by default as Standard Webhooks says.
    pub signature: Option<Scheme>,
    /// Where the body has an array of events, a JSON Pointer. The empty one is the whole body, which may
    /// then also have an event in each line. If absent, the body is one event.
    pub events_pointer: Option<String>,
    /// Where an event has its type, JSON Pointers; by default `/type`. The texts of several are joined by
    /// dots.
    pub type_pointers: Vec<String>,
    /// Where an event has its time (RFC 3339), a JSON Pointer: the cut-off of a user, if no time is signed.
    pub time_pointer: Option<String>,
    /// A header whose value is sent back to a provider that asks by GET whether it is expected here.
    pub challenge_header: Option<String>,
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

/// Judges a webhook whose signature is checked at `now` (unix seconds): what all its events revoke.
///
/// A user gets a cut-off at the time that is signed, that of the provider's clock, or that the event has,
/// or else now. In a list of events one may lack the id of a user or a session; it revokes nothing.
///
/// # Errors
///
/// If the body is not JSON, one event alone lacks the id that it should have, an id is no text, or a time
/// is wrong: then nothing of the request counts.
pub fn webhook(
    genuine: &Genuine,
    body: &[u8],
    issuer: &Registration,
    receiver: &Webhook,
    now: u64,
) -> Result<Vec<Named>, Refusal> {
    let events = events_of(body, receiver)?;
    let named = events.iter().map(|event| {
        let named = named(event, genuine, receiver, now)?;
        Ok(named.map(|(target, issued_before)| {
            let issuer = Some(issuer.issuer.clone());
            Named { target, exp: None, issued_before, issuer }
        }))
    });
    named.filter_map(Result::transpose).collect()
}

/// The events of a body, at most [`MOST_EVENTS`].
fn events_of(body: &[u8], receiver: &Webhook) -> Result<Vec<Value>, Refusal> {
    let object = |text: &[u8]| {
        let object = read_object(text);
        object.ok_or_else(|| wrong("the body is not JSON without repeated members".to_owned()))
    };
    let events = match receiver.events_pointer.as_deref() {
        None => vec![Value::Object(object(body)?)],
        Some("") if body.trim_ascii_start().starts_with(b"[") => {
            // Read as a member, since an object is what can be read strictly: the only one, so that the
            // body cannot have closed it.
            let whole = object(&[br#"{"events":"#, body, b"}"].concat())?;
            let whole = Some(whole).filter(|whole| whole.len() == 1).unwrap_or_default();
            list(whole, "/events")?
        }
        Some("") => {
            let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            let lines = lines.filter(|line| !line.is_empty()).take(MOST_EVENTS + 1);
            lines.map(|line| object(line).map(Value::Object)).collect::<Result<_, _>>()?
        }
        Some(pointer) => list(object(body)?, pointer)?,
    };
    match events.len() {
        0 => Err(wrong("the body has no event".to_owned())),
        1..=MOST_EVENTS => Ok(events),
        _ => Err(wrong(format!("the body has more than {MOST_EVENTS} events"))),
    }
}

fn list(body: Map<String, Value>, pointer: &str) -> Result<Vec<Value>, Refusal> {
    match Value::Object(body).pointer_mut(pointer).map(Value::take) {
        Some(Value::Array(events)) => Ok(events),
        _ => Err(wrong(format!("the body has no array of events at {pointer}"))),
    }
}

/// What an event revokes, and of a user the tokens of which time.
fn named(
    event: &Value,
    genuine: &Genuine,
    receiver: &Webhook,
    now: u64,
) -> Result<Option<(Target, Option<u64>)>, Refusal> {
    let kind = kind_of(event, &receiver.type_pointers)?;
    let Some(WebhookEvent { session, user }) = receiver.events.get(&kind) else { return Ok(None) };
    let is_alone = receiver.events_pointer.is_none();
    let id = |pointer: &String| match event.pointer(pointer) {
        Some(Value::String(id)) if is_id(id) => Ok(Some(id.clone())),
        // The log of a provider also has events of no user.
        None | Some(Value::Null) if !is_alone => Ok(None),
        Some(Value::String(id)) if !is_alone && id.is_empty() => Ok(None),
        _ => Err(wrong(format!("an event has no id of 1 to 256 bytes at {pointer}"))),
    };
    if let Some(pointer) = session {
        return Ok(id(pointer)?.map(|id| (Target::Session(id), None)));
    }
    let Some(pointer) = user else { return Ok(None) };
    let Some(id) = id(pointer)? else { return Ok(None) };
    let at = match (genuine.at, &receiver.time_pointer) {
        (Some(at), _) => Some(at),
        (None, Some(pointer)) => Some(time_of(event, pointer, now)?),
        (None, None) => None,
    };
    // A token of the same second may be older than the event.
    Ok(Some((Target::User(id), at.map(|at| at.saturating_add(1)))))
}

fn kind_of(event: &Value, pointers: &[String]) -> Result<String, Refusal> {
    let default = [TYPE_POINTER.to_owned()];
    let pointers = if pointers.is_empty() { &default } else { pointers };
    let texts = pointers.iter().map(|pointer| {
        let text = event.pointer(pointer).and_then(Value::as_str);
        text.ok_or_else(|| wrong(format!("an event has no text at {pointer}")))
    });
    Ok(texts.collect::<Result<Vec<_>, _>>()?.join("."))
}

/// The time of an event. A cut-off in the future would refuse the next login too.
fn time_of(event: &Value, pointer: &str, now: u64) -> Result<u64, Refusal> {
    let text = event.pointer(pointer).and_then(Value::as_str);
    let time = text.and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let at = time.and_then(|time| u64::try_from(time.timestamp()).ok());
    let at = at.ok_or_else(|| wrong(format!("an event has no RFC 3339 time at {pointer}")))?;
    if at > now.saturating_add(TOLERANCE_SECONDS) {
        let detail = format!("an event of {at}, now is {now}: at most {TOLERANCE_SECONDS} s ahead");
        return Err(Refusal::new("not_yet_valid", detail));
    }
    Ok(at)
}

fn wrong(detail: String) -> Refusal {
    Refusal::new("malformed", detail)
}

impl Webhook {
    /// The answer to a provider that asks whether it is expected here: the value of its header.
    pub fn challenge<'a>(&self, header: impl Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
        let value = header(self.challenge_header.as_deref()?)?;
        (1..=MAX_CHALLENGE_BYTES).contains(&value.len()).then_some(value)
    }

    /// Fills in the preset, and checks all of it.
    pub(super) fn check(&mut self) -> Result<(), Refused> {
        let refused = |member: &str, problem: &str| {
            let detail = format!("webhook.{member} {problem}");
            Refused { kind: RefusedKind::Invalid, field: "receivers", detail }
        };
        if let Some(preset) = &self.preset {
            let known = preset_of(preset);
            self.fill(known.ok_or_else(|| refused("preset", &format!("is {NAMES}")))?);
        }
        if let Some(scheme) = &self.signature {
            scheme.check().map_err(|problem| refused("signature", problem))?;
        }
        let is_pointer = |one: &String| one.starts_with('/') && one.len() <= MAX_POINTER_BYTES;
        let problem = "must be JSON Pointers of at most 128 bytes that begin with /";
        let list = self.events_pointer.iter().filter(|one| !one.is_empty());
        if !list.clone().all(is_pointer) {
            return Err(refused("events_pointer", problem));
        }
        if self.type_pointers.len() > MOST_TYPE_POINTERS
            || !self.type_pointers.iter().all(is_pointer)
        {
            return Err(refused(
                "type_pointers",
                "must be at most 4 JSON Pointers that begin with /",
            ));
        }
        if !self.time_pointer.iter().all(is_pointer) {
            return Err(refused("time_pointer", problem));
        }
        let is_header = |name: &String| (1..=MAX_HEADER_BYTES).contains(&name.len());
        if !self.challenge_header.iter().all(is_header) {
            return Err(refused("challenge_header", "must have 1 to 64 bytes"));
        }
        let mut ids = self.events.values().flat_map(|one| one.session.iter().chain(&one.user));
        if !ids.all(is_pointer) {
            return Err(refused("events", problem));
        }
        if !self.events.values().all(|one| one.session.is_some() != one.user.is_some()) {
            return Err(refused("events", "must each have one of session and user"));
        }
        let mut kinds: Vec<String> = self.events.keys().cloned().collect();
        check_names("webhook.events", &mut kinds)
    }

    /// What is not given is that of a preset.
    fn fill(&mut self, known: Self) {
        let Self { signature, events_pointer, type_pointers, time_pointer, .. } = known;
        self.signature = self.signature.take().or(signature);
        self.events_pointer = self.events_pointer.take().or(events_pointer);
        self.time_pointer = self.time_pointer.take().or(time_pointer);
        self.challenge_header = self.challenge_header.take().or(known.challenge_header);
        if self.type_pointers.is_empty() {
            self.type_pointers = type_pointers;
        }
        for (kind, event) in known.events {
            self.events.entry(kind).or_insert(event);
        }
    }
}

const TYPE_POINTER: &str = "/type";
const MAX_POINTER_BYTES: usize = 128;
const MOST_TYPE_POINTERS: usize = 4;
/// More than fit into a body with what providers say about each.
const MOST_EVENTS: usize = 1000;
const MAX_CHALLENGE_BYTES: usize = 256;
