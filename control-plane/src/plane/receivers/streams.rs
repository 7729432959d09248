//! Keeps the streams of events as they are registered: sets them up at their transmitters (SSF 1.0 section
//! 8.1), checks them, and polls those that are polled.
//!
//! Every process does all of it: there is no leader. A stream is created once, see `creation`. All else is
//! harmless to repeat.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use offswitch_core::issuers::Registration;
use offswitch_core::receivers::{
    EventReceiver, Pace, ReceiverKind, Refusal, StreamConfiguration, TRANSMITTER_INVALID,
    Transmitter, WantedStream, stream_status,
};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use url::Url;

use super::polling::random;
use super::transmitter::{Call, CallFailure};
use super::{ReceiverFailure, Receivers, SetUp};
use crate::store::Store;
use offswitch_client::http::Limits;

/// The tasks for one issuer; they end when it is dropped.
struct Kept {
    registration: Registration,
    task: JoinHandle<()>,
}

/// One stream, and what this process has done for it since it began.
pub(super) struct Keeping<'a> {
    pub(super) name: &'a str,
    pub(super) wanted: WantedStream<'a>,
    token: Option<&'a str>,
    endpoint: watch::Sender<Option<String>>,
    /// The stream for which the rest is true.
    id: String,
    is_updated: bool,
    has_subjects: bool,
    asked: Option<Instant>,
}

/// What came of an attempt.
enum Outcome {
    Done,
    /// Another process is creating the stream.
    Pending,
}

