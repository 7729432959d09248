//! What is accepted, what is refused, and how problems are reported.

use super::keys::KEYS;
use super::{Config, StoreConfig};

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let environment = environment.iter().map(|(name, text)| (name.into(), text.into()));
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
    assert_eq!(config.settings.sessions.access_token_seconds, 20);
}

#[test]
fn one_error_reports_every_problem_by_name_and_without_the_value() {
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

// P09: verifiers without a network need snapshots that are good for longer than the way to them takes.
#[test]
fn snapshots_are_valid_for_a_day_at_most() {
    for (seconds, works) in [("4", false), ("5", true), ("86400", true), ("86401", false)] {
        let file = format!("snapshot_validity_seconds = {seconds}");
        assert_eq!(load(&file, &[]).is_ok(), works, "{file}");
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
        let file = format!("key_rotation_seconds = {rotation}\nkey_publish_seconds = {publish}");
        assert_eq!(load(&file, &[]).is_ok(), works, "{file}");
    }
}

// D106, O05: a Kubernetes Service named offswitch, variables of other programs, and values that are
// not UTF-8.
#[test]
fn variables_that_are_not_ours_are_ignored_with_a_warning_that_names_no_value() {
    use std::os::unix::ffi::OsStringExt;
    let not_utf8 = || std::ffi::OsString::from_vec(b"secret\xff".to_vec());
    let services = [
        "OFFSWITCH_PORT",
        "OFFSWITCH_PORT_8400_TCP",
        "OFFSWITCH_PORT_8400_TCP_ADDR",
        "OFFSWITCH_PORT_8400_TCP_PORT",
        "OFFSWITCH_PORT_8400_TCP_PROTO",
        "OFFSWITCH_SERVICE_HOST",
        "OFFSWITCH_SERVICE_PORT",
        "OFFSWITCH_REDIS_SERVICE_PORT_HTTP",
        "OFFSWITCH_LISTEN_PORT",
    ];
    let others = ["OFFSWITCH_FEED_URL", "OFFSWITCH_GUARD_LISTEN", "OFFSWITCH_JWKS_URL"];
    let of_commands = ["OFFSWITCH_API_KEY", "OFFSWITCH_CONFIG", "OFFSWITCH_URL"];
    let names = services.iter().chain(&others).chain(&of_commands);
    let mut variables: Vec<_> =
        names.map(|name| ((*name).into(), "tcp://secret:8400".into())).collect();
    variables.push(("OFFSWITCH_EDGE".into(), not_utf8()));
    variables.push((not_utf8(), "secret".into()));
    variables.push(("OFFSWITCH_AUDIENCE".into(), "shop".into()));
    let config = Config::load(None, variables).map_err(|problems| format!("{problems:?}"));
    let config = config.map_err(|problems| panic!("{problems}")).unwrap();
    assert_eq!(config.settings.sessions.audience, "shop");
    let [of_services, of_others] = &config.warnings[..] else { panic!("{:?}", config.warnings) };
    for name in services {
        assert!(of_services.contains(name), "{name} in {of_services}");
    }
    for name in others.iter().chain(&["OFFSWITCH_EDGE"]) {
        assert!(of_others.contains(name), "{name} in {of_others}");
    }
    let text = config.warnings.join("\n");
    assert!(!text.contains("secret"), "{text}");
    for name in of_commands {
        assert!(!text.contains(name), "{text}");
    }

    let problems = Config::load(None, [("OFFSWITCH_AUDIENCE".into(), not_utf8())]);
    let problems = problems.err().unwrap();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].to_string(), "audience: the environment variable is not UTF-8");
}

