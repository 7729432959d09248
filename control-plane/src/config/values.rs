//! The configured values, and their checks.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use offswitch_core::issuers::{Definition, Issuers};
use offswitch_core::limits::LONGEST_ACCESS_TOKEN_SECONDS;
use offswitch_core::relying_parties::{RelyingParty, RelyingPartyDefinition};
use offswitch_core::revoking::Refused;
use offswitch_core::session::{Lifetimes, LostSessions};
use offswitch_server::settings::{Problem, Values, is_issuer, resolve};
use url::Url;

use super::keys::{MASTER_KEY, MASTER_KEY_COMMAND, OTHER_MASTER_KEY};
use super::{Config, StoreConfig, TABLE};
use crate::audit::{AuditSettings, OnFailure, Volume};
use crate::client_address::TrustedProxies;
use crate::keyring::{KeyPolicy, TokenAlgorithm};
use crate::plane::{
    LogSettings, MOST_ENTRIES, PublicationSecrets, PublicationSettings, PublishSettings,
    ReceiverSecrets, RelyingPartySecrets, SessionSettings, Settings, SigningSettings,
};
use crate::remote::address;
use crate::request_limits::RequestLimits;
use crate::server::Limits;
use crate::store::{Appendfsync, RedisTls, check_store_url};
use crate::telemetry::{self, LogFormat};

/// The configured values: those of keys, and the issuers.
pub(super) struct Configured {
    pub(super) values: Values,
    issuers: Vec<(String, Definition)>,
    relying_parties: Vec<(String, RelyingParty)>,
}

/// A table of the file that has a name.
#[derive(serde::Deserialize)]
struct Named {
    name: String,
    #[serde(flatten)]
    definition: toml::Table,
}

impl Configured {
    /// Nothing is set.
    pub(super) fn new() -> Self {
        Self { values: Values::new(TABLE), issuers: Vec::new(), relying_parties: Vec::new() }
    }

    pub(super) fn read_file(&mut self, text: &str) {
        for (name, value) in self.values.read_toml(text).unwrap_or_default() {
            if name == ISSUERS {
                self.read_issuers(value);
            } else if name == RELYING_PARTIES {
                self.read_relying_parties(value);
            } else if name == MASTER_KEY || name == OTHER_MASTER_KEY {
                let problem = format!("must come from the environment or from {name}_file");
                self.values.problem(&name, &problem);
            } else {
                self.values.set_from_file(name, value);
            }
        }
    }

    /// `[[issuers]]`: each with a `name`, and otherwise as `PUT /v1/issuers/{name}` takes it.
    fn read_issuers(&mut self, value: toml::Value) {
        let toml::Value::Array(all) = value else {
            return self.values.problem(ISSUERS, "must be tables: [[issuers]]");
        };
        for (index, one) in all.into_iter().enumerate() {
            let read = one.try_into::<Named>().and_then(|Named { name, definition }| {
                Ok((name, definition.try_into::<Definition>()?))
            });
            match read {
                Ok((name, definition)) => {
                    // Against no other issuer: what the store has registered is known later.
                    let definition = definition.with_preset();
                    let checked = definition.and_then(|definition| {
                        definition.clone().check(&name, &Issuers::new("")).map(|_| definition)
                    });
                    match checked {
                        Ok(definition) if self.is_taken(&name, &definition) => {
                            let problem = format!("{index} has a name or an issuer given before");
                            self.values.problem(ISSUERS, &problem);
                        }
                        Ok(definition) => self.issuers.push((name, definition)),
                        Err(refused) => {
                            let Refused { field, detail, .. } = refused;
                            self.values.problem(ISSUERS, &format!("{index}: {field}: {detail}"));
                        }
                    }
                }
                Err(error) => {
                    let problem = format!("{index}: {}", error.message());
                    self.values.problem(ISSUERS, &problem);
                }
            }
        }
    }

    fn is_taken(&self, name: &str, definition: &Definition) -> bool {
        let is_same = |(other, held): &(String, Definition)| {
            other == name || held.issuer == definition.issuer
        };
        self.issuers.iter().any(is_same)
    }

