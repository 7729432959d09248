//! The guard's configuration: working defaults, overridden by a TOML file, overridden by the
//! environment. All problems are reported together, each with the key's name.

mod feeds;
mod keys;
mod tables;
mod values;

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use offswitch_server::Limits;
use offswitch_server::log::LogFormat;
use offswitch_server::settings::{Problem, Table};
use zeroize::Zeroizing;

use self::keys::KEYS;
use self::values::Configured;
use crate::judge::Rules;

pub use self::feeds::Feed;

/// Everything that an operator can configure, checked.
pub struct Config {
    /// What gateways are answered; none in a process that only relays.
    pub checks: Option<Checks>,
    /// The address of health, readiness and metrics.
    pub admin_listen: SocketAddr,
    /// The feeds that are followed, at least one. The first is that of the top level.
    pub feeds: Vec<Feed>,
    /// Whether, and how, the first feed is served to others.
    pub relay: Option<Relay>,
    /// The limits of connections, of each address.
    pub limits: Limits,
    /// False if `max_connections` is the default.
    pub max_connections_is_set: bool,
    /// What is logged, in the syntax of `tracing_subscriber::EnvFilter`.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
    /// Warnings about ignored input, to be logged. They never contain a value.
    pub warnings: Vec<String>,
}

/// What gateways are answered, and where.
#[derive(Debug)]
pub struct Checks {
    /// Where they ask.
    pub listen: Place,
    /// What requests are judged by.
    pub rules: Rules,
    /// What watches open connections; none if no route asks for it.
    pub watch: Option<WatchSettings>,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At an address and port.
    Tcp(SocketAddr),
    /// At a file, with these permissions.
    Unix(PathBuf, u32),
}

/// What watches open connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchSettings {
    /// The URL that is called.
    pub callback: String,
    /// How many connections are watched at the same time.
    pub max_watched: usize,
}

/// How the feed is served to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// Where.
    pub listen: Place,
    /// The API key that followers must send; every client may follow without one.
    pub api_key: Option<Zeroizing<String>>,
    /// How many streams and long polls may wait.
    pub max_followers: usize,
}

impl Config {
    /// Reads the configuration from the text of a TOML file and the environment's variables; if a
    /// variable occurs twice, the later one wins. Reads the files with API keys.
    ///
    /// # Errors
    ///
    /// All problems together.
    pub fn load(
        file: Option<&str>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Vec<Problem>> {
        let mut configured = Configured::new();
        configured.read_file(file.unwrap_or_default());
        configured.values.read_environment(environment);
        configured.check()
    }

    /// Explains every key, for `--help`.
    pub fn help() -> String {
        let mut text = TABLE.help();
        text.push_str(
            "\n  [[issuers]]  [in the file only]\n      An issuer whose tokens are accepted: issuer and \
             audience, or preset and parameters.\n\
             \n  [[feeds]]  [in the file only]\n      A further feed: urls, id, public_keys, api_key_file, follow, \
             name, data_dir and\n      max_staleness_seconds, as above, and its own [[feeds.issuers]].\n\
             \n  [[routes]]  [in the file only]\n      Which requests need which token, in their order; \
             what no route is for is refused.\n\
             \n  [[headers]]  [in the file only]\n      A header with a claim for the upstream: name, claim \
             and encoding.\n\
             \n  docs/reference/guard.md has the members of these tables.\n",
        );
        text
    }
}

impl Config {
    /// What of `new` comes into force when the process starts again only.
    pub(crate) fn needing_restart(&self, new: &Self) -> Vec<String> {
        let places = |config: &Self| {
            let checks = config.checks.as_ref().map(|checks| checks.listen.clone());
            let relay =
                config.relay.as_ref().map(|relay| (relay.listen.clone(), relay.max_followers));
            (checks, config.admin_listen, relay, config.limits.clone())
        };
        let is_log_same = (&self.log, self.log_format) == (&new.log, new.log_format);
        [
            (places(self) != places(new), "addresses and limits"),
            (!is_log_same, "log and log_format"),
        ]
        .into_iter()
        .filter(|(is_changed, _)| *is_changed)
        .map(|(_, what)| format!("{what} stay as they are until the process starts again"))
        .collect()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path, _) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// The keys of the guard.
const TABLE: Table =
    Table { keys: KEYS, prefix: "OFFSWITCH_GUARD_", elsewhere: &[], command: "offswitch guard" };

#[cfg(test)]
mod tests {
    use super::keys::KEYS;
    use super::{Config, Place};

