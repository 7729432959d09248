//! The configuration: defaults that run, a TOML file over them, the environment over both. Every
//! problem is reported at once, by the key's name.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::keyring::TokenAlgorithm;
use crate::plane::{MOST_ENTRIES, Settings};
use crate::server::Limits;
use crate::session::Lifetimes;

/// Everything an operator may set, checked.
pub struct Config {
    /// Where the HTTP API listens.
    pub listen: SocketAddr,
    /// Where the log is kept.
    pub store: StoreConfig,
    /// The folder for the embedded store, the master key and the first API key.
    pub data_dir: PathBuf,
    /// The master key from the environment, if it is there.
    pub master_key: Option<Zeroizing<String>>,
    /// The file that holds the master key otherwise.
    pub master_key_file: PathBuf,
    /// What is logged, in the syntax of `tracing_subscriber::EnvFilter`.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
    /// What connections may take.
    pub limits: Limits,
    /// What the plane needs.
    pub settings: Settings,
}

/// Which store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// One file in the data folder.
    Embedded,
    /// A Redis server.
    Redis {
        /// Its URL.
        url: String,
        /// The prefix of all keys, their hash tag.
        prefix: String,
        /// Findings that are tolerated.
        tolerate: Vec<String>,
        /// True if the operator vouches for `appendfsync always`.
        vouched_always: bool,
    },
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct Problem {
    /// The key's name.
    pub key: String,
    /// What is wrong. Never the value: it may be a secret.
    pub problem: String,
}

/// A key that may be set.
struct Key {
    name: &'static str,
    default: &'static str,
    help: &'static str,
}

