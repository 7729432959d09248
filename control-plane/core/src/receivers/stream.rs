//! A stream of security events that the control plane sets up itself, and its transmitter (SSF 1.0
//! section 7).

use std::collections::BTreeMap;

use offswitch_verifier::{Shown, is_protected_address, read_object};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Refusal;
use crate::revoking::is_id;

/// A stream that the control plane creates, and keeps as it is registered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventStream {
    /// The transmitter's issuer identifier, an https address: the `iss` of its events.
    pub transmitter: String,
    /// Where the transmitter pushes events to: the address of this receiver, as the transmitter
    /// reaches it. Without it events are polled.
    pub push_to: Option<String>,
    /// Subject identifiers (RFC 9493) that are added to the stream, at most 16: for a transmitter whose
    /// new streams have no subject.
    pub subjects: Vec<BTreeMap<String, String>>,
}

/// What a transmitter says about itself (SSF 1.0 section 7.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmitter {
    /// Where streams are created, read and updated.
    pub configuration_endpoint: String,
    /// Where the status of a stream is read.
    pub status_endpoint: Option<String>,
    /// Where subjects are added to a stream.
    pub add_subject_endpoint: Option<String>,
    /// Where a verification event is asked for.
    pub verification_endpoint: Option<String>,
    /// True if a new stream is about no subject until one is added.
    pub begins_without_subjects: bool,
}

impl EventStream {
    /// The address of the transmitter's configuration (SSF 1.0 section 7.2.1): the well-known path is
    /// inserted before that of the issuer.
    pub fn configuration_address(&self) -> String {
        let name = self.transmitter.trim_end_matches('/');
        let host = name.find("://").map_or(0, |at| at + 3);
        let path = name[host..].find('/').map_or(name.len(), |at| host + at);
        let (origin, path) = name.split_at(path);
        format!("{origin}/.well-known/ssf-configuration{path}")
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        let is_name = |name: &str| is_protected_address(name) && !name.contains(['?', '#']);
        if self.transmitter.len() > MAX_ADDRESS_BYTES || !is_name(&self.transmitter) {
            return Err(
                "transmitter must be an https address without query and fragment, or http \
                        on this machine",
            );
        }
        let is_good =
            |address: &str| address.len() <= MAX_ADDRESS_BYTES && is_protected_address(address);
        if self.push_to.as_deref().is_some_and(|address| !is_good(address)) {
            return Err("push_to must be an https address, or http on this machine");
        }
        let is_subject = |subject: &BTreeMap<String, String>| {
            let texts = subject.iter().flat_map(|(name, value)| [name, value]);
            subject.contains_key("format")
                && subject.len() <= MAX_SUBJECT_MEMBERS
                && texts.into_iter().all(|text| is_id(text))
        };
        if self.subjects.len() > MAX_SUBJECTS || !self.subjects.iter().all(is_subject) {
            return Err("subjects must be at most 16 subject identifiers (RFC 9493), each with a \
                        format, and with members of 1 to 256 bytes");
        }
        Ok(())
    }

    /// Reads the transmitter's configuration, the answer from [`configuration_address`].
    ///
    /// [`configuration_address`]: Self::configuration_address
    ///
    /// # Errors
    ///
    /// `transmitter_invalid` if it is that of another transmitter, or has no endpoint for streams.
    pub fn read_transmitter(&self, text: &[u8]) -> Result<Transmitter, Refusal> {
        let document = read_object(text);
        let document =
            document.ok_or_else(|| invalid("the configuration is not one JSON object"))?;
        let member = |name: &str| document.get(name).and_then(Value::as_str);
        if member("issuer") != Some(&*self.transmitter) {
            let found = Shown::new(member("issuer").unwrap_or_default());
            let detail = format!("the configuration is that of the transmitter {found}");
            return Err(invalid(&detail));
        }
        let endpoint = |name: &str| match member(name) {
            Some(address) if !self.allows(address) => {
                let found = Shown::new(address);
                Err(invalid(&format!("the {name} is {found}, expected https")))
            }
            found => Ok(found.map(str::to_owned)),
        };
        let configuration_endpoint = endpoint("configuration_endpoint")?;
        let none = || invalid("the configuration names no configuration_endpoint for streams");
        Ok(Transmitter {
            configuration_endpoint: configuration_endpoint.ok_or_else(none)?,
            status_endpoint: endpoint("status_endpoint")?,
            add_subject_endpoint: endpoint("add_subject_endpoint")?,
            verification_endpoint: endpoint("verification_endpoint")?,
            begins_without_subjects: member("default_subjects") == Some("NONE"),
        })
    }