impl Receivers {
    /// Starts and ends what each registered issuer needs, until the process ends.
    pub(in crate::plane) async fn keep_streams(self: Arc<Self>) {
        let mut all: BTreeMap<String, Kept> = BTreeMap::new();
        loop {
            let issuers = self.log.issuers();
            all.retain(|name, kept| {
                let is_same = issuers.named(name) == Some(&kept.registration);
                let is_kept = is_same && !kept.task.is_finished();
                if !is_kept && kept.has_stream() {
                    // Nothing is known of it any more.
                    enabled_gauge(name).set(f64::NAN);
                }
                is_kept
            });
            for (name, registration) in issuers.registered() {
                let Some(receiver) = &registration.receivers.events else { continue };
                if all.contains_key(name) || (!receiver.is_polled() && receiver.stream.is_none()) {
                    continue;
                }
                let task = self.clone().keep(name.to_owned(), receiver.clone());
                let (registration, task) = (registration.clone(), tokio::spawn(task));
                all.insert(name.to_owned(), Kept { registration, task });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn keep(self: Arc<Self>, name: String, receiver: EventReceiver) {
        self.with_state(&name, ReceiverKind::Events, |state| {
            state.status.stream = Default::default();
            state.status.polling = Default::default();
        });
        let token = match self.secrets.transmitter_token(&name, &receiver) {
            Ok(token) => token,
            Err(refusal) => {
                self.note_set_up(&name, Some(refusal));
                return std::future::pending().await;
            }
        };
        let known = receiver.poll.as_ref().map(|poll| poll.endpoint.clone());
        let (endpoint, polled) = watch::channel(known);
        let lost = Notify::new();
        let polling = self.keep_polling(&name, token, polled, &lost);
        let Some(stream) = &receiver.stream else { return polling.await };
        let description = format!("offswitch {} {name}", self.feed);
        let wanted = WantedStream { receiver: &receiver, stream, description: &description };
        let keeping = Keeping {
            name: &name,
            wanted,
            token,
            endpoint,
            id: String::new(),
            is_updated: false,
            has_subjects: false,
            asked: None,
        };
        tokio::join!(self.keep_set_up(keeping, &lost), polling);
    }

    /// Checks the stream now and then, and when a poll finds it `lost`.
    async fn keep_set_up(&self, mut keeping: Keeping<'_>, lost: &Notify) {
        let mut pace = Pace::default();
        loop {
            let pause = match self.set_up(&mut keeping).await {
                Ok(Outcome::Done) => {
                    pace = Pace::default();
                    self.note_set_up(keeping.name, None);
                    let part = CHECK_EVERY / 4 * u32::from(random()) / u32::from(u8::MAX);
                    let _ = tokio::time::timeout(CHECK_EVERY - part, lost.notified()).await;
                    continue;
                }
                Ok(Outcome::Pending) => LOOK_EVERY * 2,
                Err(failure) => {
                    self.note_set_up(keeping.name, Some(failure.refusal));
                    pace.failed(failure.retry_after, random())
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Creates the stream if there is none, changes it if it is another than is registered, and checks it.
    async fn set_up(&self, keeping: &mut Keeping<'_>) -> Result<Outcome, CallFailure> {
        let wanted = keeping.wanted;
        let address = wanted.stream.configuration_address();
        let document = self.at(keeping, Method::GET, &address, None).await?;
        let transmitter = wanted.stream.read_transmitter(&document)?;
        let Some(mut found) = self.found_or_created(keeping, &transmitter).await? else {
            return Ok(Outcome::Pending);
        };
        keeping.begin(&found.id);
        let is_as_wanted = found.is_delivered && found.is_requested;
        if !is_as_wanted && !keeping.is_updated {
            let (address, body) = (&transmitter.configuration_endpoint, wanted.update(&found.id));
            let answer = self.at(keeping, Method::PATCH, address, Some(body)).await?;
            // A transmitter may ignore events that it does not know: they stay different.
            keeping.is_updated = true;
            found = wanted.read(&answer)?;
        }
        if !found.is_delivered {
            let detail =
                "the transmitter does not deliver the stream in the way that is registered";
            return Err(Refusal { code: TRANSMITTER_INVALID, detail: detail.to_owned() }.into());
        }
        keeping.endpoint.send_if_modified(|held| {
            let is_new = *held != found.poll_endpoint;
            held.clone_from(&found.poll_endpoint);
            is_new
        });
        self.check(keeping, &transmitter, found).await?;
        Ok(Outcome::Done)
    }

    /// Reads the status of the stream, adds its subjects, and asks for a verification event.
    async fn check(
        &self,
        keeping: &mut Keeping<'_>,
        transmitter: &Transmitter,
        found: StreamConfiguration,
    ) -> Result<(), CallFailure> {
        let (name, id) = (keeping.name, found.id.clone());
        let now = self.store.now();
        self.with_state(name, ReceiverKind::Events, |state| {
            let set_up = SetUp { id: found.id, events: found.delivered, checked_at: now };
            state.status.stream.set_up = Some(set_up);
        });
        let mut is_enabled = true;
        if let Some(endpoint) = &transmitter.status_endpoint {
            let answer = self.at(keeping, Method::GET, &of_stream(endpoint, &id)?, None).await?;
            let status = stream_status(&answer)?;
            is_enabled = status == "enabled";
            self.with_state(name, ReceiverKind::Events, |state| {
                let held = &mut state.status.stream.status;
                // When it changed, as far as this process knows.
                if held.is_none_or(|(_, known)| known != status) {
                    *held = Some((now, status));
                }
            });
        }
        enabled_gauge(name).set(if is_enabled { 1.0 } else { 0.0 });
        self.add_subjects(keeping, transmitter, &id).await?;
        let pause = ASK_EVERY.max(Duration::from_secs(found.verification_seconds));
        let is_due = keeping.asked.is_none_or(|asked| asked.elapsed() > pause);
        match &transmitter.verification_endpoint {
            Some(endpoint) if is_enabled && is_due => {
                let body = json!({ "stream_id": id, "state": self.state(name, now) });
                match self.at(keeping, Method::POST, endpoint, Some(body)).await {
                    Ok(_) => {
                        keeping.asked = Some(Instant::now());
                        self.with_state(name, ReceiverKind::Events, |state| {
                            state.status.stream.asked_at = Some(now);
                        });
                    }
                    // Another process has just asked.
                    Err(one) if one.status == Some(StatusCode::TOO_MANY_REQUESTS) => {}
                    Err(failure) => return Err(failure),
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn add_subjects(
        &self,
        keeping: &mut Keeping<'_>,
        transmitter: &Transmitter,
        id: &str,
    ) -> Result<(), CallFailure> {
        let subjects = &keeping.wanted.stream.subjects;
        if keeping.has_subjects || (subjects.is_empty() && !transmitter.begins_without_subjects) {
            return Ok(());
        }
        let missing = |detail: &str| Refusal { code: "no_subjects", detail: detail.to_owned() };
        if subjects.is_empty() {
            let detail =
                "the transmitter sends events of no subject that is not added: set subjects";
            return Err(missing(detail).into());
        }
        let Some(endpoint) = &transmitter.add_subject_endpoint else {
            return Err(missing("the transmitter has no endpoint to add subjects at").into());
        };
        for subject in subjects {
            let body = json!({ "stream_id": id, "subject": subject });
            self.at(keeping, Method::POST, endpoint, Some(body)).await?;
        }
        keeping.has_subjects = true;
        Ok(())
    }

    /// What the transmitter of a stream answers.
    pub(super) async fn at(
        &self,
        keeping: &Keeping<'_>,
        method: Method,
        address: &str,
        body: Option<Value>,
    ) -> Result<Vec<u8>, CallFailure> {
        let token = keeping.token;
        let call = Call { method, address, token, body, limits: DOCUMENT };
        Ok(self.transmitters.call(call).await?.body.to_vec())
    }

    fn note_set_up(&self, name: &str, error: Option<Refusal>) {
        if error.is_some() {
            enabled_gauge(name).set(0.0);
        }
        let now = self.store.now();
        self.with_state(name, ReceiverKind::Events, |state| {
            let held = &mut state.status.stream.error;
            if let Some(Refusal { code, detail }) = &error
                && held.as_ref().is_none_or(|held| held.code != *code)
            {
                tracing::warn!(issuer = name, code, detail, "a stream of events is not set up");
            }
            *held = error.map(|refusal| ReceiverFailure::new(now, &refusal));
        });
    }

    /// A text that this control plane, and no other, makes to ask for a verification event with.
    fn state(&self, name: &str, now: u64) -> String {
        let mac = self.master.mac(STATE_CONTEXT, format!("{now}:{name}").as_bytes());
        format!("{now}.{}", mac.to_hex())
    }

    /// True if a process of this control plane has made that text in the last day.
    pub(super) fn is_our_state(&self, name: &str, state: &str, now: u64) -> bool {
        let Some((at, mac)) = state.split_once('.') else { return false };
        let (Ok(at), Ok(mac)) = (at.parse::<u64>(), blake3::Hash::from_hex(mac)) else {
            return false;
        };
        now.abs_diff(at) < STATE_SECONDS
            && self.master.is_mac(STATE_CONTEXT, format!("{at}:{name}").as_bytes(), mac)
    }
}

impl Keeping<'_> {
    /// Forgets what was done for another stream.
    fn begin(&mut self, id: &str) {
        if self.id != id {
            id.clone_into(&mut self.id);
            (self.is_updated, self.has_subjects, self.asked) = (false, false, None);
        }
    }
}

impl Kept {
    fn has_stream(&self) -> bool {
        self.registration.receivers.events.as_ref().is_some_and(|one| one.stream.is_some())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn enabled_gauge(name: &str) -> metrics::Gauge {
    metrics::gauge!("offswitch_stream_enabled", "issuer" => name.to_owned())
}

/// The address of what an endpoint has about one stream.
pub(super) fn of_stream(endpoint: &str, id: &str) -> Result<String, Refusal> {
    let detail = |error: url::ParseError| format!("{endpoint}: {error}");
    let refused = |error| Refusal { code: TRANSMITTER_INVALID, detail: detail(error) };
    let mut address = Url::parse(endpoint).map_err(refused)?;
    address.query_pairs_mut().append_pair("stream_id", id);
    Ok(address.into())
}

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a stream is checked that is set up; up to a quarter less, so that processes differ.
const CHECK_EVERY: Duration = Duration::from_secs(300);
const ASK_EVERY: Duration = Duration::from_secs(3600);
const DOCUMENT: Limits = Limits { bytes: 256 * 1024, time: Duration::from_secs(10) };
const STATE_CONTEXT: &str = "offswitch 2026-11 stream verification v1";
const STATE_SECONDS: u64 = 86_400;