impl Config {
    /// Reads the configuration from the text of a TOML file and the environment's variables.
    ///
    /// # Errors
    ///
    /// Every problem at once.
    pub fn load(
        file: Option<&str>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Problem>> {
        let mut values = Values::default();
        values.read_file(file.unwrap_or_default());
        values.read_environment(environment);
        values.check()
    }

    /// Explains every key, for `--help`.
    pub fn help() -> String {
        let mut text = String::from(
            "Configuration: each key may stand in the TOML file given with --config, or in the\n\
             environment as OFFSWITCH_<KEY> in capitals, which counts more.\n",
        );
        for Key { name, default, help } in KEYS {
            let default = if default.is_empty() { "none" } else { default };
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  {name}  [default: {default}]\n      {help}\n");
        }
        text
    }
}

/// What was set, and what is wrong so far.
#[derive(Default)]
struct Values {
    set: BTreeMap<String, Zeroizing<String>>,
    problems: Vec<Problem>,
}

impl Values {
    fn read_file(&mut self, text: &str) {
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                let place =
                    error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
                return self.problem("config file", &format!("is not TOML, line {place}"));
            }
        };
        for (name, value) in table {
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                _ => {
                    self.problem(&name, "must be a string or a whole number");
                    continue;
                }
            };
            if name == MASTER_KEY {
                self.problem(&name, "must come from the environment or from master_key_file");
            } else if KEYS.iter().any(|key| key.name == name) {
                self.set.insert(name, Zeroizing::new(text));
            } else {
                self.problem(&name, "there is no such key");
            }
        }
    }

    fn read_environment(&mut self, environment: impl IntoIterator<Item = (String, String)>) {
        for (variable, text) in environment {
            let Some(name) = variable.strip_prefix("OFFSWITCH_") else { continue };
            let name = name.to_ascii_lowercase();
            if KEYS.iter().any(|key| key.name == name) {
                self.set.insert(name, Zeroizing::new(text));
            } else {
                self.problem(&variable, "there is no such key");
            }
        }
    }

    fn check(mut self) -> Result<Config, Vec<Problem>> {
        let listen =
            self.parse("listen", "must be an address and a port", |text| text.parse().ok());
        let listen = listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let data_dir = PathBuf::from(self.text("data_dir", 1..=4096));
        let master_key_file = match self.text("master_key_file", 0..=4096) {
            path if path.is_empty() => data_dir.join("master.key"),
            path => PathBuf::from(path),
        };
        let log_format = self.parse("log_format", "must be text or json", |text| match text {
            "json" => Some(LogFormat::Json),
            "text" => Some(LogFormat::Text),
            _ => None,
        });
        let log = self.parse("log", "must be a tracing filter", |text| {
            text.parse::<tracing_subscriber::EnvFilter>().ok().map(|_| text.to_owned())
        });
        let store = self.store();
        let settings = self.settings(listen);
        let max_connections = self.count("max_connections", 1..=1_000_000);
        let limits = Limits { max_connections, ..Limits::default() };
        let master_key = self.set.remove(MASTER_KEY);
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        Ok(Config {
            listen,
            store,
            data_dir,
            master_key,
            master_key_file,
            log: log.unwrap_or_default(),
            log_format: log_format.unwrap_or(LogFormat::Text),
            limits,
            settings,
        })
    }

    fn store(&mut self) -> StoreConfig {
        let store = self.text("store", 1..=4096);
        let prefix = self.text("redis_prefix", 1..=64);
        if prefix.contains(['{', '}']) {
            self.problem("redis_prefix", "must not contain { or }");
        }
        let tolerate = self.parse(
            "redis_tolerate",
            "may name eviction, no_append_only_file and replica, separated by commas",
            |text| {
                let names: Vec<String> = text
                    .split(',')
                    .map(|name| name.trim().to_owned())
                    .filter(|name| !name.is_empty())
                    .collect();
                let known = ["eviction", "no_append_only_file", "replica"];
                names.iter().all(|name| known.contains(&name.as_str())).then_some(names)
            },
        );
        let fsync =
            self.parse("redis_appendfsync", "must be detect or always", |text| match text {
                "always" => Some(true),
                "detect" => Some(false),
                _ => None,
            });
        if store == "embedded" {
            return StoreConfig::Embedded;
        }
        if !["redis://", "unix://"].iter().any(|scheme| store.starts_with(scheme)) {
            self.problem("store", "must be embedded, redis://… or unix://…");
        }
        StoreConfig::Redis {
            url: store,
            prefix,
            tolerate: tolerate.unwrap_or_default(),
            vouched_always: fsync.unwrap_or(false),
        }
    }

    fn settings(&mut self, listen: SocketAddr) -> Settings {
        let issuer = match self.text("issuer", 0..=512) {
            issuer if issuer.is_empty() => format!("http://{listen}"),
            issuer => issuer,
        };
        let algorithm =
            self.parse("token_algorithm", "must be EdDSA or ES256", |text| match text {
                "EdDSA" => Some(TokenAlgorithm::EdDsa),
                "ES256" => Some(TokenAlgorithm::Es256),
                _ => None,
            });
        let settings = Settings {
            issuer,
            audience: self.text("audience", 1..=256),
            access_token_seconds: self
                .number("access_token_seconds", 10..=LONGEST_ACCESS_TOKEN_SECONDS),
            lifetimes: Lifetimes {
                idle_seconds: self.number("session_idle_seconds", 1..=315_360_000),
                absolute_seconds: self.number("session_absolute_seconds", 1..=315_360_000),
                grace_seconds: self.number("refresh_grace_seconds", 0..=600),
            },
            sessions_per_user: self.count("sessions_per_user", 1..=100),
            token_algorithm: algorithm.unwrap_or_default(),
            key_rotation_seconds: self.number_or_zero("key_rotation_seconds", 3600..=315_360_000),
            key_publish_seconds: self.number_or_zero("key_publish_seconds", 10..=86_400),
            snapshot_validity_seconds: self.number("snapshot_validity_seconds", 5..=3600),
            heartbeat_seconds: self.number("heartbeat_seconds", 1..=60),
            base_interval_seconds: self.number("base_interval_seconds", 1..=3600),
            max_revocation_seconds: self.number("max_revocation_seconds", 86_400..=315_360_000),
            foreign_token_seconds: self.number("foreign_token_seconds", 60..=31_536_000),
            max_entries: self.count("max_entries", 1..=MOST_ENTRIES as u64),
            max_followers: self.count("max_followers", 1..=1_000_000),
        };
        if settings.heartbeat_seconds * 2 > settings.snapshot_validity_seconds {
            self.problem("heartbeat_seconds", "must be at most half of snapshot_validity_seconds");
        }
        let rotation_seconds = settings.key_rotation_seconds;
        if rotation_seconds > 0 && settings.key_publish_seconds >= rotation_seconds {
            self.problem("key_publish_seconds", "must be less than key_rotation_seconds");
        }
        settings
    }

    fn text(&mut self, name: &str, length: std::ops::RangeInclusive<usize>) -> String {
        let problem = format!("must have {} to {} bytes", length.start(), length.end());
        self.parse(name, &problem, |text| length.contains(&text.len()).then(|| text.to_owned()))
            .unwrap_or_default()
    }

    fn number(&mut self, name: &str, range: std::ops::RangeInclusive<u64>) -> u64 {
        let problem = format!("must be a whole number from {} to {}", range.start(), range.end());
        let parse = |text: &str| text.parse().ok().filter(|number| range.contains(number));
        self.parse(name, &problem, parse).unwrap_or(*range.start())
    }

    fn count(&mut self, name: &str, range: std::ops::RangeInclusive<u64>) -> usize {
        usize::try_from(self.number(name, range)).unwrap_or(usize::MAX)
    }

    fn number_or_zero(&mut self, name: &str, range: std::ops::RangeInclusive<u64>) -> u64 {
        let (start, end) = (range.start(), range.end());
        let problem = format!("must be 0 or a whole number from {start} to {end}");
        let allowed = |number: &u64| *number == 0 || range.contains(number);
        self.parse(name, &problem, |text| text.parse().ok().filter(allowed)).unwrap_or_default()
    }

    fn parse<T>(
        &mut self,
        name: &str,
        problem: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let default = KEYS.iter().find(|key| key.name == name).map_or("", |key| key.default);
        let parsed = parse(self.set.get(name).map_or(default, |text| text.as_str()));
        if parsed.is_none() {
            self.problem(name, problem);
        }
        parsed
    }

    fn problem(&mut self, key: &str, problem: &str) {
        self.problems.push(Problem { key: key.to_owned(), problem: problem.to_owned() });
    }
}

