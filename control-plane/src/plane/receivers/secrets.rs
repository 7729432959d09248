//! The secrets that providers sign webhooks with, and the tokens that transmitters of events know this
//! control plane by. They are in a file of each process, and never in the log, in a document or in a
//! message.

use std::collections::BTreeMap;
use std::fmt;

use offswitch_core::receivers::{EventReceiver, Refusal};
use url::Url;
use zeroize::Zeroizing;

/// The secrets of receivers, by the name of the issuer.
#[derive(Clone, Default)]
pub struct ReceiverSecrets(BTreeMap<String, Secrets>);

/// Those of one issuer.
#[derive(Clone, Default)]
struct Secrets {
    /// One, or several while it is changed.
    webhook: Vec<Zeroizing<String>>,
    /// The transmitter, and the bearer token that it knows this control plane by.
    transmitter: Option<(String, Zeroizing<String>)>,
}

impl ReceiverSecrets {
    /// Reads the text of the file: TOML with a line for each issuer, `name = "secret"` or
    /// `name = ["new secret", "old secret"]`; or a table `[name]` with `webhook`, the same, and with
    /// `transmitter` and `transmitter_token`.
    ///
    /// # Errors
    ///
    /// What is wrong, in words and without any value.
    pub fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            format!("is not TOML, line {line}")
        })?;
        let secrets = table.into_iter().map(|(name, value)| {
            let read = Secrets::read(value).map_err(|problem| format!("{name}: {problem}"))?;
            Ok::<_, String>((name, read))
        });
        secrets.collect::<Result<_, _>>().map(Self)
    }

    /// The secrets of webhooks of the issuer with this name; none if there are none.
    pub(super) fn of(&self, name: &str) -> Vec<&str> {
        let all = self.0.get(name).into_iter().flat_map(|one| &one.webhook);
        all.map(|one| one.as_str()).collect()
    }

    /// The bearer token for the transmitter of the issuer with this name, if there is one.
    ///
    /// # Errors
    ///
    /// `other_transmitter` if it is for another transmitter than is registered: the caller who registers an
    /// issuer does not choose where it goes.
    pub(super) fn transmitter_token(
        &self,
        name: &str,
        receiver: &EventReceiver,
    ) -> Result<Option<&str>, Refusal> {
        let Some((transmitter, token)) = self.0.get(name).and_then(|one| one.transmitter.as_ref())
        else {
            return Ok(None);
        };
        let is_its = match (&receiver.stream, &receiver.poll) {
            (Some(stream), _) => stream.transmitter == *transmitter,
            (None, Some(poll)) => origin(&poll.endpoint) == origin(transmitter),
            (None, None) => false,
        };
        if is_its {
            return Ok(Some(token.as_str()));
        }
        let detail = format!(
            "receiver_secrets_file has a token for {transmitter}, and another transmitter is registered"
        );
        Err(Refusal { code: "other_transmitter", detail })
    }
}

/// Scheme, host and port.
fn origin(address: &str) -> Option<url::Origin> {
    Url::parse(address).ok().map(|address| address.origin()).filter(url::Origin::is_tuple)
}

impl Secrets {
    fn read(value: toml::Value) -> Result<Self, String> {
        let toml::Value::Table(members) = value else {
            return Ok(Self { webhook: webhook(value)?, ..Self::default() });
        };
        let (mut secrets, mut transmitter, mut its_token) = (Self::default(), None, None);
        for (member, value) in members {
            match member.as_str() {
                "webhook" => secrets.webhook = webhook(value)?,
                "transmitter" => transmitter = Some(address(value)?),
                "transmitter_token" => its_token = Some(token(value)?),
                _ => {
                    let known = "webhook, transmitter and transmitter_token";
                    return Err(format!("may have {known}, and nothing else"));
                }
            }
        }
        secrets.transmitter = match (transmitter, its_token) {
            (Some(transmitter), Some(token)) => Some((transmitter, token)),
            (None, None) => None,
            _ => return Err("needs both transmitter and transmitter_token, or neither".to_owned()),
        };
        Ok(secrets)
    }
}

fn address(value: toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) if origin(&text).is_some() => Ok(text),
        _ => Err("transmitter must be its address, as it is registered".to_owned()),
    }
}

fn webhook(value: toml::Value) -> Result<Vec<Zeroizing<String>>, String> {
    let values = match value {
        toml::Value::Array(values) => values,
        value => vec![value],
    };
    let wrong = || format!("must be 1 to {MOST_SECRETS} texts of 16 to 512 bytes");
    let text = |value| match value {
        toml::Value::String(text) if (16..=512).contains(&text.len()) => Ok(Zeroizing::new(text)),
        _ => Err(wrong()),
    };
    let texts: Vec<_> = values.into_iter().map(text).collect::<Result<_, _>>()?;
    if (1..=MOST_SECRETS).contains(&texts.len()) { Ok(texts) } else { Err(wrong()) }
}