// O05: ignoring a misspelled setting could mean another store, or no limit.
#[test]
fn a_variable_that_is_spelled_almost_like_a_setting_is_an_error() {
    for (variable, meant) in [
        ("OFFSWITCH_LISTNE", "OFFSWITCH_LISTEN"),
        ("OFFSWITCH_STOR", "OFFSWITCH_STORE"),
        ("OFFSWITCH_DATADIR", "OFFSWITCH_DATA_DIR"),
        ("OFFSWITCH_MASTER_KEYFILE", "OFFSWITCH_MASTER_KEY_FILE"),
        ("OFFSWITCH_REDIS_WAIT_REPLICA", "OFFSWITCH_REDIS_WAIT_REPLICAS"),
    ] {
        let problems = load("", &[(variable, "secret")]).err().unwrap_or_default();
        let expected = format!("{variable}: unknown setting; did you mean {meant}?");
        assert_eq!(problems, [expected]);
    }
}

// O05: the URL of a store has a password, which belongs in a file.
#[test]
fn the_store_may_be_named_in_a_file_that_others_cannot_write() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    // As Kubernetes mounts a secret: a link to a link.
    let (mounted, link) = (folder.path().join("..data"), folder.path().join("store"));
    std::fs::create_dir(folder.path().join("..2026")).unwrap();
    std::os::unix::fs::symlink("..2026", mounted).unwrap();
    std::os::unix::fs::symlink("..data/store", &link).unwrap();
    let file = folder.path().join("..2026/store");
    let path = link.to_str().unwrap();
    let with = |text: &str, mode: u32| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        load("", &[("OFFSWITCH_STORE_FILE", path)])
    };
    for (mode, warnings) in [(0o400, 0), (0o440, 0), (0o640, 0), (0o444, 1), (0o644, 1)] {
        let config = with("redis://:hunter2@host\n", mode).ok().unwrap();
        let StoreConfig::Redis { url, .. } = &config.store else { panic!("{:?}", config.store) };
        assert_eq!((url.as_str(), config.warnings.len()), ("redis://:hunter2@host", warnings));
    }
    for (text, mode, part) in [
        ("redis://:hunter2@host", 0o666, "can be written to by other users"),
        ("mysql://:hunter2@host", 0o600, "embedded"),
        (&"hunter2".repeat(1000), 0o600, "has more than 4096 bytes"),
    ] {
        let problems = with(text, mode).err().unwrap();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].starts_with("store_file: ") && problems[0].contains(part),
            "{problems:?}"
        );
        assert!(!problems[0].contains("hunter2"), "{problems:?}");
    }
    let twice = [("OFFSWITCH_STORE_FILE", path), ("OFFSWITCH_STORE", "embedded")];
    let problems = load("", &twice).err().unwrap();
    assert!(problems[0].contains("together with store"), "{problems:?}");
    let problems = load("", &[("OFFSWITCH_STORE_FILE", "/nowhere")]).err().unwrap();
    assert!(problems[0].starts_with("store_file: cannot be read"), "{problems:?}");
}

