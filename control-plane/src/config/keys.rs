//! Every key of the configuration, with its default and its explanation.

use offswitch_server::settings::Key;

pub(super) const MASTER_KEY: &str = "master_key";
pub(super) const MASTER_KEY_COMMAND: &str = "master_key_command";
pub(super) const OTHER_MASTER_KEY: &str = "other_master_key";

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "listen",
        default: "127.0.0.1:8400",
        help: "Address or host name, and port, of the HTTP API.",
    },
    Key {
        name: "tls_certificate_file",
        default: "",
        help: "PEM file with a certificate and its chain, for HTTPS on listen; needs tls_key_file. Both are \
               read again every 30 s, so that a renewed certificate needs no restart.",
    },
    Key {
        name: "tls_key_file",
        default: "",
        help: "PEM file (mode 0600) with the key of that certificate.",
    },
    Key {
        name: "issuer",
        default: "",
        help: "The `iss` of tokens and the id of the feed: the public URL of this control plane. The \
               store remembers it. If not set: the one that the store remembers, or at the first \
               start http:// (https:// with tls_certificate_file) and the listen address.",
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
        help: "Idle timeout: a session that is not refreshed for this long ends, 1 to 315360000.",
    },
    Key {
        name: "session_absolute_seconds",
        default: "2592000",
        help: "The longest life of a session, however often it is refreshed, 1 to 315360000.",
    },
    Key {
        name: "refresh_grace_seconds",
        default: "86400",
        help: "How long a used refresh token returns the same successor again while that is unused, \
               0 to 604800: for lost responses and sleeping phones. Two parties that take turns \
               are treated as theft at the third late repetition in a row.",
    },
    Key {
        name: "lost_sessions",
        default: "unavailable",
        help: "The answer to a refresh token whose session the store has lost: unavailable (503: \
               clients keep the token while you may still restore a backup) or end (log in again).",
    },
    Key {
        name: "sessions_per_user",
        default: "50",
        help: "How many sessions a user may have, 1 to 100; the next login ends the longest-idle \
               one.",
    },
    Key {
        name: "token_algorithm",
        default: "EdDSA",
        help: "The algorithm of new token-signing keys: EdDSA or ES256.",
    },
    Key {
        name: "key_rotation_seconds",
        default: "7776000",
        help: "After how long a new token-signing key replaces the last one, 3600 to 315360000; 0 \
               for only on request (POST /v1/keys/rotate).",
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
        help: "Where the log is kept: embedded (a file in data_dir), redis://…, redis+sentinel://…, \
               redis+cluster://… (rediss… for TLS) or unix://… (see docs/guides/redis.md).",
    },
    Key {
        name: "store_file",
        default: "",
        help: "File (mode 0600) with the value of store instead: for a URL with a password.",
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
        help: "File with the master key, readable only by its owner; created at the first start. \
               master.key in data_dir if not set. All processes on a store need the same key.",
    },
    Key {
        name: "store_start_timeout_seconds",
        default: "300",
        help: "How long a start waits for a store that does not answer, up to 86400; 0 for ever. \
               Meanwhile /readyz answers 503.",
    },
    Key {
        name: MASTER_KEY_COMMAND,
        default: "",
        help: "A program and its arguments, separated by spaces, that prints the master key; run \
               once at the start, without a shell, for at most 30 s.",
    },
    Key {
        name: OTHER_MASTER_KEY,
        default: "",
        help: "A second master key that is accepted, while the master key is replaced (see \
               docs/guides/key-life.md); from the environment only.",
    },
    Key {
        name: "receiver_secrets_file",
        default: "",
        help: "TOML file (mode 0600) with the secrets of webhooks: for each issuer name = \"secret\", \
               or several in brackets while one is changed; or a table [name] with webhook, the \
               same, and with transmitter and transmitter_token, a transmitter of security events and \
               the bearer token for it. It is read at the start.",
    },
    Key {
        name: "doctor_edges",
        default: "",
        help: "Addresses at the edge, separated by spaces, at most 16: POST /v1/doctor may show them a \
               token that is revoked. Without one it revokes no token.",
    },
    Key {
        name: "relying_party_secrets_file",
        default: "",
        help: "TOML file (mode 0600) with the credentials for pushes to relying parties: for each that \
               needs one a table [name] with endpoint_url and authorization. It is read at the start.",
    },
    Key { name: "other_master_key_file", default: "", help: "File with that second master key." },
    Key {
        name: "redis_prefix",
        default: "offswitch",
        help: "Prefix and hash tag of all keys in Redis, 1 to 64 bytes.",
    },
    Key {
        name: "redis_tolerate",
        default: "",
        help: "Redis problems to accept instead of refusing to start: eviction, \
               no_append_only_file, replica.",
    },
    Key {
        name: "redis_appendfsync",
        default: "detect",
        help: "detect asks the server; always confirms appendfsync always and \
               no-appendfsync-on-rewrite no for a server that forbids CONFIG.",
    },
    Key {
        name: "redis_wait_replicas",
        default: "0",
        help: "How many replicas of Redis must have a revocation before it is acknowledged, up to 16.",
    },
    Key {
        name: "redis_ca_file",
        default: "",
        help: "PEM file with the authorities that may have signed Redis' certificate, and no others; \
               those of the system if not set. With rediss… only, as the next three.",
    },
    Key {
        name: "redis_client_cert_file",
        default: "",
        help: "PEM file with the certificate that is shown to Redis; needs redis_client_key_file.",
    },
    Key {
        name: "redis_client_key_file",
        default: "",
        help: "PEM file (mode 0600) with the key of that certificate.",
    },
    Key {
        name: "redis_server_name",
        default: "",
        help: "The name that Redis' certificate must have; the host in the URL if not set.",
    },
    Key {
        name: "snapshot_validity_seconds",
        default: "60",
        help: "How long a snapshot proves the feed fresh, 5 to 86400: more than an hour is for verifiers without a network.",
    },
    Key {
        name: "heartbeat_seconds",
        default: "2",
        help: "How often the stream proves the feed fresh, 1 to 60.",
    },
    Key {
        name: "base_interval_seconds",
        default: "10",
        help: "The shortest time between two new bases, 1 to 3600.",
    },
    Key {
        name: "publish_to",
        default: "",
        help: "Where the feed is published as files, in addition: s3://bucket/prefix, gs://bucket/prefix, \
               az://container/prefix, workers-kv://account/namespace/prefix or file:///folder. The \
               credentials are in publish_secrets_file or the environment (AWS_…, GOOGLE_…, AZURE_…, \
               CLOUDFLARE_API_TOKEN); see docs/guides/static-publication.md.",
    },
    Key {
        name: "publish_secrets_file",
        default: "",
        help: "TOML file (mode 0600) with the credentials and options for that place, such as \
               aws_access_key_id = \"…\". It is read at the start, and counts more than the environment.",
    },
    Key {
        name: "publish_interval_seconds",
        default: "1",
        help: "The shortest time between two heads that this process publishes there, 1 to 60.",
    },
    Key {
        name: "publish_heartbeat_seconds",
        default: "5",
        help: "The longest time between two heads there, 1 to 60; at most a quarter of \
               snapshot_validity_seconds.",
    },
    Key {
        name: "max_revocation_seconds",
        default: "31622400",
        help: "How far in the future a revoked token's exp may be, 86400 to 315360000.",
    },
    Key {
        name: "trusted_proxies",
        default: "",
        help: "Addresses and networks of proxies, separated by spaces, such as 10.0.0.0/8: the client of a \
               request is the one that they name in X-Forwarded-For. Without it, it is the peer.",
    },
    Key {
        name: "max_connections",
        default: "20000",
        help: "How many connections there may be, 1 to 1000000, but at most as many as the process \
               may have files open, less 256.",
    },
    Key {
        name: "requests_per_key",
        default: "0",
        help: "How many requests per second each API key may send to this process, up to 1000000, or ten \
               times as many at the same moment; 0 for no limit. What follows the feed is not counted.",
    },
    Key {
        name: "requests_per_source",
        default: "1000",
        help: "The same for each source (an address; in IPv6 a network of 64 bits) of requests that no key \
               is counted for: without a key, or with one that may not do this. 0 for no limit.",
    },
    Key {
        name: "max_entries",
        default: "100000000",
        help: "How many revoked tokens, sessions and users may be held in total, 1 to 130023424; \
               logouts and thefts may use the rest. Each takes about 20 bytes here and 8 or less \
               in a base.",
    },
    Key {
        name: "max_followers",
        default: "15000",
        help: "How many streams and long polls may wait for news at this process, 1 to 1000000; \
               over HTTP/1 each holds a connection, so that max_connections should leave room.",
    },
    Key {
        name: "log",
        default: "info",
        help: "What is logged: error, warn, info, debug, trace or off, or a tracing filter such as \
               info,offswitch::audit=off. Lines of the target offswitch::audit say who changed what.",
    },
    Key { name: "log_format", default: "text", help: "text or json." },
    Key {
        name: "audit",
        default: "changes",
        help: "What the audit log in data_dir/audit records: changes (all but refreshes that end no \
               session), all, or off (see docs/guides/audit.md).",
    },
    Key {
        name: "audit_failure",
        default: "continue",
        help: "What happens to changes while the audit log cannot be written: continue (they are \
               made and counted, with a finding) or refuse (503 audit_unavailable, before anything \
               is changed).",
    },
];