    /// `[[relying_parties]]`: each with a `name`, and otherwise as `PUT /v1/relying-parties/{name}` takes
    /// it.
    fn read_relying_parties(&mut self, value: toml::Value) {
        let toml::Value::Array(all) = value else {
            return self.values.problem(RELYING_PARTIES, "must be tables: [[relying_parties]]");
        };
        for (index, one) in all.into_iter().enumerate() {
            let read = one.try_into::<Named>().and_then(|Named { name, definition }| {
                Ok((name, definition.try_into::<RelyingPartyDefinition>()?))
            });
            let problem = match read {
                Err(error) => format!("{index}: {}", error.message()),
                Ok((name, _)) if self.relying_parties.iter().any(|(other, _)| *other == name) => {
                    format!("{index} has a name given before")
                }
                Ok((name, definition)) => match definition.check(&name) {
                    Ok(party) => {
                        self.relying_parties.push((name, party));
                        continue;
                    }
                    Err(Refused { field, detail, .. }) => format!("{index}: {field}: {detail}"),
                },
            };
            self.values.problem(RELYING_PARTIES, &problem);
        }
    }

    pub(super) fn check(mut self) -> Result<Config, Vec<Problem>> {
        let listen = self.values.parse(
            "listen",
            "must be an address or a host name that can be resolved, and a port, such as \
             127.0.0.1:8400",
            |text| Some((resolve(text)?, text.to_owned())),
        );
        let (listen, listen_text) = listen
            .unwrap_or_else(|| (SocketAddr::from(([127, 0, 0, 1], 0)), "127.0.0.1:0".to_owned()));
        let data_dir = PathBuf::from(self.values.text("data_dir", 1..=4096));
        let master_key_file = match self.values.text("master_key_file", 0..=4096) {
            path if path.is_empty() => data_dir.join("master.key"),
            path => PathBuf::from(path),
        };
        let log_format =
            self.values.parse("log_format", "must be text or json", |text| match text {
                "json" => Some(LogFormat::Json),
                "text" => Some(LogFormat::Text),
                _ => None,
            });
        let log = self.values.parse(
            "log",
            "must be error, warn, info, debug, trace or off, or a list of target=level",
            |text| telemetry::filter(text).map(|_| text.to_owned()),
        );
        let doctor_edges = self.doctor_edges();
        let trusted_proxies = self.values.parse(
            "trusted_proxies",
            "must be addresses and networks, separated by spaces, such as 10.0.0.0/8",
            |text| text.parse::<TrustedProxies>().ok(),
        );
        let store = self.store();
        let issuer_is_set = self.values.is_set("issuer");
        let tls = self.tls();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let settings = self.settings(&format!("{scheme}://{listen_text}"));
        let start_timeout = self.values.number("store_start_timeout_seconds", 0..=86_400);
        let max_connections = self.values.count("max_connections", 1..=1_000_000);
        let limits = Limits { max_connections, ..Limits::default() };
        let max_connections_is_set = self.values.is_set("max_connections");
        let mut per_second = |name| {
            let number = self.values.number(name, 0..=1_000_000);
            u32::try_from(number).ok().and_then(NonZeroU32::new)
        };
        let request_limits = RequestLimits {
            per_key: per_second("requests_per_key"),
            per_source: per_second("requests_per_source"),
        };
        let mut file = |name| {
            let path = self.values.text(name, 0..=4096);
            (!path.is_empty()).then(|| PathBuf::from(path))
        };
        let other_master_key_file = file("other_master_key_file");
        let publish_secrets_file = file("publish_secrets_file");
        let receiver_secrets_file = file("receiver_secrets_file");
        let relying_party_secrets_file = file("relying_party_secrets_file");
        self.values.text(MASTER_KEY_COMMAND, 0..=4096);
        self.values.text(OTHER_MASTER_KEY, 0..=4096);
        let [master_key, master_key_command, other_master_key] =
            [MASTER_KEY, MASTER_KEY_COMMAND, OTHER_MASTER_KEY].map(|name| self.values.take(name));
        if master_key.is_some() && master_key_command.is_some() {
            self.values.problem(MASTER_KEY_COMMAND, "cannot be set together with master_key");
        }
        if !self.values.problems.is_empty() {
            return Err(self.values.problems);
        }
        Ok(Config {
            listen,
            tls,
            issuer_is_set,
            store_start_timeout: (start_timeout > 0).then(|| Duration::from_secs(start_timeout)),
            warnings: self.values.warnings,
            store,
            data_dir,
            master_key,
            master_key_command,
            master_key_file,
            other_master_key,
            other_master_key_file,
            publish_secrets_file,
            receiver_secrets_file,
            trusted_proxies: trusted_proxies.unwrap_or_default(),
            doctor_edges,
            relying_party_secrets_file,
            log: log.unwrap_or_default(),
            log_format: log_format.unwrap_or(LogFormat::Text),
            limits,
            max_connections_is_set,
            request_limits,
            issuers: self.issuers,
            relying_parties: self.relying_parties,
            settings,
        })
    }

