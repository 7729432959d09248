//! Relying parties: applications with sessions of their own, which hear when a session of this control
//! plane ends. What may be registered, what is sent, and when it is sent again. Pure, as everything here.

mod answer;
mod notice;
mod progress;
mod window;

use offswitch_verifier::is_protected_address;
use serde::{Deserialize, Serialize};

use crate::revoking::{Refused, RefusedKind};

pub use answer::{Outcome, REFUSED, UNEXPECTED_STATUS, judge, pause_seconds};
pub use notice::{Ending, Initiator, Notice, ends_sessions};
pub use progress::{Failure, Place, Progress};
pub use window::{Item, Settled, Window};

/// A relying party, as an operator describes it. Exactly one of the two addresses is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelyingPartyDefinition {
    /// The `aud` of what it is sent: its `client_id`, 1 to 256 bytes.
    pub audience: String,
    /// Where it takes logout tokens (OpenID Connect Back-Channel Logout 1.0 section 2.2).
    pub backchannel_logout_uri: Option<String>,
    /// True if it finds sessions by `sid`: logout tokens then have a `sid` and no `sub`. It goes with
    /// `backchannel_logout_uri`.
    pub backchannel_logout_session_required: bool,
    /// Where it takes security event tokens by push (RFC 8935).
    pub endpoint_url: Option<String>,
}

/// A relying party that can be registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelyingParty {
    /// The `aud` of what it is sent.
    pub audience: String,
    /// How it is sent.
    pub delivery: Delivery,
}

/// How a relying party is sent that a session has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// A logout token, as a form (OpenID Connect Back-Channel Logout 1.0 section 2.5).
    BackchannelLogout {
        /// The address.
        uri: String,
        /// True if logout tokens must have a `sid`, and have no `sub` then.
        session_required: bool,
    },
    /// A security event token with the event `session-revoked` of CAEP (RFC 8935 section 2).
    Push {
        /// The address.
        endpoint_url: String,
    },
}

impl RelyingPartyDefinition {
    /// Checks it for the name under which it is to be registered.
    ///
    /// # Errors
    ///
    /// Which member is wrong.
    pub fn check(self, name: &str) -> Result<RelyingParty, Refused> {
        let is_plain = |one: char| matches!(one, 'a'..='z' | '0'..='9' | '-' | '_' | '.');
        if !(1..=MAX_NAME_BYTES).contains(&name.len()) || !name.chars().all(is_plain) {
            let detail = format!("must have 1 to {MAX_NAME_BYTES} of the characters a-z 0-9 - _ .");
            return Err(invalid("name", detail));
        }
        let is_printable = !self.audience.chars().any(char::is_control);
        if !(1..=MAX_AUDIENCE_BYTES).contains(&self.audience.len()) || !is_printable {
            let detail =
                format!("must have 1 to {MAX_AUDIENCE_BYTES} bytes and no control character");
            return Err(invalid("audience", detail));
        }
        let session_required = self.backchannel_logout_session_required;
        let delivery = match (self.backchannel_logout_uri, self.endpoint_url) {
            (Some(uri), None) => {
                check_address("backchannel_logout_uri", &uri)?;
                Delivery::BackchannelLogout { uri, session_required }
            }
            (None, Some(_)) if session_required => {
                let detail = "goes with backchannel_logout_uri: security events name their subject";
                return Err(invalid("backchannel_logout_session_required", detail.to_owned()));
            }
            (None, Some(endpoint_url)) => {
                check_address("endpoint_url", &endpoint_url)?;
                Delivery::Push { endpoint_url }
            }
            _ => {
                let detail = "give exactly one of backchannel_logout_uri and endpoint_url";
                return Err(invalid("backchannel_logout_uri", detail.to_owned()));
            }
        };
        Ok(RelyingParty { audience: self.audience, delivery })
    }
}

impl Delivery {
    /// Where it is sent.
    pub fn address(&self) -> &str {
        match self {
            Self::BackchannelLogout { uri, .. } => uri,
            Self::Push { endpoint_url } => endpoint_url,
        }
    }
}