/// Reads the file named on the command line.
///
/// # Errors
///
/// As a problem of the key `config file`.
pub fn read_file(path: &Path) -> Result<String, Vec<Problem>> {
    std::fs::read_to_string(path).map_err(|error| {
        let problem = format!("{} cannot be read: {error}", path.display());
        vec![Problem { key: "config file".to_owned(), problem }]
    })
}

/// No access token lives longer, whatever is configured; a revoked session or user stays in the
/// base this long, so that lowering `access_token_seconds` lets no older token slip through.
pub const LONGEST_ACCESS_TOKEN_SECONDS: u64 = 86_400;

const MASTER_KEY: &str = "master_key";

const KEYS: &[Key] = &[
    Key { name: "listen", default: "127.0.0.1:8400", help: "Address and port of the HTTP API." },
    Key {
        name: "issuer",
        default: "",
        help: "The `iss` of tokens and the id of the feed: the public URL of this control plane. \
               http:// and the listen address if not set.",
    },
    Key { name: "audience", default: "api", help: "The `aud` of tokens, 1 to 256 bytes." },
    Key {
        name: "access_token_seconds",
        default: "600",
        help: "How long an access token lives, 10 to 86400.",
    },
    Key {
        name: "session_idle_seconds",
        default: "1296000",
        help: "A session that was not refreshed for so long is over, 1 to 315360000.",
    },
    Key {
        name: "session_absolute_seconds",
        default: "2592000",
        help: "No session lives longer, however often it is refreshed, 1 to 315360000.",
    },
    Key {
        name: "refresh_grace_seconds",
        default: "60",
        help: "How long a spent refresh token is answered with the same successor while that is \
               unused: for lost replies and racing tabs, 0 to 600.",
    },
    Key {
        name: "sessions_per_user",
        default: "50",
        help: "How many sessions a user may have, 1 to 100; one more ends the one idle for longest.",
    },
    Key {
        name: "token_algorithm",
        default: "EdDSA",
        help: "What new token-signing keys are: EdDSA or ES256.",
    },
    Key {
        name: "key_rotation_seconds",
        default: "7776000",
        help: "After how long a new token-signing key replaces the last one, 3600 to 315360000; 0 \
               for only when asked to (POST /v1/keys/rotate).",
    },
    Key {
        name: "key_publish_seconds",
        default: "60",
        help: "How long a new token-signing key is published before it signs, 10 to 86400, or 0 for \
               none: longer than verifiers cache the key set. The key set's own max-age is 15 s, \
               and processes read it every 5 s; less than 20 suits only verifiers that fetch the \
               key set when they meet an unknown kid, 0 only a single process.",
    },
    Key {
        name: "store",
        default: "embedded",
        help: "Where the log is kept: embedded (a file in data_dir), redis://… or unix://….",
    },
    Key {
        name: "data_dir",
        default: "offswitch-data",
        help: "Folder for the embedded store, the master key and the first API key.",
    },
    Key {
        name: MASTER_KEY,
        default: "",
        help: "The master key, 32 bytes in base64url; from the environment only.",
    },
    Key {
        name: "master_key_file",
        default: "",
        help: "File with the master key, readable by its owner alone; made on the first start. \
               master.key in data_dir if not set. All processes on a store need the same key.",
    },
    Key {
        name: "redis_prefix",
        default: "offswitch",
        help: "Prefix and hash tag of all keys in Redis, 1 to 64 bytes.",
    },
    Key {
        name: "redis_tolerate",
        default: "",
        help: "What would otherwise be refused: eviction, no_append_only_file, replica.",
    },
    Key {
        name: "redis_appendfsync",
        default: "detect",
        help: "detect asks the server; always vouches for it where CONFIG is forbidden.",
    },
    Key {
        name: "snapshot_validity_seconds",
        default: "60",
        help: "How long a snapshot proves the feed fresh, 5 to 3600.",
    },
    Key {
        name: "heartbeat_seconds",
        default: "2",
        help: "How often the stream proves the feed fresh, 1 to 60.",
    },
    Key {
        name: "base_interval_seconds",
        default: "10",
        help: "How often at most a new base is built, 1 to 3600.",
    },
    Key {
        name: "max_revocation_seconds",
        default: "31622400",
        help: "How far in the future a revoked token's exp may lie, 86400 to 315360000.",
    },
    Key {
        name: "foreign_token_seconds",
        default: "604800",
        help: "How long tokens of other issuers may live, for revocations without exp, 60 to \
               31536000.",
    },
    Key {
        name: "max_connections",
        default: "20000",
        help: "How many connections there may be, 1 to 1000000, but at most as many as the process \
               may have files open, less 256.",
    },
    Key {
        name: "max_entries",
        default: "100000000",
        help: "How many tokens, sessions and users may be revoked at once, 1 to 130023424; logouts \
               and thefts may use the rest. Each takes about 20 bytes here and 8 or less in a base.",
    },
    Key {
        name: "max_followers",
        default: "15000",
        help: "How many streams and long polls may wait for news at this process, 1 to 1000000; \
               over HTTP/1 each holds a connection, so that max_connections should leave room.",
    },
    Key { name: "log", default: "info", help: "What is logged, a tracing filter." },
    Key { name: "log_format", default: "text", help: "text or json." },
];

