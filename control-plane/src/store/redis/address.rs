//! What a store URL says: which servers, how to log in, and whether the connection is encrypted.

use redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};
use url::Url;

/// A store URL, read completely.
pub(super) struct Address {
    pub(super) servers: Places,
    /// For the servers that keep the log.
    pub(super) login: RedisConnectionInfo,
    pub(super) uses_tls: bool,
}

/// Where to look for the server that keeps the log.
pub(super) enum Places {
    /// Nodes of a cluster, at least one.
    Cluster(Vec<ConnectionAddr>),
    One(ConnectionAddr),
    /// Sentinels, at least one, and the name that they have for the primary.
    Sentinel {
        sentinels: Vec<ConnectionAddr>,
        login: RedisConnectionInfo,
        service: String,
    },
}

/// Refuses a store URL that is not fully understood: a parameter that is ignored, such as
/// `?tls=true`, would give the operator a wrong idea of the connection. Returns whether the URL
/// asks for TLS.
///
/// # Errors
///
/// What was found and what was expected, without the URL: it may contain a password.
pub fn check_store_url(text: &str) -> Result<bool, String> {
    Address::parse(text).map(|address| address.uses_tls)
}

impl Address {
    /// Reads a URL; the error never contains a part of it that may be a password.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or(EXPECTED)?;
        let uses_tls = scheme.starts_with("rediss");
        match scheme {
            "redis" | "rediss" => one(rest, uses_tls),
            "redis+cluster" | "rediss+cluster" => cluster(rest, uses_tls),
            "redis+sentinel" | "rediss+sentinel" => sentinel(rest, uses_tls),
            "unix" => unix(text),
            _ => Err(EXPECTED.to_owned()),
        }
    }
}

fn one(rest: &str, uses_tls: bool) -> Result<Address, String> {
    let parts = Parts::split(rest)?;
    if parts.hosts.len() > 1 {
        return Err("several addresses need redis+sentinel:// or redis+cluster://".to_owned());
    }
    parts.url(&[])?;
    let info = read(&format!("redis://{rest}"))?;
    let login = info.redis_settings().clone();
    Ok(Address { servers: Places::One(info.addr().clone()), login, uses_tls })
}

fn unix(text: &str) -> Result<Address, String> {
    let url = Url::parse(text).map_err(|_| EXPECTED.to_owned())?;
    check_parameters(&url, &["db", "user", "pass"])?;
    let info = read(text)?;
    let login = info.redis_settings().clone();
    Ok(Address { servers: Places::One(info.addr().clone()), login, uses_tls: false })
}

fn cluster(rest: &str, uses_tls: bool) -> Result<Address, String> {
    let parts = Parts::split(rest)?;
    if !matches!(parts.url(&[])?.path(), "" | "/" | "/0") {
        return Err("a cluster has only database 0".to_owned());
    }
    let (seeds, login) = parts.nodes(REDIS_PORT)?;
    Ok(Address { servers: Places::Cluster(seeds), login, uses_tls })
}

fn sentinel(rest: &str, uses_tls: bool) -> Result<Address, String> {
    let parts = Parts::split(rest)?;
    let url = parts.url(&["db", "sentinel_user", "sentinel_pass"])?;
    let service = url.path().trim_start_matches('/').to_owned();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if service.is_empty() || !service.bytes().all(is_plain) {
        let text = "the URL must name the service that the sentinels watch: redis+sentinel://\
                    host1,host2,host3/service (letters, digits, . - _)";
        return Err(text.to_owned());
    }
    let (sentinels, mut login) = parts.nodes(SENTINEL_PORT)?;
    let mut sentinel_login = RedisConnectionInfo::default();
    for (name, value) in url.query_pairs() {
        match name.as_ref() {
            "db" => {
                let number = value.parse::<u16>().map_err(|_| "db must be a number".to_owned())?;
                login = login.set_db(number.into());
            }
            "sentinel_user" => sentinel_login = sentinel_login.set_username(value),
            _ => sentinel_login = sentinel_login.set_password(value),
        }
    }
    let servers = Places::Sentinel { sentinels, login: sentinel_login, service };
    Ok(Address { servers, login, uses_tls })
}

/// `user:password@host:port,host:port/path?query`, split where a URL of one host cannot be.
struct Parts<'a> {
    /// With the `@`, if there is one.
    userinfo: &'a str,
    hosts: Vec<&'a str>,
    /// From the path on.
    tail: &'a str,
}