    /// What came over TLS leads to no address without it: our credential goes there.
    pub(super) fn allows(&self, address: &str) -> bool {
        let is_downgrade =
            self.transmitter.starts_with("https://") && !address.starts_with("https://");
        address.len() <= MAX_ADDRESS_BYTES && is_protected_address(address) && !is_downgrade
    }
}

/// Reads the answer of a status endpoint (SSF 1.0 section 8.1.2.1).
///
/// # Errors
///
/// `transmitter_invalid` if it names no known status.
pub fn stream_status(text: &[u8]) -> Result<&'static str, Refusal> {
    let document = read_object(text);
    let status = document.as_ref().and_then(|document| document.get("status")?.as_str());
    let known = status.and_then(known_status);
    known.ok_or_else(|| invalid("the status of the stream is not enabled, paused or disabled"))
}

/// The status of a stream with this name.
pub(super) fn known_status(name: &str) -> Option<&'static str> {
    ["enabled", "paused", "disabled"].into_iter().find(|known| *known == name)
}

pub(super) fn invalid(detail: &str) -> Refusal {
    Refusal::new(TRANSMITTER_INVALID, detail)
}

/// The code of an answer of a transmitter that is not as its specification says.
pub const TRANSMITTER_INVALID: &str = "transmitter_invalid";
const MAX_ADDRESS_BYTES: usize = 512;
const MAX_SUBJECTS: usize = 16;
const MAX_SUBJECT_MEMBERS: usize = 8;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stream(transmitter: &str) -> EventStream {
        EventStream { transmitter: transmitter.to_owned(), ..EventStream::default() }
    }

    // I11: SSF 1.0 section 7.2.1 inserts the well-known path.
    #[test]
    fn the_configuration_of_a_transmitter_is_at_its_well_known_address() {
        for (name, address) in [
            ("https://tr.example", "https://tr.example/.well-known/ssf-configuration"),
            ("https://tr.example/", "https://tr.example/.well-known/ssf-configuration"),
            ("https://tr.example/a/b/", "https://tr.example/.well-known/ssf-configuration/a/b"),
        ] {
            assert_eq!(stream(name).configuration_address(), address);
        }
    }

    // I11: our credential goes to the endpoints, so they are those of the transmitter itself, over TLS.
    #[test]
    fn the_configuration_is_that_of_the_transmitter_and_leads_to_no_weaker_address() {
        let read = |issuer: &str, endpoint: &str| {
            let text = json!({ "issuer": issuer, "configuration_endpoint": endpoint });
            stream(TR).read_transmitter(text.to_string().as_bytes())
        };
        let endpoint = "https://api.tr.example/streams";
        assert_eq!(read(TR, endpoint).unwrap().configuration_endpoint, endpoint);
        for (issuer, endpoint) in [
            ("https://tr.example/", endpoint),
            ("https://other.example", endpoint),
            (TR, "http://tr.example/streams"),
            (TR, "http://127.0.0.1/streams"),
            (TR, "file:///etc/passwd"),
        ] {
            let refused = read(issuer, endpoint).unwrap_err();
            assert_eq!(refused.code, TRANSMITTER_INVALID, "{issuer} {endpoint}");
        }
        for text in ["", "[]", "{}", r#"{"issuer":"https://tr.example"}"#] {
            assert!(stream(TR).read_transmitter(text.as_bytes()).is_err(), "{text}");
        }
    }

    const TR: &str = "https://tr.example";
}