// D42, R27: values that are not understood are refused, with the reason but without the value.
#[test]
fn a_store_url_that_is_not_understood_is_refused() {
    for (url, part) in [
        ("redis://host?tls=true", "tls"),
        ("redis://host?cluster=true", "cluster"),
        ("redis://host/0?protocol=resp3", "protocol"),
        ("redis://host#insecure", "#"),
        ("redis://host/zero", "database"),
        ("redis://", "host"),
        ("rediss://host?ca=x", "ca"),
        ("redis://a,b", "several"),
        ("redis+sentinel://a,b", "service"),
        ("redis+sentinel://a,,b/main", "host"),
        ("redis+sentinel://a/main?sentinel_password=x", "sentinel_pass"),
        ("redis+sentinel://a/main?db=1&db=2", "twice"),
        ("redis+sentinel://a/main?db=x", "db"),
        ("redis+sentinel://a/main#insecure", "#"),
        ("redis+cluster://a/1", "database 0"),
        ("redis+cluster://a?readonly=yes", "readonly"),
        ("redis+cluster://a:port", "URL"),
        ("redis://app:hun?ter2=x@host", "encoded"),
        ("redis+sentinel://app:hun?ter2=x@host/main", "encoded"),
        ("redis+ssl://a", "embedded"),
        ("http://host", "embedded"),
        ("host:6379", "embedded"),
        ("Embedded", "embedded"),
        ("unix:///tmp/redis.sock?tls=true", "tls"),
        ("unix:///tmp/redis.sock#insecure", "#"),
    ] {
        let url = match url.starts_with("redis") {
            true if !url.contains('@') => url.replace("//", "//user:hunter2@"),
            _ => url.to_owned(),
        };
        let problems = load("", &[("OFFSWITCH_STORE", &url)]).err().unwrap_or_default();
        assert_eq!(problems.len(), 1, "{url}: {problems:?}");
        assert!(problems[0].starts_with("store: ") && problems[0].contains(part), "{problems:?}");
        assert!(!problems[0].contains("hunter2"), "{problems:?}");
        assert!(!problems[0].contains("ter2"), "{problems:?}");
    }
    for url in [
        "redis://user:p%40ss@host:6380/3",
        "redis://[::1]:6379",
        "unix:///tmp/redis.sock?db=1&user=a&pass=b",
        "rediss://user:p%40ss@host:6380/3",
        "redis+sentinel://user:p%40ss@a,b:26380,c/main?db=1&sentinel_user=a&sentinel_pass=b",
        "rediss+cluster://:p%40ss@a,[::1]:7000",
    ] {
        assert!(load("", &[("OFFSWITCH_STORE", url)]).is_ok(), "{url}");
    }
}

// R22: what is said about certificates is either used or refused.
#[test]
fn certificates_need_tls_and_each_other() {
    let with = |url: &str, keys: &[(&str, &str)]| {
        let keys = [&[("OFFSWITCH_STORE", url)], keys].concat();
        load("", &keys).err().unwrap_or_default().join("; ")
    };
    let ca = ("OFFSWITCH_REDIS_CA_FILE", "/ca.pem");
    let name = ("OFFSWITCH_REDIS_SERVER_NAME", "redis.internal");
    let shown = ("OFFSWITCH_REDIS_CLIENT_CERT_FILE", "/client.pem");
    let key = ("OFFSWITCH_REDIS_CLIENT_KEY_FILE", "/client.key");
    for url in ["redis://host", "redis+sentinel://a/main", "unix:///a", "embedded"] {
        for one in [ca, name] {
            assert!(with(url, &[one]).contains("TLS"), "{url}");
        }
    }
    assert_eq!(with("rediss://host", &[ca, name, shown, key]), "");
    for one in [shown, key] {
        assert!(with("rediss://host", &[one]).contains("need each other"));
    }
}

// D42: earlier versions accepted these silently, or failed to start.
#[test]
fn the_issuer_is_a_url_the_log_a_filter_and_the_address_may_be_a_name() {
    for (key, value, works) in [
        ("ISSUER", "auth.example", false),
        ("ISSUER", "ftp://auth.example", false),
        ("ISSUER", "https://auth.example?a=b", false),
        ("ISSUER", "https://auth.example#a", false),
        ("ISSUER", "https://user:secret@auth.example", false),
        ("ISSUER", "https://auth.example", true),
        ("ISSUER", "https://auth.example/realms/one", true),
        ("ISSUER", "http://127.0.0.1:8400", true),
        ("LOG", "loud", false),
        ("LOG", "info,loud", false),
        ("LOG", "offswitch=loud", false),
        ("LOG", "INFO", true),
        ("LOG", "warn,offswitch::audit=info", true),
        ("LISTEN", "localhost:8500", true),
        ("LISTEN", "[::1]:8500", true),
        ("LISTEN", "localhost", false),
        ("LISTEN", "8500", false),
        ("LISTEN", "no.such.host.invalid:8500", false),
    ] {
        let loaded = load("", &[(&format!("OFFSWITCH_{key}"), value)]);
        assert_eq!(loaded.is_ok(), works, "{key}={value}: {:?}", loaded.err());
    }
    let config = load("", &[("OFFSWITCH_LISTEN", "localhost:8500")]).ok().unwrap();
    assert!(config.listen.ip().is_loopback() && config.listen.port() == 8500);
    assert_eq!(config.settings.issuer, "http://localhost:8500");
}