/// The characters of RFC 6750 section 2.1, so that it has a place in a header.
fn token(value: toml::Value) -> Result<Zeroizing<String>, String> {
    let is_plain = |one: char| one.is_ascii_alphanumeric() || "-._~+/=".contains(one);
    match value {
        toml::Value::String(text)
            if (1..=MOST_TOKEN_BYTES).contains(&text.len()) && text.chars().all(is_plain) =>
        {
            Ok(Zeroizing::new(text))
        }
        _ => Err(format!(
            "transmitter_token must be a bearer token, 1 to {MOST_TOKEN_BYTES} of the characters \
             A-Z a-z 0-9 - . _ ~ + / ="
        )),
    }
}

/// The names, and no secret.
impl fmt::Debug for ReceiverSecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ReceiverSecrets").field(&self.0.keys()).finish()
    }
}

const MOST_SECRETS: usize = 4;
const MOST_TOKEN_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use offswitch_core::receivers::{EventStream, Poll};

    use super::*;

    // I13: secrets are changed without a gap, and are in no message.
    #[test]
    fn secrets_are_read_by_name_and_shown_nowhere() {
        let text = "clerk = \"whsec_0123456789abcdef\"\nworkos = [\"aaaaaaaaaaaaaaaa\", \"bbbbbbbbbbbbbbbb\"]";
        let secrets = ReceiverSecrets::parse(text).unwrap();
        assert_eq!(secrets.of("clerk"), ["whsec_0123456789abcdef"]);
        assert_eq!((secrets.of("workos").len(), secrets.of("other").len()), (2, 0));
        assert_eq!(format!("{secrets:?}"), "ReceiverSecrets([\"clerk\", \"workos\"])");
        let text = "[idp]\nwebhook = \"aaaaaaaaaaaaaaaa\"\n\
                    transmitter = \"https://tr.example\"\ntransmitter_token = \"eyJ.a_b-c/d==\"";
        let secrets = ReceiverSecrets::parse(text).unwrap();
        assert_eq!((secrets.of("idp").len(), secrets.of("other").len()), (1, 0));
        assert_eq!(format!("{secrets:?}"), "ReceiverSecrets([\"idp\"])");
        for wrong in [
            "clerk = \"short-secret\"",
            "clerk = 1234567890123456",
            "clerk = []",
            "clerk = [[\"short-secret\"]]",
            "[clerk]\nwebhook = \"short-secret\"",
            "[clerk]\ntransmitter_token = \"short secret\"",
            "[clerk]\ntransmitter_token = 1234",
            "[clerk]\ntransmitter_token = \"short-secret\"",
            "[clerk]\ntransmitter = \"https://tr.example\"",
            "[clerk]\ntransmitter = \"short-secret\"\ntransmitter_token = \"x\"",
            "[clerk]\nsecret = \"short-secret\"",
            "short-secret",
            "clerk = \"short-secret\nx\"",
        ] {
            let problem = ReceiverSecrets::parse(wrong).unwrap_err();
            assert!(!problem.contains("secret") && !problem.contains("1234"), "{problem}");
        }
    }

    // I11: the token goes to the transmitter that the file names, also if another is registered by API.
    #[test]
    fn a_token_is_for_one_transmitter() {
        let text = "[idp]\ntransmitter = \"https://tr.example/a\"\ntransmitter_token = \"t\"";
        let secrets = ReceiverSecrets::parse(text).unwrap();
        let with_stream = |transmitter: &str| EventReceiver {
            stream: Some(EventStream { transmitter: transmitter.to_owned(), ..Default::default() }),
            ..EventReceiver::default()
        };
        let with_poll = |endpoint: &str| EventReceiver {
            poll: Some(Poll { endpoint: endpoint.to_owned() }),
            ..EventReceiver::default()
        };
        let token = |receiver: &EventReceiver| {
            secrets.transmitter_token("idp", receiver).map_err(|refusal| refusal.code)
        };
        assert_eq!(token(&with_stream("https://tr.example/a")), Ok(Some("t")));
        assert_eq!(token(&with_poll("https://tr.example/poll/1")), Ok(Some("t")));
        for other in [
            with_stream("https://tr.example/b"),
            with_stream("https://evil.example"),
            with_poll("https://tr.example.evil.example/poll"),
            with_poll("https://tr.example:444/poll"),
            with_poll("http://tr.example/poll"),
        ] {
            assert_eq!(token(&other), Err("other_transmitter"), "{other:?}");
        }
        assert_eq!(secrets.transmitter_token("other", &with_poll("https://a.example")), Ok(None));
    }
}
