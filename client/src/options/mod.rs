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
/// let options = Options::new(feed.api_key("osk_0123"))
///     .issuer(Issuer::new("https://auth.example", "api").keys(keys));
/// assert_eq!(options.problems(), Vec::<String>::new());
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) feed: FeedOptions,
    pub(crate) dpop_max_age_seconds: Option<u64>,
    pub(crate) public_url: Option<String>,
    pub(crate) remembered_tokens: usize,
    pub(crate) metrics_label: Option<String>,
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
            metrics_label: None,
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

    /// The label `feed` of all metrics of this verifier, 1 to 512 bytes: for programs with several verifiers, whose
    /// series could not be distinguished without one.
    #[must_use]
    pub fn metrics_label(mut self, feed: &str) -> Self {
        self.metrics_label = Some(feed.to_owned());
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
        if !self.metrics_label.iter().all(|label| (1..=MOST_LABEL_BYTES).contains(&label.len())) {
            problems.push(format!("metricsLabel must have 1 to {MOST_LABEL_BYTES} bytes"));
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
const MOST_LABEL_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn good() -> FeedOptions {
        FeedOptions::new("https://auth.example/v1/feed", KEY)
    }

    fn own() -> Issuer {
        Issuer::new("https://auth.example", "api")
    }

    // X16: all problems, each by the path that it has in the npm package.
    #[test]
    fn every_problem_is_named_at_the_same_time() {
        let feed = FeedOptions::new("ftp://auth.example", "short")
            .api_key("not visible\n")
            .poll_interval(Duration::ZERO)
            .long_poll(Duration::from_secs(61))
            .timeout(Duration::from_secs(86_401))
            .max_bytes(0)
            .max_staleness_seconds(0);
        let issuer = own().keys(Keys::url("https://user:secret@auth.example")).leeway_seconds(301);
        let other = Issuer::new("plain text", "api").algorithms(["none"]);
        let options = Options::new(feed)
            .issuer(issuer)
            .issuer(other)
            .dpop_max_age_seconds(301)
            .remembered_tokens(1_000_001)
            .metrics_label("")
            .public_url("https://api.example/?x");
        let problems = options.problems();
        let paths: Vec<&str> =
            problems.iter().map(|one| one.split([' ', ':']).next().unwrap()).collect();
        assert_eq!(
            paths,
            [
                "feed.url",
                "feed.apiKey",
                "feed.pollSeconds",
                "feed.longPollSeconds",
                "feed.timeoutSeconds",
                "feed.maxBytes",
                "rememberedTokens",
                "metricsLabel",
                "dpop.publicUrl",
                "issuers[0].keys",
                "issuers[1].keys",
                "issuers[1].algorithms",
                "feed.publicKeys",
                "feed.maxStaleness",
                "dpop.maxAgeSeconds",
                "issuers[0].leewaySeconds",
            ]
        );
        assert!(!problems.join(" ").contains("secret"), "{problems:?}");
        assert_eq!(
            Options::new(good()).problems(),
            ["feed.id: must not be empty", "issuers: must name 1 to 16 issuers"]
        );
        assert!(Options::new(good()).issuer(own()).problems().is_empty());
    }

    // A07: keys and headers are in no text that options are printed as.
    #[test]
    fn a_secret_of_the_options_is_never_printed() {
        let feed = good()
            .api_key("s3cret")
            .address(FeedAddress::new("https://b.example").api_key("s3cret"));
        let keys = Keys::url("https://auth.example/jwks").header("authorization", "s3cret");
        let text = format!("{feed:?} {:?}", own().keys(keys));
        assert!(!text.contains("s3cret"), "{text}");
    }

    // S19: the key that is given for all goes to addresses of the first one's origin.
    #[test]
    fn an_address_elsewhere_gets_no_key_but_its_own() {
        let feed = good()
            .api_key("shared")
            .address(FeedAddress::new("https://auth.example:443/other"))
            .address(FeedAddress::new("https://mirror.example/v1/feed"))
            .address(FeedAddress::new("https://own.example/v1/feed").api_key("own"));
        let keys: Vec<_> = feed.addresses().into_iter().map(|one| one.api_key).collect();
        let shared = Some("shared".to_owned());
        assert_eq!(keys, [shared.clone(), shared, None, Some("own".to_owned())]);
    }

    const KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
}
