//! Which feed is trusted, and how it is followed.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use offswitch_verifier::OnStale;
use serde::Serialize;
use url::Url;

use super::is_url;
use crate::feed::path_of;

/// How a feed is followed. Where a better way does not get through in time, polls bring what it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Follow {
    /// By requests that the server holds back until there is news.
    LongPoll,
    /// By requests at intervals.
    Poll,
    /// As server-sent events.
    #[default]
    Stream,
}

/// One address of the feed.
#[derive(Clone, PartialEq, Eq)]
pub struct FeedAddress {
    pub(crate) url: String,
    pub(crate) is_head: bool,
    pub(crate) api_key: Option<String>,
}

/// Which feed is trusted, and how it is followed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedOptions {
    #[serde(skip)]
    pub(crate) addresses: Vec<FeedAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    public_keys: Vec<String>,
    #[serde(rename = "maxStaleness")]
    pub(crate) max_staleness_seconds: u64,
    on_stale: OnStale,
    #[serde(skip)]
    api_key: Secret,
    #[serde(skip)]
    pub(crate) follow: Follow,
    #[serde(skip)]
    pub(crate) poll: Duration,
    #[serde(skip)]
    pub(crate) long_poll: Duration,
    #[serde(skip)]
    pub(crate) timeout: Duration,
    #[serde(skip)]
    pub(crate) max_bytes: usize,
    #[serde(skip)]
    pub(crate) store: Option<PathBuf>,
    #[serde(skip)]
    pub(crate) name: Option<String>,
    #[serde(skip)]
    pub(crate) is_relay: bool,
}

#[derive(Clone, Default)]
struct Secret(Option<String>);

impl FeedAddress {
    /// An address that no API key is sent to, unless it has the origin of the first address.
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), is_head: false, api_key: None }
    }

    /// The address of a [head](https://github.com/offswitch/offswitch/blob/main/docs/guides/static-publication.md):
    /// a file that names the feed's parts, in an object store or behind a cache. It is polled. Without a network it is in
    /// a folder of this machine: `file:///folder/head`.
    pub fn head(url: &str) -> Self {
        Self { is_head: true, ..Self::new(url) }
    }

    /// The API key that is sent to it.
    #[must_use]
    pub fn api_key(mut self, key: &str) -> Self {
        self.api_key = Some(key.to_owned());
        self
    }

    /// The address.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl fmt::Debug for FeedAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FeedAddress({})", self.url)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "given" } else { "none" })
    }
}

impl FeedOptions {
    /// The feed at this address, signed by this Ed25519 key (base64url). `GET /v1/keys` of the control plane
    /// has the key.
    pub fn new(url: &str, public_key: &str) -> Self {
        Self::at(FeedAddress::new(url), public_key)
    }

    /// The feed that is published as files, with this head: no control plane is asked. `file:///folder/head` is a folder of
    /// this machine, such as `offswitch snapshot import` fills: no network is needed.
    pub fn head(url: &str, public_key: &str) -> Self {
        Self::at(FeedAddress::head(url), public_key)
    }

    /// The feed at this address, signed by this key.
    pub fn at(address: FeedAddress, public_key: &str) -> Self {
        Self {
            addresses: vec![address],
            id: None,
            public_keys: vec![public_key.to_owned()],
            max_staleness_seconds: MAX_STALENESS_SECONDS,
            on_stale: OnStale::Deny,
            api_key: Secret::default(),
            follow: Follow::Stream,
            poll: Duration::from_secs(1),
            long_poll: Duration::from_secs(20),
            timeout: Duration::from_secs(30),
            max_bytes: MAX_BYTES,
            store: None,
            name: None,
            is_relay: false,
        }
    }

    /// One more address of the same feed, at most 8: the next is used if one fails or lags.
    #[must_use]
    pub fn address(mut self, address: FeedAddress) -> Self {
        self.addresses.push(address);
        self
    }

    /// One more key whose signature is trusted, at most 8: while the feed's key is rotated.
    #[must_use]
    pub fn public_key(mut self, key: &str) -> Self {
        self.public_keys.push(key.to_owned());
        self
    }

    /// The feed's id, signed into every snapshot. Default: the first issuer.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    /// How old the newest statement of the feed may be, in seconds. Default 60.
    #[must_use]
    pub fn max_staleness_seconds(mut self, seconds: u64) -> Self {
        self.max_staleness_seconds = seconds;
        self
    }

    /// Whether tokens that are otherwise good are valid while the feed is stale. Default [`OnStale::Deny`].
    #[must_use]
    pub fn on_stale(mut self, on_stale: OnStale) -> Self {
        self.on_stale = on_stale;
        self
    }