fn check_address(field: &'static str, text: &str) -> Result<(), Refused> {
    // A fragment is never sent; RFC 3986 has only these characters.
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if text.len() > MAX_ADDRESS_BYTES || !is_plain || !is_protected_address(text) {
        let detail = format!(
            "must be an https address, or http on this machine, of at most {MAX_ADDRESS_BYTES} bytes \
             and without a fragment"
        );
        return Err(invalid(field, detail));
    }
    Ok(())
}

fn invalid(field: &'static str, detail: String) -> Refused {
    Refused { kind: RefusedKind::Invalid, field, detail }
}

/// How many relying parties there may be: each has a cursor, which is written every few seconds.
pub const MAX_RELYING_PARTIES: usize = 64;
/// How long it is tried to deliver a notice, in seconds: as long as a logout stays in the log for the
/// sake of verifiers, so that a relying party that does not answer keeps no session's record longer.
pub const MAX_AGE_SECONDS: u64 = 86_400;
const MAX_NAME_BYTES: usize = 64;
const MAX_AUDIENCE_BYTES: usize = 256;
const MAX_ADDRESS_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn logout(uri: &str) -> RelyingPartyDefinition {
        RelyingPartyDefinition {
            audience: "app".to_owned(),
            backchannel_logout_uri: Some(uri.to_owned()),
            ..RelyingPartyDefinition::default()
        }
    }

    // L01: what is sent names users: it goes over TLS, or stays on this machine.
    #[test]
    fn a_relying_party_has_one_address_that_others_on_the_network_cannot_read() {
        let good = [
            "https://app.example/logout?tenant=1",
            "https://app.example:8443",
            "http://localhost:3000/logout",
            "http://127.0.0.1:1/",
        ];
        for uri in good {
            let checked = logout(uri).check("shop").unwrap();
            assert_eq!(checked.delivery.address(), uri);
        }
        let long = format!("https://app.example/{}", "x".repeat(1024));
        let wrong = [
            "http://app.example/logout",
            "http://127.0.0.1.evil.example/",
            "https://user@app.example/",
            "https://app.example/#part",
            "https://app.example/a b",
            "https://app.exämple/",
            "https://",
            "ftp://app.example/",
            "/logout",
            "",
            long.as_str(),
        ];
        for uri in wrong {
            let refused = logout(uri).check("shop").unwrap_err();
            assert_eq!(refused.field, "backchannel_logout_uri", "{uri}");
            let push = RelyingPartyDefinition {
                backchannel_logout_uri: None,
                endpoint_url: Some(uri.to_owned()),
                ..logout("")
            };
            assert_eq!(push.check("shop").unwrap_err().field, "endpoint_url", "{uri}");
        }
    }

    // L01
    #[test]
    fn each_member_of_a_relying_party_is_checked_by_name() {
        let good = || logout("https://app.example/");
        let push = || RelyingPartyDefinition {
            backchannel_logout_uri: None,
            endpoint_url: Some("https://app.example/".to_owned()),
            ..good()
        };
        assert!(push().check("a").is_ok());
        let cases: [(&str, RelyingPartyDefinition, &str); 8] = [
            ("", good(), "name"),
            ("A", good(), "name"),
            ("a/b", good(), "name"),
            ("a", RelyingPartyDefinition { audience: String::new(), ..good() }, "audience"),
            ("a", RelyingPartyDefinition { audience: "x".repeat(257), ..good() }, "audience"),
            ("a", RelyingPartyDefinition { audience: "x\n".to_owned(), ..good() }, "audience"),
            (
                "a",
                RelyingPartyDefinition { endpoint_url: push().endpoint_url, ..good() },
                "backchannel_logout_uri",
            ),
            (
                "a",
                RelyingPartyDefinition { backchannel_logout_session_required: true, ..push() },
                "backchannel_logout_session_required",
            ),
        ];
        for (name, definition, field) in cases {
            assert_eq!(definition.check(name).unwrap_err().field, field);
        }
    }
}