    const FEED: &str = "gateway = \"nginx\"\nfeed_urls = \"http://127.0.0.1:1/v1/feed\"\n\
                        feed_public_keys = \"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"\n";
    const TABLES: &str = "[[issuers]]\nissuer = \"https://a.example\"\naudience = \"api\"\n\
                          [[routes]]\npaths = [\"/**\"]\n";

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let environment = environment.iter().map(|(name, text)| (name.into(), text.into()));
        Config::load(Some(file), environment)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_environment_counts_more_than_the_file() {
        let file = format!("{FEED}listen = \"127.0.0.1:1\"\n{TABLES}");
        let environment =
            [("OFFSWITCH_GUARD_LISTEN", "unix:/run/guard.sock"), ("OFFSWITCH_LISTEN", "x")];
        let config = load(&file, &environment).ok().unwrap();
        let listen = config.checks.unwrap().listen;
        assert_eq!(listen, Place::Unix("/run/guard.sock".into(), 0o660));
    }

    #[test]
    fn each_key_refuses_what_is_too_long_or_of_the_wrong_type() {
        let long = "\u{e9}".repeat(5000);
        for key in KEYS {
            let variable = format!("OFFSWITCH_GUARD_{}", key.name.to_uppercase());
            let file = format!("{FEED}{TABLES}");
            let problems = load(&file, &[(&variable, &long)]).err().unwrap_or_default();
            let is_named =
                |line: &String| line.starts_with(key.name) || line.starts_with("verifier: ");
            assert!(problems.iter().any(is_named), "{}: {problems:?}", key.name);
            assert!(!problems.concat().contains('\u{e9}'), "{problems:?}");
            let problems = load(&format!("{} = [1]", key.name), &[]).err().unwrap_or_default();
            assert!(problems.iter().any(|line| line.starts_with(key.name)), "{}", key.name);
        }
    }

    // O05: a Kubernetes Service named offswitch-guard, and a misspelled setting.
    #[test]
    fn a_misspelled_variable_is_an_error_and_one_of_a_service_is_not() {
        let file = format!("{FEED}{TABLES}");
        let of_service = [
            ("OFFSWITCH_GUARD_PORT", "tcp://10.0.0.1:8410"),
            ("OFFSWITCH_GUARD_PORT_8410_TCP_ADDR", "10.0.0.1"),
            ("OFFSWITCH_GUARD_SERVICE_HOST", "10.0.0.1"),
        ];
        let config = load(&file, &of_service).ok().unwrap();
        assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
        let problems = load(&file, &[("OFFSWITCH_GUARD_GATWAY", "envoy")]).err().unwrap();
        let meant =
            "OFFSWITCH_GUARD_GATWAY: unknown setting; did you mean OFFSWITCH_GUARD_GATEWAY?";
        assert_eq!(problems, [meant]);
    }

