//! Where keys may come from, and discovery documents, which say where they are (OpenID Connect
//! Discovery 1.0 section 4, RFC 8414).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::read_object;
use crate::shown::Shown;

/// Where the keys of an issuer are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// The address of a discovery document (OpenID Connect Discovery 1.0, RFC 8414).
    Discovery(String),
    /// The address of a JWK set (RFC 7517).
    Jwks(String),
}

/// The address of the key set that the discovery document `text` of `issuer` names. `source` is where
/// the document is.
///
/// # Errors
///
/// In words, if the document is that of another issuer, or names no address that keys may come from.
pub fn jwks_address(issuer: &str, source: &str, text: &[u8]) -> Result<String, String> {
    let document = read_object(text).ok_or("the discovery document is not one JSON object")?;
    let member = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
    // Section 4.3: otherwise a document for another issuer would bring that issuer's keys.
    if member("issuer") != issuer {
        let found = Shown::new(member("issuer"));
        return Err(format!("the discovery document is for the issuer {found}"));
    }
    let address = member("jwks_uri");
    // A document that was fetched over TLS must not lead to an address without it.
    let is_downgrade = source.starts_with("https://") && !address.starts_with("https://");
    if is_downgrade || !is_protected_address(address) {
        let found = Shown::new(address);
        return Err(format!("the jwks_uri of the discovery document is {found}, expected https"));
    }
    Ok(address.to_owned())
}

/// True for an https address, and for http on this machine: keys, events and secrets must not cross
/// a network unprotected.
pub fn is_protected_address(text: &str) -> bool {
    let host = |rest: &str| rest.split(['/', '?', '#']).next().unwrap_or_default().to_owned();
    let is_plain = !text.chars().any(|one| one.is_whitespace() || one.is_control());
    let is_good = |host: &str| !host.is_empty() && !host.contains('@');
    let is_local = |host: &str| {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        matches!(name, "localhost" | "127.0.0.1" | "[::1]")
    };
    match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => is_plain && is_good(&host(rest)),
        (_, Some(rest)) => is_plain && is_good(&host(rest)) && is_local(&host(rest)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // I10: keys come from the address that the issuer names, over a connection that is at least as
    // secure.
    #[test]
    fn a_discovery_document_names_the_keys_of_its_own_issuer() {
        let read = |source: &str, issuer: &str, jwks: &str| {
            let text = serde_json::json!({ "issuer": issuer, "jwks_uri": jwks }).to_string();
            jwks_address(IDP, source, text.as_bytes())
        };
        let (secure, local) = ("https://idp.example/d", "http://127.0.0.1:9/d");
        assert_eq!(
            read(secure, IDP, "https://keys.example/k").as_deref(),
            Ok("https://keys.example/k")
        );
        assert!(read(local, IDP, "http://127.0.0.1:9/k").is_ok());
        for (source, issuer, jwks) in [
            (secure, "https://idp.example/", "https://keys.example/k"),
            (secure, "", "https://keys.example/k"),
            (secure, IDP, "http://127.0.0.1:9/k"),
            (secure, IDP, "http://keys.example/k"),
            (local, IDP, "http://keys.example/k"),
            (secure, IDP, "file:///etc/passwd"),
            (secure, IDP, ""),
        ] {
            assert!(read(source, issuer, jwks).is_err(), "{source} {issuer} {jwks}");
        }
        for text in ["", "[]", "<html>", r#"{"issuer":"https://idp.example","issuer":"x"}"#] {
            assert!(jwks_address(IDP, secure, text.as_bytes()).is_err(), "{text}");
        }
    }

    const IDP: &str = "https://idp.example";
}
