//! The configured values, and their checks.

use std::path::{Path, PathBuf};

use offswitch_client::{FeedAddress, FeedOptions, Follow, Issuer, Keys, Options};
use offswitch_server::Limits;
use offswitch_server::log::{self, LogFormat};
use offswitch_server::settings::{Problem, Values, is_issuer, resolve};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::keys::{FEED_API_KEY, RELAY_API_KEY};
use super::tables::{HeaderTable, IssuerTable, RouteTable};
use super::{Checks, Config, Place, Relay, TABLE, Trust, WatchSettings};
use crate::claim_headers::ClaimHeader;
use crate::gateway::Gateway;
use crate::judge::Rules;
use crate::routes::{Route, Routes};

/// The configured values: those of keys, and the tables.
pub(super) struct Configured {
    pub(super) values: Values,
    issuers: Vec<Issuer>,
    trust: Trust,
    routes: Vec<Route>,
    headers: Vec<ClaimHeader>,
}

impl Configured {
    /// Nothing is set.
    pub(super) fn new() -> Self {
        let (issuers, routes, headers) = (Vec::new(), Vec::new(), Vec::new());
        let trust = Trust::default();
        Self { values: Values::new(TABLE), issuers, trust, routes, headers }
    }

    pub(super) fn read_file(&mut self, text: &str) {
        for (name, value) in self.values.read_toml(text).unwrap_or_default() {
            match name.as_str() {
                "issuers" => {
                    let read = |table: IssuerTable| table.read().map_err(|problem| vec![problem]);
                    self.trust.issuers = Some(value.clone());
                    self.issuers = self.read_tables(&name, value, read);
                }
                "routes" => self.routes = self.read_tables(&name, value, RouteTable::read),
                "headers" => {
                    let read = |table: HeaderTable| table.read().map_err(|problem| vec![problem]);
                    self.headers = self.read_tables(&name, value, read);
                }
                FEED_API_KEY | RELAY_API_KEY => {
                    let problem = format!("must come from the environment or from {name}_file");
                    self.values.problem(&name, &problem);
                }
                _ => self.values.set_from_file(name, value),
            }
        }
    }