    // O05: API keys as Kubernetes mounts them, and one that anyone could have written.
    #[test]
    fn an_api_key_is_read_from_a_file_that_others_cannot_write() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("offswitch-guard-{}", std::process::id()));
        std::fs::write(&path, "osk_secret\n").unwrap();
        let with = |mode: u32, name: &str| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            load(&format!("{FEED}{TABLES}"), &[(name, path.to_str().unwrap())])
        };
        for name in ["OFFSWITCH_GUARD_FEED_API_KEY_FILE", "OFFSWITCH_GUARD_RELAY_API_KEY_FILE"] {
            for (mode, warnings) in [(0o400, 0), (0o440, 0), (0o644, 1)] {
                let config = with(mode, name).ok().unwrap();
                assert_eq!(config.warnings.len(), warnings, "{mode:o}");
            }
            let problems = with(0o666, name).err().unwrap().concat();
            assert!(problems.contains("can be written to by other users"), "{problems}");
            assert!(!problems.contains("osk_"), "{problems}");
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn each_table_is_checked_by_its_place() {
        for (table, part) in [
            ("[[routes]]\npaths = []", "routes: 1: paths: "),
            ("[[routes]]\npaths = [\"/a\"]\nmethods = [\"get\"]", "routes: 1: methods: "),
            ("[[routes]]\npaths = [\"/a\"]\nhosts = [\"A:1\"]", "routes: 1: hosts: "),
            ("[[routes]]\npaths = [\"/a\"]\nscopes = [\"a b\"]", "routes: 1: scopes: "),
            ("[[routes]]\npaths = [\"/a\"]\ncolour = 1", "routes: 1: unknown field `colour`"),
            ("[[routes]]\npaths = [\"/a\"]\nclaims = { \"*\" = 1 }", "routes: 1: claims: "),
            ("[[routes]]\npaths = [\"/a\"]\nclaims = { a = 1.5 }", "routes: 1: claims: "),
            ("[[routes]]\npaths = [\"/a\"]\nclaims = { a = [] }", "routes: 1: claims: "),
            ("[[routes]]\npaths = [\"/a\"]\nundecided = \"anonymous\"", "routes: 1: undecided: "),
            ("[[routes]]\npaths = [\"/a\"]\nwatch_seconds = 0", "routes: 1: watch_seconds: "),
            ("[[routes]]\npaths = [\"/a\"]\nwatch_seconds = 5", "watch_callback: is needed"),
            (
                "[[routes]]\npaths = [\"/a\"]\naccess = \"anonymous\"\nscopes = [\"a\"]",
                "routes: 1: access: ",
            ),
            (
                "[[routes]]\npaths = [\"/a\"]\non_stale = \"allow\"\nmax_staleness_seconds = 5",
                "routes: 1: on_stale: ",
            ),
            ("[[headers]]\nname = \"X_User\"\nclaim = \"sub\"", "headers: 0: name: "),
            ("[[headers]]\nname = \"Host\"\nclaim = \"sub\"", "headers: 0: name: "),
            ("[[headers]]\nname = \"X-Forwarded-For\"\nclaim = \"sub\"", "headers: 0: name: "),
            ("[[headers]]\nname = \"X-A\"\nclaim = \"/\"", "headers: 0: claim: "),
            ("[[headers]]\nname = \"X-A\"\nclaim = \"*\"", "headers: 0: encoding: "),
            (
                "[[headers]]\nname = \"X-A\"\nclaim = \"a\"\n[[headers]]\nname = \"x-a\"\nclaim = \"b\"",
                "headers: 1: name: x-a is given before",
            ),
            ("[[issuers]]\nissuer = \"https://b.example\"", "issuers: 1: audience: is missing"),
            ("[[issuers]]\npreset = \"none\"", "issuers: 1: the preset is \"none\""),
            (
                "[[issuers]]\nissuer = \"https://a.example\"\naudience = \"b\"",
                "verifier: issuers[1].issuer",
            ),
        ] {
            let problems = load(&format!("{FEED}{TABLES}{table}"), &[]).err().unwrap_or_default();
            assert!(problems.iter().any(|line| line.starts_with(part)), "{table}: {problems:?}");
            assert_eq!(problems.len(), 1, "{problems:?}");
        }
    }

    #[test]
    fn a_process_without_a_gateway_needs_something_to_do() {
        let feed = FEED.replace("gateway = \"nginx\"\n", "feed_id = \"https://a.example\"\n");
        let problems = load(&feed, &[]).err().unwrap();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("gateway: "), "{problems:?}");
        let relay = format!("{feed}relay_listen = \"127.0.0.1:1\"");
        assert!(
            load(&relay, &[]).unwrap_or_else(|problems| panic!("{problems:?}")).checks.is_none()
        );
    }

    #[test]
    fn the_help_explains_each_key() {
        let help = Config::help();
        assert!(KEYS.iter().all(|key| help.contains(&format!("\n  {}  [", key.name))));
    }
}
