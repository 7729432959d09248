//! The configuration: working defaults, overridden by a TOML file, overridden by the environment.
//! All problems are reported together, each with the key's name.

mod keys;
#[cfg(test)]
mod tests;
mod values;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use offswitch_core::issuers::Definition;
use offswitch_core::relying_parties::RelyingParty;
use offswitch_server::settings::Table;
use url::Url;
use zeroize::Zeroizing;

use self::keys::KEYS;
use self::values::Configured;
use crate::client_address::TrustedProxies;
use crate::plane::Settings;
use crate::request_limits::RequestLimits;
use crate::server::Limits;
use crate::store::{Appendfsync, RedisTls, Tolerance};
use crate::telemetry::LogFormat;

pub use offswitch_server::settings::{Problem, read_file};

/// Everything that an operator can configure, checked.
pub struct Config {
    /// The address of the HTTP API.
    pub listen: SocketAddr,
    /// The files with the certificate and its key, for HTTPS there.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// False if the issuer in `settings` is only derived from the listen address.
    pub issuer_is_set: bool,
    /// Where the log is kept.
    pub store: StoreConfig,
    /// How long a start waits for the store; for ever if absent.
    pub store_start_timeout: Option<Duration>,
    /// The folder for the embedded store, the master key and the first API key.
    pub data_dir: PathBuf,
    /// The master key from the environment, if set.
    pub master_key: Option<Zeroizing<String>>,
    /// The command that prints the master key, if one is set.
    pub master_key_command: Option<Zeroizing<String>>,
    /// The file with the master key, used otherwise.
    pub master_key_file: PathBuf,
    /// The second accepted master key, from the environment.
    pub other_master_key: Option<Zeroizing<String>>,
    /// The file with the second accepted master key.
    pub other_master_key_file: Option<PathBuf>,
    /// The file with what opens the place to publish at.
    pub publish_secrets_file: Option<PathBuf>,
    /// The file with the secrets of webhooks, and the tokens for transmitters of events.
    pub receiver_secrets_file: Option<PathBuf>,
    /// The proxies that say which client a request comes from.
    pub trusted_proxies: TrustedProxies,
    /// Where `POST /v1/doctor` may show a token that is revoked.
    pub doctor_edges: Vec<Url>,
    /// The file with the credentials for relying parties.
    pub relying_party_secrets_file: Option<PathBuf>,
    /// What is logged, in the syntax of `tracing_subscriber::EnvFilter`.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
    /// The limits of connections.
    pub limits: Limits,
    /// False if `max_connections` is the default.
    pub max_connections_is_set: bool,
    /// The limits of requests per API key and per source.
    pub request_limits: RequestLimits,
    /// The issuers whose tokens can be revoked, by name.
    pub issuers: Vec<(String, Definition)>,
    /// The relying parties that are notified of ended sessions, by name.
    pub relying_parties: Vec<(String, RelyingParty)>,
    /// The settings of the plane.
    pub settings: Settings,
    /// Warnings about ignored input, to be logged. They never contain a value.
    pub warnings: Vec<String>,
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
        /// What the operator accepts.
        tolerance: Tolerance,
        /// When the server flushes its append-only file.
        appendfsync: Appendfsync,
        /// How many replicas must have what is acknowledged.
        wait_replicas: u32,
        /// How TLS is used, if the URL asks for it.
        tls: RedisTls,
    },
}

impl Config {
    /// Reads the configuration from the text of a TOML file and the environment's variables; if a
    /// variable occurs twice, the later one wins.
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

    /// Where the audit logs of the processes on this data folder are.
    pub fn audit_folder(&self) -> PathBuf {
        self.data_dir.join("audit")
    }

    /// Explains every key, for `--help`.
    pub fn help() -> String {
        let mut text = TABLE.help();
        text.push_str(
            "\n  [[issuers]]  [in the file only]\n      An identity provider whose tokens can be \
             revoked: name, issuer and, where they differ\n      from the defaults, the members that \
             PUT /v1/issuers/{name} takes.\n\n  [[relying_parties]]  [in the file only]\n      An \
             application that is notified when a session ends: name, and the members that\n      PUT \
             /v1/relying-parties/{name} takes.\n",
        );
        text
    }
}

/// The keys of the control plane.
const TABLE: Table = Table {
    keys: KEYS,
    prefix: "OFFSWITCH_",
    elsewhere: &[
        "OFFSWITCH_API_KEY",
        "OFFSWITCH_API_KEY_FILE",
        "OFFSWITCH_CONFIG",
        "OFFSWITCH_URL",
    ],
    command: "offswitch serve",
};