    /// The tables of one name. A problem names the table by its place, from 0.
    fn read_tables<T: DeserializeOwned, R>(
        &mut self,
        name: &str,
        value: toml::Value,
        read: impl Fn(T) -> Result<R, Vec<String>>,
    ) -> Vec<R> {
        let toml::Value::Array(all) = value else {
            self.values.problem(name, &format!("must be tables: [[{name}]]"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (index, one) in all.into_iter().enumerate() {
            let table = one.try_into::<T>().map_err(|error| vec![error.message().to_owned()]);
            match table.and_then(&read) {
                Ok(table) => tables.push(table),
                Err(problems) => {
                    for problem in problems {
                        self.values.problem(name, &format!("{index}: {problem}"));
                    }
                }
            }
        }
        tables
    }

    pub(super) fn check(mut self) -> Result<Config, Vec<Problem>> {
        let checks = self.checks();
        let relay = self.relay();
        let verifier = self.verifier(checks.is_some(), relay.is_some());
        if checks.is_none() && relay.is_none() && self.values.problems.is_empty() {
            let problem = "name the gateway, or set relay_listen for a process that only relays";
            self.values.problem("gateway", problem);
        }
        let values = &mut self.values;
        let admin_listen = values.parse("admin_listen", ADDRESS, resolve);
        let max_connections_is_set = values.is_set("max_connections");
        let max_connections = values.count("max_connections", 1..=1_000_000);
        let limits =
            Limits { max_connections, max_head_bytes: MAX_HEAD_BYTES, ..Limits::default() };
        let log_format = values.parse("log_format", "must be text or json", |text| match text {
            "json" => Some(LogFormat::Json),
            "text" => Some(LogFormat::Text),
            _ => None,
        });
        let log = values.parse(
            "log",
            "must be error, warn, info, debug, trace or off, or a list of target=level",
            |text| log::filter(text).map(|_| text.to_owned()),
        );
        match (admin_listen, verifier) {
            (Some(admin_listen), Some(verifier)) if values.problems.is_empty() => Ok(Config {
                checks,
                admin_listen,
                verifier,
                max_staleness_seconds: values.number("max_staleness_seconds", 1..=86_400),
                trust: self.trust,
                relay,
                limits,
                max_connections_is_set,
                log: log.unwrap_or_default(),
                log_format: log_format.unwrap_or(LogFormat::Text),
                warnings: self.values.warnings,
            }),
            _ => Err(self.values.problems),
        }
    }

    fn checks(&mut self) -> Option<Checks> {
        let values = &mut self.values;
        let expected = "must be caddy, envoy, haproxy, ingress-nginx, nginx or traefik";
        let gateway = values.parse("gateway", expected, |text| {
            let known = Gateway::ALL.iter().find(|(name, _)| *name == text);
            if text.is_empty() { Some(None) } else { known.map(|(_, gateway)| Some(*gateway)) }
        });
        let listen = self.place("listen");
        let values = &mut self.values;
        let public_url =
            values.parse("public_url", "must be an origin such as https://api.example", |text| {
                let is_origin = text.is_empty() || (is_issuer(text) && !text.ends_with('/'));
                is_origin.then(|| (!text.is_empty()).then(|| text.to_owned()))
            });
        let watch_id_header =
            values.parse("watch_id_header", "must be the name of a header", |text| {
                axum::http::HeaderName::try_from(text).ok()
            });
        let retry_jitter_seconds = values.number("retry_jitter_seconds", 0..=3600);
        let max_watched = values.count("max_watched", 1..=1_000_000);
        let callback = values.parse(
            "watch_callback",
            "must be an http(s) URL without user and password",
            |text| (text.is_empty() || is_callback(text)).then(|| text.to_owned()),
        );
        let callback = callback.filter(|text| !text.is_empty());
        let is_watched = self.routes.iter().any(|route| route.policy.watch.is_some());
        if is_watched && callback.is_none() {
            self.values.problem("watch_callback", "is needed for routes with watch_seconds");
        }
        let names = self.headers.iter().enumerate();
        let twice = names.clone().find(|(index, one)| {
            self.headers.iter().take(*index).any(|other| other.name == one.name)
        });
        if let Some((index, one)) = twice {
            let problem = format!("{index}: name: {} is given before", one.name);
            self.values.problem("headers", &problem);
        }
        let gateway = gateway.flatten()?;
        if self.routes.is_empty() {
            let problem = "there is none, so that every request would be refused: [[routes]]";
            self.values.problem("routes", problem);
        }
        for Route { policy, .. } in &mut self.routes {
            let token = std::mem::take(&mut policy.token);
            policy.token = token.retry_jitter_seconds(retry_jitter_seconds);
        }
        let rules = Rules {
            gateway,
            public_url: public_url.flatten(),
            watch_id_header: watch_id_header?,
            routes: Routes(std::mem::take(&mut self.routes)),
            headers: std::mem::take(&mut self.headers),
        };
        let watch = callback.map(|callback| WatchSettings { callback, max_watched });
        Some(Checks { listen: listen?, rules, watch: watch.filter(|_| is_watched) })
    }

    fn relay(&mut self) -> Option<Relay> {
        let api_key = self.api_key(RELAY_API_KEY);
        let max_followers = self.values.count("max_followers", 1..=1_000_000);
        if !self.values.is_set("relay_listen") {
            return None;
        }
        Some(Relay { listen: self.place("relay_listen")?, api_key, max_followers })
    }

    fn verifier(&mut self, is_checking: bool, is_relay: bool) -> Option<Options> {
        let api_key = self.api_key(FEED_API_KEY);
        let values = &mut self.values;
        let as_text = |name: &&str| values.text(name, 0..=4096);
        self.trust.values = OF_VERIFIER.iter().map(as_text).collect();
        self.trust.api_key = api_key.clone();
        let urls = list(&values.text("feed_urls", 0..=4096));
        let keys = list(&values.text("feed_public_keys", 0..=1024));
        let id = values.text("feed_id", 0..=512);
        let name = values.text("feed_name", 0..=64);
        let data_dir = values.text("data_dir", 0..=4096);
        let max_staleness_seconds = values.number("max_staleness_seconds", 1..=86_400);
        let remembered_tokens = values.count("remembered_tokens", 0..=1_000_000);
        let dpop_max_age_seconds = values.number("dpop_max_age_seconds", 1..=300);
        let expected = "must be stream, long-poll or poll";
        let follow = values.parse("feed_follow", expected, |text| match text {
            "long-poll" => Some(Follow::LongPoll),
            "poll" => Some(Follow::Poll),
            "stream" => Some(Follow::Stream),
            _ => None,
        });
        for (name, all) in [("feed_urls", &urls), ("feed_public_keys", &keys)] {
            if all.is_empty() {
                values.problem(name, "must name at least one");
            }
        }
        let ([url, more_urls @ ..], [key, more_keys @ ..]) = (&*urls, &*keys) else { return None };
        let mut feed = FeedOptions::at(feed_address(url), key)
            .max_staleness_seconds(max_staleness_seconds)
            .follow(follow.unwrap_or_default());
        feed = more_urls.iter().fold(feed, |feed, url| feed.address(feed_address(url)));
        feed = more_keys.iter().fold(feed, |feed, key| feed.public_key(key));
        if !id.is_empty() {
            feed = feed.id(&id);
        }
        if !name.is_empty() {
            feed = feed.name(&name);
        }
        if is_relay {
            feed = feed.relay();
        }
        if !data_dir.is_empty() {
            feed = feed.store(PathBuf::from(data_dir));
        }
        if let Some(api_key) = &api_key {
            feed = feed.api_key(api_key);
        }
        let options = Options::new(feed)
            .remembered_tokens(remembered_tokens)
            .dpop_max_age_seconds(dpop_max_age_seconds);
        let mut issuers = std::mem::take(&mut self.issuers);
        if !is_checking && issuers.is_empty() {
            // A relay judges no token, but a verifier is made for an issuer with keys.
            let of_feed =
                format!("{{\"keys\":[{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{key}\"}}]}}");
            let keys_of_feed = Keys::jwks(&of_feed);
            issuers.push(Issuer::without_audience(&id).keys(keys_of_feed));
        }
        let options = issuers.into_iter().fold(options, Options::issuer);
        for problem in options.problems() {
            self.values.problem("verifier", &problem);
        }
        Some(options)
    }

    /// Where a server listens.
    fn place(&mut self, name: &str) -> Option<Place> {
        let expected = "must be text of three octal digits, such as 660";
        let mode = self.values.parse("socket_mode", expected, |text| {
            let is_mode = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            is_mode.then(|| u32::from_str_radix(text, 8).ok())?
        });
        let expected = format!("{ADDRESS}, or unix:/path/of/the.sock");
        self.values.parse(name, &expected, |text| match text.strip_prefix("unix:") {
            Some(path) => Path::new(path)
                .is_absolute()
                .then(|| Place::Unix(PathBuf::from(path), mode.unwrap_or_default())),
            None => resolve(text).map(Place::Tcp),
        })
    }

    /// An API key from the environment or from its file.
    fn api_key(&mut self, name: &str) -> Option<Zeroizing<String>> {
        let file = format!("{name}_file");
        let path = self.values.text(&file, 0..=4096);
        let given = self.values.take(name);
        let key = match (given, path.is_empty()) {
            (Some(_), false) => {
                self.values.problem(&file, &format!("cannot be set together with {name}"));
                return None;
            }
            (given, true) => given?,
            (None, false) => self.values.secret_file(&file, &path, MAX_KEY_BYTES)?,
        };
        let is_key = (1..=MAX_KEY_BYTES).contains(&key.len())
            && key.bytes().all(|one| one.is_ascii_graphic());
        if !is_key {
            self.values.problem(name, "must have 1 to 512 visible ASCII characters");
        }
        is_key.then_some(key)
    }
}

/// An address whose last part is `head` is the head of a feed that is published as files.
fn feed_address(url: &str) -> FeedAddress {
    if url.ends_with("/head") { FeedAddress::head(url) } else { FeedAddress::new(url) }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

fn is_callback(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    let is_anonymous = url.username().is_empty() && url.password().is_none();
    matches!(url.scheme(), "http" | "https") && url.has_host() && is_anonymous
}

/// The keys that a verifier is made of.
const OF_VERIFIER: [&str; 10] = [
    "feed_urls",
    "feed_id",
    "feed_name",
    "feed_public_keys",
    "feed_follow",
    "data_dir",
    "max_staleness_seconds",
    "remembered_tokens",
    "dpop_max_age_seconds",
    // A relay answers for its followers.
    "relay_listen",
];
const ADDRESS: &str =
    "must be an address or a host name that can be resolved, and a port, such as 127.0.0.1:8410";
const MAX_KEY_BYTES: usize = 512;
/// The longest token that the verifier reads, and the other headers of a client. Over HTTP/1 the
/// accept loop reads no more than this.
const MAX_HEAD_BYTES: u32 = 32 * 1024;
