//! The secrets that providers sign webhooks with. They are in a file of each process, and never in the
//! log, in a document or in a message.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

/// The secrets of webhooks, by the name of the issuer: one, or several while it is changed.
#[derive(Clone, Default)]
pub struct ReceiverSecrets(BTreeMap<String, Vec<Zeroizing<String>>>);

impl ReceiverSecrets {
    /// Reads the text of the file: TOML with a line for each issuer, `name = "secret"` or
    /// `name = ["new secret", "old secret"]`.
    ///
    /// # Errors
    ///
    /// What is wrong, in words and without any value.
    pub fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            format!("is not TOML, line {line}")
        })?;
        let mut secrets = BTreeMap::new();
        for (name, value) in table {
            let values = match value {
                toml::Value::Array(values) => values,
                value => vec![value],
            };
            let wrong = || format!("{name}: must be 1 to {MOST_SECRETS} texts of 16 to 512 bytes");
            let text = |value| match value {
                toml::Value::String(text) if (16..=512).contains(&text.len()) => {
                    Ok(Zeroizing::new(text))
                }
                _ => Err(wrong()),
            };
            let texts: Vec<_> = values.into_iter().map(text).collect::<Result<_, _>>()?;
            if !(1..=MOST_SECRETS).contains(&texts.len()) {
                return Err(wrong());
            }
            secrets.insert(name, texts);
        }
        Ok(Self(secrets))
    }

    /// The names that have secrets.
    pub(in crate::plane) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Those of the issuer with this name; none if there are none.
    pub(in crate::plane) fn of(&self, name: &str) -> Vec<&str> {
        self.0.get(name).into_iter().flatten().map(|one| one.as_str()).collect()
    }
}

/// The names, and no secret.
impl fmt::Debug for ReceiverSecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ReceiverSecrets").field(&self.0.keys()).finish()
    }
}

const MOST_SECRETS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    // I13: secrets are changed without a gap, and are in no message.
    #[test]
    fn secrets_are_read_by_name_and_shown_nowhere() {
        let text = "clerk = \"whsec_0123456789abcdef\"\nworkos = [\"aaaaaaaaaaaaaaaa\", \"bbbbbbbbbbbbbbbb\"]";
        let secrets = ReceiverSecrets::parse(text).unwrap();
        assert_eq!(secrets.of("clerk"), ["whsec_0123456789abcdef"]);
        assert_eq!((secrets.of("workos").len(), secrets.of("other").len()), (2, 0));
        assert_eq!(format!("{secrets:?}"), "ReceiverSecrets([\"clerk\", \"workos\"])");
        for wrong in [
            "clerk = \"short-secret\"",
            "clerk = 1234567890123456",
            "clerk = []",
            "clerk = [[\"short-secret\"]]",
            "short-secret",
            "clerk = \"short-secret\nx\"",
        ] {
            let problem = ReceiverSecrets::parse(wrong).unwrap_err();
            assert!(!problem.contains("secret") && !problem.contains("1234"), "{problem}");
        }
    }
}