#[cfg(test)]
mod tests {
    use super::{Config, KEYS, StoreConfig};

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let environment =
            environment.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        Config::load(Some(file), environment)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_defaults_run() {
        let config = load("", &[("HOME", "/nowhere")]).ok().unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8400");
        assert_eq!(config.settings.issuer, "http://127.0.0.1:8400");
        assert_eq!(config.store, StoreConfig::Embedded);
    }

    #[test]
    fn the_environment_counts_more_than_the_file() {
        let file = "listen = \"127.0.0.1:1\"\naccess_token_seconds = 20";
        let config = load(file, &[("OFFSWITCH_LISTEN", "127.0.0.1:2")]).ok().unwrap();
        assert_eq!(config.listen.port(), 2);
        assert_eq!(config.settings.access_token_seconds, 20);
    }

    #[test]
    fn every_problem_is_reported_at_once_by_name_and_without_the_value() {
        let file = "listen = \"here\"\naudience = \"\"\nstore = \"mysql://secret\"\nlog = true\n\
                    colour = \"red\"\nmaster_key = \"secret\"\nlog_format = \"xml\"";
        let environment = [
            ("OFFSWITCH_ACCESS_TOKEN_SECONDS", "9"),
            ("OFFSWITCH_TOKEN_ALGORITHM", "RS256"),
            ("OFFSWITCH_REDIS_TOLERATE", "everything"),
            ("OFFSWITCH_REDIS_APPENDFSYNC", "never"),
            ("OFFSWITCH_REDIS_PREFIX", "{a}"),
            ("OFFSWITCH_HEARTBEAT_SECONDS", "60"),
            ("OFFSWITCH_KEY_ROTATION_SECONDS", "3599"),
            ("OFFSWITCH_KEY_PUBLISH_SECONDS", "9"),
            ("OFFSWITCH_LISTNE", "127.0.0.1:1"),
        ];
        let problems = load(file, &environment).err().unwrap();
        for key in [
            "listen",
            "audience",
            "store",
            "log",
            "colour",
            "master_key",
            "log_format",
            "access_token_seconds",
            "token_algorithm",
            "redis_tolerate",
            "redis_appendfsync",
            "redis_prefix",
            "heartbeat_seconds",
            "key_rotation_seconds",
            "key_publish_seconds",
            "OFFSWITCH_LISTNE",
        ] {
            let named = problems.iter().filter(|line| line.starts_with(&format!("{key}: ")));
            assert_eq!(named.count(), 1, "{key} in {problems:?}");
        }
        assert!(!problems.join("\n").contains("secret"), "{problems:?}");
    }