impl<'a> Parts<'a> {
    fn split(rest: &'a str) -> Result<Self, String> {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let begin = authority.rfind('@').map_or(0, |at| at + 1);
        let (userinfo, hosts) = authority.split_at(begin);
        let hosts: Vec<_> = hosts.split(',').collect();
        if hosts.iter().any(|host| host.is_empty() || host.starts_with(':')) {
            return Err("the URL names no host".to_owned());
        }
        if hosts.len() > MOST_HOSTS {
            return Err(format!("the URL names more than {MOST_HOSTS} hosts"));
        }
        Ok(Self { userinfo, hosts, tail })
    }

    /// Path and query, with nothing in them but `parameters`.
    fn url(&self, parameters: &[&str]) -> Result<Url, String> {
        let url = Url::parse(&format!("redis://host{}", self.tail));
        let url = url.map_err(|_| EXPECTED.to_owned())?;
        check_parameters(&url, parameters)?;
        Ok(url)
    }

    /// The addresses, and the login for all of them.
    fn nodes(&self, port: u16) -> Result<(Vec<ConnectionAddr>, RedisConnectionInfo), String> {
        let (mut addresses, mut login) = (Vec::new(), RedisConnectionInfo::default());
        for host in &self.hosts {
            let text = format!("redis://{}{host}", self.userinfo);
            let has_port = Url::parse(&text).is_ok_and(|url| url.port().is_some());
            let info = read(&text)?;
            addresses.push(match info.addr() {
                ConnectionAddr::Tcp(host, _) if !has_port => {
                    ConnectionAddr::Tcp(host.clone(), port)
                }
                address => address.clone(),
            });
            login = info.redis_settings().clone();
        }
        Ok((addresses, login))
    }
}

fn check_parameters(url: &Url, parameters: &[&str]) -> Result<(), String> {
    if url.fragment().is_some() {
        return Err("the URL must not have a fragment (#…)".to_owned());
    }
    let mut seen = Vec::new();
    for (name, _) in url.query_pairs() {
        if !parameters.contains(&name.as_ref()) {
            if url.query().is_some_and(|query| query.contains('@')) {
                // It is a part of the password then, and must not be shown.
                return Err(NOT_ENCODED.to_owned());
            }
            let known = match parameters {
                [] => "it takes none".to_owned(),
                known => format!("there are {}", known.join(", ")),
            };
            let name = name.escape_debug();
            return Err(format!("unknown parameter {name} in the URL; {known}"));
        }
        if seen.contains(&name) {
            return Err(format!("the parameter {name} is in the URL twice"));
        }
        seen.push(name);
    }
    Ok(())
}

/// Reads a URL of one server. The error's text is a constant, never a part of the URL.
fn read(text: &str) -> Result<redis::ConnectionInfo, String> {
    text.into_connection_info().map_err(|error| format!("the URL cannot be used: {error}"))
}

const EXPECTED: &str = "must be embedded, redis://user:password@host:port/database, rediss://…, \
                        redis+sentinel://host1,host2,host3/service, redis+cluster://host1,host2 or \
                        unix:///path";
const NOT_ENCODED: &str = "user and password must be percent-encoded: / is %2F, ? is %3F, # is %23, \
                           @ is %40";
const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
const MOST_HOSTS: usize = 32;

#[cfg(test)]
mod tests {
    use super::{Address, Places};

    fn texts(addresses: &[redis::ConnectionAddr]) -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    }

    // R23: user and password of both kinds of servers, default ports, IPv6.
    #[test]
    fn a_sentinel_url_names_sentinels_a_service_and_two_logins() {
        let url = "rediss+sentinel://app:p%40ss@a,b:1,[::1]:2/main?db=3&sentinel_user=watch\
                   &sentinel_pass=s%2Fs";
        let address = Address::parse(url).unwrap();
        assert!(address.uses_tls);
        assert_eq!(
            (address.login.username(), address.login.password()),
            (Some("app"), Some("p@ss"))
        );
        assert_eq!(address.login.db(), 3);
        let Places::Sentinel { sentinels, login, service } = address.servers else { panic!() };
        assert_eq!(texts(&sentinels), ["a:26379", "b:1", "::1:2"]);
        assert_eq!((login.username(), login.password()), (Some("watch"), Some("s/s")));
        assert_eq!(service, "main");
    }

    // R24: several seeds, one login.
    #[test]
    fn a_cluster_url_names_seeds() {
        let address = Address::parse("redis+cluster://:secret@a:7000,b").unwrap();
        assert!(!address.uses_tls);
        assert_eq!(address.login.password(), Some("secret"));
        let Places::Cluster(seeds) = address.servers else { panic!() };
        assert_eq!(texts(&seeds), ["a:7000", "b:6379"]);
    }
}
