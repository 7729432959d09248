//! Where the feed is published, and what opens that place.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;

use url::Url;
use zeroize::Zeroizing;

use super::objects::Objects;
use super::place::Place;
use super::workers_kv::WorkersKv;

/// The address of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishTo {
    url: Url,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Azure,
    Folder,
    Google,
    S3,
    WorkersKv,
}

/// Credentials and other options of places, by their names in small letters: `aws_access_key_id`. Those of the
/// environment are in capitals there.
#[derive(Clone, Default)]
pub struct PublicationSecrets(BTreeMap<String, Zeroizing<String>>);

impl PublishTo {
    /// Opens the place. Nothing is asked of it yet.
    ///
    /// # Errors
    ///
    /// In words: an option is missing or wrong.
    pub fn open(&self, secrets: &PublicationSecrets) -> Result<Box<dyn Place>, String> {
        match self.kind {
            Kind::WorkersKv => Ok(Box::new(WorkersKv::open(&self.url, secrets)?)),
            kind => Ok(Box::new(Objects::open(kind, &self.url, secrets)?)),
        }
    }
}

impl fmt::Display for PublishTo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(formatter)
    }
}

impl FromStr for PublishTo {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| EXPECTED)?;
        let is_plain = url.username().is_empty()
            && url.password().is_none()
            && url.port().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        let segments = url.path().split('/').filter(|one| !one.is_empty()).count();
        let (kind, is_complete) = match url.scheme() {
            "az" => (Kind::Azure, has_host),
            "file" => (Kind::Folder, !has_host && segments > 0),
            "gs" => (Kind::Google, has_host),
            "s3" => (Kind::S3, has_host),
            // The namespace.
            "workers-kv" => (Kind::WorkersKv, has_host && segments > 0),
            _ => return Err(EXPECTED),
        };
        if is_plain && is_complete { Ok(Self { url, kind }) } else { Err(EXPECTED) }
    }
}

impl PublicationSecrets {
    /// Reads a TOML file of names and texts.
    ///
    /// # Errors
    ///
    /// What is wrong, in words and without any value.
    pub fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            format!("is not TOML, line {line}")
        })?;
        let mut all = BTreeMap::new();
        for (name, value) in table {
            let toml::Value::String(value) = value else {
                return Err(format!("{name}: must be a text"));
            };
            if !is_option(&name) {
                return Err(format!(
                    "{name}: must begin with aws_, azure_, cloudflare_ or google_"
                ));
            }
            all.insert(name, Zeroizing::new(value));
        }
        Ok(Self(all))
    }

    /// Adds what the environment has and the file does not.
    #[must_use]
    pub fn or_environment(
        mut self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        for (name, value) in environment {
            let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) else { continue };
            let name = name.to_ascii_lowercase();
            if is_option(&name) {
                self.0.entry(name).or_insert_with(|| Zeroizing::new(value));
            }
        }
        self
    }

    /// All that begin with `prefix`.
    pub(super) fn of(&self, prefix: &'static str) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.iter().filter(move |(name, _)| name.starts_with(prefix));
        all.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str())
    }
}

impl fmt::Debug for PublicationSecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

fn is_option(name: &str) -> bool {
    ["aws_", "azure_", "cloudflare_", "google_"].iter().any(|prefix| name.starts_with(prefix))
}

const EXPECTED: &str = "must be s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, \
                        workers-kv://account/namespace/prefix or file:///folder";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_place_and_holds_no_secret() {
        for good in [
            "s3://bucket",
            "s3://bucket/a/b",
            "gs://bucket/",
            "az://container/x",
            "file:///var/feed",
            "workers-kv://0123/4567",
            "workers-kv://0123/4567/feed",
        ] {
            assert!(good.parse::<PublishTo>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "bucket",
            "s3:///a",
            "s3://user:secret@bucket",
            "s3://bucket?x=1",
            "file://",
            "file:///",
            "file://host/x",
            "workers-kv://0123",
            "https://bucket.s3.amazonaws.com",
            "memory:///",
        ] {
            assert!(bad.parse::<PublishTo>().is_err(), "{bad}");
        }
    }

    // A07: no secret in what is printed; the file counts more than the environment.
    #[test]
    fn secrets_come_from_a_file_or_the_environment_and_are_never_printed() {
        let secrets =
            PublicationSecrets::parse("aws_secret_access_key = \"from the file\"").unwrap();
        let environment = [("AWS_SECRET_ACCESS_KEY", "other"), ("AWS_REGION", "x"), ("PATH", "y")];
        let secrets = secrets.or_environment(environment.map(|(a, b)| (a.into(), b.into())));
        assert_eq!(secrets.get("aws_secret_access_key"), Some("from the file"));
        assert_eq!(secrets.of("aws_").count(), 2);
        assert!(!format!("{secrets:?}").contains("from"), "{secrets:?}");
        for (text, problem) in [
            ("aws_region = 1", "aws_region: must be a text"),
            ("region = \"x\"", "region: must begin with aws_, azure_, cloudflare_ or google_"),
            ("x", "is not TOML, line 1"),
        ] {
            assert_eq!(PublicationSecrets::parse(text).unwrap_err(), problem);
        }
    }
}
