//! One registered issuer: its discovery document, its keys, its clock, its receivers.

use axum::http::{Request, header};
use http_body_util::Full;
use offswitch_client::http::Limits;
use offswitch_core::doctor::{self, Finding, Probe, RegisteredIssuer, SeenReceiver};
use offswitch_verifier::{Algorithm, KeySet};

use crate::clock::unix_seconds;
use crate::remote::{Remote, TIME};

/// Returns its keys, if there are any.
pub(super) async fn examine(
    remote: &Remote,
    public_address: &str,
    issuer: &RegisteredIssuer,
    findings: &mut Vec<Finding>,
) -> Option<KeySet> {
    let begin = findings.len();
    let keys = keys(remote, issuer, findings).await;
    for finding in findings.iter_mut().skip(begin) {
        finding.subject = Some(issuer.name.clone());
    }
    for receiver in &issuer.receiver_status {
        let subject = format!("{}/{}", issuer.name, receiver.receiver);
        let address = format!("{}/v1/receivers/{subject}", public_address.trim_end_matches('/'));
        let events = doctor::receiver_events(receiver, unix_seconds());
        findings.push(events.about(&subject));
        findings.extend(doctor::receiver_stream(receiver).map(|one| one.about(&subject)));
        // Nothing has to reach what polls.
        if receiver.polling.is_some() {
            continue;
        }
        findings.extend(reached(remote, &address, receiver).await.map(|one| one.about(&subject)));
    }
    keys
}

async fn keys(
    remote: &Remote,
    issuer: &RegisteredIssuer,
    findings: &mut Vec<Finding>,
) -> Option<KeySet> {
    let address = match (&issuer.jwks_uri, &issuer.discovery_uri) {
        (Some(address), _) => address.clone(),
        (None, source) => {
            let source = source.as_deref().unwrap_or_default();
            let document = remote.document(source).await;
            let text = document.as_ref().map(|one| &one.answer.body[..]).map_err(String::as_str);
            let (finding, address) = doctor::discovery(issuer, source, text);
            findings.push(finding);
            let Some(address) = address else {
                findings.push(Finding::skipped("key_set", "it is not known where the keys are"));
                return None;
            };
            address
        }
    };
    let fetched = remote.document(&address).await;
    let algorithms = issuer.algorithms.iter().filter_map(|name| Algorithm::from_name(name));
    let algorithms: Vec<Algorithm> = algorithms.collect();
    let keys = fetched.as_ref().map_err(Clone::clone).and_then(|fetched| {
        let keys = KeySet::from_fetched_jwks(&fetched.answer.body, &algorithms);
        keys.map_err(|error| format!("{address}: {error}"))
    });
    findings.push(doctor::key_set("key_set", keys.as_ref().map_err(String::as_str)));
    findings.extend(fetched.map(|fetched| Finding { check: "issuer_clock", ..fetched.clock() }));
    keys.ok().filter(|keys| keys.check_usable().is_ok())
}

/// Sends the receiver what it refuses, at the address that the provider uses.
async fn reached(remote: &Remote, address: &str, receiver: &SeenReceiver) -> Option<Finding> {
    let probe = Probe::of(&receiver.receiver)?;
    let request = Request::builder()
        .method(probe.method)
        .uri(address)
        .header(header::CONTENT_TYPE, probe.media_type)
        .body(Full::default());
    let answer = match request {
        Err(error) => Err(format!("{address}: {error}")),
        Ok(request) => {
            let answer = remote.client.answer(request, SMALL).await;
            answer.map_err(|error| format!("{address}: {error}"))
        }
    };
    let seen = answer.as_ref().map(|answer| (answer.status.as_u16(), &answer.body[..]));
    Some(doctor::public_address(address, probe, seen.map_err(String::as_str)))
}

const SMALL: Limits = Limits { bytes: 64 * 1024, time: TIME };