    #[test]
    fn each_key_refuses_what_is_too_long_or_of_the_wrong_type() {
        let long = "x".repeat(5000);
        for key in KEYS.iter().filter(|key| key.name != "log" && key.name != "master_key") {
            let variable = format!("OFFSWITCH_{}", key.name.to_uppercase());
            let problems = load("", &[(&variable, &long)]).err().unwrap_or_default();
            assert!(problems.iter().any(|line| line.starts_with(key.name)), "{}", key.name);
            let problems = load(&format!("{} = [1]", key.name), &[]).err().unwrap_or_default();
            assert!(problems.iter().any(|line| line.starts_with(key.name)), "{}", key.name);
        }
    }

    #[test]
    fn keys_may_be_rotated_by_call_alone_but_not_before_they_are_published() {
        for (rotation, publish, works) in [
            ("0", "0", true),
            ("0", "86400", true),
            ("3600", "10", true),
            ("3600", "3599", true),
            ("3600", "3600", false),
            ("3601", "3600", true),
            ("315360000", "86400", true),
            ("315360001", "60", false),
            ("0", "1", false),
            ("0", "86401", false),
        ] {
            let file =
                format!("key_rotation_seconds = {rotation}\nkey_publish_seconds = {publish}");
            assert_eq!(load(&file, &[]).is_ok(), works, "{file}");
        }
    }

    #[test]
    fn a_file_that_is_not_toml_is_reported_without_its_content() {
        let problems = load("listen = \"127.0.0.1:1\"\nmaster_key secret", &[]).err().unwrap();
        assert_eq!(problems, ["config file: is not TOML, line 2"]);
    }

    #[test]
    fn the_help_explains_each_key() {
        let help = Config::help();
        assert!(KEYS.iter().all(|key| help.contains(&format!("\n  {}  [", key.name))));
    }
}