    /// Sent as a bearer token to the first address and others of its origin; addresses elsewhere may be
    /// mirrors of others.
    #[must_use]
    pub fn api_key(mut self, key: &str) -> Self {
        self.api_key = Secret(Some(key.to_owned()));
        self
    }

    /// How it is followed. Default [`Follow::Stream`].
    #[must_use]
    pub fn follow(mut self, follow: Follow) -> Self {
        self.follow = follow;
        self
    }

    /// The time between two polls. Default 1 s.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll = interval;
        self
    }

    /// How long a long poll may be held back, at most 60 s. Default 20 s.
    #[must_use]
    pub fn long_poll(mut self, longest: Duration) -> Self {
        self.long_poll = longest;
        self
    }

    /// How long an answer may take, apart from long polls. Default 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The largest snapshot that is read, in bytes. Default 256 MiB.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The folder in which the state is kept across restarts. It is made, and closed to other users.
    #[must_use]
    pub fn store(mut self, folder: impl Into<PathBuf>) -> Self {
        self.store = Some(folder.into());
        self
    }

    /// The name under which operators see this follower: 1 to 64 letters, digits or `-_.:/@`.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// The verifier serves the feed to others, and answers questions for them too:
    /// [`Verifier::questions`](crate::Verifier::questions).
    #[must_use]
    pub fn relay(mut self) -> Self {
        self.is_relay = true;
        self
    }

    /// What the follower with this id says about itself.
    pub(crate) fn introduction(&self, id: &str) -> String {
        let mut text = format!("{id};software=rust/{}", env!("CARGO_PKG_VERSION"));
        if self.on_stale == OnStale::Deny {
            text.push_str(&format!(";staleness={}", self.max_staleness_seconds));
        }
        if self.is_relay {
            text.push_str(";relay");
        }
        if let Some(name) = &self.name {
            text.push_str(&format!(";name={name}"));
        }
        text
    }

    /// The addresses, each with the key that is sent there.
    pub(crate) fn addresses(&self) -> Vec<FeedAddress> {
        let origin = |url: &str| Url::parse(url).ok().map(|url| url.origin());
        let first = self.addresses.first().and_then(|one| origin(&one.url));
        let with_key = |one: &FeedAddress| {
            let is_own = first.is_some() && origin(&one.url) == first;
            let shared = self.api_key.0.clone().filter(|_| is_own);
            FeedAddress { api_key: one.api_key.clone().or(shared), ..one.clone() }
        };
        self.addresses.iter().map(with_key).collect()
    }

    pub(crate) fn problems(&self, problems: &mut Vec<String>) {
        let is_count = (1..=MOST_ADDRESSES).contains(&self.addresses.len());
        let is_folder = |one: &FeedAddress| one.is_head && path_of(&one.url).is_some();
        if !is_count || !self.addresses.iter().all(|one| is_url(&one.url) || is_folder(one)) {
            let text = "feed.url must be 1 to 8 http(s) URLs without user and password; a head may be file:///folder/head";
            problems.push(text.to_owned());
        }
        let keys = self.addresses.iter().map(|one| &one.api_key).chain([&self.api_key.0]);
        let is_key =
            |key: &String| !key.is_empty() && key.bytes().all(|one| one.is_ascii_graphic());
        if !keys.flatten().all(is_key) {
            problems.push("feed.apiKey must be visible ASCII characters, at least one".to_owned());
        }
        let is_word = |name: &String| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/@".contains(&byte);
            (1..=MOST_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_plain)
        };
        if !self.name.iter().all(is_word) {
            problems.push("feed.name must be 1 to 64 letters, digits or -_.:/@".to_owned());
        }
        for (name, time, most) in [
            ("pollSeconds", self.poll, LONGEST),
            ("longPollSeconds", self.long_poll, LONGEST_POLL),
            ("timeoutSeconds", self.timeout, LONGEST),
        ] {
            if time.is_zero() || time > most {
                let most = most.as_secs();
                problems.push(format!("feed.{name} must be seconds > 0 and <= {most}"));
            }
        }
        if self.max_bytes == 0 {
            problems.push("feed.maxBytes must be a number > 0".to_owned());
        }
    }
}

const MAX_STALENESS_SECONDS: u64 = 60;
const MAX_BYTES: usize = 256 * 1024 * 1024;
const MOST_ADDRESSES: usize = 8;
const MOST_NAME_BYTES: usize = 64;
const LONGEST: Duration = Duration::from_secs(86_400);
/// The control plane holds no long poll for more.
const LONGEST_POLL: Duration = Duration::from_secs(60);
