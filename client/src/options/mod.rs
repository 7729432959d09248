//! What a verifier is made with. Names, meanings and defaults are those of the npm package's
//! `createVerifier`.

mod feed;
mod issuer;

use offswitch_verifier::VerifierConfig;
use serde::Serialize;
use url::Url;

use crate::clock::UnixClock;

pub use feed::{FeedAddress, FeedOptions, Follow};
pub(crate) use issuer::KeysGiven;
pub use issuer::{Issuer, Keys};

/// All options of a verifier.
///
/// ```
/// use offswitch_client::{FeedOptions, Issuer, Keys, Options};
///
/// let feed = FeedOptions::new("https://auth.example/v1/feed", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
/// let keys = Keys::url("https://auth.example/.well-known/jwks.json");
/// let options = Options::new(feed.api_key("a key with the scope feed:read"))
///     .issuer(Issuer::new("https://auth.example", "api").keys(keys));
/// assert!(options.problems().is_empty());
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) feed: FeedOptions,
    pub(crate) dpop_max_age_seconds: Option<u64>,
    pub(crate) public_url: Option<String>,
    pub(crate) remembered_tokens: usize,
    pub(crate) clock: Option<UnixClock>,
}

/// Why a verifier cannot be made with these options: all problems.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("; "))]
pub struct InvalidOptions {
    /// One text for each, which begins with the option's path as the npm package names it. No value of an
    /// option is shown: it may be a secret.
    pub problems: Vec<String>,
}

impl InvalidOptions {
    /// The stable code string.
    pub fn code(&self) -> &'static str {
        "invalid_options"
    }
}

/// The part that the verifier itself is configured with, as it reads it.
#[derive(Serialize)]
struct Config<'a> {
    issuers: &'a [Issuer],
    feed: &'a FeedOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    dpop: Option<Dpop>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dpop {
    max_age_seconds: u64,
}

impl Options {
    /// Options that follow this feed, without issuers yet.
    pub fn new(feed: FeedOptions) -> Self {
        Self {
            issuers: vec![],
            feed,
            dpop_max_age_seconds: None,
            public_url: None,
            remembered_tokens: REMEMBERED_TOKENS,
            clock: None,
        }
    }

    /// Accepts the tokens of one more issuer, at most 16.
    #[must_use]
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// How old a DPoP proof may be, in seconds, 1 to 300. Default 60. Each is remembered for that long.
    #[must_use]
    pub fn dpop_max_age_seconds(mut self, seconds: u64) -> Self {
        self.dpop_max_age_seconds = Some(seconds);
        self
    }

    /// The origin, and the path if there is one, at which clients see the service: `https://api.example`. Without it
    /// no DPoP proof is accepted.
    #[must_use]
    pub fn public_url(mut self, url: &str) -> Self {
        self.public_url = Some(url.to_owned());
        self
    }

    /// How many tokens are remembered whose signature was good, at most 1,000,000; a long token counts as
    /// several. Default 10,000; 0 for none.
    #[must_use]
    pub fn remembered_tokens(mut self, tokens: usize) -> Self {
        self.remembered_tokens = tokens;
        self
    }

    /// What tells the time, in unix seconds, instead of the system's clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.clock = Some(std::sync::Arc::new(clock));
        self
    }

    /// Everything that is wrong; empty if nothing is. Each text begins with the option's path as the npm package
    /// names it.
    pub fn problems(&self) -> Vec<String> {
        self.read().err().map(|error| error.problems).unwrap_or_default()
    }

    pub(crate) fn read(&self) -> Result<VerifierConfig, InvalidOptions> {
        let mut problems = vec![];
        self.feed.problems(&mut problems);
        if self.remembered_tokens > MOST_REMEMBERED {
            problems.push(format!("rememberedTokens must be at most {MOST_REMEMBERED}"));
        }
        let is_public = |url: &String| is_url(url) && !url.contains(['?', '#']);
        if !self.public_url.iter().all(is_public) {
            let text =
                "must be the http(s) URL under which clients see the service, without a query";
            problems.push(format!("dpop.publicUrl {text}"));
        }
        for (at, issuer) in self.issuers.iter().enumerate() {
            issuer.problems(&format!("issuers[{at}]"), &mut problems);
        }
        let dpop = self.dpop_max_age_seconds.map(|max_age_seconds| Dpop { max_age_seconds });
        let config = Config { issuers: &self.issuers, feed: &self.feed, dpop };
        let text = serde_json::to_string(&config).unwrap_or_default();
        match VerifierConfig::from_json(&text) {
            Ok(config) if problems.is_empty() => Ok(config),
            Ok(_) => Err(InvalidOptions { problems }),
            Err(others) => {
                problems.extend(others.iter().map(ToString::to_string));
                Err(InvalidOptions { problems })
            }
        }
    }
}

/// One with credentials in it would be shown in status and errors.
fn is_url(text: &str) -> bool {
    let is_plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.has_host()
    };
    Url::parse(text).is_ok_and(|url| is_plain(&url))
}

const REMEMBERED_TOKENS: usize = 10_000;
const MOST_REMEMBERED: usize = 1_000_000;
