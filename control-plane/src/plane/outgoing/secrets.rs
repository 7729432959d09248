//! The credentials that relying parties ask for. They are in a file of each process, and never in the log,
//! in a document or in a message.

use axum::http::HeaderValue;

use crate::plane::receivers::ReceiverSecrets;

/// The value of the `Authorization` header for the pushes to a relying party, by its name.
#[derive(Debug, Clone, Default)]
pub struct RelyingPartySecrets(ReceiverSecrets);

impl RelyingPartySecrets {
    /// Reads the text of the file: TOML with a line for each relying party, `name = "Bearer …"`.
    ///
    /// # Errors
    ///
    /// What is wrong, in words and without any value.
    pub fn parse(text: &str) -> Result<Self, String> {
        let secrets = Self(ReceiverSecrets::parse(text)?);
        for name in secrets.0.names() {
            let [one] = secrets.0.of(name)[..] else {
                return Err(format!("{name}: must be one text"));
            };
            if HeaderValue::from_str(one).is_err() {
                return Err(format!("{name}: has characters that no header has"));
            }
        }
        Ok(secrets)
    }

    /// The header for the relying party with this name, if it needs one.
    pub(super) fn header(&self, name: &str) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(self.0.of(name).first()?).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // L06: a credential is a header of one relying party, and in no message.
    #[test]
    fn credentials_are_read_by_name_and_shown_nowhere() {
        let secrets = RelyingPartySecrets::parse("shop = \"Bearer 0123456789\"").unwrap();
        let header = secrets.header("shop").unwrap();
        assert_eq!(header.to_str().unwrap(), "Bearer 0123456789");
        assert!(secrets.header("other").is_none());
        assert!(!format!("{secrets:?} {header:?}").contains("0123"));
        for wrong in [
            "shop = [\"Bearer 0123456789\", \"Bearer 0123456780\"]",
            "shop = \"Bearer 012345\\n6789\"",
        ] {
            let problem = RelyingPartySecrets::parse(wrong).unwrap_err();
            assert!(problem.starts_with("shop: ") && !problem.contains("0123"), "{problem}");
        }
    }
}