    fn doctor_edges(&mut self) -> Vec<Url> {
        let edges = self.values.parse(
            "doctor_edges",
            "must be at most 16 http or https addresses, separated by spaces, without a password",
            |text| {
                let edges =
                    text.split_ascii_whitespace().map(address).collect::<Result<Vec<_>, _>>();
                edges.ok().filter(|edges| edges.len() <= 16)
            },
        );
        edges.unwrap_or_default()
    }

    fn store(&mut self) -> StoreConfig {
        let (key, store) = self.store_address();
        let prefix = self.values.text("redis_prefix", 1..=64);
        if prefix.contains(['{', '}']) {
            self.values.problem("redis_prefix", "must not contain { or }");
        }
        let tolerance = self.values.parse(
            "redis_tolerate",
            "may name eviction, no_append_only_file and replica, separated by commas",
            |text| text.parse().ok(),
        );
        let appendfsync =
            self.values.parse("redis_appendfsync", "must be detect or always", |text| match text {
                "always" => Some(Appendfsync::Always),
                "detect" => Some(Appendfsync::Detect),
                _ => None,
            });
        let wait_replicas = self.values.number("redis_wait_replicas", 0..=16);
        let tls = self.redis_tls();
        let uses_tls = match store.as_str() {
            "embedded" => Ok(false),
            url => check_store_url(url),
        };
        match uses_tls {
            Err(problem) => self.values.problem(key, &problem),
            Ok(false) if tls != RedisTls::default() => self.values.problem(
                key,
                "does not ask for TLS (rediss://), but redis_ca_file, redis_client_cert_file, \
                 redis_client_key_file or redis_server_name is set",
            ),
            Ok(_) => {}
        }
        if store == "embedded" {
            return StoreConfig::Embedded;
        }
        StoreConfig::Redis {
            url: store,
            prefix,
            tolerance: tolerance.unwrap_or_default(),
            appendfsync: appendfsync.unwrap_or_default(),
            wait_replicas: u32::try_from(wait_replicas).unwrap_or_default(),
            tls,
        }
    }

    /// The store, and the key that names it.
    fn store_address(&mut self) -> (&'static str, String) {
        let path = self.values.text(STORE_FILE, 0..=4096);
        if path.is_empty() {
            return ("store", self.values.text("store", 1..=4096));
        }
        if self.values.is_set("store") {
            self.values.problem(STORE_FILE, "cannot be set together with store");
        }
        let read = self.values.secret_file(STORE_FILE, &path, 4096);
        // Without it, a problem is noted, and only that one.
        (STORE_FILE, read.map_or_else(|| "embedded".to_owned(), |text| text.to_string()))
    }

    fn redis_tls(&mut self) -> RedisTls {
        let file = |text: String| (!text.is_empty()).then(|| PathBuf::from(text));
        let ca_file = file(self.values.text("redis_ca_file", 0..=4096));
        let certificate = file(self.values.text("redis_client_cert_file", 0..=4096));
        let key = file(self.values.text("redis_client_key_file", 0..=4096));
        if certificate.is_some() != key.is_some() {
            let problem = "redis_client_cert_file and redis_client_key_file need each other";
            self.values.problem("redis_client_key_file", problem);
        }
        let name = self.values.text("redis_server_name", 0..=255);
        let server_name = (!name.is_empty()).then_some(name);
        RedisTls { ca_file, client_certificate: certificate.zip(key), server_name }
    }

    fn audit(&mut self) -> AuditSettings {
        let volume = self.values.parse("audit", "must be changes, all or off", |text| match text {
            "all" => Some(Volume::All),
            "changes" => Some(Volume::Changes),
            "off" => Some(Volume::Off),
            _ => None,
        });
        let failure =
            self.values.parse("audit_failure", "must be continue or refuse", |text| match text {
                "continue" => Some(OnFailure::Continue),
                "refuse" => Some(OnFailure::Refuse),
                _ => None,
            });
        AuditSettings {
            folder: None,
            volume: volume.unwrap_or_default(),
            failure: failure.unwrap_or_default(),
            file_bytes: AUDIT_FILE_BYTES,
        }
    }

    fn publication(&mut self) -> PublicationSettings {
        let expected = "must be s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, \
                        workers-kv://account/namespace/prefix or file:///folder";
        let to = self.values.parse("publish_to", expected, |text| match text {
            "" => Some(None),
            text => text.parse().ok().map(Some),
        });
        PublicationSettings {
            to: to.flatten(),
            secrets: PublicationSecrets::default(),
            interval_seconds: self.values.number("publish_interval_seconds", 1..=60),
            heartbeat_seconds: self.values.number("publish_heartbeat_seconds", 1..=60),
        }
    }

