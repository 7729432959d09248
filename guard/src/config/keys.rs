//! Every key of the configuration, with its default and its explanation. Issuers, routes and headers
//! are tables of the file.

use offswitch_server::settings::Key;

pub(super) const FEED_API_KEY: &str = "feed_api_key";
pub(super) const RELAY_API_KEY: &str = "relay_api_key";

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "gateway",
        default: "",
        help: "The gateway that asks: caddy, envoy, haproxy, ingress-nginx, nginx or traefik. Each says \
               in its own way what its client asks for, and no other way is read. Not set: no gateway is \
               answered, for a process that only relays.",
    },
    Key {
        name: "listen",
        default: "127.0.0.1:8410",
        help: "Where gateways ask: address or host name, and port, or unix: and the path of a socket. \
               Clients must not reach it.",
    },
    Key {
        name: "socket_mode",
        default: "660",
        help: "The permissions of a Unix socket, in octal: the gateway needs to read and write it.",
    },
    Key {
        name: "admin_listen",
        default: "127.0.0.1:8411",
        help: "Address or host name, and port, of /healthz, /readyz and /metrics. Gateways and clients \
               must not reach it.",
    },
    Key {
        name: "feed_urls",
        default: "",
        help: "The feed's addresses, 1 to 8, separated by commas: of the control plane or of relays, such \
               as https://auth.example/v1/feed, or of the head of a feed that is published as files, if \
               it ends in /head; file:///folder/head is one on this machine. The next is used if one fails or lags.",
    },
    Key {
        name: "feed_id",
        default: "",
        help: "The id that the feed is signed with: the issuer of its control plane. If not set: the \
               first issuer.",
    },
    Key {
        name: "feed_public_keys",
        default: "",
        help: "The feed's public keys, separated by commas: the control plane prints them when it starts, \
               and GET /v1/keys lists them.",
    },
    Key {
        name: FEED_API_KEY,
        default: "",
        help: "The API key with the scope feed:read; from the environment only.",
    },
    Key { name: "feed_api_key_file", default: "", help: "File with that API key." },
    Key {
        name: "feed_follow",
        default: "stream",
        help: "How the feed is followed: stream, long-poll or poll.",
    },
    Key {
        name: "feed_name",
        default: "",
        help: "The name under which the control plane shows this follower: 1 to 64 letters, digits or \
               -_.:/@. If not set: none.",
    },
    Key {
        name: "data_dir",
        default: "",
        help: "Folder in which the feed's state is kept, so that a restart needs no base. If not set: none \
               is kept.",
    },
    Key {
        name: "max_staleness_seconds",
        default: "60",
        help: "How old the newest statement of the feed may be, 1 to 86400; after that verdicts are \
               undecided.",
    },
    Key {
        name: "remembered_tokens",
        default: "100000",
        help: "How many tokens are remembered whose signature was good, 0 to 1000000, for each feed. Times \
               and revocations are judged every time.",
    },
    Key {
        name: "dpop_max_age_seconds",
        default: "60",
        help: "How old a DPoP proof may be, 1 to 300.",
    },
    Key {
        name: "public_url",
        default: "",
        help: "The origin under which clients see the gateway, such as https://api.example: DPoP proofs \
               name it. If not set: scheme and host as the gateway shows them.",
    },
    Key {
        name: "retry_jitter_seconds",
        default: "10",
        help: "After an event that refuses all tokens, each client gets a time to come back of 1 to this \
               many seconds, 0 to 3600; 0 for none.",
    },
    Key {
        name: "watch_callback",
        default: "",
        help: "The http(s) URL that is called when the token of an open connection is refused, for routes \
               with watch_seconds.",
    },
    Key {
        name: "watch_id_header",
        default: "x-request-id",
        help: "The header with the id of the request that the gateway sets; over Envoy's gRPC the id of \
               the request itself is used.",
    },
    Key {
        name: "max_watched",
        default: "100000",
        help: "How many open connections may be watched, 1 to 1000000; further ones get 503.",
    },
    Key {
        name: "relay_listen",
        default: "",
        help: "Where the followed feed, the first of several, is served to other verifiers: address or host \
               name, and port, or unix: and the path of a socket. If not set: nowhere.",
    },
    Key {
        name: RELAY_API_KEY,
        default: "",
        help: "The API key that followers of the relay must send; from the environment only. Without it \
               and without relay_api_key_file every client may follow.",
    },
    Key { name: "relay_api_key_file", default: "", help: "File with that API key." },
    Key {
        name: "max_followers",
        default: "15000",
        help: "How many streams and long polls may wait for news at the relay, 1 to 1000000.",
    },
    Key {
        name: "max_connections",
        default: "20000",
        help: "How many connections each address may have, 1 to 1000000, but at most as many as the \
               process may have files open, less 256.",
    },
    Key {
        name: "log",
        default: "info",
        help: "What is logged: error, warn, info, debug, trace or off, or a tracing filter.",
    },
    Key { name: "log_format", default: "text", help: "text or json." },
];