// I05: an issuer of the file is checked as one of the API is; each problem says which one it is.
#[test]
fn each_issuer_of_the_file_is_checked_by_its_place() {
    let table = |lines: &str| format!("[[issuers]]\n{lines}\n");
    let good = table("name = \"idp\"\nissuer = \"https://idp.example\"");
    let config = load(&good, &[]).ok().unwrap();
    assert_eq!(config.issuers[0].1.issuer, "https://idp.example");
    // I10, I11
    let receivers = "receivers.backchannel_logout.client_ids = [\"app\"]\n\
                     receivers.events.audiences = [\"me\"]\n\
                     receivers.events.actions.\"https://e.example/x\" = \"user\"";
    let config = load(&format!("{good}{receivers}"), &[]).ok().unwrap();
    assert!(config.issuers[0].1.receivers.kinds().count() == 2);
    for (second, part) in [
        (
            "name = \"b\"\nissuer = \"https://b.example\"\nreceivers.events.audiences = []",
            "1: receivers: events.audiences must have",
        ),
        (
            "name = \"b\"\nissuer = \"https://b.example\"\nreceivers.pager.audiences = []",
            "1: unknown field `pager`",
        ),
        ("issuer = \"https://b.example\"", "1: missing field `name`"),
        ("name = \"b\"", "1: issuer: must have 1 to 512 bytes"),
        ("name = \"idp\"\nissuer = \"https://b.example\"", "1 has a name or an issuer"),
        ("name = \"b\"\nissuer = \"https://idp.example\"", "1 has a name or an issuer"),
        ("name = \"b\"\nissuer = \"https://b.example\"\ncolour = 1", "1: unknown field `colour`"),
        (
            "name = \"b\"\nissuer = \"https://b.example\"\nhorizon_seconds = 5",
            "1: horizon_seconds: ",
        ),
        (
            "name = \"b\"\nissuer = \"https://b.example\"\nalgorithms = [\"none\"]",
            "1: algorithms: ",
        ),
        ("name = \"B\"\nissuer = \"https://b.example\"", "1: name: "),
        ("name = 1\nissuer = \"https://b.example\"", "1: invalid type"),
    ] {
        let problems = load(&format!("{good}{}", table(second)), &[]).err().unwrap();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(&format!("issuers: {part}")), "{problems:?}");
    }
    assert_eq!(load("issuers = 1", &[]).err().unwrap(), ["issuers: must be tables: [[issuers]]"]);
}

// L01: a relying party of the file is checked as one of the API is.
#[test]
fn each_relying_party_of_the_file_is_checked_by_its_place() {
    let table = |lines: &str| format!("[[relying_parties]]\n{lines}\n");
    let good = table("name = \"shop\"\naudience = \"a\"\nendpoint_url = \"https://a.example/\"");
    let config = load(&good, &[]).ok().unwrap();
    assert_eq!(config.relying_parties[0].1.delivery.address(), "https://a.example/");
    for (second, part) in [
        ("audience = \"a\"", "1: missing field `name`"),
        ("name = \"b\"", "1: audience: "),
        ("name = \"b\"\naudience = \"a\"", "1: backchannel_logout_uri: "),
        ("name = \"b\"\naudience = \"a\"\ncolour = 1", "1: unknown field `colour`"),
        (
            "name = \"shop\"\naudience = \"a\"\nendpoint_url = \"https://b.example/\"",
            "1 has a name given before",
        ),
    ] {
        let problems = load(&format!("{good}{}", table(second)), &[]).err().unwrap();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(&format!("relying_parties: {part}")), "{problems:?}");
    }
    assert_eq!(
        load("relying_parties = 1", &[]).err().unwrap(),
        ["relying_parties: must be tables: [[relying_parties]]"]
    );
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