    fn tls(&mut self) -> Option<(PathBuf, PathBuf)> {
        let mut file = |name| {
            let path = self.values.text(name, 0..=4096);
            (!path.is_empty()).then(|| PathBuf::from(path))
        };
        let (certificate, key) = (file("tls_certificate_file"), file("tls_key_file"));
        if certificate.is_some() != key.is_some() {
            let problem = "tls_certificate_file and tls_key_file need each other";
            self.values.problem("tls_key_file", problem);
        }
        certificate.zip(key)
    }

    fn settings(&mut self, default_issuer: &str) -> Settings {
        let issuer = match self.values.text("issuer", 0..=512) {
            issuer if issuer.is_empty() => default_issuer.to_owned(),
            issuer => issuer,
        };
        if !is_issuer(&issuer) {
            self.values.problem(
                "issuer",
                "must be a URL such as https://auth.example, without query and fragment",
            );
        }
        let algorithm =
            self.values.parse("token_algorithm", "must be EdDSA or ES256", |text| match text {
                "EdDSA" => Some(TokenAlgorithm::EdDsa),
                "ES256" => Some(TokenAlgorithm::Es256),
                _ => None,
            });
        let lost_sessions =
            self.values.parse("lost_sessions", "must be unavailable or end", |text| match text {
                "unavailable" => Some(LostSessions::Unavailable),
                "end" => Some(LostSessions::End),
                _ => None,
            });
        let audit = self.audit();
        let publication = self.publication();
        let settings = Settings {
            issuer,
            audit,
            publication,
            receiver_secrets: ReceiverSecrets::default(),
            relying_party_secrets: RelyingPartySecrets::default(),
            sessions: SessionSettings {
                audience: self.values.text("audience", 1..=256),
                access_token_seconds: self
                    .values
                    .number("access_token_seconds", 10..=LONGEST_ACCESS_TOKEN_SECONDS),
                lifetimes: Lifetimes {
                    idle_seconds: self.values.number("session_idle_seconds", 1..=315_360_000),
                    absolute_seconds: self
                        .values
                        .number("session_absolute_seconds", 1..=315_360_000),
                    grace_seconds: self.values.number("refresh_grace_seconds", 0..=604_800),
                },
                lost_sessions: lost_sessions.unwrap_or_default(),
                sessions_per_user: self.values.count("sessions_per_user", 1..=100),
            },
            signing: SigningSettings {
                rotation_seconds: self
                    .values
                    .number_or_zero("key_rotation_seconds", 3600..=315_360_000),
                policy: KeyPolicy {
                    algorithm: algorithm.unwrap_or_default(),
                    publish_seconds: self.values.number_or_zero("key_publish_seconds", 10..=86_400),
                },
            },
            publish: PublishSettings {
                snapshot_validity_seconds: self
                    .values
                    .number("snapshot_validity_seconds", 5..=86_400),
                heartbeat_seconds: self.values.number("heartbeat_seconds", 1..=60),
                base_interval_seconds: self.values.number("base_interval_seconds", 1..=3600),
                max_followers: self.values.count("max_followers", 1..=1_000_000),
            },
            log: LogSettings {
                max_revocation_seconds: self
                    .values
                    .number("max_revocation_seconds", 86_400..=315_360_000),
                max_entries: self.values.count("max_entries", 1..=MOST_ENTRIES as u64),
                memory_folder: None,
                has_served: false,
                secret_files: vec![],
                tls: None,
            },
        };
        let PublishSettings { heartbeat_seconds, snapshot_validity_seconds, .. } = settings.publish;
        if heartbeat_seconds * 2 > snapshot_validity_seconds {
            self.values
                .problem("heartbeat_seconds", "must be at most half of snapshot_validity_seconds");
        }
        let PublicationSettings { to, heartbeat_seconds, .. } = &settings.publication;
        if to.is_some() && heartbeat_seconds * 4 > snapshot_validity_seconds {
            let problem = "must be at most a quarter of snapshot_validity_seconds";
            self.values.problem("publish_heartbeat_seconds", problem);
        }
        let SigningSettings { policy, rotation_seconds } = settings.signing;
        if rotation_seconds > 0 && policy.publish_seconds >= rotation_seconds {
            self.values.problem("key_publish_seconds", "must be less than key_rotation_seconds");
        }
        settings
    }
}

const STORE_FILE: &str = "store_file";
/// About 200,000 changes.
const AUDIT_FILE_BYTES: u64 = 64 << 20;
/// The issuers whose tokens can be revoked; in the file only.
const ISSUERS: &str = "issuers";
/// The relying parties that are notified of ended sessions; in the file only.
const RELYING_PARTIES: &str = "relying_parties";
