//! The credentials that relying parties ask for. They are in a file of each process, and never in the log,
//! in a document or in a message.

use std::collections::BTreeMap;
use std::fmt;

use axum::http::HeaderValue;
use zeroize::Zeroizing;

/// The credentials for pushes, by the name of the relying party.
#[derive(Clone, Default)]
pub struct RelyingPartySecrets(BTreeMap<String, Secret>);

/// A credential, and the one address that it is for: a caller who registers a relying party does not choose
/// where it goes.
#[derive(Clone)]
struct Secret {
    endpoint_url: String,
    authorization: Zeroizing<String>,
}

impl RelyingPartySecrets {
    /// Reads the text of the file: TOML with a table `[name]` for each relying party that needs a credential,
    /// with `endpoint_url`, as it is registered, and `authorization`, the value of the header.
    ///
    /// # Errors
    ///
    /// What is wrong, in words and without any value.
    pub fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            format!("is not TOML, line {line}")
        })?;
        let secrets = table.into_iter().map(|(name, value)| match Secret::read(value) {
            Some(secret) => Ok((name, secret)),
            None => Err(format!(
                "{name}: must be a table with endpoint_url and authorization, the value of a header of 8 \
                 to 4096 bytes"
            )),
        });
        secrets.collect::<Result<_, _>>().map(Self)
    }

    /// The header for the relying party with this name at `endpoint_url`; none if it needs none.
    ///
    /// # Errors
    ///
    /// [`OtherEndpoint`] if the credential is for another address.
    pub(super) fn header(
        &self,
        name: &str,
        endpoint_url: &str,
    ) -> Result<Option<HeaderValue>, OtherEndpoint> {
        let Some(secret) = self.0.get(name) else { return Ok(None) };
        if secret.endpoint_url != endpoint_url {
            return Err(OtherEndpoint);
        }
        Ok(secret.header())
    }
}

/// A credential is for another address than is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("relying_party_secrets_file has a credential for another endpoint_url")]
pub(super) struct OtherEndpoint;

impl Secret {
    fn read(value: toml::Value) -> Option<Self> {
        let toml::Value::Table(mut members) = value else { return None };
        let mut take = |name: &str| match members.remove(name) {
            Some(toml::Value::String(text)) => Some(text),
            _ => None,
        };
        let (endpoint_url, authorization) = (take("endpoint_url")?, take("authorization")?);
        let secret = Self { endpoint_url, authorization: Zeroizing::new(authorization) };
        let is_good = (8..=4096).contains(&secret.authorization.len())
            && members.is_empty()
            && secret.header().is_some();
        is_good.then_some(secret)
    }

    fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&self.authorization).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// The names, and no secret.
impl fmt::Debug for RelyingPartySecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("RelyingPartySecrets").field(&self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // L06: a credential is a header for one address of one relying party, and in no message.
    #[test]
    fn credentials_are_for_one_address_and_shown_nowhere() {
        let table = |authorization: &str| {
            format!("[shop]\nendpoint_url = \"{URL}\"\nauthorization = {authorization}\n")
        };
        let secrets = RelyingPartySecrets::parse(&table("\"Bearer 0123456789\"")).unwrap();
        let header = secrets.header("shop", URL).unwrap().unwrap();
        assert_eq!(header.to_str().unwrap(), "Bearer 0123456789");
        assert_eq!(secrets.header("other", URL), Ok(None));
        // A caller of the API registers the name with an address of their own.
        for other in
            ["https://shop.example/event", "https://evil.example/events", "http://localhost/"]
        {
            assert_eq!(secrets.header("shop", other), Err(OtherEndpoint));
        }
        assert!(!format!("{secrets:?} {header:?}").contains("0123"));
        for wrong in [
            "shop = \"Bearer 0123456789\"".to_owned(),
            "[shop]\nauthorization = \"Bearer 0123456789\"".to_owned(),
            table("\"0123456\""),
            table("\"Bearer 0123456789\\n\""),
            table("[\"Bearer 0123456789\"]"),
            table("\"Bearer 0123456789\"\ncolour = \"0123\""),
        ] {
            let problem = RelyingPartySecrets::parse(&wrong).unwrap_err();
            assert!(problem.starts_with("shop: ") && !problem.contains("0123"), "{problem}");
        }
    }

    const URL: &str = "https://shop.example/events";
}
