//! The configured values, and their checks.

use std::path::{Path, PathBuf};

use offswitch_server::Limits;
use offswitch_server::log::{self, LogFormat};
use offswitch_server::settings::{Problem, Values, is_issuer, resolve};
use serde::de::DeserializeOwned;

use super::feeds::{self, Context, Feed, Issuers, Level};
use super::keys::{FEED_API_KEY, RELAY_API_KEY};
use super::tables::{HeaderTable, RouteTable};
use super::{Checks, Config, Place, Relay, TABLE, WatchSettings};
use crate::claim_headers::ClaimHeader;
use crate::gateway::Gateway;
use crate::judge::Rules;
use crate::routes::{Route, Routes};

/// The configured values: those of keys, and the tables.
pub(super) struct Configured {
    pub(super) values: Values,
    issuers: Issuers,
    /// The tables of further feeds, which are checked together with the first.
    feeds: Option<toml::Value>,
    routes: Vec<Route>,
    headers: Vec<ClaimHeader>,
}

impl Configured {
    /// Nothing is set.
    pub(super) fn new() -> Self {
        let (routes, headers) = (Vec::new(), Vec::new());
        let issuers = Issuers::default();
        Self { values: Values::new(TABLE), issuers, feeds: None, routes, headers }
    }

    pub(super) fn read_file(&mut self, text: &str) {
        for (name, value) in self.values.read_toml(text).unwrap_or_default() {
            match name.as_str() {
                "feeds" => self.feeds = Some(value),
                "issuers" => self.issuers = Issuers::read(&mut self.values, &name, value),
                "routes" => {
                    self.routes = read_tables(&mut self.values, &name, value, RouteTable::read);
                }
                "headers" => {
                    let read = |table: HeaderTable| table.read().map_err(|problem| vec![problem]);
                    self.headers = read_tables(&mut self.values, &name, value, read);
                }
                FEED_API_KEY | RELAY_API_KEY => {
                    let problem = format!("must come from the environment or from {name}_file");
                    self.values.problem(&name, &problem);
                }
                _ => feeds::set(&mut self.values, name, value),
            }
        }
    }

    pub(super) fn check(mut self) -> Result<Config, Vec<Problem>> {
        let checks = self.checks();
        let relay = self.relay();
        let feeds = self.feeds(checks.is_some(), relay.is_some());
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
        match (admin_listen, feeds) {
            (Some(admin_listen), Some(feeds)) if values.problems.is_empty() => Ok(Config {
                checks,
                admin_listen,
                feeds,
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
        let api_key = feeds::api_key(&mut self.values, RELAY_API_KEY);
        let max_followers = self.values.count("max_followers", 1..=1_000_000);
        if !self.values.is_set("relay_listen") {
            return None;
        }
        Some(Relay { listen: self.place("relay_listen")?, api_key, max_followers })
    }

    /// The feed of the top level, and those of the tables; none without the first.
    fn feeds(&mut self, is_checking: bool, is_relay: bool) -> Option<Vec<Feed>> {
        let values = &mut self.values;
        let first = Context {
            remembered_tokens: values.count("remembered_tokens", 0..=1_000_000),
            dpop_max_age_seconds: values.number("dpop_max_age_seconds", 1..=300),
            level: Level::Top { is_checking, is_relay },
        };
        let of_table = Context { level: Level::Table, ..first };
        let first = feeds::read(values, std::mem::take(&mut self.issuers), first);
        let Some(given) = self.feeds.take() else { return Some(vec![first?]) };
        if !is_checking && is_relay {
            let problem = "a process that only relays has one feed, and serves that";
            values.problem("feeds", problem);
        }
        let tables = feeds::further(values, given, of_table);
        feeds::compare(values, first.as_ref(), &tables);
        Some([first?].into_iter().chain(tables.into_iter().map(|(_, feed)| feed)).collect())
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
}

/// The tables of one name. A problem names the table by its place, from 0.
pub(super) fn read_tables<T: DeserializeOwned, R>(
    values: &mut Values,
    name: &str,
    value: toml::Value,
    read: impl Fn(T) -> Result<R, Vec<String>>,
) -> Vec<R> {
    let toml::Value::Array(all) = value else {
        values.problem(name, &format!("must be tables: [[{name}]]"));
        return Vec::new();
    };
    let mut tables = Vec::new();
    for (index, one) in all.into_iter().enumerate() {
        let table = one.try_into::<T>().map_err(|error| vec![error.message().to_owned()]);
        match table.and_then(&read) {
            Ok(table) => tables.push(table),
            Err(problems) => {
                for problem in problems {
                    values.problem(name, &format!("{index}: {problem}"));
                }
            }
        }
    }
    tables
}

fn is_callback(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    let is_anonymous = url.username().is_empty() && url.password().is_none();
    matches!(url.scheme(), "http" | "https") && url.has_host() && is_anonymous
}

const ADDRESS: &str =
    "must be an address or a host name that can be resolved, and a port, such as 127.0.0.1:8410";
/// The longest token that the verifier reads, and the other headers of a client. Over HTTP/1 the
/// accept loop reads no more than this.
const MAX_HEAD_BYTES: u32 = 32 * 1024;
